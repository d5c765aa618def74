//! Rows as the table keeps them and as a device gets them.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::{
    Calendar, ColumnVersions, Dependency, LastWrite, Mark, Membership, Project, ProjectId, Removals, Resource, RowId,
    ServerVersion, Task, UnknownColumns, UserId, VersionHistory, membership_id,
};

/// The columns of a row without `id`, `server_version` and `project`, nested values as JSON.
pub type Columns = Map<String, Value>;

/// One of the five tables of the device's database for which this code has rules. See [`CollectionName`] for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Collection {
    /// The project itself: one row, with the project's id.
    Projects,
    /// What is to be done.
    Tasks,
    /// The order of tasks: which one waits for which.
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

    /// Whether the rows that devices get have this column.
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

/// The name of a collection that this code does not know. A newer version of the code has rows there. It works on the same table
/// during a canary, or did so before a roll-back.
///
/// A name has 1 to 32 characters of `a` to `z` and `_`. It does not begin with `_`, because such a key on the table is no row.
/// The name is stored inline: it takes 32 bytes, and a `String` would take 24 and an allocation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnknownCollection([u8; Self::MAX_LENGTH]);

impl UnknownCollection {
    /// Bytes of the longest name.
    pub const MAX_LENGTH: usize = 32;

    /// The name in keys and the sync response.
    pub fn name(&self) -> &str {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(Self::MAX_LENGTH);
        std::str::from_utf8(&self.0[..length]).unwrap_or_default()
    }
}

impl fmt::Debug for UnknownCollection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The collection that a row is in.
///
/// Rules, columns and ranks belong to [`Collection`], so each of the five has its own. A row of another collection
/// passes through unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CollectionName {
    /// A collection for which this code has rules.
    Known(Collection),
    /// A collection of a newer version of the code.
    Unknown(UnknownCollection),
}

impl CollectionName {
    /// The name in keys and the sync response.
    pub fn name(&self) -> &str {
        match self {
            Self::Known(collection) => collection.name(),
            Self::Unknown(unknown) => unknown.name(),
        }
    }

    /// The columns that this code knows, see [`Collection::columns`]. It knows none of an unknown collection.
    pub fn columns(self) -> &'static [&'static str] {
        self.known().map_or(&[], Collection::columns)
    }

    /// The collection, if this code has rules for it.
    pub fn known(self) -> Option<Collection> {
        match self {
            Self::Known(collection) => Some(collection),
            Self::Unknown(_) => None,
        }
    }
}

impl From<Collection> for CollectionName {
    fn from(collection: Collection) -> Self {
        Self::Known(collection)
    }
}

impl PartialEq<Collection> for CollectionName {
    fn eq(&self, other: &Collection) -> bool {
        *self == Self::Known(*other)
    }
}

impl FromStr for CollectionName {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        if let Ok(known) = text.parse() {
            return Ok(Self::Known(known));
        }
        let is_name = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') && !text.starts_with('_');
        if !is_name || !(1..=UnknownCollection::MAX_LENGTH).contains(&text.len()) {
            return Err(InvalidKey(text.to_owned()));
        }
        let mut name = [0; UnknownCollection::MAX_LENGTH];
        name[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self::Unknown(UnknownCollection(name)))
    }
}

/// The key of a row in its project, such as `tasks#<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey {
    /// The collection the row is in.
    pub collection: CollectionName,
    /// The row's id in the collection.
    pub id: RowId,
}

impl RowKey {
    /// The key of a row.
    pub fn new(collection: impl Into<CollectionName>, id: RowId) -> Self {
        Self { collection: collection.into(), id }
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

/// The content of a row, or the last content of a tombstone.
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
    /// A row that is not live shall be a tombstone with this content, which is the row's last content in a lost table. What is
    /// known of earlier removals is forgotten, because a member of the lost table may know everything up to now.
    Bury(Columns, UnknownColumns),
}

impl Write {
    /// The rank of a write. Among the writes of one commit, those with a lower rank take the lower versions.
    ///
    /// So no reference dangles at any version: an edge's tombstone comes before its task's, a task before the edges that
    /// name it, a calendar before the project that uses it.
    ///
    /// Only a restore writes rows of a collection that this code does not know, each unchanged. Such a row likely
    /// refers to rows of the five collections, and none of these refers to it. So it comes after all of them when it is
    /// put, and before all of them as a tombstone. The order among unknown collections cannot be known.
    pub fn rank(&self, collection: CollectionName) -> u8 {
        let CollectionName::Known(collection) = collection else {
            return if matches!(self, Self::Put(_)) { 8 } else { 0 };
        };
        match (self, collection) {
            (Self::Delete | Self::Bury(..), Collection::Dependencies) => 1,
            (Self::Put(_), Collection::Calendars) => 2,
            (Self::Put(_), Collection::Projects) => 3,
            (Self::Put(_), Collection::Memberships) => 4,
            (Self::Put(_), Collection::Tasks) => 5,
            (Self::Put(_), Collection::Dependencies) => 6,
            (Self::Delete | Self::Bury(..), _) => 7,
        }
    }
}

/// One row with the bookkeeping that proofs and merges rely on.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The key of the row.
    pub key: RowKey,
    /// The version of its last write.
    pub version: ServerVersion,
    /// How many versions it ever held, the current one included.
    pub revision_count: u64,
    /// The versions it held before.
    pub history: VersionHistory,
    /// Every version above it that the history does not name is archived. None: nothing of the history was archived.
    pub archived_above: Option<Mark>,
    /// For each column, the version that last changed it.
    pub column_versions: ColumnVersions,
    /// Its content.
    pub state: State,
    /// The columns that a newer version of this code gave it.
    pub unknown: UnknownColumns,
    /// The removals of a membership. No other row has any.
    pub removals: Removals,
    /// Who wrote the row last, and when. None if older code did. It stays on the table: no device and no answer of REST
    /// has it.
    pub last_write: Option<LastWrite>,
}

impl Row {
    /// The row after a write at `version`. `old` is the row before, if there was one.
    ///
    /// Deleting a row that never existed makes a tombstone without content. Columns that this code does not know stay
    /// unchanged. A row that is revived is the exception: it counts as new, and lacks them like any row that this code
    /// creates. The draft adds the author.
    pub fn written(old: Option<&Self>, key: RowKey, write: Write, version: ServerVersion) -> Self {
        Self::written_within(old, key, write, version, VersionHistory::MAX_BYTES)
    }

    /// The row after a write, with another limit for its version history than [`VersionHistory::MAX_BYTES`].
    pub fn written_within(
        old: Option<&Self>,
        key: RowKey,
        write: Write,
        version: ServerVersion,
        max_history_bytes: usize,
    ) -> Self {
        let old_columns = old.map(Self::columns);
        let column_versions = old.map(|row| row.column_versions.clone()).unwrap_or_default();
        let buried = matches!(write, Write::Bury(..));
        let mut removals = old.filter(|_| !buried).map(|row| row.removals.clone()).unwrap_or_default();
        let unknown = old.map(|row| row.unknown.clone()).unwrap_or_default();
        let (column_versions, state, unknown) = match write {
            Write::Put(new) => {
                let alive_before = old.and_then(Self::live);
                let unknown = alive_before.map(|_| unknown).unwrap_or_default();
                (
                    column_versions.after(key.collection.columns(), alive_before, &new, version),
                    State::Live(new),
                    unknown,
                )
            }
            Write::Delete => (column_versions, State::Dead(old_columns.cloned().unwrap_or_default()), unknown),
            Write::Bury(last, unknown) => (column_versions, State::Dead(last), unknown),
        };
        if key.collection == Collection::Memberships && matches!(state, State::Dead(_)) {
            removals.push(version);
        }
        let superseding = |row: &Self| row.history.superseding(row.version, version, max_history_bytes);
        let history = old.map(superseding).unwrap_or_default();
        let archives = |row: &Self| history.silent_through() > row.history.silent_through();
        let archived_above =
            old.and_then(|row| row.archived_above.or_else(|| archives(row).then(|| row.history.silent_through())));
        Self {
            key,
            version,
            revision_count: old.map_or(0, |row| row.revision_count) + 1,
            history,
            archived_above,
            column_versions,
            state,
            unknown,
            removals,
            last_write: None,
        }
    }

    /// The versions that the row is known to have had, newest first: the current one and those in its history.
    pub fn versions(&self) -> impl Iterator<Item = ServerVersion> {
        std::iter::once(self.version).chain(self.history.versions().iter().copied())
    }

    /// The columns of a live row.
    pub fn live(&self) -> Option<&Columns> {
        match &self.state {
            State::Live(columns) => Some(columns),
            State::Dead(_) => None,
        }
    }

    /// The columns of the row, or the last ones if the row is dead.
    pub fn columns(&self) -> &Columns {
        match &self.state {
            State::Live(columns) | State::Dead(columns) => columns,
        }
    }

    /// The tombstone without its last content. Which row it was, and at which versions, stays.
    #[must_use]
    pub fn erased(self) -> Self {
        Self { state: State::Dead(Columns::new()), unknown: UnknownColumns::default(), ..self }
    }

    /// Whether the row is a tombstone without content.
    pub fn is_erased(&self) -> bool {
        self.live().is_none() && self.unknown.is_empty() && self.columns().values().all(Value::is_null)
    }

    /// The row as a device gets it: one flat JSON object with every column, nested values as JSON text.
    ///
    /// It is flat because WatermelonDB stores an array or an object as ''.
    pub fn device_json(&self, project: &ProjectId) -> String {
        json(project, &self.key, self.version, (self.columns(), &self.unknown), flat)
    }

    /// The row as REST shows it. It is like the device's, but nested values are JSON. Columns that this code does not
    /// know are unchanged.
    pub fn rest_json(&self, project: &ProjectId) -> String {
        json(project, &self.key, self.version, (self.columns(), &self.unknown), Value::clone)
    }

    /// The largest size that a row with these columns has on the table, in bytes, without its [`LastWrite`].
    pub fn size(project: &ProjectId, key: &RowKey, columns: &Columns, unknown: &UnknownColumns) -> usize {
        json(project, key, ServerVersion::FIRST, (columns, unknown), flat).len() + Self::BESIDE_JSON
    }

    /// The largest size that this row has on the table, in bytes.
    pub fn stored_size(&self, project: &ProjectId) -> usize {
        Self::size(project, &self.key, self.columns(), &self.unknown)
            + self.removals.versions().len() * Self::BYTES_PER_REMOVAL
            + self.last_write.as_ref().map_or(0, LastWrite::size)
    }

    /// A version takes up to ten bytes in a list, and one more as an element.
    const BYTES_PER_REMOVAL: usize = 11;

    /// The largest size of what a row has on the table beside its JSON, names and keys included, without its
    /// [`LastWrite`].
    pub(super) const BESIDE_JSON: usize = 1024;

    /// Reads the columns from [`Row::device_json`]: those of the collection, and those that this code does not know.
    pub fn columns_of(
        collection: CollectionName,
        device_json: &str,
    ) -> Result<(Columns, UnknownColumns), serde_json::Error> {
        let mut columns: Columns = serde_json::from_str(device_json)?;
        let of_all = ["id", "server_version", "project"];
        let is_known = |name: &str| of_all.contains(&name) || collection.columns().contains(&name);
        // Only the few rows that have unknown columns are read a second time.
        let unknown = match columns.keys().any(|name| !is_known(name)) {
            true => UnknownColumns::of(device_json, is_known)?,
            false => UnknownColumns::default(),
        };
        columns.retain(|name, _| collection.columns().contains(&name.as_str()));
        if collection == Collection::Calendars
            && let Some(Value::String(exceptions)) = columns.get("exceptions")
            // A newer version may have written text that is no JSON. It stays a text.
            && let Ok(exceptions) = serde_json::from_str(exceptions)
        {
            columns.insert("exceptions".to_owned(), exceptions);
        }
        Ok((columns, unknown))
    }
}

fn json(
    project: &ProjectId,
    key: &RowKey,
    version: ServerVersion,
    (columns, unknown): (&Columns, &UnknownColumns),
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
    unknown.write_to(&mut text);
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
        for text in
            ["_counter", "tasks", "tasks#", "tasks#a/b", "#1", "_dropped#1", "People#1", "people-#1", "p\u{e4}#1"]
        {
            assert!(text.parse::<RowKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_row_of_a_collection_of_a_newer_version_has_a_key_like_any_other() {
        let longest = "n".repeat(UnknownCollection::MAX_LENGTH);
        for name in ["notes", "task_notes", "z", &longest] {
            let key = key(&format!("{name}#1"));
            assert_eq!((key.collection.name(), key.collection.known()), (name, None));
            assert_eq!(key.to_string(), format!("{name}#1"));
            assert!(key.to_string().as_str() >= "a" && key.collection.columns().is_empty());
        }
        assert!(format!("{longest}n#1").parse::<RowKey>().is_err());
        assert_eq!(key("tasks#1").collection.known(), Some(Collection::Tasks));
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
        assert_eq!((first.revision_count, removed.revision_count, back.revision_count), (1, 2, 3));
        assert_eq!(back.history.versions(), [5, 2].map(version));
        assert_eq!(back.removals.versions(), [version(5)]);
        assert!(removed.live().is_none() && back.live().is_some());
        assert_eq!(back.column_versions.version_of(0), Some(9), "a revived row is new in every column");
    }

    #[test]
    fn columns_of_a_newer_version_stay_through_every_write_and_a_revived_row_lacks_them() {
        let text = r#"{"id":"m","server_version":2,"project":"p","user":"ann","role":1,"z":"[1]","colour":1.50}"#;
        let key = key("memberships#m");
        let (known, unknown) = Row::columns_of(key.collection, text).expect("columns");
        assert_eq!(unknown.names().collect::<Vec<_>>(), ["z", "colour"]);
        let first = Row { unknown, ..Row::written(None, key.clone(), Write::Put(known.clone()), version(2)) };
        let project = "p".parse().expect("a project");
        assert_eq!((first.device_json(&project).as_str(), first.rest_json(&project).as_str()), (text, text));
        let tail = r#","z":"[1]","colour":1.50}"#;
        let again = Row::written(Some(&first), key.clone(), Write::Put(known.clone()), version(3));
        let dead = Row::written(Some(&again), key.clone(), Write::Delete, version(4));
        assert!(again.device_json(&project).ends_with(tail) && dead.device_json(&project).ends_with(tail));
        let revived = Row::written(Some(&dead), key, Write::Put(known), version(5));
        assert!(revived.unknown.is_empty());
    }

    #[test]
    fn a_row_of_a_collection_of_a_newer_version_is_written_again_as_it_is() {
        let text = r#"{"id":"n","server_version":7,"project":"p","text":"\u00e4","tasks":"[\"t\"]"}"#;
        let key = key("notes#n");
        let (known, unknown) = Row::columns_of(key.collection, text).expect("columns");
        assert!(known.is_empty());
        let column_versions = ColumnVersions::decode(&[0, 3], version(7)).expect("versions");
        let row = Row { unknown, column_versions, ..Row::written(None, key.clone(), Write::Put(known), version(7)) };
        let again = Row::written(Some(&row), key, Write::Put(Columns::new()), version(9));
        let project = "p".parse().expect("a project");
        assert_eq!(again.device_json(&project), text.replace("\"server_version\":7", "\"server_version\":9"));
        assert_eq!((again.column_versions.version_of(0), again.column_versions.version_of(1)), (Some(7), Some(4)));
    }

    #[test]
    fn a_calendar_whose_exceptions_are_no_json_keeps_them_as_they_are() {
        let text = r#"{"id":"c","server_version":3,"name":"Site","exceptions":"RRULE:FREQ=YEARLY"}"#;
        let (columns, _) = Row::columns_of(Collection::Calendars.into(), text).expect("columns");
        assert_eq!(columns["exceptions"], "RRULE:FREQ=YEARLY");
        assert_eq!(flat(&columns["exceptions"]), columns["exceptions"]);
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
        let back = Row::columns_of(row.key.collection, &row.device_json(&project)).expect("columns");
        assert_eq!(back, (row.columns().clone(), UnknownColumns::default()));
    }
}
