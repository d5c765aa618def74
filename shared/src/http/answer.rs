//! Successful responses.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::seen::LoggedOutcome;
use crate::idempotency::{Answered, RestAnswer};

/// The header with the version that a mutation committed.
const SERVER_VERSION: HeaderName = HeaderName::from_static("x-server-version");
/// The header that is `true` on a stored response that is sent again.
const REPLAY: HeaderName = HeaderName::from_static("idempotent-replay");

impl IntoResponse for RestAnswer {
    fn into_response(self) -> Response {
        let has_body = !self.body.is_empty();
        let mut response = self.body.into_response();
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_TYPE);
        if has_body {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
        response
    }
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        let mut response = self.answer.into_response();
        response.headers_mut().insert(SERVER_VERSION, HeaderValue::from(self.version.get()));
        response.extensions_mut().insert(LoggedOutcome { mark: Some(self.version.get()), ..LoggedOutcome::default() });
        if self.replayed {
            response.headers_mut().insert(REPLAY, HeaderValue::from_static("true"));
        }
        response
    }
}
