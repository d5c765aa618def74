//! Tests authentication: tokens, and the answers to bad ones.

use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use ring::hmac;
use serde_json::{Value, json};
use stack::token::LOCAL_SECRET;
use tests::support::{Answer, Call, OWNER, TestApp, TestProject, TestTable};

/// A token's three parts over any header and claims, signed with HS256.
fn signed(header: &Header, claims: &Value, secret: &[u8]) -> String {
    encode(header, claims, &EncodingKey::from_secret(secret)).expect("a token")
}

fn claims(expires_in: i64) -> Value {
    let now = i64::try_from(get_current_timestamp()).expect("now");
    json!({"sub": OWNER, "exp": now + expires_in})
}

/// A call of each function.
fn calls(project: &TestProject) -> [Call; 3] {
    [project.sync("since=0"), project.get("tasks/"), project.post("tasks", &json!({"name": "x"}))]
}

async fn refuses(project: &TestProject, authorization: &str, code: &str) {
    for call in calls(project) {
        let answer = project.refuses(call.authorization(authorization), 401, code).await;
        assert_challenges(&answer);
    }
}

#[track_caller]
fn assert_challenges(answer: &Answer) {
    let challenge = answer.header("www-authenticate").expect("WWW-Authenticate");
    assert!(challenge.starts_with("Bearer"), "{challenge}");
}

#[tokio::test]
async fn without_a_bearer_token_nobody_gets_in() {
    let project = TestApp::new().await.with_project().await;
    for call in calls(&project) {
        let answer = project.refuses(call.without_token(), 401, "token_missing").await;
        assert_challenges(&answer);
    }
    let token = TestApp::token(OWNER);
    for header in [token.as_str(), "Basic b2xnYTpvbGdh", "", "Bearer"] {
        refuses(&project, header, "token_missing").await;
    }
}

#[tokio::test]
async fn the_scheme_is_bearer_in_any_case() {
    let project = TestApp::new().await.with_project().await;
    let token = TestApp::token(OWNER);
    for scheme in ["Bearer", "bearer", "BEARER"] {
        project.get("").authorization(format!("{scheme} {token}")).await.expect(200);
    }
}

#[tokio::test]
async fn a_token_that_is_unsigned_forged_or_cut_is_refused() {
    let project = TestApp::new().await.with_project().await;
    let good = signed(&Header::default(), &claims(60), LOCAL_SECRET.as_bytes());
    project.get("").authorization(format!("Bearer {good}")).await.expect(200);
    let (content, signature) = good.rsplit_once('.').expect("three parts");
    let (_, payload) = content.split_once('.').expect("three parts");
    // These headers are {"alg":"none"} and {"alg":"None","typ":"JWT"}.
    for header in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJOb25lIiwidHlwIjoiSldUIn0"] {
        refuses(&project, &format!("Bearer {header}.{payload}."), "token_invalid").await;
        refuses(&project, &format!("Bearer {header}.{payload}.{signature}"), "token_invalid").await;
    }
    refuses(&project, &format!("Bearer {content}."), "token_invalid").await;
    refuses(&project, &format!("Bearer {content}"), "token_invalid").await;
    refuses(&project, "Bearer x.y.z", "token_invalid").await;
    let forged = signed(&Header::default(), &claims(60), b"another secret of at least 32 bytes");
    refuses(&project, &format!("Bearer {forged}"), "token_invalid").await;
    let content = format!("{}.{payload}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS512"}"#));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, LOCAL_SECRET.as_bytes()), content.as_bytes());
    let other_algorithm = format!("{content}.{}", URL_SAFE_NO_PAD.encode(signature));
    refuses(&project, &format!("Bearer {other_algorithm}"), "token_invalid").await;
}

#[tokio::test]
async fn an_expired_token_says_so_and_one_without_an_end_or_a_user_is_refused() {
    let project = TestApp::new().await.with_project().await;
    let bearer = |claims: &Value| format!("Bearer {}", signed(&Header::default(), claims, LOCAL_SECRET.as_bytes()));
    refuses(&project, &bearer(&claims(-70)), "token_expired").await;
    project.get("").authorization(bearer(&claims(-30))).await.expect(200);
    let mut early = claims(600);
    early["nbf"] = json!(early["exp"].as_i64().expect("a time") - 300);
    refuses(&project, &bearer(&early), "token_invalid").await;
    for wrong in [
        json!({"sub": OWNER}),
        json!({"exp": claims(60)["exp"]}),
        json!({"sub": "", "exp": claims(60)["exp"]}),
        json!({"sub": "x".repeat(256), "exp": claims(60)["exp"]}),
        json!({"sub": 5, "exp": claims(60)["exp"]}),
    ] {
        refuses(&project, &bearer(&wrong), "token_invalid").await;
    }
}

#[tokio::test]
async fn two_authorization_headers_are_one_too_many() {
    let project = TestApp::new().await.with_project().await;
    let again = format!("Bearer {}", TestApp::token("eve"));
    for call in calls(&project) {
        project.refuses(call.header("authorization", &again), 401, "token_invalid").await;
    }
}

#[tokio::test]
async fn a_public_key_is_no_secret_to_sign_with() {
    let jwks = include_str!("../../shared/testdata/jwks.json");
    let table = TestTable::of_this_process().await;
    let variable = |name: &str| match name {
        "JWT_JWKS" => Some(jwks.to_owned()),
        "JWT_UNCHECKED" => Some("iss,aud".to_owned()),
        _ => None,
    };
    let app = TestApp::with_verifier(table, table.table().await, variable).await;
    let published: Value = serde_json::from_str(jwks).expect("JSON");
    for key in published["keys"].as_array().expect("keys") {
        let header = Header { kid: key["kid"].as_str().map(str::to_owned), ..Header::default() };
        let parts = ["n", "x", "y"].into_iter().filter_map(|name| key[name].as_str());
        for secret in parts.chain([jwks, key.to_string().as_str()]) {
            let token = signed(&header, &claims(60), secret.as_bytes());
            let call = app.call(Method::GET, "/api/v1/projects/").authorization(format!("Bearer {token}"));
            call.await.problem(401, "token_invalid");
        }
    }
}
