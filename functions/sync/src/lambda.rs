//! Hands responses to Lambda without reading their bodies again.
//!
//! `lambda_http::run` takes a body as text, copies it, and escapes it as a string of the function's JSON response. The rows of a
//! pull came from the table already escaped, and are most of the work of a first pull. So they are written into the response as
//! they are. Everything else is done by the official runtime.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::map_request;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lambda_http::lambda_runtime::{self, LambdaEvent};
use lambda_http::tower::ServiceExt;
use lambda_http::{Error, service_fn};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;
use shared::http::{CallerBudgets, RequestLog, request_of};
use shared::storage::raw::serialize_pieces;

use crate::body::{PullAnswer, Unwritten};
use crate::{App, router_without_bodies};

/// Answers API Gateway's events until the instance ends.
///
/// With `COMPRESSION=off` in the environment, no response is compressed: some emulators cannot pass on a compressed body.
pub async fn run(app: App) -> Result<(), Error> {
    let mut router = router_without_bodies(app);
    match std::env::var("COMPRESSION").as_deref() {
        Err(_) | Ok("" | "gzip") => {}
        Ok("off") => router = router.layer(map_request(as_it_is)),
        Ok(_) => return Err("COMPRESSION must be gzip or off".into()),
    }
    let router = router.layer(RequestLog::of_function("sync"));
    let router = CallerBudgets::around(CallerBudgets::from_env()?, router);
    lambda_runtime::run(service_fn(move |event| answer(router.clone(), event))).await
}

async fn as_it_is(mut request: Request) -> Request {
    request.headers_mut().remove(header::ACCEPT_ENCODING);
    request
}

async fn answer(router: Router, event: LambdaEvent<Box<RawValue>>) -> Result<Payload, Error> {
    let (request, key) = request_of(serde_json::from_str(event.payload.get())?, event.context);
    let mut response = router.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {});
    key.put_back(&mut response);
    Payload::of(response).await
}

/// The function's response in the gateway's format 2.0, without the body.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    status_code: u16,
    headers: Joined<'a>,
    is_base64_encoded: bool,
    /// Always empty. The gateway does not need it, but emulators in Rust do.
    cookies: [String; 0],
}

/// The function's response: its JSON up to the body, and the body.
struct Payload {
    head: String,
    body: PayloadBody,
}

enum PayloadBody {
    Answer(Arc<PullAnswer>),
    /// A JSON string, with its quotes.
    Json(String),
}

impl Payload {
    async fn of(mut response: Response) -> Result<Self, Error> {
        let unwritten = response.extensions_mut().remove();
        let (parts, body) = response.into_parts();
        let is_base64_encoded = parts.headers.contains_key(header::CONTENT_ENCODING);
        let body = match unwritten {
            Some(Unwritten(answer)) => PayloadBody::Answer(answer),
            None => {
                let body = to_bytes(body, usize::MAX).await?;
                PayloadBody::Json(if is_base64_encoded {
                    format!("\"{}\"", STANDARD.encode(&body))
                } else {
                    serde_json::to_string(std::str::from_utf8(&body)?)?
                })
            }
        };
        let (status_code, headers) = (parts.status.as_u16(), Joined(&parts.headers));
        let mut head = serde_json::to_string(&Head { status_code, headers, is_base64_encoded, cookies: [] })?;
        head.pop();
        head.push_str(",\"body\":");
        Ok(Self { head, body })
    }
}

/// The headers, with those of one name joined. Without the length, which the gateway counts itself.
struct Joined<'a>(&'a HeaderMap);

impl Serialize for Joined<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = self.0.keys().filter(|name| **name != header::CONTENT_LENGTH);
        serializer.collect_map(names.map(|name| {
            let mut values = self.0.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
            let first = values.next().unwrap_or_default();
            (name.as_str(), values.fold(first, |joined, value| format!("{joined}, {value}").into()))
        }))
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_pieces(serializer, |mut out| {
            out(&self.head)?;
            match &self.body {
                PayloadBody::Answer(answer) => {
                    out("\"")?;
                    answer.write_escaped(&mut out)?;
                    out("\"")?;
                }
                PayloadBody::Json(body) => out(body)?,
            }
            out("}")
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::response::IntoResponse;
    use serde_json::{Value, json};

    use super::*;
    use crate::body::EncodedBody;
    use crate::testing::mark;

    async fn payload(response: Response) -> Value {
        serde_json::from_slice(&serde_json::to_vec(&Payload::of(response).await.expect("a payload")).expect("JSON"))
            .expect("JSON")
    }

    #[tokio::test]
    async fn a_body_is_a_string_whether_it_is_written_now_or_was_before() {
        let answer = PullAnswer { deleted: vec!["tasks#a".parse().expect("a key")], ..PullAnswer::empty(mark(7)) };
        let text = String::from_utf8(answer.to_json().expect("whole rows")).expect("text");
        let headers = json!({"content-type": "application/json", "vary": "accept-encoding"});
        let expected =
            json!({"statusCode": 200, "headers": headers, "isBase64Encoded": false, "body": text, "cookies": []});
        assert_eq!(payload(EncodedBody::Unwritten(answer).into_response()).await, expected);
        assert_eq!(payload(text.clone().into_response()).await["body"], text);
        assert_eq!(payload(().into_response()).await["body"], "");
    }

    #[tokio::test]
    async fn a_compressed_body_is_in_base64() {
        let payload = payload(EncodedBody::Gzip(vec![0, 255, 7, 1].into()).into_response()).await;
        assert_eq!((&payload["isBase64Encoded"], &payload["body"]), (&json!(true), &json!("AP8HAQ==")));
        assert_eq!(payload["headers"]["content-encoding"], "gzip");
    }

    #[tokio::test]
    async fn headers_of_one_name_are_joined() {
        let mut response = ().into_response();
        for value in ["a", "b"] {
            response.headers_mut().append("x-list", HeaderValue::from_static(value));
        }
        assert_eq!(payload(response).await["headers"], json!({"x-list": "a, b"}));
    }
}
