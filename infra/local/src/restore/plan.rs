//! What is to be done next to a project of a restored table: a pure function over what the table holds.
//!
//! Nothing is remembered between two steps but what is on the table, so that it does not matter where an earlier run
//! stopped.

use std::collections::BTreeMap;
use std::fmt;

use shared::domain::{Checksums, Counter, ProjectId, Row, RowKey, ServerVersion, Write};
use shared::storage::Restoration;

use super::finish::{Fix, unfinished};
use crate::operator::{BYTES, batches};

/// So many rows fit into one commit beside the counter and the conditions on the rows of the commit before.
const ROWS: usize = 95;
/// What an item takes beside its JSON.
const OVERHEAD: usize = 1_000;
/// A creation writes two rows.
const CREATED: u64 = 2;

/// A project as the table holds it.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    pub(super) counter: Option<Counter>,
    pub(super) restoration: Option<Restoration>,
    pub(super) rows: BTreeMap<RowKey, Row>,
}

/// What is restored, and how.
#[derive(Debug, Clone)]
pub(super) struct Aim {
    /// The identity of the table.
    pub(super) table: String,
    /// By how much counters are raised.
    pub(super) raise: u64,
    /// The project as the lost table holds it, if that is there to be read.
    pub(super) lost: Option<Stored>,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// The project's creation was cut in two: what there is of it goes, and it was never made.
    Remove,
    /// The counter is made to agree with the rows; so many versions that no row holds become skipped.
    Repair(Counter, u64),
    /// What a commit left half done is finished.
    Finish(Vec<Fix>),
    /// The counter is raised above every version that was ever handed out.
    Raise(Counter, Restoration),
    /// Every row is written again above the range, in these batches.
    Rewrite(Vec<Vec<Target>>),
    /// The restoring is over.
    Complete(Counter, Restoration),
}

/// A row to be above the range.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    pub(super) key: RowKey,
    /// The row as only the lost table has it.
    pub(super) lost: Option<Row>,
}

/// More is wrong with a project than a restore explains.
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

    /// Rows that the counter names and that are not there at that version, each with the version that is.
    pub(super) fn torn(&self) -> Vec<(RowKey, Option<ServerVersion>)> {
        let last = self.counter.iter().flat_map(|counter| &counter.last);
        let at = last.map(|(key, version)| (key, *version, self.rows.get(key).map(|row| row.version)));
        at.filter(|(_, named, at)| at.is_none_or(|at| at < *named)).map(|(key, _, at)| (key.clone(), at)).collect()
    }

    /// Was this cut out of a creation? All that there ever was then is the counter and one of two rows.
    fn is_torn_creation(&self) -> bool {
        let versions = self.counter.iter().map(|counter| counter.current).chain(self.rows.values().map(|r| r.version));
        self.rows.len() <= 1 && versions.max().is_none_or(|version| version.get() <= CREATED)
    }
}

/// The next step for a project; none when nothing is left to do.
pub(super) fn next(project: &ProjectId, stored: &Stored, aim: &Aim) -> Result<Option<Step>, Damage> {
    let own = RowKey::project(project);
    match &stored.restoration {
        Some(note) if note.table == aim.table => return after_raise(stored, aim, note),
        _ => {}
    }
    if stored.is_empty() {
        // All of it is lost; unless it never was whole on the lost table either.
        let was_whole = aim.lost.as_ref().is_some_and(|lost| lost.rows.contains_key(&own));
        return if was_whole { raise(stored, None, aim).map(Some) } else { Ok(None) };
    }
    if stored.is_torn_creation() {
        return Ok(Some(Step::Remove));
    }
    if !stored.rows.contains_key(&own) {
        return Err(Damage("the project's own row is missing".to_owned()));
    }
    let (repaired, skipped) = repaired(stored, &own)?;
    if stored.counter.as_ref() != Some(&repaired) {
        return Ok(Some(Step::Repair(repaired, skipped)));
    }
    let fixes = unfinished(project, &repaired, &stored.rows).map_err(|error| Damage(error.to_string()))?;
    if !fixes.is_empty() {
        return Ok(Some(Step::Finish(fixes)));
    }
    raise(stored, Some(&repaired), aim).map(Some)
}

/// The counter as the rows that are there make it, and how many versions turn out to be held by none.
fn repaired(stored: &Stored, own: &RowKey) -> Result<(Counter, u64), Damage> {
    let before = stored.counter.as_ref();
    let skipped_before = before.map(|counter| counter.skipped.clone()).unwrap_or_default();
    let mut held: Vec<(u64, u64)> = Vec::new();
    // Below it a row may have held versions that it does not list any more.
    let mut floor = 1;
    let mut writes = 0;
    for row in stored.rows.values() {
        let versions = std::iter::once(row.version.get()).chain(row.superseded.versions().iter().copied());
        held.extend(versions.map(|version| (version, version)));
        floor = floor.max(row.superseded.floor());
        writes += row.writes;
    }
    held.extend(&skipped_before);
    held.sort_unstable();
    if let Some(pair) = held.windows(2).find(|pair| pair[1].0 <= pair[0].1) {
        return Err(Damage(format!("version {} is held twice", pair[1].0)));
    }
    let newest = held.last().map_or(0, |(_, last)| *last);
    let current = before.map_or(0, |counter| counter.current.get()).max(newest);
    let gaps = gaps(&held, floor, current);
    let skipped = joined([skipped_before, gaps.clone()].concat());
    let accounted = writes + size(&skipped);
    if accounted != current {
        let detail = format!("the rows and the skipped versions account for {accounted} versions out of {current}");
        return Err(Damage(detail));
    }
    let tombstone = stored.rows.get(own).filter(|row| row.live().is_none()).map(|row| row.version);
    let live = stored.rows.values().filter(|row| row.live().is_some());
    let counter = Counter {
        current: version(current)?,
        last: vec![],
        // Deleted, and the tombstone is missing: it is made when what is half done is finished.
        deleted_at: tombstone.or(before.and_then(|counter| counter.deleted_at)),
        skipped,
        resync_through: before.and_then(|counter| counter.resync_through),
        checksums: Checksums::of(live.map(|row| (&row.key, row.version))),
        unfinished: before.and_then(|counter| counter.unfinished.clone()),
    };
    Ok((counter, size(&gaps)))
}

/// Above every mark that was ever handed out: nobody commits 2^32 versions between a backup and its restore.
fn raise(stored: &Stored, counter: Option<&Counter>, aim: &Aim) -> Result<Step, Damage> {
    let current = counter.map_or(0, |counter| counter.current.get());
    let lost = aim.lost.as_ref().and_then(|lost| lost.counter.as_ref()).map_or(0, |counter| counter.current.get());
    let range = (current + 1, current.max(lost) + aim.raise);
    let last = version(range.1)?;
    let resync_before = counter.and_then(|counter| counter.resync_through);
    let skipped = counter.map(|counter| counter.skipped.clone()).unwrap_or_default();
    let raised = Counter {
        current: last,
        last: vec![],
        deleted_at: counter.and_then(|counter| counter.deleted_at),
        skipped: joined([skipped, vec![range]].concat()),
        // Until the restoring is over no device is told anything that may be half the truth.
        resync_through: Some(last),
        checksums: counter.map(|counter| counter.checksums.clone()).unwrap_or_default(),
        unfinished: counter.and_then(|counter| counter.unfinished.clone()),
    };
    debug_assert_eq!(stored.counter.as_ref(), counter);
    let note = Restoration { table: aim.table.clone(), raised: range, resync_before, done: false };
    Ok(Step::Raise(raised, note))
}

fn after_raise(stored: &Stored, aim: &Aim, note: &Restoration) -> Result<Option<Step>, Damage> {
    let Some(counter) = stored.counter.as_ref().filter(|_| !note.done) else { return Ok(None) };
    let lost = aim.lost.as_ref().and_then(|lost| lost.counter.as_ref()).map_or(0, |counter| counter.current.get());
    if lost > note.raised.1 {
        let detail = "this began without the lost table, whose marks are not all below the range: go on without it";
        return Err(Damage(detail.to_owned()));
    }
    let below = stored.rows.values().filter(|row| row.version.get() <= note.raised.1);
    let mut targets: Vec<(u8, usize, Target)> = below
        .map(|row| {
            let write = row.live().map_or(Write::Delete, |columns| Write::Put(columns.clone()));
            target(&write, row, None)
        })
        .collect();
    for row in aim.lost.iter().flat_map(|lost| lost.rows.values()).filter(|row| !stored.rows.contains_key(&row.key)) {
        targets.push(target(&Write::Delete, row, Some(row.clone())));
    }
    if !targets.is_empty() {
        // In the order of a single commit, so that no page of a pull ends between an edge and its tasks.
        targets.sort_by_key(|(rank, _, _)| *rank);
        return Ok(Some(Step::Rewrite(batches(targets.into_iter().map(|(_, bytes, target)| (bytes, target)), ROWS))));
    }
    let mut counter = counter.clone();
    if aim.lost.is_some() {
        // What the restore took back is a tombstone now.
        counter.resync_through = note.resync_before;
    }
    Ok(Some(Step::Complete(counter, Restoration { done: true, ..note.clone() })))
}

fn target(write: &Write, row: &Row, lost: Option<Row>) -> (u8, usize, Target) {
    let bytes = serde_json::to_string(row.columns()).map_or(BYTES, |json| json.len()) + row.unknown.len();
    (write.rank(row.key.collection), bytes + OVERHEAD, Target { key: row.key.clone(), lost })
}

/// The ranges from `floor` to `current` that none of the sorted, disjoint `covered` ranges covers.
fn gaps(covered: &[(u64, u64)], floor: u64, current: u64) -> Vec<(u64, u64)> {
    let mut gaps = Vec::new();
    let mut next = floor;
    for (first, last) in covered {
        if *first > next {
            gaps.push((next, first - 1));
        }
        next = next.max(last + 1);
    }
    if next <= current {
        gaps.push((next, current));
    }
    gaps
}

/// The same versions in as few ranges as it takes, in order.
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

fn size(ranges: &[(u64, u64)]) -> u64 {
    ranges.iter().map(|(first, last)| last + 1 - first).sum()
}

fn version(number: u64) -> Result<ServerVersion, Damage> {
    ServerVersion::to_give(number).map_err(|error| Damage(format!("{number}: {error}")))
}
