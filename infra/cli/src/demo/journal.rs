//! A layer between the SDK and the engine that sees each commit and makes the index lag.
//!
//! The embedded engine's indexes never lag, and those of DynamoDB do. Here the rows of commits younger than [`Journal::lag`] are
//! removed from the answers of `by_version`. A real index may show this state, because the entry of a changed row is deleted and
//! put again elsewhere. It is the mildest lag. Old copies and steps back in time are left to `tests/adversary`.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use serde::Serialize;
use serde_json::Value;
use shared::storage::BY_VERSION;

/// The maximum number of commits that are remembered, of all projects together.
const REMEMBERED: usize = 5_000;

tokio::task_local! {
    /// A short description of the request that is being served.
    pub(super) static REQUEST: String;
}

/// A commit that the journal has seen.
#[derive(Debug, Clone, Serialize)]
pub struct Commit {
    /// The time, in milliseconds since 1970.
    pub at: u64,
    /// The request that made it: method, path and user. None for a commit of an operator's command.
    pub request: Option<String>,
    /// The first and the last of its versions.
    pub versions: (u64, u64),
    #[serde(skip)]
    project: String,
    #[serde(skip)]
    seen: Instant,
}

/// The commits since the stack was started, and the lag of the index.
#[derive(Debug, Default)]
pub struct Journal(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    lag: Duration,
    commits: VecDeque<Commit>,
}

impl Journal {
    /// A client whose calls pass through this journal.
    pub fn client(self: &Arc<Self>, sdk: &SdkConfig) -> Client {
        let mut config = aws_sdk_dynamodb::config::Builder::from(sdk);
        if let Some(inner) = sdk.http_client() {
            let journal = Arc::clone(self);
            config = config.http_client(http_client_fn(move |settings, components| {
                let inner = inner.http_connector(settings, components);
                SharedHttpConnector::new(Connection { inner, journal: Arc::clone(&journal) })
            }));
        }
        Client::from_conf(config.build())
    }

    /// The lag of the index.
    pub fn lag(&self) -> Duration {
        self.state().lag
    }

    /// Sets the lag: from now on the index shows a commit this long after it was made.
    pub fn set_lag(&self, lag: Duration) {
        self.state().lag = lag;
    }

    /// The commits of a project, oldest first.
    pub fn commits(&self, project: &str) -> Vec<Commit> {
        self.state().commits.iter().filter(|commit| commit.project == project).cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, transaction: &Value) {
        let written: BTreeMap<u64, &str> = items(&transaction["TransactItems"])
            .filter_map(|item| version(&item["Put"]["Item"]).zip(item["Put"]["Item"]["project_id"]["S"].as_str()))
            .collect();
        let (Some((first, project)), Some((last, _))) = (written.first_key_value(), written.last_key_value()) else {
            return;
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut state = self.state();
        if state.commits.len() == REMEMBERED {
            state.commits.pop_front();
        }
        state.commits.push_back(Commit {
            at: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            request: REQUEST.try_with(Clone::clone).ok(),
            versions: (*first, *last),
            project: (*project).to_owned(),
            seen: Instant::now(),
        });
    }

    /// The versions of a project's rows that the index does not show yet.
    fn hidden(&self, project: &str) -> HashSet<u64> {
        let state = self.state();
        let young = state.commits.iter().rev().take_while(|commit| commit.seen.elapsed() < state.lag);
        young
            .filter(|commit| commit.project == project)
            .flat_map(|commit| commit.versions.0..=commit.versions.1)
            .collect()
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn version(item: &Value) -> Option<u64> {
    item["server_version"]["N"].as_str()?.parse().ok()
}

#[derive(Debug)]
struct Connection {
    inner: SharedHttpConnector,
    journal: Arc<Journal>,
}

impl HttpConnector for Connection {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let of = |action: &str| request.headers().get("x-amz-target").is_some_and(|target| target.ends_with(action));
        let (transaction, query) = (of(".TransactWriteItems"), of(".Query"));
        let asked: Value = match request.body().bytes() {
            Some(body) if transaction || query => serde_json::from_slice(body).unwrap_or_default(),
            _ => Value::Null,
        };
        let project = asked["ExpressionAttributeValues"][":project"]["S"].as_str();
        let project = project.filter(|_| asked["IndexName"] == BY_VERSION);
        let hidden = project.map(|project| self.journal.hidden(project)).unwrap_or_default();
        let (answer, journal) = (self.inner.call(request), Arc::clone(&self.journal));
        HttpConnectorFuture::new(async move {
            let answer = answer.await?;
            if transaction && answer.status().is_success() {
                journal.note(&asked);
            }
            if hidden.is_empty() { Ok(answer) } else { without(answer, &hidden).await }
        })
    }
}

/// The answer to a query without these rows.
async fn without(answer: HttpResponse, hidden: &HashSet<u64>) -> Result<HttpResponse, ConnectorError> {
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = ByteStream::new(answer.into_body()).collect().await.map_err(|error| ConnectorError::io(error.into()))?;
    let mut page: Value =
        serde_json::from_slice(&body.into_bytes()).map_err(|error| ConnectorError::io(error.into()))?;
    if let Some(rows) = page["Items"].as_array_mut() {
        rows.retain(|row| version(row).is_none_or(|version| !hidden.contains(&version)));
        page["Count"] = rows.len().into();
    }
    let mut answer = HttpResponse::new(status, SdkBody::from(page.to_string()));
    // These headers have the length and checksum of the old body.
    for (name, value) in headers.iter().filter(|(name, _)| !matches!(*name, "content-length" | "x-amz-crc32")) {
        answer.headers_mut().insert(name.to_owned(), value.to_owned());
    }
    Ok(answer)
}
