//! The findings about the request that has no answer yet.

use std::collections::BTreeMap;

use serde::Deserialize;
use shared::domain::UserId;
use shared::storage::KeptRequest;

use super::device::{DeviceProject, UnfinishedRequest};
use super::finding::{Difference, Finding, counted, listed, shown};
use super::state::TableState;

/// The findings about the request, at a time in seconds since 1970.
pub(super) fn check(device: &DeviceProject, state: &TableState, user: Option<&UserId>, now: i64) -> Option<Finding> {
    let request = device.request.as_ref()?;
    let asked = format!(
        "The request {} ({}) has no answer on the device yet",
        shown(&request.key),
        listed(request.operations.iter().map(String::as_str))
    );
    if user.is_none() {
        let next = "Run this again with `--user`: what is kept of a request is kept by user and key. Whatever it was, \
                    the device sends it again under the same key, and nothing is done twice within a day.";
        return Some(Finding::note(Difference::RequestUnclear, asked, next));
    }
    Some(match &state.kept {
        Some(kept) if kept.expires_at > now => answered(&asked, kept),
        Some(kept) => {
            let what =
                format!("{asked}. It arrived, and committed version {}. That was more than a day ago", kept.version);
            Finding::fault(Difference::RequestUnanswered, what, too_late(request, state))
        }
        None => unanswered(&asked, request, state),
    })
}

fn answered(asked: &str, kept: &KeptRequest) -> Finding {
    let what = format!("{asked}. It arrived: {} at version {}", outcome(kept), kept.version);
    let next = "No fault: the next sync gets this answer, and nothing is done twice.";
    Finding::note(Difference::RequestAnswered, what, next)
}

/// The answer in words. For a batch, it counts the operations by result.
fn outcome(kept: &KeptRequest) -> String {
    #[derive(Deserialize)]
    struct Problem {
        code: String,
    }
    #[derive(Deserialize)]
    struct OfOne {
        status: u16,
        problem: Option<Problem>,
    }
    #[derive(Deserialize)]
    struct Body {
        results: Vec<OfOne>,
    }
    let Ok(Body { results }) = serde_json::from_str(&kept.answer.body) else {
        return format!("it was answered {}", kept.answer.status);
    };
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    for OfOne { status, problem } in results {
        let name = match (status, problem) {
            (0, _) => "not attempted".to_owned(),
            (_, Some(problem)) => format!("refused with {}", shown(&problem.code)),
            (200..300, None) => "accepted".to_owned(),
            (status, None) => format!("answered {status}"),
        };
        *outcomes.entry(name).or_default() += 1;
    }
    let outcomes: Vec<String> =
        outcomes.iter().map(|(name, number)| format!("{} {name}", counted(*number, "operation"))).collect();
    outcomes.join(", ")
}

fn unanswered(asked: &str, request: &UnfinishedRequest, state: &TableState) -> Finding {
    let done = done(request, state);
    if !done.is_empty() {
        let what = format!(
            "{asked}, and none is kept for this user. But {} are there already",
            listed(done.iter().map(|key| key.as_str()))
        );
        return Finding::fault(Difference::RequestUnanswered, what, too_late(request, state));
    }
    let deletion = state.counter.as_ref().and_then(|counter| counter.unfinished.as_ref());
    if let Some(deletion) = deletion.filter(|deletion| {
        request.operations.iter().any(|operation| *operation == format!("DELETE tasks/{}", deletion.task))
    }) {
        let what =
            format!("{asked}. The deletion of {} takes several commits, and the last is not made", deletion.task);
        let next = "No fault: whoever changes the project next finishes it, and so does the same request, which the \
                    next sync sends.";
        return Finding::note(Difference::RequestUnanswered, what, next);
    }
    let what = format!(
        "{asked}, and none is kept for this user: it did not arrive, was refused as a whole, or is more than a day old"
    );
    let next = "No fault if it is younger than a day: the next sync sends it again under the same key. If the user's \
                id is not the one that the app signs in with, run this again with the right one.";
    Finding::note(Difference::RequestUnanswered, what, next)
}

fn too_late(request: &UnfinishedRequest, state: &TableState) -> String {
    let done = done(request, state);
    let there = if done.is_empty() { "" } else { " A creation with the same content is confirmed, not repeated." };
    format!(
        "The next sync sends it again, and it is judged anew: compare the rows with what the user expects \
         afterwards.{there} Edits that would be lost come back as conflicts."
    )
}

/// The rows that the request would create or delete and that were created or deleted.
fn done<'a>(request: &'a UnfinishedRequest, state: &TableState) -> Vec<&'a String> {
    let is_done = |operation: &&String| {
        let Some((method, key)) = operation.split_once(' ') else { return false };
        let row = state.row_by_key(key);
        match method {
            "POST" => row.is_some(),
            "DELETE" => row.is_some_and(|row| row.live().is_none()),
            _ => false,
        }
    };
    request.operations.iter().filter(is_done).collect()
}
