//! Tests gzip bodies for clients that accept them.

use std::io::Read;

use axum::body::Body;
use axum::http::{Request, header};
use flate2::read::GzDecoder;
use http_body_util::BodyExt;
use serde_json::Value;
use tests::support::{OWNER, TestApp, TestProject};
use tower::ServiceExt;

/// The encoding and the bytes of a pull's answer to this `Accept-Encoding`.
async fn pull(project: &TestProject, since: u64, accepted: &str) -> (Option<String>, Vec<u8>) {
    let request = Request::get(format!("/api/v1/projects/{}/sync/?since={since}", project.id))
        .header(header::AUTHORIZATION, format!("Bearer {}", TestApp::token(OWNER)))
        .header(header::ACCEPT_ENCODING, accepted)
        .body(Body::empty())
        .expect("a request");
    let response = project.app.sync.clone().oneshot(request).await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()[header::VARY], "accept-encoding");
    let encoding =
        response.headers().get(header::CONTENT_ENCODING).map(|value| value.to_str().expect("text").to_owned());
    (encoding, response.into_body().collect().await.expect("a body").to_bytes().to_vec())
}

#[tokio::test]
async fn clients_that_accept_gzip_get_the_same_answer_compressed_if_it_is_worth_it() {
    let project = TestApp::new().await.with_project().with_tasks(60).await;
    let (encoding, plain) = pull(&project, 0, "br").await;
    assert_eq!(encoding, None);
    let (encoding, compressed) = pull(&project, 0, "br, gzip").await;
    assert_eq!(encoding.as_deref(), Some("gzip"));
    assert!(compressed.len() * 4 < plain.len(), "{} of {} bytes", compressed.len(), plain.len());
    let mut unpacked = Vec::new();
    GzDecoder::new(compressed.as_slice()).read_to_end(&mut unpacked).expect("gzip");
    assert_eq!(String::from_utf8(unpacked), String::from_utf8(plain.clone()));
    assert!(serde_json::from_slice::<Value>(&plain).is_ok());
    let mark = project.current_version().await;
    assert_eq!(pull(&project, mark, "gzip").await.0, None, "nothing new is too little");
}
