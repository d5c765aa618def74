//! The history of a project's versions: which row was given each version, and whether that row still has it.

use serde::Serialize;
use shared::domain::{Columns, Counter, Error, ProjectId, Row};
use shared::storage::{StoredItem, Table};

use crate::written::Written;

/// The maximum number of reads of a project that moves meanwhile.
const READINGS: u32 = 3;

/// The versions of a project, as its rows hold them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct History {
    /// The current version, from the counter.
    pub current: u64,
    /// Whether the project is deleted.
    pub deleted: bool,
    /// The first version of the latest commit, or none since a restore.
    pub latest_from: Option<u64>,
    /// The ranges of versions that a restore skipped and no row holds, both ends included.
    pub skipped: Vec<(u64, u64)>,
    /// The version below which entries may be missing, because the history of a row that was written very often is cut.
    pub silent_below: u64,
    /// Every version that a row holds or held, in order.
    pub versions: Vec<Held>,
}

/// A version and the row that was given it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The version.
    pub version: u64,
    /// The row's collection.
    pub collection: String,
    /// The row's id.
    pub id: String,
    /// The row's name for people. A tombstone has the name that it had.
    pub name: String,
    /// The change that the commit made to the row.
    pub change: Change,
    /// The state of the row's version now.
    pub fate: Fate,
    /// The author and time of the write. They are known only of the row's latest version, and not if older code wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<Written>,
}

/// A commit's change to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The row was not there, or was deleted.
    Created,
    /// The row existed. Or it is not known any more, because the row was written more often than its history holds.
    Updated,
    /// The row was deleted.
    Deleted,
}

/// The state of a version now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// The row still has this version.
    Current,
    /// The row still has this version, at which it was deleted.
    Tombstone,
    /// The row was written again.
    Superseded,
}

/// Reads the versions of a project strongly. None if there is no such project.
///
/// The rows are not read at one moment. If the project does not stand still, the latest versions may be missing from `versions`.
/// No version there is above `current`.
pub async fn read(table: &Table, project: &ProjectId) -> Result<Option<History>, Error> {
    let mut history = None;
    for _ in 0..READINGS {
        let items = table.stored(project).await?;
        let Some(counter) = items.iter().find(|item| item.is_counter()) else { return Ok(None) };
        let counter = counter.counter()?;
        let rows = items.iter().filter(|item| item.is_row()).map(StoredItem::row);
        history = Some(of(&counter, &rows.collect::<Result<Vec<_>, _>>()?));
        if table.counter(project).await?.is_some_and(|now| now.current == counter.current) {
            break;
        }
    }
    Ok(history)
}

/// The versions that these rows hold, up to the counter.
fn of(counter: &Counter, rows: &[Row]) -> History {
    let current = counter.current.get();
    let mut versions: Vec<Held> = rows.iter().flat_map(held).filter(|held| held.version <= current).collect();
    versions.sort_unstable_by_key(|held| held.version);
    History {
        current,
        deleted: counter.deleted_at.is_some(),
        latest_from: counter.write_set.iter().map(|(_, version)| version.get()).min(),
        skipped: counter.skipped.clone(),
        silent_below: rows.iter().map(|row| row.history.silent_through().floor()).max().unwrap_or(0),
        versions,
    }
}

fn held(row: &Row) -> Vec<Held> {
    let now = if row.live().is_some() { Fate::Current } else { Fate::Tombstone };
    let superseded = row.history.versions();
    let superseded = superseded.iter().rev().map(|version| (version.get(), Fate::Superseded));
    let name = name(row.columns());
    let mut held = Vec::new();
    let mut there = superseded.len() as u64 + 1 < row.revision_count;
    for (version, fate) in superseded.chain([(row.version.get(), now)]) {
        let removed = row.removals.versions().iter().any(|at| at.get() == version);
        let change = match there {
            _ if fate == Fate::Tombstone || removed => Change::Deleted,
            true => Change::Updated,
            false => Change::Created,
        };
        there = change != Change::Deleted;
        let (collection, id) = (row.key.collection.name().to_owned(), row.key.id.to_string());
        let written = (fate != Fate::Superseded).then(|| Written::of(row)).flatten();
        held.push(Held { version, collection, id, name: name.clone(), change, fate, written });
    }
    held
}

fn name(columns: &Columns) -> String {
    let text = |column: &str| columns.get(column).and_then(|value| value.as_str());
    match (text("name").or(text("user")), text("predecessor"), text("successor")) {
        (Some(name), ..) => name.to_owned(),
        (None, Some(predecessor), Some(successor)) => format!("{predecessor} → {successor}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use shared::domain::{Checksums, Collection, RowKey, ServerVersion, Write};

    use super::*;

    fn version(number: u64) -> ServerVersion {
        ServerVersion::try_from(number).expect("a version")
    }

    /// A task that was written at these versions. If `dead` is true, the last one deleted it.
    fn task(id: &str, versions: &[u64], dead: bool) -> Row {
        let key = RowKey::new(Collection::Tasks, id.parse().expect("an id"));
        let columns: Columns = [("name".to_owned(), format!("Task {id}").into())].into_iter().collect();
        let (last, _) = versions.split_last().expect("a version");
        let write = |at: &u64| if dead && at == last { Write::Delete } else { Write::Put(columns.clone()) };
        let row = versions
            .iter()
            .fold(None, |row: Option<Row>, at| Some(Row::written(row.as_ref(), key.clone(), write(at), version(*at))));
        row.expect("a row")
    }

    fn counter(current: u64) -> Counter {
        Counter {
            current: version(current),
            write_set: vec![],
            deleted_at: None,
            skipped: vec![(6, 9)],
            resync_through: None,
            checksums: Checksums::default(),
            unfinished: None,
        }
    }

    #[test]
    fn each_version_has_the_row_that_was_given_it_and_what_became_of_it() {
        let history = of(&counter(10), &[task("a", &[1, 3, 10], false), task("b", &[2, 4, 5], true)]);
        let fates: Vec<_> = history.versions.iter().map(|held| (held.version, held.id.as_str(), held.fate)).collect();
        let expected = [
            (1, "a", Fate::Superseded),
            (2, "b", Fate::Superseded),
            (3, "a", Fate::Superseded),
            (4, "b", Fate::Superseded),
            (5, "b", Fate::Tombstone),
            (10, "a", Fate::Current),
        ];
        assert_eq!(fates, expected);
        assert_eq!((history.versions[4].name.as_str(), &history.skipped[..]), ("Task b", &[(6, 9)][..]));
        let changes: Vec<_> = history.versions.iter().map(|held| held.change).collect();
        let [created, updated] = [Change::Created, Change::Updated];
        assert_eq!(changes, [created, created, updated, updated, Change::Deleted, updated]);
    }

    #[test]
    fn a_member_who_is_added_again_is_created_again() {
        let key: RowKey = "memberships#m".parse().expect("a key");
        let put = || Write::Put([("user".to_owned(), "mia".into())].into_iter().collect());
        let writes = [(2, put()), (3, Write::Delete), (5, put()), (6, put())];
        let row = writes.into_iter().fold(None, |row: Option<Row>, (at, write)| {
            Some(Row::written(row.as_ref(), key.clone(), write, version(at)))
        });
        let history = of(&counter(10), &[row.expect("a row")]);
        let changes: Vec<_> = history.versions.iter().map(|held| (held.version, held.change)).collect();
        let expected = [(2, Change::Created), (3, Change::Deleted), (5, Change::Created), (6, Change::Updated)];
        assert_eq!(changes, expected);
    }

    #[test]
    fn what_was_written_after_the_counter_was_read_is_not_shown_but_what_it_superseded_is() {
        let history = of(&counter(10), &[task("a", &[10, 12], false)]);
        assert_eq!(history.versions.len(), 1);
        assert_eq!((history.versions[0].version, history.versions[0].fate), (10, Fate::Superseded));
    }
}
