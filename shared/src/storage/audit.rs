//! The reads of an audit: every item as it is stored, not interpreted.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;

use super::feed_row::PageCursor;
use super::layout::{self, COUNTER, Item, PROJECTED, Partition, text};
use super::page::{all_items, page};
use super::table::{BY_VERSION, Table, unavailable};
use crate::domain::{Counter, Error, ProjectId, Row};

/// An item of the table or of an index, attribute by attribute. Nothing about it is checked: it may be corrupt.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredItem(pub Item);

/// One page of items, at most 1 MB.
#[derive(Debug)]
pub struct StoredPage {
    /// The items.
    pub items: Vec<StoredItem>,
    /// The start of the next page, if there is one.
    pub next: Option<PageCursor>,
}

impl StoredItem {
    /// The item of a row, as a commit writes it.
    pub fn of_row(project: &ProjectId, row: &Row) -> Self {
        Self(layout::row_item(project, row))
    }

    /// The sort key: which row, or the counter.
    pub fn entity(&self) -> &str {
        self.text("entity").unwrap_or_default()
    }

    /// Whether this is the project's counter.
    pub fn is_counter(&self) -> bool {
        self.entity() == COUNTER
    }

    /// Whether this is a row, whatever is in it.
    pub fn is_row(&self) -> bool {
        !self.is_counter() && !self.is_archive()
    }

    /// The counter, as every reader reads it.
    pub fn counter(&self) -> Result<Counter, Error> {
        layout::counter(&self.0)
    }

    /// The row, as a commit reads it.
    pub fn row(&self) -> Result<Row, Error> {
        layout::row(&self.0)
    }

    /// Whether there is such an attribute.
    pub fn has(&self, attribute: &str) -> bool {
        self.0.contains_key(attribute)
    }

    /// An attribute that is a text.
    pub fn text(&self, attribute: &str) -> Option<&str> {
        self.0.get(attribute)?.as_s().ok().map(String::as_str)
    }

    /// An attribute that is an integer.
    pub fn integer(&self, attribute: &str) -> Option<u64> {
        self.0.get(attribute)?.as_n().ok()?.parse().ok()
    }

    /// Whether this item must be in the index `by_version`, which has every item with a numeric `server_version`.
    pub fn is_indexed(&self) -> bool {
        self.0.get("server_version").is_some_and(AttributeValue::is_n)
    }

    /// The attributes in which a copy of this item in `by_version` differs from the item.
    pub fn differences(&self, copy: &Self) -> Vec<&'static str> {
        PROJECTED.into_iter().filter(|attribute| self.0.get(*attribute) != copy.0.get(*attribute)).collect()
    }
}

impl Table {
    /// The partitions of the whole table, read strongly. One may be named more than once.
    ///
    /// A `Scan`: it is charged for every byte of the table, whatever it returns.
    pub async fn partitions_page(
        &self,
        cursor: Option<PageCursor>,
    ) -> Result<(Vec<Partition>, Option<PageCursor>), Error> {
        let output = self
            .client
            .scan()
            .table_name(self.name())
            .consistent_read(true)
            .projection_expression("project_id")
            .set_exclusive_start_key(cursor.map(|cursor| cursor.0))
            .send()
            .await
            .map_err(unavailable)?;
        let mut partitions = Vec::new();
        for item in output.items() {
            let partition = layout::partition(layout::string(item, "project_id")?);
            if partitions.last() != Some(&partition) {
                partitions.push(partition);
            }
        }
        Ok((partitions, output.last_evaluated_key.map(PageCursor)))
    }

    /// All items of a project, read strongly from the table: its counter, its archive and its rows.
    pub async fn stored_page(&self, project: &ProjectId, cursor: Option<PageCursor>) -> Result<StoredPage, Error> {
        self.partition_page(project.as_str(), cursor).await
    }

    /// All items with this partition key, read strongly.
    pub(super) async fn partition_page(&self, key: &str, cursor: Option<PageCursor>) -> Result<StoredPage, Error> {
        let query = partition(self.client.query().consistent_read(true), self.name(), key);
        let page = page(query, cursor.map(|cursor| cursor.0)).await.map_err(unavailable)?;
        let items = page.items.into_iter().map(StoredItem).collect();
        Ok(StoredPage { items, next: page.next.map(PageCursor) })
    }

    /// The same in one call, for callers that need them together. The counter sorts first, so it is read before the
    /// rows.
    pub async fn stored(&self, project: &ProjectId) -> Result<Vec<StoredItem>, Error> {
        all(partition(self.client.query().consistent_read(true), self.name(), project.as_str())).await
    }

    /// All items of a project as the index `by_version` has them now, which may be later.
    pub async fn indexed(&self, project: &ProjectId) -> Result<Vec<StoredItem>, Error> {
        all(partition(self.client.query().index_name(BY_VERSION), self.name(), project.as_str())).await
    }
}

/// A query of every item with this partition key.
fn partition(query: QueryFluentBuilder, table: &str, key: &str) -> QueryFluentBuilder {
    let query = query.table_name(table).key_condition_expression("project_id = :project");
    query.expression_attribute_values(":project", text(key))
}

async fn all(query: QueryFluentBuilder) -> Result<Vec<StoredItem>, Error> {
    let items = all_items(query, usize::MAX).await.map_err(unavailable)?;
    Ok(items.unwrap_or_default().into_iter().map(StoredItem).collect())
}
