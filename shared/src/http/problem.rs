//! Errors as RFC 9457 problem details.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::seen::ProblemCode;
use crate::auth::TokenError;
use crate::domain::json::InvalidJson;
use crate::domain::{Error, FieldConflict, FieldError};

/// The maximum number of field errors in one problem. It bounds the size of the response.
const MAX_LISTED: usize = 20;

/// An error response: `application/problem+json` with a stable `code`.
///
/// It never has a member called `timestamp` or `changes`. The plain client would take it for a sync response and move the
/// device's cursor.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem. `detail` says what is wrong and what the caller can do.
    pub fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, title, detail: detail.into(), members: Map::new(), headers: vec![] }
    }

    /// A part of the request other than its body is invalid: 400 `invalid_parameter`. `errors` names the part.
    pub fn parameter(name: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::new(StatusCode::BAD_REQUEST, "invalid_parameter", "Invalid parameter", format!("{name} {message}."))
            .with("errors", json!([FieldError { field: name.to_owned(), message }]))
    }

    /// No route has this path: 404 `no_such_route`.
    pub fn no_such_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no_such_route", "No such route", "No route has this path. Check the path.")
    }

    /// The route supports other methods: 405 `method_not_allowed`.
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "Method not allowed",
            "This route does not support the method. The Allow header lists those that it supports.",
        )
    }

    /// The body's media type is not JSON: 415 `unsupported_media_type`.
    pub fn unsupported_media_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Unsupported media type",
            "Send JSON with the header `Content-Type: application/json`.",
        )
    }

    /// The body is compressed: 415 `unsupported_media_type`.
    pub fn encoded_body() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Compressed body",
            "Send the body uncompressed and without a Content-Encoding header.",
        )
    }

    /// The body has more than `max` bytes: 413 `body_too_large`.
    pub fn body_too_large(max: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "Body too large",
            format!("The body of this request may have at most {max} bytes. Send a smaller body."),
        )
    }

    /// The caller's budget is spent: 429 `rate_limited`. The caller may retry after `wait`.
    pub fn rate_limited(wait: Duration) -> Self {
        let seconds = wait.as_secs() + 1;
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            "Too many requests",
            format!("You have sent too many requests. Retry after {seconds} s."),
        )
        .header(header::RETRY_AFTER, seconds.to_string())
    }

    /// The body is not a JSON object: 400 `malformed_json`.
    pub fn malformed_json(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed_json", "Malformed JSON", detail)
    }

    #[must_use]
    fn with(mut self, member: &str, value: Value) -> Self {
        self.members.insert(member.to_owned(), value);
        self
    }

    #[must_use]
    fn header(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.push((name, value));
        }
        self
    }

    /// The same problem in one operation of a batch. The member `operation` has its index.
    fn in_operation(mut self, index: usize) -> Self {
        self.detail = format!("Operation {index}: {}", self.detail);
        self.with("operation", json!(index))
    }

    /// The status, and the body without the headers that may belong to it.
    pub fn into_body(self) -> (StatusCode, Value) {
        let mut body = self.members;
        body.insert("type".to_owned(), json!(format!("urn:trueppm:problem:{}", self.code)));
        body.insert("title".to_owned(), json!(self.title));
        body.insert("status".to_owned(), json!(self.status.as_u16()));
        body.insert("detail".to_owned(), json!(self.detail));
        body.insert("code".to_owned(), json!(self.code));
        (self.status, Value::Object(body))
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What is wrong and what the caller can do.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The seconds after which the caller may try again, if waiting helps.
    pub fn retry_after(&self) -> Option<u64> {
        let (_, seconds) = self.headers.iter().find(|(name, _)| *name == header::RETRY_AFTER)?;
        seconds.to_str().ok()?.parse().ok()
    }

    fn internal_error() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "Internal error",
            "The server failed. The error was logged. If it happens again, tell the operator.",
        )
    }

    fn retry_later(code: &'static str, title: &'static str, detail: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, title, detail).header(header::RETRY_AFTER, "1")
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let (headers, code) = (std::mem::take(&mut self.headers), self.code);
        let (status, body) = self.into_body();
        let mut response = (status, body.to_string()).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().extend(headers);
        response.extensions_mut().insert(ProblemCode(code));
        response
    }
}

/// The only place that maps errors to statuses. It also logs the causes that the caller is not told.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        use StatusCode as S;
        match error {
            Error::NotAMember => Self::new(
                S::FORBIDDEN,
                "not_a_member",
                "Not a member",
                "The project does not exist, or you are not a member. Check the id, or ask an admin of the project to add you.",
            ),
            Error::MembershipRevoked => Self::new(
                S::FORBIDDEN,
                "membership_revoked",
                "Membership revoked",
                "You are no longer a member of this project. Delete its data from the device.",
            ),
            Error::RoleTooLow { needed } => Self::new(
                S::FORBIDDEN,
                "role_too_low",
                "Role too low",
                format!("This request needs the role {needed:?} ({}) or a higher one.", i64::from(needed)),
            ),
            Error::ProjectDeleted => Self::new(
                S::GONE,
                "project_deleted",
                "Project deleted",
                "This project was deleted. Delete its data from the device.",
            ),
            Error::NotFound(key) => {
                Self::new(S::NOT_FOUND, "not_found", "Not found", format!("{key} does not exist in this project."))
            }
            Error::IdTaken(key) => Self::new(
                S::CONFLICT,
                "id_taken",
                "Id taken",
                format!("{key} already exists with other content. Change it with PATCH, or choose another id."),
            ),
            Error::IdDeleted(key) => Self::new(
                S::CONFLICT,
                "id_deleted",
                "Id deleted",
                format!("{key} was deleted, and a deleted id cannot be used again. Choose another id."),
            ),
            Error::Invalid(errors) => {
                let listed = &errors[..errors.len().min(MAX_LISTED)];
                let fields: Vec<_> = listed.iter().map(|e| format!("{} {}", e.field, e.message)).collect();
                let more = match errors.len() - listed.len() {
                    0 => String::new(),
                    more => format!(" And {more} more."),
                };
                Self::new(
                    S::UNPROCESSABLE_ENTITY,
                    "validation_failed",
                    "Validation failed",
                    format!("{}.{more}", fields.join("; ")),
                )
                .with("errors", json!(listed))
            }
            Error::BatchTooLarge { what, max } => Self::new(
                S::UNPROCESSABLE_ENTITY,
                "batch_too_large",
                "Batch too large",
                format!(
                    "With this operation the batch exceeds {max} {what} per commit. Split the batch before it. Delete a task \
                     with very many dependencies by itself."
                ),
            )
            .with("limit", json!({ what: max })),
            Error::Operation { index, error } => Self::from(*error).in_operation(index),
            Error::DependencyCycle { tasks } => {
                let tasks: Vec<String> = tasks.into_iter().map(String::from).collect();
                Self::new(
                    S::CONFLICT,
                    "dependency_cycle",
                    "Dependency cycle",
                    format!(
                        "The dependency would create a cycle: {} -> {}. Remove another dependency of this cycle first.",
                        tasks.join(" -> "),
                        tasks[0]
                    ),
                )
                .with("tasks", json!(tasks))
            }
            Error::DuplicateDependency { id } => Self::new(
                S::CONFLICT,
                "duplicate_dependency",
                "Duplicate dependency",
                format!("Dependency {id} already links these tasks with this type. Change that dependency instead."),
            )
            .with("id", json!(id)),
            Error::CalendarInUse => Self::new(
                S::CONFLICT,
                "calendar_in_use",
                "Calendar in use",
                "The project uses this calendar. Assign another calendar to the project first.",
            ),
            Error::LastOwner => Self::new(
                S::CONFLICT,
                "last_owner",
                "Last owner",
                "A project needs an owner. Make another member an owner first, or delete the project. The last owner of a \
                 deleted project can leave.",
            ),
            Error::QuotaExceeded { what: "projects", max } => Self::new(
                S::CONFLICT,
                "quota_exceeded",
                "Too many projects",
                format!("You can create at most {max} projects per day. Try again tomorrow."),
            )
            .with("limit", json!({ "projects": max })),
            Error::QuotaExceeded { what: "gigabytes", max } => Self::new(
                S::CONFLICT,
                "quota_exceeded",
                "The project is full",
                format!("A project can hold at most {max} gigabytes, deleted rows included. Use another project."),
            )
            .with("limit", json!({ "gigabytes": max })),
            Error::QuotaExceeded { what, max } => Self::new(
                S::CONFLICT,
                "quota_exceeded",
                "The project is full",
                format!("A project can have at most {max} {what}. Delete some, or use another project."),
            )
            .with("limit", json!({ what: max })),
            Error::Stale { version, row } => Self::new(
                S::PRECONDITION_FAILED,
                "version_mismatch",
                "The row has changed",
                format!("The row is now at version {version}, see `current`. Review it, then retry with its ETag in If-Match."),
            )
            .with("current", serde_json::from_str(&row).unwrap_or_default())
            .header(header::ETAG, format!("\"{version}\"")),
            Error::Conflict { version, fields } => {
                let names: Vec<_> = fields.iter().map(|conflict| conflict.field.as_str()).collect();
                let values = |value: fn(&FieldConflict) -> &Value| -> Value {
                    fields.iter().map(|conflict| (conflict.field.clone(), value(conflict).clone())).collect()
                };
                Self::new(
                    S::CONFLICT,
                    "sync_conflict",
                    "Conflicting changes",
                    format!(
                        "These fields have changed since the version that the change is based on: {}. Choose the values to \
                         keep, then retry with X-Base-Version: {version} (in a batch: base_version).",
                        names.join(", ")
                    ),
                )
                .with("conflict_fields", json!(names))
                .with("server_value", values(|conflict| &conflict.server))
                .with("client_value", values(|conflict| &conflict.client))
                .with("server_version", json!(version.get()))
                .header(header::ETAG, format!("\"{version}\""))
            }
            Error::KeyReused => Self::new(
                S::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "Idempotency key reused",
                "You already used this Idempotency-Key for another request. Use a new key for each change. To repeat a \
                 change, send the same key, address, headers and body.",
            ),
            Error::SinceAheadOfServer { current } => Self::new(
                S::CONFLICT,
                "since_ahead_of_server",
                "The device is ahead of the server",
                format!(
                    "The project is at version {current}. The device synced with another server, or the server was restored \
                     from a backup. Reset the device's database and pull with since=0."
                ),
            ),
            Error::ResyncRequired { through } => Self::new(
                S::CONFLICT,
                "resync_required",
                "Full sync required",
                format!(
                    "The server was restored from a backup, so `since` up to {through} is no longer valid. Pull with \
                     since=0 and replace the device's data with the response."
                ),
            ),
            Error::MinVersionAheadOfServer { current } => Self::new(
                S::CONFLICT,
                "min_version_ahead_of_server",
                "min_version is ahead of the server",
                format!(
                    "The project is at version {current}. Set min_version to a version that the server returned for a change \
                     of this project."
                ),
            ),
            Error::Busy => Self::retry_later(
                "busy",
                "The project is busy",
                "Other changes to the project were committed first, and nothing was written. Retry the request.",
            ),
            Error::OutcomeUnknown => Self::retry_later(
                "outcome_unknown",
                "Outcome unknown",
                "The change may have been made, in full or in part. Retry the same request, with the same Idempotency-Key if \
                 it has one.",
            ),
            Error::NotProven => {
                tracing::error!(alarm = "not_proven", "a pull could not be proven complete");
                Self::retry_later(
                    "not_proven",
                    "Response not proven complete",
                    "The server could not prove that the response is complete. Retry the request.",
                )
            }
            Error::Overloaded => Self::new(
                S::SERVICE_UNAVAILABLE,
                "busy",
                "Too many full reads in progress",
                "This response needs a read of the whole project, and too many are in progress. Retry after the delay in \
                 Retry-After.",
            )
            // Random, so that callers refused at the same time do not all retry at the same time.
            .header(header::RETRY_AFTER, fastrand::u32(2..=10).to_string()),
            Error::Unavailable(source) => {
                tracing::error!(alarm = "unavailable", error = %source, "the table is unavailable");
                Self::retry_later("unavailable", "Unavailable", "The server cannot reach its database. Retry later.")
            }
            Error::Corrupt(what) => {
                tracing::error!(alarm = "corrupt", what, "the table holds something unexpected");
                Self::internal_error()
            }
            Error::Bug(what) => {
                tracing::error!(alarm = "bug", what, "this code did what it never does");
                Self::internal_error()
            }
        }
    }
}

/// The body cannot be read. In a batch, the problem names the operation.
impl From<InvalidJson> for Problem {
    fn from(error: InvalidJson) -> Self {
        let problem = Self::malformed_json(format!("The body cannot be read as JSON: {error}."));
        match error.element_of("operations") {
            Some(index) => problem.in_operation(index),
            None => problem,
        }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        let (code, title, detail, challenge) = match error {
            TokenError::KeysUnavailable => {
                return Self::retry_later(
                    "keys_unavailable",
                    "Signing keys unavailable",
                    "The token issuer's signing keys are temporarily unavailable. Retry the request.",
                );
            }
            TokenError::Missing => {
                ("token_missing", "Missing token", "Send the header `Authorization: Bearer <token>`.", "Bearer")
            }
            TokenError::Expired => (
                "token_expired",
                "Token expired",
                "The token has expired. Sign in again.",
                r#"Bearer error="invalid_token""#,
            ),
            TokenError::Invalid => (
                "token_invalid",
                "Invalid token",
                "The server does not accept this token. Sign in again.",
                r#"Bearer error="invalid_token""#,
            ),
        };
        Self::new(StatusCode::UNAUTHORIZED, code, title, detail).header(header::WWW_AUTHENTICATE, challenge)
    }
}
