//! Tests deltas that do not fit into one response.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use lambda_http::request::LambdaRequest;
use lambda_http::{Context, LambdaEvent};
use ops::restore::RAISE;
use serde_json::{Value, json};
use shared::domain::{Counter, ServerVersion};
use tests::support::{Answer, Device, OWNER, Pull, TestApp, TestProject, TestTable};
use tower::Service;

use crate::cost::Cost;

/// Each page with its mark, from `since` to the end, as a looping client asks.
async fn pages(project: &TestProject, since: u64, limit: usize) -> Vec<Pull> {
    let mut device = Device { mark: since, ..Device::default() };
    let mut pages = Vec::new();
    loop {
        let page = device.synchronize(project, Some(limit)).await;
        let done = !page.has_more;
        pages.push(page);
        if done {
            return pages;
        }
    }
}

#[tokio::test]
async fn a_delta_that_exceeds_the_limit_is_cut_at_a_rows_version_and_says_so() {
    let project = TestApp::new().await.with_project().with_tasks(8).await;
    // Versions 3 and 5 belong to no row any more.
    project.patch("tasks/t1", &json!({"name": "one"})).await.expect(200);
    project.patch("tasks/t3", &json!({"name": "three"})).await.expect(200);
    let versions: BTreeSet<u64> = project.stored().await.values().map(|row| row.number("server_version")).collect();
    let end = project.current_version().await;
    for limit in 1..=11 {
        let pages = pages(&project, 0, limit).await;
        let mut seen = BTreeSet::new();
        let mut since = 0;
        for page in &pages {
            assert!(page.len() <= limit && versions.contains(&page.mark));
            assert!(
                page.versions().iter().all(|version| (since + 1..=page.mark).contains(version)),
                "nothing newer beside"
            );
            seen.extend(page.versions());
            since = page.mark;
        }
        assert_eq!(seen, versions);
        assert_eq!(since, end);
        assert_eq!(pages.len(), 10_usize.div_ceil(limit), "pages are as full as they may be");
    }
}

#[tokio::test]
async fn has_more_is_there_only_when_there_is_more() {
    let project = TestApp::new().await.with_project().with_tasks(3).await;
    let cut = project.sync("since=0&limit=4").await.json();
    assert_eq!((&cut["has_more"], &cut["timestamp"]), (&json!(true), &json!(4)));
    for query in ["since=0&limit=5", "since=4&limit=1", "since=5&limit=1"] {
        assert_eq!(project.sync(query).await.json().get("has_more"), None, "{query}");
    }
}

#[tokio::test]
async fn tombstones_count_as_rows_of_a_page() {
    let project = TestApp::new().await.with_project().with_tasks(4).await;
    for task in ["t1", "t2", "t3"] {
        project.delete(&format!("tasks/{task}")).await.expect(204);
    }
    let pages = pages(&project, 2, 2).await;
    let contents: Vec<_> = pages.iter().map(|page| (page.updated("tasks"), page.deleted("tasks"))).collect();
    assert_eq!(contents, [(vec!["t4"], vec!["t1"]), (vec![], vec!["t2", "t3"])]);
}

#[tokio::test]
async fn a_client_that_has_never_heard_of_has_more_converges_while_others_write() {
    let project = TestApp::new().await.with_project().with_tasks(6).await;
    let mut plain = Device::default();
    for n in 0..6 {
        plain.synchronize(&project, Some(2)).await;
        project.patch(&format!("tasks/t{}", n % 3 + 1), &json!({ "notes": n.to_string() })).await.expect(200);
    }
    project.delete("tasks/t6").await.expect(204);
    while plain.synchronize(&project, Some(2)).await.mark < project.current_version().await {}
    assert_eq!(plain.rows, project.live_rows().await);
}

#[tokio::test]
async fn a_looping_client_arrives_in_one_go() {
    let project = TestApp::new().await.with_project().with_tasks(7).with_edge("t1", "t2").await;
    let mut device = Device::default();
    for page in pages(&project, 0, 3).await {
        device.apply(&page);
    }
    assert_eq!(device.rows, project.live_rows().await);
    assert!(project.pull(device.mark).await.is_empty());
}

/// Pulls everything. Returns the versions of each answer, and the number of calls of all of them.
async fn versions_and_calls(project: &TestProject, limit: usize) -> (Vec<Vec<u64>>, u32) {
    let (mut pages, mut calls, mut since) = (vec![], 0, 0);
    loop {
        let answer = project.sync(&format!("since={since}&limit={limit}")).await;
        let page = Pull::of(&answer);
        calls += Cost::of(&answer).calls;
        since = page.mark;
        pages.push(page.versions());
        if !page.has_more {
            return (pages, calls);
        }
    }
}

/// Tasks, of which about 25 fill a page of the index.
async fn create_long_rows(project: &TestProject, ids: RangeInclusive<usize>) {
    let notes = "x".repeat(40_000);
    for n in ids {
        project.create("tasks", json!({"id": format!("t{n}"), "name": "Dig", "notes": notes})).await;
    }
}

/// A replaced version is missing from its place, and the row that replaced it is several pages of the index further on.
#[tokio::test]
async fn edits_after_an_import_cost_a_call_for_each_answer_and_no_answer_more() {
    const ROWS: usize = 100;
    const LIMIT: usize = 20;
    let project = TestApp::new().await.with_project().await;
    create_long_rows(&project, 3..=ROWS).await;
    let pull = async || {
        let (pages, calls) = versions_and_calls(&project, LIMIT).await;
        let stored = project.stored().await;
        let mut expected: Vec<u64> = stored.values().map(|row| row.number("server_version")).collect();
        expected.sort_unstable();
        let expected: Vec<Vec<u64>> = expected.chunks(LIMIT).map(<[u64]>::to_vec).collect();
        assert_eq!(pages, expected, "each row once, in answers as full as they may be");
        calls
    };
    let change = async |n: usize, percent: usize| {
        project.patch(&format!("tasks/t{n}"), &json!({"percent_complete": percent})).await.expect(200);
    };
    let answers = u32::try_from(ROWS / LIMIT).expect("a few");
    let untouched = pull().await;

    for n in [3, 4, 20, 33, 34, 50, 71, 99] {
        change(n, 10).await;
    }
    let edited = pull().await;
    let counts = !TestTable::may_count_differently();
    assert!(!counts || edited <= untouched + answers, "{edited} calls instead of {untouched}");

    // The rows are changed in another order than they were created, so the version that replaced a row may be anywhere after it.
    for n in 0..ROWS - 2 {
        change(3 + n * 37 % (ROWS - 2), 20).await;
    }
    let rewritten = pull().await;
    let rest = (1..=answers).map(|left| left * u32::try_from(LIMIT).expect("a few") / 25 + 1).sum::<u32>();
    assert!(
        !counts || rewritten <= untouched + rest,
        "{rewritten} calls instead of {untouched}, and {rest} to read the rest"
    );
}

/// An app, with the number of its reads of an index from the end.
async fn counting_readings_from_the_end() -> (TestApp, Arc<AtomicUsize>) {
    let from_the_end = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&from_the_end);
    let table = TestTable::of_this_process().await;
    let look = move |_: &str, request: &mut HttpRequest| {
        let body: Value = serde_json::from_slice(request.body().bytes().ok_or("no body")?)?;
        counted.fetch_add(usize::from(body["ScanIndexForward"] == false), Ordering::Relaxed);
        Ok(())
    };
    (TestApp::on(table, table.seen_by(look).await).await, from_the_end)
}

/// A restore begins with the counter, which it raises by 2^32. No row ever holds the versions in between.
#[tokio::test]
async fn the_end_of_the_index_is_read_across_the_versions_that_a_restore_left_out() {
    let (app, from_the_end) = counting_readings_from_the_end().await;
    let project = app.with_project().await;
    create_long_rows(&project, 3..=80).await;
    let change = async |n: usize| {
        project.patch(&format!("tasks/t{n}"), &json!({"percent_complete": 10})).await.expect(200);
    };
    for n in [3, 20, 33] {
        change(n).await;
    }
    let table = TestTable::of_this_process().await.table().await;
    let id = project.id.parse().expect("an id");
    let counter = table.counter(&id).await.expect("an answer").expect("a counter");
    let read = counter.current;
    let current = ServerVersion::try_from(read.get() + RAISE).expect("a version");
    let raised = Counter { current, skipped: vec![(read.get() + 1, current.get())], ..counter };
    table.replace_counter(&id, Some(read), &raised, None, &[]).await.expect("raised");
    // This is more than a page.
    for n in 40..=70 {
        change(n).await;
    }
    from_the_end.store(0, Ordering::Relaxed);
    let (answers, _) = versions_and_calls(&project, 20).await;
    assert_eq!(answers.iter().map(Vec::len).collect::<Vec<_>>(), [20, 20, 20, 20]);
    assert!(answers[3].iter().all(|version| *version > RAISE) && answers[0].iter().all(|version| *version < RAISE));
    let calls = from_the_end.load(Ordering::Relaxed);
    assert!((3..=12).contains(&calls), "{calls} readings from the end");
}

/// The history of a row that was written hundreds of times does not name the first versions, but the archive does.
#[tokio::test]
async fn versions_that_no_history_names_any_more_are_archived_and_prove_a_page() {
    let (app, from_the_end) = counting_readings_from_the_end().await;
    let project = app.with_project().with_tasks(8).await;
    create_long_rows(&project, 11..=70).await;
    for n in 0..300 {
        project.patch("tasks/t8", &json!({"percent_complete": n % 2})).await.expect(200);
    }
    let before_it = Pull::of(&project.sync("since=0&limit=20").await);
    assert_eq!((before_it.path.as_str(), before_it.mark, before_it.len()), ("first_read", 21, 20));
    from_the_end.store(0, Ordering::Relaxed);
    let behind_it = Pull::of(&project.sync("since=9&limit=20").await);
    assert_eq!((behind_it.path.as_str(), behind_it.mark, behind_it.len()), ("first_read", 30, 20));
    // Forty rows lie after the answer. The last one may be on a page of its own, as far as the server knows.
    let calls = from_the_end.load(Ordering::Relaxed);
    assert!((1..=3).contains(&calls), "{calls} readings from the end");
}

/// 50,000 characters that take two bytes or more each, as JSON and once more inside the function's response.
fn notes(n: usize) -> String {
    let pattern = ["\"\\", "ä\"", "🏠\\", "\n\"", "\u{1}x"][n % 5];
    pattern.repeat(25_000)
}

/// A pull through Lambda's own types: the event as the gateway sends it, and the bytes that the function sends back.
async fn pull_through_lambda(project: &TestProject, since: u64) -> (usize, Pull) {
    let path = format!("/api/v1/projects/{}/sync/", project.id);
    let event = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": format!("since={since}"),
        "headers": {"authorization": format!("Bearer {}", TestApp::token(OWNER))},
        "queryStringParameters": {"since": since.to_string()}, "isBase64Encoded": false,
        "requestContext": {"accountId": "1", "apiId": "a", "domainName": "localhost", "domainPrefix": "a",
            "requestId": "r", "routeKey": "$default", "stage": "$default", "timeEpoch": 0,
            "http": {"method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "t"}}
    });
    let event: LambdaRequest = serde_json::from_value(event).expect("an event");
    let mut adapter = lambda_http::Adapter::from(project.app.sync.clone());
    let response = adapter.call(LambdaEvent::new(event, Context::default())).await.expect("a response");
    let bytes = serde_json::to_vec(&response).expect("JSON");
    let response: Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(response["isBase64Encoded"], false);
    (bytes.len(), Pull::of(&Answer::of_lambda(&response)))
}

#[tokio::test]
async fn a_response_with_long_notes_full_of_quotes_stays_below_lambdas_limit() {
    let project = TestApp::new().await.with_project().await;
    for n in 0..38 {
        let body = json!({ "id": format!("t{n}"), "name": "Dig \"deep\"", "notes": notes(n) });
        project.create("tasks", body).await;
    }
    let mut device = Device::default();
    let mut pages = 0;
    loop {
        let (bytes, page) = pull_through_lambda(&project, device.mark).await;
        assert!(bytes <= sync::MAX_RESPONSE, "{bytes} bytes");
        device.apply(&page);
        pages += 1;
        if !page.has_more {
            break;
        }
        assert!(bytes > sync::MAX_RESPONSE - 400_000, "{bytes} bytes: another row would have fitted");
    }
    assert!(pages > 1);
    assert_eq!(device.rows, project.live_rows().await);
}
