//! The decisions that all resources share, as pure functions over what was read.

use shared::domain::{
    Columns, Counter, Draft, Error, FieldError, ProjectId, Resource, Role, RowId, RowKey, Standing, Step, UserId,
    concurrent_changes, parse, patched,
};
use shared::http::{BaseVersion, IfMatch};
use shared::storage::Look;

/// What a resource's rows must obey beyond their own fields.
pub(crate) trait Rules: Resource {
    /// At least this role may create, change and delete.
    const WRITER: Role;

    /// The fields of a creation with those defaults that depend on other fields or on the day.
    fn complete(fields: Columns) -> Columns {
        fields
    }

    /// The fields of a change with those that follow from them.
    fn complete_change(fields: Columns) -> Columns {
        fields
    }

    /// Looks also at what a row with these fields refers to.
    fn look_for_write(look: Look, project: &ProjectId, fields: &Columns) -> Look;

    /// Looks also at what deleting a row may affect.
    fn look_for_delete(look: Look, project: &ProjectId) -> Look;

    /// Refuses the row if it does not fit the others; `before` is what it was.
    fn accept(&self, id: &RowId, before: Option<&Self>, draft: &Draft) -> Result<(), Error>;

    /// Drafts the tombstones that deleting the row takes, its own included, or refuses.
    fn delete(id: &RowId, draft: &mut Draft) -> Result<Step<()>, Error>;
}

/// What a creation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Creation {
    /// A new row.
    Created,
    /// The same row was there already: the request was sent again.
    Repeated,
}

/// A new row with the client's id or the server's.
///
/// The same id again: `Repeated` when every field that is named has that value, `IdTaken` otherwise, `IdDeleted` when the
/// row is dead.
pub(crate) fn create<R: Rules>(
    draft: &mut Draft,
    caller: &UserId,
    id: &RowId,
    fields: &Columns,
) -> Result<Step<Creation>, Error> {
    draft.authorize(caller, R::WRITER)?;
    let key = RowKey::new(R::COLLECTION, id.clone());
    match draft.standing(&key) {
        Standing::Absent => {}
        Standing::Live(columns) => return repeated::<R>(&key, Some(columns), fields),
        Standing::Dead => return repeated::<R>(&key, None, fields),
    }
    let resource: R = parse(&R::complete(fields.clone()))?;
    resource.accept(id, None, draft)?;
    draft.put(id.clone(), &resource)?;
    Ok(Step::Last(Creation::Created))
}

/// The answer to a creation whose id is there, with these columns if it is live.
pub(crate) fn repeated<R: Resource>(
    key: &RowKey,
    live: Option<&Columns>,
    fields: &Columns,
) -> Result<Step<Creation>, Error> {
    let Some(columns) = live else { return Err(Error::IdDeleted(key.clone())) };
    // Compared as the resource reads them: 8 hours are 8.0, and what is left out inside a field has its default.
    match patched::<R>(columns, fields) {
        Ok(again) if !again.changes => Ok(Step::Last(Creation::Repeated)),
        _ => Err(Error::IdTaken(key.clone())),
    }
}

/// The row with some fields changed; nothing is written when they all have their values already. With the fields that
/// others changed since `base`, see [`check_base`].
pub(crate) fn update<R: Rules>(
    draft: &mut Draft,
    caller: &UserId,
    id: &RowId,
    patch: &Columns,
    if_match: &IfMatch,
    base: BaseVersion,
) -> Result<Step<Vec<String>>, Error> {
    draft.authorize(caller, R::WRITER)?;
    let key = RowKey::new(R::COLLECTION, id.clone());
    let columns = draft.expect_live(&key)?.clone();
    check_version(draft, &key, if_match)?;
    let merged = check_base(draft, &key, base, patch)?;
    let row = patched::<R>(&columns, &R::complete_change(patch.clone()))?;
    if row.changes {
        row.after.accept(id, Some(&row.before), draft)?;
        draft.put_keeping(id.clone(), &row.after, &row.kept)?;
    }
    Ok(Step::Last(merged))
}

/// A tombstone for the row and for what goes with it; again: nothing.
pub(crate) fn delete<R: Rules>(
    draft: &mut Draft,
    caller: &UserId,
    id: &RowId,
    if_match: &IfMatch,
) -> Result<Step<()>, Error> {
    draft.authorize(caller, R::WRITER)?;
    let key = RowKey::new(R::COLLECTION, id.clone());
    match draft.standing(&key) {
        Standing::Live(_) => {}
        Standing::Absent => return Err(Error::NotFound(key)),
        Standing::Dead => return Ok(Step::Last(())),
    }
    check_version(draft, &key, if_match)?;
    R::delete(id, draft)
}

/// `Stale`, with the row as it was read, unless that is at a version that the caller named.
pub(crate) fn check_version(draft: &Draft, key: &RowKey, if_match: &IfMatch) -> Result<(), Error> {
    match draft.row(key) {
        Some(row) if !if_match.allows(row.version) => {
            Err(Error::Stale { version: row.version, row: row.rest_json(draft.project()) })
        }
        _ => Ok(()),
    }
}

/// The fields that others changed since the version that a patch was made on, if it names one, and that it leaves alone; or
/// the conflict, see [`concurrent_changes`].
pub(crate) fn check_base(
    draft: &Draft,
    key: &RowKey,
    BaseVersion(base): BaseVersion,
    patch: &Columns,
) -> Result<Vec<String>, Error> {
    match (base, draft.row(key), draft.live(key)) {
        (Some(base), Some(row), Some(columns)) => {
            let restored_through = draft.counter().map_or(0, Counter::restored_through);
            concurrent_changes(row, columns, base, restored_through, patch, || row.rest_json(draft.project()))
        }
        _ => Ok(vec![]),
    }
}

/// One field that does not fit the other rows.
pub(crate) fn refuse(field: &str, message: &str) -> Error {
    Error::Invalid(vec![FieldError { field: field.to_owned(), message: message.to_owned() }])
}

/// The row that a field names, if it is one that could.
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
    use shared::domain::{Collection, Row, ServerVersion, Write, membership_id};

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

        /// … whose project is deleted.
        pub(crate) fn deleted(self) -> Self {
            Self { is_deleted: true, ..self }
        }

        /// … with a tombstone without content in the place of this row.
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
        draft.plan().expect("a plan").iter().map(|planned| planned.row.key.to_string()).collect()
    }

    /// The fields that a refusal names.
    pub(crate) fn refused_fields<T: std::fmt::Debug>(result: Result<T, Error>) -> Vec<String> {
        match result {
            Err(Error::Invalid(errors)) => errors.into_iter().map(|error| error.field).collect(),
            other => panic!("not refused: {other:?}"),
        }
    }
}
