//! The possible results of reading rows from the index and from the table.

use std::collections::HashSet;

use crate::pull::Request;
use crate::row::{Entity, PerRow, Row, Version, Versions};
use crate::scenario::{Index, Mutant, View};
use crate::table::{Moment, Table};

/// What was read: the newest copy of each row, and every version that the copies account for.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Copies {
    /// The version of each row, or 0 if no copy was read.
    of_rows: PerRow<Moment>,
    accounted: Versions,
    /// The newest version of a copy of which only the history was read.
    newest_of_histories: Version,
}

impl Copies {
    pub(crate) fn with(mut self, table: &Table, entity: Entity, moment: Moment) -> Self {
        if let Some(row) = table.rows[entity].at(moment) {
            self.of_rows[entity] = self.of_rows[entity].max(moment);
            self.accounted = self.accounted.with(row.held());
        }
        self
    }

    /// Adds only the versions that a copy superseded.
    fn with_history(mut self, view: View<'_>, entity: Entity, moment: Moment) -> Self {
        if let Some(row) = view.table.rows[entity].at(moment) {
            let taken_for_read = view.scenario.is(Mutant::RowOfAListTakenForRead);
            self.accounted = self.accounted.with(if taken_for_read { row.held() } else { row.superseded() });
            if !view.scenario.is(Mutant::RowOfAListNotSeen) {
                self.newest_of_histories = self.newest_of_histories.max(row.server_version);
            }
        }
        self
    }

    pub(crate) fn copy(self, entity: Entity) -> Moment {
        self.of_rows[entity]
    }

    pub(crate) fn rows(self, table: &Table) -> impl Iterator<Item = (Entity, &Row)> {
        let row = move |entity| Some((entity, table.rows[entity].at(self.of_rows[entity])?));
        Entity::ALL.into_iter().filter_map(row)
    }

    /// The rows after `since`, by version.
    pub(crate) fn after(self, table: &Table, since: Version) -> Vec<(Entity, &Row)> {
        let mut rows: Vec<_> = self.rows(table).filter(|(_, row)| row.server_version > since).collect();
        rows.sort_by_key(|(_, row)| row.server_version);
        rows
    }

    pub(crate) fn newest(self, table: &Table) -> Version {
        self.rows(table).map(|(_, row)| row.server_version).max().unwrap_or(0).max(self.newest_of_histories)
    }

    /// The version up to which every version after `since` is accounted for, or is one of these.
    pub(crate) fn accounted_to(self, since: Version, current: Version, accounted: Versions) -> Version {
        let accounted = self.accounted.with(accounted);
        (since + 1..=current).take_while(|&version| accounted.has(version)).last().unwrap_or(since)
    }

    /// Whether a copy that was read may have dropped a version above `since` from its history.
    pub(crate) fn is_silent_above(self, table: &Table, since: Version) -> bool {
        self.newest_of_histories > 0 || self.rows(table).any(|(_, row)| row.is_silent_above(since))
    }

    /// Every possible answer of the index to `server_version > since` by now.
    ///
    /// A free index has applied any part of each row's history, and a different part each time. A row is missing, or is there in
    /// any copy that the table ever showed, or in two of them. So the index needs no state of its own. The choice covers an index
    /// that lags, shows half of a commit, lacks a row between its old and its new key, or goes back between two pages or two
    /// queries. For the same reason one step stands for all pages of a query, and for queries whose rows are combined: anything
    /// that could be read earlier can be read at the end.
    ///
    /// If rows may exceed a response, the index is also read from its end for version histories. The history of any copy of each
    /// row may have been read, or none.
    pub(crate) fn from_index(view: View<'_>, request: Request) -> Vec<Self> {
        let View { scenario, table } = view;
        let is_in_range = |row: &Row| {
            row.server_version > request.since
                && (row.server_version <= request.current || !scenario.is(Mutant::QueryBoundedAtTheMark))
        };
        Entity::ALL.into_iter().fold(vec![Self::default()], |readings, entity| {
            let item = &table.rows[entity];
            let oldest = match scenario.index {
                Index::Free => 1,
                Index::Current => item.now(),
                Index::Empty => item.now() + 1,
            };
            let is_found = |&moment: &Moment| item.at(moment).is_some_and(is_in_range);
            let moments: Vec<Moment> = (oldest..=item.now()).filter(is_found).collect();
            let mut outcomes = Vec::new();
            for copies in readings {
                let begin = outcomes.len();
                if scenario.index == Index::Free || moments.is_empty() {
                    outcomes.push(copies);
                }
                for (index, &moment) in moments.iter().enumerate() {
                    let one = copies.with(table, entity, moment);
                    outcomes.push(one);
                    outcomes.extend(moments[..index].iter().map(|&old| one.with(table, entity, old)));
                }
                let mut distinct = outcomes.split_off(begin);
                if scenario.index == Index::Free && scenario.limit < Entity::ALL.len() {
                    let histories =
                        |copies: Self| moments.iter().map(move |&moment| copies.with_history(view, entity, moment));
                    let with_histories: Vec<Self> = distinct.iter().flat_map(|&copies| histories(copies)).collect();
                    distinct.extend(with_histories);
                }
                // An older copy beside the newer one adds nothing in most cases.
                let mut met = HashSet::new();
                distinct.retain(|copies| met.insert(*copies));
                outcomes.append(&mut distinct);
            }
            outcomes
        })
    }

    /// Every possible result of a strong read of all rows that began then and ends now.
    pub(crate) fn from_table(table: &Table, begin: PerRow<Moment>) -> Vec<Self> {
        Entity::ALL.into_iter().fold(vec![Self::default()], |readings, entity| {
            let each_copy = |copies: Self| {
                let moments = table.rows[entity].seen_since(begin[entity]);
                moments.map(move |moment| copies.with(table, entity, moment))
            };
            readings.into_iter().flat_map(each_copy).collect()
        })
    }
}
