//! The decisions that all resources share, as pure functions over what was read.

use shared::domain::{
    Actor, Base, Columns, Counter, Draft, Error, FieldError, Precondition, ProjectId, Resource, Role, Row, RowId,
    RowKey, RowState, Step, UserId, concurrent_changes, expect_seen, parse, patched,
};
use shared::storage::ReadSet;

/// The rules for a resource's rows beyond the checks of single fields.
pub(crate) trait Rules: Resource {
    /// The lowest role that may create and change rows. It may also delete them unless [`Rules::may_delete`] says
    /// otherwise.
    const WRITER: Role;
    /// Whether a creation revives a deleted row with its id.
    const REVIVES: bool = false;

    /// The id of a new row that was given this one, if that can be told before its fields are judged.
    fn choose_id(given: Option<RowId>) -> Option<RowId> {
        Some(given.unwrap_or_else(RowId::generate))
    }

    /// The id of a new row with these fields. `chosen` is the result of [`Rules::choose_id`].
    fn new_id(_: &ProjectId, chosen: Option<&RowId>, _: &Columns) -> Result<RowId, Error> {
        chosen.cloned().ok_or(Error::Bug("no id was chosen for a new row"))
    }

    /// The fields of a creation with those defaults that depend on other fields or on the day.
    fn complete(fields: Columns) -> Columns {
        fields
    }

    /// The fields of a change with those that follow from them.
    fn complete_change(fields: Columns) -> Columns {
        fields
    }

    /// Extends the read set by the rows to which a new row with these fields refers.
    fn look_for_create(read_set: ReadSet, project: &ProjectId, fields: &Columns) -> ReadSet;

    /// Extends the read set by the rows to which a row refers after this change.
    fn look_for_change(read_set: ReadSet, project: &ProjectId, patch: &Columns) -> ReadSet {
        Self::look_for_create(read_set, project, patch)
    }

    /// Extends the read set by the rows that deleting a row may affect.
    fn look_for_delete(read_set: ReadSet, project: &ProjectId) -> ReadSet;

    /// Refuses the row if it does not fit the others, or if the actor may not change it like this. `before` is the row
    /// before the change.
    fn accept(&self, id: &RowId, before: Option<&Self>, draft: &Draft, actor: &Actor) -> Result<(), Error>;

    /// Refuses a caller who may not delete this row. The row may be dead or not exist.
    fn may_delete(draft: &Draft, caller: &UserId, _: &RowKey) -> Result<(), Error> {
        draft.authorize(caller, Self::WRITER).map(|_| ())
    }

    /// Drafts the tombstones that deleting the row takes, its own included, or refuses.
    fn delete(id: &RowId, draft: &mut Draft) -> Result<Step<()>, Error>;
}

/// The result of a creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Creation {
    /// A new row.
    Created,
    /// The same row exists already: the request was sent again.
    Repeated,
}

/// Creates a row with the client's id or the server's. Returns the id and the result of the creation.
///
/// Judges a creation whose id exists. It is `Repeated` if every named field has the same value, and `IdTaken`
/// otherwise. It is `IdDeleted` if the row is dead and stays dead.
pub(crate) fn create<R: Rules>(
    draft: &mut Draft,
    caller: &UserId,
    chosen: Option<&RowId>,
    fields: &Columns,
) -> Result<Step<(Creation, RowKey)>, Error> {
    let actor = draft.authorize(caller, R::WRITER)?;
    let id = R::new_id(draft.project(), chosen, fields)?;
    let key = RowKey::new(R::COLLECTION, id.clone());
    match draft.row_state(&key) {
        RowState::Live(columns) => {
            return Ok(repeated::<R>(&key, Some(columns), fields)?.map(|creation| (creation, key)));
        }
        RowState::Dead if !R::REVIVES => return Err(Error::IdDeleted(key)),
        RowState::Absent | RowState::Dead => {}
    }
    let resource: R = parse(&R::complete(fields.clone()))?;
    resource.accept(&id, None, draft, &actor)?;
    draft.put(id, &resource)?;
    Ok(Step::Last((Creation::Created, key)))
}

/// The answer to a creation whose id exists. The row has these columns if it is live.
pub(crate) fn repeated<R: Resource>(
    key: &RowKey,
    live: Option<&Columns>,
    fields: &Columns,
) -> Result<Step<Creation>, Error> {
    let Some(columns) = live else { return Err(Error::IdDeleted(key.clone())) };
    // Compare the values as the resource reads them: 8 hours are 8.0, and what is left out inside a field has its
    // default.
    match patched::<R>(columns, fields) {
        Ok(again) if !again.changes => Ok(Step::Last(Creation::Repeated)),
        _ => Err(Error::IdTaken(key.clone())),
    }
}

/// Changes some fields of the row. Writes nothing if they all have their values already. Returns also the fields that
/// others changed since the base of the caller's change, see [`check_change`].
pub(crate) fn update<R: Rules>(
    draft: &mut Draft,
    caller: &UserId,
    id: &RowId,
    patch: &Columns,
    precondition: &Precondition,
) -> Result<Step<Vec<String>>, Error> {
    let actor = draft.authorize(caller, R::WRITER)?;
    let key = RowKey::new(R::COLLECTION, id.clone());
    let columns = draft.expect_live(&key)?.clone();
    let merged = check_change::<R>(draft, &key, precondition, patch)?;
    let row = patched::<R>(&columns, &R::complete_change(patch.clone()))?;
    if row.changes {
        row.after.accept(id, Some(&row.before), draft, &actor)?;
        draft.put_keeping(id.clone(), &row.after, &row.kept)?;
    }
    Ok(Step::Last(merged))
}

/// Deletes the row and what goes with it. Writes nothing if the row is deleted already.
pub(crate) fn delete<R: Rules>(
    draft: &mut Draft,
    caller: &UserId,
    id: &RowId,
    precondition: &Precondition,
) -> Result<Step<()>, Error> {
    let key = RowKey::new(R::COLLECTION, id.clone());
    R::may_delete(draft, caller, &key)?;
    match draft.row_state(&key) {
        RowState::Live(_) => {}
        RowState::Absent => return Err(Error::NotFound(key)),
        RowState::Dead => return Ok(Step::Last(())),
    }
    check_deletion(draft, &key, precondition)?;
    R::delete(id, draft)
}

/// Refuses a change of a live row whose precondition does not hold, with `Stale` and the row as it was read, or with
/// `Conflict`. If the precondition is about fields, returns those that others changed meanwhile and that the patch does
/// not set, see [`concurrent_changes`].
fn check_change<R: Rules>(
    draft: &Draft,
    key: &RowKey,
    precondition: &Precondition,
    patch: &Columns,
) -> Result<Vec<String>, Error> {
    let Some((row, columns, base)) = unsettled(draft, key, precondition)? else { return Ok(vec![]) };
    let restored_through = draft.counter().map_or(0, Counter::restored_through);
    concurrent_changes::<R>(row, columns, base, restored_through, patch, || row.rest_json(draft.project()))
}

/// Judges a deletion in the same way. Every field of the row counts, see [`expect_seen`].
fn check_deletion(draft: &Draft, key: &RowKey, precondition: &Precondition) -> Result<(), Error> {
    let Some((row, columns, base)) = unsettled(draft, key, precondition)? else { return Ok(()) };
    let restored_through = draft.counter().map_or(0, Counter::restored_through);
    expect_seen(row, columns, base, restored_through, || row.rest_json(draft.project()))
}

/// What remains to be judged field by field: the row as it was read, its columns with the draft's own writes, and the
/// base.
fn unsettled<'a>(
    draft: &'a Draft,
    key: &RowKey,
    precondition: &'a Precondition,
) -> Result<Option<(&'a Row, &'a Columns, &'a Base)>, Error> {
    let (Some(row), Some(columns)) = (draft.row(key), draft.live(key)) else { return Ok(None) };
    match precondition {
        Precondition::None => Ok(None),
        Precondition::Match(versions) if versions.contains(&row.version.get()) => Ok(None),
        Precondition::Match(_) => Err(Error::Stale { version: row.version, row: row.rest_json(draft.project()) }),
        Precondition::MergeSince(base) => Ok(Some((row, columns, base))),
    }
}

/// A refusal because one field does not fit the other rows.
pub(crate) fn refuse(field: &str, message: &str) -> Error {
    Error::Invalid(vec![FieldError { field: field.to_owned(), message: message.to_owned() }])
}

/// The id in a field. None if the field is missing or holds no valid id.
pub(crate) fn named<Id: std::str::FromStr>(fields: &Columns, field: &str) -> Option<Id> {
    fields.get(field)?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use shared::domain::{Calendar, Dependency, Project, Task};

    use super::*;

    #[test]
    fn the_page_names_the_roles_that_the_rules_ask_for() {
        let page = include_str!("../../../infra/docs/rest.md");
        assert_eq!(Calendar::WRITER, Project::WRITER, "they are in one line");
        for (action, role) in [
            ("create, change and delete tasks", Task::WRITER),
            ("create, change and delete dependencies", Dependency::WRITER),
            (
                "create, change and delete calendars, change the project, manage memberships below one's own role",
                Calendar::WRITER,
            ),
        ] {
            assert!(page.contains(&format!("| {action} | {role:?} |\n")), "{action}: {role:?}");
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A project to decide over, without any I/O.

    use std::collections::{HashMap, HashSet};

    use serde_json::{Value, json};
    use shared::domain::{Collection, ServerVersion, Write, membership_id};

    use super::*;

    /// Rows as they would be read: everything is listed.
    pub(crate) struct World {
        pub(crate) rows: Vec<Row>,
        version: u64,
        is_deleted: bool,
    }

    pub(crate) const OWNER: &str = "olga";

    pub(crate) fn id(text: &str) -> RowId {
        text.parse().expect("an id")
    }

    pub(crate) fn user(text: &str) -> UserId {
        text.parse().expect("a user")
    }

    pub(crate) fn project() -> ProjectId {
        "p".parse().expect("a project")
    }

    pub(crate) fn fields(value: Value) -> Columns {
        value.as_object().expect("an object").clone()
    }

    impl World {
        /// A project with an owner.
        pub(crate) fn new() -> Self {
            let world = Self { rows: vec![], version: 0, is_deleted: false };
            let project = json!({"name": "House", "description": "", "start_date": "2026-03-02", "calendar": null});
            world.with("projects#p", project).with_member(OWNER, 400)
        }

        pub(crate) fn with(mut self, key: &str, columns: Value) -> Self {
            self.version += 1;
            let version = ServerVersion::try_from(self.version).expect("a version");
            let key = key.parse().expect("a key");
            self.rows.push(Row::written(None, key, Write::Put(fields(columns)), version));
            self
        }

        pub(crate) fn with_member(self, name: &str, role: i64) -> Self {
            let key = format!("memberships#{}", membership_id(&project(), &user(name)));
            self.with(&key, json!({"user": name, "role": role}))
        }

        pub(crate) fn with_task(self, id: &str) -> Self {
            let task: shared::domain::Task = parse(&fields(json!({"name": id}))).expect("a task");
            self.with(&format!("tasks#{id}"), serde_json::to_value(task).expect("JSON"))
        }

        pub(crate) fn with_edge(self, id: &str, predecessor: &str, successor: &str) -> Self {
            let edge = json!({"predecessor": predecessor, "successor": successor, "dep_type": "FS", "lag": 0});
            self.with(&format!("dependencies#{id}"), edge)
        }

        /// The same world with its project deleted.
        pub(crate) fn deleted(self) -> Self {
            Self { is_deleted: true, ..self }
        }

        /// The same world with a tombstone without content in place of this row.
        pub(crate) fn erased(mut self, key: &RowKey) -> Self {
            self.version += 1;
            let version = ServerVersion::try_from(self.version).expect("a version");
            let row = self.rows.iter_mut().find(|row| row.key == *key).expect("a row");
            *row = Row::written(Some(row), key.clone(), Write::Delete, version).erased();
            self
        }

        pub(crate) fn draft(&self) -> Draft {
            self.draft_with_room(90)
        }

        pub(crate) fn draft_with_room(&self, room: usize) -> Draft {
            let current = ServerVersion::try_from(self.version).expect("a version");
            let counter = Counter { deleted_at: self.is_deleted.then_some(current), ..Counter::at(current) };
            let listed: HashSet<_> = Collection::ALL.into();
            Draft::new(project(), Some(counter), HashMap::new(), listed, self.rows.clone(), room)
        }
    }

    /// The keys that a draft writes, in the order of their versions.
    pub(crate) fn written(draft: &Draft) -> Vec<String> {
        draft.planned_writes().expect("planned writes").iter().map(|planned| planned.row.key.to_string()).collect()
    }

    /// The fields that a refusal names.
    pub(crate) fn refused_fields<T: std::fmt::Debug>(result: Result<T, Error>) -> Vec<String> {
        match result {
            Err(Error::Invalid(errors)) => errors.into_iter().map(|error| error.field).collect(),
            other => panic!("not refused: {other:?}"),
        }
    }
}
