//! The extractors of handlers. Each one refuses invalid input before the handler's body starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRef, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Problem;
use super::budget::CallerBudgets;
use super::gateway::is_plain;
use super::seen::CallerSlot;
use crate::auth::{TokenError, Verifier};
use crate::domain::{Base, Columns, Precondition, ServerVersion, UserId, json};

/// The caller. The request gets 401 without a valid token, and 429 if the caller's [budget](CallerBudgets) is spent.
#[derive(Debug, Clone)]
pub struct Caller(pub UserId);

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Arc<Verifier>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
        let authorization = match (headers.next(), headers.next()) {
            (Some(value), None) => Some(value.to_str().map_err(|_| TokenError::Invalid)?),
            (None, _) => None,
            // If there are two tokens, it is not clear which one a gateway has checked.
            (Some(_), Some(_)) => return Err(TokenError::Invalid.into()),
        };
        let caller = Arc::<Verifier>::from_ref(state).caller(authorization).await?;
        if let Some(slot) = parts.extensions.get::<CallerSlot>() {
            slot.0.get_or_init(|| caller.clone());
        }
        match parts.extensions.get::<CallerBudgets>().map(|budgets| budgets.admit(&caller)) {
            Some(Err(wait)) => Err(Problem::rate_limited(wait)),
            _ => Ok(Self(caller)),
        }
    }
}

/// The ids in the path. If one is not valid, a 400 names it.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(path)) => Ok(Self(path)),
            Err(PathRejection::FailedToDeserializePathParams(failure)) => Err(match failure.into_kind() {
                ErrorKind::DeserializeError { key, message, .. } => Problem::parameter(&key, message),
                ErrorKind::InvalidUtf8InPathParam { key } => Problem::parameter(&key, "must be UTF-8"),
                other => Problem::parameter("path", other.to_string()),
            }),
            Err(other) => Err(Problem::parameter("path", other.body_text())),
        }
    }
}

/// A JSON object of at most `MAX_BODY` bytes, by default 256 KB. Any other body gets 413, 415 or 400.
#[derive(Debug)]
pub struct Json<const MAX_BODY: usize = { 256 * 1024 }>(pub Columns);

impl<const MAX_BODY: usize, S: Send + Sync> FromRequest<S> for Json<MAX_BODY> {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::unsupported_media_type());
        }
        if !is_plain(request.headers()) {
            return Err(Problem::encoded_body());
        }
        let body = to_bytes(request.into_body(), MAX_BODY).await.map_err(|_| Problem::body_too_large(MAX_BODY))?;
        let columns = json::object(&body)?.ok_or_else(|| Problem::malformed_json("The body must be a JSON object."))?;
        Ok(Self(columns))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(header::CONTENT_TYPE).map(|value| value.to_str()) else {
        return false;
    };
    let media_type = value.split(';').next().unwrap_or_default().trim();
    ["application/json", "application/merge-patch+json"].iter().any(|known| media_type.eq_ignore_ascii_case(known))
}

/// The query's parameters. Unknown ones are ignored. A repeated one is 400 if the handler reads it.
#[derive(Debug)]
pub struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

impl Params {
    /// The value of a parameter, if it is present.
    pub fn get(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let value = values.next();
        if values.next().is_some() {
            return Err(Problem::parameter(name, "must be sent once"));
        }
        Ok(value)
    }

    /// The value of a parameter as an integer in a range. Only digits are allowed.
    pub fn integer(&self, name: &str, min: u64, max: u64) -> Result<Option<u64>, Problem> {
        let Some(text) = self.get(name)? else { return Ok(None) };
        // `parse` alone would accept a sign.
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<u64>() {
            Ok(number) if digits && (min..=max).contains(&number) => Ok(Some(number)),
            _ => Err(Problem::parameter(name, format!("must be an integer from {min} to {max}"))),
        }
    }
}

const BASE_VERSION: &str = "X-Base-Version";
const BASE_FIELDS: &str = "X-Base-Fields";

/// The precondition in the headers of a PATCH or DELETE. `If-Match` is strict. `X-Base-Version` is the version up to
/// which the user has seen the row's fields, and `X-Base-Fields` is the same for single fields. With these two the
/// change is merged field by field with what others changed since. `If-Match` and `X-Base-Version` at once are a 400.
impl<S: Send + Sync> FromRequestParts<S> for Precondition {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let versions = if_match(&parts.headers)?;
        let base = base_version(&parts.headers)?;
        let fields = base_fields(&parts.headers)?;
        Ok(match (versions, base, fields) {
            (_, Some(version), fields) => Self::MergeSince(Base { version, fields: fields.unwrap_or_default() }),
            (_, None, Some(_)) => return Err(Problem::parameter(BASE_FIELDS, "must come with X-Base-Version")),
            (Some(versions), None, None) => Self::Match(versions),
            (None, None, None) => Self::None,
        })
    }
}

/// The versions that `If-Match` names, or none if any version will do.
fn if_match(headers: &HeaderMap) -> Result<Option<Vec<u64>>, Problem> {
    let values = headers.get_all(header::IF_MATCH).iter();
    let tags: Vec<&str> = values.flat_map(|value| value.to_str().unwrap_or("?").split(',')).map(str::trim).collect();
    if tags.is_empty() || tags.contains(&"*") {
        return Ok(None);
    }
    // `If-Match` compares strongly (RFC 9110), so a weak tag never matches. A cache that compresses makes tags weak.
    let is_strong = |tag: &&str| tag.strip_prefix("W/").is_none_or(|tag| entity_tag(tag).is_err());
    tags.into_iter().filter(is_strong).map(entity_tag).collect::<Result<_, _>>().map(Some)
}

/// The version that `X-Base-Version` names, if the header is present and `If-Match` is not.
fn base_version(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = only(headers, BASE_VERSION)? else { return Ok(None) };
    if headers.contains_key(header::IF_MATCH) {
        return Err(Problem::parameter(BASE_VERSION, "must not be given together with If-Match"));
    }
    // `parse` alone would accept a sign.
    let number = value.parse::<u64>().ok().filter(|_| value.bytes().all(|b| b.is_ascii_digit()));
    let version = number.filter(|number| *number <= ServerVersion::MAX);
    version.map(Some).ok_or_else(|| {
        Problem::parameter(BASE_VERSION, "must be the server_version of the row that the change was made on, or 0")
    })
}

/// The versions that `X-Base-Fields` names, by field.
fn base_fields(headers: &HeaderMap) -> Result<Option<BTreeMap<String, u64>>, Problem> {
    let Some(value) = only(headers, BASE_FIELDS)? else { return Ok(None) };
    let fields = json::object(value.as_bytes()).ok().flatten();
    let version = |value: &Value| value.as_u64().filter(|number| *number <= ServerVersion::MAX);
    let read = |fields: Columns| fields.into_iter().map(|(field, value)| Some((field, version(&value)?))).collect();
    fields.and_then(read).map(Some).ok_or_else(|| {
        Problem::parameter(BASE_FIELDS, "must be a JSON object of versions by fields, as in {\"notes\":42}")
    })
}

/// A header's value, which is empty if it is not ASCII. A repeated header is a 400.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(|value| value.to_str().unwrap_or(""))),
        (_, Some(_)) => Err(Problem::parameter(name, "must be given once")),
    }
}

fn entity_tag(tag: &str) -> Result<u64, Problem> {
    tag.strip_prefix('"')
        .and_then(|tag| tag.strip_suffix('"'))
        .and_then(|version| version.parse().ok())
        .ok_or_else(|| Problem::parameter("If-Match", "must be an ETag from this server, such as \"42\""))
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::response::IntoResponse;
    use proptest::prelude::*;

    use super::super::Idempotency;
    use super::*;
    use crate::domain::RowId;

    /// The bytes of a header: random ones, and ones that are nearly valid.
    fn header_value() -> impl Strategy<Value = Vec<u8>> {
        let pieces = prop::sample::select(vec![
            "\"",
            "W/",
            "*",
            ",",
            " ",
            "\t",
            "0",
            "1",
            "18446744073709551615",
            "9007199254740991",
            "+",
            "-",
            "1e1",
            "\u{e4}",
            "k",
        ]);
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat().into_bytes()),
        ]
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
    }

    /// The value that an extractor reads from a request, or the status and code of its refusal.
    fn extracted<T: FromRequest<(), M, Rejection = Problem>, M>(request: Request<Body>) -> Result<T, StatusCode> {
        block_on(T::from_request(request, &())).map_err(|problem| problem.into_response().status())
    }

    fn with_headers(name: &str, values: &[Vec<u8>]) -> Option<Request<Body>> {
        let with = |request: axum::http::request::Builder, value: &Vec<u8>| request.header(name, value.as_slice());
        values.iter().fold(Request::patch("/api/v1/projects/p/"), with).body(Body::empty()).ok()
    }

    proptest! {
        #[test]
        fn headers_are_read_or_refused_whatever_they_hold(values in prop::collection::vec(header_value(), 0..3)) {
            let request = |name| with_headers(name, &values);
            let text = |at: usize| String::from_utf8(values[at].clone()).unwrap_or_default();
            if let Some(request) = request("if-match") {
                match extracted::<Precondition, _>(request) {
                    Ok(Precondition::Match(versions)) => prop_assert!(!versions.is_empty() && !values.is_empty()),
                    Ok(Precondition::None) => prop_assert!(values.is_empty() || (0..values.len()).any(|at| text(at).contains('*'))),
                    Ok(Precondition::MergeSince(_)) => prop_assert!(false, "there is no X-Base-Version"),
                    Err(status) => prop_assert_eq!(status, StatusCode::BAD_REQUEST),
                }
            }
            if let Some(request) = request("x-base-version") {
                match extracted::<Precondition, _>(request) {
                    Ok(Precondition::MergeSince(Base { version, fields })) => {
                        let sent = text(0);
                        prop_assert!(!sent.is_empty() && fields.is_empty());
                        prop_assert_eq!(sent.parse::<u64>(), Ok(version));
                    }
                    Ok(Precondition::None) => prop_assert!(values.is_empty()),
                    Ok(Precondition::Match(_)) => prop_assert!(false, "there is no If-Match"),
                    Err(status) => prop_assert_eq!(status, StatusCode::BAD_REQUEST),
                }
            }
            if let Some(request) = request("idempotency-key") {
                let verdict = extracted::<Idempotency, _>(request);
                prop_assert!(verdict.is_ok() || matches!(verdict, Err(StatusCode::BAD_REQUEST)));
            }
        }

        #[test]
        fn a_query_is_read_or_refused_whatever_it_holds(
            pairs in prop::collection::vec(("[a-z%&=+]{0,6}|since|limit|cursor", "\\PC{0,12}|[0-9]{0,22}|%[0-9a-f]{0,3}"), 0..5),
        ) {
            let query: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let uri = format!("/?{}", query.join("&"));
            if let Ok(request) = Request::get(&uri).body(Body::empty()) {
                let params = extracted::<Params, _>(request).expect("any query");
                for name in ["since", "limit", "cursor"] {
                    if let Ok(Some(number)) = params.integer(name, 1, 1000) {
                        prop_assert!((1..=1000).contains(&number));
                    }
                    if let Ok(id) = params.get(name).ok().flatten().unwrap_or_default().parse::<RowId>() {
                        prop_assert!(id.as_str().len() <= 64);
                    }
                }
            }
        }

        #[test]
        fn a_body_is_an_object_or_refused(
            body in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..80),
                "[{}\\[\\]:,\"a1\\\\u ]{0,40}".prop_map(String::into_bytes),
            ],
            media_type in "application/json|application/merge-patch\\+json; x|text/plain|\\PC{0,8}",
        ) {
            let request = Request::post("/").header("content-type", media_type.as_bytes()).body(Body::from(body.clone()));
            if let Ok(request) = request {
                let expected = [StatusCode::BAD_REQUEST, StatusCode::UNSUPPORTED_MEDIA_TYPE, StatusCode::PAYLOAD_TOO_LARGE];
                match extracted::<Json<64>, _>(request) {
                    Ok(Json(columns)) => prop_assert_eq!(Some(columns), json::object(&body).ok().flatten()),
                    Err(status) => prop_assert!(expected.contains(&status), "{}", status),
                }
            }
        }
    }
}
