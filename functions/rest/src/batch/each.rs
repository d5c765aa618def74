//! A batch in which each operation is judged by itself. A device that was offline sends such a batch.
//!
//! The operations are tried in their order, on one draft. A refused operation leaves no trace: the draft is as it was
//! before, and the next operations are judged as if it had not been sent. Accepted operations are visible to later
//! ones, and together they make one commit. If an operation no longer fits into that commit, it and all later ones are
//! not attempted. An operation that no commit could hold is refused.
//!
//! The device goes on with the answer. So the answer is stored under the request's key, whatever it says. A late
//! duplicate must not be judged anew.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use shared::domain::{Columns, Draft, Error, Quotas, Role, RowId, Step, UserId};
use shared::http::Problem;
use shared::storage::Committed;

use super::operation::{Decided, Operation, expect_fits, of_single_request};
use super::outcome::Outcome;

/// The most bytes that the problems of one answer take together. The answer is kept in the transaction, which holds 4 MB and
/// may have [`MAX_BYTES`](shared::storage::MAX_BYTES) of rows in it.
const MAX_PROBLEMS: usize = 120_000;
/// The members of a problem that are kept if the problem alone is too long.
const SHORT: [&str; 8] = ["type", "title", "status", "code", "conflict_fields", "server_version", "id", "limit"];

/// An operation as it was sent.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The id of the row, if the operation names one.
    id: Option<RowId>,
    /// The mutation that it asks for, or the reason why it is invalid.
    pub(crate) operation: Result<Operation, Refusal>,
}

/// The decision about an operation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    Accepted(Decided),
    Refused(Refusal),
    /// The commit or the answer is full.
    NotAttempted,
}

/// The refusal that a single request would get.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    status: StatusCode,
    problem: Value,
}

/// The reason why a change of the draft is undone.
enum Stop {
    Error(Error),
    /// The operation does not fit beside the earlier ones.
    Full,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Entry {
    /// Reads what the client sends. An invalid operation is a refusal.
    pub(crate) fn read(sent: Columns) -> Self {
        let id = id_in(&sent);
        match Operation::read(sent) {
            Ok(operation) => Self { id: Some(operation.key.id.clone()), operation: Ok(operation) },
            Err(error) => Self { id, operation: Err(Refusal::new(error)) },
        }
    }

    /// The element of `results` for this operation.
    pub(crate) fn outcome<'a, T>(&'a self, verdict: &'a Verdict, committed: &Committed<'_, T>) -> Outcome<'a> {
        let id = self.id.as_ref();
        match (verdict, &self.operation) {
            (Verdict::NotAttempted, _) => Outcome::NotAttempted { status: 0, id, code: "not_attempted" },
            (Verdict::Accepted(decided), Ok(operation)) => Outcome::accepted(operation, decided, committed),
            (Verdict::Refused(refusal), _) | (Verdict::Accepted(_), Err(refusal)) => {
                Outcome::Refused { status: refusal.status.as_u16(), id, problem: &refusal.problem }
            }
        }
    }
}

impl Refusal {
    fn new(error: Error) -> Self {
        let (status, problem) = Problem::from(of_single_request(error)).into_body();
        Self { status, problem }
    }

    /// The same refusal in few words, without values of rows and requests. Those may have any length.
    fn shortened(self) -> Self {
        let members = self.problem.as_object().into_iter().flatten();
        let mut short: Map<_, _> = members
            .filter(|(name, _)| SHORT.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        short.insert(
            "detail".to_owned(),
            json!("What is wrong is too long to be shown here. Send the change by itself to see it."),
        );
        short.insert("shortened".to_owned(), json!(true));
        Self { problem: Value::Object(short), ..self }
    }
}

/// The id in an invalid operation.
fn id_in(sent: &Columns) -> Option<RowId> {
    let of_path = sent.get("path").and_then(Value::as_str).and_then(|path| path.trim_end_matches('/').split_once('/'));
    let of_body = || sent.get("body").and_then(|body| body.get("id")).and_then(Value::as_str);
    of_path.map(|(_, id)| id).or_else(of_body)?.parse().ok()
}

/// Tries all operations in their order. Fails only with an error that is not about a single operation.
pub(crate) fn decide(
    entries: &[Entry],
    draft: &mut Draft,
    caller: &UserId,
    quotas: Quotas,
) -> Result<Step<Vec<Verdict>>, Error> {
    draft.authorize(caller, Role::Viewer)?;
    let mut verdicts = Vec::with_capacity(entries.len());
    let mut room = MAX_PROBLEMS;
    for entry in entries {
        let mut verdict = match &entry.operation {
            Ok(operation) => judge(operation, draft, caller, quotas)?,
            Err(refusal) => Verdict::Refused(refusal.clone()),
        };
        if let Verdict::Refused(refusal) = &verdict {
            match room.checked_sub(refusal.problem.to_string().len()) {
                Some(left) => room = left,
                // The first operation always gets a verdict. Otherwise the device could not go on.
                None if verdicts.is_empty() => (verdict, room) = (Verdict::Refused(refusal.clone().shortened()), 0),
                None => verdict = Verdict::NotAttempted,
            }
        }
        if verdict == Verdict::NotAttempted {
            break;
        }
        verdicts.push(verdict);
    }
    verdicts.resize(entries.len(), Verdict::NotAttempted);
    Ok(Step::Last(verdicts))
}

/// Tries an operation. Unless it is accepted, the draft stays as it is.
fn judge(operation: &Operation, draft: &mut Draft, caller: &UserId, quotas: Quotas) -> Result<Verdict, Error> {
    let tried = draft.or_undo(|draft| {
        let decided = operation.decide(draft, caller)?;
        quotas.expect_kept(draft)?;
        let (rows, bytes) = draft.written_by_change();
        expect_fits(rows, bytes)?;
        expect_fits(draft.rows_written(), draft.bytes_written()).map_err(|_| Stop::Full)?;
        Ok(decided)
    });
    match tried {
        Ok(decided) => Ok(Verdict::Accepted(decided)),
        Err(Stop::Full) => Ok(Verdict::NotAttempted),
        Err(Stop::Error(error)) if error.refuses_the_change() => Ok(Verdict::Refused(Refusal::new(error))),
        Err(Stop::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::storage::MAX_ROWS;

    use super::*;
    use crate::decide::testing::{OWNER, World, fields, user, written};

    /// The written rows in the order of their versions, and the status of each operation, or 0.
    fn play(world: &World, list: &[Value], quotas: Quotas) -> (Vec<String>, Vec<u16>) {
        let entries: Vec<_> = list.iter().map(|sent| Entry::read(fields(sent.clone()))).collect();
        let mut draft = world.draft_with_room(usize::MAX);
        let Ok(Step::Last(verdicts)) = decide(&entries, &mut draft, &user(OWNER), quotas) else {
            panic!("not decided")
        };
        let status = |verdict: &Verdict| match verdict {
            Verdict::Accepted(decided) => decided.status.as_u16(),
            Verdict::Refused(refusal) => refusal.status.as_u16(),
            Verdict::NotAttempted => 0,
        };
        (written(&draft), verdicts.iter().map(status).collect())
    }

    fn world() -> World {
        World::new().with_task("a").with_task("b").with_task("c").with_edge("ab", "a", "b").with_edge("bc", "b", "c")
    }

    fn any_operation() -> impl Strategy<Value = Value> {
        let id = || prop::sample::select(vec!["a", "b", "c", "d", "e"]);
        let edge = || prop::sample::select(vec!["ab", "bc", "x", "y"]);
        let base = || prop::option::of((0..9_u64, prop::option::of(0..9_u64)));
        let based = |mut operation: Value, base: Option<(u64, Option<u64>)>| {
            if let Some((version, name)) = base {
                operation["base_version"] = json!(version);
                if let Some(name) = name {
                    operation["base_fields"] = json!({ "name": name });
                }
            }
            operation
        };
        prop_oneof![
            (id(), "[a-b]?").prop_map(|(id, name)| json!({"method": "POST", "path": "tasks", "body": {"id": id, "name": name}})),
            (edge(), id(), id()).prop_map(|(edge, from, to)| {
                json!({"method": "POST", "path": "dependencies", "body": {"id": edge, "predecessor": from, "successor": to}})
            }),
            (id(), "[a-c]?", base()).prop_map(move |(id, name, base)| {
                based(json!({"method": "PATCH", "path": format!("tasks/{id}"), "body": {"name": name}}), base)
            }),
            (edge(), id(), base()).prop_map(move |(edge, to, base)| {
                based(json!({"method": "PATCH", "path": format!("dependencies/{edge}"), "body": {"successor": to}}), base)
            }),
            (id(), base()).prop_map(move |(id, base)| based(json!({"method": "DELETE", "path": format!("tasks/{id}")}), base)),
            edge().prop_map(|edge| json!({"method": "DELETE", "path": format!("dependencies/{edge}")})),
            Just(json!({"method": "GET", "path": "tasks/a"})),
        ]
    }

    proptest! {
        /// A refused operation changes as much as one that was not sent: nothing.
        #[test]
        fn a_refused_operation_leaves_no_trace(
            list in prop::collection::vec(any_operation(), 1..12),
            max_rows in prop::sample::select(vec![0, 3, 4]),
        ) {
            let quotas = Quotas { max_rows, ..Quotas::default() };
            let (all, statuses) = play(&world(), &list, quotas);
            let accepted: Vec<Value> =
                list.iter().zip(&statuses).filter(|(_, status)| **status < 300).map(|(sent, _)| sent.clone()).collect();
            let (alone, again) = play(&world(), &accepted, quotas);
            prop_assert!(again.iter().all(|status| *status < 300), "{:?} of {:?} with {:?}", again, accepted, statuses);
            prop_assert_eq!(all, alone);
        }
    }

    #[test]
    fn rows_of_a_refused_deletion_are_there_for_later_operations() {
        let used = json!({"name": "House", "description": "", "start_date": "2026-03-02", "calendar": "used"});
        let world = world().with("projects#p", used).with("calendars#used", json!({"name": "Site"}));
        let list = [
            json!({"method": "DELETE", "path": "calendars/used"}),
            json!({"method": "DELETE", "path": "tasks/b", "base_version": 1}),
            json!({"method": "PATCH", "path": "dependencies/ab", "body": {"lag": 2}}),
        ];
        assert_eq!(play(&world, &list, Quotas::default()), (vec!["dependencies#ab".to_owned()], vec![409, 409, 200]));
    }

    #[test]
    fn an_operation_waits_for_the_next_commit_only_if_it_fits_into_one() {
        let hub = |spokes: usize| {
            let world = (0..spokes).fold(World::new().with_task("hub"), |world, n| world.with_task(&format!("s{n}")));
            (0..spokes).fold(world, |world, n| world.with_edge(&format!("e{n}"), "hub", &format!("s{n}")))
        };
        let task = json!({"method": "POST", "path": "tasks", "body": {"id": "new", "name": "new"}});
        let delete = json!({"method": "DELETE", "path": "tasks/hub"});
        let list = [task.clone(), delete.clone(), json!({"method": "DELETE", "path": "tasks/s1"})];
        assert_eq!(play(&hub(MAX_ROWS - 1), &list, Quotas::default()).1, [201, 0, 0]);
        assert_eq!(play(&hub(MAX_ROWS - 2), &list, Quotas::default()).1, [201, 204, 0]);
        assert_eq!(play(&hub(MAX_ROWS), &list, Quotas::default()).1, [201, 422, 204]);
        assert_eq!(play(&hub(MAX_ROWS - 1), &[delete, task], Quotas::default()).1, [204, 0]);
    }
}
