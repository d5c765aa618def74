//! Tells the watchers of a project that it moved.
//!
//! The table's stream hands over the writes in batches; the writes of one project come in order. For each project of a batch:
//!
//! 1. The watches of removed members are ended, and their connections are closed.
//! 2. All watchers are told the newest version of the batch, and no earlier one. If the last poke was less than a second ago, the
//!    batch waits. Later writes come in the next batch. So a connection gets at most one poke per second of a project, as long as
//!    one instance handles its part of the stream. When Lambda starts another instance, a poke may come earlier.
//! 3. Watches of dead connections are removed. So are expired watches, and their clients are told.
//! 4. Of each user, only the latest [`MAX_WATCHES_OF_A_USER`] watches of the project are told. The connections of the others are
//!    closed. So a commit, which counts on a caller's budget, causes a bounded number of messages for each member.
//!
//! A poke is lost when a connection cannot be reached, or when there is no time left. The client's slow poll then finds the
//! change. A batch fails only if the watchers of a project cannot be read. Lambda then repeats the batch a few times, from the
//! first record of that project on.
//!
//! Connections that were opened half a minute ago and watch nothing are closed, too: see [`Poke::sweep`].

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::stream::{self, Stream, StreamExt};
use serde_json::{Value, json};
use shared::auth::TokenError;
use shared::domain::{ConnectionId, Error, ProjectId};
use shared::live::{Connections, Delivery, LiveLog, ServerMessage};
use shared::meter::measured;
use shared::storage::{Sweep, Table, Watcher, changes};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

mod batch;
mod lambda;
mod limit;
mod pace;
mod tally;

use batch::{Batch, Moved, Place, Removed};
pub use lambda::run;
pub use limit::MAX_WATCHES_OF_A_USER;
use pace::Pace;
pub use tally::Tally;

/// The maximum number of messages that are being sent at once.
pub const MAX_PARALLEL_SENDS: usize = 64;
/// The maximum number of projects of a batch whose watchers are read at once.
const MAX_PARALLEL_PROJECTS: usize = 8;
/// How long the messages of a batch may take. Messages that are not sent by then are lost.
const MAX_SEND_TIME: Duration = Duration::from_secs(20);
/// How long the sweep of a schedule goes on with another page. A sweep that comes with a batch reads one page, because pokes wait
/// for it.
const MAX_SWEEP_TIME: Duration = Duration::from_secs(15);
/// How long the closing of a sweep's page may take.
const MAX_CLOSE_TIME: Duration = Duration::from_secs(10);
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
            self.swept(MAX_SWEEP_TIME, &mut tally).await;
            return (tally, None);
        }
        let batch = Batch::of(changes(event));
        tally.records = batch.records;
        tally.unreadable = batch.unreadable;
        let again = self.batch(batch, &mut tally).await;
        if self.pace.is_time_to_sweep() {
            self.swept(Duration::ZERO, &mut tally).await;
        }
        (tally, again)
    }

    async fn batch(&self, batch: Batch, tally: &mut Tally) -> Option<String> {
        let deadline = Instant::now() + MAX_SEND_TIME;
        let mut failed = Vec::new();
        for removed in batch.removed {
            if let Err(error) = self.close_removed(&removed, deadline, tally).await {
                tally.failed_to_remove(&error);
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
    async fn close_removed(&self, removed: &Removed, deadline: Instant, tally: &mut Tally) -> Result<(), Error> {
        let mut watchers = self.table.watchers(&removed.project).await?;
        watchers.retain(|watcher| removed.users.contains(&watcher.user));
        let connections: Vec<ConnectionId> = watchers.into_iter().map(|watcher| watcher.connection).collect();
        // The watches end first: if a connection cannot be closed, it hears nothing all the same.
        let ended: Vec<_> = connections.iter().map(|connection| (&removed.project, connection)).collect();
        self.table.end_watches(&ended).await?;
        tally.closed += self.close(connections, deadline).await.count;
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
        let (told, surplus) = limit::latest_of_each_user(live);
        let text = ServerMessage::poke(moved.project.clone(), moved.version).to_json();
        let mut dead = Vec::new();
        let mut sends = pin!(self.send(told, &text, deadline));
        while let Some((connection, delivery)) = sends.next().await {
            match delivery {
                Some(Delivery::Sent) => tally.pokes += 1,
                Some(Delivery::Gone) => dead.push(connection),
                Some(Delivery::Failed) => tally.failed += 1,
                None => tally.unsent += 1,
            }
        }
        tally.gone += dead.len();
        self.end_watches(&moved.project, &dead, tally).await;
        // A connection that cannot be closed keeps its watch: it would take itself for watching, and the next poke tries again.
        let closed = self.close(surplus, deadline).await;
        tally.closed += closed.count;
        self.end_watches(&moved.project, &closed.ended, tally).await;
        self.end_expired(&moved.project, expired, deadline, tally).await;
    }

    /// Ends watches of a project. If this fails, the next poke finds them again.
    async fn end_watches(
        &self,
        project: &ProjectId,
        connections: impl IntoIterator<Item = &ConnectionId>,
        tally: &mut Tally,
    ) {
        let watches: Vec<_> = connections.into_iter().map(|connection| (project, connection)).collect();
        if let Err(error) = self.table.end_watches(&watches).await {
            tally.failed_to_clean(&error);
        }
    }

    /// Removes watches whose tokens have expired, and tells each client once.
    async fn end_expired(&self, project: &ProjectId, expired: Vec<Watcher>, deadline: Instant, tally: &mut Tally) {
        let mut told = Vec::new();
        let ends = expired.into_iter().map(|watcher| async move {
            let ended = self.table.end_expired_watch(project, &watcher).await;
            (watcher.connection, ended)
        });
        let mut ends = pin!(stream::iter(ends).buffer_unordered(MAX_PARALLEL_SENDS));
        while let Some((connection, ended)) = ends.next().await {
            match ended {
                Ok(true) => told.push(connection),
                // The watch was renewed a moment ago.
                Ok(false) => {}
                Err(error) => tally.failed_to_clean(&error),
            }
        }
        tally.expired += told.len();
        let refusal = ServerMessage::Refused(TokenError::Expired.into()).to_json();
        self.send(told, &refusal, deadline).for_each(async |_| {}).await;
    }

    /// Sends a text to many connections, a bounded number at once. The result of a connection is none if there was no time for
    /// it.
    fn send(
        &self,
        to: Vec<ConnectionId>,
        text: &str,
        deadline: Instant,
    ) -> impl Stream<Item = (ConnectionId, Option<Delivery>)> {
        let send = move |to: ConnectionId| async move {
            let delivery = self.send_one(&to, text, deadline).await;
            (to, delivery)
        };
        stream::iter(to.into_iter().map(send)).buffer_unordered(MAX_PARALLEL_SENDS)
    }

    async fn send_one(&self, to: &ConnectionId, text: &str, deadline: Instant) -> Option<Delivery> {
        let send = async {
            let _permit = self.sends.acquire().await.ok()?;
            Some(self.connections.send(to, text).await)
        };
        timeout_at(deadline, send).await.ok().flatten()
    }

    /// Closes connections, a bounded number at once.
    async fn close(&self, connections: Vec<ConnectionId>, deadline: Instant) -> Closed {
        let close = |connection: ConnectionId| async move {
            let delivery = timeout_at(deadline, self.connections.close(&connection)).await;
            (connection, delivery.unwrap_or(Delivery::Failed))
        };
        let mut closed = Closed::default();
        let mut closes = pin!(stream::iter(connections.into_iter().map(close)).buffer_unordered(MAX_PARALLEL_SENDS));
        while let Some((connection, delivery)) = closes.next().await {
            closed.count += usize::from(delivery == Delivery::Sent);
            if delivery != Delivery::Failed {
                closed.ended.insert(connection);
            }
        }
        closed
    }

    /// Closes connections that were opened half a minute ago and watch nothing. It goes on until there are no more, or for 15 s.
    /// Returns how many it closed.
    pub async fn sweep(&self) -> Result<usize, Error> {
        self.sweep_for(MAX_SWEEP_TIME).await
    }

    /// Sweeps one page at least, and begins no other when this time is over.
    async fn sweep_for(&self, time: Duration) -> Result<usize, Error> {
        let deadline = Instant::now() + time;
        let until = since_1970().saturating_sub(MAX_UNWATCHED).as_millis();
        let mut sweep = Sweep::of_those_opened_before(u64::try_from(until).unwrap_or(u64::MAX));
        let mut count = 0;
        loop {
            count += self.sweep_page(&mut sweep).await?;
            if sweep.is_over() || Instant::now() >= deadline {
                return Ok(count);
            }
        }
    }

    /// A connection that cannot be closed stays on the list, for the next sweep.
    async fn sweep_page(&self, sweep: &mut Sweep) -> Result<usize, Error> {
        let due = self.table.next_of_sweep(sweep).await?;
        if due.is_empty() {
            return Ok(0);
        }
        let (watching, unwatched) = self.table.split_by_watching(due).await?;
        let connections = unwatched.iter().map(|unwatched| unwatched.connection.clone()).collect();
        let closed = self.close(connections, Instant::now() + MAX_CLOSE_TIME).await;
        let ended = unwatched.iter().filter(|unwatched| closed.ended.contains(&unwatched.connection));
        self.table.forget_unwatched(watching.iter().chain(ended)).await?;
        Ok(closed.count)
    }

    async fn swept(&self, time: Duration, tally: &mut Tally) {
        match self.sweep_for(time).await {
            Ok(swept) => tally.swept += swept,
            Err(error) => tally.failed_to_clean(&error),
        }
    }
}

/// What came of the closing of connections.
#[derive(Debug, Default)]
struct Closed {
    /// How many were open until now.
    count: usize,
    /// The connections that have ended, now or before. Of all others nobody knows.
    ended: HashSet<ConnectionId>,
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
