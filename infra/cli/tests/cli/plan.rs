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
use trueppm::csv;

use crate::support::{Files, Stack};

fn house() -> String {
    format!("{}/examples/house", env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_is_imported_once_however_often_it_is_imported() {
    let stack = Stack::start().await;
    let dry = stack.run(&["import", &house(), "--dry-run"]).await;
    assert_eq!(
        dry.output,
        "project lakehouse: would create 1 calendars, 6 dependencies, 1 projects, 6 tasks; 0 rows already exist\n"
    );
    let first = stack.run(&["import", &house()]).await;
    assert_eq!((first.code, first.errors.as_str()), (Some(0), ""), "{first:?}");
    assert_eq!(
        first.output,
        "project lakehouse: created 1 calendars, 6 dependencies, 1 projects, 6 tasks; 0 rows already existed\n"
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
    let of_project = |contents: &csv::Contents| contents.of(Collection::Projects).map(|(_, row)| row.clone()).next();
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
    let stack = Stack::start().await;
    stack.run(&["import", &house()]).await;
    stack.send("POST", "lakehouse/memberships/", json!({"user": "mia", "role": 100})).await;
    // A Member makes tasks, but no dependencies.
    let files = Files::new(
        "member",
        &[("tasks.csv", "id,name\nfence,Fence\n"), ("dependencies.csv", "predecessor,successor\nroof,fence\n")],
    );
    let ran = stack.run(&["import", files.path(), "--project", "lakehouse", "--user", "mia"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.output.starts_with("dependencies.csv:2: refused by the server (role_too_low): This request needs the role"),
        "{ran:?}"
    );
}
