//! The findings about edits that the server does not have, or may not have: refused, in conflict, waiting, confirmed, set aside,
//! given up.

use std::collections::{BTreeMap, BTreeSet};

use shared::domain::{ProjectId, UserId};

use super::device::{DeviceProject, DirtyRow, Refusal};
use super::finding::{Difference, Finding, NamedRow, counted, listed, shown};
use super::state::TableState;

/// The findings about edits.
pub(super) fn check(device: &DeviceProject, state: &TableState, user: Option<&UserId>) -> Vec<Finding> {
    let mut findings = refused(device, state, user);
    findings.extend(conflicts(device, state));
    findings.extend(dirty(device, state));
    findings.extend(confirmations(device, state));
    findings.extend(given_up(device, state));
    findings
}

/// The findings about unsent edits of rows that are gone. The device has these edits even if the project is gone.
pub(super) fn set_aside(device: &DeviceProject, state: &TableState) -> Option<Finding> {
    let rows = device
        .aside
        .iter()
        .map(|entry| NamedRow::new(format!("{}/{}", entry.table, entry.id), None, state.row(&entry.table, &entry.id)));
    let what = format!(
        "Unsent edits of {} are set aside, because the rows are gone",
        counted(device.aside.len() as u64, "row")
    );
    let next = "No fault: they wait for the user, who can restore, export or drop them in the app.";
    (!device.aside.is_empty()).then(|| Finding::note(Difference::EditsSetAside, what, next).about(rows))
}

fn named<'a>(keys: impl Iterator<Item = &'a String>, state: &TableState) -> Vec<NamedRow> {
    keys.map(|key| NamedRow::new(key.clone(), None, state.row_by_key(key))).collect()
}

fn refused(device: &DeviceProject, state: &TableState, user: Option<&UserId>) -> Vec<Finding> {
    let mut by_code: BTreeMap<&str, Vec<(&String, &Refusal)>> = BTreeMap::new();
    for (key, refusal) in &device.parked {
        by_code.entry(&refusal.code).or_default().push((key, refusal));
    }
    let finding = |(code, refusals): (&str, Vec<(&String, &Refusal)>)| {
        let fields: BTreeSet<&str> =
            refusals.iter().flat_map(|(_, refusal)| &refusal.fields).map(String::as_str).collect();
        let fields = if fields.is_empty() { String::new() } else { format!("; fields: {}", listed(fields)) };
        let tries = refusals.iter().map(|(_, refusal)| refusal.tries).max().unwrap_or(0);
        let what = format!(
            "The server refused edits of {} with {} (up to {}{fields})",
            counted(refusals.len() as u64, "row"),
            shown(code),
            counted(tries, "time"),
        );
        let role = if code == "role_too_low" { role(device, state, user) } else { String::new() };
        let next =
            format!("{role}{} The edits stay on the device until the user changes or discards them.", advice(code));
        Finding::fault(Difference::EditRefused, what, next).about(named(refusals.iter().map(|(key, _)| *key), state))
    };
    by_code.into_iter().map(finding).collect()
}

fn role(device: &DeviceProject, state: &TableState, user: Option<&UserId>) -> String {
    let role = || {
        let project: ProjectId = device.project.parse().ok()?;
        state.membership(&project, user?)?.live()?.get("role")?.as_i64()
    };
    role().map(|role| format!("The user's role is {role} now. ")).unwrap_or_default()
}

/// The advice for an edit that was refused with this code.
fn advice(code: &str) -> &'static str {
    match code {
        "role_too_low" => "Ask an admin to raise the user's role, or the user to discard the edit.",
        "validation_failed" => {
            "The app let the user enter a value that the server refuses. The app's `rejected$` names the field."
        }
        "not_found" => "The row, or a row that it refers to, is not on the server: see the other findings.",
        "id_taken" => "Another row has this id. Ask the user to discard the edit and to create the row again.",
        "id_deleted" => "The row was deleted. Ask the user to discard the edit and to create the row again.",
        "dependency_cycle" | "duplicate_dependency" => {
            "It contradicts the dependencies on the server. Ask the user to discard it."
        }
        "calendar_in_use" => "The project uses the calendar. Ask the user to choose another one first.",
        "last_owner" => "Ask the user to make someone else an owner first.",
        "quota_exceeded" => "The project is full. Delete what is not needed, or raise the quota.",
        "version_mismatch" => {
            "The edit was made on a version that the row does not have: see the findings about mark and rows."
        }
        "not_sendable" => "Rows of this table are created by a request of their own: a fault of the app.",
        "batch_too_large" => "The edit is larger than a request may be. Ask the user to split it.",
        _ => "The code is explained in infra/docs/protocol.md.",
    }
}

fn conflicts(device: &DeviceProject, state: &TableState) -> Option<Finding> {
    let fields: BTreeSet<&str> = device.conflicts.values().flatten().map(String::as_str).collect();
    let fields = if fields.is_empty() { String::new() } else { format!(" (fields: {})", listed(fields)) };
    let what = format!(
        "Another user changed the same fields as this user in {}{fields}",
        counted(device.conflicts.len() as u64, "row")
    );
    let next =
        "The user has to choose in the app: mine, theirs, or another value. Until then these fields are not sent.";
    let rows = named(device.conflicts.keys(), state);
    (!device.conflicts.is_empty()).then(|| Finding::fault(Difference::ConflictOpen, what, next).about(rows))
}

/// The possible findings about a row with edits.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Edited {
    /// The row was deleted, and the mark says that the device knows.
    Gone,
    /// The row was deleted after the mark.
    Going,
    /// The row to be created already exists, and the mark says that the device knows.
    There,
    /// The edit waits to be sent.
    Waiting,
}

fn dirty(device: &DeviceProject, state: &TableState) -> Vec<Finding> {
    let mut found: BTreeMap<Edited, Vec<NamedRow>> = BTreeMap::new();
    for row in &device.dirty {
        let key = format!("{}/{}", row.table, row.id);
        let edited = edited(row, &key, device, state);
        found.entry(edited).or_default().push(NamedRow::new(
            key,
            Some(row.server_version).filter(|version| *version > 0),
            state.row(&row.table, &row.id),
        ));
    }
    found.into_iter().map(|(edited, rows)| of_edited(&edited, rows)).collect()
}

fn edited(row: &DirtyRow, key: &str, device: &DeviceProject, state: &TableState) -> Edited {
    let complete = state.complete_up_to(device.mark);
    let is_new = row.status == "created" && !device.acks.contains_key(key);
    match state.row(&row.table, &row.id) {
        None if is_new || device.acks.get(key) == Some(&0) => Edited::Waiting,
        // The row was deleted on the device before it was sent.
        None if row.status == "deleted" && row.server_version == 0 => Edited::Waiting,
        None => Edited::Gone,
        Some(server) if server.live().is_none() && server.version.get() <= complete => Edited::Gone,
        Some(server) if server.live().is_none() && row.status != "deleted" => Edited::Going,
        Some(server) if is_new && server.version.get() <= complete => Edited::There,
        Some(_) => Edited::Waiting,
    }
}

fn of_edited(edited: &Edited, rows: Vec<NamedRow>) -> Finding {
    let number = counted(rows.len() as u64, "row");
    let finding = match edited {
        Edited::Gone => Finding::fault(
            Difference::EditOfGoneRow,
            format!("{number} with unsent edits were deleted on the server before the mark, or never were there"),
            "Ask the user to sync. The edits are then refused and shown, or set aside. If they stay, have the app call \
             `sync.repair(project)`: it sets them aside.",
        ),
        Edited::Going => Finding::note(
            Difference::EditOfGoneRow,
            format!("{number} with unsent edits were deleted on the server since the last pull"),
            "No fault: the next sync sets the edits aside for the user.",
        ),
        Edited::There => Finding::fault(
            Difference::CreatedTwice,
            format!("{number} that the device still wants to create are on the server since before the mark"),
            "Ask the user to sync. The same content is confirmed. Other content is refused with `id_taken`; then ask \
             the user to discard the edit.",
        ),
        Edited::Waiting => Finding::note(
            Difference::EditsWaiting,
            format!("{number} with edits that are not confirmed yet, or not pulled back yet"),
            "No fault, unless a refusal or a conflict above is about it: the next sync sends them.",
        ),
    };
    finding.about(rows)
}

/// A confirmed edit is in the row's version history, unless another server confirmed it.
fn confirmations(device: &DeviceProject, state: &TableState) -> Option<Finding> {
    let is_lost = |(key, version): &(&String, &u64)| match state.row_by_key(key) {
        Some(row) => state.has_held(row, **version) == Some(false),
        None => true,
    };
    let lost = device.acks.iter().filter(|(_, version)| **version > 0).filter(is_lost);
    let rows: Vec<_> =
        lost.map(|(key, version)| NamedRow::new(key.clone(), Some(*version), state.row_by_key(key))).collect();
    let what = format!(
        "A server confirmed edits of {} at a version that the row on this table never had",
        counted(rows.len() as u64, "row")
    );
    let next = "Check that this is the table that the app syncs with. If it was restored from a backup, the edits were \
                lost with it: the next sync notices, and sends again what the device still has.";
    (!rows.is_empty()).then(|| Finding::fault(Difference::ConfirmationLost, what, next).about(rows))
}

fn given_up(device: &DeviceProject, state: &TableState) -> Option<Finding> {
    let what = format!(
        "The user gave up edits of {}, and the server's values are not there yet",
        counted(device.given_up.len() as u64, "row")
    );
    let next = "No fault: the next sync brings the server's values.";
    let rows = named(device.given_up.keys(), state);
    (!device.given_up.is_empty()).then(|| Finding::note(Difference::EditsGivenUp, what, next).about(rows))
}
