//! The index of live dependencies: who is in it, and why its listing is complete.
//!
//! Some rules read every dependency of a project that is alive: none may close a cycle, and none may name a task that is
//! being deleted. Tombstones stay for ever, so in the table such a reading would grow with everything that was ever deleted.
//! The index has the items with a `live_edge` and no others. It is a local one: its strong reads show what the table shows.
//!
//! Code from before the index writes items without the attribute, and a commit that replaces an item takes it away. So a
//! listing is not believed by itself: its number of rows and two sums must be those of the counter, which every code keeps
//! ([`Checksums`]). Otherwise the table is listed. `backfill` gives the attribute to the items that lack it, and to those it
//! takes no new version, since no device is told of it.

use super::audit::StoredItem;
use super::layout::{self, LIVE_EDGE, text};
use super::table::{LIVE_EDGES, Table, unavailable};
use crate::domain::{Checksums, Collection, Counter, Error, ProjectId, Row};

impl StoredItem {
    /// Whether this item is in the index of live dependencies exactly if it should be. `row` is the item's row.
    pub fn agrees_on_live_edge(&self, project: &ProjectId, row: &Row) -> bool {
        self.0.get(LIVE_EDGE) == layout::row_item(project, row).get(LIVE_EDGE)
    }
}

impl Table {
    /// Fails when the table was made without the index of live dependencies.
    pub async fn expect_live_edges(&self) -> Result<(), Error> {
        let query = self.client.query().table_name(&self.name).index_name(LIVE_EDGES).consistent_read(true);
        let query = query
            .key_condition_expression("project_id = :project")
            .expression_attribute_values(":project", text(layout::TABLE));
        let error = match query.limit(1).send().await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        let is_refused =
            error.as_service_error().is_some_and(|error| error.meta().code() == Some("ValidationException"));
        if !is_refused {
            return Err(unavailable(error));
        }
        let table = &self.name;
        Err(Error::Unavailable(
            format!("{table} has no index {LIVE_EDGES}, and a table gets that only when it is made").into(),
        ))
    }

    /// Every live row of a collection. Of dependencies, it is those that a decision on this counter must see.
    pub(super) async fn list_completely(
        &self,
        project: &ProjectId,
        collection: Collection,
        counter: Option<&Counter>,
    ) -> Result<Vec<Row>, Error> {
        let rows = self.list_all(project, collection).await?;
        let Some(counter) = counter.filter(|_| collection == Collection::Dependencies) else { return Ok(rows) };
        if is_newer(&rows, counter) || adds_up(&rows, counter) {
            return Ok(rows);
        }
        // A dependency was deleted since the counter was read, or is not in the index.
        let all = self.list_all_in_table(project, collection).await?;
        let is_missing =
            |row: &&Row| row.version <= counter.current && !rows.iter().any(|listed| listed.key == row.key);
        let missing = all.iter().filter(is_missing).count();
        if missing > 0 {
            tracing::warn!(missing, "live dependencies are not in the index {LIVE_EDGES}: run `backfill`");
        }
        Ok(all)
    }

    /// Puts a row into the index of live dependencies, or takes it out, as its state asks for. False when the row has been
    /// written since it was read.
    pub async fn set_live_edge(&self, project: &ProjectId, row: &Row) -> Result<bool, Error> {
        let update =
            self.update_in_place(layout::key_of_row(project, &row.key)).condition_expression("server_version = :read");
        let update = match layout::row_item(project, row).remove(LIVE_EDGE) {
            Some(id) => {
                update.update_expression(format!("SET {LIVE_EDGE} = :id")).expression_attribute_values(":id", id)
            }
            None => update.update_expression(format!("REMOVE {LIVE_EDGE}")),
        };
        self.changed_in_place(update, row.version).await
    }
}

/// Whether it shows a commit after the counter. Then nothing may be decided from it.
fn is_newer(rows: &[Row], counter: &Counter) -> bool {
    rows.iter().any(|row| row.version > counter.current)
}

/// Are these the live dependencies that the counter counts?
fn adds_up(rows: &[Row], counter: &Counter) -> bool {
    let sums = Checksums::of(rows.iter().map(|row| (&row.key, row.version)));
    sums.get(Collection::Dependencies) == counter.checksums.get(Collection::Dependencies)
}
