//! Judges merged changes (`X-Base-Version`) and conflicts against the true history.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::history::History;
use crate::http::Reply;
use crate::operations::Operation;

/// Checks that a change that was written at `version` lost no other one, and names the fields that it was merged with.
pub(crate) fn judge(operation: &Operation, reply: &Reply, version: u64, history: &History) -> Result<(), String> {
    let (Some(base), Some(body)) = (operation.ask.base, body(operation)) else { return Ok(()) };
    let row = &operation.row;
    let before = history.entry(version).and_then(|entry| entry.previous).ok_or("changed, and not there before")?;
    if base > before {
        return Err(format!("merged on {base}, and the row was at {before}"));
    }
    let changed = changed_since(row, base, before, history);
    if let Some(lost) = conflicts(body, &changed, before, history).first() {
        return Err(format!("{row} was written at {version} on {base}, over another {lost}"));
    }
    let elsewhere: BTreeSet<&str> =
        changed.iter().map(String::as_str).filter(|name| !body.contains_key(*name)).collect();
    let named: BTreeSet<&str> = reply.merged.iter().map(String::as_str).collect();
    // It may not be known when a column of a newer version was changed.
    if !named.is_superset(&elsewhere) || named.difference(&elsewhere).any(|name| *name != "colour") {
        return Err(format!("merged with {elsewhere:?} and answered {:?}", reply.merged));
    }
    let (old, new) = (content(before, history), content(version, history));
    let untouched = |name: &&String| !body.contains_key(*name) && *name != "server_version";
    match new.keys().filter(untouched).find(|name| old.get(*name) != new.get(*name)) {
        Some(name) => Err(format!("{row} has another {name} at {version}, which was not asked for")),
        None => Ok(()),
    }
}

/// Checks that a conflict is real: exactly these fields were changed since, to other values.
pub(crate) fn judge_conflict(operation: &Operation, reply: &Reply, seen: u64, history: &History) -> Result<(), String> {
    let (Some(base), Some(body)) = (operation.ask.base, body(operation)) else {
        return Err("a conflict without X-Base-Version".to_owned());
    };
    let row = &operation.row;
    let at = reply.body["server_version"].as_u64().unwrap_or(0);
    if at < seen || history.entry(at).is_none_or(|entry| entry.row != *row) {
        return Err(format!("a conflict with {row}@{at}, which was at {seen} already or never there"));
    }
    let truth = conflicts(body, &changed_since(row, base, at, history), at, history);
    let named: BTreeSet<&str> =
        reply.body["conflict_fields"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if named != truth || truth.is_empty() {
        return Err(format!("conflicts of {row}@{at} on {base} are {truth:?}, and answered are {named:?}"));
    }
    Ok(())
}

fn body(operation: &Operation) -> Option<&Map<String, Value>> {
    operation.ask.body.as_ref()?.as_object()
}

pub(crate) fn content(version: u64, history: &History) -> Map<String, Value> {
    history.entry(version).and_then(|entry| entry.live.as_deref()).cloned().unwrap_or_default()
}

/// The fields of a row that got another value after `base` and up to `at`.
pub(crate) fn changed_since(row: &str, base: u64, at: u64, history: &History) -> BTreeSet<String> {
    let versions = history.rows().get(row).map(Vec::as_slice).unwrap_or_default();
    if history.raises.iter().any(|raise| (base..at).contains(raise)) {
        // It is not known what was changed before a restore, so any field may have been.
        let all = content(at, history).into_iter().map(|(name, _)| name);
        return all.filter(|name| !["id", "project", "server_version"].contains(&name.as_str())).collect();
    }
    let since = versions.iter().filter(|version| (base + 1..=at).contains(*version));
    let changed = since.flat_map(|version| {
        let before = history.entry(*version).and_then(|entry| entry.previous).map(|before| content(before, history));
        let (before, after) = (before.unwrap_or_default(), content(*version, history));
        after.into_iter().filter(move |(name, value)| before.get(name) != Some(value)).map(|(name, _)| name)
    });
    changed.filter(|name| name != "server_version").collect()
}

/// The fields in `changed` that a change sets to another value than they have.
fn conflicts<'a>(
    body: &'a Map<String, Value>,
    changed: &BTreeSet<String>,
    at: u64,
    history: &History,
) -> BTreeSet<&'a str> {
    let now = content(at, history);
    let differs = |(name, value): &(&'a String, &Value)| changed.contains(*name) && now.get(*name) != Some(*value);
    body.iter().filter(differs).map(|(name, _)| name.as_str()).collect()
}
