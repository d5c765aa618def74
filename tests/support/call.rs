//! A request to the product and its answer.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header, request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{TestApp, documented};

/// A request under construction; it is sent when it is awaited.
#[must_use]
pub struct Call {
    router: Router,
    request: request::Builder,
    authorization: Option<String>,
    body: Body,
    beside_newer: bool,
}

impl Call {
    /// A request without a token and a body.
    pub fn new(router: Router, method: Method, path: &str) -> Self {
        let request = Request::builder().method(method).uri(path);
        Self { router, request, authorization: None, body: Body::empty(), beside_newer: false }
    }

    /// The same request to a product beside which a newer version is at work, see [`TestApp::beside_newer`].
    pub fn beside_newer(self, beside_newer: bool) -> Self {
        Self { beside_newer, ..self }
    }

    /// Sends the request as this user.
    pub fn by(self, user: &str) -> Self {
        self.authorization(format!("Bearer {}", TestApp::token(user)))
    }

    /// Adds this `Authorization` header.
    pub fn authorization(mut self, value: impl Into<String>) -> Self {
        self.authorization = Some(value.into());
        self
    }

    /// Sends the request without a user.
    pub fn without_token(mut self) -> Self {
        self.authorization = None;
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// Adds the condition that the row is still at this version.
    pub fn if_match(self, version: u64) -> Self {
        self.header("if-match", &format!("\"{version}\""))
    }

    /// Says that the change was made on this version of the row and must be merged with later changes.
    pub fn based_on(self, version: u64) -> Self {
        self.header("x-base-version", &version.to_string())
    }

    /// Adds this idempotency key.
    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// Adds a JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// Adds any body.
    pub fn body(mut self, content_type: &str, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self.header(header::CONTENT_TYPE.as_str(), content_type)
    }

    async fn send(self) -> Answer {
        let mut request = self.request;
        if let Some(authorization) = self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(self.body).expect("a request");
        let what = format!("{} {}", request.method(), request.uri());
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.router.oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let text = String::from_utf8(body.to_vec()).expect("a body in UTF-8");
        let status = parts.status.as_u16();
        documented::check(&method, &path, status, &parts.headers, &text, self.beside_newer && status < 300);
        Answer { what, status: parts.status.as_u16(), headers: parts.headers, text }
    }
}

impl IntoFuture for Call {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub struct Answer {
    what: String,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The answer that the gateway makes of a function's response.
    pub fn of_lambda(response: &Value) -> Self {
        let status = response["statusCode"].as_u64().expect("a status");
        let headers = response["headers"].as_object().expect("headers").iter().map(|(name, value)| {
            let value = value.as_str().expect("a text").parse::<HeaderValue>().expect("a header's value");
            (name.parse::<HeaderName>().expect("a header's name"), value)
        });
        Self {
            what: "an event".to_owned(),
            status: u16::try_from(status).expect("a status"),
            headers: headers.collect(),
            text: response["body"].as_str().expect("a text").to_owned(),
        }
    }

    /// Checks the status. If it differs, the test fails and shows the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.what, self.start());
        self
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_str(&self.text) {
            Ok(value) => value,
            Err(error) => panic!("{}: {error}: {}", self.what, self.start()),
        }
    }

    /// A header's value, if the header is present.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a readable header"))
    }

    /// A row with the `ETag` that belongs to it.
    #[track_caller]
    pub fn row(&self) -> Value {
        assert!(matches!(self.status, 200 | 201), "{}: {} {}", self.what, self.status, self.start());
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.what);
        let row = self.json();
        assert!(row["id"].is_string(), "{}: no id: {row}", self.what);
        assert_eq!(self.header("etag"), Some(format!("\"{}\"", row["server_version"]).as_str()), "{}", self.what);
        row
    }

    /// The version that the mutation committed.
    #[track_caller]
    pub fn committed(&self) -> u64 {
        let version = self.header("x-server-version").and_then(|version| version.parse().ok());
        version.unwrap_or_else(|| panic!("{}: no X-Server-Version: {:?}", self.what, self.headers))
    }

    /// Whether this is a stored answer that was given before.
    pub fn is_replay(&self) -> bool {
        self.header("idempotent-replay") == Some("true")
    }

    /// Checks that two answers are equal, except for the header of a replay.
    #[track_caller]
    pub fn assert_replays(&self, first: &Self) {
        assert!(self.is_replay() && !first.is_replay(), "{}: {:?}", self.what, self.headers);
        // The costs may differ.
        let kept = |answer: &Self| {
            let mut headers = answer.headers.clone();
            headers.remove("idempotent-replay");
            headers.remove("server-timing");
            headers
        };
        assert_eq!((self.status, kept(self), &self.text), (first.status, kept(first), &first.text), "{}", self.what);
    }

    /// The version of the row in the body.
    #[track_caller]
    pub fn version(&self) -> u64 {
        self.row()["server_version"].as_u64().expect("a version")
    }

    /// Checks that the answer is a problem with this status and code, in the form that every problem has.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.what, self.start());
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.what);
        let problem = self.json();
        assert_eq!(problem["code"], code, "{}: {problem}", self.what);
        assert_eq!(problem["status"], json!(status), "{problem}");
        assert_eq!(problem["type"], format!("urn:trueppm:problem:{code}"), "{problem}");
        for text in ["title", "detail"] {
            assert!(problem[text].as_str().is_some_and(|text| !text.is_empty()), "no {text}: {problem}");
        }
        // The plain client would take these for a sync response and move the device's cursor.
        assert!(problem.get("timestamp").is_none() && problem.get("changes").is_none(), "{problem}");
        problem
    }

    /// The fields that a problem names.
    #[track_caller]
    pub fn fields(&self) -> Vec<String> {
        let problem = self.json();
        let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("{}: no errors: {problem}", self.what));
        let named = errors.iter().map(|error| {
            assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "no message: {error}");
            error["field"].as_str().expect("a field").to_owned()
        });
        named.collect()
    }

    fn start(&self) -> String {
        self.text.chars().take(500).collect()
    }
}
