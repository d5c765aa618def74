//! Tests lists, page by page.

use axum::http::Method;
use serde_json::{Value, json};
use shared::domain::Role;
use tests::support::{OWNER, TestApp, TestProject};

use crate::cost::Cost;

fn ids(page: &Value) -> Vec<String> {
    let results = page["results"].as_array().expect("an array");
    results.iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
}

/// Follows `next` from the first page on.
async fn pages(project: &TestProject, first: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = Some(format!("/api/v1/projects/{}/{first}", project.id));
    while let Some(path) = next {
        let page = project.app.call(Method::GET, &path).by(OWNER).await.expect(200).json();
        assert_eq!(page.as_object().map(|page| page.len()), Some(2), "results and next");
        pages.push(ids(&page));
        next = page["next"].as_str().map(str::to_owned);
    }
    pages
}

#[tokio::test]
async fn a_list_is_cut_into_pages_of_the_limit_with_each_row_once_in_the_order_of_ids() {
    let project = TestApp::new().await.with_project().with_tasks(7).await;
    assert_eq!(pages(&project, "tasks/?limit=3").await, [vec!["t1", "t2", "t3"], vec!["t4", "t5", "t6"], vec!["t7"]]);
    assert_eq!(pages(&project, "tasks?limit=7").await.len(), 1, "no page after the last row");
    assert_eq!(pages(&project, "tasks/").await.len(), 1);
}

#[tokio::test]
async fn tombstones_neither_show_up_in_a_list_nor_shorten_its_pages() {
    let project = TestApp::new().await.with_project().with_tasks(9).await;
    for task in ["t2", "t3", "t4", "t5", "t8", "t9"] {
        project.delete(&format!("tasks/{task}")).await.expect(204);
    }
    assert_eq!(pages(&project, "tasks/?limit=2").await, [vec!["t1", "t6"], vec!["t7"]]);
}

#[tokio::test]
async fn a_list_holds_its_own_collection_only() {
    let setup = TestApp::new().await.with_project().with_tasks(2).with_edge("t1", "t2").with_calendar("site");
    let project = setup.with_member("mia", Role::Viewer).await;
    assert_eq!(pages(&project, "tasks/").await, [["t1", "t2"]]);
    assert_eq!(pages(&project, "dependencies/").await, [["t1-t2"]]);
    assert_eq!(pages(&project, "calendars/").await, [["site"]]);
    let mut members = vec![project.membership(OWNER), project.membership("mia")];
    members.sort_unstable();
    assert_eq!(pages(&project, "memberships/").await, [members]);
}

#[tokio::test]
async fn a_page_has_a_hundred_rows_unless_it_says_otherwise() {
    let project = TestApp::new().await.with_project().with_tasks(101).await;
    let sizes: Vec<usize> = pages(&project, "tasks/").await.iter().map(Vec::len).collect();
    assert_eq!(sizes, [100, 1]);
}

/// The number of rows on a page, and the number of calls to the table.
async fn listed(project: &TestProject, path: &str) -> (usize, u32) {
    let answer = project.get(path).await.expect(200);
    (ids(&answer.json()).len(), Cost::of(&answer).calls)
}

#[tokio::test]
async fn a_list_takes_few_calls_though_many_tombstones_lie_before_the_rows() {
    let project = TestApp::new().await.with_project().await;
    let operations = |method: &str, body: fn(String) -> Value| {
        let of_a_batch = |first: usize| {
            (first..first + 95)
                .map(|n| body(format!("a{n:03}")))
                .map(|op| json!({"method": method, "path": op["path"], "body": op["body"]}))
                .collect::<Vec<_>>()
        };
        (0..10).map(|batch| of_a_batch(batch * 95)).collect::<Vec<_>>()
    };
    for batch in operations("POST", |id| json!({"path": "tasks/", "body": {"id": id, "name": "Dig"}})) {
        project.post("batch", &json!({"operations": batch})).await.expect(200);
    }
    for batch in operations("DELETE", |id| json!({"path": format!("tasks/{id}/")})) {
        let batch: Vec<Value> = batch.iter().map(|op| json!({"method": op["method"], "path": op["path"]})).collect();
        project.post("batch", &json!({"operations": batch})).await.expect(200);
    }
    for id in ["z1", "z2", "z3"] {
        project.create("tasks", json!({"id": id, "name": "Dig"})).await;
    }
    for (limit, rows) in [(1, 1), (2, 2), (100, 3), (1_000, 3)] {
        let (listed, calls) = listed(&project, &format!("tasks/?limit={limit}")).await;
        // 950 tombstones are in calls of 100, 100, 200, 400 and 800 items, with the membership before and after them.
        assert!(listed == rows && calls <= 7, "limit {limit}: {listed} rows, {calls} calls");
    }
    assert_eq!(pages(&project, "tasks/?limit=2").await, [vec!["z1", "z2"], vec!["z3"]]);
}

#[tokio::test]
async fn a_list_stops_reading_when_its_answer_is_full() {
    let project = TestApp::new().await.with_project().await;
    for n in 0..60 {
        project.create("tasks", json!({"id": format!("t{n:02}"), "name": "Dig", "notes": "🍉".repeat(50_000)})).await;
    }
    // 5 MB of rows of 200 kB are 24 rows, and a call reads 1 MB of them.
    let (rows, calls) = listed(&project, "tasks/?limit=1000").await;
    assert!(rows == 24 && (6..=8).contains(&calls), "{rows} rows, {calls} calls");
}

#[tokio::test]
async fn a_limit_outside_1_to_1000_or_a_strange_cursor_is_named() {
    let project = TestApp::new().await.with_project().await;
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=a/b", "cursor"),
        ("cursor=", "cursor"),
        ("cursor=a&cursor=b", "cursor"),
    ] {
        for list in [format!("/api/v1/projects/{}/tasks/", project.id), "/api/v1/projects/".to_owned()] {
            let call = project.app.call(Method::GET, &format!("{list}?{query}")).by(OWNER);
            let answer = project.refuses(call, 400, "invalid_parameter").await;
            assert_eq!(answer.fields(), [field], "{query}");
        }
    }
    let listed = project.get("tasks/?limit=1000&unknown=1").await.expect(200).json();
    assert_eq!(listed, json!({"results": [], "next": null}));
}

#[tokio::test]
async fn a_list_that_does_not_fit_one_response_goes_on_behind_what_does() {
    let project = TestApp::new().await.with_project().await;
    for n in 0..34 {
        project.create("tasks", json!({"id": format!("t{n:02}"), "name": "Dig", "notes": "\"ä".repeat(25_000)})).await;
    }
    for n in 34..60 {
        project.create("tasks", json!({"id": format!("t{n:02}"), "name": "Dig", "notes": "🍉".repeat(50_000)})).await;
    }
    let mut ids = Vec::new();
    let mut next = Some(format!("/api/v1/projects/{}/tasks/?limit=60", project.id));
    let mut pages = 0;
    while let Some(path) = next {
        let answer = project.app.call(Method::GET, &path).by(OWNER).await.expect(200);
        let escaped = serde_json::to_string(&answer.text).expect("JSON").len();
        assert!(escaped < 6_291_556, "{escaped} bytes");
        let page = answer.json();
        ids.extend(page["results"].as_array().expect("rows").iter().map(|row| row["id"].clone()));
        next = page["next"].as_str().map(str::to_owned);
        pages += 1;
    }
    assert_eq!(ids, (0..60).map(|n| json!(format!("t{n:02}"))).collect::<Vec<_>>());
    assert!(pages > 1);
}
