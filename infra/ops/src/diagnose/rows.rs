//! The findings about single rows: missing, stale, ahead or gone.

use std::collections::BTreeMap;

use super::device::DeviceProject;
use super::finding::{Difference, Finding, NamedRow, counted};
use super::state::TableState;

/// The advice for every difference between rows.
const REPAIR: &str = "Have the app call `sync.repair(project)`: it loads the whole project again and keeps unsent \
                      edits. If rows differ again afterwards, keep both reports: it is a bug of the package or the \
                      server.";

/// The findings about the rows that the report names. With `rows` it names all rows, and otherwise only those with edits.
pub(super) fn check(device: &DeviceProject, state: &TableState) -> Vec<Finding> {
    let complete = state.complete_up_to(device.mark);
    let known = device.known_versions();
    let mut found: BTreeMap<Difference, Vec<NamedRow>> = BTreeMap::new();
    for ((table, id), version) in &known {
        let server = state.row(table, id);
        let difference = match server {
            None => Difference::RowsUnknown,
            Some(row) if *version > row.version.get() => Difference::RowsAhead,
            // Rows that were written after the mark come with the next pull.
            Some(row) if row.version.get() > complete => continue,
            Some(row) if row.live().is_none() => Difference::RowsDeleted,
            Some(row) if *version < row.version.get() => Difference::RowsStale,
            Some(_) => continue,
        };
        found.entry(difference).or_default().push(NamedRow::new(format!("{table}/{id}"), Some(*version), server));
    }
    if let Some(tables) = &device.rows {
        let is_synced = |table: &str| tables.contains_key(table);
        let due = state.rows.values().filter(|row| row.live().is_some() && row.version.get() <= complete);
        for row in due.filter(|row| is_synced(row.key.collection.name())) {
            let (table, id) = (row.key.collection.name(), row.key.id.as_str());
            if !known.contains_key(&(table, id)) {
                found.entry(Difference::RowsMissing).or_default().push(NamedRow::new(
                    format!("{table}/{id}"),
                    None,
                    Some(row),
                ));
            }
        }
    }
    found.into_iter().map(|(difference, rows)| finding(difference, rows, device.mark)).collect()
}

fn finding(difference: Difference, rows: Vec<NamedRow>, mark: u64) -> Finding {
    let number = counted(rows.len() as u64, "row");
    let (what, next) = match difference {
        Difference::RowsMissing => (
            format!("{number} missing on the device, although the table has had them since before the mark {mark}"),
            REPAIR,
        ),
        Difference::RowsStale => (
            format!(
                "{number} older on the device than on the table, although the mark {mark} says that they are up to date"
            ),
            REPAIR,
        ),
        Difference::RowsDeleted => (format!("{number} on the device that were deleted before the mark {mark}"), REPAIR),
        Difference::RowsAhead => (
            format!("{number} newer on the device than on the table"),
            "Check that this is the table that the app syncs with. If it was restored from a backup, run `trueppm \
             restore`: it writes every row above what devices hold. Otherwise run `trueppm verify`.",
        ),
        _ => (
            format!("{number} on the device that the table never had"),
            "Check that this is the table that the app syncs with. If it was restored from a backup, the rows were \
             lost with it. Otherwise run `trueppm verify`: rows are never removed from a table. Then have the app call \
             `sync.repair(project)`.",
        ),
    };
    Finding::fault(difference, what, next).about(rows)
}
