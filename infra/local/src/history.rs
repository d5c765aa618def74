//! What became of each version of a project: which row was given it, and whether that row still has it.

use serde::Serialize;
use shared::domain::{Columns, Counter, Error, ProjectId, Row};
use shared::storage::{StoredItem, Table};

/// How often a project that moves meanwhile is read again.
const READINGS: u32 = 3;

/// The versions of a project, as its rows hold them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct History {
    /// The counter: the highest version.
    pub current: u64,
    /// The project is deleted.
    pub deleted: bool,
    /// The first and the last of versions that no row holds, since a restore.
    pub skipped: Vec<(u64, u64)>,
    /// Below it a row that was written very often does not list what it held: versions may be missing here.
    pub silent_below: u64,
    /// Each version that a row holds, in order.
    pub versions: Vec<Held>,
}

/// A version, and the row that was given it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// Which version.
    pub version: u64,
    /// The row's collection.
    pub collection: &'static str,
    /// The row's id.
    pub id: String,
    /// What people call the row; of a tombstone, what they called it.
    pub name: String,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// The row is as it was written then.
    Current,
    /// … which was its deletion.
    Tombstone,
    /// The row was written again.
    Superseded,
}

/// Reads the versions of a project strongly; none when there is no such project.
///
/// What is read is not one moment: in a project that does not stand still, the latest versions may be missing from
/// `versions`. None is there that is above `current`.
pub async fn read(table: &Table, project: &ProjectId) -> Result<Option<History>, Error> {
    let mut history = None;
    for _ in 0..READINGS {
        let items = table.stored(project).await?;
        let Some(counter) = items.iter().find(|item| item.is_counter()) else { return Ok(None) };
        let counter = counter.counter()?;
        let rows = items.iter().filter(|item| !item.is_counter()).map(StoredItem::row);
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
        skipped: counter.skipped.clone(),
        silent_below: rows.iter().map(|row| row.superseded.floor()).max().unwrap_or(0),
        versions,
    }
}

fn held(row: &Row) -> Vec<Held> {
    let now = if row.live().is_some() { Fate::Current } else { Fate::Tombstone };
    let superseded = row.superseded.versions().iter().map(|version| (*version, Fate::Superseded));
    let name = name(row.columns());
    std::iter::once((row.version.get(), now))
        .chain(superseded)
        .map(|(version, fate)| Held {
            version,
            collection: row.key.collection.name(),
            id: row.key.id.to_string(),
            name: name.clone(),
            fate,
        })
        .collect()
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

    /// A task written at these versions, dead since the last if so said.
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
            last: vec![],
            deleted_at: None,
            skipped: vec![(6, 9)],
            resync_through: None,
            checksums: Checksums::default(),
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
    }

    #[test]
    fn what_was_written_after_the_counter_was_read_is_not_shown_but_what_it_superseded_is() {
        let history = of(&counter(10), &[task("a", &[10, 12], false)]);
        assert_eq!(history.versions.len(), 1);
        assert_eq!((history.versions[0].version, history.versions[0].fate), (10, Fate::Superseded));
    }
}
