//! Makes batches whose operations are judged one by one, as devices send them after they were offline, and judges them against
//! the true history.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Map, Value, json};

use crate::batch::{APART, operation};
use crate::history::History;
use crate::http::Reply;
use crate::merge::{changed_since, content};
use crate::operations::{Kind, Maker, Operation};
use crate::writer::{REFUSALS, expect_role};

/// The operations that a device may send.
const KINDS: [Kind; 10] = [
    Kind::CreateTask,
    Kind::ChangeTask,
    Kind::ChangeTask,
    Kind::ChangeTask,
    Kind::DeleteTask,
    Kind::CreateEdge,
    Kind::CreateEdge,
    Kind::ChangeEdge,
    Kind::DeleteEdge,
    Kind::ChangeCalendar,
];
impl Maker<'_> {
    /// Up to eight operations of one user, each about a different row. Most of them name the version that the user has seen.
    pub(crate) fn each(&mut self) -> Operation {
        let number = self.number;
        let (mut parts, mut operations): (Vec<Operation>, Vec<Value>) = Default::default();
        for place in 1..=self.rng.u64(1..=8) {
            self.number = number + APART * place;
            let kind = KINDS[self.rng.usize(..KINDS.len())];
            let Some(mut part) = self.of(kind) else { continue };
            if parts.iter().any(|other| other.row == part.row) {
                continue;
            }
            let bases = self.bases(&mut part);
            let mut operation = operation(&part.ask);
            operation.as_object_mut().expect("an object").extend(bases);
            operations.push(operation);
            parts.push(part);
        }
        self.number = number;
        self.together(parts, json!({ "mode": "each", "operations": operations }))
    }

    /// The members `base_version` and `base_fields` of an operation, if it gets them: a version that the row had, or 0. Half of
    /// the changes of a task are then of its notes alone.
    fn bases(&mut self, part: &mut Operation) -> Map<String, Value> {
        let versions = self.history.rows().get(&part.row).cloned().unwrap_or_default();
        let mut bases = Map::new();
        if part.ask.method == Method::POST || versions.is_empty() || self.rng.u8(0..5) == 0 {
            return bases;
        }
        part.ask.if_match = None;
        let recent = &versions[versions.len().saturating_sub(4)..];
        let mut version = || match self.rng.u8(0..16) {
            0 => 0,
            1 => recent[recent.len() - 1] + 1,
            2..8 => recent[recent.len() - 1],
            _ => recent[self.rng.usize(..recent.len())],
        };
        bases.insert("base_version".to_owned(), json!(version()));
        let of_field = version();
        if self.rng.bool() {
            let field = ["name", "notes", "lag", "successor"][self.rng.usize(..4)];
            bases.insert("base_fields".to_owned(), json!({ field: of_field }));
        }
        if part.row.starts_with("tasks#")
            && self.rng.bool()
            && let Some(body) = part.ask.body.as_mut().and_then(Value::as_object_mut)
            && let Some(mark) = body.remove("name")
        {
            body.clear();
            body.insert("notes".to_owned(), mark);
        }
        bases
    }
}

/// Whether it is such a batch.
pub(crate) fn is_each(operation: &Operation) -> bool {
    operation.ask.body.as_ref().is_some_and(|body| body["mode"] == "each")
}

fn result<'a>(operation: &Operation, reply: &'a Reply, place: usize) -> Option<&'a Value> {
    (is_each(operation) && reply.status == 200).then(|| &reply.body["results"][place])
}

/// The result of an operation, in a word or two.
pub(crate) fn outcome(operation: &Operation, reply: &Reply, place: usize) -> Option<String> {
    let result = result(operation, reply, place)?;
    let code = result["problem"]["code"].as_str().or(result["code"].as_str());
    Some(format!("each: {}", code.unwrap_or("accepted")))
}

/// The answer to an operation that was refused or not attempted, as if it had been sent by itself.
pub(crate) fn reply_to(operation: &Operation, reply: &Reply, place: usize) -> Option<Reply> {
    let result = result(operation, reply, place)?;
    let (status, body) = match (&result["problem"], &result["code"]) {
        (Value::Null, Value::Null) => return None,
        // It says that nothing was written.
        (Value::Null, _) => (503, json!({"code": "busy"})),
        (problem, _) => (u16::try_from(result["status"].as_u64()?).ok()?, problem.clone()),
    };
    Some(Reply {
        status,
        etag: None,
        retry_after: false,
        committed: None,
        replayed: reply.replayed,
        merged: vec![],
        way: String::new(),
        body,
    })
}

/// An operation as it was sent, and its answer.
struct Part<'a> {
    operation: &'a Operation,
    sent: &'a Value,
    result: &'a Value,
}

impl Part<'_> {
    fn row(&self) -> &str {
        &self.operation.row
    }

    fn deletes(&self) -> bool {
        self.operation.ask.method == Method::DELETE
    }

    /// The version up to which its user has seen a field, if the operation says so.
    fn base_of(&self, field: &str) -> Option<u64> {
        let base = self.sent["base_version"].as_u64()?;
        Some(self.sent["base_fields"][field].as_u64().unwrap_or(base))
    }

    /// The fields that the operation touches and that were changed after their base and up to `at`. For a change, only the fields
    /// that it gives another value count. It may not be known when a column of a newer version was changed.
    fn unseen(&self, at: u64, history: &History) -> BTreeSet<String> {
        let now = content(at, history);
        let is_newer = |field: &str| {
            let base = self.base_of(field).unwrap_or(u64::MAX);
            base < at && changed_since(self.row(), base, at, history).contains(field)
        };
        let touches = |field: &str| match (self.deletes(), self.sent["body"].get(field)) {
            (true, _) => !["id", "project", "server_version", "colour"].contains(&field),
            (false, Some(value)) => now.get(field) != Some(value),
            (false, None) => false,
        };
        now.keys().filter(|field| touches(field) && is_newer(field)).cloned().collect()
    }
}

/// Whether the true history allows this answer. The new, accepted operations were made by one commit and overwrote nothing that
/// the user had not seen. Each reported conflict is a real one.
pub(crate) fn judge(operation: &Operation, reply: &Reply, history: &History) -> Result<(), String> {
    match (reply.status, reply.code()) {
        (200, _) => {}
        (403, "not_a_member" | "membership_revoked") | (410, "project_deleted") => return Ok(()),
        (503, "busy" | "outcome_unknown" | "unavailable") => return Ok(()),
        // Every operation may have been left out because its row did not exist.
        (422, _) if operation.parts.is_empty() => return Ok(()),
        (status, code) => return Err(format!("a batch of single operations is answered {status} {code}")),
    }
    let sent = operation.ask.body.as_ref().and_then(|body| body["operations"].as_array()).ok_or("nothing was sent")?;
    let results = reply.body["results"].as_array().ok_or("no results")?;
    if results.len() != operation.parts.len() {
        return Err("not as many results as operations".to_owned());
    }
    let parts: Vec<Part<'_>> = operation
        .parts
        .iter()
        .zip(sent.iter().zip(results))
        .map(|(operation, (sent, result))| Part { operation, sent, result })
        .collect();
    let mut commits = BTreeSet::new();
    for (place, part) in parts.iter().enumerate() {
        let judged = match part.result["status"].as_u64() {
            Some(0) => Err("not attempted, though the commit is not full".to_owned()),
            Some(200..300) => accepted(operation.user, part, &parts[place + 1..], history, &mut commits),
            _ => refused(part, history),
        };
        judged.map_err(|broken| format!("operation {place}: {broken}\n  {}\n  {}", part.sent, part.result))?;
    }
    let commit = match commits.into_iter().collect::<Vec<_>>()[..] {
        [] => return Ok(()),
        [commit] if commit.is_some() && reply.committed >= commit => commit,
        ref commits => return Err(format!("made by {commits:?} and answered as {:?}", reply.committed)),
    };
    // Anyone may have deleted a row that was dead already. This batch deleted a row that dies in this commit. A dependency may
    // have been deleted with its task, and is not judged then.
    let takes_dependencies = parts.iter().any(|part| part.deletes() && part.row().starts_with("tasks#"));
    let is_judged =
        |part: &&Part<'_>| part.deletes() && !(takes_dependencies && part.row().starts_with("dependencies#"));
    for part in parts.iter().filter(is_judged) {
        let Some(version) = part.result["server_version"].as_u64() else { continue };
        let before = history.entry(version).filter(|_| history.commit_of(version) == commit).and_then(|e| e.previous);
        if let Some(lost) = before.and_then(|before| part.unseen(before, history).into_iter().next()) {
            return Err(format!("{} was deleted over an unseen {lost}: {}", part.row(), part.sent));
        }
    }
    Ok(())
}

fn accepted(
    user: usize,
    part: &Part<'_>,
    later: &[Part<'_>],
    history: &History,
    commits: &mut BTreeSet<Option<u64>>,
) -> Result<(), String> {
    let row = part.row();
    // A dependency is deleted with its task, or is created and deleted with it.
    let may_go = row.starts_with("dependencies#")
        && later.iter().any(|other| other.deletes() && other.row().starts_with("tasks#"));
    let Some(version) = part.result["server_version"].as_u64() else {
        return if may_go { Ok(()) } else { Err("no version".to_owned()) };
    };
    let entry = history.entry(version).filter(|entry| entry.row == row);
    let entry = entry.ok_or_else(|| format!("{row} never was at {version}"))?;
    let Some(live) = &entry.live else {
        return if part.deletes() || may_go { Ok(()) } else { Err(format!("{row}@{version} is dead")) };
    };
    if part.deletes() {
        return Err(format!("{row}@{version} is not dead"));
    }
    let is_new = part.operation.mark.as_deref().is_some_and(|mark| history.taken_on(mark) == [version]);
    if part.operation.ask.method == Method::PATCH {
        let shown = |(name, value): (&String, &Value)| live.get(name) == Some(value);
        if !part.sent["body"].as_object().is_some_and(|body| body.iter().all(shown)) {
            return Err(format!("{row}@{version} is {live:?}"));
        }
    }
    if !is_new {
        return Ok(());
    }
    commits.insert(history.commit_of(version));
    expect_role(user, part.operation.needed, version, history)?;
    let Some(before) = entry.previous else { return Ok(()) };
    if part.operation.ask.if_match.is_some_and(|asked| asked != before) {
        return Err(format!("{row} was written although it was at {before}"));
    }
    match part.unseen(before, history).first() {
        Some(lost) => Err(format!("{row} was written at {version} over an unseen {lost}")),
        None => Ok(()),
    }
}

fn refused(part: &Part<'_>, history: &History) -> Result<(), String> {
    let problem = &part.result["problem"];
    let (status, code) = (problem["status"].as_u64().unwrap_or(0), problem["code"].as_str().unwrap_or_default());
    if part.result["status"] != problem["status"] || status >= 500 {
        return Err("another status than the problem's, or none of a refusal".to_owned());
    }
    if code == "sync_conflict" {
        let at = problem["server_version"].as_u64().unwrap_or(0);
        if history.entry(at).is_none_or(|entry| entry.row != part.row()) {
            return Err(format!("a conflict with {}@{at}, which never was", part.row()));
        }
        let named = problem["conflict_fields"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let named: BTreeSet<String> = named.filter(|field| *field != "colour").map(str::to_owned).collect();
        let truth = part.unseen(at, history);
        return if named == truth { Ok(()) } else { Err(format!("the conflicts with {at} are {truth:?}")) };
    }
    let asked = part.sent.get("base_version").or(part.sent.get("if_match")).is_some();
    let allowed = REFUSALS.iter().any(|(known, of)| u64::from(*known) == status && *of == code);
    match allowed && (code != "version_mismatch" || asked) {
        true => Ok(()),
        false => Err("a refusal that cannot be".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::operations::Kind;
    use crate::run::play;
    use crate::scenario::{Scenario, Weights};

    #[test]
    fn devices_that_push_are_told_the_truth_of_each_operation() {
        let kinds = [
            (Kind::Each, 30),
            (Kind::ChangeTask, 12),
            (Kind::DeleteTask, 2),
            (Kind::CreateEdge, 4),
            (Kind::ChangeMember, 2),
        ];
        let mut weights = Weights::only(&kinds);
        (weights.heat, weights.hot_rows) = (0.7, 4);
        let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
        for seed in 0..5 {
            let scenario = Scenario {
                name: "devices push",
                writers: 5,
                operations: 200,
                tasks: 8,
                edges: 6,
                hubs: 0,
                writer_pause: 5,
                weights: weights.clone(),
                ..Scenario::draw(seed)
            };
            match play(seed, &scenario, false) {
                Ok((figures, _)) => {
                    figures.operations.into_iter().for_each(|(outcome, n)| *outcomes.entry(outcome).or_default() += n)
                }
                Err(failure) => panic!("seed {seed}: {}", failure.violation),
            }
        }
        println!("{outcomes:#?}");
        for outcome in
            ["accepted", "sync_conflict", "version_mismatch", "not_found", "role_too_low", "dependency_cycle"]
        {
            let count = outcomes.get(&format!("each: {outcome}")).copied().unwrap_or(0);
            assert!(count > 2, "{outcome}: {count} in {outcomes:?}");
        }
    }
}
