//! The entry point of the HTTP functions: turns an event of the gateway into a request that the router can take.
//!
//! `lambda_http` panics if an event's path and query are not a valid URI. The gateway lets such a query through, with characters
//! that a URI must percent-encode. So an event is corrected before the library sees it.

use std::convert::Infallible;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use lambda_http::lambda_runtime::{self, LambdaEvent};
use lambda_http::request::LambdaRequest;
use lambda_http::tower::ServiceExt;
use lambda_http::{Body as EventBody, Context, Error, RequestExt, service_fn};

use super::Problem;

/// The maximum length of path and query together. The gateway takes 10 KB. The library takes 64 KB, and it encodes some bytes as
/// three.
const MAX_TARGET: usize = 20 * 1024;

/// An extension of a request whose query is not valid in a URI. The query was left out.
#[derive(Debug, Clone, Copy)]
struct NotAUri;

/// The key of a custom domain's API mapping, which stands before the API's own path, as in `/plans/api/v1/…`. Empty
/// without one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MappingKey(String);

/// Answers the gateway's events until the instance ends.
pub async fn run(router: Router) -> Result<(), Error> {
    lambda_runtime::run(service_fn(move |event| answer(router.clone(), event))).await
}

async fn answer(router: Router, event: LambdaEvent<LambdaRequest>) -> Result<ApiGatewayV2httpResponse, Error> {
    let (request, key) = request_of(event.payload, event.context);
    let mut response = router.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {});
    key.put_back(&mut response);
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await?;
    let mut answer = ApiGatewayV2httpResponse::default();
    answer.status_code = parts.status.as_u16().into();
    answer.headers = parts.headers;
    // The gateway works this out by itself.
    answer.headers.remove(header::CONTENT_LENGTH);
    answer.body = Some(EventBody::Text(String::from_utf8(body.into())?));
    Ok(answer)
}

/// The request of an event, and the part of its path that stands before the API's own path.
pub fn request_of(event: LambdaRequest, context: Context) -> (Request, MappingKey) {
    let (mut event, mut key, mut is_uri) = (event, MappingKey::default(), true);
    if let LambdaRequest::ApiGatewayV2(event) = &mut event {
        key = MappingKey::taken_from(event);
        is_uri = put_right(event);
    }
    let mut request = lambda_http::Request::from(event).with_lambda_context(context).map(Body::new);
    if !is_uri {
        request.extensions_mut().insert(NotAUri);
    }
    (request, key)
}

/// Removes from an event what is not valid in a URI. Returns whether nothing had to be removed.
fn put_right(event: &mut ApiGatewayV2httpRequest) -> bool {
    // Nothing here needs the server's name, and not every Host header is valid. Without it the request has only its path.
    event.headers.remove(header::HOST);
    event.request_context.domain_name = None;
    let (path, query) = (event.raw_path.get_or_insert_default(), event.raw_query_string.get_or_insert_default());
    let is_uri = path.len() + query.len() <= MAX_TARGET && !query.contains('#') && makes_a_uri(&format!("/?{query}"));
    if !is_uri {
        query.clear();
    }
    if path.len() > MAX_TARGET || !path.starts_with('/') {
        path.replace_range(.., "/");
    }
    is_uri
}

fn makes_a_uri(text: &str) -> bool {
    text.parse::<Uri>().is_ok()
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}

impl MappingKey {
    /// Finds the key of the API mapping. The gateway picks the route without the key but leaves it in the path, so it is the part
    /// before the route's first words.
    fn taken_from(event: &mut ApiGatewayV2httpRequest) -> Self {
        let route = event.route_key.as_deref().and_then(|key| key.split_once(' '));
        let Some((_, route)) = route else { return Self::default() };
        let first_words = route.split('{').next().unwrap_or_default();
        let path = event.raw_path.get_or_insert_default();
        match path.find(first_words) {
            Some(length) if first_words.len() > 1 => Self(path.drain(..length).collect()),
            _ => Self::default(),
        }
    }

    /// Puts the key before an address on this server that the answer names.
    pub fn put_back(&self, response: &mut Response) {
        let location = response.headers().get(header::LOCATION).map(text).filter(|location| location.starts_with('/'));
        let whole = location.and_then(|location| HeaderValue::try_from(format!("{}{location}", self.0)).ok());
        if let Some(whole) = whole {
            response.headers_mut().insert(header::LOCATION, whole);
        }
    }
}

/// Refuses requests that were not a valid URI. Sets the headers that keep every answer out of caches and stop browsers from
/// guessing its type.
pub(super) fn at_the_edge<S>(router: Router<S>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.layer(middleware::from_fn(edge))
}

async fn edge(request: Request, next: Next) -> Response {
    let mut response = match request.extensions().get::<NotAUri>() {
        Some(NotAUri) => Problem::parameter("query", "must be percent-encoded").into_response(),
        None => next.run(request).await,
    };
    for (name, value) in [(header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether a body is as it was sent, and not in Base64.
pub(super) fn is_plain(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONTENT_ENCODING).iter().all(|encoding| text(encoding).eq_ignore_ascii_case("identity"))
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::http::uri::PathAndQuery;
    use axum::routing::get;
    use serde_json::{Value, json};

    use super::*;
    use crate::http::observed;

    fn event(route: &str, path: &str, query: &str) -> Value {
        json!({
            "version": "2.0", "routeKey": route, "rawPath": path, "rawQueryString": query, "isBase64Encoded": false,
            "headers": {"host": "api.example.com", "x-forwarded-proto": "https"},
            "requestContext": {
                "accountId": "1", "apiId": "a", "domainName": "api.example.com", "domainPrefix": "api", "requestId": "r",
                "routeKey": route, "stage": "$default", "time": "02/Mar/2026:08:00:00 +0000", "timeEpoch": 1_772_438_400_000_u64,
                "http": {"method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "x"},
            },
        })
    }

    fn read(event: &Value) -> (Request, MappingKey) {
        request_of(serde_json::from_value(event.clone()).expect("an event"), Context::default())
    }

    const PULL: &str = "GET /api/v1/projects/{project_id}/sync";
    const REST: &str = "ANY /api/v1/{proxy+}";

    async fn answered(event: &Value) -> Response {
        let echo = |uri: Uri| async move {
            let location = uri.path_and_query().map(PathAndQuery::as_str).unwrap_or_default().to_owned();
            (StatusCode::CREATED, [(header::LOCATION, location)])
        };
        let router = observed(Router::new().route("/api/v1/{*rest}", get(echo)));
        let (request, key) = read(event);
        let mut response = router.oneshot(request).await.expect("an answer");
        key.put_back(&mut response);
        response
    }

    #[tokio::test]
    async fn a_query_that_is_no_part_of_a_uri_is_refused_and_nothing_panics() {
        for query in ["", "since=0", "since=0&migration=%7B%22from%22%3A1%7D", "a=%zz", "a=b?c/d:@!$'()*+,;"] {
            assert_eq!(answered(&event(PULL, "/api/v1/projects/p/sync", query)).await.status(), 201, "{query}");
        }
        let long = "a".repeat(70_000);
        for query in ["x=<script>", "x=a b", "x=\u{7f}", "x=`|{}\\\"", "x=\u{0}", "x=1#y", "x=\u{202e}", "\n", &long] {
            let answer = answered(&event(PULL, "/api/v1/projects/p/sync", query)).await;
            // The library takes some of these, as browsers do.
            assert!([201, 400].contains(&answer.status().as_u16()), "{query}: {}", answer.status());
        }
        for query in ["x=<script>", "x=a b", "x=\u{7f}", "x=1#y", &long] {
            let answer = answered(&event(PULL, "/api/v1/projects/p/sync", query)).await;
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{query:.20}");
            assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        }
    }

    #[tokio::test]
    async fn whatever_an_event_has_for_its_path_and_headers_is_answered() {
        let long = format!("/api/v1/{}", "ä".repeat(40_000));
        for path in [
            "",
            "/",
            "api/v1/x",
            "/api/v1/\u{0}",
            "/api/v1/a b",
            "/api/v1/<>",
            "/api/v1/%",
            "/api/v1/\u{202e}",
            "//",
            &long,
        ] {
            answered(&event(REST, path, "")).await;
        }
        for (name, value) in [
            ("host", "a b"),
            ("host", ""),
            ("host", "a/b?c#d"),
            ("host", "[::"),
            ("host", "1.2.3.4.5"),
            ("host", "a:99999"),
            ("x-forwarded-proto", "a b"),
        ] {
            let mut event = event(REST, "/api/v1/x", "");
            event["headers"][name] = json!(value);
            assert_eq!(answered(&event).await.status(), StatusCode::CREATED, "{name}: {value}");
        }
    }

    #[tokio::test]
    async fn the_key_of_a_domains_mapping_is_taken_off_and_put_back() {
        for key in ["", "/ppm", "/a/b", "/api"] {
            let (request, taken) = read(&event(PULL, &format!("{key}/api/v1/projects/p/sync"), "since=0"));
            assert_eq!((request.uri().path(), taken.0.as_str()), ("/api/v1/projects/p/sync", key));
            let answer = answered(&event(REST, &format!("{key}/api/v1/projects/p/tasks/"), "")).await;
            assert_eq!(answer.headers()[header::LOCATION], format!("{key}/api/v1/projects/p/tasks/"));
        }
        let (request, _) = read(&event("GET /health", "/ppm/health", ""));
        assert_eq!(request.uri().path(), "/health");
        let (request, _) = read(&event("$default", "/ppm/other", ""));
        assert_eq!(request.uri().path(), "/ppm/other");
    }

    #[tokio::test]
    async fn no_cache_keeps_an_answer_and_no_browser_guesses_what_it_is() {
        for (path, query) in [("/api/v1/x", ""), ("/none", ""), ("/api/v1/x", "a b")] {
            let answer = answered(&event(REST, path, query)).await;
            assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store", "{path}?{query}");
            assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}?{query}");
        }
    }
}
