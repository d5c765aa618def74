//! The findings about the device itself: its clock, and the problems that stop it from syncing.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::device::{DeviceProblem, DeviceReport};
use super::finding::{Difference, Finding, counted, listed, shown};

/// The tolerance for a device's clock, in seconds. Tokens allow for about as much.
const MAX_CLOCK_SKEW: u64 = 300;
/// A time before which no report was made: 2026-01-01, in seconds since 1970.
const EARLIEST_REPORT: i64 = 1_767_225_600;

/// The findings about the clock. `seen` is the time of the newest write that the device has, and `now` is the time of this
/// machine. Both are in seconds since 1970.
pub(super) fn clock(report: &DeviceReport, seen: Option<i64>, now: i64) -> Option<Finding> {
    let at = report.at.div_euclid(1_000);
    let made = Timestamp::from_second(at).map_or_else(|_| format!("{at} s after 1970"), |at| at.to_string());
    let (what, off) = match report.clock_skew.map(|skew| skew / 1_000) {
        Some(skew) if skew.unsigned_abs() <= MAX_CLOCK_SKEW => return None,
        Some(skew) => {
            let way = if skew > 0 { "behind" } else { "ahead of" };
            (format!("The device's clock is {} {way} the server's: it says {made}", span(skew.unsigned_abs())), skew)
        }
        // The device never got an answer. Its clock is wrong if it is ahead of this machine's, or behind the newest write that
        // the device has.
        None => {
            let least = seen.unwrap_or(EARLIEST_REPORT).max(EARLIEST_REPORT);
            let off = if at > now { now - at } else { (least - at).max(0) };
            if off.unsigned_abs() <= MAX_CLOCK_SKEW {
                return None;
            }
            let than = if off < 0 { "later than now" } else { "earlier than a change that the device has" };
            (format!("The device's clock says {made}, which is {} {than}", span(off.unsigned_abs())), off)
        }
    };
    let effect = if off > 0 {
        "It may show sync times in the past"
    } else {
        "It may take tokens for expired, and show sync times in the future"
    };
    let next = format!("Ask the user to let the phone set its clock. {effect}. Edits are not judged by a clock.");
    Some(Finding::fault(Difference::ClockOff, what, next))
}

fn span(seconds: u64) -> String {
    match seconds {
        0..7_200 => counted(seconds / 60, "minute"),
        7_200..172_800 => counted(seconds / 3_600, "hour"),
        172_800..63_072_000 => counted(seconds / 86_400, "day"),
        _ => counted(seconds / 31_556_952, "year"),
    }
}

/// The problem that stops all syncing, and earlier problems.
pub(super) fn problems(report: &DeviceReport) -> Vec<Finding> {
    if let Some(problem) = &report.status.problem {
        return vec![not_syncing(problem)];
    }
    let mut codes: BTreeMap<&str, u64> = BTreeMap::new();
    report.problems.iter().for_each(|problem| *codes.entry(&problem.code).or_default() += 1);
    if codes.is_empty() {
        return vec![];
    }
    let codes: Vec<String> =
        codes.iter().map(|(code, times)| format!("{code} ({})", counted(*times, "time"))).collect();
    let what = format!(
        "Nothing keeps the device from syncing now. Before, there was {}",
        listed(codes.iter().map(String::as_str))
    );
    vec![Finding::note(Difference::NotSyncing, what, "No fault, unless the user still sees it.")]
}

/// The problem that stops a project from syncing.
pub(super) fn not_syncing(problem: &DeviceProblem) -> Finding {
    let what = format!("The device cannot sync: {}. {}", shown(&problem.code), shown(&problem.detail));
    let advice = match problem.code.as_str() {
        "network" => {
            return Finding::note(
                Difference::NotSyncing,
                what,
                "No fault if the device is offline. Otherwise check `baseUrl`.",
            );
        }
        "schema_mismatch" => {
            "The app's schema and the server's do not fit: see the columns below, and update whichever is older."
        }
        "two_instances" => {
            "The app syncs the database twice. Ask the user to restart it. If it comes back, it is a bug of the app."
        }
        "storage_failed" => {
            "The device could not store its state. Ask the user to free space and to restart the app. Nothing is lost \
             meanwhile."
        }
        "unreadable_answer" => {
            "Something other than the server answered: a sign-in page or a proxy. Ask the user to try another network."
        }
        "checksum_mismatch" => "Rows differ after a repair: see the findings of the project, and keep the report.",
        "token_expired" | "token_invalid" | "token_missing" => "Ask the user to sign in again, and check the clock.",
        "rate_limited" | "busy" | "unavailable" | "not_proven" => {
            "The package tries again by itself. Look for this user in the functions' log."
        }
        _ => "The code is explained in infra/docs/protocol.md and infra/docs/client.md.",
    };
    Finding::fault(Difference::NotSyncing, what, advice)
}
