//! A device's report beside the table.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::Request;
use axum::http::{HeaderValue, Method};
use axum::middleware::{Next, from_fn};
use serde_json::{Map, Value, json};
use shared::domain::{Checksums, Collection, RowKey};

use crate::support::{Files, Ran, Stack};

/// A report as the client package makes it, of a device that has just pulled everything.
async fn synced(stack: &Stack) -> Value {
    let pulled = stack.client().get("/api/v1/projects/p/sync/?since=0").await.expect("an answer").json().expect("JSON");
    let mut rows = Map::new();
    for (table, changes) in pulled["changes"].as_object().expect("changes") {
        let updated = changes["updated"].as_array().expect("rows").iter();
        let versions =
            updated.map(|row| (row["id"].as_str().expect("an id").to_owned(), row["server_version"].clone()));
        rows.insert(table.clone(), Value::Object(versions.collect()));
    }
    let columns = Collection::ALL.map(|collection| format!("{}:{}", collection.name(), collection.columns().join(",")));
    json!({
        "client": "0.1.0", "schemaVersion": 1, "at": now_ms(), "clockSkew": 40,
        "status": {"state": "synced", "pending": 0, "lastSyncedAt": now_ms(), "problem": null,
            "projects": {"p": {"state": "synced", "pending": 0, "lastSyncedAt": now_ms(), "progress": null, "problem": null}}},
        "problems": [],
        "projects": [{
            "project": "p", "mark": pulled["timestamp"], "status": "live", "lastSyncedAt": now_ms(), "activity": 4,
            "columns": columns.join(";"), "checksums": pulled["checksum"], "dirty": [], "request": null, "acks": {},
            "conflicts": {}, "parked": {}, "insist": {}, "givenUp": {}, "shadow": {}, "aside": [], "broken": null, "rows": rows,
        }],
    })
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time");
    u64::try_from(since.as_millis()).expect("a time")
}

/// The rows of a table as the device has them, and its checksum with them.
fn with_tasks(report: &mut Value, change: impl FnOnce(&mut Map<String, Value>)) {
    let project = &mut report["projects"][0];
    change(project["rows"]["tasks"].as_object_mut().expect("rows"));
    let rows = project["rows"]["tasks"].as_object().expect("rows").iter();
    let keyed: Vec<(RowKey, _)> = rows
        .map(|(id, at)| {
            let version = at.as_u64().and_then(|at| at.try_into().ok()).expect("a version");
            (format!("tasks#{id}").parse().expect("a key"), version)
        })
        .collect();
    let sums = Checksums::of(keyed.iter().map(|(key, version)| (key, *version)));
    project["checksums"]["tasks"] = json!(sums.get(Collection::Tasks));
}

fn brief(report: &mut Value) {
    report["projects"][0].as_object_mut().expect("a project").remove("rows");
}

async fn diagnosed(stack: &Stack, report: &Value, more: &[&str]) -> Ran {
    static REPORTS: AtomicUsize = AtomicUsize::new(0);
    let name = format!("diagnose-{}", REPORTS.fetch_add(1, Ordering::Relaxed));
    let files = Files::new(&name, &[("report.json", &report.to_string())]);
    let file = format!("{}/report.json", files.path());
    stack.run(&[&["diagnose", &file, "--dynamodb-url", &stack.dynamodb_url], more].concat()).await
}

/// The exit code, and what was found, in order.
async fn found(stack: &Stack, report: &Value, more: &[&str]) -> (Option<i32>, Vec<String>) {
    let ran = diagnosed(stack, report, &[more, &["--json"]].concat()).await;
    assert!(ran.output.starts_with('{'), "{ran:?}");
    let json: Value = serde_json::from_str(&ran.output).expect("JSON");
    let of_project = json["projects"][0]["findings"].as_array().expect("findings").iter();
    let all = json["device"].as_array().expect("findings").iter().chain(of_project);
    (ran.code, all.map(|finding| finding["finding"].as_str().expect("a name").to_owned()).collect())
}

/// A project with four tasks at versions 3 to 6, of which one is deleted at version 7. What olga sends to the task `kept` has
/// the idempotency key `key-1`.
async fn four_tasks() -> Stack {
    let stack = Stack::start_with(|router| {
        router.layer(from_fn(|mut request: Request, next: Next| {
            if request.method() == Method::PATCH && request.uri().path().ends_with("/kept/") {
                request.headers_mut().insert("idempotency-key", HeaderValue::from_static("key-1"));
            }
            next.run(request)
        }))
    })
    .await;
    stack.send("POST", "", json!({"id": "p", "name": "P"})).await;
    for id in ["a", "b", "dead", "kept"] {
        stack.send("POST", "p/tasks/", json!({"id": id, "name": "Secret"})).await;
    }
    stack.send("DELETE", "p/tasks/dead/", Value::Null).await;
    stack
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_damaged_in_each_known_way_and_each_is_named() {
    let stack = four_tasks().await;
    let whole = synced(&stack).await;
    assert_eq!(whole["projects"][0]["mark"], 7);
    let ran = diagnosed(&stack, &whole, &["--user", "olga"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.output.contains("project   p: mark 7, the server is at 7\n"), "{ran:?}");
    assert!(ran.output.ends_with("verdict   the same: nothing differs (0 notes)\n"), "{ran:?}");

    let edit = |id: &str, status: &str, at: u64| json!([{"table": "tasks", "id": id, "status": status, "changed": "name", "server_version": at, "base_version": null}]);
    type Damage = Box<dyn Fn(&mut Value)>;
    let set = |name: &'static str, value: Value| -> Damage {
        Box::new(move |report| report["projects"][0][name] = value.clone())
    };
    let tasks = |change: fn(&mut Map<String, Value>)| -> Damage { Box::new(move |report| with_tasks(report, change)) };
    let damages: Vec<(Damage, &[&str])> = vec![
        (set("mark", json!(70)), &["mark_above_server"]),
        (set("mark", json!((1_u64 << 52) + 2)), &["mark_in_wipe"]),
        (set("mark", json!(0)), &["mark_lost"]),
        (tasks(|rows| drop(rows.remove("a"))), &["rows_missing", "collection_differs"]),
        (tasks(|rows| drop(rows.insert("kept".into(), json!(2)))), &["rows_stale", "collection_differs"]),
        (tasks(|rows| drop(rows.insert("a".into(), json!(9)))), &["rows_ahead", "collection_differs"]),
        (tasks(|rows| drop(rows.insert("x".into(), json!(4)))), &["rows_unknown", "collection_differs"]),
        (tasks(|rows| drop(rows.insert("dead".into(), json!(5)))), &["rows_deleted", "collection_differs"]),
        (
            Box::new(move |report| {
                with_tasks(report, |rows| drop(rows.remove("a")));
                brief(report);
            }),
            &["collection_differs"],
        ),
        (set("columns", json!("tasks:name")), &["column_missing", "collection_not_synced"]),
        (set("parked", json!({"tasks/a": {"code": "last_owner", "fields": [], "tries": 1}})), &["edit_refused"]),
        (set("conflicts", json!({"tasks/a": ["name"]})), &["conflict_open"]),
        (set("dirty", edit("dead", "updated", 5)), &["edit_of_gone_row"]),
        (set("dirty", edit("a", "created", 0)), &["created_twice"]),
        (set("acks", json!({"tasks/a": 6})), &["confirmation_lost"]),
        (set("broken", json!(["tasks"])), &["broken_after_repair"]),
        (Box::new(|report| report["clockSkew"] = json!(-157_784_760_000_i64)), &["clock_off"]),
        (
            Box::new(|report| {
                report["status"]["problem"] = json!({"code": "schema_mismatch", "detail": "No column base_version."})
            }),
            &["not_syncing"],
        ),
    ];
    for (damage, expected) in damages {
        let mut damaged = whole.clone();
        damage(&mut damaged);
        let (code, names) = found(&stack, &damaged, &["--user", "olga"]).await;
        assert_eq!((code, names), (Some(1), expected.iter().map(|name| (*name).to_owned()).collect()), "{damaged}");
    }
    assert_eq!(found(&stack, &whole, &["--user", "eve"]).await.1, ["user_never_member"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_does_after_the_report_is_no_difference_until_it_takes_the_project_away() {
    let stack = four_tasks().await;
    let old = synced(&stack).await;
    stack.send("PATCH", "p/tasks/a/", json!({"name": "New"})).await;
    stack.send("DELETE", "p/tasks/b/", Value::Null).await;
    stack.send("POST", "p/tasks/", json!({"id": "new", "name": "New"})).await;
    stack.send("POST", "p/memberships/", json!({"user": "mia", "role": 100})).await;
    let behind = (Some(0), vec!["behind".to_owned()]);
    let mut without_rows = old.clone();
    brief(&mut without_rows);
    assert_eq!(found(&stack, &old, &[]).await, behind);
    assert_eq!(found(&stack, &without_rows, &[]).await, behind);
    let said = diagnosed(&stack, &old, &[]).await.output;
    assert!(
        said.contains(
            "The mark 7 is 4 versions behind the server's 11: 4 changed rows to come, the oldest of them since 2"
        ),
        "{said}"
    );

    // An answer that never arrived.
    let mut asking = old.clone();
    asking["projects"][0]["request"] = json!({"key": "key-1", "operations": ["PATCH tasks/kept"]});
    assert_eq!(found(&stack, &asking, &["--user", "olga"]).await.1, ["behind", "request_unanswered"]);
    stack.send("PATCH", "p/tasks/kept/", json!({"name": "Kept"})).await;
    assert_eq!(found(&stack, &asking, &["--user", "olga"]).await.1, ["behind", "request_answered"]);
    assert_eq!(
        found(&stack, &asking, &["--user", "mia"]).await.1,
        ["behind", "request_unanswered"],
        "another user's key"
    );
    assert_eq!(found(&stack, &asking, &[]).await.1, ["behind", "request_unclear"]);
    let said = diagnosed(&stack, &asking, &["--user", "olga"]).await.output;
    assert!(said.contains("It arrived: it was answered 200 at version 12"), "{said}");

    let members = stack.client().get("/api/v1/projects/p/memberships/").await.expect("an answer").json().expect("JSON");
    let members = members["results"].as_array().expect("members").iter();
    let mia =
        members.filter(|member| member["user"] == "mia").map(|member| member["id"].as_str().expect("an id")).next();
    stack.send("DELETE", &format!("p/memberships/{}/", mia.expect("mia")), Value::Null).await;
    assert_eq!(found(&stack, &old, &["--user", "mia"]).await, (Some(1), vec!["user_removed".to_owned()]));

    let restored = stack.run(&["restore", "--table-name", "trueppm", "--dynamodb-url", &stack.dynamodb_url]).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert_eq!(found(&stack, &old, &[]).await, (Some(1), vec!["mark_before_restore".to_owned()]));
    assert_eq!(found(&stack, &synced(&stack).await, &[]).await, (Some(0), vec![]));
    stack.send("DELETE", "p/", Value::Null).await;
    let (code, names) = found(&stack, &old, &[]).await;
    assert_eq!((code, names), (Some(1), vec!["project_deleted".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_compared_ends_with_2_and_says_why() {
    let stack = four_tasks().await;
    let whole = synced(&stack).await;
    let files =
        Files::new("diagnose-bad", &[("cut.json", r#"{"client": "0.1.0", "at": 5, "projec"#), ("html.json", "<html>")]);
    let table = ["--dynamodb-url", &stack.dynamodb_url];
    for file in ["cut.json", "html.json", "none.json"] {
        let file = format!("{}/{file}", files.path());
        let ran = stack.run(&[&["diagnose", &file][..], &table].concat()).await;
        assert!(ran.code == Some(2) && ran.errors.contains(&file) && ran.errors.contains("sync.report()"), "{ran:?}");
    }
    let other = diagnosed(&stack, &whole, &["--project", "q"]).await;
    assert!(other.code == Some(2) && other.errors.contains("the report has no project q"), "{other:?}");
    let nowhere = diagnosed(&stack, &whole, &["--table-name", "elsewhere"]).await;
    assert!(nowhere.code == Some(2) && nowhere.errors.contains("cannot read table elsewhere"), "{nowhere:?}");
    let mut strange = whole.clone();
    strange["projects"][0]["project"] = "p/../\u{1b}[31m".into();
    let ran = diagnosed(&stack, &strange, &[]).await;
    assert!(ran.code == Some(2) && ran.output.contains("p/../␛[31m: mark 7\n          NOT COMPARED"), "{ran:?}");
    let mut unknown = whole.clone();
    unknown["projects"][0]["project"] = "q".into();
    assert_eq!(found(&stack, &unknown, &[]).await, (Some(1), vec!["project_unknown".to_owned()]));
    let mut empty = whole;
    empty["projects"] = json!([]);
    let ran = diagnosed(&stack, &empty, &[]).await;
    assert!(ran.code == Some(2) && ran.output.contains("no project to compare"), "{ran:?}");
}
