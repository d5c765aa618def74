//! A table of one project that consists only of recorded answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::Region;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
use aws_sdk_dynamodb::config::retry::RetryPartition;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_types::base64;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};
use shared::domain::{Checksums, Collection, ProjectId, Row, State};
use shared::storage::Table;
use tokio::sync::Semaphore;

/// A replacement for the SDK's HTTP connections. It knows the reads of a pull, all of which are of its project. It makes the
/// answer to a query once and then replays it, so that a measurement does not include the work of a table.
#[derive(Debug, Clone)]
pub struct Replay {
    known: Arc<Known>,
    /// The pages made so far, by request.
    pages: Arc<Mutex<HashMap<Vec<u8>, SdkBody>>>,
    delay: Duration,
    at_once: Arc<Semaphore>,
}

#[derive(Debug)]
struct Known {
    counter_and_membership: String,
    counter: String,
    /// The rows, by ascending version.
    rows: Vec<KnownRow>,
    /// The size of a page, in bytes of JSON.
    page: usize,
}

#[derive(Debug)]
struct KnownRow {
    version: u64,
    item: String,
    /// The item without the row's content, if the row superseded a version.
    superseding: Option<String>,
}

impl Replay {
    /// A table of these rows, one of which is the caller's membership, with pages of this many bytes. `quoted` writes a text into
    /// the JSON of an answer.
    pub fn new(
        project: &ProjectId,
        membership: &Row,
        rows: &[Row],
        page: usize,
        quoted: &dyn Fn(&str) -> String,
    ) -> Self {
        let known = |row: &Row| KnownRow {
            version: row.version.get(),
            item: item(project, row, quoted),
            superseding: (!row.history.is_empty()).then(|| proof(project, row).to_string()),
        };
        let mut rows: Vec<KnownRow> = rows.iter().map(known).collect();
        rows.sort_unstable_by_key(|row| row.version);
        let counter = counter(project, rows.last().map_or(0, |row| row.version));
        let known = Known {
            counter_and_membership: format!("{counter},{}", item(project, membership, quoted)),
            counter,
            rows,
            page,
        };
        Self {
            known: Arc::new(known),
            pages: Arc::default(),
            delay: Duration::ZERO,
            at_once: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }

    /// A table that takes this long for each answer and answers this many calls at once.
    #[must_use]
    pub fn slowed(mut self, delay: Duration, at_once: usize) -> Self {
        self.delay = delay;
        self.at_once = Arc::new(Semaphore::new(at_once));
        self
    }

    /// A client of it.
    pub async fn client(&self) -> Client {
        let connector = SharedHttpConnector::new(self.clone());
        let sdk = Table::sdk_config().region(Region::from_static("nowhere-1")).no_credentials().load().await;
        let config = aws_sdk_dynamodb::config::Builder::from(&sdk)
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .allow_no_auth()
            .retry_partition(RetryPartition::custom("alone").build());
        Client::from_conf(config.build())
    }

    fn answer(&self, request: &HttpRequest) -> SdkBody {
        let operation = request.headers().get("x-amz-target").and_then(|target| target.rsplit_once('.'));
        let known = &self.known;
        match operation.expect("a target").1 {
            "BatchGetItem" => {
                let items = &known.counter_and_membership;
                format!(r#"{{"Responses":{{"t":[{items}]}},"UnprocessedKeys":{{}}}}"#).into()
            }
            "GetItem" => format!(r#"{{"Item":{}}}"#, known.counter).into(),
            "Query" => {
                let asked = request.body().bytes().expect("a body in memory");
                let mut pages = self.pages.lock().expect("no panic");
                let page = pages.entry(asked.to_vec()).or_insert_with(|| known.page_of(asked).into());
                page.try_clone().expect("a body in memory")
            }
            other => panic!("no pull does {other}"),
        }
    }
}

impl Known {
    fn page_of(&self, asked: &[u8]) -> String {
        let asked: Value = serde_json::from_slice(asked).expect("JSON");
        let number = |value: &Value| value["N"].as_str().and_then(|digits| digits.parse::<u64>().ok());
        let values = &asked["ExpressionAttributeValues"];
        let after = number(&values[":after"]).or(number(&values[":first"]).map(|first| first - 1)).unwrap_or(0);
        let to = number(&values[":last"]).unwrap_or(u64::MAX);
        let start = number(&asked["ExclusiveStartKey"]["server_version"]);
        let mut wanted: Vec<&KnownRow> =
            self.rows.iter().filter(|row| (after + 1..=to).contains(&row.version)).collect();
        if asked["ScanIndexForward"] == false {
            wanted.reverse();
        }
        if let Some(start) = start {
            let met = wanted.iter().position(|row| row.version == start).expect("a key of this query");
            wanted.drain(..=met);
        }
        let mut bytes = 0;
        let fits = wanted.iter().take_while(|row| {
            let fits = bytes < self.page;
            bytes += row.item.len();
            fits
        });
        let page: Vec<&KnownRow> = fits.copied().collect();
        let last = if page.len() < wanted.len() { page.last() } else { None };
        let last = last.map(|row| {
            json!({"project_id": {"S": "p"}, "entity": {"S": "e"},
            "server_version": {"N": row.version.to_string()}})
        });
        let more = last.map(|key| format!(r#","LastEvaluatedKey":{key}"#)).unwrap_or_default();
        let items: Vec<&str> = match asked["FilterExpression"].as_str() {
            None => page.iter().map(|row| row.item.as_str()).collect(),
            Some(filter) => {
                assert_eq!(filter, "attribute_exists(superseded)", "no pull asks for that");
                page.iter().filter_map(|row| row.superseding.as_deref()).collect()
            }
        };
        let (count, scanned) = (items.len(), page.len());
        format!(r#"{{"Items":[{}],"Count":{count},"ScannedCount":{scanned}{more}}}"#, items.join(","))
    }
}

impl HttpConnector for Replay {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let replay = self.clone();
        HttpConnectorFuture::new(async move {
            let _under_way = replay.at_once.acquire().await;
            if !replay.delay.is_zero() {
                tokio::time::sleep(replay.delay).await;
            }
            let status = 200.try_into().expect("a status");
            Ok(HttpResponse::new(status, replay.answer(&request)))
        })
    }
}

/// The item of a row, as a page of the index shows it and a bit more.
fn item(project: &ProjectId, row: &Row, quoted: &dyn Fn(&str) -> String) -> String {
    let name = match row.state {
        State::Live(_) => "row",
        State::Dead(_) => "deleted_row",
    };
    let item = proof(project, row).to_string();
    let open = item.strip_suffix('}').expect("an object");
    format!(r#"{open},"{name}":{{"S":{}}}}}"#, quoted(&row.device_json(project)))
}

/// The attributes that a proof uses.
fn proof(project: &ProjectId, row: &Row) -> Value {
    let bytes = |bytes: Vec<u8>| json!({"B": base64::encode(bytes)});
    let mut item = json!({"project_id": {"S": project}, "entity": {"S": row.key.to_string()},
        "server_version": {"N": row.version.to_string()}, "writes": {"N": row.revision_count.to_string()},
        "changed": bytes(row.column_versions.encode(row.version))});
    if !row.history.is_empty() {
        item["superseded"] = bytes(row.history.encode(row.version));
    }
    if matches!(row.state, State::Dead(_)) {
        item["is_deleted"] = json!({"BOOL": true});
    }
    item
}

fn counter(project: &ProjectId, current: u64) -> String {
    let zeros =
        json!({"L": Checksums::default().get(Collection::Tasks).map(|number| json!({"N": number.to_string()}))});
    let checksums: HashMap<&str, &Value> =
        Collection::ALL.iter().map(|collection| (collection.name(), &zeros)).collect();
    json!({"project_id": {"S": project}, "entity": {"S": "_counter"}, "current_version": {"N": current.to_string()},
        "last": {"M": {}}, "checksums": {"M": checksums}})
    .to_string()
}
