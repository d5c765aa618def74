//! Changes an item without a new version, on the condition that it was not written since it was read.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;

use super::layout::{Item, number};
use super::table::{Table, unavailable};
use crate::domain::{Error, ServerVersion};

impl Table {
    /// An update, to which the caller adds a condition. In the condition, `:read` is the version that was read, which
    /// [`Table::changed_in_place`] fills in.
    pub(super) fn update_in_place(&self, key: Item) -> UpdateItemFluentBuilder {
        self.client.update_item().table_name(self.name()).set_key(Some(key))
    }

    /// Sends the update. Returns false if its condition does not hold.
    pub(super) async fn changed_in_place(
        &self,
        update: UpdateItemFluentBuilder,
        read: ServerVersion,
    ) -> Result<bool, Error> {
        match update.expression_attribute_values(":read", number(read)).send().await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(refused)) => match refused.err() {
                UpdateItemError::ConditionalCheckFailedException(_) => Ok(false),
                UpdateItemError::TransactionConflictException(_)
                | UpdateItemError::ProvisionedThroughputExceededException(_) => Err(Error::Busy),
                other if other.code() == Some("ThrottlingException") => Err(Error::Busy),
                _ => Err(unavailable(SdkError::ServiceError(refused))),
            },
            Err(error) => Err(unavailable(error)),
        }
    }
}
