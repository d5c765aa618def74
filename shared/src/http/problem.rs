//! Errors as RFC 9457 problem details.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::seen::ProblemCode;
use crate::auth::TokenError;
use crate::domain::json::InvalidJson;
use crate::domain::{Error, FieldConflict, FieldError};

/// The most fields that a refusal lists, so that it does not grow with what is refused.
const MAX_LISTED: usize = 20;

/// An answer that is no success: `application/problem+json` with a stable `code`.
///
/// Never has a member called `timestamp` or `changes`: the plain client would take it for a sync response and move the
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
    /// A problem; `detail` tells the caller what to do.
    pub fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, title, detail: detail.into(), members: Map::new(), headers: vec![] }
    }

    /// A part of the request other than its body is wrong: 400 `invalid_parameter`, naming it.
    pub fn parameter(name: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_parameter",
            "A parameter is not valid",
            format!("{name} {message}."),
        )
        .with("errors", json!([FieldError { field: name.to_owned(), message }]))
    }

    /// There is nothing at this address: 404 `no_such_route`.
    pub fn no_such_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no_such_route", "No such route", "Check the address.")
    }

    /// The address knows other methods: 405 `method_not_allowed`.
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "Method not allowed",
            "The header Allow names the methods of this route.",
        )
    }

    /// The body is of another type than JSON: 415 `unsupported_media_type`.
    pub fn unsupported_media_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Not JSON",
            "Send JSON, with the header `Content-Type: application/json`.",
        )
    }

    /// The body is compressed: 415 `unsupported_media_type`.
    pub fn encoded_body() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Encoded body",
            "Send the body as it is, without the header `Content-Encoding`.",
        )
    }

    /// The body has more bytes than that: 413 `body_too_large`.
    pub fn body_too_large(max: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "Body too large",
            format!("The body of such a request has at most {max} bytes."),
        )
    }

    /// The caller's budget is spent: 429 `rate_limited`, to be sent again after so long.
    pub fn rate_limited(wait: Duration) -> Self {
        let seconds = wait.as_secs() + 1;
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            "Too many requests",
            format!("Your requests have used up their budget. Send the request again after {seconds} s."),
        )
        .header(header::RETRY_AFTER, seconds.to_string())
    }

    /// The body is no JSON object: 400 `malformed_json`.
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

    /// The same about one operation of a batch: with the member `operation`, its index.
    fn in_operation(mut self, index: usize) -> Self {
        self.detail = format!("Operation {index}: {}", self.detail);
        self.with("operation", json!(index))
    }

    fn retry_later(code: &'static str, title: &'static str, detail: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, title, detail).header(header::RETRY_AFTER, "1")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = self.members;
        body.insert("type".to_owned(), json!(format!("urn:trueppm:problem:{}", self.code)));
        body.insert("title".to_owned(), json!(self.title));
        body.insert("status".to_owned(), json!(self.status.as_u16()));
        body.insert("detail".to_owned(), json!(self.detail));
        body.insert("code".to_owned(), json!(self.code));
        let mut response = (self.status, Value::Object(body).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.headers);
        response.extensions_mut().insert(ProblemCode(self.code));
        response
    }
}

/// The only place that knows which status an error has, and the one that logs what the caller is not told.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        use StatusCode as S;
        match error {
            Error::NotAMember => Self::new(
                S::FORBIDDEN,
                "not_a_member",
                "Not a member",
                "There is no such project, or you are not a member of it.",
            ),
            Error::MembershipRevoked => Self::new(
                S::FORBIDDEN,
                "membership_revoked",
                "Membership revoked",
                "You are no longer a member of this project. Delete what the device holds of it.",
            ),
            Error::RoleTooLow { needed } => Self::new(
                S::FORBIDDEN,
                "role_too_low",
                "Role too low",
                format!("This takes at least the role {needed:?} ({}).", i64::from(needed)),
            ),
            Error::ProjectDeleted => Self::new(
                S::GONE,
                "project_deleted",
                "Project deleted",
                "This project was deleted. Delete what the device holds of it.",
            ),
            Error::NotFound(key) => {
                Self::new(S::NOT_FOUND, "not_found", "Not found", format!("There is no {key} in this project."))
            }
            Error::IdTaken(key) => Self::new(
                S::CONFLICT,
                "id_taken",
                "Id taken",
                format!("{key} is there already with other content. Change it with PATCH, or choose another id."),
            ),
            Error::IdDeleted(key) => Self::new(
                S::CONFLICT,
                "id_deleted",
                "Id deleted",
                format!("{key} was deleted, and its id is not used again. Choose another id."),
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
                format!("Up to here the batch writes more than {max} {what}, which is what one commit takes. Send less at once."),
            )
            .with("limit", json!({ what: max })),
            Error::Operation { index, error } => Self::from(*error).in_operation(index),
            Error::DependencyCycle { tasks } => {
                let tasks: Vec<String> = tasks.into_iter().map(String::from).collect();
                Self::new(
                    S::CONFLICT,
                    "dependency_cycle",
                    "Dependency cycle",
                    format!("The dependency would close a cycle: {} -> {}.", tasks.join(" -> "), tasks[0]),
                )
                .with("tasks", json!(tasks))
            }
            Error::DuplicateDependency { id } => Self::new(
                S::CONFLICT,
                "duplicate_dependency",
                "Duplicate dependency",
                format!("Dependency {id} already ties these tasks with this type. Change that one."),
            )
            .with("id", json!(id)),
            Error::CalendarInUse => Self::new(
                S::CONFLICT,
                "calendar_in_use",
                "Calendar in use",
                "The project uses this calendar. Give the project another one first.",
            ),
            Error::LastOwner => Self::new(
                S::CONFLICT,
                "last_owner",
                "Last owner",
                "A project needs an owner. Make someone else an owner first, or delete the project: then its last owner may leave, too.",
            ),
            Error::QuotaExceeded { what: "projects", max } => Self::new(
                S::CONFLICT,
                "quota_exceeded",
                "Too many projects",
                format!("You can create at most {max} projects a day. Try again tomorrow."),
            )
            .with("limit", json!({ "projects": max })),
            Error::QuotaExceeded { what, max } => Self::new(
                S::CONFLICT,
                "quota_exceeded",
                "The project is full",
                format!("A project holds at most {max} {what}. Delete some first, or use another project."),
            )
            .with("limit", json!({ what: max })),
            Error::Stale { version, row } => Self::new(
                S::PRECONDITION_FAILED,
                "version_mismatch",
                "The row has changed",
                format!("The row is at version {version}; `current` has it. Decide again and send its ETag."),
            )
            .with("current", serde_json::from_str(&row).unwrap_or_default())
            .header(header::ETAG, format!("\"{version}\"")),
            Error::Conflict { version, fields } => {
                let names: Vec<_> = fields.iter().map(|conflict| conflict.field).collect();
                let values = |value: fn(&FieldConflict) -> &Value| -> Value {
                    fields.iter().map(|conflict| (conflict.field.to_owned(), value(conflict).clone())).collect()
                };
                Self::new(
                    S::CONFLICT,
                    "sync_conflict",
                    "Changed meanwhile",
                    format!(
                        "Since the version in X-Base-Version someone else changed {}. Choose, and send the change again \
                         with X-Base-Version: {version}.",
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
                "Another request of yours had this Idempotency-Key. Give each change a key of its own, and repeat a change \
                 with the same key, address, headers and body.",
            ),
            Error::SinceAheadOfServer { current } => Self::new(
                S::CONFLICT,
                "since_ahead_of_server",
                "The device is ahead of the server",
                format!(
                    "The project is at version {current}: the device belongs to another server, or a backup was restored. \
                     Reset its database and sync from 0."
                ),
            ),
            Error::ResyncRequired { through } => Self::new(
                S::CONFLICT,
                "resync_required",
                "The device must start over",
                format!(
                    "The server was restored from a backup, and marks up to {through} are from before that. Pull with \
                     since=0 and replace all that the device holds with the answer."
                ),
            ),
            Error::MinVersionAheadOfServer { current } => Self::new(
                S::CONFLICT,
                "min_version_ahead_of_server",
                "min_version is ahead of the server",
                format!(
                    "The project is at version {current}: min_version must be one that a change of this project was \
                     answered with."
                ),
            ),
            Error::Busy => Self::retry_later(
                "busy",
                "The project is busy",
                "Others were faster, and nothing was written. Send the request again.",
            ),
            Error::OutcomeUnknown => Self::retry_later(
                "outcome_unknown",
                "The outcome is not known",
                "The change may have been made, all of it or some. Send the same request again, with its Idempotency-Key if it has one.",
            ),
            Error::NotProven => {
                tracing::error!(alarm = "not_proven", "a pull could not be proven complete");
                Self::retry_later(
                    "not_proven",
                    "Not everything could be read yet",
                    "The answer could not be proven complete. Send the request again.",
                )
            }
            Error::Overloaded => Self::new(
                S::SERVICE_UNAVAILABLE,
                "busy",
                "Too much to prove at once",
                "The answer takes a reading of the whole project, and others are being made. Send the request again.",
            )
            // All that are refused together should not come together again.
            .header(header::RETRY_AFTER, fastrand::u32(2..=10).to_string()),
            Error::Unavailable(source) => {
                tracing::error!(alarm = "unavailable", error = %source, "the table is unavailable");
                Self::retry_later("unavailable", "Unavailable", "The service cannot reach its data. Try again later.")
            }
            Error::Corrupt(what) => {
                tracing::error!(alarm = "corrupt", what, "the table holds something unexpected");
                Self::new(
                    S::INTERNAL_SERVER_ERROR,
                    "internal_error",
                    "Internal error",
                    "Something is wrong on the server. It has been logged.",
                )
            }
        }
    }
}

/// Of a body; in a batch it says which operation cannot be read.
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
                    "Tokens cannot be checked",
                    "The keys of whoever issues tokens cannot be fetched at the moment. Send the request again.",
                );
            }
            TokenError::Missing => {
                ("token_missing", "No token", "Send the header `Authorization: Bearer <token>`.", "Bearer")
            }
            TokenError::Expired => (
                "token_expired",
                "Token expired",
                "The token has expired. Sign in again.",
                r#"Bearer error="invalid_token""#,
            ),
            TokenError::Invalid => (
                "token_invalid",
                "Token not valid",
                "The token is not valid here. Sign in again.",
                r#"Bearer error="invalid_token""#,
            ),
        };
        Self::new(StatusCode::UNAUTHORIZED, code, title, detail).header(header::WWW_AUTHENTICATE, challenge)
    }
}
