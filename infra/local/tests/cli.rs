//! The command itself, against both functions on the embedded engine.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use local::client::Client;
use local::token::{LOCAL_SECRET, sign};
use local::{engine, plan, serve, table};
use serde_json::{Value, json};
use shared::auth::Verifier;
use shared::domain::{Collection, ProjectId};
use shared::storage::Table;

const LOCAL: &str = env!("CARGO_BIN_EXE_local");

/// Both functions, without any of the environment.
struct Stack {
    url: String,
    dynamodb_url: String,
}

impl Stack {
    async fn start() -> Self {
        Self::start_with(|router| router).await
    }

    async fn start_with(layer: impl FnOnce(Router) -> Router) -> Self {
        let dynamodb_url = engine::start(0, None).expect("an engine");
        let client = table::client(&dynamodb_url).await;
        table::create(&client, "trueppm").await.expect("a table");
        let secret = |name: &str| (name == "JWT_SECRET").then(|| LOCAL_SECRET.to_owned());
        let verifier = Arc::new(Verifier::configured(secret).expect("a verifier"));
        let router = layer(serve::router(Table::new(client, "trueppm"), verifier));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { url, dynamodb_url }
    }

    fn client(&self) -> Client {
        Client::new(&self.url, &sign(LOCAL_SECRET, "olga").expect("a token")).expect("a client")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        command.env("BASE_URL", &self.url);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Ran {
        ran(self.command(arguments)).await
    }

    async fn contents(&self, project: &str) -> plan::Contents {
        plan::read(&self.client(), &project.parse::<ProjectId>().expect("an id")).await.expect("a project")
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(LOCAL);
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// What a command came to.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    output: String,
    errors: String,
}

async fn ran(mut command: Command) -> Ran {
    let waited = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread");
    let Output { status, stdout, stderr } = waited.expect("a command");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: status.code(), output: text(stdout), errors: text(stderr) }
}

/// A directory with these files, gone at the end.
struct Files(PathBuf);

impl Files {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).expect("a directory");
        for (file, text) in files {
            std::fs::write(directory.join(file), text).expect("a file");
        }
        Self(directory)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn house() -> String {
    format!("{}/examples/house", env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_is_imported_once_however_often_it_is_imported() {
    let stack = Stack::start().await;
    let dry = stack.run(&["import", &house(), "--dry-run"]).await;
    assert_eq!(
        dry.output,
        "project lakehouse: would make 1 calendars, 6 dependencies, 1 projects, 6 tasks; 0 rows are there already\n"
    );
    let first = stack.run(&["import", &house()]).await;
    assert_eq!((first.code, first.errors.as_str()), (Some(0), ""), "{first:?}");
    assert_eq!(
        first.output,
        "project lakehouse: made 1 calendars, 6 dependencies, 1 projects, 6 tasks; 0 rows were there already\n"
    );
    let contents = stack.contents("lakehouse").await;
    let row = |key: &str| &contents.rows[&key.parse().expect("a key")];
    assert_eq!(row("projects#lakehouse")["calendar"], "site");
    assert_eq!(row("tasks#slab")["notes"], "Concrete needs a week above 5 °C\nbefore the frame goes up.");
    assert_eq!((&row("tasks#dry")["is_milestone"], &row("tasks#dry")["duration"]), (&json!(true), &json!(0)));
    let lags: Vec<_> = contents.of(Collection::Dependencies).filter_map(|(_, edge)| edge["lag"].as_i64()).collect();
    assert_eq!(lags.iter().sum::<i64>(), 15);
    let again = stack.run(&["import", &house(), "--json"]).await;
    let report: Value = serde_json::from_str(&again.output).expect("JSON");
    assert_eq!((&report["made"], &report["there"], again.code), (&json!({}), &json!(14), Some(0)));
    assert_eq!(stack.contents("lakehouse").await, contents);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_in_the_middle_goes_on_and_makes_nothing_twice() {
    // The answer to the second batch never arrives, although it is made.
    let batches = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&batches);
    let stack = Stack::start_with(|router| {
        router.layer(from_fn(move |request: Request, next: Next| {
            let batches = Arc::clone(&counted);
            async move {
                let batch = request.uri().path().ends_with("/batch/");
                let answer = next.run(request).await;
                if batch && batches.fetch_add(1, Ordering::SeqCst) == 1 {
                    tokio::time::sleep(Duration::from_secs(600)).await;
                }
                answer
            }
        }))
    })
    .await;
    let tasks: String = (0..250).map(|n| format!("t{n},Task {n}\n")).collect();
    let edges: String = (1..250).map(|n| format!("t{},t{n}\n", n - 1)).collect();
    let files = Files::new(
        "killed",
        &[
            ("projects.csv", "id,name\nbig,Big\n"),
            ("tasks.csv", &format!("id,name\n{tasks}")),
            ("dependencies.csv", &format!("predecessor,successor\n{edges}")),
        ],
    );
    let mut child = stack.command(&["import", files.path()]).spawn().expect("a command");
    while batches.load(Ordering::SeqCst) < 2 {
        assert!(child.try_wait().expect("a state").is_none(), "ended by itself");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill().and_then(|()| child.wait()).expect("killed");
    let before = stack.contents("big").await;
    assert_eq!((before.of(Collection::Tasks).count(), before.mark), (196, 198));

    let on = stack.run(&["import", files.path(), "--json"]).await;
    let report: Value = serde_json::from_str(&on.output).expect("JSON");
    assert_eq!(
        (&report["made"], &report["there"]),
        (&json!({"tasks": 54, "dependencies": 249}), &json!(197)),
        "{on:?}"
    );
    let after = stack.contents("big").await;
    assert_eq!((after.of(Collection::Tasks).count(), after.of(Collection::Dependencies).count()), (250, 249));
    // Each row was written once: with the membership there are as many rows as versions.
    assert_eq!((after.mark, after.rows.len(), after.dead.len()), (501, 501, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_exported_is_imported_as_the_same_rows_whatever_texts_say() {
    let stack = Stack::start().await;
    let awkward = [
        "=1+1",
        "+49 30 1234",
        "-5",
        "@SUM(A1)",
        "a,b;c\td",
        "\"quoted\" and 'so'",
        "two\nlines",
        "CR\r\nLF and \r alone",
        " blanks around ",
        "Ünïcødé 日本語 🏗\u{200d}♀️",
        "null",
        "true",
        "007",
        "1e3",
        "\\n",
        "#",
        "''",
        "\u{feff}mark",
        "\u{7}\u{1b}[31m",
    ];
    let client = stack.client();
    let post = async |path: &str, body: Value| {
        client.send(axum::http::Method::POST, &format!("/api/v1/projects/{path}"), Some(&body)).await.expect("made");
    };
    post("", json!({"id": "a", "name": awkward[0], "description": awkward.join("\n"), "start_date": "2026-03-02"}))
        .await;
    post("a/memberships/", json!({"user": "mia, \"the\" =one", "role": 100})).await;
    let exceptions: Vec<Value> =
        awkward.iter().map(|text| json!({"start": "2026-03-02", "end": "2026-03-03", "description": text})).collect();
    post("a/calendars/", json!({"id": "c", "name": awkward[4], "hours_per_day": 7.25, "exceptions": exceptions})).await;
    client
        .send(axum::http::Method::PATCH, "/api/v1/projects/a/", Some(&json!({"calendar": "c"})))
        .await
        .expect("patched");
    for (n, text) in awkward.iter().enumerate() {
        post("a/tasks/", json!({"id": format!("t{n}"), "name": text, "notes": text, "duration": n, "is_milestone": n == 0,
            "assignee": if n % 2 == 0 { json!("mia, \"the\" =one") } else { Value::Null }, "wbs_path": format!("1.{}", n + 1)}))
        .await;
    }
    for (n, dep_type) in ["FS", "SS", "FF", "SF"].iter().enumerate() {
        post(
            "a/dependencies/",
            json!({"predecessor": "t0", "successor": format!("t{}", n + 1), "dep_type": dep_type, "lag": -7}),
        )
        .await;
    }
    let files = Files::new("round", &[]);
    let exported = stack.run(&["export", files.path(), "--project", "a"]).await;
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let refused = stack.run(&["import", files.path(), "--project", "b"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.output.starts_with("tasks.csv:2: column assignee: mia, \"the\" =one is no member"), "{refused:?}");
    let imported = stack.run(&["import", files.path(), "--project", "b", "--add-members"]).await;
    assert_eq!((imported.code, imported.errors.as_str()), (Some(0), ""), "{imported:?}");

    let (a, b) = (stack.contents("a").await, stack.contents("b").await);
    for collection in [Collection::Calendars, Collection::Tasks, Collection::Dependencies] {
        assert!(a.of(collection).count() > 0);
        assert_eq!(a.of(collection).collect::<Vec<_>>(), b.of(collection).collect::<Vec<_>>());
    }
    let of_project = |contents: &plan::Contents| contents.of(Collection::Projects).map(|(_, row)| row.clone()).next();
    assert_eq!(of_project(&a), of_project(&b));
    // And the files themselves, the project's id aside.
    let exported_again = Files::new("round-again", &[]);
    stack.run(&["export", exported_again.path(), "--project", "b"]).await;
    for file in ["calendars.csv", "tasks.csv", "dependencies.csv"] {
        let text = |files: &Files| std::fs::read_to_string(files.0.join(file)).expect("a file");
        assert_eq!(text(&files), text(&exported_again), "{file}");
    }
    let kept = stack.run(&["export", files.path(), "--project", "a"]).await;
    assert_eq!(kept.code, Some(2));
    assert!(kept.errors.contains("projects.csv is there already; --force replaces it"), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_fault_in_any_file_nothing_is_written() {
    let stack = Stack::start().await;
    let files = Files::new(
        "faulty",
        &[
            ("projects.csv", "id,name\nfaulty,Faulty\n"),
            ("tasks.csv", "id,name\na,A\nb,B\n"),
            ("dependencies.csv", "predecessor,successor,lag\na,b,0\nb,c,\"1,5\"\n"),
        ],
    );
    let ran = stack.run(&["import", files.path()]).await;
    let expected = "dependencies.csv:3: column lag: must be an integer, is \"1,5\"\n\
                    project faulty: 1 faults, NOTHING WAS WRITTEN\n";
    assert_eq!((ran.code, ran.output.as_str(), ran.errors.as_str()), (Some(1), expected, ""));
    let export = stack.run(&["export", "--json", "--project", "faulty"]).await;
    assert_eq!(export.code, Some(2));
    assert!(export.errors.contains("Is the project's id right?"), "{export:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_server_refuses_is_traced_back_to_its_line() {
    let stack = Stack::start().await;
    stack.run(&["import", &house()]).await;
    let client = stack.client();
    let mia = json!({"user": "mia", "role": 100});
    client
        .send(axum::http::Method::POST, "/api/v1/projects/lakehouse/memberships/", Some(&mia))
        .await
        .expect("a member");
    // A Member makes tasks, but no dependencies.
    let files = Files::new(
        "member",
        &[("tasks.csv", "id,name\nfence,Fence\n"), ("dependencies.csv", "predecessor,successor\nroof,fence\n")],
    );
    let ran = stack.run(&["import", files.path(), "--project", "lakehouse", "--user", "mia"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.output.starts_with("dependencies.csv:2: the server refuses it (role_too_low): This takes at least"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn a_failure_says_what_to_do_and_ends_with_2() {
    let ran_with = async |arguments: &[&str]| ran(command(arguments)).await;
    let nobody = ran_with(&["export", "--json", "--project", "demo", "--url", "http://127.0.0.1:9"]).await;
    assert_eq!((nobody.code, nobody.output.as_str()), (Some(2), ""));
    let expected = "error: http://127.0.0.1:9 cannot be reached: Connection refused (os error 111)\n  \
                    Start it with `local serve` or `local demo`, or name another address with --url.\n";
    assert_eq!(nobody.errors, expected, "without colours, since this is no terminal");
    assert_eq!(ran_with(&["serv"]).await.code, Some(2));
    assert_eq!(ran_with(&[]).await.code, Some(2));
    let unnamed = ran_with(&["restore"]).await;
    assert!(unnamed.code == Some(2) && unnamed.errors.contains("--table-name <TABLE_NAME>"), "{unnamed:?}");
}

/// Ends the process that it started.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[tokio::test]
async fn a_stack_says_where_it_is_and_its_token_is_good_there() {
    let mut serve = command(&["serve", "--json", "--port", "0"]);
    let mut serve = Running(serve.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a command"));
    let mut line = String::new();
    BufReader::new(serve.0.stdout.take().expect("an output")).read_line(&mut line).expect("a line");
    let ready: Value = serde_json::from_str(&line).expect("JSON");
    let text = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
    let client = Client::new(&text("url"), &text("token")).expect("a client");
    let list = client.get("/api/v1/projects/").await.expect("an answer").json().expect("JSON");
    assert_eq!(list["results"], json!([]));
    let verified = ran(command(&["verify", "--dynamodb-url", &text("dynamodb_url")])).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert!(verified.output.ends_with("verdict   sound: everything that was looked at holds\n"), "{verified:?}");
    let token = ran(command(&["token", "--user", "mia", "--json"])).await;
    let token: Value = serde_json::from_str(&token.output).expect("JSON");
    assert!(token["expires_at"].as_u64() > Some(1_790_000_000));
    let as_mia = Client::new(&text("url"), token["token"].as_str().expect("a token")).expect("a client");
    assert_eq!(as_mia.user().as_deref(), Some("mia"));
    as_mia.get("/api/v1/projects/").await.expect("the stack takes it");
}
