//! Makes and judges batches: several operations as one request.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Value, json};

use crate::history::History;
use crate::http::{Ask, PROJECT, Reply};
use crate::operations::{Kind, Maker, Operation};

/// The limits of a batch.
const KINDS: [Kind; 9] = [
    Kind::CreateTask,
    Kind::ChangeTask,
    Kind::ChangeTask,
    Kind::DeleteTask,
    Kind::CreateEdge,
    Kind::ChangeEdge,
    Kind::DeleteEdge,
    Kind::CreateCalendar,
    Kind::DeleteCalendar,
];
/// The distance between the numbers of batches. It leaves room for their operations, because no two operations of a run share a
/// number.
pub(crate) const APART: u64 = 5_000;

impl Maker<'_> {
    /// Up to eight operations by one user. Some of them are about rows that others of them create.
    pub(crate) fn batch(&mut self) -> Operation {
        let number = self.number;
        let mut parts: Vec<Operation> = Vec::new();
        for place in 1..=self.rng.u64(1..=8) {
            self.number = number + APART * place;
            let kind = KINDS[self.rng.usize(..KINDS.len())];
            let Some(mut part) = self.of(kind) else { continue };
            let made =
                parts.iter().rev().find(|part| part.row.starts_with("tasks#") && part.ask.method == Method::POST);
            if let (Some(made), true, Some(body)) = (made, self.rng.bool(), &mut part.ask.body)
                && body.get("predecessor").is_some()
            {
                body["predecessor"] = json!(made.row.trim_start_matches("tasks#"));
            }
            parts.push(part);
        }
        self.number = number;
        let operations: Vec<Value> = parts.iter().map(|part| operation(&part.ask)).collect();
        self.together(parts, json!({ "operations": operations }))
    }

    /// One request with this body for all of these operations, by a user who may make each of them.
    pub(crate) fn together(&mut self, parts: Vec<Operation>, body: Value) -> Operation {
        let needed = parts.iter().map(|part| part.needed).max().unwrap_or(1);
        let user = self.user(needed);
        let ask = Ask {
            method: Method::POST,
            body: Some(body),
            ..Ask::get(format!("/api/v1/projects/{PROJECT}/batch/"), &self.tokens[user])
        };
        Operation { ask, user, needed, mark: None, row: format!("projects#{PROJECT}"), parts }
    }
}

/// An operation of a batch that does what this request does.
pub(crate) fn operation(ask: &Ask) -> Value {
    let path = ask.path.trim_start_matches(&format!("/api/v1/projects/{PROJECT}/"));
    let mut operation = json!({"method": ask.method.as_str(), "path": path});
    if let Some(body) = &ask.body {
        operation["body"] = body.clone();
    }
    if let Some(version) = ask.if_match {
        operation["if_match"] = json!(version);
    }
    operation
}

/// Whether the true history allows this answer. Everything new in it was made by one commit, which is the one that it names.
pub(crate) fn judge(operation: &Operation, reply: &Reply, history: &History) -> Result<(), String> {
    let results = reply.body["results"].as_array().map(Vec::as_slice).unwrap_or_default();
    if results.len() != operation.parts.len() {
        return Err("not as many results as operations".to_owned());
    }
    let deletes = |part: &Operation| part.ask.method == Method::DELETE;
    let mut commits = BTreeSet::new();
    for (place, (part, result)) in operation.parts.iter().zip(results).enumerate() {
        let row = &part.row;
        let later = &operation.parts[place + 1..];
        let Some(version) = result["server_version"].as_u64() else {
            if history.rows().contains_key(row) || !operation.parts.iter().any(deletes) {
                return Err(format!("{row} is there, and is said never to have been"));
            }
            continue;
        };
        let entry = history.entry(version).filter(|entry| entry.row == *row);
        let entry = entry.ok_or_else(|| format!("{row} never was at {version}"))?;
        match &entry.live {
            None if deletes(part) || later.iter().any(deletes) => {}
            None => return Err(format!("{row}@{version} is dead, and nothing deleted it")),
            Some(_) if deletes(part) => return Err(format!("{row}@{version} is not dead")),
            Some(live) => {
                let last = !later.iter().any(|other| other.row == *row);
                let mark = crate::history::mark_of(row, live);
                if last && part.ask.method == Method::PATCH && mark != part.mark {
                    return Err(format!("{row}@{version} has {mark:?} and not {:?}", part.mark));
                }
                let fresh = part.mark.as_deref().is_some_and(|mark| history.taken_on(mark) == [version]);
                let previous = entry.previous;
                if fresh && part.ask.if_match.is_some() && part.ask.if_match != previous {
                    return Err(format!("{row} was written although it was at {previous:?}"));
                }
                if fresh && last {
                    commits.insert(history.commit_of(version));
                    crate::writer::expect_role(operation.user, part.needed, version, history)?;
                }
            }
        }
    }
    match commits.into_iter().collect::<Vec<_>>()[..] {
        [] => Ok(()),
        [commit] if commit.is_some() && reply.committed >= commit => Ok(()),
        ref commits => Err(format!("made by {commits:?} and answered as {:?}", reply.committed)),
    }
}
