//! The findings about whether the user may still have the project, and whether the device knows.

use shared::domain::{ProjectId, UserId};

use super::device::DeviceProject;
use super::finding::{Difference, Finding, Level, NamedRow, counted, shown};
use super::state::TableState;
use crate::written::Written;

/// The findings about the project as a whole, and whether it makes sense to compare its rows.
pub(super) fn check(device: &DeviceProject, state: &TableState, user: Option<&UserId>) -> (Vec<Finding>, bool) {
    let is_there = !matches!(device.status.as_str(), "gone" | "leaving");
    let mut findings = on_device(device);
    let lost = lost(device, state, user);
    if let Some(mut finding) = lost {
        // After a wipe that names every row, a removed user's device has no rows, but it was not told that the project is gone.
        let has_nothing = device.row_count() == 0 && device.dirty.is_empty();
        if !is_there || has_nothing {
            finding.level = Level::Note;
            finding.next =
                "No fault: the device has deleted its rows, or is about to. Unsent edits are set aside for the user."
                    .to_owned();
        }
        findings.push(finding);
        return (findings, false);
    }
    if device.status == "gone" && user.is_some() {
        let what = "The device has deleted the project's rows, because the server said that the user is not a member. \
                    Now the user is one";
        let next =
            "Ask the user to sync. The project comes back if the app asks for it (`projects: 'mine'`, or its id).";
        findings.push(Finding::note(Difference::GoneForMember, what, next));
    }
    (findings, is_there)
}

/// The findings if the user may not have the project any more, or if it never existed.
fn lost(device: &DeviceProject, state: &TableState, user: Option<&UserId>) -> Option<Finding> {
    let wiped = "Ask the user to sync: the package sets unsent edits aside and deletes the rows from the device.";
    let Some(counter) = &state.counter else {
        let what = "The table has no such project";
        let next = "Check that this is the table that the app syncs with, and the stage. If it was restored, the \
                    backup was made before the project was.";
        return Some(Finding::fault(Difference::ProjectUnknown, what, next));
    };
    if let Some(version) = counter.deleted_at {
        let project: Option<ProjectId> = device.project.parse().ok();
        let row = project.and_then(|project| state.row("projects", project.as_str()).and_then(Written::of));
        let by = row.map(|written| format!(" by {}", shown(&written.to_string()))).unwrap_or_default();
        return Some(Finding::fault(
            Difference::ProjectDeleted,
            format!("The project was deleted at version {version}{by}"),
            wiped,
        ));
    }
    let (user, project) = (user?, device.project.parse::<ProjectId>().ok()?);
    let Some(membership) = state.membership(&project, user) else {
        let what = format!("The user {} never was a member of the project", shown(user.as_str()));
        let next = format!(
            "Check the user's id: it is the token's `sub`. If it is right, somebody else used this device. {wiped}"
        );
        return Some(Finding::fault(Difference::UserNeverMember, what, next));
    };
    if membership.live().is_some() {
        return None;
    }
    let what = format!("The user {} was removed from the project", shown(user.as_str()));
    let next = format!("If that was a mistake, ask an admin of the project to add the user again. Otherwise: {wiped}");
    let row = NamedRow::new(format!("memberships/{}", membership.key.id), None, Some(membership));
    Some(Finding::fault(Difference::UserRemoved, what, next).about([row]))
}

/// The findings that the device reports about the project.
fn on_device(device: &DeviceProject) -> Vec<Finding> {
    let rows = device.row_count();
    match device.status.as_str() {
        "leaving" => {
            let what = format!("The device is deleting the project's rows, and {} are left", counted(rows, "row"));
            let next = "No fault: the app was stopped meanwhile, and the next sync goes on.";
            vec![Finding::note(Difference::Leaving, what, next)]
        }
        "gone" if rows > 0 => {
            let what =
                format!("The device says that it deleted the project's rows, but it has {}", counted(rows, "row"));
            vec![Finding::fault(Difference::RowsLeft, what, "Ask the user to open the app and sync: it deletes them.")]
        }
        _ => vec![],
    }
}
