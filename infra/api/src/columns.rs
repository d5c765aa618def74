//! What the columns of rows are, for the OpenAPI document and the TypeScript file alike.
//!
//! Names, required fields and defaults are asked of the domain. Types and limits are said once more here, since the domain
//! has them as code: the tests send each limit and the value behind it through the product.

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
    /// What it is, in a sentence.
    pub(super) about: &'static str,
    pub(super) example: Value,
}

/// What a column holds.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A text of so many characters; where there have to be some, not all of them blank.
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
    /// An array in REST, its JSON text on a device.
    Exceptions,
}

/// What a row of a collection is called.
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

/// The columns beside `id`, `server_version` and `project`, in the domain's order. The examples are rows of the demo.
pub(super) fn columns(collection: Collection) -> Vec<Column> {
    use Kind::{Boolean, Date, Exceptions, Hours, Id, Integer, OneOf, OutlinePath, Role, Text, TimeZone, User};
    let days = Integer { min: 0, max: 36_525 };
    match collection {
        Collection::Projects => vec![
            column("name", Text { min: 1, max: 255 }, "House by the lake", "Name of the project."),
            column(
                "description",
                Text { min: 0, max: 10_000 },
                "Two storeys, timber frame.",
                "Description of the project.",
            ),
            column("start_date", Date, "2026-03-02", "Start date of the project."),
            nullable("calendar", Id, "site", "Id of the project's calendar, one of its own."),
        ],
        Collection::Tasks => vec![
            column("name", Text { min: 1, max: 512 }, "Foundation slab", "Name of the task."),
            nullable(
                "wbs_path",
                OutlinePath,
                "2.2",
                "Position in the outline (work breakdown structure), such as 1.2.3.",
            ),
            column("duration", days, 6, "Working days. 0 exactly if `is_milestone` is true."),
            column("percent_complete", Integer { min: 0, max: 100 }, 60, "Progress in percent."),
            column("notes", Text { min: 0, max: 50_000 }, "Concrete needs a week above 5 °C.", "Free text."),
            nullable("planned_start", Date, "2026-04-10", "Planned start date."),
            column(
                "status",
                OneOf(&["BACKLOG", "NOT_STARTED", "IN_PROGRESS", "REVIEW", "COMPLETE", "ON_HOLD"]),
                "IN_PROGRESS",
                "Status of the work.",
            ),
            column("is_milestone", Boolean, false, "True exactly if `duration` is 0."),
            nullable(
                "assignee",
                User,
                "mia",
                "User id of the assignee, who must be a member when the task is assigned.",
            ),
            nullable("optimistic_duration", days, 5, "Working days at best. Not above `most_likely_duration`."),
            nullable("most_likely_duration", days, 6, "Working days, most likely."),
            nullable("pessimistic_duration", days, 9, "Working days at worst. Not below `most_likely_duration`."),
        ],
        Collection::Dependencies => vec![
            column("predecessor", Id, "foundation", "Id of the task that comes first: a live task of the project."),
            column("successor", Id, "frame", "Id of the task that waits: another live task of the project."),
            column(
                "dep_type",
                OneOf(&["FS", "SS", "FF", "SF"]),
                "FS",
                "From finish or start of the predecessor to start or finish of the successor.",
            ),
            column("lag", Integer { min: -36_525, max: 36_525 }, 7, "Working days between the two tasks."),
        ],
        Collection::Calendars => vec![
            column("name", Text { min: 1, max: 255 }, "Site", "Name of the calendar."),
            column(
                "working_days",
                Integer { min: 1, max: 127 },
                63,
                "Working days as bits: Monday 1, Tuesday 2, Wednesday 4, … Sunday 64.",
            ),
            column("hours_per_day", Hours, 7.5, "Working hours of a working day, with at most two decimals."),
            column("timezone", TimeZone, "Europe/Berlin", "Name from the IANA time zone database, spelled as there."),
            column(
                "exceptions",
                Exceptions,
                json!([{"start": "2026-08-03", "end": "2026-08-14", "description": "Works holidays"}]),
                "Days without regular working hours, such as holidays.",
            ),
        ],
        Collection::Memberships => vec![
            column("user", User, "mia", "User id: the `sub` of the member's token. Immutable."),
            column("role", Role, 100, "Role: 1 Viewer, 100 Member, 200 Scheduler, 300 Admin, 400 Owner."),
        ],
    }
}

/// The fields that a creation must name.
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

/// What the fields are that a creation leaves out. A project's `start_date` is the day, and not among them.
pub(super) fn defaults(collection: Collection) -> Result<Columns, Error> {
    let named = |name: &str| required(collection).contains(&name) || name == "start_date";
    let mut named_columns = example(collection);
    named_columns.retain(|name, _| named(name));
    let mut all = complete(collection, &named_columns)?;
    all.retain(|name, _| !named(name));
    Ok(all)
}

/// All columns of a row that is made with these, as the domain reads and writes them.
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

/// Where the example row is.
pub(super) struct Place {
    project: ProjectId,
    /// Its id.
    pub(super) id: RowId,
}

/// Where the example row of a collection is: in the demo's project.
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

/// The example row, as REST shows it and as a device gets it.
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
