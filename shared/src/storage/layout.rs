//! The items of the table and their attributes.
//!
//! Keys: `project_id` (S) and `entity` (S). `_` sorts before every collection's name, so `entity >= "a"` finds the rows
//! and nothing else.
//!
//! **Counter**, `entity = _counter`: `current_version` N (not `server_version`, which would put it into the index),
//! `last` M (entity to version, the rows of the latest commit), `deleted_at` N once the project is deleted, `skipped` L of
//! `[first, last]` (versions that no row holds), `checksums` M (collection to L of its live rows' number and two sums, see
//! [`Checksums`]), `resync_through` N (a device with a mark up to here must start over) and `restored` M (what a restore has
//! come to, see [`super::Restoration`]) once the table was restored from a backup, `waited_ms` N (how long the latest
//! commit's request had waited since it was first refused; see
//! [`Contention`](super::backoff::Contention)), `unfinished` M while the deletion of a task has some of its commits and not
//! the last one: `task` S (its id) and, if the request has a key, `record` M: what its record is going to say, with `entity` S,
//! where it goes (see `idempotency.rs`); and `by` S, who asked for it.
//!
//! **Row**, `entity = <collection>#<id>`:
//!
//! - `server_version` N, and `row` S, its JSON exactly as a device gets it.
//! - `writes` N: how many versions it ever held.
//! - `superseded` B, its version history (see [`VersionHistory`]), left out while it is empty. `changed` B, its column
//!   versions (see [`ColumnVersions`]).
//! - A tombstone has `is_deleted` BOOL, `deleted_version` N, and `deleted_row` S instead of `row`. So the last content stays in
//!   the table but not in the index.
//! - A membership has `user_id` S while it is live, which puts it into `by_user`. It has `removed_at` L of N once it was removed:
//!   its latest removals, see [`Removals`].
//! - A dependency has `live_edge` S, its id, while it is live, which puts it into `live_edges`, see `live_edges.rs`.
//! - `written_at` N (seconds since 1970), and `written_by` S (a user's id) or `written_by_operator` S (the name of a command)
//!   tell of the last write. Only an audit reads them. Older code leaves them out, and an erasure removes `written_by`.
//! - `archived_from` N once versions of it were archived: each version from there on that its version history does not name is in
//!   an archive. It is not in the index. Code that does not know `archived_from` writes the row without it, and then the floor of
//!   the version history counts.
//!
//! **Archive**, `entity = _dropped#<newest version, 16 digits>`: versions for which version histories have no room. See
//! `archive.rs`.
//!
//! **Request**, `project_id = request#<project>`: an idempotency record, see `idempotency.rs`.
//!
//! **Count**, `project_id = user#<user>`: the projects that a user created on a day, see `creation.rs`.
//!
//! **Live**, `project_id = live#<project>#<n>`, `connection#<connection>` or `unwatched#<n>`: who watches which project, see
//! `watchers.rs`.
//!
//! **New projects**, `project_id = table#`: where their versions begin once the table was restored, see `new_projects.rs`.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;

#[cfg(test)]
use super::feed_row::FeedRow;
use super::kept_body;
use crate::domain::{
    Author, Checksums, Collection, CollectionName, ColumnVersions, Counter, Error, LastWrite, Mark, ProjectId,
    PromisedAnswer, Removals, Row, RowKey, ServerVersion, State, UnfinishedDeletion, UserId, VersionHistory,
};
use crate::idempotency::RestAnswer;

pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) const COUNTER: &str = "_counter";
/// How long the latest commit's request had waited, in milliseconds, on the counter.
pub(super) const WAITED: &str = "waited_ms";
/// The deletion that is not finished, on the counter.
pub(super) const UNFINISHED: &str = "unfinished";
/// The user who wrote a row last.
pub(super) const WRITTEN_BY: &str = "written_by";
/// The attribute that puts a live dependency into the index of live dependencies.
pub(super) const LIVE_EDGE: &str = "live_edge";
const WRITTEN_BY_OPERATOR: &str = "written_by_operator";
const WRITTEN_AT: &str = "written_at";
/// The sort key at which the rows of a project begin. The counter sorts before it.
pub(super) const FIRST_ROW: &str = "a";
/// The attributes that template.yaml puts into `by_version`, beside the table's keys.
pub(super) const PROJECTED: [&str; 5] = ["server_version", "row", "superseded", "writes", "is_deleted"];
/// The prefix of partitions of idempotency records. No project's id has a `#`.
const REQUESTS: &str = "request#";
/// The prefix of partitions of users.
const USERS: &str = "user#";
/// The prefix of partitions that say who watches a project.
pub(super) const LIVE: &str = "live#";
/// The prefix of partitions of connections.
pub(super) const CONNECTION: &str = "connection#";
/// The prefix of partitions of connections that have watched nothing yet.
pub(super) const UNWATCHED: &str = "unwatched#";
/// The partition of items about the table as a whole.
pub(super) const TABLE: &str = "table#";

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// The key of any item of a project.
pub(super) fn key(project: &ProjectId, entity: impl Into<String>) -> Item {
    [("project_id".to_owned(), text(project.as_str())), ("entity".to_owned(), text(entity))].into()
}

/// The key of an idempotency record.
pub(super) fn request_key(project: &ProjectId, id: String) -> Item {
    [("project_id".to_owned(), text(requests(project))), ("entity".to_owned(), text(id))].into()
}

/// The prefix of the sort keys of a collection's rows.
pub(super) fn collection_prefix(collection: Collection) -> AttributeValue {
    text(format!("{}#", collection.name()))
}

/// The key of a row.
pub(super) fn key_of_row(project: &ProjectId, row: &RowKey) -> Item {
    key(project, row.to_string())
}

/// A kind of partition: items that share a partition key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Partition {
    /// The counter, the archive and the rows of a project.
    Project(ProjectId),
    /// Idempotency records of a project.
    Requests(ProjectId),
    /// The counts of users.
    Counts,
    /// Open connections, and who watches what on them. Such items are gone within hours.
    Live,
    /// Items about the table as a whole.
    Table,
    /// A partition that this code never writes.
    Unknown(String),
}

/// The kind of the partition with this key.
pub(super) fn partition(project_id: &str) -> Partition {
    if project_id.starts_with(USERS) {
        return Partition::Counts;
    }
    if [LIVE, CONNECTION, UNWATCHED].iter().any(|prefix| project_id.starts_with(prefix)) {
        return Partition::Live;
    }
    if project_id == TABLE {
        return Partition::Table;
    }
    let known = match project_id.strip_prefix(REQUESTS) {
        Some(project) => project.parse().map(Partition::Requests),
        None => project_id.parse().map(Partition::Project),
    };
    known.unwrap_or_else(|_| Partition::Unknown(project_id.to_owned()))
}

/// The partition of a project's idempotency records.
pub(super) fn requests(project: &ProjectId) -> String {
    format!("{REQUESTS}{project}")
}

/// The partition of a user's counts.
pub(super) fn counts(user: &UserId) -> String {
    format!("{USERS}{user}")
}

/// The item of a row.
pub(super) fn row_item(project: &ProjectId, row: &Row) -> Item {
    let mut item = key_of_row(project, &row.key);
    let mut set = |name: &str, value| item.insert(name.to_owned(), value);
    set("server_version", number(row.version));
    set("writes", number(row.revision_count));
    if !row.history.is_empty() {
        set("superseded", AttributeValue::B(Blob::new(row.history.encode(row.version))));
    }
    if let Some(above) = row.archived_above {
        set("archived_from", number(above.floor()));
    }
    set("changed", AttributeValue::B(Blob::new(row.column_versions.encode(row.version))));
    let json = text(row.device_json(project));
    match &row.state {
        State::Live(columns) => {
            set("row", json);
            if row.key.collection == Collection::Memberships
                && let Some(user) = columns.get("user").and_then(|user| user.as_str())
            {
                set("user_id", text(user));
            }
            if row.key.collection == Collection::Dependencies {
                set(LIVE_EDGE, text(row.key.id.as_str()));
            }
        }
        State::Dead(_) => {
            set("deleted_row", json);
            set("is_deleted", AttributeValue::Bool(true));
            set("deleted_version", number(row.version));
        }
    }
    if !row.removals.versions().is_empty() {
        set("removed_at", AttributeValue::L(row.removals.versions().iter().map(number).collect()));
    }
    if let Some(LastWrite { author, at }) = &row.last_write {
        set(WRITTEN_AT, number(at));
        match author {
            Some(Author::User(user)) => drop(set(WRITTEN_BY, text(user.as_str()))),
            Some(Author::Operator(command)) => drop(set(WRITTEN_BY_OPERATOR, text(command))),
            None => {}
        }
    }
    item
}

/// The row of an item, read whole from the table.
pub(super) fn row(item: &Item) -> Result<Row, Error> {
    let key = row_key(item)?;
    let version = version_of(item, "server_version")?;
    let deleted = is_deleted(item);
    let json = string(item, if deleted { "deleted_row" } else { "row" })?;
    let (columns, unknown) =
        Row::columns_of(key.collection, json).map_err(|error| corrupt(item, &error.to_string()))?;
    Ok(Row {
        version,
        revision_count: integer(item, "writes")?,
        history: version_history(item, version)?,
        archived_above: archived_above(item)?,
        column_versions: ColumnVersions::decode(bytes(item, "changed"), version)
            .map_err(|_| corrupt(item, "changed"))?,
        state: if deleted { State::Dead(columns) } else { State::Live(columns) },
        unknown,
        removals: match item.get("removed_at") {
            Some(AttributeValue::L(versions)) => versions
                .iter()
                .map(|v| as_version(v).ok_or_else(|| corrupt(item, "removed_at")))
                .collect::<Result<_, _>>()?,
            _ => Removals::default(),
        },
        last_write: last_write(item),
        key,
    })
}

fn archived_above(item: &Item) -> Result<Option<Mark>, Error> {
    let above = |from| Mark::below_floor(from).map_err(|_| corrupt(item, "archived_from"));
    item.contains_key("archived_from").then(|| integer(item, "archived_from").and_then(above)).transpose()
}

/// The author and time of a row's last write, if its item has them. An unreadable value is left out. The row is not refused for
/// it.
fn last_write(item: &Item) -> Option<LastWrite> {
    let at = item.get(WRITTEN_AT)?.as_n().ok()?.parse().ok()?;
    let user = string(item, WRITTEN_BY).ok().and_then(|user| user.parse().ok()).map(Author::User);
    let operator = || string(item, WRITTEN_BY_OPERATOR).ok().map(|command| Author::Operator(command.to_owned()));
    Some(LastWrite { author: user.or_else(operator), at })
}

/// The row of an item as a pull needs it. [`super::page`] reads the same without making an item first.
#[cfg(test)]
pub(super) fn feed_row(mut item: Item) -> Result<FeedRow, Error> {
    let version = version_of(&item, "server_version")?;
    let deleted = is_deleted(&item);
    let json = match item.remove("row") {
        Some(AttributeValue::S(json)) if !deleted => Some(crate::storage::raw::Escaped::of(&json)),
        None if deleted => None,
        _ => return Err(corrupt(&item, "row")),
    };
    Ok(FeedRow {
        key: row_key(&item)?,
        version,
        revision_count: integer(&item, "writes")?,
        history: version_history(&item, version)?,
        archived_above: archived_above(&item)?,
        json,
    })
}

/// How long the request of the latest commit had waited, on the counter's item.
pub(super) fn waited(counter: &Item) -> Duration {
    Duration::from_millis(integer(counter, WAITED).unwrap_or(0))
}

/// The counter of an item.
pub(super) fn counter(item: &Item) -> Result<Counter, Error> {
    let write_set = match item.get("last") {
        Some(AttributeValue::M(last)) => last
            .iter()
            .map(|(entity, at)| {
                let at = as_version(at).ok_or_else(|| corrupt(item, "last"))?;
                Ok((entity.parse().map_err(|_| corrupt(item, "last"))?, at))
            })
            .collect::<Result<_, Error>>()?,
        _ => return Err(corrupt(item, "last")),
    };
    let skipped = match item.get("skipped") {
        Some(AttributeValue::L(ranges)) => ranges
            .iter()
            .map(|range| range_of(range).ok_or_else(|| corrupt(item, "skipped")))
            .collect::<Result<_, _>>()?,
        _ => vec![],
    };
    let deleted_at = item.contains_key("deleted_at").then(|| version_of(item, "deleted_at")).transpose()?;
    let resync_through = item.contains_key("resync_through").then(|| version_of(item, "resync_through")).transpose()?;
    let checksums = checksums_of(item).ok_or_else(|| corrupt(item, "checksums"))?;
    let current = version_of(item, "current_version")?;
    let unfinished = item.get(UNFINISHED).map(|note| unfinished_of(note).ok_or_else(|| corrupt(item, UNFINISHED)));
    Ok(Counter {
        current,
        write_set,
        deleted_at,
        skipped,
        resync_through,
        checksums,
        unfinished: unfinished.transpose()?,
    })
}

/// `unfinished` as the counter keeps it.
pub(super) fn unfinished(deletion: &UnfinishedDeletion) -> Result<AttributeValue, Error> {
    let mut note: Item = [("task".to_owned(), text(deletion.task.to_string()))].into();
    if let Some(user) = &deletion.by {
        note.insert("by".to_owned(), text(user.as_str()));
    }
    if let Some(PromisedAnswer { record_id, fingerprint, answer }) = &deletion.promised {
        let mut record = kept_answer(fingerprint, &RestAnswer::of_text(answer)?);
        record.insert("entity".to_owned(), text(record_id));
        note.insert("record".to_owned(), AttributeValue::M(record));
    }
    Ok(AttributeValue::M(note))
}

fn unfinished_of(note: &AttributeValue) -> Option<UnfinishedDeletion> {
    let note = note.as_m().ok()?;
    let promised = |record: &AttributeValue| {
        let record = record.as_m().ok()?;
        let record_id = string(record, "entity").ok()?.to_owned();
        let (fingerprint, answer) = answer_of(record).ok()?;
        Some(PromisedAnswer { record_id, fingerprint, answer: answer.to_text().ok()? })
    };
    let promised = match note.get("record") {
        Some(record) => Some(promised(record)?),
        None => None,
    };
    let by = string(note, "by").ok().and_then(|user| user.parse().ok());
    Some(UnfinishedDeletion { task: string(note, "task").ok()?.parse().ok()?, promised, by })
}

/// The attributes of an idempotency record that describe the request and its answer.
pub(super) fn kept_answer(fingerprint: &[u8], answer: &RestAnswer) -> Item {
    let headers = answer.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    let mut kept: Item = [
        ("fingerprint".to_owned(), AttributeValue::B(Blob::new(fingerprint))),
        ("status".to_owned(), number(answer.status)),
        ("headers".to_owned(), AttributeValue::M(headers)),
    ]
    .into();
    if !answer.body.is_empty() {
        kept.insert(kept_body::BODY.to_owned(), kept_body::kept(&answer.body));
    }
    kept
}

/// The same attributes for a request that had nothing to write. If its answer shows a row, they only name the row. A
/// body of no type tells this to code that does not know such records.
pub(super) fn kept_without_body(fingerprint: &[u8], answer: &RestAnswer) -> Item {
    let mut kept = kept_answer(fingerprint, answer);
    if let Some(row) = &answer.row {
        kept.insert(kept_body::BODY.to_owned(), AttributeValue::Null(true));
        kept.insert("row".to_owned(), text(row.to_string()));
    }
    kept
}

/// The fingerprint of the request, and the answer.
pub(super) fn answer_of(item: &Item) -> Result<(Vec<u8>, RestAnswer), Error> {
    let headers = item.get("headers").and_then(|value| value.as_m().ok()).ok_or_else(|| corrupt(item, "headers"))?;
    let headers = headers.iter().map(|(name, value)| Some((name.clone(), value.as_s().ok()?.clone())));
    let status = integer(item, "status")?;
    let row = item.contains_key("row").then(|| string(item, "row")?.parse().map_err(|_| corrupt(item, "row")));
    let answer = RestAnswer {
        row: row.transpose()?,
        status: u16::try_from(status).map_err(|_| corrupt(item, "status"))?,
        headers: headers.collect::<Option<_>>().ok_or_else(|| corrupt(item, "headers"))?,
        body: kept_body::body_of(item).ok_or_else(|| corrupt(item, kept_body::BODY))?,
    };
    Ok((bytes(item, "fingerprint").to_vec(), answer))
}

/// `last` as the counter keeps it.
pub(super) fn last(rows: impl Iterator<Item = (String, ServerVersion)>) -> AttributeValue {
    AttributeValue::M(rows.map(|(entity, version)| (entity, number(version))).collect())
}

/// `checksums` as the counter keeps them.
pub(super) fn checksums(checksums: &Checksums) -> AttributeValue {
    let numbers = |collection| AttributeValue::L(checksums.get(collection).iter().map(number).collect());
    let named = checksums.collections().map(|collection| (collection.name().to_owned(), numbers(collection)));
    AttributeValue::M(named.collect())
}

/// None if they are missing or cannot be read. A collection that they do not name has no rows, because the code that
/// wrote them did not know it.
pub(super) fn checksums_of(item: &Item) -> Option<Checksums> {
    let by_collection = item.get("checksums")?.as_m().ok()?;
    let mut checksums = Checksums::default();
    for (name, numbers) in by_collection {
        let collection: CollectionName = name.parse().ok()?;
        let numbers = numbers.as_l().ok()?.iter();
        let numbers: Option<Vec<u32>> = numbers.map(|number| number.as_n().ok()?.parse().ok()).collect();
        checksums.set(collection, numbers?.try_into().ok()?);
    }
    Some(checksums)
}

/// `skipped` as the counter keeps it.
pub(super) fn skipped(ranges: &[(u64, u64)]) -> AttributeValue {
    let range = |(first, last): &(u64, u64)| AttributeValue::L(vec![number(first), number(last)]);
    AttributeValue::L(ranges.iter().map(range).collect())
}

fn range_of(value: &AttributeValue) -> Option<(u64, u64)> {
    match value.as_l().ok()?.as_slice() {
        [first, last] => Some((first.as_n().ok()?.parse().ok()?, last.as_n().ok()?.parse().ok()?)),
        _ => None,
    }
}

/// The key of a row's item, parsed from its sort key.
pub(super) fn row_key(item: &Item) -> Result<RowKey, Error> {
    string(item, "entity")?.parse().map_err(|_| corrupt(item, "entity"))
}

pub(super) fn is_deleted(item: &Item) -> bool {
    matches!(item.get("is_deleted"), Some(AttributeValue::Bool(true)))
}

pub(super) fn string<'a>(item: &'a Item, name: &str) -> Result<&'a str, Error> {
    item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str).ok_or_else(|| corrupt(item, name))
}

pub(super) fn version_of(item: &Item, name: &str) -> Result<ServerVersion, Error> {
    item.get(name).and_then(as_version).ok_or_else(|| corrupt(item, name))
}

fn as_version(value: &AttributeValue) -> Option<ServerVersion> {
    value.as_n().ok()?.parse::<u64>().ok()?.try_into().ok()
}

pub(super) fn integer(item: &Item, name: &str) -> Result<u64, Error> {
    item.get(name).and_then(|value| value.as_n().ok()?.parse().ok()).ok_or_else(|| corrupt(item, name))
}

pub(super) fn bytes<'a>(item: &'a Item, name: &str) -> &'a [u8] {
    item.get(name).and_then(|value| value.as_b().ok()).map_or(&[], |blob| blob.as_ref())
}

fn version_history(item: &Item, version: ServerVersion) -> Result<VersionHistory, Error> {
    match item.get("superseded") {
        None => Ok(VersionHistory::default()),
        Some(AttributeValue::B(blob)) => {
            VersionHistory::decode(blob.as_ref(), version).map_err(|_| corrupt(item, "superseded"))
        }
        Some(_) => Err(corrupt(item, "superseded")),
    }
}

/// The error names the item and the attribute, never the content.
pub(super) fn corrupt(item: &Item, what: &str) -> Error {
    let part = |name: &str| item.get(name).and_then(|v| v.as_s().ok()).map_or("?", String::as_str);
    Error::Corrupt(format!("{}/{}: {what}", part("project_id"), part("entity")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::domain::Write;

    fn project() -> ProjectId {
        "p".parse().expect("a project")
    }

    /// The writes of a membership at rising versions: its role after each write, or none for a removal.
    fn life() -> impl Strategy<Value = Row> {
        prop::collection::vec((1..1_000_u64, prop::option::of(prop::sample::select(vec![1, 100, 400]))), 1..60)
            .prop_map(|writes| {
                let mut row: Option<Row> = None;
                let mut version = 0;
                for (gap, role) in writes {
                    version += gap;
                    let write = match role {
                        Some(role) => Write::Put(
                            json!({"user": "ann \"the\" \\ boss\n", "role": role})
                                .as_object()
                                .expect("columns")
                                .clone(),
                        ),
                        None => Write::Delete,
                    };
                    let key = "memberships#m".parse().expect("a key");
                    let version = ServerVersion::try_from(version).expect("a version");
                    row = Some(Row::written(row.as_ref(), key, write, version));
                }
                row.expect("one write at least")
            })
    }

    proptest! {
        #[test]
        fn a_row_survives_the_table(row in life(), author in 0..4, at in any::<i64>()) {
            let mut row = row;
            let author = match author {
                0 => Some(None),
                1 => Some(Some(Author::User("ann".parse().expect("a user")))),
                2 => Some(Some(Author::Operator("ann".to_owned()))),
                _ => None,
            };
            row.last_write = author.map(|author| LastWrite { author, at });
            if row.columns().is_empty() {
                // This is a tombstone of a row that never existed. Its columns read back as null.
                row.state = State::Dead(json!({"user": null, "role": null}).as_object().expect("columns").clone());
            }
            prop_assert_eq!(super::row(&row_item(&project(), &row)).expect("a row"), row);
        }

        #[test]
        fn a_row_in_the_feed_says_the_same_as_in_the_table(row in life()) {
            let fed = feed_row(row_item(&project(), &row)).expect("a row");
            prop_assert_eq!(fed.json, row.live().map(|_| crate::storage::raw::Escaped::of(&row.device_json(&project()))));
            prop_assert_eq!((fed.key, fed.version, fed.revision_count, fed.history),
                (row.key, row.version, row.revision_count, row.history));
        }
    }

    /// The size of an item as DynamoDB counts it: names, UTF-8, a byte for two digits and one more, three for each
    /// nesting.
    fn size(item: &Item) -> usize {
        fn of(value: &AttributeValue) -> usize {
            match value {
                AttributeValue::S(text) => text.len(),
                AttributeValue::N(digits) => digits.len() / 2 + 2,
                AttributeValue::B(bytes) => bytes.as_ref().len(),
                AttributeValue::Bool(_) => 1,
                AttributeValue::L(list) => 3 + list.iter().map(|value| 1 + of(value)).sum::<usize>(),
                other => panic!("{other:?}"),
            }
        }
        item.iter().map(|(name, value)| name.len() + of(value)).sum()
    }

    #[test]
    fn a_row_takes_no_more_than_a_draft_counts() {
        let id = "i".repeat(64);
        let project: ProjectId = "p".repeat(64).parse().expect("a project");
        for collection in [Collection::Projects, Collection::Tasks, Collection::Dependencies, Collection::Calendars] {
            let columns: crate::domain::Columns =
                collection.columns().iter().map(|name| ((*name).to_owned(), json!("\"ä\n"))).collect();
            let key = format!("{}#{id}", collection.name()).parse().expect("a key");
            let mut row = Row::written(None, key, Write::Put(columns.clone()), ServerVersion::FIRST);
            for number in 1..400 {
                let version = ServerVersion::try_from(ServerVersion::MAX / 400 * number).expect("a version");
                let write = if number == 399 { Write::Delete } else { Write::Put(columns.clone()) };
                row = Row::written(Some(&row), row.key.clone(), write, version);
            }
            row.last_write = Some(LastWrite { author: None, at: i64::MAX });
            let mut item = row_item(&project, &row);
            // The longest `sub` that OpenID Connect allows, of the longest characters.
            item.insert(WRITTEN_BY.to_owned(), text("😀".repeat(255)));
            let reckoned = Row::size(&project, &row.key, &columns, &row.unknown) + LastWrite::MAX_SIZE;
            let size = size(&item);
            assert!(size <= reckoned && reckoned - size < 700, "{size} of {reckoned}");
        }
    }

    #[test]
    fn the_author_of_a_row_takes_no_more_than_a_draft_counts() {
        let row = Row::written(None, "tasks#t".parse().expect("a key"), Write::Delete, ServerVersion::FIRST);
        let longest = (1..=255).rev().find_map(|length| "😀".repeat(length).parse().ok()).expect("a user");
        for author in [None, Some(Author::User(longest)), Some(Author::Operator("backfill".to_owned()))] {
            let last_write = LastWrite { author, at: i64::MAX };
            let signed = Row { last_write: Some(last_write.clone()), ..row.clone() };
            let takes = size(&row_item(&project(), &signed)) - size(&row_item(&project(), &row));
            let reckoned = last_write.size();
            assert!(
                takes <= reckoned && reckoned < takes + 32 && reckoned <= LastWrite::MAX_SIZE,
                "{takes} of {reckoned}"
            );
        }
    }

    #[test]
    fn a_dead_membership_is_in_no_users_list_and_no_tombstone_has_content_in_the_index() {
        let put = Write::Put(json!({"user": "ann", "role": 1}).as_object().expect("columns").clone());
        let row = Row::written(None, "memberships#m".parse().expect("a key"), put, ServerVersion::FIRST);
        assert!(row_item(&project(), &row).contains_key("user_id"));
        let next = ServerVersion::FIRST.next().expect("2");
        let dead = row_item(&project(), &Row::written(Some(&row), row.key.clone(), Write::Delete, next));
        assert!(!dead.contains_key("user_id") && !dead.contains_key("row"));
        assert_eq!(dead["deleted_version"], number(2));
    }

    #[test]
    fn only_a_live_dependency_is_in_the_index_of_live_dependencies() {
        let put = |entity: &str| {
            let columns = json!({"predecessor": "a", "successor": "b"}).as_object().expect("columns").clone();
            Row::written(None, entity.parse().expect("a key"), Write::Put(columns), ServerVersion::FIRST)
        };
        let edge = put("dependencies#e");
        assert_eq!(row_item(&project(), &edge)[LIVE_EDGE], text("e"));
        let dead = Row::written(Some(&edge), edge.key.clone(), Write::Delete, ServerVersion::FIRST.next().expect("2"));
        for row in [dead, put("tasks#e")] {
            assert!(!row_item(&project(), &row).contains_key(LIVE_EDGE), "{}", row.key);
        }
    }

    #[test]
    fn an_unfinished_deletion_survives_the_table_and_one_that_cannot_be_read_is_corrupt() {
        let mut item = key(&project(), COUNTER);
        item.insert("current_version".to_owned(), number(3));
        item.insert("last".to_owned(), last(std::iter::empty()));
        item.insert("checksums".to_owned(), checksums(&Checksums::default()));
        assert_eq!(counter(&item).expect("a counter").unfinished, None);
        let answer = RestAnswer {
            status: 204,
            headers: [("a".to_owned(), "b".to_owned())].into(),
            body: String::new(),
            row: None,
        };
        let answer = answer.to_text().expect("text");
        let promised = PromisedAnswer { record_id: "r".to_owned(), fingerprint: vec![1, 2], answer };
        for (promised, by) in [(None, None), (Some(promised), "ann".parse().ok())] {
            let deletion = UnfinishedDeletion { task: "t".parse().expect("an id"), promised, by };
            item.insert(UNFINISHED.to_owned(), unfinished(&deletion).expect("a note"));
            assert_eq!(counter(&item).expect("a counter").unfinished, Some(deletion));
        }
        for broken in [text("t"), AttributeValue::M([("task".to_owned(), text("no id"))].into())] {
            item.insert(UNFINISHED.to_owned(), broken);
            assert!(matches!(counter(&item), Err(Error::Corrupt(_))));
        }
    }

    #[test]
    fn a_counter_without_its_last_commit_or_its_checksums_is_corrupt_not_a_fresh_start() {
        let mut item = key(&project(), COUNTER);
        item.insert("current_version".to_owned(), number(3));
        item.insert("last".to_owned(), last([("tasks#a".to_owned(), ServerVersion::FIRST)].into_iter()));
        let sums = Checksums::of([(&"tasks#a".parse().expect("a key"), ServerVersion::FIRST)]);
        item.insert("checksums".to_owned(), checksums(&sums));
        let read = counter(&item).expect("a counter");
        assert_eq!((read.write_set.len(), read.checksums), (1, sums));
        for attribute in ["last", "checksums", "current_version"] {
            let mut without = item.clone();
            without.remove(attribute);
            assert!(matches!(counter(&without), Err(Error::Corrupt(_))), "{attribute}");
        }
    }
}
