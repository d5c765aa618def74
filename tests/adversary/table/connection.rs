//! The connection to the table, in place of an HTTP connection of the SDK.

use std::sync::Arc;

use aws_config::Region;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::StalledStreamProtectionConfig;
use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
use aws_sdk_dynamodb::config::retry::RetryPartition;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use serde_json::Value;

use super::calls::Call;
use super::capacity::Meter;
use super::{Millis, NAME, UnreliableTable, pause};

/// The fate of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Served,
    Throttled(&'static str),
    /// The call is refused or cut off without effect.
    FailedBefore(Failure),
    /// The call takes effect, and its answer is lost.
    FailedAfter(Failure),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    InternalError,
    Disconnected,
    /// Nothing ever comes back.
    Silence,
}

const THROTTLES: [&str; 3] = ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"];

/// The answer to a call: status and JSON.
pub(super) type Answer = (u16, String);

/// An error as DynamoDB words it.
pub(super) fn error(status: u16, kind: &str) -> Answer {
    error_with(status, kind, "")
}

/// An error with more members, each with a comma before it.
pub(super) fn error_with(status: u16, kind: &str, more: &str) -> Answer {
    (status, format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{kind}","message":"{kind}"{more}}}"#))
}

#[derive(Debug)]
struct Connection {
    table: Arc<UnreliableTable>,
    meter: Arc<Meter>,
    has_archive: bool,
    /// The number of the table that it leads to, among the tables that had this name.
    incarnation: u64,
}

impl HttpConnector for Connection {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request = if self.has_archive { Some(request) } else { before_the_archive(request) };
        let (table, meter) = (Arc::clone(&self.table), Arc::clone(&self.meter));
        match request {
            Some(request) => HttpConnectorFuture::new(table.serve(request, meter, self.incarnation)),
            None => HttpConnectorFuture::ready(Ok(HttpResponse::new(
                200.try_into().expect("a status"),
                SdkBody::from("{}"),
            ))),
        }
    }
}

/// Whether the caller's code is older than the archive and the index of live dependencies. Such code drops versions without
/// archiving them, and writes rows without attributes that it does not know.
fn before_the_archive(mut request: HttpRequest) -> Option<HttpRequest> {
    let target = request.headers().get("x-amz-target").expect("a target");
    if target.ends_with("BatchWriteItem") {
        return None;
    }
    if target.ends_with("TransactWriteItems") {
        let mut body: Value = serde_json::from_slice(request.body().bytes().expect("a body in memory")).expect("JSON");
        for item in body["TransactItems"].as_array_mut().into_iter().flatten() {
            if let Some(put) = item.get_mut("Put").and_then(|put| put["Item"].as_object_mut()) {
                put.remove("archived_from");
                put.remove("live_edge");
            }
        }
        *request.body_mut() = SdkBody::from(body.to_string());
    }
    Some(request)
}

impl UnreliableTable {
    /// A client that shares nothing with others: it has its own connections and its own retry budget.
    pub(crate) fn client(self: &Arc<Self>, sdk: &aws_config::SdkConfig) -> Client {
        self.metered_client(sdk, Arc::default())
    }

    /// A client of code that is older than the archive.
    pub(crate) fn older_client(self: &Arc<Self>, sdk: &aws_config::SdkConfig) -> Client {
        self.client_over(sdk, Arc::default(), false)
    }

    /// A client whose calls are counted.
    pub(crate) fn metered_client(self: &Arc<Self>, sdk: &aws_config::SdkConfig, meter: Arc<Meter>) -> Client {
        self.client_over(sdk, meter, true)
    }

    fn client_over(self: &Arc<Self>, sdk: &aws_config::SdkConfig, meter: Arc<Meter>, has_archive: bool) -> Client {
        let (table, incarnation) = (Arc::clone(self), self.state().incarnation);
        let connector = SharedHttpConnector::new(Connection { table, meter, has_archive, incarnation });
        let config = aws_sdk_dynamodb::config::Builder::from(sdk)
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .region(Region::from_static("nowhere-1"))
            .allow_no_auth()
            // This depends on the time of day, which a run does not have.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .retry_partition(RetryPartition::custom("alone").build());
        Client::from_conf(config.build())
    }

    async fn serve(
        self: Arc<Self>,
        request: HttpRequest,
        meter: Arc<Meter>,
        incarnation: u64,
    ) -> Result<HttpResponse, ConnectorError> {
        let target = request.headers().get("x-amz-target").expect("a target");
        let name = target.strip_prefix("DynamoDB_20120810.").expect("DynamoDB").to_owned();
        let body: Value = serde_json::from_slice(request.body().bytes().expect("a body in memory")).expect("JSON");
        let call = Call::of(&name, body);
        meter.call();
        let (fate, there, back) = self.draw_fate(call.kind());
        self.trace(|| format!("  {name} on its way for {there} and {back} ms: {fate:?}"));
        let _reseeded = Reseeded(Arc::clone(&self));
        let table = Arc::clone(&self);
        let is_write = call.is_write();
        let served = async move {
            pause(there).await;
            let is_gone = table.state().incarnation != incarnation;
            let answer = match fate {
                // A call that was on its way to a lost table changes nothing any more.
                _ if is_gone => error(400, "ResourceNotFoundException"),
                Fate::Throttled(kind) => error(400, kind),
                Fate::FailedBefore(_) => error(500, "InternalServerError"),
                Fate::Served | Fate::FailedAfter(_) => table.answer(call, &meter).await,
            };
            pause(back).await;
            answer
        };
        // A write that is on its way still arrives if its caller gives up or is killed.
        let (status, body) = if is_write { self.detached(served).await } else { served.await };
        let failure = match fate {
            Fate::FailedBefore(failure) | Fate::FailedAfter(failure) => Some(failure),
            Fate::Served | Fate::Throttled(_) => None,
        };
        let (status, body) = match failure {
            Some(Failure::Silence) => std::future::pending().await,
            Some(Failure::Disconnected) => return Err(ConnectorError::io("the connection was reset".into())),
            Some(Failure::InternalError) => error(500, "InternalServerError"),
            None => (status, body),
        };
        Ok(HttpResponse::new(status.try_into().expect("a status"), SdkBody::from(body)))
    }

    async fn detached(&self, served: impl Future<Output = Answer> + Send + 'static) -> Answer {
        match tokio::spawn(served).await {
            Ok(answer) => answer,
            Err(panic) => {
                self.fail(crate::run::message(panic));
                std::future::pending().await
            }
        }
    }

    fn draw_fate(&self, name: &str) -> (Fate, Millis, Millis) {
        let mut state = self.state();
        let state = &mut *state;
        state.figures.call(name);
        let (rng, faults) = (&mut state.rng, state.faults);
        let (there, back) = (faults.network.draw(rng), faults.network.draw(rng));
        let mut chance = rng.f64();
        let mut happens = |probability: f64| {
            chance -= probability;
            chance < 0.0
        };
        let fate = if happens(faults.throttled) {
            Fate::Throttled(THROTTLES[rng.usize(..THROTTLES.len())])
        } else if happens(faults.failed_before) {
            Fate::FailedBefore(if rng.bool() { Failure::InternalError } else { Failure::Disconnected })
        } else if happens(faults.failed_after) {
            Fate::FailedAfter(if rng.bool() { Failure::InternalError } else { Failure::Disconnected })
        } else if happens(faults.answer_lost) {
            Fate::FailedAfter(Failure::Silence)
        } else {
            Fate::Served
        };
        match fate {
            Fate::Served => {}
            Fate::Throttled(_) => state.figures.inject("call throttled"),
            Fate::FailedBefore(Failure::InternalError) => state.figures.inject("InternalServerError, no effect"),
            Fate::FailedBefore(_) => state.figures.inject("connection lost before the effect"),
            Fate::FailedAfter(Failure::InternalError) => state.figures.inject("InternalServerError after the effect"),
            Fate::FailedAfter(_) => state.figures.inject("answer lost after the effect"),
        }
        if there.max(back) > 1_000 {
            state.figures.inject("call delayed beyond a second");
        }
        (fate, there, back)
    }
}

/// Seeds this thread's generator at the end of a call, whether it was answered or given up.
///
/// After a call, jitter in the product and in the SDK comes from this generator. Other code draws from it, too, for example when
/// a process sets something up. That must not change a run.
struct Reseeded(Arc<UnreliableTable>);

impl Drop for Reseeded {
    fn drop(&mut self) {
        fastrand::seed(self.0.state().rng.u64(..));
    }
}

/// Refuses a call for another table.
pub(super) fn expect_table(name: &Value) {
    assert_eq!(name, NAME, "another table");
}
