//! The comparison of checksums by collection, at the device's mark.
//!
//! A device's sums and the counter's can be compared only when both are at the same version. So the server's sums are computed as
//! they were at the mark, from the version that each row held then. A busy answer, or an app that is stopped while it stores
//! rows, can bring rows beyond the mark. These rows come in the order of versions. So the device may be at the mark and also have
//! all newer rows up to some version.

use serde::Serialize;
use shared::domain::{Checksums, CollectionName, Row};

use super::device::DeviceProject;
use super::finding::{Difference, Finding, listed};
use super::state::{TableState, Then};

/// The result of comparing a collection's checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// The device has the rows that the server had at the mark, or at a later version.
    Agrees,
    /// The device does not have these rows, and being behind is not the reason.
    Differs,
    /// The checksums cannot be compared.
    Unclear,
}

/// Compares each table of the report with its collection. Tables that the server does not have are left out.
pub(super) fn compare(device: &DeviceProject, state: &TableState) -> Vec<(CollectionName, Compared)> {
    let collections = device.checksums.iter().filter_map(|(table, sums)| Some((table.parse().ok()?, *sums)));
    let is_there =
        |collection: CollectionName| collection.known().is_some() || state.of_collection(collection).next().is_some();
    let there = collections.filter(|(collection, _)| is_there(*collection));
    let compared = |sums, collection| match device.is_synced_once() {
        true => of_collection(state, collection, device.mark, sums),
        false => Compared::Unclear,
    };
    there.map(|(collection, sums)| (collection, compared(sums, collection))).collect()
}

fn of_collection(state: &TableState, collection: CollectionName, mark: u64, device: [u32; 3]) -> Compared {
    let complete = state.complete_up_to(mark);
    if complete == 0 {
        return Compared::Unclear;
    }
    let mut sums = Checksums::default();
    let mut newer: Vec<(&Row, Option<u64>)> = Vec::new();
    let mut is_clear = true;
    for row in state.of_collection(collection) {
        let then = match state.then(row, complete) {
            Then::Live(version) => Some(version),
            Then::Absent | Then::Dead => None,
            Then::Unknown => {
                is_clear = false;
                None
            }
        };
        if let Some(version) = then.and_then(|version| version.try_into().ok()) {
            sums.add(&row.key, version);
        }
        if row.version.get() > complete {
            newer.push((row, then));
        }
    }
    newer.sort_unstable_by_key(|(row, _)| row.version);
    if is_clear && sums.get(collection) == device {
        return Compared::Agrees;
    }
    // Each turn adds the next newer row to the sums. With all of them added, the sums no longer depend on an earlier version that
    // is not known.
    let newest = newer.len();
    for (place, (row, then)) in newer.into_iter().enumerate() {
        if let Some(version) = then.and_then(|version| version.try_into().ok()) {
            sums.subtract(&row.key, version);
        }
        if row.live().is_some() {
            sums.add(&row.key, row.version);
        }
        if (is_clear || place + 1 == newest) && sums.get(collection) == device {
            return Compared::Agrees;
        }
    }
    if is_clear { Compared::Differs } else { Compared::Unclear }
}

/// The findings about the comparison.
pub(super) fn findings(
    device: &DeviceProject,
    state: &TableState,
    compared: &[(CollectionName, Compared)],
) -> Vec<Finding> {
    let named = |wanted: Compared| -> Vec<&str> {
        compared.iter().filter(|(_, compared)| *compared == wanted).map(|(collection, _)| collection.name()).collect()
    };
    let (differing, unclear) = (named(Compared::Differs), named(Compared::Unclear));
    let mut findings = Vec::new();
    if !differing.is_empty() {
        findings.push(differ(device, state, &differing));
    }
    if !unclear.is_empty() && device.is_synced_once() && state.complete_up_to(device.mark) > 0 {
        let what = format!(
            "The checksums of {} cannot be compared: rows changed since the mark {}, and the table no longer knows \
             their versions at that time",
            listed(unclear),
            device.mark
        );
        findings.push(Finding::note(
            Difference::CollectionUnclear,
            what,
            "Ask the user to sync, and ask for another report.",
        ));
    }
    findings
}

fn differ(device: &DeviceProject, state: &TableState, differing: &[&str]) -> Finding {
    let (mark, names) = (device.mark, listed(differing.iter().copied()));
    let is_behind = mark < state.current();
    let what = match is_behind {
        true => format!(
            "The checksums of {names} are not those that the server had at the mark {mark}, nor those of any version \
             since. So being behind is not the reason, unless the app was stopped while it stored rows"
        ),
        false => format!("The checksums of {names} are not the server's, and both are at version {mark}"),
    };
    let next = match &device.rows {
        Some(_) => "The rows are named above.",
        None if is_behind => {
            "Ask the user to sync, and ask for a report with `report({ rows: true })`: it names the rows."
        }
        None => {
            "Ask for a report with `report({ rows: true })`: it names the rows. Then have the app call \
             `sync.repair(project)`."
        }
    };
    Finding::fault(Difference::CollectionDiffers, what, next)
}
