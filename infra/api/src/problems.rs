//! Every problem that the product sends, in the product's own words.

use std::error::Error as AnyError;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::body::to_bytes;
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use shared::auth::TokenError;
use shared::domain::{Collection, Error, FieldConflict, FieldError, Role, RowId, RowKey, ServerVersion};
use shared::http::Problem;

use super::columns::{self, Place};

/// An error response.
pub(super) struct Documented {
    pub(super) status: u16,
    pub(super) code: String,
    /// Headers of this problem.
    pub(super) headers: Vec<String>,
    pub(super) body: Value,
}

/// One example of each error of the functions.
fn errors() -> Result<Vec<Error>, Error> {
    let Place { id, .. } = columns::place(Collection::Tasks)?;
    let key = |collection| Ok::<_, Error>(RowKey::new(collection, columns::place(collection)?.id));
    let task = |name: &str| name.parse::<RowId>().map_err(|error| Error::Corrupt(error.to_string()));
    let current = ServerVersion::FIRST;
    let invalid = |field: &str, message: &str| {
        Error::Invalid(vec![FieldError { field: field.to_owned(), message: message.to_owned() }])
    };
    Ok(vec![
        Error::NotAMember,
        Error::MembershipRevoked,
        Error::RoleTooLow { needed: Role::Admin },
        Error::ProjectDeleted,
        Error::NotFound(key(Collection::Tasks)?),
        Error::IdTaken(key(Collection::Tasks)?),
        Error::IdDeleted(key(Collection::Tasks)?),
        invalid("duration", "must be an integer from 0 to 36525"),
        Error::BatchTooLarge { what: "rows", max: shared::storage::MAX_ROWS },
        // A batch's refusal has the code of the single request's.
        Error::Operation { index: 3, error: Box::new(invalid("operations[3].body.name", "must not be empty")) },
        Error::DependencyCycle { tasks: vec![task("frame")?, task("roof")?, task("dry")?] },
        Error::DuplicateDependency { id: columns::place(Collection::Dependencies)?.id },
        Error::CalendarInUse,
        Error::LastOwner,
        Error::QuotaExceeded { what: "tasks", max: 100_000 },
        Error::Stale { version: current, row: columns::example_row(Collection::Tasks)?.0.to_string() },
        Error::Conflict {
            version: current,
            fields: vec![FieldConflict { field: "percent_complete".to_owned(), server: json!(80), client: json!(60) }],
        },
        Error::KeyReused,
        Error::SinceAheadOfServer { current },
        Error::ResyncRequired { through: current },
        Error::MinVersionAheadOfServer { current },
        Error::Busy,
        Error::OutcomeUnknown,
        Error::NotProven,
        Error::Overloaded,
        Error::Unavailable(id.as_str().into()),
        Error::Corrupt(String::new()),
        Error::Bug(""),
    ])
}

const TOKEN_ERRORS: [TokenError; 4] =
    [TokenError::Missing, TokenError::Expired, TokenError::Invalid, TokenError::KeysUnavailable];

/// Every problem. Several can have the same code. Making some of them also writes a log line.
pub(super) fn all() -> Result<Vec<Documented>, Box<dyn AnyError + Send + Sync>> {
    let of_requests = [
        Problem::parameter("limit", "must be an integer from 1 to 1000"),
        Problem::malformed_json("The body must be a JSON object."),
        Problem::no_such_route(),
        Problem::method_not_allowed(),
        Problem::body_too_large(256 * 1024),
        Problem::unsupported_media_type(),
        Problem::rate_limited(Duration::from_secs(2)),
        Problem::encoded_body(),
    ];
    let of_tokens = TOKEN_ERRORS.into_iter().map(Problem::from);
    let of_functions = errors()?.into_iter().map(Problem::from);
    of_requests.into_iter().chain(of_tokens).chain(of_functions).map(documented).collect()
}

fn documented(problem: Problem) -> Result<Documented, Box<dyn AnyError + Send + Sync>> {
    let (parts, body) = problem.into_response().into_parts();
    let headers = parts.headers.keys().filter(|name| **name != header::CONTENT_TYPE).map(ToString::to_string).collect();
    // The body is in memory, so there is nothing to wait for.
    let Poll::Ready(body) = pin!(to_bytes(body, usize::MAX)).poll(&mut Context::from_waker(Waker::noop())) else {
        return Err("a problem's body is not there".into());
    };
    let body: Value = serde_json::from_slice(&body?)?;
    let code = body["code"].as_str().ok_or("a problem without a code")?.to_owned();
    Ok(Documented { status: parts.status.as_u16(), code, headers, body })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::mem::discriminant;

    use super::*;

    #[test]
    fn one_of_each_error_is_documented() {
        let errors = errors().expect("the errors");
        let kinds: HashSet<_> = errors.iter().map(discriminant).collect();
        let source = include_str!("../../../shared/src/domain/error.rs");
        assert_eq!(kinds.len(), source.matches("#[error(").count());
        let source = include_str!("../../../shared/src/auth/mod.rs");
        let (_, source) = source.split_once("pub enum TokenError {").expect("the enum");
        let (source, _) = source.split_once("\n}").expect("its end");
        assert_eq!(TOKEN_ERRORS.len(), source.matches("#[error(").count());
    }

    #[test]
    fn only_what_is_documented_here_makes_problems() {
        for source in [
            include_str!("../../../shared/src/http/extract.rs"),
            include_str!("../../../shared/src/http/idempotency.rs"),
            include_str!("../../../shared/src/http/route.rs"),
            include_str!("../../../functions/rest/src/lib.rs"),
            include_str!("../../../functions/sync/src/lib.rs"),
        ] {
            assert!(!source.contains("Problem::new("), "give it a constructor of its own in problem.rs");
        }
        let made_of_parts = include_str!("../../../shared/src/http/problem.rs").matches("    pub fn ").count();
        // The count is `new`, the eight constructors for requests, and four functions that construct nothing: `into_body`,
        // `code`, `detail`, `retry_after`.
        assert_eq!(made_of_parts, 13, "a constructor is missing here");
    }
}
