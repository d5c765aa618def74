//! The findings about the device's mark: whether this table gave it, and how old it is.

use shared::domain::{Mark, WipePlace};

use super::device::DeviceProject;
use super::finding::{Difference, Finding, counted};
use super::state::TableState;
use crate::written::Written;

/// The advice for a mark that this table did not give: what the next sync does about it.
const ANEW: &str = "Ask the user to open the app and sync. The server refuses the mark, and the package loads the \
                    whole project again. Unsent edits are kept.";

/// The findings about the mark.
pub(super) fn check(device: &DeviceProject, state: &TableState) -> Vec<Finding> {
    let Some(counter) = &state.counter else { return vec![] };
    let (mark, current) = (device.mark, counter.current.get());
    let resync = counter.resync_through.map_or(0, |through| through.get());
    let finding = if mark >= WipePlace::FIRST_MARK {
        Some(in_wipe(mark, state))
    } else if mark == 0 {
        without(device, current)
    } else if mark <= resync {
        let what = format!(
            "The mark {mark} is from before a restore of the table. Devices with marks up to {resync} hold rows that \
             the restore took back. The server is at {current}"
        );
        Some(Finding::fault(Difference::MarkBeforeRestore, what, ANEW))
    } else if mark > current {
        let what =
            format!("The mark {mark} is above the server's version {current}. This table never gave it to a device");
        let next = format!(
            "Check that this is the table that the app syncs with. If it was restored from a backup, run `trueppm \
             restore` before devices sync again. {ANEW}"
        );
        Some(Finding::fault(Difference::MarkAboveServer, what, next))
    } else if !device.is_synced_once() {
        Some(half_done(device, current))
    } else if mark < current {
        Some(behind(mark, state))
    } else {
        None
    };
    finding.into_iter().collect()
}

fn in_wipe(mark: u64, state: &TableState) -> Finding {
    let place = Mark::try_from(mark).ok().and_then(Mark::wipe_place);
    let resync = state.counter.as_ref().and_then(|counter| counter.resync_through);
    let rows = place.map_or(0, WipePlace::rows);
    let what = match place.is_some_and(|place| place.is_since(resync)) {
        true => format!(
            "The mark {mark} is no version but a place in a wipe: the server is telling the device to forget the \
             project, and has named {} so far",
            counted(rows, "row")
        ),
        false => format!("The mark {mark} is a place in a wipe that another table began, or this one before a restore"),
    };
    let next = "Check with --user whether the user is still a member. If so, the next sync loads the whole project \
                again. If not, it ends the wipe.";
    Finding::fault(Difference::MarkInWipe, what, next)
}

/// The findings about a device without a mark: nothing was pulled yet, or the mark was lost.
fn without(device: &DeviceProject, current: u64) -> Option<Finding> {
    if matches!(device.status.as_str(), "gone" | "leaving") {
        return None;
    }
    let rows = device.row_count();
    if rows == 0 {
        let what = format!("The first sync is not done: the device has no mark and no row. The server is at {current}");
        return Some(Finding::note(
            Difference::NeverSynced,
            what,
            "Ask the user to open the app online, and look at what keeps it from syncing, if anything.",
        ));
    }
    let what =
        format!("The device has {} from the server and no mark, so it cannot know what it lacks", counted(rows, "row"));
    let next = "Ask the user to open the app and sync: the package loads the whole project again. If this comes back, \
                the device cannot store the package's state: look for `storage_failed` among its problems.";
    Some(Finding::fault(Difference::MarkLost, what, next))
}

/// A first sync moves the mark page by page.
fn half_done(device: &DeviceProject, current: u64) -> Finding {
    let rows = counted(device.row_count(), "row");
    let what = format!("The first sync is not done: the device has {rows}, up to version {} of {current}", device.mark);
    Finding::note(
        Difference::NeverSynced,
        what,
        "Ask the user to open the app online. The next sync goes on. Until then no checksum can be compared.",
    )
}

fn behind(mark: u64, state: &TableState) -> Finding {
    let newer: Vec<_> = state.rows.values().filter(|row| row.version.get() > mark).collect();
    let oldest = newer.iter().filter_map(|row| Written::of(row)).map(|written| written.at).min();
    let since = oldest.map(|at| format!(", the oldest of them since {at}")).unwrap_or_default();
    let restored = if mark <= state.restored_through() {
        ". It is from before a restore, after which a plain pull is enough"
    } else {
        ""
    };
    let what = format!(
        "The mark {mark} is {} behind the server's {}: {} to come{since}{restored}",
        counted(state.versions_after(mark), "version"),
        state.current(),
        counted(newer.len() as u64, "changed row"),
    );
    Finding::note(
        Difference::Behind,
        what,
        "No fault: the next sync brings them. If it does not, look at what keeps the device from syncing.",
    )
}
