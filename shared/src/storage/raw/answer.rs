//! Reads an answer out of the bytes that DynamoDB sends.
//!
//! The SDK makes a map of attribute values of every item. That takes most of the time of a first pull. Here the SDK
//! still finds the endpoint, signs, waits for the body and tries again. Only its deserializer is replaced: an
//! interceptor puts our own in its place.

use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use aws_sdk_dynamodb::config::interceptors::BeforeSerializationInterceptorContextMut;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::{BoxError, ErrorMetadata};
use aws_sdk_dynamodb::types::ConsumedCapacity;
use aws_smithy_runtime_api::client::interceptors::context::{Error as AnyError, Output};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::ser_de::{DeserializeResponse, SharedResponseDeserializer};
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt;
use serde::Deserialize;

use crate::domain::Error;

/// An answer that is read here.
pub(super) trait Answer: Debug + Send + Sync + Sized + 'static {
    /// The operation's error. The SDK's retries classify it by its type and code.
    type SdkError: std::error::Error + Send + Sync + 'static;

    fn sdk_error(metadata: ErrorMetadata) -> Self::SdkError;

    /// Reads the body of a success. A body that is not well-formed is an error of JSON, and is asked for again.
    fn read(body: &Arc<String>) -> serde_json::Result<Read<Self>>;
}

/// What was read of a body.
pub(super) struct Read<A> {
    pub(super) answer: Result<A, Error>,
    /// The operation's output in the SDK's type. It has the consumed capacity and nothing else.
    pub(super) output: Output,
}

/// Parses the body of an answer. If it is well-formed but not what the product writes, it is corrupt: `what` names it, because
/// the parser's own error may quote it.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a str, what: &str) -> serde_json::Result<Result<T, Error>> {
    match serde_json::from_str(body) {
        Ok(answer) => Ok(Ok(answer)),
        Err(error) if error.is_data() => Ok(Err(Error::Corrupt(what.to_owned()))),
        Err(error) => Err(error),
    }
}

/// The capacity units that a call consumed.
#[derive(Deserialize)]
pub(super) struct Capacity {
    #[serde(rename = "CapacityUnits")]
    units: Option<f64>,
}

impl From<Capacity> for ConsumedCapacity {
    fn from(capacity: Capacity) -> Self {
        Self::builder().set_capacity_units(capacity.units).build()
    }
}

/// Replaces the deserializer of the call to which it is given as an interceptor, and keeps what it read.
#[derive(Debug)]
pub(super) struct ReadAnswer<A>(Arc<Mutex<Option<Result<A, Error>>>>);

impl<A> ReadAnswer<A> {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// The answer of the call that is over.
    pub(super) fn take(self) -> Result<A, Error> {
        let answer = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        answer.unwrap_or_else(|| Err(Error::Unavailable("a call without an answer".into())))
    }
}

impl<A> Clone for ReadAnswer<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A: Answer> Intercept for ReadAnswer<A> {
    fn name(&self) -> &'static str {
        "ReadAnswer"
    }

    fn modify_before_serialization(
        &self,
        _context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(SharedResponseDeserializer::new(self.clone()));
        Ok(())
    }
}

impl<A: Answer> DeserializeResponse for ReadAnswer<A> {
    /// Of the two methods, only this one is given the body to keep.
    fn deserialize_streaming_with_config(
        &self,
        response: &mut HttpResponse,
        _config: &ConfigBag,
    ) -> Option<Result<Output, OrchestratorError<AnyError>>> {
        if !response.status().is_success() {
            return None;
        }
        let body = std::mem::replace(response.body_mut(), SdkBody::taken());
        Some(whole(body).and_then(|body| {
            let Read { answer, output } =
                A::read(&Arc::new(body)).map_err(|error| OrchestratorError::response(error.into()))?;
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
            Ok(output)
        }))
    }

    /// Reads the error of an answer that is no success.
    fn deserialize_nonstreaming_with_config(
        &self,
        response: &HttpResponse,
        _config: &ConfigBag,
    ) -> Result<Output, OrchestratorError<AnyError>> {
        let body = response.body().bytes().ok_or_else(|| OrchestratorError::other("a body that was not read"))?;
        Err(OrchestratorError::operation(AnyError::erase(A::sdk_error(error_in(response, body)))))
    }
}

/// A body that is already complete in one piece, as the connector hands it on.
fn whole(mut body: SdkBody) -> Result<String, OrchestratorError<AnyError>> {
    let frame = match pin!(body.frame()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(frame)) => frame.map_err(OrchestratorError::response)?,
        Poll::Ready(None) => return Ok(String::new()),
        Poll::Pending => return Err(OrchestratorError::other("a body that was not read")),
    };
    let bytes = frame.into_data().map_err(|_| OrchestratorError::other("a body without data"))?;
    // The body keeps its bytes in case they are read again, and so they would be copied.
    drop(body);
    String::from_utf8(bytes.into()).map_err(|error| OrchestratorError::response(error.into()))
}

/// What an error is classified by: its code.
fn error_in(response: &HttpResponse, body: &[u8]) -> ErrorMetadata {
    #[derive(Deserialize)]
    struct Problem {
        #[serde(rename = "__type")]
        kind: String,
        #[serde(alias = "Message")]
        message: Option<String>,
    }
    let mut metadata = ErrorMetadata::builder();
    if let Some(id) = response.headers().get("x-amzn-requestid") {
        metadata = metadata.custom("aws_request_id", id.to_owned());
    }
    if let Ok(Problem { kind, message }) = serde_json::from_slice(body) {
        metadata = metadata.code(kind.rsplit_once('#').map_or(kind.as_str(), |(_, code)| code));
        if let Some(message) = message {
            metadata = metadata.message(message);
        }
    }
    metadata.build()
}
