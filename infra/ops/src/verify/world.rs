//! A project as the checks see it, and what they found so far.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;

use serde::Serialize;
use shared::domain::{ArchivedVersions, Columns, Counter, ProjectId, Resource, Row, RowId, RowKey, understand};
use shared::storage::StoredItem;

use super::check::{Check, Violation};

/// One project as it was read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Which project.
    pub project: ProjectId,
    /// Every item of the table, the counter among them.
    pub stored: Vec<StoredItem>,
    /// Every item of the index `by_version`.
    pub indexed: Vec<StoredItem>,
}

/// How much there was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Live rows of each collection.
    pub live: BTreeMap<String, u64>,
    /// Dead rows of all collections.
    pub tombstones: u64,
    /// Versions given out: the counters' sum.
    pub versions: u64,
    /// Of these, versions that no row holds, as their counters say.
    pub skipped: u64,
    /// Of these, versions that are archived.
    pub archived: u64,
    /// Of these, versions that no row lists and that are not archived, below a cut that a row declares: only the sum accounts for
    /// them.
    pub unlisted: u64,
    /// Copies in the index.
    pub indexed: u64,
}

/// What came out for one project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// How much there was.
    pub counts: Counts,
    /// Is the project deleted? Its rows stay.
    pub deleted: bool,
    /// How many things each check looked at.
    pub looked_at: BTreeMap<Check, u64>,
    /// What does not hold, in order.
    pub violations: Vec<Violation>,
    /// Rows whose copy in the index is missing or old: behind, or lost, which one reading cannot tell.
    pub behind: Vec<String>,
}

/// A project out of what was read, as far as it can be read.
pub(super) struct World<'a> {
    pub(super) project: &'a ProjectId,
    pub(super) counter: Option<Counter>,
    pub(super) rows: HashMap<RowKey, (Row, &'a StoredItem)>,
    pub(super) archive: Vec<ArchivedVersions>,
    pub(super) judgement: Judgement,
}

impl World<'_> {
    /// So many things are looked at for this check.
    pub(super) fn look(&mut self, check: Check, things: usize) {
        *self.judgement.looked_at.entry(check).or_default() += things as u64;
    }

    /// Something about an item does not hold.
    pub(super) fn violation(&mut self, check: Check, entity: impl Display, detail: impl Into<String>) {
        let entity = Some(entity.to_string());
        let violation = Violation { entity, ..Violation::of_project(self.project, check, detail) };
        self.judgement.violations.push(violation);
    }

    /// Something about the project does not hold.
    pub(super) fn violation_of_project(&mut self, check: Check, detail: impl Into<String>) {
        self.judgement.violations.push(Violation::of_project(self.project, check, detail));
    }

    /// The live columns of a row.
    pub(super) fn live(&self, key: &RowKey) -> Option<&Columns> {
        self.rows.get(key).and_then(|(row, _)| row.live())
    }

    /// The live rows of a collection as its rules see them, in the order of their ids.
    pub(super) fn all<R: Resource>(&self) -> Vec<(RowId, R)> {
        let of_collection = self.rows.values().filter(|(row, _)| row.key.collection == R::COLLECTION);
        let live =
            of_collection.filter_map(|(row, _)| Some((row.key.id.clone(), understand(row.live()?).ok()?.resource)));
        let mut all: Vec<_> = live.collect();
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        all
    }

    /// Is the project alive, as its own row says?
    pub(super) fn is_live(&self) -> bool {
        self.live(&RowKey::project(self.project)).is_some()
    }
}
