//! Tests how the function `poke` handles batches of the table's stream.

use std::collections::HashMap;
use std::time::Instant;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use live::Event;
use serde_json::{Value, json};
use shared::domain::{ProjectId, Role};
use shared::storage::{Unwatched, Watcher};
use tests::support::{LiveApp, OWNER, TestApp, TestProject, TestTable, moved, removed};

fn connection() -> String {
    format!("{}=", ProjectId::generate())
}

async fn project() -> TestProject {
    TestApp::new().await.with_project().with_tasks(1).with_member("vic", Role::Viewer).await
}

fn poke(project: &TestProject, version: u64) -> Value {
    json!({"project": project.id, "version": version})
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time");
    i64::try_from(since.as_secs()).expect("a time")
}

#[tokio::test]
async fn of_a_burst_the_newest_version_is_told_once_to_each_watcher_and_to_nobody_else() {
    let (live, here, elsewhere) = (LiveApp::new().await, project().await, project().await);
    let (a, b, other) = (connection(), connection(), connection());
    for (id, project) in [(&a, &here), (&b, &here), (&other, &elsewhere)] {
        live.watch(id, OWNER, &[&project.id]).await;
    }
    let burst: Vec<Value> = (10..30).map(|version| moved(&here.id, version)).collect();
    assert_eq!(live.batch(&burst).await, None);
    for id in [&a, &b] {
        assert_eq!(live.clients.sent(id), [poke(&here, 29)]);
    }
    assert!(live.clients.sent(&other).is_empty());
    assert_eq!(live.clients.posts(), 2);
}

#[tokio::test]
async fn a_project_that_never_stands_still_is_told_in_order_and_a_batch_waits_for_its_turn() {
    let (live, busy, quiet) = (LiveApp::new().await, project().await, project().await);
    let id = connection();
    live.watch(&id, OWNER, &[&busy.id, &quiet.id]).await;
    for (first, version) in [(10, 19), (20, 29), (30, 39)] {
        let mut batch: Vec<Value> = (first..=version).map(|version| moved(&busy.id, version)).collect();
        batch.push(moved(&quiet.id, version));
        live.batch(&batch).await;
    }
    let sent = live.clients.sent(&id);
    let of = |project: &TestProject| -> Vec<u64> {
        let own = sent.iter().filter(|poke| poke["project"] == json!(project.id));
        own.filter_map(|poke| poke["version"].as_u64()).collect()
    };
    assert_eq!((of(&busy), of(&quiet)), (vec![19, 29, 39], vec![19, 29, 39]));
}

#[tokio::test]
async fn a_dead_connection_is_forgotten_and_the_others_are_told() {
    let (live, project) = (LiveApp::new().await, project().await);
    let (dead, alive) = (connection(), connection());
    for id in [&dead, &alive] {
        live.watch(id, OWNER, &[&project.id]).await;
    }
    live.clients.kill(&dead);
    assert_eq!(live.batch(&[moved(&project.id, 10)]).await, None);
    assert_eq!(live.clients.sent(&alive), [poke(&project, 10)]);
    assert_eq!(live.watchers(&project.id).await, [alive.as_str()]);
    live.batch(&[moved(&project.id, 11)]).await;
    assert_eq!(live.clients.posts(), 3, "the dead one is not tried again");
}

#[tokio::test]
async fn a_connection_that_cannot_be_reached_fails_no_batch_and_goes_on_watching() {
    let (live, project) = (LiveApp::new().await, project().await);
    let (hidden, alive) = (connection(), connection());
    for id in [&hidden, &alive] {
        live.watch(id, OWNER, &[&project.id]).await;
    }
    live.clients.hide(&hidden);
    assert_eq!(live.batch(&[moved(&project.id, 10)]).await, None);
    assert_eq!(live.clients.sent(&alive), [poke(&project, 10)]);
    assert_eq!(live.watchers(&project.id).await.len(), 2);
    let line = live.line();
    assert_eq!((&line["Pokes"], &line["PokesFailed"]), (&json!(1.0), &json!(1.0)));
}

#[tokio::test]
async fn who_is_removed_is_closed_and_watches_the_project_no_more() {
    let (live, project) = (LiveApp::new().await, project().await);
    let (vics, olgas) = (connection(), connection());
    live.watch(&vics, "vic", &[&project.id]).await;
    live.watch(&olgas, OWNER, &[&project.id]).await;
    assert_eq!(live.batch(&[moved(&project.id, 10), removed(&project.id, "vic")]).await, None);
    // Connections that other tests left open do not count. An instance sweeps with its first batch.
    let closed = live.clients.closed();
    assert!(closed.contains(&vics) && !closed.contains(&olgas), "{closed:?}");
    assert_eq!(live.watchers(&project.id).await, [olgas.as_str()]);
    assert!(live.clients.sent(&vics).is_empty(), "not even the version of the removal");
    assert_eq!(live.clients.sent(&olgas), [poke(&project, 10)]);
}

#[tokio::test]
async fn a_watch_whose_token_has_expired_is_not_poked_and_its_client_is_told_once() {
    let (live, project) = (LiveApp::new().await, project().await);
    let (old, renewed) = (connection(), connection());
    let projects = [project.id.parse().expect("a project")];
    for id in [&old, &renewed] {
        let user = OWNER.parse().expect("a user");
        let watcher = Watcher { connection: id.parse().expect("an id"), user, until: now() - 1 };
        live.table.watch(&watcher, 0, &projects).await.expect("a watch");
    }
    live.watch(&renewed, OWNER, &[&project.id]).await;
    for version in [10, 11] {
        assert_eq!(live.batch(&[moved(&project.id, version)]).await, None);
    }
    let told = live.clients.sent(&old);
    assert_eq!(told.iter().map(|told| told["code"].as_str()).collect::<Vec<_>>(), [Some("token_expired")]);
    assert_eq!(live.clients.sent(&renewed), [poke(&project, 10), poke(&project, 11)]);
    assert_eq!(live.watchers(&project.id).await, [renewed.as_str()]);
}

#[tokio::test]
async fn an_expired_watch_that_is_renewed_meanwhile_stays() {
    let (live, project, id) = (LiveApp::new().await, project().await, connection());
    let projects: [ProjectId; 1] = [project.id.parse().expect("a project")];
    let (connection, user) = (id.parse().expect("an id"), OWNER.parse().expect("a user"));
    let expired = Watcher { connection, user, until: now() - 1 };
    live.table.watch(&expired, 0, &projects).await.expect("a watch");
    live.watch(&id, OWNER, &[&project.id]).await;
    assert!(!live.table.end_expired_watch(&projects[0], &expired).await.expect("an answer"));
    assert_eq!(live.watchers(&project.id).await, [id]);
}

#[tokio::test]
async fn a_batch_with_records_that_cannot_be_read_tells_of_the_others_and_is_not_repeated() {
    let (live, project, id) = (LiveApp::new().await, project().await, connection());
    live.watch(&id, OWNER, &[&project.id]).await;
    let poisoned = [
        json!(null),
        json!({"eventName": "MODIFY"}),
        moved(&project.id, 0),
        removed(&project.id, "a\nb"),
        json!({"eventName": "REMOVE", "dynamodb": {"Keys": {"project_id": {"S": "live#x#1"}, "entity": {"S": "c"}}}}),
        moved(&project.id, 10),
        moved("not a project", 3),
    ];
    assert_eq!(live.batch(&poisoned).await, None);
    assert_eq!(live.clients.sent(&id), [poke(&project, 10)]);
    let line = live.line();
    assert_eq!((&line["Records"], &line["UnreadableRecords"]), (&json!(7.0), &json!(4.0)));
}

#[tokio::test]
async fn a_batch_whose_watchers_cannot_be_read_is_repeated_from_that_projects_first_record() {
    let (here, broken) = (project().await, project().await);
    let id = broken.id.clone();
    let table = TestTable::of_this_process().await.seen_by(move |operation, request| {
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        if operation == "Query" && body.contains(&id) { Err("the table does not answer".into()) } else { Ok(()) }
    });
    let (live, watcher) = (LiveApp::on(table.await), connection());
    live.watch(&watcher, OWNER, &[&here.id, &broken.id]).await;
    let records = [moved(&here.id, 10), moved(&broken.id, 10), moved(&here.id, 11), moved(&broken.id, 11)];
    assert_eq!(live.batch(&records).await, Some(format!("{:021}", 2)));
    assert_eq!(live.clients.sent(&watcher), [poke(&here, 11)], "the other project does not wait for it");
    let line = live.line();
    assert_eq!((&line["ServerError"], &line["RemovalsFailed"]), (&json!(1.0), &json!(0.0)));
    assert_eq!(live.batch(&[moved(&here.id, 12), removed(&broken.id, "vic")]).await, Some(format!("{:021}", 2)));
    let line = live.line();
    assert_eq!((&line["ServerError"], &line["RemovalsFailed"]), (&json!(0.0), &json!(1.0)), "it rolls nothing back");
}

/// A table for one test, because instances of other tests also sweep with their first batches.
async fn own_table(name: &str) -> TestTable {
    let endpoint = stack::engine::start(None).expect("an engine");
    let own = TestTable { endpoint, name: name.to_owned() };
    stack::table::create(&own.client().await, &own.name).await.expect("a table");
    own
}

fn ago(seconds: i64) -> u64 {
    u64::try_from((now() - seconds) * 1_000).expect("a time")
}

/// Opens connections that are due to be closed. Returns their ids, sorted.
async fn open_silently(live: &LiveApp, count: usize) -> Vec<String> {
    let mut ids: Vec<String> = (0..count).map(|_| connection()).collect();
    for id in &ids {
        let opened = Unwatched { connection: id.parse().expect("an id"), opened_at: ago(31) };
        live.live.answer(&opened, Event::Opened).await;
    }
    ids.sort_unstable();
    ids
}

/// The connections that were closed, sorted.
fn closed(live: &LiveApp) -> Vec<String> {
    let mut closed = live.clients.closed();
    closed.sort_unstable();
    closed
}

#[tokio::test]
async fn who_watches_nothing_half_a_minute_after_they_connected_is_closed_and_nobody_else() {
    let own = own_table("sweeps").await;
    let project = TestApp::on(&own, own.table().await).await.with_project().await;
    let live = LiveApp::on(own.table().await);
    let ids: Vec<String> = (0..4).map(|_| connection()).collect();
    let opened: Vec<Unwatched> = [(&ids[0], 31), (&ids[1], 31), (&ids[2], 31), (&ids[3], 5)]
        .into_iter()
        .map(|(id, seconds)| Unwatched { connection: id.parse().expect("an id"), opened_at: ago(seconds) })
        .collect();
    for opened in &opened {
        live.live.answer(opened, Event::Opened).await;
    }
    // One connection watches in time. Another one stays on the list by mistake.
    let watch = json!({"action": "watch", "token": TestApp::token(OWNER), "projects": [project.id]});
    live.live.answer(&opened[1], Event::Said(watch.to_string())).await;
    live.watch(&ids[2], OWNER, &[&project.id]).await;
    live.poke.handle(&json!({"sweep": true})).await;
    assert_eq!(live.clients.closed(), [ids[0].as_str()]);
    live.poke.handle(&json!({"sweep": true})).await;
    assert_eq!(live.clients.closed().len(), 1, "once");
}

#[tokio::test]
async fn one_sweep_closes_a_thousand_connections_and_one_beside_a_batch_only_a_page() {
    let live = LiveApp::on(own_table("floods").await.table().await);
    let ids = open_silently(&live, 1_000).await;
    // An instance sweeps with its first batch.
    live.batch(&[]).await;
    assert!((1..=400).contains(&closed(&live).len()), "pokes would wait for {}", closed(&live).len());
    live.poke.handle(&json!({"sweep": true})).await;
    assert_eq!(closed(&live), ids);
    assert_eq!(live.poke.sweep().await.expect("a sweep"), 0, "each is forgotten");
    assert_eq!(closed(&live).len(), 1_000);
}

#[tokio::test]
async fn a_connection_that_a_sweep_cannot_close_is_closed_by_a_later_one_and_keeps_none_from_being_closed() {
    let live = LiveApp::on(own_table("failures").await.table().await);
    // More than a page fails, and these are the oldest.
    let hidden = open_silently(&live, 500).await;
    hidden.iter().for_each(|id| live.clients.hide(id));
    let others = open_silently(&live, 50).await;
    live.poke.handle(&json!({"sweep": true})).await;
    assert_eq!(closed(&live), others);
    hidden.iter().for_each(|id| live.clients.reveal(id));
    assert_eq!(live.poke.sweep().await.expect("a sweep"), 500);
    assert_eq!(closed(&live).len(), 550);
}

#[tokio::test]
async fn a_connection_that_has_ended_unnoticed_is_swept_once() {
    let own = own_table("ends").await;
    let live = LiveApp::on(own.table().await);
    let ids = open_silently(&live, 2).await;
    live.clients.kill(&ids[0]);
    assert_eq!(live.poke.sweep().await.expect("a sweep"), 1);
    let client = own.client().await;
    let mut left = 0;
    for shard in 0..4 {
        let query = client.query().table_name(&own.name).key_condition_expression("project_id = :partition");
        let partition = AttributeValue::S(format!("unwatched#{shard}"));
        left += query.expression_attribute_values(":partition", partition).send().await.expect("items").count;
    }
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_change_whose_poke_is_lost_is_in_the_next_pull() {
    let (live, project, id) = (LiveApp::new().await, project().await, connection());
    let mark = project.pull(0).await.mark;
    live.watch(&id, OWNER, &[&project.id]).await;
    live.clients.hide(&id);
    let version = project.patch("tasks/t1", &json!({"name": "Lost"})).await.expect(200).committed();
    live.batch(&[moved(&project.id, version)]).await;
    assert!(live.clients.sent(&id).is_empty());
    let pull = project.pull(mark).await;
    assert_eq!((pull.mark, pull.versions().len()), (version, 1));
}

/// The partition of a project's watch, by the hash FNV-1a of the connection.
fn partition(project: &str, connection: &str) -> String {
    let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    format!("live#{project}#{}", connection.bytes().fold(0x811c_9dc5, hash) % 4)
}

/// Writes watches as `live` does, but many at once, and the first of them as the oldest. Returns the ids of the connections, whose
/// order says nothing.
async fn note_watches(project: &str, count: usize, user: impl Fn(usize) -> String) -> Vec<String> {
    let (table, app) = (TestTable::of_this_process().await, TestApp::new().await);
    let text = |text: String| AttributeValue::S(text);
    let number = |number: i64| AttributeValue::N(number.to_string());
    let ids: Vec<String> = (0..count).map(|n| format!("L0SM9cOFvH{:05}=", n * 7_919 % 100_000)).collect();
    let item = |n: usize| -> HashMap<String, AttributeValue> {
        let age = i64::try_from(count - n).expect("seconds").min(3_600);
        [
            ("project_id".to_owned(), text(partition(project, &ids[n]))),
            ("entity".to_owned(), text(ids[n].clone())),
            ("watcher".to_owned(), text(user(n))),
            ("until".to_owned(), number(now() + 3_600)),
            ("expires_at".to_owned(), number(now() + 7_800 - age)),
        ]
        .into()
    };
    let items: Vec<_> = (0..count).map(item).collect();
    for chunk in items.chunks(25) {
        let put = |item: &HashMap<_, _>| PutRequest::builder().set_item(Some(item.clone())).build().expect("a put");
        let writes = chunk.iter().map(|item| WriteRequest::builder().put_request(put(item)).build()).collect();
        app.look_into().batch_write_item().request_items(&table.name, writes).send().await.expect("written");
    }
    ids
}

#[tokio::test]
async fn ten_thousand_watchers_of_a_project_are_told_once_each_and_no_more_than_64_at_once() {
    const WATCHERS: usize = 10_000;
    let (live, project) = (LiveApp::new().await, project().await);
    note_watches(&project.id, WATCHERS, |n| format!("auth0|{n:024}")).await;
    let burst: Vec<Value> = (10..110).map(|version| moved(&project.id, version)).collect();
    let start = Instant::now();
    // On a very busy machine the read may take too long. The batch is then repeated, as Lambda does it.
    while live.batch(&burst).await.is_some() {
        assert_eq!(live.clients.posts(), 0);
    }
    let line = live.line();
    eprintln!("10,000 pokes to nowhere: {:?}, {} read units", start.elapsed(), line["ReadUnits"]);
    assert_eq!(live.clients.posts(), WATCHERS);
    let counts = live.clients.counts();
    assert!(counts.len() == WATCHERS && counts.iter().all(|count| *count == 1));
    assert_eq!(live.clients.most_under_way(), poke::MAX_PARALLEL_SENDS);
    assert_eq!(line["Pokes"], json!(10_000.0));
    if !TestTable::may_count_differently() {
        // Each watch has 160 bytes, and a read unit covers 4 KB.
        let units = line["ReadUnits"].as_f64().expect("units");
        assert!((250.0..500.0).contains(&units), "{units}");
    }
}

#[tokio::test]
async fn a_user_with_a_thousand_connections_is_told_over_the_latest_20_and_the_others_are_closed() {
    let (live, project) = (LiveApp::new().await, project().await);
    let ids = note_watches(&project.id, 1_000, |_| "eve".to_owned()).await;
    let (surplus, latest) = ids.split_at(1_000 - poke::MAX_WATCHES_OF_A_USER);
    let (own, new) = (connection(), connection());
    live.watch(&own, OWNER, &[&project.id]).await;
    assert_eq!(live.batch(&[moved(&project.id, 10)]).await, None);
    assert_eq!(live.clients.posts(), 21, "whoever has one connection is not hurt");
    assert_eq!(live.clients.sent(&own), [poke(&project, 10)]);
    let told = |id: &String| live.clients.sent(id) == [poke(&project, 10)];
    assert!(latest.iter().all(told), "{:?}", live.watchers(&project.id).await);
    let closed = live.clients.closed();
    assert!(surplus.iter().all(|id| closed.contains(id)) && !latest.iter().any(|id| closed.contains(id)));
    assert_eq!(live.watchers(&project.id).await.len(), 21);
    // 20 devices are told again and again. A new one works at once, in the place of the one whose `watch` is oldest.
    project.give("eve", Role::Viewer).await.expect(201);
    live.watch(&new, "eve", &[&project.id]).await;
    assert_eq!(live.batch(&[moved(&project.id, 11)]).await, None);
    assert_eq!(live.clients.sent(&new), [poke(&project, 11)]);
    assert!(live.clients.closed().contains(&latest[0]) && !live.clients.closed().contains(&latest[1]));
    assert_eq!(live.clients.posts(), 42);
}

#[tokio::test]
async fn a_surplus_connection_that_cannot_be_closed_is_not_told_and_is_closed_later() {
    let (live, project) = (LiveApp::new().await, project().await);
    let ids = note_watches(&project.id, poke::MAX_WATCHES_OF_A_USER + 2, |_| "eve".to_owned()).await;
    live.clients.hide(&ids[0]);
    live.batch(&[moved(&project.id, 10)]).await;
    let watchers = live.watchers(&project.id).await;
    assert!(watchers.contains(&ids[0]) && !watchers.contains(&ids[1]), "{watchers:?}");
    live.clients.reveal(&ids[0]);
    live.batch(&[moved(&project.id, 11)]).await;
    assert!(live.clients.sent(&ids[0]).is_empty() && live.clients.closed().contains(&ids[0]));
    let mut latest = ids[2..].to_vec();
    latest.sort_unstable();
    assert_eq!(live.watchers(&project.id).await, latest);
}
