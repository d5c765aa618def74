//! Rows as the table keeps them and as a device gets them.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::{
    Calendar, Changed, Checksums, Dependency, Membership, Project, ProjectId, Resource, RowId, ServerVersion,
    Superseded, Task, UserId, membership_id,
};

/// The columns of a row without `id`, `server_version` and `project`, nested values as JSON.
pub type Columns = Map<String, Value>;

/// One of the five tables of the device's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Collection {
    /// The project itself: one row, with the project's id.
    Projects,
    /// What is to be done.
    Tasks,
    /// Which task waits for which.
    Dependencies,
    /// When work is done.
    Calendars,
    /// Who may do what.
    Memberships,
}

impl Collection {
    /// All of them, in the order of the sync response.
    pub const ALL: [Self; 5] = [Self::Projects, Self::Tasks, Self::Dependencies, Self::Calendars, Self::Memberships];

    /// The name in URLs, keys and the sync response.
    pub fn name(self) -> &'static str {
        match self {
            Self::Projects => "projects",
            Self::Tasks => "tasks",
            Self::Dependencies => "dependencies",
            Self::Calendars => "calendars",
            Self::Memberships => "memberships",
        }
    }

    /// The columns beside `id`, `server_version` and `project`, in the order they were introduced.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Projects => Project::COLUMNS,
            Self::Tasks => Task::COLUMNS,
            Self::Dependencies => Dependency::COLUMNS,
            Self::Calendars => Calendar::COLUMNS,
            Self::Memberships => Membership::COLUMNS,
        }
    }

    /// Is this a column of the rows that devices get?
    pub fn sends(self, column: &str) -> bool {
        column == "server_version"
            || (column == "project" && self != Self::Projects)
            || self.columns().contains(&column)
    }
}

/// A text that names no collection, or no row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no row")]
pub struct InvalidKey(String);

impl FromStr for Collection {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        Self::ALL.into_iter().find(|c| c.name() == text).ok_or_else(|| InvalidKey(text.to_owned()))
    }
}

/// Which row of a project: `tasks#<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey {
    /// The collection the row is in.
    pub collection: Collection,
    /// The row's id in the collection.
    pub id: RowId,
}

impl RowKey {
    /// The key of a row.
    pub fn new(collection: Collection, id: RowId) -> Self {
        Self { collection, id }
    }

    /// The key of the project's own row.
    pub fn project(project: &ProjectId) -> Self {
        Self::new(Collection::Projects, project.row_id())
    }

    /// The key of a user's membership.
    pub fn membership(project: &ProjectId, user: &UserId) -> Self {
        Self::new(Collection::Memberships, membership_id(project, user))
    }
}

impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.collection.name(), self.id)
    }
}

impl FromStr for RowKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let invalid = || InvalidKey(text.to_owned());
        let (collection, id) = text.split_once('#').ok_or_else(invalid)?;
        Ok(Self { collection: collection.parse()?, id: id.parse().map_err(|_| invalid())? })
    }
}

/// A row's content, or its last one.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// The row is there.
    Live(Columns),
    /// The row is soft-deleted: a tombstone that keeps the last content.
    Dead(Columns),
}

/// What a commit does to one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// The row shall be there with these columns.
    Put(Columns),
    /// The row shall be a tombstone.
    Delete,
    /// A row that is not there shall be a tombstone with this content, its last one elsewhere.
    Bury(Columns),
}

impl Write {
    /// Among the writes of one commit, those with a lower rank take the lower versions.
    ///
    /// So no reference dangles at any version: an edge's tombstone comes before its task's, a task before the edges that
    /// name it, a calendar before the project that uses it.
    pub fn rank(&self, collection: Collection) -> u8 {
        match (self, collection) {
            (Self::Delete | Self::Bury(_), Collection::Dependencies) => 0,
            (Self::Put(_), Collection::Calendars) => 1,
            (Self::Put(_), Collection::Projects) => 2,
            (Self::Put(_), Collection::Memberships) => 3,
            (Self::Put(_), Collection::Tasks) => 4,
            (Self::Put(_), Collection::Dependencies) => 5,
            (Self::Delete | Self::Bury(_), _) => 6,
        }
    }
}

/// One row with the bookkeeping that proofs and merges rely on.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which row.
    pub key: RowKey,
    /// The version of its last write.
    pub version: ServerVersion,
    /// How many versions it ever held, the current one included.
    pub writes: u64,
    /// The versions it held before.
    pub superseded: Superseded,
    /// Every version from here on that the list does not name is archived. None: from the list's floor on, of which it names all.
    pub archived_from: Option<u64>,
    /// Which version last changed each column.
    pub changed: Changed,
    /// Its content.
    pub state: State,
    /// On a membership: the versions at which it was removed, oldest first.
    pub removed_at: Vec<ServerVersion>,
}

impl Row {
    /// The row after a write at `version`; `old` is the row before, if there was one.
    ///
    /// Deleting what never was is a tombstone without content.
    pub fn written(old: Option<&Self>, key: RowKey, write: Write, version: ServerVersion) -> Self {
        Self::written_within(old, key, write, version, Superseded::MAX_BYTES)
    }

    /// The same with another limit for its list of superseded versions than [`Superseded::MAX_BYTES`].
    pub fn written_within(
        old: Option<&Self>,
        key: RowKey,
        write: Write,
        version: ServerVersion,
        max_history_bytes: usize,
    ) -> Self {
        let old_columns = old.map(Self::columns);
        let changed = old.map(|row| row.changed.clone()).unwrap_or_default();
        let mut removed_at = old.map(|row| row.removed_at.clone()).unwrap_or_default();
        let (changed, state) = match write {
            Write::Put(new) => {
                let alive_before = old.and_then(Self::live);
                (changed.after(key.collection.columns(), alive_before, &new, version), State::Live(new))
            }
            Write::Delete => (changed, State::Dead(old_columns.cloned().unwrap_or_default())),
            Write::Bury(last) => (changed, State::Dead(last)),
        };
        if key.collection == Collection::Memberships && matches!(state, State::Dead(_)) {
            removed_at.push(version);
        }
        let superseding = |row: &Self| row.superseded.superseding(row.version, version, max_history_bytes);
        let superseded = old.map(superseding).unwrap_or_default();
        let archives = |row: &Self| superseded.floor() > row.superseded.floor();
        let archived_from =
            old.and_then(|row| row.archived_from.or_else(|| archives(row).then(|| row.superseded.floor())));
        Self {
            key,
            version,
            writes: old.map_or(0, |row| row.writes) + 1,
            superseded,
            archived_from,
            changed,
            state,
            removed_at,
        }
    }

    /// The columns of a live row.
    pub fn live(&self) -> Option<&Columns> {
        match &self.state {
            State::Live(columns) => Some(columns),
            State::Dead(_) => None,
        }
    }

    /// The columns, the last ones if the row is dead.
    pub fn columns(&self) -> &Columns {
        match &self.state {
            State::Live(columns) | State::Dead(columns) => columns,
        }
    }

    /// The row as a device gets it: one flat JSON object with every column, nested values as JSON text.
    ///
    /// Flat, because WatermelonDB stores an array or an object as ''.
    pub fn device_json(&self, project: &ProjectId) -> String {
        json(project, &self.key, self.version, self.columns(), flat)
    }

    /// The row as REST shows it: the same, nested values as JSON.
    pub fn rest_json(&self, project: &ProjectId) -> String {
        json(project, &self.key, self.version, self.columns(), Value::clone)
    }

    /// The most that a row with these columns takes on the table, in bytes: its JSON and what goes with it.
    pub fn size(project: &ProjectId, key: &RowKey, columns: &Columns) -> usize {
        json(project, key, ServerVersion::FIRST, columns, flat).len() + Self::BESIDE_JSON
    }

    /// The most that this row takes on the table, in bytes.
    pub fn stored_size(&self, project: &ProjectId) -> usize {
        Self::size(project, &self.key, self.columns()) + self.removed_at.len() * Self::BYTES_PER_REMOVAL
    }

    /// A version takes up to ten bytes in a list, and one more for its place.
    const BYTES_PER_REMOVAL: usize = 11;

    /// The most that goes with a row's JSON on the table, names and keys included; with a membership's it may be more.
    const BESIDE_JSON: usize = 1024;

    /// The columns back out of [`Row::device_json`].
    pub fn columns_of(collection: Collection, device_json: &str) -> Result<Columns, serde_json::Error> {
        let mut columns: Columns = serde_json::from_str(device_json)?;
        columns.retain(|name, _| collection.columns().contains(&name.as_str()));
        if collection == Collection::Calendars
            && let Some(Value::String(exceptions)) = columns.get("exceptions")
        {
            let exceptions = serde_json::from_str(exceptions)?;
            columns.insert("exceptions".to_owned(), exceptions);
        }
        Ok(columns)
    }
}

fn json(
    project: &ProjectId,
    key: &RowKey,
    version: ServerVersion,
    columns: &Columns,
    render: impl Fn(&Value) -> Value,
) -> String {
    let mut text = format!(r#"{{"id":"{}","server_version":{version}"#, key.id);
    if key.collection != Collection::Projects {
        text.push_str(&format!(r#","project":"{project}""#));
    }
    for column in key.collection.columns() {
        let value = columns.get(*column).unwrap_or(&Value::Null);
        text.push_str(&format!(r#","{column}":{}"#, render(value)));
    }
    text.push('}');
    text
}

/// A nested value as JSON text.
fn flat(value: &Value) -> Value {
    match value {
        Value::Array(_) | Value::Object(_) => Value::String(value.to_string()),
        scalar => scalar.clone(),
    }
}

/// A project's counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// The version of the latest row write.
    pub current: ServerVersion,
    /// The rows of the latest commit, each with its version.
    pub last: Vec<(RowKey, ServerVersion)>,
    /// The version of the commit that deleted the project.
    pub deleted_at: Option<ServerVersion>,
    /// Ranges of versions, both ends included, that no row holds: what a restore could not bring back.
    pub skipped: Vec<(u64, u64)>,
    /// A device with a mark from 1 up to here holds rows that a restore took back, which no delta clears.
    pub resync_through: Option<ServerVersion>,
    /// The checksums of the live rows.
    pub checksums: Checksums,
}

impl Counter {
    /// The counter of a project about which there is nothing else to say.
    pub fn at(current: ServerVersion) -> Self {
        let checksums = Checksums::default();
        Self { current, last: vec![], deleted_at: None, skipped: vec![], resync_through: None, checksums }
    }

    /// The version that the latest restore raised the counter to; 0 when there was no restore.
    ///
    /// A version up to here may have been handed out for content that the restore took back. Every row is above it.
    pub fn restored_through(&self) -> u64 {
        self.skipped.iter().map(|(_, last)| *last).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn version(number: u64) -> ServerVersion {
        ServerVersion::try_from(number).expect("a version")
    }

    fn columns(value: Value) -> Columns {
        value.as_object().expect("an object").clone()
    }

    fn key(text: &str) -> RowKey {
        text.parse().expect("a key")
    }

    #[test]
    fn devices_get_the_version_the_columns_and_but_for_projects_the_project() {
        for collection in Collection::ALL {
            assert!(
                collection.sends("server_version") && collection.columns().iter().all(|name| collection.sends(name))
            );
            assert!(!collection.sends("superseded") && !collection.sends(""));
            assert_eq!(collection.sends("project"), collection != Collection::Projects);
        }
    }

    #[test]
    fn a_key_survives_the_table_and_a_counter_is_no_row() {
        assert_eq!(key("tasks#a-1").to_string(), "tasks#a-1");
        for text in ["_counter", "tasks", "tasks#", "tasks#a/b", "people#1"] {
            assert!(text.parse::<RowKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_collection_sorts_behind_the_counter() {
        assert!(Collection::ALL.iter().all(|c| c.name() >= "a" && "_counter" < "a"));
    }

    #[test]
    fn a_row_counts_its_writes_and_remembers_the_versions_it_held() {
        let put = || Write::Put(columns(json!({"user": "ann", "role": 100})));
        let first = Row::written(None, key("memberships#m"), put(), version(2));
        let removed = Row::written(Some(&first), first.key.clone(), Write::Delete, version(5));
        let back = Row::written(Some(&removed), first.key.clone(), put(), version(9));
        assert_eq!((first.writes, removed.writes, back.writes), (1, 2, 3));
        assert_eq!(back.superseded.versions(), [5, 2]);
        assert_eq!(back.removed_at, [version(5)]);
        assert!(removed.live().is_none() && back.live().is_some());
        assert_eq!(back.changed.version_of(0), Some(9), "a revived row is new in every column");
    }

    #[test]
    fn a_device_gets_a_flat_row_and_rest_gets_the_nested_one() {
        let calendar = json!({
            "name": "Site \"A\"", "working_days": 31, "hours_per_day": 7.5, "timezone": "Europe/Berlin",
            "exceptions": [{"start": "2026-12-24", "end": "2026-12-26", "description": "X-mas"}],
        });
        let row = Row::written(None, key("calendars#c"), Write::Put(columns(calendar.clone())), version(3));
        let project = "p".parse().expect("a project");
        let flat: Value = serde_json::from_str(&row.device_json(&project)).expect("JSON");
        assert!(flat.as_object().expect("an object").values().all(|v| !v.is_array() && !v.is_object()));
        assert_eq!(flat["project"], "p");
        let nested: Value = serde_json::from_str(&row.rest_json(&project)).expect("JSON");
        assert_eq!(nested["exceptions"], calendar["exceptions"]);
        let back = Row::columns_of(Collection::Calendars, &row.device_json(&project)).expect("columns");
        assert_eq!(&back, row.columns());
    }
}
