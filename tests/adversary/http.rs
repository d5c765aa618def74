//! Sends requests to a router as a client would.

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

/// The project of every run.
pub(crate) const PROJECT: &str = "p";

/// A request of a client.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) token: String,
    pub(crate) if_match: Option<u64>,
    /// `X-Base-Version`.
    pub(crate) base: Option<u64>,
    pub(crate) key: Option<String>,
    pub(crate) body: Option<Value>,
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) etag: Option<u64>,
    /// Whether it says when to try again.
    pub(crate) retry_after: bool,
    /// `X-Server-Version`.
    pub(crate) committed: Option<u64>,
    /// Whether the answer says that it was given before.
    pub(crate) replayed: bool,
    /// `X-Merged-Concurrent-Fields`.
    pub(crate) merged: Vec<String>,
    /// The outcome of a pull.
    pub(crate) way: String,
    /// The body, or null if there is none.
    pub(crate) body: Value,
}

impl Ask {
    pub(crate) fn get(path: String, token: &str) -> Self {
        Self { method: Method::GET, path, token: token.to_owned(), if_match: None, base: None, key: None, body: None }
    }

    pub(crate) async fn send(&self, router: &Router) -> Reply {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        if let Some(version) = self.if_match {
            request = request.header(header::IF_MATCH, format!("\"{version}\""));
        }
        if let Some(version) = self.base {
            request = request.header("x-base-version", version);
        }
        if let Some(key) = &self.key {
            request = request.header("idempotency-key", key);
        }
        let body = match &self.body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let answered = router.clone().oneshot(request.body(body).expect("a request")).await;
        Reply::read(answered.expect("routers are infallible")).await
    }
}

impl Reply {
    async fn read(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        let etag = header("etag").trim_matches('"').parse().ok();
        let committed = header("x-server-version").parse().ok();
        let replayed = header("idempotent-replay") == "true";
        let merged = header("x-merged-concurrent-fields");
        let merged = merged.split(", ").filter(|field| !field.is_empty()).map(str::to_owned).collect();
        let way = header("server-timing").split('"').nth(1).unwrap_or("").to_owned();
        let retry_after = !header("retry-after").is_empty();
        let status = parts.status.as_u16();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).expect("JSON") };
        Self { status, etag, retry_after, committed, replayed, merged, way, body }
    }

    /// The stable code of a problem, or an empty text.
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("")
    }
}
