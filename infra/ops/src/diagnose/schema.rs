//! The comparison of the app's tables and columns with the server's.

use std::collections::{BTreeMap, BTreeSet};

use shared::domain::Collection;

use super::device::DeviceProject;
use super::finding::{Difference, Finding, listed};
use super::state::TableState;

/// The findings about the app's schema.
pub(super) fn check(device: &DeviceProject, state: &TableState) -> Vec<Finding> {
    let synced = synced(device);
    if synced.is_empty() {
        return vec![];
    }
    let mut findings = Vec::new();
    let (mut missing, mut unknown) = (Vec::new(), Vec::new());
    for (table, columns) in &synced {
        let Ok(collection) = table.parse::<Collection>() else { continue };
        let of_server = collection.columns();
        missing.extend(
            of_server.iter().filter(|column| !columns.contains(*column)).map(|column| format!("{table}.{column}")),
        );
        unknown.extend(
            columns.iter().filter(|column| !of_server.contains(column)).map(|column| format!("{table}.{column}")),
        );
    }
    if !missing.is_empty() {
        let what = format!("The app does not sync the columns {}: it neither shows nor stores them", names(&missing));
        let next = "Update the app: copy the server's `trueppm.ts` anew and add a migration for the columns. The \
                    package then loads the whole project again.";
        findings.push(Finding::fault(Difference::ColumnMissing, what, next));
    }
    if !unknown.is_empty() {
        let what =
            format!("The app syncs the columns {}, which this version of the command does not know", names(&unknown));
        let next = "If the server is newer than this command, use the server's. Otherwise the app is newer than the \
                    server: deploy the server first. Until then this app refuses every pull.";
        findings.push(Finding::fault(Difference::ColumnUnknown, what, next));
    }
    findings.extend(tables(&synced, state));
    findings
}

fn tables(synced: &BTreeMap<&str, BTreeSet<&str>>, state: &TableState) -> Vec<Finding> {
    let there: BTreeSet<&str> = state.rows.keys().map(|key| key.collection.name()).collect();
    let is_known = |table: &str| table.parse::<Collection>().is_ok() || there.contains(table);
    let mut findings = Vec::new();
    let unknown: Vec<&str> = synced.keys().copied().filter(|table| !is_known(table)).collect();
    if !unknown.is_empty() {
        let what =
            format!("The app syncs the tables {}, of which this project has no row on the server", listed(unknown));
        findings.push(Finding::note(
            Difference::TableUnknown,
            what,
            "No fault if the app is newer than the server. They are not compared.",
        ));
    }
    let lacking: Vec<&str> = there.into_iter().filter(|table| !synced.contains_key(table)).collect();
    if !lacking.is_empty() {
        let what = format!("The app does not sync {}, of which the server has rows", listed(lacking));
        let next = "Update the app: copy the server's `trueppm.ts` anew and add a migration for the tables.";
        findings.push(Finding::fault(Difference::CollectionNotSynced, what, next));
    }
    findings
}

/// The columns by table, read from `table:column,column;table:…`. It is empty before the first pull is done.
fn synced(device: &DeviceProject) -> BTreeMap<&str, BTreeSet<&str>> {
    let tables = device.columns.split(';').filter_map(|table| table.split_once(':'));
    tables.map(|(table, columns)| (table, columns.split(',').filter(|column| !column.is_empty()).collect())).collect()
}

fn names(columns: &[String]) -> String {
    listed(columns.iter().map(String::as_str))
}
