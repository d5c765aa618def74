//! A batch is an ordered list of changes to tasks, dependencies and calendars. One commit makes them: either all of
//! them or none, or each that can be made.
//!
//! Each operation is decided by the rules of the single request. All of them share one draft, so an operation sees the
//! effects of earlier ones. A batch is limited to what one commit takes. It is never spread over several commits.

mod each;
mod operation;
mod outcome;

use axum::extract::State;
use serde::Deserialize;
use shared::domain::{Columns, Draft, Error, ProjectId, Role, Step, UserId, read};
use shared::http::Problem;
use shared::idempotency::Answered;
use shared::storage::{Committed, MAX_ROWS, ReadSet};

use crate::App;
use crate::answer;
use crate::decide::refuse;
use crate::mutation::{InProject, Mutation};
use each::{Entry, Verdict};
use operation::{Decided, Operation, below, expect_fits};
use outcome::Outcome;

/// The largest body, in bytes. A function takes 6 MB, and the body is a JSON string in there. A body of this size fits,
/// however much of it has to be escaped.
const MAX_BODY: usize = 2 * 1024 * 1024;
/// The largest number of operations. One commit writes as many rows.
const MAX_OPERATIONS: usize = MAX_ROWS;

/// The body that the client sends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    #[serde(default)]
    mode: Mode,
    operations: Vec<Columns>,
}

/// The effect of a refused operation on the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// The batch is refused, and nothing is written.
    #[default]
    All,
    /// The other operations are made.
    Each,
}

/// `POST /projects/{project_id}/batch/`
pub(crate) async fn commit(
    State(app): State<App>,
    mutation: Mutation<InProject, MAX_BODY>,
) -> Result<Answered, Problem> {
    let Mutation { caller, path: InProject { project_id }, body, request, .. } = mutation;
    let Batch { mode, operations } = batch(body)?;
    let read_set = ReadSet::by(&project_id, &caller).in_one_commit().keyed(request);
    match mode {
        Mode::All => {
            let operations = understood(operations)?;
            let read_set = look_at(read_set, &project_id, &operations);
            let decide = |draft: &mut Draft| decide(&operations, draft, &caller);
            let answer = |committed: &Committed<'_, Vec<Decided>>| {
                let outcomes = operations.iter().zip(committed.decided);
                let accepted = |(operation, decided)| Outcome::accepted(operation, decided, committed);
                answer::batch(&outcomes.map(accepted).collect::<Vec<_>>())
            };
            Ok(app.table.commit(&project_id, &read_set, decide, answer).await?)
        }
        Mode::Each => {
            let entries: Vec<Entry> = operations.into_iter().map(Entry::read).collect();
            let read_set =
                look_at(read_set, &project_id, entries.iter().filter_map(|entry| entry.operation.as_ref().ok()));
            let decide = |draft: &mut Draft| each::decide(&entries, draft, &caller, app.table.quotas());
            let answer = |committed: &Committed<'_, Vec<Verdict>>| {
                let outcomes = entries.iter().zip(committed.decided);
                answer::batch(&outcomes.map(|(entry, verdict)| entry.outcome(verdict, committed)).collect::<Vec<_>>())
            };
            Ok(app.table.commit(&project_id, &read_set, decide, answer).await?)
        }
    }
}

/// Extends the read set by what each of the operations reads.
fn look_at<'a>(read_set: ReadSet, project: &ProjectId, operations: impl IntoIterator<Item = &'a Operation>) -> ReadSet {
    operations.into_iter().fold(read_set, |read_set, operation| operation.extend(read_set, project))
}

/// Reads the batch. Fails if it has no operations, or too many.
fn batch(body: Columns) -> Result<Batch, Error> {
    let batch: Batch = read(body)?;
    if batch.operations.is_empty() {
        return Err(refuse("operations", &format!("must have 1 to {MAX_OPERATIONS} elements")));
    }
    if batch.operations.len() > MAX_OPERATIONS {
        return Err(refused(MAX_OPERATIONS, Error::BatchTooLarge { what: "operations", max: MAX_OPERATIONS }));
    }
    Ok(batch)
}

/// Reads all operations. Fails at the first that is invalid whatever the project holds.
fn understood(operations: Vec<Columns>) -> Result<Vec<Operation>, Error> {
    let understood = |(index, sent)| Operation::read(sent).map_err(|error| refused(index, error));
    operations.into_iter().enumerate().map(understood).collect()
}

/// Decides all operations in their order. Fails with the first refusal. If the batch is too large in the end, fails
/// with the operation since which it was too large.
fn decide(operations: &[Operation], draft: &mut Draft, caller: &UserId) -> Result<Step<Vec<Decided>>, Error> {
    draft.authorize(caller, Role::Viewer)?;
    let mut decided = Vec::with_capacity(operations.len());
    let mut excess = None;
    for (index, operation) in operations.iter().enumerate() {
        decided.push(operation.decide(draft, caller).map_err(|error| refused(index, error))?);
        let fits = expect_fits(draft.rows_written(), draft.bytes_written());
        excess = fits.err().map(|error| excess.unwrap_or_else(|| refused(index, error)));
    }
    excess.map_or(Ok(Step::Last(decided)), Err)
}

/// The refusal of one operation.
fn refused(index: usize, error: Error) -> Error {
    Error::Operation { index, error: Box::new(below(&format!("operations[{index}]."), error)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use shared::storage::MAX_BYTES;

    use super::*;
    use crate::decide::testing::{OWNER, World, fields, refused_fields, user, written};

    fn post(collection: &str, body: Value) -> Value {
        json!({"method": "POST", "path": format!("{collection}/"), "body": body})
    }

    fn task(id: &str) -> Value {
        post("tasks", json!({"id": id, "name": id}))
    }

    fn edge(id: &str, predecessor: &str, successor: &str) -> Value {
        post("dependencies", json!({"id": id, "predecessor": predecessor, "successor": successor}))
    }

    fn patch(row: &str, body: Value) -> Value {
        json!({"method": "PATCH", "path": row, "body": body})
    }

    fn delete(row: &str) -> Value {
        json!({"method": "DELETE", "path": row})
    }

    fn understood(list: Value) -> Result<Vec<Operation>, Error> {
        super::understood(batch(fields(json!({ "operations": list })))?.operations)
    }

    /// The rows that the batch writes, in the order of their versions, and the statuses.
    fn play(world: &World, list: impl IntoIterator<Item = Value>) -> Result<(Vec<String>, Vec<u16>), Error> {
        let operations = understood(list.into_iter().collect())?;
        let mut draft = world.draft_with_room(usize::MAX);
        let Step::Last(decided) = decide(&operations, &mut draft, &user(OWNER))? else { panic!("more than one step") };
        Ok((written(&draft), decided.iter().map(|decided| decided.status.as_u16()).collect()))
    }

    fn refusal(world: &World, list: impl IntoIterator<Item = Value>) -> (usize, Error) {
        match play(world, list) {
            Err(Error::Operation { index, error }) => (index, *error),
            other => panic!("not refused: {other:?}"),
        }
    }

    fn two() -> World {
        World::new().with_task("a").with_task("b").with_edge("ab", "a", "b")
    }

    #[test]
    fn later_operations_see_what_earlier_ones_did() {
        let list = [task("c"), edge("bc", "b", "c"), patch("tasks/c", json!({"name": "C"})), delete("tasks/a")];
        let (written, statuses) = play(&two(), list).expect("a batch");
        assert_eq!(statuses, [201, 201, 200, 204]);
        assert_eq!(written, ["dependencies#ab", "tasks#c", "dependencies#bc", "tasks#a"]);
        let (index, error) = refusal(&two(), [edge("bc", "b", "c"), task("c")]);
        assert_eq!((index, refused_fields::<()>(Err(error))), (0, vec!["operations[0].body.successor".to_owned()]));
        let (index, error) = refusal(&two(), [delete("tasks/a"), patch("dependencies/ab", json!({"lag": 1}))]);
        assert!(index == 1 && matches!(error, Error::NotFound(_)), "{error:?}");
    }

    #[test]
    fn several_operations_on_one_row_are_one_write_and_a_created_and_deleted_row_is_none() {
        let twice = [patch("tasks/a", json!({"name": "A"})), patch("tasks/a", json!({"notes": "n"}))];
        assert_eq!(play(&two(), twice).expect("a batch").0, ["tasks#a"]);
        let (written, statuses) = play(&two(), [task("c"), edge("bc", "b", "c"), delete("tasks/c")]).expect("a batch");
        assert_eq!((written.len(), statuses), (0, vec![201, 201, 204]));
        let (written, _) = play(&two(), [task("c"), delete("tasks/c"), task("c")]).expect("never used");
        assert_eq!(written, ["tasks#c"]);
        let (index, error) = refusal(&two(), [delete("tasks/a"), task("a")]);
        assert!(index == 1 && matches!(error, Error::IdDeleted(_)), "{error:?}");
    }

    #[test]
    fn the_same_creation_again_changes_nothing_and_another_one_is_refused() {
        assert_eq!(
            play(&two(), [task("c"), task("c"), delete("tasks/b"), delete("tasks/b")]).expect("a batch").1,
            [201, 200, 204, 204]
        );
        let other = post("tasks", json!({"id": "c", "name": "other"}));
        assert!(matches!(refusal(&two(), [task("c"), other]), (1, Error::IdTaken(_))));
    }

    #[test]
    fn a_cycle_or_a_duplicate_that_the_batch_itself_would_make_is_refused() {
        let (index, error) = refusal(&two(), [task("c"), edge("bc", "b", "c"), edge("ca", "c", "a")]);
        assert!(matches!((index, error), (2, Error::DependencyCycle { tasks }) if tasks.len() == 3));
        let (index, error) = refusal(&two(), [edge("ab2", "a", "b")]);
        assert!(matches!((index, error), (0, Error::DuplicateDependency { id }) if id.as_str() == "ab"));
        assert!(play(&two(), [delete("dependencies/ab"), edge("ba", "b", "a")]).is_ok(), "turned round");
    }

    #[test]
    fn if_match_means_the_version_before_the_batch() {
        let at = |version: u64, mut operation: Value| {
            operation["if_match"] = json!(version);
            operation
        };
        let twice = [patch("tasks/a", json!({"name": "1"})), patch("tasks/a", json!({"name": "2"}))];
        assert!(play(&two(), twice.clone().map(|operation| at(3, operation))).is_ok());
        assert!(matches!(refusal(&two(), twice.map(|operation| at(2, operation))), (0, Error::Stale { .. })));
        let (index, error) = refusal(&two(), [task("c"), at(1, delete("tasks/c"))]);
        assert_eq!((index, refused_fields::<()>(Err(error))), (1, vec!["operations[1].if_match".to_owned()]));
    }

    #[test]
    fn the_operation_that_makes_the_batch_too_large_is_named_unless_a_later_one_makes_room() {
        let tasks = |n: usize| (0..n).map(|n| task(&format!("n{n}"))).collect::<Vec<_>>();
        assert!(play(&two(), tasks(MAX_ROWS)).is_ok());
        // A deleted task takes its two dependencies along.
        let three = || two().with_task("c").with_edge("ac", "a", "c");
        let cascade = |new| tasks(new).into_iter().chain([delete("tasks/a")]);
        assert!(play(&three(), cascade(MAX_ROWS - 3)).is_ok());
        let (index, error) = refusal(&three(), cascade(MAX_ROWS - 2));
        assert!(matches!(error, Error::BatchTooLarge { what: "rows", max: MAX_ROWS }), "{error:?}");
        assert_eq!(index, MAX_ROWS - 2);
        let room_made = cascade(MAX_ROWS - 2).chain([delete("tasks/n5")]);
        assert!(play(&three(), room_made).is_ok());
    }

    #[test]
    fn deleting_and_changing_long_rows_counts_their_size() {
        let notes = "x".repeat(50_000);
        let long = |world: World, n: usize| {
            world.with(&format!("tasks#l{n}"), json!({"name": "l", "duration": 1, "notes": notes}))
        };
        let world = (0..90).fold(World::new(), long);
        let most = MAX_BYTES / 52_000;
        let deletions = |n: usize| (0..n).map(|n| delete(&format!("tasks/l{n}"))).collect::<Vec<_>>();
        assert!(play(&world, deletions(most)).is_ok());
        assert!(matches!(refusal(&world, deletions(90)), (_, Error::BatchTooLarge { what: "bytes", .. })));
        let changes = (0..90).map(|n| patch(&format!("tasks/l{n}"), json!({"notes": ""})));
        assert!(matches!(refusal(&world, changes), (_, Error::BatchTooLarge { what: "bytes", .. })));
    }

    #[test]
    fn an_invalid_operation_is_refused_with_its_field() {
        let field = |list: Value| match understood(list) {
            Err(Error::Operation { error, .. }) => refused_fields::<()>(Err(*error)).remove(0),
            other => refused_fields(other.map(|operations| operations.len())).remove(0),
        };
        let with = |member: &str, value: Value| {
            let mut operation = patch("tasks/a/", json!({"name": "A"}));
            operation[member] = value;
            json!([task("n"), operation])
        };
        assert_eq!(field(json!([])), "operations");
        assert_eq!(field(json!({})), "operations");
        let too_many = understood((0..=MAX_OPERATIONS).map(|_| task("n")).collect());
        assert!(matches!(too_many.err(), Some(Error::Operation { index: MAX_OPERATIONS, .. })));
        assert_eq!(field(with("method", json!("GET"))), "operations[1].method");
        assert_eq!(field(with("bdy", json!({}))), "operations[1].bdy");
        assert_eq!(field(with("if_match", json!("\"3\""))), "operations[1].if_match");
        assert_eq!(field(with("body", json!(null))), "operations[1].body");
        for path in ["", "tasks", "tasks/a/b", "/tasks/a", "memberships/a", "projects/p", "tasks//", "../x/tasks/a"] {
            assert_eq!(field(with("path", json!(path))), "operations[1].path", "{path}");
        }
        assert_eq!(field(json!([post("tasks", json!({"id": "a/b"}))])), "operations[0].body.id");
        assert_eq!(field(json!([{"method": "DELETE", "path": "tasks/a", "body": {}}])), "operations[0].body");
        assert_eq!(
            field(json!([{"method": "POST", "path": "tasks", "body": {}, "if_match": 1}])),
            "operations[0].if_match"
        );
        assert_eq!(field(json!([{"method": "POST", "body": {}}])), "operations[0].path");
        let of_all = |member: &str, value: Value| {
            let mut all = json!({"operations": [task("n")]});
            all[member] = value;
            refused_fields(batch(fields(all)).map(|batch| batch.operations.len()))
        };
        assert_eq!(of_all("atomic", json!(true)), ["atomic"]);
        assert_eq!(of_all("mode", json!("some")), ["mode"]);
    }

    /// A mostly invalid operation, and now and then a valid one.
    fn any_operation() -> impl Strategy<Value = Value> {
        let id = prop::sample::select(vec!["a", "b", "ab", "n", "", "a/b", "../a"]);
        let collection = prop::sample::select(vec!["tasks", "dependencies", "calendars", "memberships", ""]);
        let path = (collection, prop_oneof![Just("".to_owned()), id.clone().prop_map(|id| format!("/{id}"))], "/?");
        let value = prop_oneof![
            id.prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1..3_i64).prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            prop::sample::select(vec![
                json!(null),
                json!(0.5),
                json!([]),
                json!({}),
                json!([{"start": "2026-01-01"}]),
                json!("\0")
            ]),
            any::<String>().prop_map(Value::from),
        ];
        let field = prop::sample::select(vec![
            "id",
            "name",
            "duration",
            "is_milestone",
            "assignee",
            "predecessor",
            "successor",
            "lag",
            "exceptions",
            "status",
            "x",
        ]);
        let body = prop::collection::btree_map(field, value.clone(), 0..4);
        let method = prop::sample::select(vec!["POST", "PATCH", "DELETE", "GET"]);
        (method, path, prop::option::of(body), prop::option::weighted(0.2, value)).prop_map(
            |(method, (collection, id, slash), body, if_match)| {
                let mut operation = json!({"method": method, "path": format!("{collection}{id}{slash}")});
                if let Some(body) = body {
                    operation["body"] = json!(body);
                }
                if let Some(if_match) = if_match {
                    operation["if_match"] = if_match;
                }
                operation
            },
        )
    }

    proptest! {
        #[test]
        fn any_batch_is_decided_or_refused_with_its_operation(list in prop::collection::vec(any_operation(), 0..6)) {
            match play(&two(), list.clone()) {
                Ok((_, statuses)) => prop_assert_eq!(statuses.len(), list.len()),
                Err(Error::Operation { index, .. }) => prop_assert!(index < list.len()),
                Err(Error::Invalid(fields)) => {
                    let of_list = |field: &str| field.is_empty() || field.starts_with("operations");
                    prop_assert!(fields.iter().all(|error| of_list(&error.field)), "{:?}", fields);
                }
                Err(other) => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
