//! A newer version of the product on the same table, as during a canary. It knows a column `colour` of tasks and a collection
//! `notes`, which the tested product does not know.

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use fastrand::Rng;
use serde_json::json;
use shared::domain::{ProjectId, RowKey};
use shared::storage::Table;
use tests::support::Newer;
use tokio::time::{Duration, sleep};

use crate::http::PROJECT;
use crate::table::{NAME, UnreliableTable};

/// Its commits follow the protocol, with one row each. It ignores the results of its calls.
pub(crate) struct NewerWriter<F> {
    /// Makes an instance of the product, and a client for writes that the product would not make.
    pub(crate) instances: F,
    pub(crate) table: Arc<UnreliableTable>,
    pub(crate) rng: Rng,
}

/// The value that the newer version gives the column at a version.
pub(crate) fn colour(version: u64) -> String {
    format!("colour of {version}")
}

impl<F: Fn() -> (Table, Client)> NewerWriter<F> {
    pub(crate) async fn write(&mut self, writes: u64) {
        let (mut instance, mut client) = (self.instances)();
        let mut incarnation = 0;
        for number in 0..writes {
            let pause = self.rng.u64(0..300);
            sleep(Duration::from_millis(pause)).await;
            self.table.is_open().await;
            let now = self.table.state().incarnation;
            if now != incarnation {
                ((instance, client), incarnation) = ((self.instances)(), now);
            }
            self.commit(number, &instance, &client).await;
        }
    }

    /// Reads the counter, then the row and the rows of the latest commit, which must be in place. Then sends the transaction.
    async fn commit(&mut self, number: u64, instance: &Table, client: &Client) -> Option<()> {
        let project: ProjectId = PROJECT.parse().expect("an id");
        let counter = instance.counter(&project).await.ok()??;
        // The newer version would have to finish an unfinished deletion first. This test leaves that to the other writers.
        if counter.deleted_at.is_some() || counter.unfinished.is_some() {
            return None;
        }
        let key = self.choose(number);
        let keys: Vec<RowKey> = counter.write_set.iter().map(|(key, _)| key.clone()).chain([key.clone()]).collect();
        let snapshot = instance.snapshot(&project, &keys).await.ok()?;
        let in_place = |key: &RowKey, version| snapshot.row(key).is_some_and(|row| row.version >= version);
        let old = snapshot.row(&key).cloned();
        let is_dead = old.as_ref().is_some_and(|row| row.live().is_none());
        let is_newer = old.as_ref().is_some_and(|row| row.version > counter.current);
        if is_dead || is_newer || !counter.write_set.iter().all(|(key, version)| in_place(key, *version)) {
            return None;
        }
        let version = counter.current.next().expect("a version");
        let is_note = key.collection.known().is_none();
        let dies = is_note && old.is_some() && self.rng.u8(0..4) == 0;
        let newer = match is_note {
            true => json!({"name": format!("note {number}"), "nested": "[{\"b\":1,\"a\":2}]"}).to_string(),
            false => json!({"colour": colour(version.get())}).to_string(),
        };
        let none = json!({});
        if !is_note && old.is_none() {
            return None;
        }
        let newer = Newer::new(old, key, (!dies).then_some((&none, newer.as_str())), version);
        let items = newer.items(NAME, &project, &counter);
        let token = format!("newer-{number}");
        let call = client.transact_write_items().client_request_token(token).set_transact_items(Some(items));
        call.send().await.ok()?;
        Some(())
    }

    /// A new note, or one of the existing rows.
    fn choose(&mut self, number: u64) -> RowKey {
        let state = self.table.state();
        let wanted = ["tasks#", "notes#"][self.rng.usize(0..2)];
        let live: Vec<&String> = state.history.live().keys().filter(|row| row.starts_with(wanted)).collect();
        let row = match live.is_empty() || (wanted == "notes#" && self.rng.bool()) {
            true => format!("notes#n{number}"),
            false => live[self.rng.usize(..live.len())].clone(),
        };
        row.parse().expect("a key")
    }
}
