//! The capacity that each call to the table consumes, as DynamoDB reports it.

use aws_sdk_dynamodb::config::interceptors::{
    BeforeSerializationInterceptorContextMut, BeforeSerializationInterceptorContextRef,
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::operation::batch_get_item::{BatchGetItemInput, BatchGetItemOutput};
use aws_sdk_dynamodb::operation::batch_write_item::{BatchWriteItemInput, BatchWriteItemOutput};
use aws_sdk_dynamodb::operation::delete_item::{DeleteItemInput, DeleteItemOutput};
use aws_sdk_dynamodb::operation::get_item::{GetItemInput, GetItemOutput};
use aws_sdk_dynamodb::operation::query::{QueryInput, QueryOutput};
use aws_sdk_dynamodb::operation::transact_write_items::{TransactWriteItemsInput, TransactWriteItemsOutput};
use aws_sdk_dynamodb::types::{ConsumedCapacity, ReturnConsumedCapacity};
use aws_smithy_runtime_api::client::interceptors::context::{Input, Output};

use crate::meter;

/// Asks with each call of a request what it consumes, and tells the request's [`meter`].
///
/// It knows the operations that the functions use. Other operations of an operator are not counted.
#[derive(Debug)]
pub(super) struct AskForCapacity;

impl Intercept for AskForCapacity {
    fn name(&self) -> &'static str {
        "AskForCapacity"
    }

    fn read_before_execution(
        &self,
        _context: &BeforeSerializationInterceptorContextRef<'_>,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        meter::began();
        Ok(())
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        ask(context.input_mut());
        Ok(())
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        meter::sent();
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let (reads, writes) = context.output_or_error().and_then(Result::ok).map(consumed).unwrap_or_default();
        meter::ended(reads, writes);
        Ok(())
    }
}

fn ask(input: &mut Input) {
    let total = Some(ReturnConsumedCapacity::Total);
    if let Some(query) = input.downcast_mut::<QueryInput>() {
        query.return_consumed_capacity = total;
    } else if let Some(batch) = input.downcast_mut::<BatchGetItemInput>() {
        batch.return_consumed_capacity = total;
    } else if let Some(transaction) = input.downcast_mut::<TransactWriteItemsInput>() {
        transaction.return_consumed_capacity = total;
    } else if let Some(get) = input.downcast_mut::<GetItemInput>() {
        get.return_consumed_capacity = total;
    } else if let Some(batch) = input.downcast_mut::<BatchWriteItemInput>() {
        batch.return_consumed_capacity = total;
    } else if let Some(delete) = input.downcast_mut::<DeleteItemInput>() {
        delete.return_consumed_capacity = total;
    }
}

/// Read and write units.
fn consumed(output: &Output) -> (f64, f64) {
    let units = |capacity: &ConsumedCapacity| capacity.capacity_units.unwrap_or_default();
    let all = |capacities: &Option<Vec<ConsumedCapacity>>| capacities.iter().flatten().map(units).sum();
    if let Some(query) = output.downcast_ref::<QueryOutput>() {
        (query.consumed_capacity.as_ref().map(units).unwrap_or_default(), 0.0)
    } else if let Some(batch) = output.downcast_ref::<BatchGetItemOutput>() {
        (all(&batch.consumed_capacity), 0.0)
    } else if let Some(get) = output.downcast_ref::<GetItemOutput>() {
        (get.consumed_capacity.as_ref().map(units).unwrap_or_default(), 0.0)
    } else if let Some(batch) = output.downcast_ref::<BatchWriteItemOutput>() {
        (0.0, all(&batch.consumed_capacity))
    } else if let Some(delete) = output.downcast_ref::<DeleteItemOutput>() {
        (0.0, delete.consumed_capacity.as_ref().map(units).unwrap_or_default())
    } else if let Some(transaction) = output.downcast_ref::<TransactWriteItemsOutput>() {
        // The answer to a repetition under the same token reports reads: those of the items as they are.
        let reads = |capacity: &ConsumedCapacity| capacity.read_capacity_units.unwrap_or_default();
        let reads: f64 = transaction.consumed_capacity.iter().flatten().map(reads).sum();
        let total: f64 = all(&transaction.consumed_capacity);
        (reads, total - reads)
    } else {
        (0.0, 0.0)
    }
}
