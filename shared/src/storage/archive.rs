//! The archive: versions for which version histories have no room.
//!
//! The item is in the project's partition, between its counter and its rows. `entity` is `_dropped#` and the newest of its versions
//! with 16 digits. `row_entity` S says whose versions they are, and `versions` B has them (see [`ArchivedVersions`]). An anonymous
//! archive has no `row_entity`, and its key ends with another `#`, so it never takes the place of a row's archive. The item has
//! neither `server_version` nor `user_id` and so is in no index.
//!
//! An archive is written before the transaction that drops its versions from a history. It is never changed or deleted. It is true
//! whether that transaction is committed or not, because the history of the committed copy already said the same. So it needs no
//! condition: the same versions under the same key are the same bytes.

use std::collections::HashSet;

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use tokio::time::Instant;

use super::audit::StoredItem;
use super::batch_write::put;
use super::layout::{self, Item, key, text};
use super::page::all_items;
use super::raw::is_throttle;
use super::table::{Table, unavailable};
use crate::domain::{ArchivedVersions, Error, Mark, PlannedWrite, ProjectId, ServerVersion};

/// The keys of archives begin with it.
const PREFIX: &str = "_dropped#";
/// This key sorts after the key of every archive.
const END: &str = "_dropped#~";
/// The most pages of 1 MB that a pull reads of the archive: 1,000 read units.
const MAX_PAGES: usize = 4;

impl StoredItem {
    /// The item of an archive, as a commit writes it.
    pub fn of_archive(project: &ProjectId, archived: &ArchivedVersions) -> Self {
        Self(item(project, archived))
    }

    /// Whether this is an archive.
    pub fn is_archive(&self) -> bool {
        self.entity().starts_with(PREFIX)
    }

    /// The archive, as every pull reads it.
    pub fn archived(&self) -> Result<ArchivedVersions, Error> {
        archived(&self.0)
    }
}

impl Table {
    /// Archives the versions that the planned writes drop from histories. Call it before the transaction is sent. If the caller is
    /// killed in between, the archive is still true. `archived` is what this request has archived before.
    pub(super) async fn archive_dropped(
        &self,
        project: &ProjectId,
        planned_writes: &[PlannedWrite],
        archived: &mut HashSet<ArchivedVersions>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let dropped = planned_writes.iter().filter_map(|planned| planned.dropped.clone());
        let new: Vec<ArchivedVersions> = dropped.filter(|dropped| !archived.contains(dropped)).collect();
        self.put_archive(project, &new, deadline).await?;
        archived.extend(new);
        Ok(())
    }

    /// Writes archives, and returns once all of them are on the table. Fails with `Busy` at the deadline. Some archives
    /// may be on the table by then.
    pub async fn put_archive(
        &self,
        project: &ProjectId,
        archived: &[ArchivedVersions],
        deadline: Instant,
    ) -> Result<(), Error> {
        let puts = archived.iter().map(|archived| put(item(project, archived))).collect::<Result<_, _>>()?;
        self.write_each(puts, deadline).await
    }

    /// Removes archives that the rows of a restored table contradict. Call it only while nothing else uses the table.
    pub async fn remove_archive(&self, project: &ProjectId, archived: &[ArchivedVersions]) -> Result<(), Error> {
        for archived in archived {
            let mut key = item(project, archived);
            key.retain(|name, _| matches!(name.as_str(), "project_id" | "entity"));
            self.client.delete_item().table_name(self.name()).set_key(Some(key)).send().await.map_err(unavailable)?;
        }
        Ok(())
    }

    /// The archives with a version above `after`, read strongly. None if they take more than 4 pages. Fails with
    /// `Overloaded` if the read is throttled.
    pub async fn archived_above(
        &self,
        project: &ProjectId,
        after: Mark,
    ) -> Result<Option<Vec<ArchivedVersions>>, Error> {
        let query = self
            .client
            .query()
            .table_name(self.name())
            .consistent_read(true)
            .key_condition_expression("project_id = :project AND entity BETWEEN :first AND :last")
            .expression_attribute_values(":project", text(project.as_str()))
            .expression_attribute_values(":first", text(entity(after.plus(1))))
            .expression_attribute_values(":last", text(END));
        let items = all_items(query, MAX_PAGES)
            .await
            .map_err(|error| if is_throttle(error.code()) { Error::Overloaded } else { unavailable(error) })?;
        items.map(|items| items.iter().map(archived).collect()).transpose()
    }
}

fn entity(newest: impl Into<Mark>) -> String {
    format!("{PREFIX}{:016}", newest.into().get())
}

fn item(project: &ProjectId, archived: &ArchivedVersions) -> Item {
    let entity = entity(archived.newest());
    let mut item = match archived.row() {
        Some(_) => key(project, entity),
        None => key(project, format!("{entity}#")),
    };
    if let Some(row) = archived.row() {
        item.insert("row_entity".to_owned(), text(row.to_string()));
    }
    item.insert("versions".to_owned(), AttributeValue::B(Blob::new(archived.encode())));
    item
}

fn archived(item: &Item) -> Result<ArchivedVersions, Error> {
    let corrupt = |what: &str| layout::corrupt(item, what);
    let digits = layout::string(item, "entity")?.strip_prefix(PREFIX).map(|digits| digits.trim_end_matches('#'));
    let newest = digits.and_then(|digits| digits.parse::<u64>().ok()).and_then(|newest| newest.try_into().ok());
    let newest: ServerVersion = newest.ok_or_else(|| corrupt("entity"))?;
    let row = match item.get("row_entity") {
        // If this code cannot read the key, the archive counts as anonymous.
        Some(_) => layout::string(item, "row_entity")?.parse().ok(),
        None => None,
    };
    ArchivedVersions::decode(row, newest, layout::bytes(item, "versions")).map_err(|_| corrupt("versions"))
}

#[cfg(test)]
mod tests {
    use super::super::layout::{COUNTER, FIRST_ROW};
    use super::*;
    use crate::domain::{Row, State, VersionHistory, Write};

    fn project() -> ProjectId {
        "p".parse().expect("a project")
    }

    fn versions(numbers: impl IntoIterator<Item = u64>) -> impl Iterator<Item = ServerVersion> {
        numbers.into_iter().map(|number| ServerVersion::try_from(number).expect("a version"))
    }

    fn of_a_row() -> ArchivedVersions {
        let key: crate::domain::RowKey = "tasks#a".parse().expect("a key");
        let mut states = versions(1..=300).scan(None, |row: &mut Option<Row>, version| {
            let put = Write::Put(serde_json::Map::new());
            let next = Row::written_within(row.as_ref(), key.clone(), put, version, VersionHistory::MAX_BYTES);
            let dropped = row.as_ref().and_then(|old| ArchivedVersions::dropped(old, &next));
            assert!(matches!(next.state, State::Live(_)));
            *row = Some(next);
            Some(dropped)
        });
        states.find_map(|dropped| dropped).expect("an archive")
    }

    #[test]
    fn an_archive_survives_the_table_and_is_in_no_index() {
        for archived in ArchivedVersions::anonymous(versions([3, 9, 4_000])).into_iter().chain([of_a_row()]) {
            let item = item(&project(), &archived);
            assert_eq!(super::archived(&item).expect("an archive"), archived);
            let stored = StoredItem(item);
            assert!(stored.is_archive() && !stored.is_indexed() && !stored.has("user_id") && !stored.is_counter());
        }
    }

    #[test]
    fn archives_lie_between_the_counter_and_the_rows_in_the_order_of_their_newest_versions() {
        let keys =
            [1, 9, 10, ServerVersion::MAX].map(|newest| entity(ServerVersion::try_from(newest).expect("a version")));
        assert!(keys.is_sorted() && COUNTER < keys[0].as_str() && keys.iter().all(|key| key.as_str() < END));
        assert!(END < FIRST_ROW);
    }

    #[test]
    fn an_archive_without_a_row_has_a_place_of_its_own() {
        let named = of_a_row();
        let anonymous = ArchivedVersions::anonymous([named.newest()]).remove(0);
        let [named, anonymous] = [named, anonymous].map(|archived| item(&project(), &archived)["entity"].clone());
        assert_ne!(named, anonymous);
        assert!(
            named.as_s().expect("a text") < anonymous.as_s().expect("a text"),
            "a query that begins there finds both"
        );
    }
}
