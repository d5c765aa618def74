//! An HTTP client of the product, for a server's address and a token.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use shared::outbound;
use tokio::time::{sleep, timeout};

/// The timeout of a call. The gateway gives a function 29 s.
const PATIENCE: Duration = Duration::from_secs(35);
/// The maximum number of attempts if the server asks to retry later.
const TRIES: u32 = 6;
/// The longest wait before the next attempt, in seconds.
const LONGEST_PAUSE: u64 = 20;

/// The reason why a call has no usable response.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No server answers at the address, or none in time.
    #[error("cannot reach {url}: {why}")]
    Unreachable {
        /// The address that was called.
        url: String,
        /// The system's error message.
        why: String,
    },
    /// The server refused the request.
    #[error("{call}: {status}: {}", problem["detail"].as_str().or(problem["message"].as_str()).unwrap_or("no reason given"))]
    Refused {
        /// Method and path.
        call: String,
        /// The response's status.
        status: StatusCode,
        /// The problem document (RFC 9457), or null if the response has none.
        problem: Value,
    },
    /// The response is not one of this product.
    #[error("{call}: the response is not from this product: {why}")]
    Strange {
        /// Method and path.
        call: String,
        /// The fault in words.
        why: String,
    },
    /// The project is deleted for this caller.
    #[error("the project {0} was deleted, or your membership was revoked")]
    Gone(String),
    /// The URL is invalid.
    #[error("{url:?} is not a valid server URL: {why}")]
    NoAddress {
        /// The URL that was given.
        url: String,
        /// The fault in words.
        why: String,
    },
}

impl CallError {
    /// The stable `code` of the problem, if the server refused the request with one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { problem, .. } => problem["code"].as_str(),
            _ => None,
        }
    }
}

/// A successful response.
#[derive(Debug)]
pub struct Reply {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, unchanged.
    pub body: Bytes,
    call: String,
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> Result<Value, CallError> {
        let strange = |error: serde_json::Error| CallError::Strange { call: self.call.clone(), why: error.to_string() };
        serde_json::from_slice(&self.body).map_err(strange)
    }
}

/// Calls one server as one user.
#[derive(Debug)]
pub struct Client {
    base: String,
    token: String,
    http: outbound::Client,
}

impl Client {
    /// A client for the server at `url`, which may end with the path of a stage. Sends no request yet.
    pub fn new(url: &str, token: &str) -> Result<Self, CallError> {
        let no_address = |why: String| CallError::NoAddress { url: url.to_owned(), why };
        let base = url.trim_end_matches('/').to_owned();
        let uri: axum::http::Uri = base.parse().map_err(|_| no_address("it is not a URL".to_owned()))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err(no_address("it must begin with https:// or http://".to_owned()));
        }
        if uri.query().is_some() {
            return Err(no_address("it must not have a query".to_owned()));
        }
        let http = outbound::client_of_the_system()
            .map_err(|error| no_address(format!("this system has no certificate authorities to trust: {error}")))?;
        Ok(Self { base, token: token.to_owned(), http })
    }

    /// The user in the token. The signature is not checked.
    pub fn user(&self) -> Option<String> {
        let claims = URL_SAFE_NO_PAD.decode(self.token.split('.').nth(1)?).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        Some(claims["sub"].as_str()?.to_owned())
    }

    /// Sends a GET request.
    pub async fn get(&self, path: &str) -> Result<Reply, CallError> {
        self.send(Method::GET, path, None).await
    }

    /// Sends a request that is safe to repeat. Responses 429 and 503 are retried a few times.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Reply, CallError> {
        self.repeat(&method, path, body, None).await
    }

    /// Sends a PATCH, which merges with what others changed since the version `base` of the row, if one is given.
    pub async fn change(&self, path: &str, body: &Value, base: Option<u64>) -> Result<Reply, CallError> {
        self.repeat(&Method::PATCH, path, Some(body), base).await
    }

    async fn repeat(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        base: Option<u64>,
    ) -> Result<Reply, CallError> {
        let body = body.map(|body| Bytes::from(body.to_string()));
        let mut tries = 1;
        loop {
            let (status, reply) = self.once(method, path, body.clone(), base).await?;
            let later = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
            if status.is_success() {
                return Ok(reply);
            } else if !later || tries == TRIES {
                let problem = serde_json::from_slice(&reply.body).unwrap_or_default();
                return Err(CallError::Refused { call: reply.call, status, problem });
            }
            let named = reply.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            sleep(Duration::from_secs(named.unwrap_or(1).min(LONGEST_PAUSE))).await;
            tries += 1;
        }
    }

    async fn once(
        &self,
        method: &Method,
        path: &str,
        body: Option<Bytes>,
        base: Option<u64>,
    ) -> Result<(StatusCode, Reply), CallError> {
        let call = format!("{method} {path}");
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::USER_AGENT, concat!("trueppm-local/", env!("CARGO_PKG_VERSION")));
        if let Some(base) = base {
            request = request.header("x-base-version", base);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body.unwrap_or_default()));
        let request = request.map_err(|error| CallError::Strange { call: call.clone(), why: error.to_string() })?;
        let unreachable = |why: String| CallError::Unreachable { url: self.base.clone(), why };
        let exchange = async {
            let response = self.http.request(request).await.map_err(|error| unreachable(innermost(&error)))?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| unreachable(innermost(&error)))?.to_bytes();
            Ok((head.status, Reply { headers: head.headers, body, call }))
        };
        match timeout(PATIENCE, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(unreachable(format!("no response within {} s", PATIENCE.as_secs()))),
        }
    }
}

/// The message of the innermost error. The layers around it add nothing.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let last = std::iter::successors(Some(error), |error| error.source()).last();
    last.map(ToString::to_string).unwrap_or_default()
}
