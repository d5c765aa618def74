//! A service that gives every request the same answer, for the tests of what is read here.

use std::sync::{Arc, LazyLock, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Region;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::base64;
use aws_smithy_types::body::SdkBody;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::super::table::Table;

/// The answer that a service gives to every request, and the number of requests.
#[derive(Debug, Clone)]
pub(super) struct Service(pub(super) u16, pub(super) String, pub(super) Arc<Mutex<u32>>);

impl HttpConnector for Service {
    fn call(&self, _request: HttpRequest) -> HttpConnectorFuture {
        *self.2.lock().expect("no panic") += 1;
        let status = self.0.try_into().expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(self.1.as_str()))))
    }
}

pub(super) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
});
static SDK: LazyLock<aws_config::SdkConfig> =
    LazyLock::new(|| RUNTIME.block_on(Table::sdk_config().region("nowhere-1").no_credentials().load()));

pub(super) fn client(service: &Service) -> Client {
    let connector = SharedHttpConnector::new(service.clone());
    let config = aws_sdk_dynamodb::config::Builder::from(&*SDK)
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .region(Region::from_static("nowhere-1"))
        .allow_no_auth()
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        // Otherwise all clients of a process share what may be tried again.
        .retry_partition(RetryPartition::custom("alone").build());
    Client::from_conf(config.build())
}

pub(super) fn service(status: u16, body: impl Into<String>) -> Service {
    Service(status, body.into(), Arc::default())
}

/// A value as DynamoDB writes it.
pub(super) fn as_json(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(digits) => json!({ "N": digits }),
        AttributeValue::B(blob) => json!({"B": base64::encode(blob.as_ref())}),
        AttributeValue::Bool(value) => json!({ "BOOL": value }),
        AttributeValue::L(list) => json!({ "L": list.iter().map(as_json).collect::<Vec<_>>() }),
        AttributeValue::M(map) => {
            json!({ "M": map.iter().map(|(name, value)| (name.clone(), as_json(value))).collect::<serde_json::Map<_, _>>() })
        }
        other => unreachable!("{other:?}"),
    }
}

/// The body with up to two characters replaced by others, anywhere.
pub(super) fn damaged(body: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let by = prop::sample::select(vec!["", "\"", "}", "]", ",", "x", "\\", "0", "\\u00", "null"]);
    (body, any::<prop::sample::Index>(), by, 0..3_usize).prop_map(|(body, at, by, length)| {
        let places: Vec<usize> = body.char_indices().map(|(place, _)| place).collect();
        let from = at.index(places.len());
        let to = places.get(from + length).copied().unwrap_or(body.len());
        format!("{}{by}{}", &body[..places[from]], &body[to..])
    })
}
