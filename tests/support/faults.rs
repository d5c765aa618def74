//! A table whose calls fail as a test decides.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextMut,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use serde_json::Value;
use shared::storage::Table;

use super::TestTable;

/// The fate of one `TransactWriteItems`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call succeeds.
    None,
    /// The call takes effect, and its answer is lost.
    AnswerLost,
    /// The call takes no effect, and its sender cannot know that.
    NeverArrives,
    /// The table has forgotten its token, as it does after ten minutes.
    TokenForgotten,
    /// The call takes no effect, because the credential has expired.
    Expired,
    /// The call takes no effect, because the project holds as much as DynamoDB lets it.
    Full,
}

/// The answer that replaces the call's own: status and body.
#[derive(Debug)]
struct Instead(u16, &'static str);

const LOST: Instead = Instead(500, "{}");
const EXPIRED: Instead = Instead(
    400,
    r#"{"__type": "com.amazonaws#ExpiredTokenException", "message": "The security token included in the request is expired"}"#,
);

const FULL: Instead = Instead(
    400,
    r#"{"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException", "message": "Transaction cancelled",
        "CancellationReasons": [{"Code": "None"}, {"Code": "ItemCollectionSizeLimitExceeded", "Message": "too large"}]}"#,
);

impl Storable for Instead {
    type Storer = StoreReplace<Self>;
}

impl TestTable {
    /// The table as the product knows it. `fault` decides the fate of each attempt of a transaction. The first attempt is 1.
    pub async fn with_faults(&self, fault: impl Fn(usize) -> Fault + Send + Sync + 'static) -> Table {
        let client = self.client().await;
        let faulty = Faulty { fault, tries: AtomicUsize::new(0) };
        Table::new(Client::from_conf(client.config().to_builder().interceptor(faulty).build()), &self.name)
    }
}

struct Faulty<F> {
    fault: F,
    tries: AtomicUsize,
}

impl<F> fmt::Debug for Faulty<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

impl<F: Fn(usize) -> Fault + Send + Sync> Intercept for Faulty<F> {
    fn name(&self) -> &'static str {
        "Faulty"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        if !request.headers().get("x-amz-target").is_some_and(|target| target.ends_with(".TransactWriteItems")) {
            return Ok(());
        }
        match (self.fault)(self.tries.fetch_add(1, Ordering::Relaxed) + 1) {
            Fault::None => {}
            Fault::AnswerLost => {
                config.interceptor_state().store_put(LOST);
            }
            fault @ (Fault::NeverArrives | Fault::Expired | Fault::Full) => {
                *request.body_mut() = SdkBody::from("{}");
                request.headers_mut().insert("content-length", "2");
                config.interceptor_state().store_put(match fault {
                    Fault::Expired => EXPIRED,
                    Fault::Full => FULL,
                    _ => LOST,
                });
            }
            Fault::TokenForgotten => {
                let mut body: Value = serde_json::from_slice(request.body().bytes().ok_or("a body in memory")?)?;
                let token = body["ClientRequestToken"].as_str().ok_or("a token")?.replace('-', "_");
                body["ClientRequestToken"] = token.into();
                *request.body_mut() = SdkBody::from(body.to_string());
                let length = request.body().bytes().ok_or("a body in memory")?.len();
                request.headers_mut().insert("content-length", length.to_string());
            }
        }
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(Instead(status, body)) = config.load::<Instead>() {
            *context.response_mut() = HttpResponse::new((*status).try_into()?, SdkBody::from(*body));
        }
        Ok(())
    }
}
