//! Descriptions of the columns, for both the OpenAPI document and the TypeScript file.
//!
//! Names, required fields and defaults come from the domain. Types and limits are repeated here, because the domain has them only
//! as code. Tests send each limit, and the first value beyond it, through the product.

use serde_json::{Value, json};
use shared::domain::{
    Calendar, Collection, Columns, Dependency, Error, Membership, Project, ProjectId, Resource, Role, Row, RowId,
    RowKey, ServerVersion, Task, UserId, Write, membership_id, parse,
};

/// One column of a collection's rows.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) nullable: bool,
    /// Its description, one sentence.
    pub(super) about: &'static str,
    pub(super) example: Value,
}

/// The type of a column's values.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A text with a minimum and maximum number of characters. If `min` is not 0, it must not be blank.
    Text {
        min: usize,
        max: usize,
    },
    Id,
    User,
    Date,
    OutlinePath,
    Integer {
        min: i64,
        max: i64,
    },
    Hours,
    Boolean,
    OneOf(&'static [&'static str]),
    Role,
    TimeZone,
    /// An array. REST has it as an array, and a device as JSON text.
    Exceptions,
}

/// The name of one row of a collection.
pub(super) fn singular(collection: Collection) -> &'static str {
    match collection {
        Collection::Projects => "Project",
        Collection::Tasks => "Task",
        Collection::Dependencies => "Dependency",
        Collection::Calendars => "Calendar",
        Collection::Memberships => "Membership",
    }
}

fn column(name: &'static str, kind: Kind, example: impl Into<Value>, about: &'static str) -> Column {
    Column { name, kind, nullable: false, about, example: example.into() }
}

fn nullable(name: &'static str, kind: Kind, example: impl Into<Value>, about: &'static str) -> Column {
    Column { nullable: true, ..column(name, kind, example, about) }
}

/// The columns except `id`, `server_version` and `project`, in the domain's order. The examples are rows of the demo.
pub(super) fn columns(collection: Collection) -> Vec<Column> {
    use Kind::{Boolean, Date, Exceptions, Hours, Id, Integer, OneOf, OutlinePath, Role, Text, TimeZone, User};
    let days = Integer { min: 0, max: 36_525 };
    match collection {
        Collection::Projects => vec![
            column("name", Text { min: 1, max: 255 }, "House by the lake", "The project's name."),
            column(
                "description",
                Text { min: 0, max: 10_000 },
                "Two storeys, timber frame.",
                "The project's description.",
            ),
            column("start_date", Date, "2026-03-02", "The project's first day. The default is today."),
            nullable("calendar", Id, "site", "Id of the project's calendar: a live calendar of this project."),
        ],
        Collection::Tasks => vec![
            column("name", Text { min: 1, max: 512 }, "Foundation slab", "The task's name."),
            nullable(
                "wbs_path",
                OutlinePath,
                "2.2",
                "Position in the outline (work breakdown structure), such as 1.2.3.",
            ),
            column("duration", days, 6, "Duration in working days. 0 exactly if `is_milestone` is true."),
            column("percent_complete", Integer { min: 0, max: 100 }, 60, "Percentage of the work that is done."),
            column("notes", Text { min: 0, max: 50_000 }, "Concrete needs a week above 5 °C.", "Free text."),
            nullable("planned_start", Date, "2026-04-10", "The day on which the task is planned to start."),
            column(
                "status",
                OneOf(&["BACKLOG", "NOT_STARTED", "IN_PROGRESS", "REVIEW", "COMPLETE", "ON_HOLD"]),
                "IN_PROGRESS",
                "The task's status.",
            ),
            column(
                "is_milestone",
                Boolean,
                false,
                "Whether the task is a point in time. True exactly if `duration` is 0.",
            ),
            nullable(
                "assignee",
                User,
                "mia",
                "User id of the member who does the task. It stays when the member leaves the project.",
            ),
            nullable(
                "optimistic_duration",
                days,
                5,
                "Optimistic estimate in working days, at most `most_likely_duration`.",
            ),
            nullable("most_likely_duration", days, 6, "Most likely estimate in working days."),
            nullable(
                "pessimistic_duration",
                days,
                9,
                "Pessimistic estimate in working days, at least `most_likely_duration`.",
            ),
        ],
        Collection::Dependencies => vec![
            column("predecessor", Id, "foundation", "Id of the task that comes first: a live task of the project."),
            column("successor", Id, "frame", "Id of the task that waits: another live task of the project."),
            column(
                "dep_type",
                OneOf(&["FS", "SS", "FF", "SF"]),
                "FS",
                "Finish-to-start, start-to-start, finish-to-finish or start-to-finish, from predecessor to successor.",
            ),
            column(
                "lag",
                Integer { min: -36_525, max: 36_525 },
                7,
                "Working days between predecessor and successor. Negative for an overlap.",
            ),
        ],
        Collection::Calendars => vec![
            column("name", Text { min: 1, max: 255 }, "Site", "The calendar's name."),
            column(
                "working_days",
                Integer { min: 1, max: 127 },
                63,
                "Working days as a bit mask: Monday 1, Tuesday 2, Wednesday 4, … Sunday 64.",
            ),
            column("hours_per_day", Hours, 7.5, "Working hours per working day, with at most two decimal places."),
            column(
                "timezone",
                TimeZone,
                "Europe/Berlin",
                "IANA time zone name, such as Europe/Berlin. Upper and lower case matter.",
            ),
            column(
                "exceptions",
                Exceptions,
                json!([{"start": "2026-08-03", "end": "2026-08-14", "description": "Works holidays"}]),
                "Days on which the usual working hours do not apply, such as holidays.",
            ),
        ],
        Collection::Memberships => vec![
            column("user", User, "mia", "User id (the token's `sub` claim). Immutable."),
            column("role", Role, 100, "Role: 1 Viewer, 100 Member, 200 Scheduler, 300 Admin, 400 Owner."),
        ],
    }
}

/// The required fields of a creation.
pub(super) fn required(collection: Collection) -> &'static [&'static str] {
    match collection {
        Collection::Projects => Project::REQUIRED,
        Collection::Tasks => Task::REQUIRED,
        Collection::Dependencies => Dependency::REQUIRED,
        Collection::Calendars => Calendar::REQUIRED,
        Collection::Memberships => Membership::REQUIRED,
    }
}

/// The roles, lowest first.
pub(super) fn roles() -> impl Iterator<Item = (i64, String)> {
    Role::ALL.into_iter().map(|role| (role.into(), format!("{role:?}")))
}

/// The columns of the example row.
pub(super) fn example(collection: Collection) -> Columns {
    columns(collection).into_iter().map(|column| (column.name.to_owned(), column.example)).collect()
}

/// The defaults of the optional fields of a creation. A project's `start_date` is not among them: its default is today.
pub(super) fn defaults(collection: Collection) -> Result<Columns, Error> {
    let named = |name: &str| required(collection).contains(&name) || name == "start_date";
    let mut named_columns = example(collection);
    named_columns.retain(|name, _| named(name));
    let mut all = complete(collection, &named_columns)?;
    all.retain(|name, _| !named(name));
    Ok(all)
}

/// All columns of a row that is created with `columns`, as the domain reads and writes them.
fn complete(collection: Collection, columns: &Columns) -> Result<Columns, Error> {
    fn of<R: Resource>(columns: &Columns) -> Result<Columns, Error> {
        match serde_json::to_value(parse::<R>(columns)?) {
            Ok(Value::Object(columns)) => Ok(columns),
            _ => Err(Error::Corrupt("a row that is no JSON object".to_owned())),
        }
    }
    match collection {
        Collection::Projects => of::<Project>(columns),
        Collection::Tasks => of::<Task>(columns),
        Collection::Dependencies => of::<Dependency>(columns),
        Collection::Calendars => of::<Calendar>(columns),
        Collection::Memberships => of::<Membership>(columns),
    }
}

/// The place of an example row.
pub(super) struct Place {
    project: ProjectId,
    /// Its id.
    pub(super) id: RowId,
}

/// The place of a collection's example row in the demo's project.
pub(super) fn place(collection: Collection) -> Result<Place, Error> {
    let corrupt = |error: shared::domain::InvalidId| Error::Corrupt(error.to_string());
    let project: ProjectId = crate::EXAMPLE_PROJECT.parse().map_err(corrupt)?;
    let id = match collection {
        Collection::Projects => project.row_id(),
        Collection::Tasks => "foundation".parse().map_err(corrupt)?,
        Collection::Dependencies => "foundation-frame-FS".parse().map_err(corrupt)?,
        Collection::Calendars => "site".parse().map_err(corrupt)?,
        Collection::Memberships => {
            let user: UserId = "mia".parse().map_err(corrupt)?;
            membership_id(&project, &user)
        }
    };
    Ok(Place { project, id })
}

/// The example row, first as REST shows it, then as a device gets it.
pub(super) fn example_row(collection: Collection) -> Result<(Value, Value), Error> {
    let Place { project, id } = place(collection)?;
    let version = ServerVersion::FIRST.plus(collection as u64).map_err(|error| Error::Corrupt(error.to_string()))?;
    let columns = complete(collection, &example(collection))?;
    let row = Row::written(None, RowKey::new(collection, id), Write::Put(columns), version);
    let value = |text: String| serde_json::from_str(&text).map_err(|error| Error::Corrupt(error.to_string()));
    Ok((value(row.rest_json(&project))?, value(row.device_json(&project))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_those_of_the_domain_in_its_order() {
        for collection in Collection::ALL {
            let names: Vec<_> = columns(collection).iter().map(|column| column.name).collect();
            assert_eq!(names, collection.columns());
        }
    }

    #[test]
    fn a_column_takes_null_exactly_when_it_is_nullable() {
        for collection in Collection::ALL {
            for column in columns(collection) {
                let mut row = example(collection);
                row.insert(column.name.to_owned(), Value::Null);
                let taken = complete(collection, &row).is_ok_and(|row| row[column.name].is_null());
                assert_eq!(taken, column.nullable, "{}.{}", collection.name(), column.name);
            }
        }
    }

    #[test]
    fn every_value_that_the_domain_lets_choose_from_is_named() {
        for (collection, name) in [(Collection::Tasks, "status"), (Collection::Dependencies, "dep_type")] {
            let Some(Kind::OneOf(values)) = columns(collection).iter().find(|c| c.name == name).map(|c| c.kind) else {
                panic!("{name} is no choice");
            };
            let mut row = example(collection);
            row.insert(name.to_owned(), json!("?"));
            let Err(Error::Invalid(refused)) = complete(collection, &row) else { panic!("{name} took ?") };
            let listed: Vec<&str> = refused[0].message.split('`').skip(1).step_by(2).collect();
            assert_eq!(listed, values, "{}", refused[0].message);
        }
    }
}
