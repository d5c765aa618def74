//! Tests live updates over real WebSockets, on the local stack with the engine's stream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::Method;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use shared::auth::Verifier;
use shared::storage::Table;
use stack::token::{LOCAL_SECRET, sign};
use stack::{engine, live, loopback, serve, table};
use tests::support::{Call, OWNER};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const NAME: &str = "live";
/// The timeout of a test. It is longer than any answer takes, and it does not limit how long one may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The local stack on an engine of its own, as in `trueppm serve`.
struct Stack {
    router: Router,
    address: String,
}

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Stack {
    async fn new() -> Self {
        let endpoint = engine::start(None).expect("an engine");
        let client = ops::endpoint::client(&endpoint).await;
        table::create(&client, NAME).await.expect("a table");
        let secret = |name: &str| (name == "JWT_SECRET").then(|| LOCAL_SECRET.to_owned());
        let verifier = Arc::new(Verifier::configured(secret).expect("a verifier"));
        let table = Table::new(client.clone(), NAME);
        let live = live::router(&client, &endpoint, &table, Arc::clone(&verifier)).await.expect("a stream");
        let router = loopback::only_from_this_machine(serve::router(table, verifier).merge(live));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        tokio::spawn({
            let router = router.clone();
            async move { axum::serve(listener, router).await }
        });
        Self { router, address }
    }

    async fn connect(&self) -> Socket {
        Socket(connect_async(format!("ws://{}/live", self.address)).await.expect("a socket").0)
    }

    async fn watching(&self, user: &str, projects: &[&str]) -> Socket {
        let mut socket = self.connect().await;
        let token = sign(LOCAL_SECRET, user).expect("a token");
        socket.say(&json!({"action": "watch", "token": token, "projects": projects})).await;
        let answer = socket.hear().await.expect("an answer");
        assert_eq!(answer["watching"].as_array().map(Vec::len), Some(projects.len()), "{answer}");
        socket
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> u64 {
        let call = Call::new(self.router.clone(), method, &format!("/api/v1/projects/{path}")).by(OWNER).json(body);
        let answer = call.await;
        assert!(answer.status < 300, "{}", answer.text);
        answer.committed()
    }

    async fn project(&self, id: &str) {
        self.call(Method::POST, "", &json!({"id": id, "name": id, "start_date": "2026-03-02"})).await;
    }

    async fn rename(&self, project: &str, name: &str) -> u64 {
        self.call(Method::PATCH, &format!("{project}/"), &json!({ "name": name })).await
    }
}

impl Socket {
    async fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.expect("sent");
    }

    /// The next message, or none if the socket is closed.
    async fn hear(&mut self) -> Option<Value> {
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("something within half a minute") {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(text.as_str()).expect("JSON")),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(_) | Err(_)) | None => return None,
            }
        }
    }

    /// The pokes up to one of this version.
    async fn hear_of(&mut self, project: &str, version: u64) {
        loop {
            let poke = self.hear().await.expect("a poke");
            assert_eq!(poke["project"], project, "{poke}");
            if poke["version"].as_u64().expect("a version") >= version {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_devices_hear_of_a_change_and_one_that_is_removed_hears_of_no_other() {
    let stack = Stack::new().await;
    stack.project("house").await;
    let member = stack.call(Method::POST, "house/memberships/", &json!({"user": "vic", "role": 1})).await;
    let (mut olga, mut vic) = (stack.watching(OWNER, &["house"]).await, stack.watching("vic", &["house"]).await);
    let version = stack.rename("house", "Shed").await;
    assert!(version > member);
    olga.hear_of("house", version).await;
    vic.hear_of("house", version).await;

    let id = shared::domain::membership_id(&"house".parse().expect("an id"), &"vic".parse().expect("a user"));
    let removal = stack.call(Method::DELETE, &format!("house/memberships/{id}/"), &json!({})).await;
    olga.hear_of("house", removal).await;
    assert_eq!(vic.hear().await, None, "closed");
    let version = stack.rename("house", "Barn").await;
    olga.hear_of("house", version).await;
    let mut vic = stack.connect().await;
    let token = sign(LOCAL_SECRET, "vic").expect("a token");
    vic.say(&json!({"action": "watch", "token": token, "projects": ["house"]})).await;
    assert_eq!(vic.hear().await, Some(json!({"watching": [], "refused": ["house"]})));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_answers_pings_and_ends_at_what_is_no_message_of_a_client() {
    let stack = Stack::new().await;
    let mut socket = stack.connect().await;
    socket.say(&json!({"action": "ping"})).await;
    assert_eq!(socket.hear().await, Some(json!({"pong": true})));
    socket.0.send(Message::binary(vec![0, 1, 2])).await.expect("sent");
    assert_eq!(socket.hear().await.expect("an answer")["code"], "invalid_message");
    // The message is longer than the gateway accepts. The socket ends, and the server goes on.
    let _ = socket.0.send(Message::text("x".repeat(1 << 20))).await;
    assert_eq!(socket.hear().await, None);
    let mut socket = stack.connect().await;
    socket.say(&json!({"action": "ping"})).await;
    assert_eq!(socket.hear().await, Some(json!({"pong": true})));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_opens_no_socket() {
    let stack = Stack::new().await;
    let mut request = format!("ws://{}/live", stack.address).into_client_request().expect("a request");
    request.headers_mut().insert("origin", "https://example.com".parse().expect("a value"));
    match connect_async(request).await {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 403),
        other => panic!("{other:?}"),
    }
}

/// Measures the time from before a change is sent until a watcher is told of it. `cargo test -p tests --test it live_socket --
/// --nocapture` prints it.
#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_projects_is_heard_of_and_how_fast_is_printed() {
    const PROJECTS: usize = 60;
    let stack = Stack::new().await;
    let ids: Vec<String> = (0..PROJECTS).map(|n| format!("p{n}")).collect();
    for id in &ids {
        stack.project(id).await;
    }
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut socket = stack.watching(OWNER, &ids).await;
    // Pokes of the latest commits may still arrive.
    let mut times = Vec::with_capacity(PROJECTS);
    for id in &ids {
        let start = Instant::now();
        let version = stack.rename(id, "Renamed").await;
        loop {
            let poke = socket.hear().await.expect("a poke");
            if poke["project"] == *id && poke["version"].as_u64() >= Some(version) {
                break;
            }
        }
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    eprintln!("write to poke, {PROJECTS} projects: median {:?}, p99 {:?}, most {:?}", at(0.5), at(0.99), at(1.0));
}
