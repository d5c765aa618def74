//! A project as the checks see it, and the results so far.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;

use serde::Serialize;
use shared::domain::{ArchivedVersions, Columns, Counter, ProjectId, Resource, Row, RowId, RowKey, understand};
use shared::storage::StoredItem;

use super::check::{Check, Violation};

/// One project as it was read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The project.
    pub project: ProjectId,
    /// Every item of the table, the counter among them.
    pub stored: Vec<StoredItem>,
    /// Every item of the index `by_version`.
    pub indexed: Vec<StoredItem>,
}

/// The numbers of rows and versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// The number of live rows of each collection.
    pub live: BTreeMap<String, u64>,
    /// The number of dead rows of all collections.
    pub tombstones: u64,
    /// The number of versions that were given out: the sum of the counters.
    pub versions: u64,
    /// The number of these versions that no row holds, according to the counters.
    pub skipped: u64,
    /// The number of these versions that are archived.
    pub archived: u64,
    /// The number of these versions that no history names and that are not archived, below a cut that a row declares. Only the
    /// sum accounts for them.
    pub unlisted: u64,
    /// The number of copies in the index.
    pub indexed: u64,
}

/// The result for one project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// The numbers of rows and versions.
    pub counts: Counts,
    /// Whether the project is deleted. Its rows stay.
    pub deleted: bool,
    /// The number of things that each check covered.
    pub looked_at: BTreeMap<Check, u64>,
    /// The violations, in order.
    pub violations: Vec<Violation>,
    /// The rows whose copy in the index is missing or old. One read cannot tell whether the copy is behind or lost.
    pub behind: Vec<String>,
}

/// A project from the items that were read, as far as they are readable.
pub(super) struct World<'a> {
    pub(super) project: &'a ProjectId,
    pub(super) counter: Option<Counter>,
    pub(super) rows: HashMap<RowKey, (Row, &'a StoredItem)>,
    pub(super) archive: Vec<ArchivedVersions>,
    pub(super) judgement: Judgement,
}

impl World<'_> {
    /// Counts the things that a check covers.
    pub(super) fn look(&mut self, check: Check, things: usize) {
        *self.judgement.looked_at.entry(check).or_default() += things as u64;
    }

    /// Notes a violation by an item.
    pub(super) fn violation(&mut self, check: Check, entity: impl Display, detail: impl Into<String>) {
        let entity = Some(entity.to_string());
        let violation = Violation { entity, ..Violation::of_project(self.project, check, detail) };
        self.judgement.violations.push(violation);
    }

    /// Notes a violation by the project.
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

    /// Whether the project is live according to its own row.
    pub(super) fn is_live(&self) -> bool {
        self.live(&RowKey::project(self.project)).is_some()
    }
}
