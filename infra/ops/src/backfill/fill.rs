//! Finds the rows that lack a column, and drafts their new content.

use shared::domain::{
    Calendar, Collection, Columns, Dependency, Draft, Error, Membership, Patched, Project, Resource, Row, RowKey, Task,
    patched,
};

/// The result of drafting.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Filled {
    /// The number of rows that are written.
    pub(super) rows: usize,
    /// The rows for which there is no default, each with the reason.
    pub(super) left: Vec<(RowKey, String)>,
}

/// Whether the row is live and lacks a column of its collection.
pub(super) fn lacks_a_column(row: &Row) -> bool {
    let lacks = |column: &&str| !row.columns().contains_key(*column);
    row.live().is_some() && row.key.collection.columns().iter().any(lacks)
}

/// Drafts the rows that lack a column, with the defaults. Drafts nothing if the project was deleted.
pub(super) fn fill(draft: &mut Draft, keys: &[RowKey]) -> Result<Filled, Error> {
    let mut filled = Filled::default();
    if draft.counter().is_none_or(|counter| counter.deleted_at.is_some()) {
        return Ok(filled);
    }
    for key in keys {
        if !draft.row(key).is_some_and(lacks_a_column) {
            continue;
        }
        let Some(collection) = key.collection.known() else { continue };
        let put = match collection {
            Collection::Projects => put::<Project>(draft, key),
            Collection::Tasks => put::<Task>(draft, key),
            Collection::Dependencies => put::<Dependency>(draft, key),
            Collection::Calendars => put::<Calendar>(draft, key),
            Collection::Memberships => put::<Membership>(draft, key),
        };
        match put {
            Ok(()) => filled.rows += 1,
            Err(Error::Invalid(errors)) => {
                let faults: Vec<_> = errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
                filled.left.push((key.clone(), faults.join("; ")));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn put<R: Resource>(draft: &mut Draft, key: &RowKey) -> Result<(), Error> {
    let columns = draft.expect_live(key)?.clone();
    let Patched { after, kept, .. } = patched::<R>(&columns, &Columns::new())?;
    draft.put_keeping(key.id.clone(), &after, &kept)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shared::domain::{Counter, ServerVersion, Write};

    use super::*;

    fn key(text: &str) -> RowKey {
        text.parse().expect("a key")
    }

    fn version(number: u64) -> ServerVersion {
        ServerVersion::try_from(number).expect("a version")
    }

    fn row(entity: &str, at: u64, columns: Value) -> Row {
        let put = Write::Put(columns.as_object().expect("columns").clone());
        Row::written(None, key(entity), put, version(at))
    }

    fn task(without: &str) -> Value {
        let mut task = json!({"name": "Dig", "wbs_path": "1.2", "duration": 3, "percent_complete": 40, "notes": "deep",
            "planned_start": null, "status": "REVIEW", "is_milestone": false, "assignee": "mia",
            "optimistic_duration": null, "most_likely_duration": null, "pessimistic_duration": null});
        task.as_object_mut().expect("columns").remove(without);
        task
    }

    fn draft(rows: &[Row], deleted_at: Option<ServerVersion>) -> Draft {
        let counter = Counter { deleted_at, ..Counter::at(version(50)) };
        let read = rows.iter().map(|row| (row.key.clone(), Some(row.clone())));
        let read = read.chain([(key("tasks#gone"), None)]).collect();
        Draft::new("p".parse().expect("a project"), Some(counter), read, [].into(), vec![], 90)
    }

    fn keys(rows: &[Row]) -> Vec<RowKey> {
        rows.iter().map(|row| row.key.clone()).chain([key("tasks#gone")]).collect()
    }

    #[test]
    fn only_live_rows_that_lack_a_column_are_written_and_with_the_default() {
        let lacking = row("tasks#dead", 2, task("notes"));
        let dead = Row::written(Some(&lacking), lacking.key.clone(), Write::Delete, version(3));
        let rows = [
            row("tasks#whole", 1, task("")),
            dead,
            row("tasks#old", 4, task("notes")),
            row("tasks#older", 5, task("duration")),
            row("dependencies#e", 6, json!({"predecessor": "a", "successor": "b", "dep_type": "SS"})),
            row("projects#p", 7, json!({"name": "House", "start_date": "2026-03-02", "calendar": "site"})),
        ];
        let mut draft = draft(&rows, None);
        assert_eq!(fill(&mut draft, &keys(&rows)).expect("a draft"), Filled { rows: 4, left: vec![] });
        let plan = draft.planned_writes().expect("planned writes");
        let written = |entity: &str| {
            let planned = plan.iter().find(|planned| planned.row.key == key(entity)).expect("a write");
            assert!(planned.row.version > version(50));
            Value::Object(planned.row.live().expect("a live row").clone())
        };
        assert_eq!(plan.len(), 4);
        let with = |mut row: Value, column: &str, value: Value| {
            row[column] = value;
            row
        };
        assert_eq!(written("tasks#old"), with(task(""), "notes", "".into()));
        assert_eq!(written("tasks#older"), with(task(""), "duration", 1.into()));
        assert_eq!(written("dependencies#e")["lag"], 0);
        assert_eq!(written("dependencies#e")["dep_type"], "SS");
        assert_eq!(written("projects#p")["description"], "");
        assert_eq!(written("projects#p")["calendar"], "site");
    }

    #[test]
    fn a_row_without_a_default_is_left_and_the_others_are_not() {
        let rows = [row("tasks#nameless", 1, task("name")), row("tasks#old", 2, task("notes"))];
        let mut draft = draft(&rows, None);
        let left = vec![(key("tasks#nameless"), "name: is required".to_owned())];
        assert_eq!(fill(&mut draft, &keys(&rows)).expect("a draft"), Filled { rows: 1, left });
        assert_eq!(draft.planned_writes().expect("planned writes").len(), 1);
    }

    #[test]
    fn a_deleted_project_is_left_alone() {
        let rows = [row("tasks#old", 2, task("notes"))];
        let mut draft = draft(&rows, Some(version(9)));
        assert_eq!(fill(&mut draft, &keys(&rows)).expect("a draft"), Filled::default());
        assert_eq!(draft.rows_written(), 0);
    }
}
