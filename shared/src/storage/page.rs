//! Pages of a query.
//!
//! DynamoDB answers a query in pages of at most 1 MB, and names where the next one begins. A page may be empty and not be the
//! last one, so only that name tells whether there is more.
//!
//! The pages of a pull are not read here. `raw` reads them from DynamoDB's own bytes, because the SDK's items are most of what a
//! first pull costs. And a pull decides after each page whether, and where, it reads on.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::query::QueryError;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;

use super::layout::Item;

/// A page of items.
pub(super) struct ItemPage {
    pub(super) items: Vec<Item>,
    /// The number of items before those were left out that the query filters.
    pub(super) scanned: usize,
    /// The start of the next page, if there is one.
    pub(super) next: Option<Item>,
}

/// Reads one page, from `start` on if that is given. For a caller that decides after each page.
pub(super) async fn page(query: QueryFluentBuilder, start: Option<Item>) -> Result<ItemPage, SdkError<QueryError>> {
    let output = query.set_exclusive_start_key(start).send().await?;
    let scanned = usize::try_from(output.scanned_count).unwrap_or_default();
    Ok(ItemPage { items: output.items.unwrap_or_default(), scanned, next: output.last_evaluated_key })
}

/// Reads every item, or returns `None` if that takes more than `max_pages`.
pub(super) async fn all_items(
    query: QueryFluentBuilder,
    max_pages: usize,
) -> Result<Option<Vec<Item>>, SdkError<QueryError>> {
    let (mut items, mut start) = (Vec::new(), None);
    for _ in 0..max_pages {
        let page = page(query.clone(), start).await?;
        items.extend(page.items);
        start = page.next;
        if start.is_none() {
            return Ok(Some(items));
        }
    }
    Ok(None)
}
