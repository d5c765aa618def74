//! Tests `If-Match`, which allows a change only of the version that the caller has seen.

use serde_json::json;
use shared::domain::Role;
use tests::support::{Answer, TestApp, TestProject};

async fn project() -> TestProject {
    let setup = TestApp::new().await.with_project().with_tasks(2).with_edge("t1", "t2").with_calendar("site");
    setup.with_member("mia", Role::Member).await
}

/// One row of each kind, with two changes to it.
fn rows(project: &TestProject) -> [(String, [serde_json::Value; 2]); 5] {
    let names = || [json!({"name": "one"}), json!({"name": "two"})];
    [
        (String::new(), names()),
        ("tasks/t1".to_owned(), names()),
        ("dependencies/t1-t2".to_owned(), [json!({"lag": 1}), json!({"lag": 2})]),
        ("calendars/site".to_owned(), names()),
        (format!("memberships/{}", project.membership("mia")), [json!({"role": 1}), json!({"role": 200})]),
    ]
}

async fn read(project: &TestProject, row: &str) -> Answer {
    let path = if row.is_empty() { String::new() } else { format!("{row}/") };
    project.get(&path).await.expect(200)
}

#[tokio::test]
async fn a_stale_change_is_refused_with_the_row_as_it_is_and_writes_nothing() {
    let project = project().await;
    for (row, [first, second]) in rows(&project) {
        let seen = read(&project, &row).await.version();
        let changed = project.patch(&row, &first).if_match(seen).await.expect(200);
        for call in [project.patch(&row, &second), project.delete(&row)] {
            let stale = project.refuses(call.if_match(seen), 412, "version_mismatch").await;
            assert_eq!(stale.header("etag"), changed.header("etag"));
            assert_eq!(stale.json()["current"], changed.row());
        }
        assert_eq!(read(&project, &row).await.row(), changed.row());
    }
}

#[tokio::test]
async fn a_stale_change_is_refused_even_when_it_would_change_nothing() {
    let project = project().await;
    let seen = read(&project, "tasks/t1").await.version();
    project.patch("tasks/t1", &json!({"name": "one"})).await.expect(200);
    let same = project.patch("tasks/t1", &json!({"name": "one"})).if_match(seen);
    project.refuses(same, 412, "version_mismatch").await;
}

#[tokio::test]
async fn the_etag_of_an_answer_is_what_the_next_change_takes() {
    let project = project().await;
    for (row, [first, second]) in rows(&project).into_iter().skip(1).rev() {
        let etag = |answer: &Answer| answer.header("etag").expect("an ETag").to_owned();
        let seen = etag(&read(&project, &row).await);
        let first = project.patch(&row, &first).header("if-match", &seen).await.expect(200);
        let second = project.patch(&row, &second).header("if-match", &etag(&first)).await.expect(200);
        project.delete(&row).header("if-match", &etag(&second)).await.expect(204);
        // A deleted row is gone, whichever version the caller names.
        project.writes_nothing(project.delete(&row).header("if-match", &seen)).await.expect(204);
    }
}

#[tokio::test]
async fn a_star_or_one_of_several_etags_will_do() {
    let project = project().await;
    let seen = read(&project, "tasks/t1").await.version();
    let patch = |name: &str| project.patch("tasks/t1", &json!({ "name": name }));
    patch("one").header("if-match", "*").await.expect(200);
    let several = format!("\"{seen}\", \"{}\"", read(&project, "tasks/t1").await.version());
    patch("two").header("if-match", &several).await.expect(200);
    project.refuses(patch("three").header("if-match", &several), 412, "version_mismatch").await;
}

#[tokio::test]
async fn an_if_match_that_is_no_etag_of_ours_is_named() {
    let project = project().await;
    for tag in ["5", "\"x\"", "\"5", ""] {
        let call = project.patch("tasks/t1", &json!({"name": "x"})).header("if-match", tag);
        let answer = project.refuses(call, 400, "invalid_parameter").await;
        assert_eq!(answer.fields(), ["If-Match"], "{tag}");
    }
}

#[tokio::test]
async fn a_weak_tag_is_never_the_rows_and_a_strong_one_beside_it_is() {
    let project = project().await;
    let seen = read(&project, "tasks/t1").await.version();
    for call in [project.patch("tasks/t1", &json!({"name": "one"})), project.delete("tasks/t1")] {
        let weak = call.header("if-match", &format!("W/\"{seen}\""));
        project.refuses(weak, 412, "version_mismatch").await;
    }
    let no_tag = project.patch("tasks/t1", &json!({"name": "one"})).header("if-match", "W/3");
    project.refuses(no_tag, 400, "invalid_parameter").await;
    let both = format!("W/\"1\", \"{seen}\"");
    project.patch("tasks/t1", &json!({"name": "one"})).header("if-match", &both).await.expect(200);
}
