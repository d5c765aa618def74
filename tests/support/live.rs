//! The functions `live` and `poke`, with clients that only record what they are sent.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use live::{Event, Live};
use poke::Poke;
use serde_json::{Value, json};
use shared::auth::Verifier;
use shared::domain::ConnectionId;
use shared::live::{Connections, Delivery, LiveLog};
use shared::storage::{Table, Unwatched};
use stack::token::LOCAL_SECRET;

use super::{TestApp, TestTable};

/// The connected clients, with the messages that each one was sent and the connections that were closed.
#[derive(Debug, Default)]
pub struct Clients {
    sent: Mutex<BTreeMap<ConnectionId, Vec<Value>>>,
    closed: Mutex<Vec<ConnectionId>>,
    dead: Mutex<HashSet<ConnectionId>>,
    unreachable: Mutex<HashSet<ConnectionId>>,
    posts: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
}

impl Clients {
    /// The messages that a client was sent.
    pub fn sent(&self, connection: &str) -> Vec<Value> {
        self.sent.lock().expect("what was sent").get(&id(connection)).cloned().unwrap_or_default()
    }

    /// Each client that was sent something, with the number of messages.
    pub fn counts(&self) -> Vec<usize> {
        self.sent.lock().expect("what was sent").values().map(Vec::len).collect()
    }

    /// The connections that were closed.
    pub fn closed(&self) -> Vec<String> {
        self.closed.lock().expect("who was closed").iter().map(ToString::to_string).collect()
    }

    /// Makes the connection vanish without an event.
    pub fn kill(&self, connection: &str) {
        self.dead.lock().expect("the dead").insert(id(connection));
    }

    /// Makes the connection unreachable for the gateway.
    pub fn hide(&self, connection: &str) {
        self.unreachable.lock().expect("the hidden").insert(id(connection));
    }

    /// Makes a hidden connection reachable again.
    pub fn reveal(&self, connection: &str) {
        self.unreachable.lock().expect("the hidden").remove(&id(connection));
    }

    /// The number of requests to send so far. Requests to close do not count, because a sweep closes what other tests left open.
    pub fn posts(&self) -> usize {
        self.posts.load(Ordering::Relaxed)
    }

    /// The largest number of requests that were under way at once.
    pub fn most_under_way(&self) -> usize {
        self.most_under_way.load(Ordering::Relaxed)
    }

    async fn reach(&self, connection: &ConnectionId) -> Delivery {
        let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_under_way.fetch_max(under_way, Ordering::Relaxed);
        tokio::task::yield_now().await;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        let is_in = |set: &Mutex<HashSet<ConnectionId>>| set.lock().expect("connections").contains(connection);
        match (is_in(&self.dead), is_in(&self.unreachable)) {
            (true, _) => Delivery::Gone,
            (_, true) => Delivery::Failed,
            _ => Delivery::Sent,
        }
    }
}

impl Connections for Clients {
    async fn send(&self, to: &ConnectionId, text: &str) -> Delivery {
        self.posts.fetch_add(1, Ordering::Relaxed);
        let delivery = self.reach(to).await;
        if delivery == Delivery::Sent {
            let text = serde_json::from_str(text).expect("JSON");
            self.sent.lock().expect("what was sent").entry(to.clone()).or_default().push(text);
        }
        delivery
    }

    async fn close(&self, connection: &ConnectionId) -> Delivery {
        let delivery = self.reach(connection).await;
        if delivery == Delivery::Sent {
            self.closed.lock().expect("who was closed").push(connection.clone());
        }
        delivery
    }
}

/// The functions `live` and `poke` over one table.
pub struct LiveApp {
    /// The function `live`.
    pub live: Live,
    /// The function `poke`.
    pub poke: Poke<Clients>,
    /// The connected clients.
    pub clients: Arc<Clients>,
    /// The table.
    pub table: Table,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl LiveApp {
    /// An app on this process's table, with a client of its own.
    pub async fn new() -> Self {
        Self::on(TestTable::of_this_process().await.table().await)
    }

    /// An app on a table.
    pub fn on(table: Table) -> Self {
        Self::with(table, Arc::default())
    }

    /// An app on a table, with these clients.
    pub fn with(table: Table, clients: Arc<Clients>) -> Self {
        let secret = |name: &str| (name == "JWT_SECRET").then(|| LOCAL_SECRET.to_owned());
        let verifier = Arc::new(Verifier::configured(secret).expect("a verifier"));
        let lines = Arc::<Mutex<Vec<Value>>>::default();
        let log = |function| {
            let lines = Arc::clone(&lines);
            LiveLog::new(function, "test", move |line| {
                lines.lock().expect("lines").push(serde_json::from_str(line).expect("JSON"));
            })
        };
        Self {
            live: Live::new(table.clone(), verifier).with_log(log("live")),
            poke: Poke::new(table.clone(), Arc::clone(&clients)).with_log(log("poke")),
            clients,
            table,
            lines,
        }
    }

    /// The last line of the log.
    pub fn line(&self) -> Value {
        self.lines.lock().expect("lines").last().cloned().expect("a line")
    }

    /// Sends an event of a connection. Returns the message to the client, or null if there is none.
    pub async fn event(&self, connection: &str, event: Event) -> Value {
        let answer = self.live.answer(&unwatched(connection), event).await;
        assert_eq!(answer.status, 200);
        answer.message.map_or(Value::Null, |text| serde_json::from_str(&text).expect("JSON"))
    }

    /// Sends a client's message.
    pub async fn say(&self, connection: &str, message: &Value) -> Value {
        self.event(connection, Event::Said(message.to_string())).await
    }

    /// Lets a user watch projects.
    pub async fn watch(&self, connection: &str, user: &str, projects: &[&str]) -> Value {
        let token = TestApp::token(user);
        self.say(connection, &json!({"action": "watch", "token": token, "projects": projects})).await
    }

    /// Hands over a batch of the stream. Returns the place from which it must be repeated.
    pub async fn batch(&self, records: &[Value]) -> Option<String> {
        self.poke.handle(&stream_event(records)).await
    }

    /// The watchers of a project on the table, sorted.
    pub async fn watchers(&self, project: &str) -> Vec<String> {
        let watchers = self.table.watchers(&project.parse().expect("a project")).await.expect("watchers");
        let mut watchers: Vec<_> = watchers.into_iter().map(|watcher| watcher.connection.to_string()).collect();
        watchers.sort_unstable();
        watchers
    }
}

/// A connection that was opened a moment ago.
fn unwatched(connection: &str) -> Unwatched {
    Unwatched { connection: id(connection), opened_at: 1_772_438_400_000 }
}

fn id(connection: &str) -> ConnectionId {
    connection.parse().expect("a connection's id")
}

/// An event of the stream, whose records are numbered from 1.
pub fn stream_event(records: &[Value]) -> Value {
    let mut records = records.to_vec();
    for (index, record) in records.iter_mut().enumerate() {
        if record["dynamodb"].is_object() {
            record["dynamodb"]["SequenceNumber"] = json!(format!("{:021}", index + 1));
        }
    }
    json!({ "Records": records })
}

/// The stream's record of a commit.
pub fn moved(project: &str, version: u64) -> Value {
    json!({"eventName": "MODIFY", "dynamodb": {
        "Keys": {"project_id": {"S": project}, "entity": {"S": "_counter"}},
        "NewImage": {"current_version": {"N": version.to_string()}},
    }})
}

/// The stream's record of a removal.
pub fn removed(project: &str, user: &str) -> Value {
    let row = json!({"id": "m", "user": user, "role": 1}).to_string();
    json!({"eventName": "MODIFY", "dynamodb": {
        "Keys": {"project_id": {"S": project}, "entity": {"S": "memberships#m"}},
        "NewImage": {"is_deleted": {"BOOL": true}, "deleted_row": {"S": row}},
    }})
}
