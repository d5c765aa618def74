//! The index of live dependencies: the items in it, and why a list from it is complete.
//!
//! Some rules read all live dependencies of a project: none may close a cycle, and none may name a task that is being deleted.
//! Tombstones stay for ever, so a list from the table would become more expensive with every deletion. The index has only the
//! items with a `live_edge`. It is a local index, so its strong reads show what the table shows.
//!
//! Code that is older than the index writes items without the attribute. So a list from the index is not trusted by itself: its
//! number of rows and two sums must equal those on the counter, which all versions of the code maintain ([`Checksums`]).
//! Otherwise the table is listed. `backfill` adds the attribute to the items that lack it. That takes no new version, because
//! devices need not know of it.

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
    /// Fails if the table was created without the index of live dependencies.
    pub async fn expect_live_edges(&self) -> Result<(), Error> {
        let query = self.client.query().table_name(self.name()).index_name(LIVE_EDGES).consistent_read(true);
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
        let table = self.name();
        Err(Error::Unavailable(
            format!("{table} has no index {LIVE_EDGES}, and a table gets that only when it is made").into(),
        ))
    }

    /// Every live row of a collection. Dependencies are complete for a decision on this counter, even if the index lacks some.
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

    /// Puts a live dependency into the index, or takes any other row out of it. Returns false if the row was written since it
    /// was read.
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

/// Whether the rows show a later commit than the counter. Then nothing can be committed on that counter any more.
fn is_newer(rows: &[Row], counter: &Counter) -> bool {
    rows.iter().any(|row| row.version > counter.current)
}

/// Whether these are the live dependencies of which the counter has the checksum.
fn adds_up(rows: &[Row], counter: &Counter) -> bool {
    let sums = Checksums::of(rows.iter().map(|row| (&row.key, row.version)));
    sums.get(Collection::Dependencies) == counter.checksums.get(Collection::Dependencies)
}
