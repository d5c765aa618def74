//! The command itself, as people and scripts run it.
#![expect(clippy::expect_used, reason = "in a test, a surprise is a failure; clippy knows tests, not their helpers")]

mod diagnose;
mod plan;
mod serve;
mod support;
mod versions;

use std::process::Stdio;

use serde_json::{Value, json};
use trueppm::client::Client;

use crate::support::{Running, command, first_line, ran};

#[tokio::test]
async fn a_failure_says_what_to_do_and_ends_with_2() {
    let ran_with = async |arguments: &[&str]| ran(command(arguments)).await;
    let nobody = ran_with(&["export", "--json", "--project", "demo", "--url", "http://127.0.0.1:9"]).await;
    assert_eq!((nobody.code, nobody.output.as_str()), (Some(2), ""));
    let expected = "error: cannot reach http://127.0.0.1:9: Connection refused (os error 111)\n  \
                    Start the server with `trueppm serve` or `trueppm demo`, or pass another address with --url.\n";
    assert_eq!(nobody.errors, expected, "without colours, since this is no terminal");
    assert_eq!(ran_with(&["serv"]).await.code, Some(2));
    assert_eq!(ran_with(&[]).await.code, Some(2));
    let elsewhere = ran_with(&["verify", "--dynamodb-url", "http://127.0.0.1:9"]).await;
    let expected = "error: cannot check table trueppm: cannot reach DynamoDB at http://127.0.0.1:9: Connection refused (os error \
                    111)\n  Check --dynamodb-url, or your AWS region and credentials.\n";
    assert_eq!((elsewhere.code, elsewhere.errors.as_str()), (Some(2), expected));
    let unnamed = ran_with(&["restore"]).await;
    assert!(unnamed.code == Some(2) && unnamed.errors.contains("--table-name <TABLE_NAME>"), "{unnamed:?}");
}

#[tokio::test]
async fn a_stack_says_where_it_is_and_its_token_is_good_there() {
    let mut serve = command(&["serve", "--json", "--port", "0"]);
    let mut serve = Running(serve.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a command"));
    let line = first_line(&mut serve);
    let ready: Value = serde_json::from_str(&line).expect("JSON");
    let text = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
    let client = Client::new(&text("url"), &text("token")).expect("a client");
    let list = client.get("/api/v1/projects/").await.expect("an answer").json().expect("JSON");
    assert_eq!(list["results"], json!([]));
    let verified = ran(command(&["verify", "--dynamodb-url", &text("dynamodb_url")])).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert!(verified.output.ends_with("verdict   sound: no violation found\n"), "{verified:?}");
    let token = ran(command(&["token", "--user", "mia", "--json"])).await;
    let token: Value = serde_json::from_str(&token.output).expect("JSON");
    assert!(token["expires_at"].as_u64() > Some(1_790_000_000));
    let as_mia = Client::new(&text("url"), token["token"].as_str().expect("a token")).expect("a client");
    assert_eq!(as_mia.user().as_deref(), Some("mia"));
    as_mia.get("/api/v1/projects/").await.expect("the stack takes it");
}
