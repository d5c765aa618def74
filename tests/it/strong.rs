//! Tests the limit on strong reads of whole projects while the index lags for good.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};
use shared::domain::Role;
use shared::storage::Table;
use sync::Limits;
use tests::support::{Answer, Device, Pull, TestApp, TestProject, TestTable};

/// The behaviour of the table, and the calls to it.
#[derive(Default)]
struct TableBehaviour {
    /// Whether the index is empty.
    index_lags: bool,
    /// The number of strong reads of rows that are refused from now on. The next field is the number of one that is refused
    /// later.
    throttled: usize,
    throttled_after: usize,
    /// All strong reads of rows so far, each with whether it began with the first row.
    strong: Vec<bool>,
    /// A row that is written this often before each strong read of rows, and once more after it.
    hot: Option<(TestProject, usize)>,
    under_way: HashMap<String, usize>,
    most_of_a_project: usize,
    most: usize,
}

/// A connection to the table on which strong queries are slow.
#[derive(Clone)]
struct SlowConnection<T> {
    inner: T,
    behaviour: Arc<Mutex<TableBehaviour>>,
}

impl<T> fmt::Debug for SlowConnection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SlowConnection")
    }
}

impl HttpClient for SlowConnection<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(SlowConnection { inner, behaviour: Arc::clone(&self.behaviour) })
    }
}

impl HttpConnector for SlowConnection<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body: Value = serde_json::from_slice(request.body().bytes().expect("a body")).expect("JSON");
        let is_query = body.get("KeyConditionExpression").is_some();
        let answer = |status: u16, body: &'static str| {
            HttpConnectorFuture::ready(Ok(HttpResponse::new(status.try_into().expect("a status"), SdkBody::from(body))))
        };
        if is_query && body["IndexName"] == "by_version" && self.behaviour().index_lags {
            return answer(200, r#"{"Items": [], "Count": 0, "ScannedCount": 0}"#);
        }
        if !is_query || body["ConsistentRead"] != true {
            return self.inner.call(request);
        }
        let project = body["ExpressionAttributeValues"][":project"]["S"].as_str().expect("a project").to_owned();
        if body["ExpressionAttributeValues"][":first"]["S"] != "a" {
            // This is the read of the archive.
            return self.inner.call(request);
        }
        let hot = self.behaviour().began(&project, body.get("ExclusiveStartKey").is_none());
        let connection = self.clone();
        HttpConnectorFuture::new(async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let throttled = connection.behaviour().throttles();
            write(&hot, |times| times).await;
            let answer = if throttled {
                answer(400, r#"{"__type": "x#ProvisionedThroughputExceededException", "message": "too much"}"#).await
            } else {
                connection.inner.call(request).await
            };
            write(&hot, |_| 1).await;
            connection.behaviour().ended(&project);
            answer
        })
    }
}

impl<T> SlowConnection<T> {
    fn behaviour(&self) -> MutexGuard<'_, TableBehaviour> {
        self.behaviour.lock().expect("no panic")
    }
}

async fn write(hot: &Option<(TestProject, usize)>, times: impl Fn(usize) -> usize) {
    let Some((project, most)) = hot else { return };
    for n in 0..times(*most) {
        project.patch("tasks/t1", &json!({"notes": format!("{n} {}", fastrand::u64(..))})).await.expect(200);
    }
}

impl TableBehaviour {
    fn throttles(&mut self) -> bool {
        if self.throttled_after > 0 {
            self.throttled_after -= 1;
            return false;
        }
        let throttles = self.throttled > 0;
        self.throttled = self.throttled.saturating_sub(1);
        throttles
    }

    fn began(&mut self, project: &str, from_the_first: bool) -> Option<(TestProject, usize)> {
        self.strong.push(from_the_first);
        let of_project = self.under_way.entry(project.to_owned()).or_default();
        *of_project += 1;
        self.most_of_a_project = self.most_of_a_project.max(*of_project);
        self.most = self.most.max(self.under_way.values().sum());
        self.hot.clone()
    }

    fn ended(&mut self, project: &str) {
        *self.under_way.get_mut(project).expect("begun") -= 1;
    }
}

/// Projects with rows, seen by one instance whose index lags.
async fn projects(count: usize) -> (Vec<TestProject>, Arc<Mutex<TableBehaviour>>) {
    projects_with_pages(count, Limits::of_bytes(0)).await
}

/// The same projects, seen by an instance that also keeps pages.
async fn projects_with_pages(count: usize, limits: Limits) -> (Vec<TestProject>, Arc<Mutex<TableBehaviour>>) {
    let table = TestTable::of_this_process().await;
    let behaviour = Arc::new(Mutex::new(TableBehaviour { index_lags: true, ..TableBehaviour::default() }));
    let client = table.client().await;
    let inner = client.config().http_client().expect("an HTTP client");
    let config = client.config().to_builder().http_client(SlowConnection { inner, behaviour: Arc::clone(&behaviour) });
    let seen = Table::new(Client::from_conf(config.build()), &table.name);
    let seen = TestApp::on_keeping(table, seen, limits).await;
    let mut projects = Vec::new();
    for _ in 0..count {
        projects.push(TestApp::new().await.with_project().with_tasks(2).await.seen_by(seen.clone()));
    }
    (projects, behaviour)
}

async fn pull_all(projects: &[TestProject], times: usize) -> Vec<Answer> {
    let pulls = (0..times).flat_map(|_| projects).map(|project| tokio::spawn(project.sync("since=2").into_future()));
    let mut answers = Vec::new();
    for pull in pulls.collect::<Vec<_>>() {
        answers.push(pull.await.expect("no panic"));
    }
    answers
}

#[track_caller]
fn assert_comes_back(answer: &Answer) {
    answer.problem(503, "busy");
    let seconds: u32 = answer.header("retry-after").expect("Retry-After").parse().expect("seconds");
    assert!((2..=10).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn while_the_index_lags_for_good_one_pull_reads_a_project_strongly_and_the_others_come_back() {
    let (projects, behaviour) = projects(1).await;
    let answers = pull_all(&projects, 12).await;
    let (served, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert!(!served.is_empty() && !refused.is_empty(), "{answers:?}");
    for answer in served {
        let pull = Pull::of(answer);
        assert_eq!((pull.path.as_str(), pull.mark, pull.len()), ("strong", 4, 2));
    }
    refused.into_iter().for_each(assert_comes_back);
    assert_eq!(behaviour.lock().expect("no panic").most_of_a_project, 1);

    behaviour.lock().expect("no panic").index_lags = false;
    for answer in pull_all(&projects, 12).await {
        assert_eq!(Pull::of(&answer).path, "first_read");
    }
}

#[tokio::test]
async fn while_the_index_lags_for_good_an_instance_reads_four_projects_strongly_at_once() {
    let (projects, behaviour) = projects(8).await;
    let answers = pull_all(&projects, 2).await;
    answers.iter().filter(|answer| answer.status != 200).for_each(assert_comes_back);
    let behaviour = behaviour.lock().expect("no panic");
    assert_eq!((behaviour.most_of_a_project, behaviour.most), (1, 4));
}

#[tokio::test]
async fn a_strong_reading_that_is_throttled_goes_on_from_where_it_was() {
    let (projects, behaviour) = projects(1).await;
    // This is more than a page.
    for n in 0..30 {
        let notes = "n".repeat(49_000);
        projects[0].create("tasks", json!({"id": format!("n{n}"), "name": "N", "notes": notes})).await;
    }
    behaviour.lock().expect("no panic").throttled_after = 1;
    behaviour.lock().expect("no panic").throttled = 2;
    let answer = pull_all(&projects, 1).await.remove(0);
    assert_eq!((Pull::of(&answer).path.as_str(), Pull::of(&answer).len()), ("strong", 32));
    assert_eq!(behaviour.lock().expect("no panic").strong, [true, false, false, false]);
}

#[tokio::test]
async fn a_strong_reading_that_is_throttled_for_good_is_given_up_in_time_for_the_gateway() {
    let (projects, behaviour) = projects(1).await;
    behaviour.lock().expect("no panic").throttled = usize::MAX;
    pull_all(&projects, 1).await.iter().for_each(assert_comes_back);
    assert!(behaviour.lock().expect("no panic").strong.len() > 5, "it was not tried again");
    behaviour.lock().expect("no panic").throttled = 0;
    assert_eq!(Pull::of(&pull_all(&projects, 1).await[0]).path, "strong");
}

#[tokio::test]
async fn what_a_device_has_to_forget_is_read_once_at_a_time_and_waits_while_it_is_throttled() {
    let (projects, behaviour) = projects(1).await;
    let project = &projects[0];
    project.give("mia", Role::Viewer).await.expect(201);
    project.remove("mia").await.expect(204);
    *behaviour.lock().expect("no panic") = TableBehaviour::default();
    let wipe = || tokio::spawn(project.sync("since=1").by("mia").into_future());
    let wipes: Vec<_> = (0..6).map(|_| wipe()).collect();
    let mut served = 0;
    for wipe in wipes {
        let answer = wipe.await.expect("no panic");
        match answer.status {
            200 => {
                served += 1;
                assert_eq!((Pull::of(&answer).path.as_str(), Pull::of(&answer).len()), ("wiped", 5));
            }
            _ => assert_comes_back(&answer),
        }
    }
    let most = behaviour.lock().expect("no panic").most_of_a_project;
    assert!(most == 1 && (1..6).contains(&served), "{most} at once, {served} served");

    *behaviour.lock().expect("no panic") = TableBehaviour { throttled: 2, ..TableBehaviour::default() };
    assert_eq!(Pull::of(&wipe().await.expect("no panic")).len(), 5);
    assert_eq!(behaviour.lock().expect("no panic").throttled, 0, "it was not throttled");
}

/// The counter that the rows must add up to is older than all versions in the row's history. A counter that is read now is older
/// than the row by the time that the row is read.
#[tokio::test]
async fn a_strong_reading_adds_up_although_a_row_is_written_more_often_meanwhile_than_its_list_holds() {
    let (projects, behaviour) = projects(1).await;
    let table = TestTable::of_this_process().await;
    let busy = TestApp::on(table, table.table().await.with_max_history_bytes(6)).await;
    behaviour.lock().expect("no panic").hot = Some((projects[0].seen_by(busy), 9));
    let answer = pull_all(&projects, 1).await.remove(0);
    let pull = Pull::of(&answer);
    assert_eq!((pull.path.as_str(), pull.mark, pull.len()), ("strong", 4, 2));
    assert_eq!(behaviour.lock().expect("no panic").strong, [true], "it was not read a second time");
    assert!(pull.checksums.is_none() && pull.versions().iter().any(|version| *version > 4));
}

/// All rows are known then, so no page of the herd takes another strong read.
#[tokio::test]
async fn one_strong_reading_fills_all_pages_that_follow() {
    let limits = Limits { min_rows: 1, ..Limits::of_bytes(1024 * 1024) };
    let (projects, behaviour) = projects_with_pages(1, limits).await;
    for n in 0..6 {
        projects[0].create("tasks", json!({"id": format!("n{n}"), "name": "N"})).await;
    }
    let (mut device, mut outcomes) = (Device::default(), vec![]);
    while device.mark < projects[0].current_version().await {
        outcomes.push(device.synchronize(&projects[0], Some(4)).await.path);
    }
    assert_eq!(outcomes, ["strong", "kept", "kept"]);
    assert_eq!(behaviour.lock().expect("no panic").strong.len(), 1);
    assert_eq!(device.rows, projects[0].live_rows().await);
}
