//! Puts and deletes of many items, each by itself and in no order.

use aws_sdk_dynamodb::operation::batch_write_item::BatchWriteItemError;
use aws_sdk_dynamodb::types::{DeleteRequest, PutRequest, WriteRequest};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::layout::Item;
use super::table::{Table, unavailable};
use super::transaction::{full, unbuilt};
use crate::domain::Error;

/// The most items that one `BatchWriteItem` takes.
const MAX_WRITES: usize = 25;

pub(super) fn put(item: Item) -> Result<WriteRequest, Error> {
    let put = PutRequest::builder().set_item(Some(item)).build().map_err(unbuilt)?;
    Ok(WriteRequest::builder().put_request(put).build())
}

pub(super) fn delete(key: Item) -> Result<WriteRequest, Error> {
    let delete = DeleteRequest::builder().set_key(Some(key)).build().map_err(unbuilt)?;
    Ok(WriteRequest::builder().delete_request(delete).build())
}

impl Table {
    /// Makes all of these writes, no two of them of one item. `Busy` at the deadline: some may be made by then.
    pub(super) async fn write_each(&self, mut writes: Vec<WriteRequest>, deadline: Instant) -> Result<(), Error> {
        let mut backoff = Backoff::until(deadline);
        while !writes.is_empty() {
            let rest = writes.split_off(writes.len().min(MAX_WRITES));
            let output = self.client.batch_write_item().request_items(self.name(), writes);
            let output = output.send().await.map_err(|error| match error.as_service_error() {
                Some(BatchWriteItemError::ItemCollectionSizeLimitExceededException(_)) => full(),
                _ => unavailable(error),
            })?;
            writes = output.unprocessed_items.unwrap_or_default().into_values().flatten().collect();
            if !writes.is_empty() && !backoff.wait().await {
                return Err(Error::Busy);
            }
            writes.extend(rest);
        }
        Ok(())
    }
}
