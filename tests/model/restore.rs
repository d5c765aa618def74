//! A table that was restored from a backup, which may have cut its last commit in two.

use crate::decision::{Job, Reads, decide};
use crate::row::{Entity, Version, Versions};
use crate::scenario::{Mutant, Scenario, View};
use crate::table::{Counter, Table};

/// Every possible result of restoring and repairing a table with these rows and commits.
pub(crate) fn restored(scenario: &Scenario, mut table: Table, before: &[Job]) -> Vec<Table> {
    let mut cuts = vec![];
    for &job in before {
        let whole = Reads::begin(&table, &Entity::ALL);
        let Some(transaction) = decide(View { scenario, table: &table }, job, whole, false) else { continue };
        // The archive is written before the commit.
        table.put_archive(&transaction);
        let older = table.clone();
        if table.commit(scenario, &transaction).is_err() {
            continue;
        }
        table.unapplied().into_iter().for_each(|key| table.apply(key));
        cuts = torn(&older, &table);
    }
    cuts.into_iter().map(|table| repaired(scenario, table)).collect()
}

/// Every combination of the older and the newer state of each item.
fn torn(older: &Table, newer: &Table) -> Vec<Table> {
    let both = [older, newer];
    let counters = both.map(|table| Table { counter: table.counter.clone(), ..older.clone() });
    Entity::ALL.into_iter().fold(counters.into(), |cuts, entity| {
        let with = |cut: Table| {
            both.map(|table| {
                let mut cut = cut.clone();
                cut.rows[entity] = table.rows[entity].clone();
                cut
            })
        };
        cuts.into_iter().flat_map(with).collect()
    })
}

/// Repairs the table. The counter agrees with the rows, and versions that no row ever got are skipped. These are the versions
/// that no history and no archive names although the archive is complete there.
fn repaired(scenario: &Scenario, mut table: Table) -> Table {
    let rows = || table.rows.iter().filter_map(|item| item.committed());
    let held = rows().fold(Versions::default(), |held, row| held.with(row.held()));
    let archived = if scenario.is(Mutant::RestoredWithoutTheArchive) {
        Versions::default()
    } else {
        table.archive.named().with(table.archive.anonymous)
    };
    let newest = rows().map(|row| row.server_version).max().unwrap_or(0);
    let current = table.committed_version().max(newest);
    // Below this version, a row may have held versions that nothing names.
    let floor: Version = rows().map(|row| row.archived_from.unwrap_or(row.silent_below)).max().unwrap_or(0);
    let gaps = Versions::all().up_to(current).without(held.with(archived));
    table.skipped = gaps.after(floor.saturating_sub(1));
    table.put_counter(Counter { current_version: current, ..Counter::default() });
    table
}
