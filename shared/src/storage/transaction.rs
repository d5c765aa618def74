//! One `TransactWriteItems`: the conditions of its items, and how it is sent until its fate is known.
//!
//! A try whose answer was lost is in doubt: it may have taken effect, or may do so later. The same payload is sent again with the
//! same token. The answer to that means:
//!
//! - **Success** is success. Either the table knows the token, or it made the transaction now. It could do that only because the
//!   earlier try had no effect, or else the conditions would fail.
//! - **A failed condition** says that nothing will be written any more, since versions only rise. It does not say that nothing
//!   was written. The table knows a token for ten minutes, and after that the earlier try's own write fails the condition. No
//!   clock here can tell that the ten minutes are not over: a process can be stopped between any two steps, and does not always
//!   see the time that passed. So the doubt stays. The caller knows what was to be written, and settles it by what is there
//!   ([`Fate::Unsettled`]).
//! - **A conflict, a throttled try, a fault** (an expired credential, for example) say something about that try alone.
//!
//! So in doubt nobody is told that nothing was written.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Delete, Put, TransactWriteItem};
use tokio::time::Instant;
use uuid::Uuid;

use super::backoff::Backoff;
use super::layout::{self, Item, number};
use super::table::{Table, reasons};
use crate::domain::{Counter, Error, ServerVersion};

/// How long one commit is tried before the answer is `Busy`.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);
/// The most items a transaction holds.
pub(super) const MAX_ITEMS: usize = 100;

/// The condition of an item in a transaction: it must be as it was read.
#[derive(Debug)]
pub(super) enum Condition {
    /// The item does not exist.
    Absent,
    /// The attribute has this value.
    Is(&'static str, AttributeValue),
}

impl Condition {
    /// The attribute still is the number that was read. If nothing was read, the item still does not exist.
    pub(super) fn number(attribute: &'static str, read: Option<impl ToString>) -> Self {
        read.map_or(Self::Absent, |read| Self::Is(attribute, number(read)))
    }

    /// The row still is at the version that was read, or still does not exist.
    pub(super) fn row(read: Option<ServerVersion>) -> Self {
        Self::number("server_version", read)
    }

    pub(super) fn expression(&self) -> String {
        match self {
            Self::Absent => "attribute_not_exists(entity)".to_owned(),
            Self::Is(attribute, _) => format!("{attribute} = :read"),
        }
    }

    fn values(&self) -> Option<HashMap<String, AttributeValue>> {
        match self {
            Self::Absent => None,
            Self::Is(_, value) => Some([(":read".to_owned(), value.clone())].into()),
        }
    }
}

/// Writes an item.
pub(super) fn put(table: &Table, item: Item, condition: &Condition) -> Result<TransactWriteItem, Error> {
    let put = Put::builder().table_name(table.name()).set_item(Some(item));
    let put = put.condition_expression(condition.expression()).set_expression_attribute_values(condition.values());
    Ok(TransactWriteItem::builder().put(put.build().map_err(unbuilt)?).build())
}

/// Removes an item.
pub(super) fn delete(table: &Table, key: Item, condition: &Condition) -> Result<TransactWriteItem, Error> {
    let delete = Delete::builder().table_name(table.name()).set_key(Some(key));
    let delete =
        delete.condition_expression(condition.expression()).set_expression_attribute_values(condition.values());
    Ok(TransactWriteItem::builder().delete(delete.build().map_err(unbuilt)?).build())
}

/// Writes nothing.
pub(super) fn check(table: &Table, key: Item, condition: &Condition) -> Result<TransactWriteItem, Error> {
    let check = ConditionCheck::builder().table_name(table.name()).set_key(Some(key));
    let check = check.condition_expression(condition.expression()).set_expression_attribute_values(condition.values());
    Ok(TransactWriteItem::builder().condition_check(check.build().map_err(unbuilt)?).build())
}

/// A request that lacks a part. The log says which one.
pub(super) fn unbuilt(error: BuildError) -> Error {
    tracing::error!(%error, "a request to the table cannot be built");
    Error::Bug("a request to the table lacks a part")
}

/// The result of a transaction.
pub(super) enum Fate {
    Committed,
    /// A condition failed, or there was a conflict. Nothing was written, and nothing will be. It has the counter, if
    /// the counter had moved.
    Refused(Option<Moved>),
    /// A condition failed after a try whose answer was lost. Nothing will be written any more, but that try may have
    /// written. It has the counter, if the counter had moved.
    Unsettled(Option<Moved>),
}

/// The counter as another commit left it, and how long that one's request had waited.
pub(super) struct Moved {
    pub(super) counter: Counter,
    pub(super) waited: Duration,
}

impl Table {
    /// Sends one transaction until its fate is known. Fails with `OutcomeUnknown` if the fate is in doubt at the
    /// deadline or at a fault.
    pub(super) async fn transact(&self, items: Vec<TransactWriteItem>, deadline: Instant) -> Result<Fate, Error> {
        let token = Uuid::now_v7().to_string();
        let mut backoff = Backoff::until(deadline);
        // An earlier try with this token may have taken effect, or may still take effect.
        let mut in_doubt = false;
        loop {
            let result = self
                .client
                .transact_write_items()
                .set_transact_items(Some(items.clone()))
                .client_request_token(&token)
                .customize()
                // This loop tries again. The SDK would hide that an earlier try is in doubt.
                .config_override(aws_sdk_dynamodb::Config::builder().retry_config(RetryConfig::disabled()))
                .send()
                .await;
            let error = match result {
                Ok(_) => return Ok(Fate::Committed),
                Err(error) => error,
            };
            match meaning(&error) {
                Meaning::Conflict if in_doubt => {}
                Meaning::Conflict => return Ok(Fate::Refused(None)),
                Meaning::ConditionFailed if in_doubt => return Ok(Fate::Unsettled(moved_counter(&error)?)),
                Meaning::ConditionFailed => return Ok(Fate::Refused(moved_counter(&error)?)),
                Meaning::Throttled => {}
                Meaning::Lost => in_doubt = true,
                Meaning::Full | Meaning::Fault if in_doubt => {
                    tracing::warn!(error = %reasons(&error), "a fault while the fate of a write is not known");
                    return Err(Error::OutcomeUnknown);
                }
                Meaning::Full => return Err(full()),
                Meaning::Fault => return Err(Error::Unavailable(reasons(&error).into())),
            }
            if !backoff.wait().await {
                return Err(if in_doubt { Error::OutcomeUnknown } else { Error::Busy });
            }
        }
    }
}

/// The meaning of the error of a failed attempt for the transaction.
enum Meaning {
    /// A condition does not hold, and never will again, since versions only rise. This says nothing about an earlier
    /// try: its write may be the reason.
    ConditionFailed,
    /// Another transaction had one of the items, or one of them was throttled. This says nothing about an earlier try.
    Conflict,
    /// The try was not executed.
    Throttled,
    /// The try may have been executed, or may still be.
    Lost,
    /// The project has no room for it.
    Full,
    /// Another try would not help.
    Fault,
}

/// The error of a write that would make a project larger than DynamoDB lets the items of one partition key be in a table with a
/// local index.
pub(super) fn full() -> Error {
    Error::QuotaExceeded { what: "gigabytes", max: 10 }
}

const CONDITION_FAILED: &str = "ConditionalCheckFailed";

fn meaning(error: &SdkError<TransactWriteItemsError>) -> Meaning {
    let SdkError::ServiceError(service) = error else {
        return match error {
            SdkError::ConstructionFailure(_) => Meaning::Fault,
            _ => Meaning::Lost,
        };
    };
    match service.err() {
        TransactWriteItemsError::TransactionCanceledException(cancelled) => {
            let codes: Vec<&str> = cancelled.cancellation_reasons().iter().filter_map(|r| r.code()).collect();
            if codes.iter().all(|code| matches!(*code, "None" | CONDITION_FAILED)) {
                Meaning::ConditionFailed
            } else if codes.contains(&"ItemCollectionSizeLimitExceeded") {
                Meaning::Full
            } else if codes.contains(&"ValidationError") {
                Meaning::Fault
            } else {
                Meaning::Conflict
            }
        }
        TransactWriteItemsError::TransactionInProgressException(_) => Meaning::Lost,
        TransactWriteItemsError::InternalServerError(_) => Meaning::Lost,
        TransactWriteItemsError::ProvisionedThroughputExceededException(_)
        | TransactWriteItemsError::RequestLimitExceeded(_) => Meaning::Throttled,
        other => match other.code() {
            Some("ThrottlingException" | "Throttling") => Meaning::Throttled,
            _ if service.raw().status().is_server_error() => Meaning::Lost,
            _ => Meaning::Fault,
        },
    }
}

/// The counter, if its condition is among those that failed. It is the first item of each transaction.
fn moved_counter(error: &SdkError<TransactWriteItemsError>) -> Result<Option<Moved>, Error> {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else {
        return Ok(None);
    };
    let counter = cancelled.cancellation_reasons().first().filter(|reason| reason.code() == Some(CONDITION_FAILED));
    let moved = |item| Ok(Moved { counter: layout::counter(item)?, waited: layout::waited(item) });
    counter.and_then(|reason| reason.item()).map(moved).transpose()
}
