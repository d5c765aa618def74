//! Tells the watchers of a project that it moved.
//!
//! The table's stream hands over the writes in batches; the writes of one project come in order. For each project of a batch:
//!
//! 1. The watches of removed members are ended, and their connections are closed.
//! 2. All watchers are told the newest version of the batch, and no earlier one. If the last poke was less than a second ago, the
//!    batch waits. Later writes come in the next batch. So a connection gets at most one poke per second of a project, as long as
//!    one instance handles its part of the stream. When Lambda starts another instance, a poke may come earlier.
//! 3. Watches of dead connections are removed. So are expired watches, and their clients are told.
//!
//! A poke is lost when a connection cannot be reached, or when there is no time left. The client's slow poll then finds the
//! change. A batch fails only if the watchers of a project cannot be read. Lambda then repeats the batch a few times, from the
//! first record of that project on.
//!
//! Connections that were opened half a minute ago and watch nothing are closed, too: see [`Poke::sweep`].

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use shared::auth::TokenError;
use shared::domain::{ConnectionId, Error, ProjectId};
use shared::live::{Connections, Delivery, LiveLog, ServerMessage};
use shared::meter::measured;
use shared::storage::{Table, Watcher, changes};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

mod batch;
mod lambda;
mod pace;
mod tally;

use batch::{Batch, Moved, Place, Removed};
pub use lambda::run;
use pace::Pace;
pub use tally::Tally;

/// The maximum number of messages that are being sent at once.
pub const MAX_PARALLEL_SENDS: usize = 64;
/// The maximum number of projects of a batch whose watchers are read at once.
const MAX_PARALLEL_PROJECTS: usize = 8;
/// How long the messages of a batch may take. Messages that are not sent by then are lost.
const MAX_SEND_TIME: Duration = Duration::from_secs(20);
/// The age at which a sweep closes a connection that watches nothing.
pub const MAX_UNWATCHED: Duration = Duration::from_secs(30);

/// Everything that the handler needs.
pub struct Poke<C> {
    table: Table,
    connections: Arc<C>,
    pace: Pace,
    sends: Semaphore,
    log: LiveLog,
}

impl<C: Connections> Poke<C> {
    /// A handler that tells watchers over these connections.
    pub fn new(table: Table, connections: Arc<C>) -> Self {
        Self {
            table,
            connections,
            pace: Pace::default(),
            sends: Semaphore::new(MAX_PARALLEL_SENDS),
            log: LiveLog::silent("poke"),
        }
    }

    /// Writes a line to this log for each batch.
    #[must_use]
    pub fn with_log(self, log: LiveLog) -> Self {
        Self { log, ..self }
    }

    /// Handles an event: a batch of the stream, or anything else, which is a call to sweep. If the batch must be repeated,
    /// returns the place in the stream to repeat it from.
    pub async fn handle(&self, event: &Value) -> Option<String> {
        let started = Instant::now();
        let ((tally, again), cost) = measured(Box::pin(self.work(event))).await;
        let metrics = [
            ("Duration", "Milliseconds", started.elapsed().as_secs_f64() * 1e3),
            ("ReadUnits", "Count", cost.read_units),
            ("WriteUnits", "Count", cost.write_units),
        ];
        self.log.write(
            &[&metrics[..], &tally.metrics()].concat(),
            json!({"event": if tally.records > 0 { "batch" } else { "sweep" }, "again": again}),
        );
        again
    }

    async fn work(&self, event: &Value) -> (Tally, Option<String>) {
        let mut tally = Tally::default();
        if event.get("Records").is_none() {
            self.swept(&mut tally).await;
            return (tally, None);
        }
        let batch = Batch::of(changes(event));
        tally.records = batch.records;
        tally.unreadable = batch.unreadable;
        let again = self.batch(batch, &mut tally).await;
        if self.pace.is_time_to_sweep() {
            self.swept(&mut tally).await;
        }
        (tally, again)
    }

    async fn batch(&self, batch: Batch, tally: &mut Tally) -> Option<String> {
        let deadline = Instant::now() + MAX_SEND_TIME;
        let mut failed = Vec::new();
        for removed in batch.removed {
            if let Err(error) = self.close_removed(&removed, tally).await {
                tally.failed_to_read(&error);
                failed.push(removed.place);
            }
        }
        // The project whose poke is due first goes first, so that no project waits for another one that keeps moving.
        let mut moved = batch.moved;
        moved.sort_by_cached_key(|moved| self.pace.due(&moved.project));
        tally.projects += moved.len();
        let pokes: Vec<_> = moved.into_iter().map(|moved| self.poke(moved, deadline)).collect();
        let mut poked = stream::iter(pokes).buffer_unordered(MAX_PARALLEL_PROJECTS);
        while let Some((place, of_project)) = poked.next().await {
            tally.add(&of_project);
            if of_project.failed_reads > 0 {
                failed.push(place);
            }
        }
        failed.into_iter().min().map(|place| place.sequence_number)
    }

    /// Ends the watches of members who were removed from a project, and closes their connections.
    async fn close_removed(&self, removed: &Removed, tally: &mut Tally) -> Result<(), Error> {
        let mut watchers = self.table.watchers(&removed.project).await?;
        watchers.retain(|watcher| removed.users.contains(&watcher.user));
        let connections: Vec<ConnectionId> = watchers.into_iter().map(|watcher| watcher.connection).collect();
        self.table.end_watches(&removed.project, &connections).await?;
        tally.closed += self.close(&connections).await;
        Ok(())
    }

    /// Tells the watchers of a project its version, as soon as the pace allows it.
    async fn poke(&self, moved: Moved, deadline: Instant) -> (Place, Tally) {
        let mut tally = Tally::default();
        self.pace.turn_of(&moved.project).await;
        match self.table.watchers(&moved.project).await {
            Ok(watchers) => self.tell(&moved, watchers, deadline, &mut tally).await,
            Err(error) => tally.failed_to_read(&error),
        }
        (moved.place, tally)
    }

    async fn tell(&self, moved: &Moved, watchers: Vec<Watcher>, deadline: Instant, tally: &mut Tally) {
        let now = since_1970().as_secs().cast_signed();
        let (live, expired): (Vec<_>, Vec<_>) = watchers.into_iter().partition(|watcher| watcher.until > now);
        let live: Vec<ConnectionId> = live.into_iter().map(|watcher| watcher.connection).collect();
        let text = ServerMessage::poke(moved.project.clone(), moved.version).to_json();
        let mut dead = Vec::new();
        for (connection, delivery) in live.iter().zip(self.send(&live, &text, deadline).await) {
            match delivery {
                Some(Delivery::Sent) => tally.pokes += 1,
                Some(Delivery::Gone) => dead.push(connection),
                Some(Delivery::Failed) => tally.failed += 1,
                None => tally.unsent += 1,
            }
        }
        tally.gone += dead.len();
        // If this fails, the next poke finds the dead watches again.
        if let Err(error) = self.table.end_watches(&moved.project, dead).await {
            tally.failed_to_clean(&error);
        }
        self.end_expired(&moved.project, expired, deadline, tally).await;
    }

    /// Removes watches whose tokens have expired, and tells each client once.
    async fn end_expired(&self, project: &ProjectId, expired: Vec<Watcher>, deadline: Instant, tally: &mut Tally) {
        let ends: Vec<_> = expired.iter().map(|watcher| self.table.end_expired_watch(project, watcher)).collect();
        let ended: Vec<_> = stream::iter(ends).buffered(MAX_PARALLEL_SENDS).collect().await;
        let mut told = Vec::new();
        for (watcher, ended) in expired.into_iter().zip(ended) {
            match ended {
                Ok(true) => told.push(watcher.connection),
                // The watch was renewed a moment ago.
                Ok(false) => {}
                Err(error) => tally.failed_to_clean(&error),
            }
        }
        tally.expired += told.len();
        let refusal = ServerMessage::Refused(TokenError::Expired.into());
        self.send(&told, &refusal.to_json(), deadline).await;
    }

    /// Sends a text to many connections, a bounded number at once. The result of a connection is none if there was no time for
    /// it.
    async fn send(&self, to: &[ConnectionId], text: &str, deadline: Instant) -> Vec<Option<Delivery>> {
        let sends: Vec<_> = to.iter().map(|connection| self.send_one(connection, text, deadline)).collect();
        stream::iter(sends).buffered(MAX_PARALLEL_SENDS).collect().await
    }

    async fn send_one(&self, to: &ConnectionId, text: &str, deadline: Instant) -> Option<Delivery> {
        let send = async {
            let _permit = self.sends.acquire().await.ok()?;
            Some(self.connections.send(to, text).await)
        };
        timeout_at(deadline, send).await.ok().flatten()
    }

    async fn close(&self, connections: &[ConnectionId]) -> usize {
        let closes: Vec<_> = connections.iter().map(|connection| self.connections.close(connection)).collect();
        let closed: Vec<_> = stream::iter(closes).buffered(MAX_PARALLEL_SENDS).collect().await;
        closed.into_iter().filter(|delivery| *delivery == Delivery::Sent).count()
    }

    /// Closes connections that were opened half a minute ago and watch nothing, at most 400. Returns how many there were.
    pub async fn sweep(&self) -> Result<usize, Error> {
        let until = since_1970().saturating_sub(MAX_UNWATCHED).as_millis();
        let due = self.table.unwatched_before(u64::try_from(until).unwrap_or(u64::MAX)).await?;
        if due.is_empty() {
            return Ok(0);
        }
        let unwatched = self.table.sweep(due).await?;
        self.close(&unwatched).await;
        Ok(unwatched.len())
    }

    async fn swept(&self, tally: &mut Tally) {
        match self.sweep().await {
            Ok(swept) => tally.swept += swept,
            Err(error) => tally.failed_to_clean(&error),
        }
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
