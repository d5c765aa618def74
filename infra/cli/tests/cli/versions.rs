//! Watching and pulling.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Running, Stack};

/// A project with four tasks and a dependency, in three commits: at versions 1..2, 3..6, 7.
async fn four_tasks(stack: &Stack) {
    stack.send("POST", "", json!({"id": "p", "name": "P"})).await;
    let task =
        |n| json!({"method": "POST", "path": "tasks/", "body": {"id": format!("t{n}"), "name": format!("Task {n}")}});
    stack.send("POST", "p/batch/", json!({"operations": (0..4).map(task).collect::<Vec<_>>()})).await;
    stack.send("POST", "p/dependencies/", json!({"id": "e", "predecessor": "t0", "successor": "t1"})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_shows_each_commit_with_what_it_did() {
    let stack = Stack::start().await;
    four_tasks(&stack).await;
    let watch = ["watch", "--project", "p", "--dynamodb-url", &stack.dynamodb_url, "--interval", "10"];
    let start = |more: &[&str]| {
        let mut command = stack.command(&[&watch[..], more].concat());
        Running(command.stdout(Stdio::piped()).spawn().expect("a command"))
    };
    let (mut people, mut programs) = (start(&[]), start(&["--json", "--since", "2", "--stage", "prod"]));
    let (mut people, mut programs) = (people.lines(), programs.lines());
    let mut said = || people.next().expect("a line").expect("UTF-8");
    let mut json =
        || -> Value { serde_json::from_str(&programs.next().expect("a line").expect("UTF-8")).expect("JSON") };
    assert_eq!(said(), "project p is at version 7; press Ctrl-C to stop");
    // What was there is history: of it only the last commit can be told.
    let (tasks, edge) = (json(), json());
    assert_eq!((&tasks["versions"], &tasks["one_commit"]), (&json!([3, 6]), &json!(false)));
    assert_eq!((&edge["versions"], &edge["rows"][0]["change"]), (&json!([7, 7]), &json!("created")));

    stack.send("PATCH", "p/tasks/t3/", json!({"name": "Dig\u{1b}[2J"})).await;
    assert_eq!(said().split_once("Z  ").expect("a time").1, "8          tasks ~Dig␛[2J by olga");
    let changed = json();
    assert_eq!((&changed["rows"][0]["id"], &changed["rows"][0]["written"]["by"]), (&json!("t3"), &json!("olga")));
    // printf 'prod:%s' olga | sha256sum | cut -c 1-16
    assert_eq!(changed["rows"][0]["written"]["caller"], "fa2f11e72dcb979e");
    stack.send("DELETE", "p/tasks/t0/", Value::Null).await;
    assert_eq!(said().split_once("Z  ").expect("a time").1, "9..10      tasks -Task 0; dependencies -t0 → t1 by olga");
    let deletion = json();
    assert_eq!((&deletion["versions"], &deletion["one_commit"]), (&json!([9, 10]), &json!(true)));
    let changes: Vec<_> = deletion["rows"].as_array().expect("rows").iter().map(|row| &row["change"]).collect();
    assert_eq!(changes, ["deleted", "deleted"]);
    assert!(deletion["seen_at"].as_str().is_some_and(|at| at.ends_with('Z')));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_shows_rows_deletions_mark_and_cost_and_follows_pages_when_told_to() {
    let stack = Stack::start().await;
    four_tasks(&stack).await;
    stack.send("DELETE", "p/tasks/t3/", Value::Null).await;
    let shown = stack.run(&["pull", "--project", "p", "--since", "3"]).await;
    let expected = "\
tasks  2 updated, 1 deleted
id  server_version  name    duration  percent_complete  notes  status       is_milestone
t1  4               Task 1  1         0                        NOT_STARTED  false
t2  5               Task 2  1         0                        NOT_STARTED  false
deleted  t3

dependencies  1 updated, 0 deleted
id  server_version  predecessor  successor  dep_type  lag
e   7               t0           t1         FS        0

mark  8, from 3
took  first_read, 2 calls, 2.5 read units, 0 write units
";
    assert_eq!((shown.code, shown.output.as_str()), (Some(0), expected), "{shown:?}");
    let one = stack.run(&["pull", "--project", "p", "--limit", "3"]).await;
    assert_eq!(one.output.matches("mark  ").count(), 1, "{one:?}");
    assert!(
        one.output.contains("mark  3, from 0; more changes follow: pass this mark as --since, or use --all"),
        "{one:?}"
    );
    let pages = stack.run(&["pull", "--project", "p", "--limit", "3", "--all", "--json"]).await;
    let marks: Vec<u64> = pages
        .output
        .lines()
        .map(|page| serde_json::from_str::<Value>(page).expect("JSON")["timestamp"].as_u64().expect("a mark"))
        .collect();
    assert_eq!(marks, [3, 7, 8]);
    let stranger = stack.run(&["pull", "--project", "p", "--user", "mia"]).await;
    assert_eq!(stranger.code, Some(2));
    assert!(stranger.errors.contains("call as a member of the project with --user or --token"), "{stranger:?}");
    let ahead = stack.run(&["pull", "--project", "p", "--since", "999"]).await;
    assert!(ahead.code == Some(2) && ahead.errors.contains("Start a full sync"), "{ahead:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_counts_first_and_then_says_what_it_did() {
    let stack = Stack::start().await;
    four_tasks(&stack).await;
    stack.send("POST", "p/memberships/", json!({"user": "mia", "role": 100})).await;
    stack.send("DELETE", "p/tasks/t3/", Value::Null).await;
    let table = ["--table-name", "trueppm", "--dynamodb-url", &stack.dynamodb_url];
    let run = async |what: &[&str]| stack.run(&[&["erase"][..], what, &table[..]].concat()).await;
    let dry = run(&["--user", "mia", "--dry-run"]).await;
    assert!(dry.code == Some(0) && dry.output.contains("memberships  1 removed\n"), "{dry:?}");
    assert!(dry.output.ends_with("dry run: nothing was written\n"), "{dry:?}");
    let done = run(&["--user", "mia", "--json"]).await;
    let report: Value = serde_json::from_str(&done.output).expect("JSON");
    assert_eq!(
        (done.code, &report["removed_memberships"], &report["erased_tombstones"]),
        (Some(0), &json!(1), &json!(1))
    );
    let owner = run(&["--user", "olga"]).await;
    assert!(owner.code == Some(1) && owner.output.contains("the last owner"), "{owner:?}");
    let old = run(&["--deleted-before", "2020-01-01"]).await;
    assert!(old.code == Some(0) && old.output.contains("tombstones   0 erased"), "{old:?}");
    let all = run(&["--deleted-before", "2999-01-01"]).await;
    assert!(all.code == Some(0) && all.output.contains("tombstones   1 erased"), "{all:?}");
    for wrong in [&["--dry-run"][..], &["--user", "a", "--deleted-before", "2020-01-01"], &["--user", "a", "--undated"]]
    {
        assert_eq!(run(wrong).await.code, Some(2), "{wrong:?}");
    }
    let sound = stack.run(&["verify", "--dynamodb-url", &stack.dynamodb_url]).await;
    assert_eq!(sound.code, Some(0), "{sound:?}");
}
