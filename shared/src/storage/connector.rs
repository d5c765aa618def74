//! Carries the SDK's requests.
//!
//! The SDK's own HTTP client also supports HTTP/2 and proxies, which makes up an eighth of a function's binary. DynamoDB needs
//! only HTTP/1.1. And that client returns a stream, which the SDK then copies into one piece. Here the answer is read into one
//! piece at once, within the SDK's attempt. So an answer that is cut short or takes too long is requested again.

use aws_smithy_runtime_api::client::connection::{CaptureSmithyConnection, ConnectionMetadata};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::capture_connection;
use lambda_http::http::header::{HeaderValue, USER_AGENT};
use lambda_http::http::{Request, Response};

use super::sdk_headers;
use crate::outbound::Client;

/// A client as the SDK wants it.
#[derive(Debug, Clone)]
pub(crate) struct Connector(pub(crate) Client);

/// It has no time limits of its own for connecting and reading. The SDK's limit for an attempt bounds both.
impl HttpClient for Connector {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let mut request = plain(request)?;
            let connection = capture_connection(&mut request);
            if let Some(slot) = request.extensions().get::<CaptureSmithyConnection>() {
                // After an answer like 500 the SDK asks not to use the connection again, because a new one may lead to
                // another host.
                slot.set_connection_retriever(move || {
                    let connection = connection.clone();
                    let poison = move || {
                        if let Some(connected) = connection.connection_metadata().as_ref() {
                            connected.poison();
                        }
                    };
                    Some(ConnectionMetadata::builder().proxied(false).poison_fn(poison).build())
                });
            }
            // Every failure of the network may be gone at the next attempt.
            let (parts, mut body) =
                client.request(request).await.map_err(|error| ConnectorError::io(error.into()))?.into_parts();
            let length = parts.headers.get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
            let mut bytes = Vec::with_capacity(length.unwrap_or(0).min(LONGEST));
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| ConnectorError::io(error.into()))?;
                bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            }
            HttpResponse::try_from(Response::from_parts(parts, SdkBody::from(bytes)))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// The largest answer of DynamoDB: 16 MB of items by `BatchGetItem`, with the JSON around them.
const LONGEST: usize = 32 * 1024 * 1024;

/// The request with its body in one piece. The SDK makes requests to DynamoDB in one piece already.
fn plain(request: HttpRequest) -> Result<Request<Full<Bytes>>, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let (mut parts, body) = request.into_parts();
    parts.headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(sdk_headers::USER_AGENT));
    let body = body.bytes().ok_or_else(|| ConnectorError::user("a request that is a stream".into()))?;
    Ok(Request::from_parts(parts, Full::new(Bytes::copy_from_slice(body))))
}
