//! Servers of the command: where they listen, and what they print.

use std::io::Read;
use std::net::UdpSocket;
use std::process::Stdio;

use serde_json::Value;
use trueppm::client::Client;

use crate::support::{Running, command};

/// The last line that a server prints when it is ready.
const READY: &str = "listening on ";

/// A server that is ready, and the lines that it printed until then.
fn started(arguments: &[&str]) -> (Running, Vec<String>) {
    let mut command = command(arguments);
    let mut server = Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a command"));
    let mut printed: Vec<String> = Vec::new();
    for line in server.lines() {
        printed.push(line.expect("UTF-8"));
        if printed.last().is_some_and(|line| line.starts_with(READY)) {
            break;
        }
    }
    let is_ready = printed.last().is_some_and(|line| line.starts_with(READY));
    assert!(is_ready, "{arguments:?} ended before it was ready: {printed:?}");
    (server, printed)
}

/// What a line says behind its first word.
fn said<'a>(printed: &'a [String], word: &str) -> &'a str {
    printed.iter().find_map(|line| line.strip_prefix(word)).expect("a line that begins with this word").trim()
}

/// Ends a server. Answers what it printed to its standard error.
fn errors_of(mut server: Running) -> String {
    server.0.kill().expect("a process");
    let mut errors = String::new();
    server.0.stderr.take().expect("an output").read_to_string(&mut errors).expect("UTF-8");
    errors
}

/// An address of this machine in its network; 127.0.0.1 if it is in none. Nothing is sent.
fn own_address() -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    let connected = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    connected.map_or_else(|_| "127.0.0.1".to_owned(), |address| address.ip().to_string())
}

async fn projects(url: &str, token: &str) -> Value {
    let client = Client::new(url, token).expect("a client");
    client.get("/api/v1/projects/").await.expect("a response").json().expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_every_address_is_called_from_the_network_and_warns_of_it() {
    let (server, printed) = started(&["serve", "--port", "0", "--host", "0.0.0.0"]);
    let url = said(&printed, READY);
    let port = url.strip_prefix("http://127.0.0.1:").expect("an address to call");
    let list = projects(&format!("http://{}:{port}", own_address()), said(&printed, "token")).await;
    assert_eq!(list["results"], Value::Array(vec![]));
    let warning = "warning: everyone in the network of 0.0.0.0 can call this server, and the secret that signs tokens is public; \
                   set JWT_SECRET to use another one";
    assert_eq!(errors_of(server).lines().next(), Some(warning));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_starts_quietly_and_prints_user_token_what_to_try_and_its_address_last() {
    let (server, printed) = started(&["demo", "--port", "0"]);
    assert_eq!(errors_of(server), "", "the demo project is created without a line for each request");
    let words: Vec<&str> = printed.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(words[words.len() - 4..], ["user", "token", "try", "listening"]);
    let (url, token) = (said(&printed, READY), said(&printed, "token"));
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    let expected = format!("curl -H 'Authorization: Bearer {token}' '{url}/api/v1/projects/demo/sync/?since=0'");
    assert_eq!(said(&printed, "try"), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_has_its_project_and_its_token_is_good_for_it() {
    let (server, printed) = started(&["demo", "--port", "0"]);
    let list = projects(said(&printed, READY), said(&printed, "token")).await;
    assert_eq!(list["results"][0]["id"], "demo");
    drop(server);
}
