//! Import and export.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use shared::domain::Collection;
use trueppm::plan;

use crate::support::{Files, Stack};

fn house() -> String {
    format!("{}/examples/house", env!("CARGO_MANIFEST_DIR"))
}

/// A text without the blanks that make columns.
fn squeezed(text: &str) -> String {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("\n")
}

/// What the import says, by what its dry run says.
fn as_written(dry_run: &str) -> String {
    let text = squeezed(dry_run).replace("dry run, nothing was written", "imported");
    text.replace("to create", "created").replace("to change", "changed")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_is_imported_once_however_often_it_is_imported() {
    let stack = Stack::start().await;
    let dry = stack.run(&["import", &house(), "--dry-run"]).await;
    let expected = "project lakehouse: dry run, nothing was written\n\
                    rows          to create  to change  unchanged  skipped\n\
                    projects      1          0          0          0\n\
                    tasks         6          0          0          0\n\
                    dependencies  6          0          0          0\n\
                    calendars     1          0          0          0\n";
    assert_eq!(dry.output, expected);
    let first = stack.run(&["import", &house()]).await;
    assert_eq!((first.code, first.errors.as_str()), (Some(0), ""), "{first:?}");
    assert_eq!(squeezed(&first.output), as_written(expected));
    let contents = stack.contents("lakehouse").await;
    let row = |key: &str| &contents.rows[&key.parse().expect("a key")];
    assert_eq!(row("projects#lakehouse")["calendar"], "site");
    assert_eq!(row("tasks#slab")["notes"], "Concrete needs a week above 5 °C\nbefore the frame goes up.");
    assert_eq!((&row("tasks#dry")["is_milestone"], &row("tasks#dry")["duration"]), (&json!(true), &json!(0)));
    let lags: Vec<_> = contents.of(Collection::Dependencies).filter_map(|(_, edge)| edge["lag"].as_i64()).collect();
    assert_eq!(lags.iter().sum::<i64>(), 15);
    let again = stack.run(&["import", &house(), "--json"]).await;
    let report: Value = serde_json::from_str(&again.output).expect("JSON");
    let all = json!({"projects": 1, "calendars": 1, "tasks": 6, "dependencies": 6});
    assert_eq!((&report["made"], &report["unchanged"], again.code), (&json!({}), &all, Some(0)));
    assert_eq!(stack.contents("lakehouse").await, contents);
    // The last thing that an import does; one that was stopped before does it now.
    stack.send("PATCH", "lakehouse/", json!({"calendar": null})).await;
    assert_eq!(stack.run(&["import", &house()]).await.code, Some(0));
    assert_eq!(stack.contents("lakehouse").await.rows, contents.rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_waits_for_a_project_that_is_busy() {
    let refusals = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&refusals);
    let stack = Stack::start_with(|router| {
        router.layer(from_fn(move |request: Request, next: Next| {
            let busy = request.uri().path().ends_with("/batch/") && counted.fetch_add(1, Ordering::SeqCst) < 3;
            async move {
                if busy {
                    return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "0")]).into_response();
                }
                next.run(request).await
            }
        }))
    })
    .await;
    let ran = stack.run(&["import", &house()]).await;
    assert_eq!((ran.code, refusals.load(Ordering::SeqCst)), (Some(0), 4), "{ran:?}");
    assert_eq!(stack.contents("lakehouse").await.of(Collection::Tasks).count(), 6);
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
        (&report["made"], &report["unchanged"]),
        (&json!({"tasks": 54, "dependencies": 249}), &json!({"projects": 1, "tasks": 196})),
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
    let post = async |path: &str, body: Value| stack.send("POST", path, body).await;
    post("", json!({"id": "a", "name": awkward[0], "description": awkward.join("\n"), "start_date": "2026-03-02"}))
        .await;
    post("a/memberships/", json!({"user": "mia, \"the\" =one", "role": 100})).await;
    let exceptions: Vec<Value> =
        awkward.iter().map(|text| json!({"start": "2026-03-02", "end": "2026-03-03", "description": text})).collect();
    post("a/calendars/", json!({"id": "c", "name": awkward[4], "hours_per_day": 7.25, "exceptions": exceptions})).await;
    stack.send("PATCH", "a/", json!({"calendar": "c"})).await;
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
    assert!(
        refused.output.starts_with("tasks.csv:2: column assignee: mia, \"the\" =one is not a member"),
        "{refused:?}"
    );
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
    assert!(kept.errors.contains("projects.csv already exists; use --force to replace it"), "{kept:?}");
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
    let expected = "dependencies.csv:3: column lag: must be an integer; it is \"1,5\"\n\
                    project faulty: 1 problem, NOTHING WAS WRITTEN\n";
    assert_eq!((ran.code, ran.output.as_str(), ran.errors.as_str()), (Some(1), expected, ""));
    let nameless = Files::new("nameless", &[("projects.csv", "name\nFaulty\n")]);
    let ran = stack.run(&["import", nameless.path(), "--project", "faulty"]).await;
    assert_eq!(
        (ran.code, ran.output.lines().next()),
        (Some(1), Some("projects.csv:1: column id: is required")),
        "{ran:?}"
    );
    let export = stack.run(&["export", "--json", "--project", "faulty"]).await;
    assert_eq!(export.code, Some(2));
    assert!(export.errors.contains("Check the project id"), "{export:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_server_refuses_is_traced_back_to_its_line() {
    let stack = Stack::start_with(|router| {
        router.layer(from_fn(|request: Request, next: Next| async move {
            match request.uri().path() == "/api/v1/projects/full/batch/" {
                true => {
                    let problem = json!({"code": "quota_exceeded", "detail": "Operation 1: A project can have at most 1 tasks.",
                        "operation": 1});
                    (StatusCode::CONFLICT, problem.to_string()).into_response()
                }
                false => next.run(request).await,
            }
        }))
    })
    .await;
    let files = Files::new("full", &[("projects.csv", "id,name\nfull,F\n"), ("tasks.csv", "id,name\na,A\nb,B\n")]);
    let ran = stack.run(&["import", files.path()]).await;
    let expected = "tasks.csv:3: refused by the server (quota_exceeded): A project can have at most 1 tasks.\n\
                    project full: 1 problem. What is counted below was written before that. Correct the files and run the import \
                    again; it continues\n\
                    Written: every row up to projects.csv:2\n\
                    rows      created  changed  unchanged  skipped\n\
                    projects  1        0        0          0\n";
    assert_eq!((ran.code, ran.output.as_str()), (Some(1), expected), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_knows_the_callers_role_and_ends_as_the_import_does() {
    let stack = Stack::start().await;
    stack.run(&["import", &house()]).await;
    stack.send("POST", "lakehouse/memberships/", json!({"user": "mia", "role": 100})).await;
    stack.send("POST", "lakehouse/memberships/", json!({"user": "adam", "role": 300})).await;
    let files = Files::new(
        "member",
        &[
            ("tasks.csv", "id,name,assignee\nfence,Fence,zoe\n"),
            ("dependencies.csv", "predecessor,successor\nroof,fence\n"),
            ("calendars.csv", "id,name\nc,C\n"),
        ],
    );
    let before = stack.contents("lakehouse").await.mark;
    let import = ["import", files.path(), "--project", "lakehouse", "--add-members"];
    for options in [vec!["--user", "mia", "--dry-run"], vec!["--user", "mia"]] {
        let ran = stack.run(&[&import[..], &options[..]].concat()).await;
        let expected = "calendars.csv:2: writing calendars needs the role Admin (300), but mia is Member (100); ask an admin of the \
                        project\n\
                        dependencies.csv:2: writing dependencies needs the role Scheduler (200), but mia is Member (100); ask an admin \
                        of the project\n\
                        --add-members: writing memberships needs the role Admin (300), but mia is Member (100); ask an admin of the \
                        project\n\
                        project lakehouse: 3 problems, NOTHING WAS WRITTEN\n";
        assert_eq!((ran.code, ran.output.as_str()), (Some(1), expected), "{ran:?}");
    }
    // A Member may import tasks.
    let tasks = Files::new("member-tasks", &[("tasks.csv", "id,name\ngate,Gate\n")]);
    assert_eq!(stack.contents("lakehouse").await.mark, before);
    for options in [["--user", "mia"], ["--user", "adam"]] {
        let ran = stack.run(&[&["import", tasks.path(), "--project", "lakehouse"], &options[..]].concat()).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    let admin = stack.run(&[&import[..], &["--user", "adam"]].concat()).await;
    assert_eq!(admin.code, Some(0), "{admin:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_cannot_finish_says_what_was_written_and_goes_on() {
    // The second batch is made, but the answer says that nobody knows.
    let batches = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&batches);
    let stack = Stack::start_with(|router| {
        router.layer(from_fn(move |request: Request, next: Next| {
            let second = request.uri().path().ends_with("/batch/") && counted.fetch_add(1, Ordering::SeqCst) == 1;
            async move {
                let answer = next.run(request).await;
                if second { (StatusCode::BAD_GATEWAY, "").into_response() } else { answer }
            }
        }))
    })
    .await;
    let tasks: String = (0..250).map(|n| format!("t{n},Task {n}\n")).collect();
    let files =
        Files::new("stopped", &[("projects.csv", "id,name\nbig,Big\n"), ("tasks.csv", &format!("id,name\n{tasks}"))]);
    let ran = stack.run(&["import", files.path()]).await;
    let expected = "project big: the import stopped\n\
                    Written: every row up to tasks.csv:99\n\
                    Not known: whether the rows that were sent last, from tasks.csv:100 to tasks.csv:197, were written, all of them or none\n\
                    rows      created  changed  unchanged  skipped\n\
                    projects  1        0        0          0\n\
                    tasks     98       0        0          0\n";
    assert_eq!((ran.code, ran.output.as_str()), (Some(2), expected), "{ran:?}");
    assert!(
        ran.errors.ends_with("Then run the same command again. It finds what was written and continues behind it.\n"),
        "{ran:?}"
    );
    let on = stack.run(&["import", files.path(), "--json"]).await;
    let report: Value = serde_json::from_str(&on.output).expect("JSON");
    assert_eq!((&report["made"], &report["unchanged"]["tasks"]), (&json!({"tasks": 54}), &json!(196)));
}

#[tokio::test(flavor = "multi_thread")]
async fn update_changes_what_differs_shows_it_before_and_overwrites_nobody() {
    let stack = Stack::start().await;
    stack.run(&["import", &house()]).await;
    let files = Files::new(
        "update",
        &[
            ("projects.csv", "id,name,calendar\nlakehouse,House,\n"),
            ("calendars.csv", "id,name,hours_per_day\nsite,Site,8\n"),
            ("tasks.csv", "id,name,duration\npermit,Permit,25\nroof,Roof,9\nshed,Shed,0\n"),
            ("dependencies.csv", "predecessor,successor,lag\nslab,frame,2\n"),
        ],
    );
    let refused = stack.run(&["import", files.path()]).await;
    assert_eq!(refused.code, Some(1));
    let first = "tasks.csv:2: column name: permit already exists in the project, with \"Building permit\" here; use --update to change it";
    assert!(refused.output.contains(first), "{refused:?}");
    let before = stack.contents("lakehouse").await;
    let dry = stack.run(&["import", files.path(), "--update", "--dry-run"]).await;
    let expected = "change: projects.csv:2: projects lakehouse: calendar: \"site\" -> null\n\
                    change: projects.csv:2: projects lakehouse: name: \"House by the lake\" -> \"House\"\n\
                    change: calendars.csv:2: calendars site: hours_per_day: 7.5 -> 8.0\n\
                    change: tasks.csv:2: tasks permit: duration: 20 -> 25\n\
                    change: tasks.csv:2: tasks permit: name: \"Building permit\" -> \"Permit\"\n\
                    change: dependencies.csv:2: dependencies";
    assert!(dry.output.starts_with(expected), "{}", dry.output);
    assert!(dry.output.contains("tasks         1          1          1          0\n"), "{}", dry.output);
    assert_eq!((dry.code, &stack.contents("lakehouse").await), (Some(0), &before));
    let ran = stack.run(&["import", files.path(), "--update"]).await;
    assert_eq!((ran.code, ran.errors.as_str()), (Some(0), ""), "{ran:?}");
    let after = stack.contents("lakehouse").await;
    let row = |key: &str| &after.rows[&key.parse().expect("a key")];
    assert_eq!(
        (&row("tasks#permit")["duration"], &row("tasks#permit")["planned_start"]),
        (&json!(25), &json!("2026-03-02"))
    );
    assert_eq!(
        (&row("projects#lakehouse")["name"], &row("projects#lakehouse")["calendar"]),
        (&json!("House"), &Value::Null)
    );
    assert_eq!(row("calendars#site")["hours_per_day"], json!(8.0));
    let again = stack.run(&["import", files.path(), "--update", "--json"]).await;
    let report: Value = serde_json::from_str(&again.output).expect("JSON");
    assert_eq!((&report["made"], &report["changed"]), (&json!({}), &json!({})));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_dry_run_of_an_update_lets_pass_the_server_accepts() {
    let stack = Stack::start().await;
    let tasks = ("tasks.csv", "id,name\na,A\nb,B\nc,C\nd,D\nx,X\ny,Y\nz,Z\n");
    let edges = "id,predecessor,successor\nab,a,b\ncd,c,d\nac,a,c\nxy,x,y\n";
    let first = Files::new("moves", &[("projects.csv", "id,name\nmoves,M\n"), tasks, ("dependencies.csv", edges)]);
    assert_eq!(stack.run(&["import", first.path()]).await.code, Some(0));
    let update = async |name: &str, edges: &str| {
        let edges = format!("id,predecessor,successor\n{edges}");
        let files = Files::new(name, &[("dependencies.csv", &edges)]);
        let dry = stack.run(&["import", files.path(), "--project", "moves", "--update", "--dry-run"]).await;
        let ran = stack.run(&["import", files.path(), "--project", "moves", "--update"]).await;
        assert_eq!((dry.code, as_written(&dry.output)), (ran.code, squeezed(&ran.output)), "{ran:?}");
        (ran.code, ran.output.lines().next().unwrap_or_default().to_owned())
    };
    let links = async || -> Vec<String> {
        let contents = stack.contents("moves").await;
        let text = |row: &Value| row.as_str().unwrap_or_default().to_owned();
        let links = contents.of(Collection::Dependencies);
        links.map(|(id, row)| format!("{id} {} {}", text(&row["predecessor"]), text(&row["successor"]))).collect()
    };
    // In the order of the file the first is a duplicate, the second closes a cycle, and the third is a duplicate.
    assert_eq!(update("moved", "new,a,b\nxy,c,a\nab,c,d\ncd,z,b\nac,y,z\n").await.0, Some(0));
    assert_eq!(links().await, ["ab c d", "ac y z", "cd z b", "new a b", "xy c a"]);
    let (code, said) = update("exchanged", "ab,z,b\ncd,c,d\n").await;
    assert_eq!(code, Some(1));
    assert!(said.starts_with("dependencies.csv:2: ") && said.ends_with("; use the id cd in this line"), "{said}");
    assert_eq!(links().await, ["ab c d", "ac y z", "cd z b", "new a b", "xy c a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_waits_for_later_lines_does_not_count_as_written_before_it_is() {
    // The last batch never comes to the functions, and the answer says that nobody knows.
    let stack = Stack::start_with(|router| {
        router.layer(from_fn(async |request: Request, next: Next| {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
            if parts.uri.path().ends_with("/batch/") && String::from_utf8_lossy(&body).contains("\"new\"") {
                return (StatusCode::BAD_GATEWAY, "").into_response();
            }
            next.run(Request::from_parts(parts, body.into())).await
        }))
    })
    .await;
    let tasks: String = (0..120).map(|n| format!("t{n},Task {n}\n")).collect();
    let edges = |lag: u8| (1..120).map(|n| format!("e{n},t{},t{n},{lag}\n", n - 1)).collect::<String>();
    let header = "id,predecessor,successor,lag\n";
    let plan = [
        ("projects.csv", "id,name\nwaits,W\n"),
        ("tasks.csv", &format!("id,name\n{tasks}")),
        ("dependencies.csv", &format!("{header}{}", edges(0))),
    ];
    assert_eq!(stack.run(&["import", Files::new("waits", &plan).path()]).await.code, Some(0));
    let files = Files::new("waits-on", &[("dependencies.csv", &format!("{header}new,t0,t2,0\n{}", edges(1)))]);
    let ran = stack.run(&["import", files.path(), "--project", "waits", "--update"]).await;
    let said: Vec<&str> = ran.output.lines().filter(|line| line.contains("ritten") || line.contains("Not")).collect();
    let expected = "Not known: whether the rows that were sent last, from dependencies.csv:2 to dependencies.csv:121, were written, \
                    all of them or none";
    assert_eq!((ran.code, said), (Some(2), vec![expected]), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_on_top_of_somebody_elses_change_is_a_conflict_in_its_line() {
    // Between the import's look at the project and its write, somebody renames the task.
    let stack = Stack::start_with(|router| {
        let behind = router.clone();
        router.layer(from_fn(move |request: Request, next: Next| {
            let behind = behind.clone();
            async move {
                if request.uri().path().ends_with("/batch/") {
                    let mut rename = Request::builder().method("PATCH").uri("/api/v1/projects/lakehouse/tasks/roof/");
                    for name in ["authorization", "content-type"] {
                        rename = rename.header(name, &request.headers()[name]);
                    }
                    let rename = rename
                        .body(axum::body::Body::from(json!({"name": "Green roof"}).to_string()))
                        .expect("a request");
                    tower::ServiceExt::oneshot(behind, rename).await.expect("renamed");
                }
                next.run(request).await
            }
        }))
    })
    .await;
    let direct = [("projects.csv", "id,name\nlakehouse,House\n")];
    stack.run(&["import", Files::new("conflict-project", &direct).path()]).await;
    stack.send("POST", "lakehouse/tasks/", json!({"id": "roof", "name": "Roof"})).await;
    let files = Files::new("conflict", &[("tasks.csv", "id,name\nroof,Flat roof\n")]);
    let ran = stack.run(&["import", files.path(), "--project", "lakehouse", "--update"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.output.starts_with("tasks.csv:2: refused by the server (sync_conflict)"), "{ran:?}");
    assert_eq!(stack.contents("lakehouse").await.rows[&"tasks#roof".parse().expect("a key")]["name"], "Green roof");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_not_read_are_faults_with_the_likely_name() {
    let stack = Stack::start().await;
    let import = async |files: &[(&str, &str)]| {
        let all = [&[("projects.csv", "id,name\nnames,N\n"), (".DS_Store", "")], files].concat();
        let files = Files::new("names", &all);
        let dry = stack.run(&["import", files.path(), "--dry-run"]).await;
        let ran = stack.run(&["import", files.path()]).await;
        assert_eq!(dry.code, ran.code, "{dry:?}");
        (ran.code, ran.output)
    };
    let is = |name: &str, meant: &str| {
        format!(
            "{name}: is not the name of a plan's file; is it {meant}? Rename it, or move it away\n\
             project names: 1 problem, NOTHING WAS WRITTEN\n"
        )
    };
    assert_eq!(import(&[("dependancies.csv", "")]).await, (Some(1), is("dependancies.csv", "dependencies.csv")));
    assert_eq!(import(&[("Tasks.csv", "")]).await, (Some(1), is("Tasks.csv", "tasks.csv")));
    assert_eq!(import(&[("tasks.csv.txt", "")]).await, (Some(1), is("tasks.csv.txt", "tasks.csv")));
    let (code, other) = import(&[("budget.xlsx", "")]).await;
    assert!(
        code == Some(1) && other.starts_with("budget.xlsx: is not read; the files of a plan are projects.csv,"),
        "{other}"
    );
    let (code, notes) = import(&[("README.md", "")]).await;
    assert!(code == Some(0) && notes.starts_with("warning: README.md: is not read;"), "{notes}");
    let broken = Files::new("quote", &[("projects.csv", "id,name\nquote,Q\n"), ("tasks.csv", "id,name\na,\"A\nb,B\n")]);
    for options in [vec!["--dry-run"], vec![]] {
        let ran = stack.run(&[&["import", broken.path()], &options[..]].concat()).await;
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(
            ran.output.starts_with("tasks.csv:2: column name: at character 3: this quote is never closed"),
            "{ran:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_others_can_control_a_terminal_or_a_spreadsheet() {
    let stack = Stack::start().await;
    let orders = "\u{1b}]0;x\u{7}\u{9b}2J\u{202e}txt";
    stack.send("POST", "", json!({"id": "inert", "name": "=1+1"})).await;
    stack.send("POST", "inert/tasks/", json!({"id": "a", "name": orders, "notes": "@x"})).await;
    stack.send("POST", "inert/tasks/", json!({"id": "-b", "name": "plain", "wbs_path": "1"})).await;
    let inert = |text: &str| !text.chars().any(|sign| (sign.is_control() && sign != '\n') || sign == '\u{202e}');
    let header =
        Files::new("inert", &[("tasks.csv", &format!("id,{orders}\na,x\n")), (&format!("task{orders}.csv"), "")]);
    let update = Files::new("inert-update", &[("tasks.csv", "id,name,notes\na,\u{202d}B,\"\u{1b}\"\n")]);
    let long = Files::new(
        "inert-xml",
        &[("plan.xml", &format!("<Project><Tasks><Task><UID>{orders}</UID></Task></Tasks></Project>"))],
    );
    for arguments in [
        vec!["import", header.path(), "--project", "inert"],
        vec!["import", update.path(), "--project", "inert", "--update", "--dry-run"],
        vec!["import", update.path(), "--project", "inert", "--update", "--dry-run", "--json"],
        vec!["import", long.0.join("plan.xml").to_str().expect("UTF-8"), "--project", "inert"],
        vec!["import", &format!("no{orders}"), "--project", "inert"],
        vec!["export", "--json", "--project", "inert"],
        vec!["pull", "--project", "inert"],
    ] {
        let ran = stack.run(&arguments).await;
        assert!(inert(&ran.output) && inert(&ran.errors), "{arguments:?} {ran:?}");
        assert!((ran.output + &ran.errors).contains("202"), "it is shown: {arguments:?}");
    }
    let files = Files::new("spreadsheet", &[]);
    stack.run(&["export", files.path(), "--project", "inert", "--for-spreadsheets"]).await;
    let text = |file: &str| std::fs::read_to_string(files.0.join(file)).expect("a file");
    assert!(text("projects.csv").contains("inert,'=1+1,"), "{}", text("projects.csv"));
    assert!(text("tasks.csv").contains("\n'-b,plain,1,1,0,,,NOT_STARTED"), "{}", text("tasks.csv"));
    assert!(text("tasks.csv").contains(",'@x,"), "{}", text("tasks.csv"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_more_than_100_mb_and_one_that_is_no_plan_are_refused() {
    let stack = Stack::start().await;
    let files = Files::new("large", &[("bomb.xml", "<!DOCTYPE a [<!ENTITY a \"b\">]>\n<Project/>"), ("plan.mpp", "")]);
    let file = std::fs::File::create(files.0.join("large.xml")).expect("a file");
    file.set_len(100_000_001).expect("a length");
    let run = async |file: &str| {
        let ran = stack.run(&["import", files.0.join(file).to_str().expect("UTF-8"), "--dry-run"]).await;
        assert_eq!(ran.code, Some(2), "{ran:?}");
        ran.output + &ran.errors
    };
    assert!(run("large.xml").await.starts_with("error: large.xml has 100000001 bytes; a plan may have 100000000."));
    assert!(run("bomb.xml").await.starts_with("bomb.xml:1: has a DTD, which is refused; save it without\n"));
    assert!(run("plan.mpp").await.ends_with("pass the directory, or save the plan as XML\n"));
    assert!(run("none.xml").await.contains("No such file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_goes_to_xml_and_back_with_all_that_both_know() {
    let stack = Stack::start().await;
    let example = |file: &str| format!("{}/examples/{file}", env!("CARGO_MANIFEST_DIR"));
    let (boathouse, users) = (example("boathouse.xml"), example("users.csv"));
    let import = ["import", &boathouse, "--map-users", &users, "--add-members"];
    let dry = stack.run(&[&import[..], &["--dry-run"]].concat()).await;
    assert_eq!(dry.code, Some(0), "{dry:?}");
    let ran = stack.run(&import).await;
    assert_eq!((ran.code, ran.errors.as_str()), (Some(0), ""), "{ran:?}");
    assert_eq!(squeezed(&ran.output), as_written(&dry.output));
    let again = stack.run(&["import", &boathouse, "--map-users", &users, "--json"]).await;
    let report: Value = serde_json::from_str(&again.output).expect("JSON");
    assert_eq!((&report["made"], &report["unchanged"]["tasks"]), (&json!({}), &json!(7)), "{again:?}");

    // And what no other program knows: awkward texts, ids, a calendar with odd hours, a task without a place in the outline.
    stack
        .send(
            "POST",
            "boathouse/calendars/",
            json!({"id": "odd", "name": "Odd <&>", "hours_per_day": 7.33, "working_days": 65,
        "exceptions": [{"start": "2026-01-01", "end": "2026-01-02", "description": "\"New\" year"}]}),
        )
        .await;
    stack.send("PATCH", "boathouse/", json!({"calendar": "odd", "description": " a\r\nb "})).await;
    let notes = "<b>]]>&amp;\r\n\t\"'\r 🏗\n";
    stack
        .send(
            "POST",
            "boathouse/tasks/",
            json!({"id": "loose", "name": " =1 ", "notes": notes, "duration": 3, "status": "ON_HOLD"}),
        )
        .await;
    stack
        .send(
            "POST",
            "boathouse/tasks/",
            json!({"id": "bell", "name": "\u{7}", "wbs_path": "7.1", "most_likely_duration": 4}),
        )
        .await;
    stack
        .send(
            "POST",
            "boathouse/dependencies/",
            json!({"id": "own", "predecessor": "loose", "successor": "task-8", "dep_type": "SF", "lag": -3}),
        )
        .await;
    let files = Files::new("xml", &[]);
    let file = files.0.join("again.xml");
    let file = file.to_str().expect("UTF-8");
    let exported = stack.run(&["export", file, "--project", "boathouse"]).await;
    assert_eq!(exported.code, Some(0), "{exported:?}");
    for left in [
        "tasks loose: status ON_HOLD",
        "tasks bell: most_likely_duration 4",
        "Name \"\\u{7}\": characters that XML has no place for",
    ] {
        assert!(exported.output.contains(&format!("left out: {left}\n")), "{left}: {exported:?}");
    }
    assert!(exported.output.ends_with("again.xml: 9 tasks, 6 links, 2 calendars\n"), "{exported:?}");
    let refused = stack.run(&["export", file, "--project", "boathouse"]).await;
    assert!(refused.code == Some(2) && refused.errors.contains("use --force"), "{refused:?}");

    std::fs::write(files.0.join("users.csv"), "resource,user\nmia,mia\n").expect("a file");
    let users = files.0.join("users.csv");
    let users = users.to_str().expect("UTF-8");
    let back = stack.run(&["import", file, "--map-users", users, "--add-members", "--json"]).await;
    let report: Value = serde_json::from_str(&back.output).expect("JSON");
    assert_eq!(
        (back.code, &report["left_out"], &report["warnings"].as_array().map(Vec::len)),
        (Some(0), &json!([]), &Some(1)),
        "{back:?}"
    );
    let (first, second) = (stack.contents("boathouse").await, stack.contents("again").await);
    let of = |contents: &plan::Contents, collection: Collection| -> Vec<Value> {
        let known = |(id, row): (&shared::domain::RowId, &shared::domain::Columns)| {
            let mut row = row.clone();
            // The other format has no ids of links and calendars, and these rows lose a column each.
            match (collection, id.as_str()) {
                (Collection::Tasks, "loose") => row.remove("status"),
                (Collection::Tasks, "bell") => row.remove("name").and(row.remove("most_likely_duration")),
                (Collection::Projects, _) => row.remove("calendar"),
                _ => None,
            };
            if collection == Collection::Tasks {
                row.insert("id".to_owned(), id.as_str().into());
            }
            Value::Object(row)
        };
        let mut rows: Vec<Value> = contents.of(collection).map(known).collect();
        rows.sort_by_key(ToString::to_string);
        rows
    };
    for collection in [Collection::Projects, Collection::Calendars, Collection::Tasks, Collection::Dependencies] {
        assert_eq!(of(&first, collection), of(&second, collection), "{collection:?}");
    }
    // Into the project that it is from, it is all there, but for what was lost.
    let same = stack
        .run(&["import", file, "--map-users", users, "--project", "boathouse", "--update", "--dry-run", "--json"])
        .await;
    let report: Value = serde_json::from_str(&same.output).expect("JSON");
    assert_eq!((&report["made"], &report["changed"]), (&json!({}), &json!({"tasks": 1})), "{same:?}");
}
