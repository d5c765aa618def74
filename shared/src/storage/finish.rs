//! Deletions that take several commits.
//!
//! A task takes its dependencies along, and a transaction holds 100 items. The first commit of a larger deletion is decided like
//! any other, and leaves a note on the counter ([`UnfinishedDeletion`]). From then on the deletion takes place, whatever becomes
//! of its request. Every commit of the project goes on with the deletion first, part by part. It does not ask again for a role or
//! a version. The last part writes the task's tombstone, removes the note, and stores the answer that the request was promised.
//!
//! A draft from before the note is never put on top of it (`Draft::rebase`). So there is no other commit between the first part
//! and the last. Older code does not know the note, and can run during a deployment. It may add dependencies to the task, so each
//! part lists them again. Or it may delete the task itself. Then nothing is left to do, and the next commit drops the note.

use std::collections::HashSet;
use std::slice;
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Contention;
use super::idempotency::IdempotencySlot;
use super::reading::ReadSet;
use super::table::Table;
use super::transaction::{DEADLINE, Fate};
use crate::domain::{Author, Collection, Error, ProjectId, RowKey, ServerVersion, Step, UnfinishedDeletion};
use crate::idempotency::RestAnswer;

/// How long a request goes on with its own deletion. It leaves the rest to the next request. A function has 29 s.
const MAX_FINISHING: Duration = Duration::from_secs(18);

/// The result of an attempt at the next part of a deletion.
pub(super) enum Part {
    /// The part is committed, and it was not the last one.
    Made,
    /// Nothing is left to do: it was the last part, another request made it, or the task of the note is gone. It has
    /// the version of the task's tombstone, if there is one.
    Over(Option<ServerVersion>),
    /// Another commit was faster, or the read was torn.
    Retry,
}

impl Table {
    /// Makes the remaining commits of a request's own deletion, and returns the version of the last one.
    ///
    /// Each is tried for as long as any commit, and all of them together for 18 s. Then the error is `Busy`.
    pub(super) async fn finish(
        &self,
        project: &ProjectId,
        deletion: &UnfinishedDeletion,
    ) -> Result<ServerVersion, Error> {
        let end = Instant::now() + MAX_FINISHING;
        let next = || Contention::until(end.min(Instant::now() + DEADLINE));
        let mut contention = next();
        loop {
            match self.finish_part(project, deletion, &mut contention).await? {
                Part::Over(tombstone) => return tombstone.ok_or(Error::OutcomeUnknown),
                Part::Made if Instant::now() >= end => return Err(Error::Busy),
                Part::Made => contention = next(),
                Part::Retry => {}
            }
        }
    }

    /// Tries to make the next commit of a deletion that the counter notes.
    pub(super) async fn finish_part(
        &self,
        project: &ProjectId,
        deletion: &UnfinishedDeletion,
        contention: &mut Contention,
    ) -> Result<Part, Error> {
        let UnfinishedDeletion { task, promised, by } = deletion;
        let key = RowKey::new(Collection::Tasks, task.clone());
        let record_id = promised.as_ref().map(|promised| promised.record_id.clone());
        let mut snapshot = self.snapshot_with(project, slice::from_ref(&key), record_id).await?;
        let counter = snapshot.counter.as_ref();
        let row = snapshot.row(&key);
        let is_newer = row.zip(counter).is_some_and(|(row, counter)| row.version > counter.current);
        if is_newer || !snapshot.shows_its_predecessor() {
            contention.wait().await?;
            return Ok(Part::Retry);
        }
        let is_noted =
            counter.and_then(|counter| counter.unfinished.as_ref()).is_some_and(|noted| noted.is_same_as(deletion));
        let is_live = row.is_some_and(|row| row.live().is_some());
        if !is_noted || !is_live {
            return Ok(Part::Over(row.filter(|_| !is_live).map(|row| row.version)));
        }
        let record = snapshot.record.take();
        // Older code may have stored an answer of its own.
        let promised = promised.as_ref().filter(|_| record.as_ref().is_none_or(|record| !record.is_valid()));
        let slot = promised.map(|promised| IdempotencySlot::of_promise(project, promised, record.as_ref()));
        // Its author is the user who asked for it, even if another request commits it.
        let author = by.clone().map(Author::User);
        let read_set = ReadSet::signed(author, [key]).at_all([Collection::Dependencies]);
        let reading = self.complete(project, &read_set, snapshot, slot, contention.deadline()).await?;
        let Some(mut reading) = reading else {
            contention.wait().await?;
            return Ok(Part::Retry);
        };
        let left = match reading.draft.delete_task(task)? {
            Step::More { .. } => Some(deletion),
            Step::Last(()) => None,
        };
        let planned_writes = reading.draft.planned_writes()?;
        self.archive_dropped(project, &planned_writes, &mut HashSet::new(), contention.deadline()).await?;
        let mut items = self.items(&reading.draft, &planned_writes, &reading.conditions, contention.waited(), left)?;
        let version = planned_writes.last().map(|planned| planned.row.version).filter(|_| left.is_none());
        if let (Some(slot), Some(promised), Some(version)) = (&reading.slot, promised, version) {
            items.push(slot.put(self, &RestAnswer::of_text(&promised.answer)?, version)?);
        }
        match self.transact(items, contention.deadline()).await? {
            Fate::Committed => Ok(version.map_or(Part::Made, |version| Part::Over(Some(version)))),
            // The next read shows whether an earlier try made it.
            Fate::Refused(_) | Fate::Unsettled(_) => {
                contention.tries_at_once(None).await?;
                Ok(Part::Retry)
            }
        }
    }
}
