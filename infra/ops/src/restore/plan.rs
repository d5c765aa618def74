//! Decides the next step for a project of a restored table, as a pure function over the contents of the table.
//!
//! No state is kept between two steps except on the table, so it does not matter where an earlier run stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use shared::domain::{
    ArchivedVersions, Checksums, Collection, Counter, Error, Mark, ProjectId, Row, RowKey, ServerVersion, Write,
};
use shared::storage::Restoration;

use super::access;
use super::finish::{Fix, unfinished};
use crate::operator::{MAX_COMMIT_BYTES, batches};
use crate::unnamed::{Ranges, gaps, size, unnamed};

/// The number of rows that fit into one commit beside the counter and the conditions on the rows of the commit before.
const ROWS: usize = 95;
/// The number of rows that a creation writes.
const CREATED: u64 = 2;

/// A project as the table holds it.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    pub(super) counter: Option<Counter>,
    pub(super) restoration: Option<Restoration>,
    pub(super) rows: BTreeMap<RowKey, Row>,
    pub(super) archive: Vec<ArchivedVersions>,
}

/// The project to restore, and the options.
#[derive(Debug, Clone)]
pub(super) struct Aim {
    /// The identity of the table.
    pub(super) table: String,
    /// The number of versions by which counters are raised.
    pub(super) raise: u64,
    /// The project as the lost table holds it, if that can be read.
    pub(super) lost: Option<Stored>,
    /// The versions above which new projects began on the table, before this restore and since.
    pub(super) starts: Vec<u64>,
}

/// The next restore step.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// The project's creation was cut in two. Its items are removed, so that it never existed.
    Remove,
    /// Archives that contradict the rows are removed, because they are newer than their rows.
    DropArchive(Vec<ArchivedVersions>),
    /// The counter is made to agree with the rows. This number of versions, which no row holds, become skipped.
    Repair(Counter, u64),
    /// Superseded versions that nothing names are archived.
    Archive(Vec<ArchivedVersions>),
    /// The counter is raised above every version that was ever handed out.
    Raise(Counter, Restoration),
    /// Rows that must differ from the backup are written above the range.
    Finish(Vec<Fix>),
    /// Every row is written again above the range, in these batches.
    Rewrite(Vec<Vec<Target>>),
    /// The restore of the project is done.
    Complete(Counter, Restoration),
}

/// A row that must be written above the range.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    pub(super) key: RowKey,
    /// The content of a row that must become a tombstone. Either only the lost table has the row, or it is a membership that is
    /// dead here and live there. The user of such a membership may know rows that were made after the removal in the backup, and
    /// must forget those as well.
    pub(super) lost: Option<Row>,
}

/// A project has faults that a restore does not explain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damage(pub(super) String);

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Stored {
    fn is_empty(&self) -> bool {
        self.counter.is_none() && self.rows.is_empty()
    }

    /// Rows that the counter names at a version that they do not have, each with the version that it has.
    pub(super) fn torn(&self) -> Vec<(RowKey, Option<ServerVersion>)> {
        let last = self.counter.iter().flat_map(|counter| &counter.write_set);
        let at = last.map(|(key, version)| (key, *version, self.rows.get(key).map(|row| row.version)));
        at.filter(|(_, named, at)| at.is_none_or(|at| at < *named)).map(|(key, _, at)| (key.clone(), at)).collect()
    }

    /// Whether the backup cut the project's creation. Then the counter and one of two rows are all that there is.
    fn is_torn_creation(&self, starts: &[u64]) -> bool {
        let versions = self.counter.iter().map(|counter| counter.current).chain(self.rows.values().map(|r| r.version));
        let created = |version: u64| starts.iter().chain([&0]).any(|at| (at + 1..=at + CREATED).contains(&version));
        self.rows.len() <= 1 && versions.max().is_none_or(|version| created(version.get()))
    }
}

/// The next step for a project, or none if nothing is left to do.
pub(super) fn next(project: &ProjectId, stored: &Stored, aim: &Aim) -> Result<Option<Step>, Damage> {
    let own = RowKey::project(project);
    match &stored.restoration {
        Some(note) if note.table == aim.table => return after_raise(project, stored, aim, note),
        _ => {}
    }
    if stored.is_empty() {
        // All of the project is lost, unless it was not complete on the lost table either.
        let was_whole = aim.lost.as_ref().is_some_and(|lost| lost.rows.contains_key(&own));
        return if was_whole { raise(stored, None, aim).map(Some) } else { Ok(None) };
    }
    if stored.is_torn_creation(&aim.starts) {
        return Ok(Some(Step::Remove));
    }
    if !stored.rows.contains_key(&own) {
        return Err(Damage("the project's own row is missing".to_owned()));
    }
    if !stored.rows.keys().any(|key| key.collection == Collection::Memberships) {
        return Err(Damage("it never had a member".to_owned()));
    }
    let untrue = not_borne_out(stored);
    if !untrue.is_empty() {
        return Ok(Some(Step::DropArchive(untrue)));
    }
    let (repaired, skipped) = repaired(stored, &own)?;
    if stored.counter.as_ref() != Some(&repaired) {
        return Ok(Some(Step::Repair(repaired, skipped)));
    }
    let unnamed = unnamed(&repaired, stored.rows.values(), &stored.archive).unwrap_or_default();
    if !unnamed.is_empty() {
        return Ok(Some(Step::Archive(ArchivedVersions::anonymous(unnamed))));
    }
    raise(stored, Some(&repaired), aim).map(Some)
}

/// The counter that agrees with the rows, and the number of versions that no row holds.
fn repaired(stored: &Stored, own: &RowKey) -> Result<(Counter, u64), Damage> {
    let before = stored.counter.as_ref();
    let skipped_before = before.map(|counter| counter.skipped.clone()).unwrap_or_default();
    let mut held: Ranges = Vec::new();
    for row in stored.rows.values() {
        held.extend(row.versions().map(|version| (version.get(), version.get())));
    }
    held.extend(&skipped_before);
    held.sort_unstable();
    if let Some(pair) = held.windows(2).find(|pair| pair[1].0 <= pair[0].1) {
        return Err(Damage(format!("two rows have version {}", pair[1].0)));
    }
    let newest = held.last().map_or(0, |(_, last)| *last);
    let current = before.map_or(0, |counter| counter.current.get()).max(newest);
    let archived = stored.archive.iter().flat_map(|archived| archived.versions());
    held.extend(archived.map(|version| (version.get(), version.get())));
    held.sort_unstable();
    // Below the floor of its version history, a row may have held versions that the history does not name any more. The archive
    // has them, unless an archive is missing.
    let floor = |of: fn(&Row) -> Mark| stored.rows.values().map(of).max().unwrap_or_default().get() + 1;
    let archived = floor(|row| row.archived_above.unwrap_or(Mark::EVERYTHING).min(row.history.silent_through()));
    let listed = floor(|row| row.history.silent_through());
    let writes: u64 = stored.rows.values().map(|row| row.revision_count).sum();
    let holes = |floor| {
        let gaps = gaps(&held, floor, current);
        let skipped = joined([skipped_before.clone(), gaps.clone()].concat());
        (writes + size(&skipped), skipped, size(&gaps))
    };
    let found = [archived, listed].map(holes);
    let Some((_, skipped, new)) = found.iter().find(|(accounted, ..)| *accounted == current).cloned() else {
        let accounted = found[0].0;
        let detail = format!("the rows and the skipped versions account for {accounted} of {current} versions");
        return Err(Damage(detail));
    };
    let tombstone = stored.rows.get(own).filter(|row| row.live().is_none()).map(|row| row.version);
    let live = stored.rows.values().filter(|row| row.live().is_some());
    let counter = Counter {
        current: version(current)?,
        write_set: vec![],
        // The project is deleted and its tombstone is missing. The step that finishes half a commit writes it.
        deleted_at: tombstone.or(before.and_then(|counter| counter.deleted_at)),
        skipped,
        resync_through: before.and_then(|counter| counter.resync_through),
        checksums: Checksums::of(live.map(|row| (&row.key, row.version))),
        unfinished: before.and_then(|counter| counter.unfinished.clone()),
    };
    Ok((counter, new))
}

/// The archives that contradict the rows: those of a row that is older than its archived versions, and those with versions that
/// are skipped, above the counter, or a row's current version.
fn not_borne_out(stored: &Stored) -> Vec<ArchivedVersions> {
    let counter = stored.counter.as_ref();
    let newest = stored.rows.values().map(|row| row.version.get()).chain(counter.map(|c| c.current.get())).max();
    let own: BTreeSet<u64> = stored.rows.values().map(|row| row.version.get()).collect();
    let skipped = counter.map(|counter| counter.skipped.clone()).unwrap_or_default();
    let impossible = |version: &ServerVersion| {
        let version = version.get();
        Some(version) > newest
            || own.contains(&version)
            || skipped.iter().any(|(first, last)| (*first..=*last).contains(&version))
    };
    let is_newer = |archived: &ArchivedVersions| {
        let row = archived.row().map(|key| stored.rows.get(key));
        row.is_some_and(|row| row.is_none_or(|row| row.version < archived.newest()))
    };
    let untrue = |archived: &&ArchivedVersions| is_newer(archived) || archived.versions().iter().any(impossible);
    stored.archive.iter().filter(untrue).cloned().collect()
}

/// Whether a project with a repaired counter holds this version.
pub(super) fn holds(counter: Option<&Counter>, version: u64) -> bool {
    let skipped = |counter: &Counter| counter.skipped.iter().any(|(first, last)| (*first..=*last).contains(&version));
    counter.is_some_and(|counter| version <= counter.current.get() && !skipped(counter))
}

/// This is above every mark that was ever handed out, because nobody commits 2^32 versions between a backup and its restore.
fn raise(stored: &Stored, counter: Option<&Counter>, aim: &Aim) -> Result<Step, Damage> {
    let current = counter.map_or(0, |counter| counter.current.get());
    let lost = aim.lost.as_ref().and_then(|lost| lost.counter.as_ref()).map_or(0, |counter| counter.current.get());
    let range = (current + 1, current.max(lost) + aim.raise);
    let last = version(range.1)?;
    let resync_before = counter.and_then(|counter| counter.resync_through);
    let skipped = counter.map(|counter| counter.skipped.clone()).unwrap_or_default();
    let raised = Counter {
        current: last,
        write_set: vec![],
        deleted_at: counter.and_then(|counter| counter.deleted_at),
        skipped: joined([skipped, vec![range]].concat()),
        // Until the restore is done, no device is told anything that may be incomplete.
        resync_through: Some(last),
        checksums: counter.map(|counter| counter.checksums.clone()).unwrap_or_default(),
        unfinished: counter.and_then(|counter| counter.unfinished.clone()),
    };
    debug_assert_eq!(stored.counter.as_ref(), counter);
    let note = Restoration { table: aim.table.clone(), raised: range, resync_before, done: false };
    Ok(Step::Raise(raised, note))
}

fn after_raise(project: &ProjectId, stored: &Stored, aim: &Aim, note: &Restoration) -> Result<Option<Step>, Damage> {
    let Some(counter) = stored.counter.as_ref().filter(|_| !note.done) else { return Ok(None) };
    let lost = aim.lost.as_ref().and_then(|lost| lost.counter.as_ref()).map_or(0, |counter| counter.current.get());
    if lost > note.raised.1 {
        let detail = "this restore began without the lost table, which has marks above the new range; continue without --lost-table";
        return Err(Damage(detail.to_owned()));
    }
    let fixes = fixes(project, counter, stored, aim).map_err(|error| Damage(error.to_string()))?;
    if !fixes.is_empty() {
        return Ok(Some(Step::Finish(fixes)));
    }
    let below = stored.rows.values().filter(|row| row.version.get() <= note.raised.1);
    let mut targets: Vec<(u8, usize, Target)> = below
        .map(|row| {
            let write = row.live().map_or(Write::Delete, |columns| Write::Put(columns.clone()));
            let back_again =
                row.key.collection == Collection::Memberships && row.live().is_none() && is_live_in(&aim.lost, row);
            target(project, &write, row, back_again.then(|| row.clone()))
        })
        .collect();
    for row in aim.lost.iter().flat_map(|lost| lost.rows.values()).filter(|row| !stored.rows.contains_key(&row.key)) {
        targets.push(target(project, &Write::Delete, row, Some(row.clone())));
    }
    if !targets.is_empty() {
        // The rows are in the order of a single commit, so that no page of a pull ends between an edge and its tasks.
        targets.sort_by_key(|(rank, _, _)| *rank);
        return Ok(Some(Step::Rewrite(batches(
            targets.into_iter().map(|(_, bytes, target)| (bytes, target)),
            ROWS,
            MAX_COMMIT_BYTES,
        ))));
    }
    let mut counter = counter.clone();
    if aim.lost.is_some() {
        // Rows that the restore took back are tombstones now.
        counter.resync_through = note.resync_before;
    }
    Ok(Some(Step::Complete(counter, Restoration { done: true, ..note.clone() })))
}

/// The fixes that must be written before every row is written again: those of half a commit, and the memberships.
fn fixes(project: &ProjectId, counter: &Counter, stored: &Stored, aim: &Aim) -> Result<Vec<Fix>, Error> {
    let mut fixes = unfinished(project, counter, &stored.rows)?;
    let lost = aim.lost.as_ref().map(|lost| &lost.rows);
    // A project of which nothing was restored becomes a tombstone.
    let deleted = counter.deleted_at.is_some() || !stored.rows.contains_key(&RowKey::project(project));
    fixes.extend(access::unfit(&stored.rows, lost, deleted)?);
    Ok(fixes)
}

/// Whether this row is live on the lost table.
fn is_live_in(lost: &Option<Stored>, row: &Row) -> bool {
    lost.as_ref().and_then(|lost| lost.rows.get(&row.key)).is_some_and(|row| row.live().is_some())
}

/// A row to write, with its place among the others and its size on the table.
fn target(project: &ProjectId, write: &Write, row: &Row, lost: Option<Row>) -> (u8, usize, Target) {
    (write.rank(row.key.collection), row.stored_size(project), Target { key: row.key.clone(), lost })
}

/// The same versions in as few ranges as possible, in order.
fn joined(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(before) if before.1 + 1 >= first => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined
}

fn version(number: u64) -> Result<ServerVersion, Damage> {
    ServerVersion::to_give(number).map_err(|error| Damage(format!("{number}: {error}")))
}
