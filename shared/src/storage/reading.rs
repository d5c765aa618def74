//! The start of a decision: its read set, read strongly with the predecessor in place.

use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;
use super::idempotency::IdempotencySlot;
use super::read::Snapshot;
use super::table::Table;
use super::transaction::MAX_ITEMS;
use crate::domain::{
    Author, Collection, Counter, Draft, Error, LastWrite, ProjectId, Role, RowId, RowKey, ServerVersion,
    UnfinishedDeletion, UserId,
};
use crate::idempotency::{Answered, KeyedRequest};

/// Up to this many rows of the latest commit become conditions, which saves a call. If there are more, it is cheaper to read them.
const MAX_CONDITIONS_ON_LAST: usize = 4;

/// The rows and collections that a decision may read.
#[derive(Debug, Clone)]
pub struct ReadSet {
    author: Option<Author>,
    /// The user who asks. None for an operator.
    caller: Option<UserId>,
    /// Whether the project is to be created. Then the caller need not be a member.
    creates: bool,
    pub(super) rows: Vec<RowKey>,
    sets: Vec<Collection>,
    pub(super) request: Option<KeyedRequest>,
    one_commit: bool,
    /// The version above which a new project begins.
    pub(super) start_above: bool,
}

impl ReadSet {
    /// A read set with the caller's membership, which every decision reads.
    pub fn by(project: &ProjectId, caller: &UserId) -> Self {
        Self {
            caller: Some(caller.clone()),
            ..Self::signed(Some(Author::User(caller.clone())), [RowKey::membership(project, caller)])
        }
    }

    /// A read set for the creation of the project. The caller need not be a member.
    pub fn by_creator(project: &ProjectId, caller: &UserId) -> Self {
        Self { creates: true, ..Self::by(project, caller) }
    }

    /// A read set of these rows and nothing else, for an operator, who needs no membership. The written rows name the
    /// command.
    pub fn of_operator(command: &str, rows: impl IntoIterator<Item = RowKey>) -> Self {
        Self::signed(Some(Author::Operator(command.to_owned())), rows)
    }

    /// A read set of these rows. The written rows name `author`.
    pub(super) fn signed(author: Option<Author>, rows: impl IntoIterator<Item = RowKey>) -> Self {
        let rows = rows.into_iter().collect();
        let (creates, one_commit, start_above) = Default::default();
        Self { author, caller: None, creates, rows, sets: vec![], request: None, one_commit, start_above }
    }

    /// Adds these rows, whether they exist or not.
    #[must_use]
    pub fn at(mut self, rows: impl IntoIterator<Item = RowKey>) -> Self {
        self.rows.extend(rows);
        self
    }

    /// Adds all live rows of these collections.
    #[must_use]
    pub fn at_all(mut self, sets: impl IntoIterator<Item = Collection>) -> Self {
        self.sets.extend(sets);
        self.sets.sort_unstable();
        self.sets.dedup();
        self
    }

    /// Makes the read set one for exactly one commit, however many rows it reads. The decision must keep to
    /// [`MAX_ROWS`](super::MAX_ROWS) and [`MAX_BYTES`](super::MAX_BYTES). It costs one call more.
    #[must_use]
    pub fn in_one_commit(mut self) -> Self {
        self.one_commit = true;
        self
    }

    /// Adds the version at which new projects begin. The creation of a project needs it: its id may be that of a
    /// project that a restore did not bring back.
    #[must_use]
    pub fn at_the_start_of_versions(mut self) -> Self {
        self.start_above = true;
        self
    }

    /// Adds the idempotency record of this request, if it has a key.
    #[must_use]
    pub fn keyed(mut self, request: Option<KeyedRequest>) -> Self {
        self.request = request;
        self
    }

    /// The caller, if they must be a member.
    pub(super) fn member(&self) -> Option<&UserId> {
        self.caller.as_ref().filter(|_| !self.creates)
    }

    /// Whether an operator asks.
    pub(super) fn is_operators(&self) -> bool {
        self.caller.is_none()
    }

    /// The caller, if they create the project.
    pub(super) fn creator(&self) -> Option<&UserId> {
        self.caller.as_ref().filter(|_| self.creates)
    }

    /// Whether the row is in it by its key.
    pub(super) fn names(&self, row: &RowKey) -> bool {
        self.rows.contains(row)
    }
}

/// The start of a decision.
pub(super) enum Start {
    /// The predecessor was not in place, or another commit won. Read again.
    Torn,
    /// The request was answered before.
    Answered(Answered),
    /// The last commit left a deletion unfinished, which comes first.
    Unfinished(UnfinishedDeletion),
    Reading(Box<Reading>),
}

/// The rows and items that were read for a decision.
pub(super) struct Reading {
    pub(super) draft: Draft,
    /// The rows of the latest commit that were not seen. They become conditions.
    pub(super) conditions: Vec<(RowKey, ServerVersion)>,
    /// The slot for the record of the request, if it has a key.
    pub(super) slot: Option<IdempotencySlot>,
    /// How long the latest commit's request had waited since it was first refused.
    pub(super) waited: Duration,
}

impl Table {
    /// Reads the read set with the predecessor in place. Nothing is left to do of the deletion of the task `over`, even if the counter
    /// notes it. `again`: a commit on the last reading was refused.
    pub(super) async fn start(
        &self,
        project: &ProjectId,
        read_set: &ReadSet,
        over: Option<&RowId>,
        again: bool,
        deadline: Instant,
    ) -> Result<Start, Error> {
        let mut snapshot = self.read_named(project, read_set, again).await?;
        if let Some(caller) = &read_set.caller {
            self.note(project, caller, snapshot.row(&RowKey::membership(project, caller)));
        }
        if !snapshot.shows_its_predecessor() {
            return Ok(Start::Torn);
        }
        let record = snapshot.record.take();
        if let (Some(request), Some(record)) = (&read_set.request, record.as_ref().filter(|record| record.is_valid())) {
            // The caller may read at once what the answer names.
            if snapshot.counter.as_ref().is_none_or(|counter| counter.current < record.version) {
                return Ok(Start::Torn);
            }
            snapshot.authorize(project, request.caller(), Role::Viewer)?;
            return Ok(Start::Answered(record.answer_to(request, project, |key| snapshot.row(key))?));
        }
        if let Some(deletion) = unfinished(snapshot.counter.as_ref(), over) {
            return Ok(Start::Unfinished(deletion.clone()));
        }
        let slot = read_set.request.as_ref().map(|request| IdempotencySlot::new(project, request, record.as_ref()));
        let reading = self.complete(project, read_set, snapshot, slot, deadline).await?;
        Ok(reading.map_or(Start::Torn, |reading| Start::Reading(Box::new(reading))))
    }

    /// Reads the collections for the named rows that were read. None if the two do not fit together.
    pub(super) async fn complete(
        &self,
        project: &ProjectId,
        read_set: &ReadSet,
        snapshot: Snapshot,
        slot: Option<IdempotencySlot>,
        deadline: Instant,
    ) -> Result<Option<Reading>, Error> {
        let waited = snapshot.waited;
        let last = snapshot.counter.as_ref().map(|counter| counter.write_set.clone()).unwrap_or_default();
        let mut unseen: Vec<_> = last.into_iter().filter(|(key, _)| !snapshot.has(key)).collect();
        if !read_set.sets.is_empty() || unseen.len() > MAX_CONDITIONS_ON_LAST {
            self.see_in_place(project, &unseen, deadline).await?;
            unseen.clear();
        }
        let mut listed_rows = Vec::new();
        for collection in &read_set.sets {
            listed_rows.extend(self.list_completely(project, *collection, snapshot.counter.as_ref()).await?);
        }
        let counter = snapshot.counter.clone();
        let start_above = snapshot.start_above;
        let named_rows = snapshot.into_rows();
        // A row is newer than the counter. Against that counter nothing can be committed any more.
        let current = counter.as_ref().map_or(0, |counter| counter.current.get());
        if named_rows.values().flatten().chain(&listed_rows).any(|row| row.version.get() > current) {
            return Ok(None);
        }
        let room = match read_set.one_commit {
            true => usize::MAX,
            false => MAX_ITEMS - 1 - named_rows.len() - unseen.len() - usize::from(slot.is_some()),
        };
        let listed = read_set.sets.iter().copied().collect();
        let draft = Draft::new(project.clone(), counter, named_rows, listed, listed_rows, room)
            .starting_above(start_above)
            .with_max_history_bytes(self.max_history_bytes)
            .signed(LastWrite { author: read_set.author.clone(), at: jiff::Timestamp::now().as_second() });
        let draft = if read_set.one_commit { draft.read_in_order() } else { draft };
        Ok(Some(Reading { draft, conditions: unseen, slot, waited }))
    }

    /// Reads the counter, the named rows and the idempotency record. For exactly one commit, the rows are read after the counter,
    /// together with those of `last`.
    async fn read_named(&self, project: &ProjectId, read_set: &ReadSet, again: bool) -> Result<Snapshot, Error> {
        let record_id = read_set.request.as_ref().map(KeyedRequest::record_id);
        if let Some(creator) = read_set.creator() {
            return self.read_new_project(project, creator, read_set, record_id, again).await;
        }
        if !read_set.one_commit {
            return self.snapshot_with(project, &read_set.rows, record_id).await;
        }
        let counter = self.counter(project).await?;
        let last = counter.iter().flat_map(|counter| counter.write_set.iter().map(|(key, _)| key.clone()));
        let rows: Vec<RowKey> = read_set.rows.iter().cloned().chain(last).collect();
        Ok(self.snapshot_with(project, &rows, record_id).await?.after(counter))
    }

    /// Waits until each row is in place at its version or a later one.
    async fn see_in_place(
        &self,
        project: &ProjectId,
        rows: &[(RowKey, ServerVersion)],
        deadline: Instant,
    ) -> Result<(), Error> {
        let mut backoff = Backoff::until(deadline);
        let mut unseen = rows.to_vec();
        while !unseen.is_empty() {
            let keys: Vec<RowKey> = unseen.iter().map(|(key, _)| key.clone()).collect();
            let snapshot = self.snapshot(project, &keys).await?;
            unseen.retain(|(key, version)| snapshot.row(key).is_none_or(|row| row.version < *version));
            if !unseen.is_empty() && !backoff.wait().await {
                return Err(Error::Busy);
            }
        }
        Ok(())
    }
}

/// The deletion that must be finished first. None in a deleted project.
fn unfinished<'a>(counter: Option<&'a Counter>, over: Option<&RowId>) -> Option<&'a UnfinishedDeletion> {
    let counter = counter.filter(|counter| counter.deleted_at.is_none())?;
    counter.unfinished.as_ref().filter(|deletion| Some(&deletion.task) != over)
}
