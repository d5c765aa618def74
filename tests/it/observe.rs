//! Tests the reports about each request: its cost, and one line in the log.

use std::io;
use std::sync::{Arc, Mutex};

use axum::http::Method;
use lambda_http::request::LambdaRequest;
use lambda_http::tower::Service;
use lambda_http::{Context, LambdaEvent};
use serde_json::{Value, json};
use shared::domain::Role;
use shared::http::RequestLog;
use shared::storage::Table;
use tests::support::{OWNER, TestApp, TestProject, TestTable};
use tracing_subscriber::fmt::MakeWriter;

/// Everything that is logged: the lines about requests, and the events of tracing.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<String>>>);

impl Output {
    fn push(&self, line: &str) {
        self.0.lock().expect("the output").push(line.to_owned());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("the output"))
    }

    /// The only line since the last call.
    #[track_caller]
    fn line(&self) -> Value {
        let lines = self.take();
        assert_eq!(lines.len(), 1, "{lines:?}");
        serde_json::from_str(&lines[0]).expect("JSON")
    }

    /// An app that writes its lines here.
    fn of(&self, mut app: TestApp) -> TestApp {
        let log = |function| {
            let output = self.clone();
            RequestLog::new(function, "test", move |line| output.push(line))
        };
        app.rest = app.rest.layer(log("rest"));
        app.sync = app.sync.layer(log("sync"));
        app
    }
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Output {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

async fn watched() -> (TestProject, Output) {
    let output = Output::default();
    let project = output.of(TestApp::new().await).with_project().with_tasks(2).await;
    output.take();
    (project, output)
}

#[tokio::test]
async fn each_answer_says_in_server_timing_what_it_cost() {
    if TestTable::may_count_differently() {
        return;
    }
    let (project, _) = watched().await;
    let timing = async |call: tests::support::Call| {
        let answer = call.await;
        assert_eq!(answer.header("timing-allow-origin"), Some("*"));
        let timing = answer.header("server-timing").expect("Server-Timing").to_owned();
        let (before, after) = timing.split_once("table;dur=").expect("the table's time");
        let (time, rest) = after.split_once(';').expect("a description");
        assert!(time.parse::<f64>().is_ok(), "{timing}");
        format!("{before}table;{rest}")
    };
    assert_eq!(
        timing(project.sync("since=4")).await,
        r#"pull;desc="unchanged", table;desc="1 call", rcu;desc="2 read units", wcu;desc="0 write units""#
    );
    assert_eq!(
        timing(project.sync("since=3")).await,
        r#"pull;desc="first_read", table;desc="2 calls", rcu;desc="2.5 read units", wcu;desc="0 write units""#
    );
    let patch = project.patch("tasks/t1", &json!({"name": "Dig"}));
    assert!(timing(patch).await.starts_with(r#"table;desc="2 calls", rcu;desc="3 read units", wcu;desc=""#));
    assert!(timing(project.sync("since=99")).await.starts_with(r#"table;desc="2 calls""#), "a refusal");
    assert!(timing(project.app.call(Method::GET, "/nowhere")).await.starts_with(r#"table;desc="0 calls""#));
    assert!(timing(project.app.call(Method::OPTIONS, "/api/v1/projects/")).await.starts_with("table;"));
}

#[tokio::test]
async fn a_stranger_pays_and_is_told_the_same_for_a_project_that_exists_and_one_that_does_not() {
    if TestTable::may_count_differently() {
        return;
    }
    let (project, output) = watched().await;
    // The counter has more than 4 KB, so it takes another read unit.
    let operations: Vec<Value> = (0..98)
        .map(|n| json!({"method": "POST", "path": "tasks/", "body": {"id": format!("{n:064}"), "name": "x"}}))
        .collect();
    project.post("batch", &json!({ "operations": operations })).await.expect(200);
    output.take();
    let headers = async |id: &str| {
        let sync = project.app.call_sync(&format!("/api/v1/projects/{id}/sync/")).by("eve").await.expect(403);
        let list = project.app.call(Method::GET, &format!("/api/v1/projects/{id}/tasks/")).by("eve").await.expect(403);
        let body = json!({"predecessor": "a", "successor": "b"});
        let create = project.app.call(Method::POST, &format!("/api/v1/projects/{id}/dependencies/")).by("eve");
        let create = create.json(&body).await.expect(403);
        let calls: Vec<Value> = output
            .take()
            .iter()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["ReadUnits"].clone())
            .collect();
        let headers = [sync, list, create].map(|answer| {
            let mut headers = answer.headers;
            // This is the time that it took.
            headers.remove("server-timing").expect("Server-Timing");
            headers
        });
        (headers, calls)
    };
    let (there, cost_there) = headers(&project.id).await;
    let (nowhere, cost_nowhere) = headers("nowhere").await;
    assert_eq!(cost_there, cost_nowhere);
    assert_eq!(there, nowhere);
}

#[tokio::test]
async fn each_request_is_one_line_with_what_cloudwatch_takes_for_metrics() {
    if TestTable::may_count_differently() {
        return;
    }
    let (project, output) = watched().await;
    project.sync("since=3").await.expect(200);
    let line = output.line();
    assert_eq!(line["route"], "/api/v1/projects/{project_id}/sync/");
    assert_eq!(line["project"], project.id.as_str());
    assert_eq!((&line["method"], &line["status"]), (&json!("GET"), &json!(200)));
    assert_eq!((&line["mark"], &line["pull"]), (&json!(4), &json!("first_read")));
    assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
    // The value comes from: printf 'test:olga' | sha256sum | cut -c 1-16
    assert_eq!(line["caller"], "428536d0235aee40");
    let directive = &line["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(directive["Namespace"], "TruePPM/Sync");
    assert_eq!(directive["Dimensions"], json!([["Stage", "Function"]]));
    assert_eq!((&line["Stage"], &line["Function"]), (&json!("test"), &json!("sync")));
    assert!(line["_aws"]["Timestamp"].as_u64().is_some_and(|time| time > 1_700_000_000_000), "{line}");
    let metrics: Vec<&str> =
        directive["Metrics"].as_array().expect("metrics").iter().map(|m| m["Name"].as_str().expect("a name")).collect();
    let names = [
        "Duration",
        "TableTime",
        "ReadUnits",
        "WriteUnits",
        "TableCalls",
        "Rows",
        "StrongFallback",
        "NotProven",
        "Unauthorized",
        "KeysUnavailable",
        "ServerError",
        "ColdStart",
    ];
    assert_eq!(metrics, names);
    assert!(names.iter().all(|name| line[name].is_number()), "{line}");
    assert!(
        line["Duration"].as_f64() >= line["TableTime"].as_f64() && line["TableTime"].as_f64() > Some(0.0),
        "{line}"
    );
    let counted =
        |line: &Value| names[2..].iter().map(|name| line[name].as_f64().expect("a number")).collect::<Vec<_>>();
    assert_eq!(counted(&line), [2.5, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], "the first pull of this instance");

    project.patch("tasks/t1", &json!({"name": "Dig"})).await.expect(200);
    let line = output.line();
    assert_eq!((&line["Function"], &line["mark"], &line["ColdStart"]), (&json!("rest"), &json!(5), &json!(0)));
    assert!(line["WriteUnits"].as_f64() > Some(0.0), "{line}");

    project.sync("since=4").authorization("Bearer x.y.z").await.expect(401);
    let line = output.line();
    assert_eq!(
        (&line["code"], &line["Unauthorized"], &line["ServerError"]),
        (&json!("token_invalid"), &json!(1), &json!(0))
    );
    assert_eq!((line.get("caller"), line.get("mark")), (None, None));
}

#[tokio::test]
async fn what_fails_counts_as_an_error_of_the_server() {
    let table = TestTable::of_this_process().await;
    let output = Output::default();
    let app = output.of(TestApp::on(table, Table::new(table.client().await, "no-such-table")).await);
    app.call_sync("/api/v1/projects/p/sync/").by(OWNER).await.expect(503);
    let line = output.line();
    assert_eq!((&line["code"], &line["status"], &line["ServerError"]), (&json!("unavailable"), &json!(503), &json!(1)));
}

#[tokio::test]
async fn a_line_names_the_request_as_lambda_does() {
    let (project, output) = watched().await;
    let path = format!("/api/v1/projects/{}/sync/", project.id);
    let event = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "isBase64Encoded": false,
        "headers": {"authorization": format!("Bearer {}", TestApp::token(OWNER))},
        "requestContext": {"accountId": "1", "apiId": "a", "domainName": "localhost", "domainPrefix": "a",
            "requestId": "r", "routeKey": "$default", "stage": "$default", "timeEpoch": 0,
            "http": {"method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "t"}}
    });
    let event: LambdaRequest = serde_json::from_value(event).expect("an event");
    let mut context = Context::default();
    context.request_id = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef".to_owned();
    context.xray_trace_id = Some("Root=1-5759e988-bd862e3fe1be46a994272793".to_owned());
    let mut adapter = lambda_http::Adapter::from(project.app.sync.clone());
    adapter.call(LambdaEvent::new(event, context)).await.expect("a response");
    let line = output.line();
    assert_eq!(line["request_id"], "c6af9ac6-7b61-11e6-9a41-93e8deadbeef");
    assert_eq!(line["trace_id"], "Root=1-5759e988-bd862e3fe1be46a994272793");
}

/// A text that the test puts in every place where a client can write something, except the ids of projects, which may be seen.
const TELLTALE: &str = "zebra";

#[tokio::test]
async fn nothing_that_anyone_wrote_is_in_any_line() {
    let output = Output::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(output.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let text = |part: &str| format!("{part} {TELLTALE}");
    for is_deployed in [true, false] {
        let app = TestApp::new().await;
        let app = if is_deployed { output.of(app) } else { app };
        let project = app.clone().with_project().with_tasks(1).with_member(TELLTALE, Role::Admin).await;
        let task = json!({"id": TELLTALE, "name": text("name"), "notes": text("notes")});
        let row = format!("tasks/{TELLTALE}");
        let batch = json!({"operations": [{"method": "POST", "path": format!("tasks/{TELLTALE}"), "body": {}}]});
        let calls = [
            project.post("tasks", &task).by(TELLTALE).key(TELLTALE),
            project.post("tasks", &task).key(TELLTALE),
            project.post("tasks", &json!({"id": TELLTALE, "name": text("other")})),
            project.post("tasks", &json!({"name": 7, TELLTALE: TELLTALE})),
            project.post("batch", &batch),
            project.post("tasks", &json!({})).body("application/json", format!("{{\"{TELLTALE}")),
            project.post("tasks", &json!({})).body(TELLTALE, "{}"),
            project.patch(&row, &json!({"notes": text("more")})).if_match(1),
            project.patch(&row, &json!({"notes": text("more")})).header("if-match", TELLTALE),
            project.patch(&row, &json!({"notes": text("more")})).header("x-base-version", TELLTALE),
            project.patch(&row, &json!({"assignee": TELLTALE})).based_on(1).header("user-agent", TELLTALE),
            project.get(&row),
            project.get(&format!("tasks/?cursor={TELLTALE}&limit={TELLTALE}")),
            project.sync(&format!("since={TELLTALE}&{TELLTALE}={TELLTALE}")),
            project.sync("since=1").header("x-forwarded-for", TELLTALE),
            project.sync("since=1").authorization(format!("Bearer {TELLTALE}")),
            project.sync("since=1").authorization(format!("Basic {TELLTALE}")),
            project.sync(&format!("migration={TELLTALE}")),
            project.app.call(Method::GET, &format!("/{TELLTALE}")),
            project.app.call(Method::from_bytes(TELLTALE.as_bytes()).expect("a method"), "/api/v1/projects/"),
            project.app.call(Method::GET, &format!("/api/v1/projects/%20{TELLTALE}/tasks/")).by(OWNER),
            project.app.call_sync(&format!("/api/v1/projects/%FF{TELLTALE}/sync/")).by(OWNER),
            project.app.call(Method::POST, "/api/v1/projects/").by(TELLTALE).json(&json!({"name": text("house")})),
            project.remove(TELLTALE),
            project.delete(&row),
            project.sync("since=0").by(TELLTALE),
        ];
        let expected = calls.len();
        output.take();
        // Another test may have logged there first without a listener, and tracing remembers that.
        tracing::callsite::rebuild_interest_cache();
        for call in calls {
            call.await;
        }
        let lines = output.take();
        assert!(lines.len() >= expected, "{lines:#?}");
        let token = TestApp::token(OWNER);
        for line in lines {
            assert!(!line.contains(TELLTALE) && !line.contains("Bearer") && !line.contains(&token), "{line}");
        }
    }
}

#[test]
fn the_access_log_says_where_a_request_came_from_only_if_a_parameter_asks_for_it() {
    let template = include_str!("../../template.yaml");
    let [_, parameter] = template.split("  LogSourceAddress:\n").collect::<Vec<_>>()[..] else {
        panic!("no parameter")
    };
    assert!(parameter.starts_with("    Type: String\n    Default: \"false\"\n"));
    assert!(template.contains("LogsSourceAddress: !Equals [!Ref LogSourceAddress, \"true\"]"));
    let [_, format] = template.split("Format: !Sub\n").collect::<Vec<_>>()[..] else { panic!("no format") };
    let (line, more) = format.split_once("- SourceAddress: ").expect("what the parameter adds");
    assert!(line.trim_end().ends_with("${SourceAddress}}"), "{line}");
    assert!(more.starts_with("!If [LogsSourceAddress, ',\"source_ip\":\"$context.identity.sourceIp\"', \"\"]\n"));
    assert_eq!(template.matches("$context.identity").count(), 1);
}
