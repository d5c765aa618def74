//! Tests keys that an issuer publishes at a URL.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::GzEncoder;
use jsonwebtoken::get_current_timestamp;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use shared::auth::{ConfigError, TokenError, Verifier};
use tests::support::{TestApp, TestTable};
use tokio::net::TcpListener;
use tokio::time::{advance, pause, resume, sleep};

const RSA: &[u8] = include_bytes!("../../shared/testdata/rsa.der");
const KEYS: &str = include_str!("../../shared/testdata/jwks.json");
/// A document as issuers publish it, with the tests' key under the id `own`.
const PUBLISHED: [(&str, &str); 4] = [
    ("Auth0", include_str!("../../shared/testdata/issuers/auth0.json")),
    ("Cognito", include_str!("../../shared/testdata/issuers/cognito.json")),
    ("Firebase", include_str!("../../shared/testdata/issuers/firebase.json")),
    ("Keycloak", include_str!("../../shared/testdata/issuers/keycloak.json")),
];

/// An issuer on this machine, with its present answer.
#[derive(Default)]
struct Issuer {
    status: AtomicU16,
    document: Mutex<String>,
    delay: Mutex<Duration>,
    compresses: AtomicBool,
    asked: AtomicUsize,
}

impl Issuer {
    /// Starts an issuer with this document. Returns it with its URL.
    async fn publishing(document: &str) -> (Arc<Self>, String) {
        let issuer = Arc::new(Self { document: Mutex::new(document.to_owned()), ..Self::default() });
        issuer.answers(200);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/jwks.json", listener.local_addr().expect("an address"));
        let served = Arc::clone(&issuer);
        let answer = move |headers: HeaderMap| Arc::clone(&served).answer(headers);
        // The same document, at another address of this machine.
        let away = url.replace("127.0.0.1", "localhost");
        let moved = |to: String| get(move || async move { (StatusCode::FOUND, [(header::LOCATION, to)]) });
        let router = Router::new()
            .route("/jwks.json", get(answer))
            .route("/moved.json", moved("/jwks.json".to_owned()))
            .route("/moved-away.json", moved(away))
            .route("/moved-in-circles.json", moved("moved-in-circles.json".to_owned()));
        tokio::spawn(async { axum::serve(listener, router).await });
        (issuer, url)
    }

    async fn answer(self: Arc<Self>, headers: HeaderMap) -> Response {
        self.asked.fetch_add(1, Ordering::SeqCst);
        // The firewalls of some issuers reject a request without a `User-Agent`.
        if [header::USER_AGENT, header::ACCEPT].iter().any(|name| !headers.contains_key(name)) {
            return StatusCode::FORBIDDEN.into_response();
        }
        let delay = *self.delay.lock().expect("no panic");
        sleep(delay).await;
        let status = StatusCode::from_u16(self.status.load(Ordering::SeqCst)).expect("a status");
        let document = self.document.lock().expect("no panic").clone();
        if !self.compresses.load(Ordering::SeqCst) {
            return (status, document).into_response();
        }
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(document.as_bytes()).expect("memory");
        (status, [(header::CONTENT_ENCODING, "gzip")], gzip.finish().expect("memory")).into_response()
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn publishes(&self, document: &str) {
        document.clone_into(&mut self.document.lock().expect("no panic"));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn verifier(url: &str) -> Result<Verifier, ConfigError> {
    Verifier::configured(|name| variable(url, name))
}

/// The variables of a function whose issuer is at this URL.
fn variable(url: &str, name: &str) -> Option<String> {
    match name {
        "JWT_JWKS_URL" => Some(url.to_owned()),
        "JWT_UNCHECKED" => Some("iss,aud".to_owned()),
        _ => None,
    }
}

/// A token that is signed with the tests' RSA key and names this key id.
fn token(kid: Option<&str>) -> String {
    let encode = |part: Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let mut header = json!({"alg": "RS256"});
    if let Some(kid) = kid {
        header["kid"] = json!(kid);
    }
    let claims = json!({"sub": "olga", "exp": get_current_timestamp() + 7_200});
    let content = format!("{}.{}", encode(header), encode(claims));
    let key = RsaKeyPair::from_der(RSA).expect("a key");
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), content.as_bytes(), &mut signature).expect("a signature");
    format!("Bearer {content}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The document without one of its keys.
fn without(kid: &str) -> String {
    let mut document: Value = serde_json::from_str(KEYS).expect("JSON");
    document["keys"].as_array_mut().expect("keys").retain(|key| key["kid"] != kid);
    document.to_string()
}

async fn later(seconds: u64) {
    pause();
    advance(Duration::from_secs(seconds)).await;
    resume();
}

#[tokio::test]
async fn what_the_known_issuers_publish_is_understood() {
    for (name, document) in PUBLISHED {
        let (issuer, url) = Issuer::publishing(document).await;
        let verifier = verifier(&url).expect("a verifier");
        let caller = verifier.caller(Some(&token(Some("own")))).await.map(String::from);
        assert_eq!(caller.as_deref(), Ok("olga"), "{name}");
        assert_eq!(verifier.caller(Some(&token(None))).await.map(String::from).as_deref(), Ok("olga"), "{name}");
        assert_eq!(issuer.asked(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_key_of_a_kind_that_nobody_knows_yet_does_not_spoil_the_others() {
    let mut document: Value = serde_json::from_str(KEYS).expect("JSON");
    document["keys"].as_array_mut().expect("keys").insert(0, json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "x"}));
    let (_issuer, url) = Issuer::publishing(&document.to_string()).await;
    assert!(verifier(&url).expect("a verifier").caller(Some(&token(Some("rsa")))).await.is_ok());
}

#[tokio::test]
async fn an_unknown_key_id_asks_the_issuer_again_at_most_once_a_minute() {
    let (issuer, url) = Issuer::publishing(&without("rsa")).await;
    let verifier = verifier(&url).expect("a verifier");
    let named = token(Some("rsa"));
    assert_eq!(verifier.caller(Some(&named)).await, Err(TokenError::Invalid));
    issuer.publishes(KEYS);
    for attempt in 0..20 {
        let injected = token(Some(&format!("../../{attempt}' OR 1=1 --")));
        assert_eq!(verifier.caller(Some(&injected)).await, Err(TokenError::Invalid));
    }
    assert_eq!(verifier.caller(Some(&named)).await, Err(TokenError::Invalid));
    assert_eq!(issuer.asked(), 1);
    later(61).await;
    assert!(verifier.caller(Some(&named)).await.is_ok(), "the issuer has a new key");
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn a_key_without_an_id_does_not_hide_that_there_is_a_new_one() {
    let mut nameless: Value = serde_json::from_str(&without("rsa")).expect("JSON");
    for key in nameless["keys"].as_array_mut().expect("keys") {
        key.as_object_mut().expect("a key").remove("kid");
    }
    let (issuer, url) = Issuer::publishing(&nameless.to_string()).await;
    let verifier = verifier(&url).expect("a verifier");
    assert_eq!(verifier.caller(Some(&token(Some("rsa")))).await, Err(TokenError::Invalid));
    issuer.publishes(KEYS);
    later(61).await;
    assert!(verifier.caller(Some(&token(Some("rsa")))).await.is_ok());
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn a_document_may_be_compressed_and_have_up_to_a_megabyte() {
    let large = format!("{}{}", KEYS, " ".repeat(900_000));
    let bomb = format!("{}{}", KEYS, " ".repeat(1_100_000));
    for (document, compresses, taken) in
        [(KEYS, true, true), (&large, false, true), (&large, true, true), (&bomb, true, false)]
    {
        let (issuer, url) = Issuer::publishing(document).await;
        issuer.compresses.store(compresses, Ordering::SeqCst);
        let caller = verifier(&url).expect("a verifier").caller(Some(&token(Some("rsa")))).await;
        assert_eq!(caller.is_ok(), taken, "{} bytes, compressed: {compresses}", document.len());
    }
}

#[tokio::test]
async fn many_requests_at_once_fetch_once() {
    let (issuer, url) = Issuer::publishing(KEYS).await;
    *issuer.delay.lock().expect("no panic") = Duration::from_millis(50);
    let verifier = Arc::new(verifier(&url).expect("a verifier"));
    let token = token(Some("rsa"));
    let requests: Vec<_> = (0..30)
        .map(|_| {
            let (verifier, token) = (Arc::clone(&verifier), token.clone());
            tokio::spawn(async move { verifier.caller(Some(&token)).await })
        })
        .collect();
    for request in requests {
        assert!(request.await.expect("no panic").is_ok());
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn old_keys_are_kept_while_the_issuer_is_down() {
    let (issuer, url) = Issuer::publishing(KEYS).await;
    let verifier = verifier(&url).expect("a verifier");
    assert!(verifier.caller(Some(&token(Some("rsa")))).await.is_ok());
    issuer.answers(500);
    later(2 * 60 * 60).await;
    assert!(verifier.caller(Some(&token(Some("rsa")))).await.is_ok());
    assert_eq!(issuer.asked(), 2, "the keys were two hours old");
    let unknown = verifier.caller(Some(&token(Some("new")))).await;
    assert_eq!(unknown, Err(TokenError::KeysUnavailable), "it may be a new key: nobody can tell");
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_anew_are_given_up_after_a_day() {
    let (issuer, url) = Issuer::publishing(KEYS).await;
    let verifier = verifier(&url).expect("a verifier");
    assert!(verifier.caller(Some(&token(Some("rsa")))).await.is_ok());
    issuer.answers(500);
    later(23 * 60 * 60).await;
    assert!(verifier.caller(Some(&token(Some("rsa")))).await.is_ok());
    later(2 * 60 * 60).await;
    assert_eq!(verifier.caller(Some(&token(Some("rsa")))).await, Err(TokenError::KeysUnavailable));
    issuer.answers(200);
    later(6).await;
    assert!(verifier.caller(Some(&token(Some("rsa")))).await.is_ok());
}

#[tokio::test]
async fn a_set_without_keys_withdraws_them_all() {
    let (issuer, url) = Issuer::publishing(KEYS).await;
    let verifier = verifier(&url).expect("a verifier");
    assert!(verifier.caller(Some(&token(Some("rsa")))).await.is_ok());
    issuer.publishes(r#"{"keys": []}"#);
    later(61 * 60).await;
    assert_eq!(verifier.caller(Some(&token(Some("rsa")))).await, Err(TokenError::KeysUnavailable));
    issuer.publishes(KEYS);
    later(6).await;
    assert!(verifier.caller(Some(&token(Some("rsa")))).await.is_ok());
}

#[tokio::test]
async fn a_withdrawn_key_is_refused_within_the_hour() {
    let (issuer, url) = Issuer::publishing(KEYS).await;
    let verifier = verifier(&url).expect("a verifier");
    assert!(verifier.caller(Some(&token(Some("rsa")))).await.is_ok());
    issuer.publishes(&without("rsa"));
    assert!(verifier.caller(Some(&token(Some("rsa")))).await.is_ok());
    later(61 * 60).await;
    assert_eq!(verifier.caller(Some(&token(Some("rsa")))).await, Err(TokenError::Invalid));
}

#[tokio::test]
async fn until_the_issuer_is_up_requests_are_asked_to_come_back() {
    let (issuer, url) = Issuer::publishing(KEYS).await;
    let table = TestTable::of_this_process().await;
    let app = TestApp::with_verifier(table, table.table().await, |name| variable(&url, name)).await;
    let call = || app.call(Method::GET, "/api/v1/projects/").authorization(token(Some("rsa")));
    issuer.answers(503);
    let answer = call().await;
    assert!(answer.header("retry-after").is_some());
    answer.problem(503, "keys_unavailable");
    issuer.answers(200);
    later(6).await;
    call().await.expect(200);
}

#[tokio::test]
async fn an_unusable_document_brings_no_keys() {
    let huge = format!("{}{}", KEYS, " ".repeat(1_100_000));
    for document in ["", "{}", r#"{"keys": []}"#, "<html>", &huge] {
        let (_issuer, url) = Issuer::publishing(document).await;
        let caller = verifier(&url).expect("a verifier").caller(Some(&token(None))).await;
        assert_eq!(caller, Err(TokenError::KeysUnavailable), "{document:.20}");
    }
}

#[tokio::test]
async fn an_issuer_that_is_slow_or_has_moved_to_another_host_counts_as_down() {
    let (issuer, url) = Issuer::publishing(KEYS).await;
    for nowhere in ["moved-away.json", "moved-in-circles.json"] {
        let moved = verifier(&url.replace("jwks.json", nowhere)).expect("a verifier");
        assert_eq!(moved.caller(Some(&token(None))).await, Err(TokenError::KeysUnavailable), "{nowhere}");
    }
    assert_eq!(issuer.asked(), 0);
    let moved = verifier(&url.replace("jwks.json", "moved.json")).expect("a verifier");
    assert!(moved.caller(Some(&token(None))).await.is_ok(), "it is the same host");
    *issuer.delay.lock().expect("no panic") = Duration::from_secs(10);
    assert_eq!(verifier(&url).expect("a verifier").caller(Some(&token(None))).await, Err(TokenError::KeysUnavailable));
}

#[tokio::test]
async fn plain_http_is_for_this_machine_alone() {
    for url in
        ["http://example.com/jwks", "http://127.0.0.1.example.com/", "ftp://127.0.0.1/", "jwks.json", "https:///"]
    {
        assert!(matches!(verifier(url), Err(ConfigError::BadJwksUrl(_))), "{url}");
    }
    for url in ["https://example.com/jwks", "http://localhost:1/", "http://127.0.0.1:1/", "http://[::1]:1/"] {
        assert!(verifier(url).is_ok(), "{url}");
    }
}
