//! Reads the start of a pull out of the bytes that DynamoDB sends: counter and membership.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::error::ErrorMetadata;
use aws_sdk_dynamodb::operation::batch_get_item::builders::BatchGetItemFluentBuilder;
use aws_sdk_dynamodb::operation::batch_get_item::{BatchGetItemError, BatchGetItemOutput};
use aws_smithy_runtime_api::client::interceptors::context::Output;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::feed_row::FeedRow;
use super::super::layout::COUNTER;
use super::super::pull_start::{PullMembership, PullStart};
use super::super::table::unavailable;
use super::Escaped;
use super::answer::{Answer, Capacity, Read, ReadAnswer, parse};
use super::item::{Attributes, Base64, Bool, FromItem, Json, List, Map, Number, Text};
use crate::domain::{Checksums, CollectionName, Error, PullCounter};

/// Sends a read of a counter and a membership. None if DynamoDB left one of them unprocessed.
pub(in super::super) async fn send(batch: BatchGetItemFluentBuilder) -> Result<Option<PullStart>, Error> {
    let start = ReadAnswer::new();
    batch.customize().interceptor(start.clone()).send().await.map_err(unavailable)?;
    start.take()
}

/// None if an item was left unprocessed.
impl Answer for Option<PullStart> {
    type SdkError = BatchGetItemError;

    fn sdk_error(metadata: ErrorMetadata) -> BatchGetItemError {
        BatchGetItemError::generic(metadata)
    }

    fn read(body: &Arc<String>) -> serde_json::Result<Read<Self>> {
        let mut parsed = parse::<Batch<'_>>(body, "a counter and a membership")?;
        let capacity = parsed.as_mut().ok().and_then(|batch| batch.capacity.take());
        let capacity = capacity.map(|tables| tables.into_iter().map(Into::into).collect());
        Ok(Read {
            answer: parsed.and_then(start_of),
            output: Output::erase(BatchGetItemOutput::builder().set_consumed_capacity(capacity).build()),
        })
    }
}

/// The body of an answer.
#[derive(Deserialize)]
struct Batch<'a> {
    /// The items of each table. There is one table.
    #[serde(rename = "Responses", borrow)]
    responses: HashMap<Cow<'a, str>, Vec<Item<'a>>>,
    #[serde(rename = "UnprocessedKeys", borrow)]
    unprocessed: Option<HashMap<Cow<'a, str>, IgnoredAny>>,
    #[serde(rename = "ConsumedCapacity")]
    capacity: Option<Vec<Capacity>>,
}

/// The attributes of a counter or of a membership.
#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    entity: Text<'a>,
    #[serde(borrow)]
    current_version: Option<Number<'a>>,
    #[serde(borrow)]
    deleted_at: Option<Number<'a>>,
    #[serde(borrow)]
    skipped: Option<List<List<Number<'a>>>>,
    #[serde(borrow)]
    resync_through: Option<Number<'a>>,
    #[serde(borrow)]
    checksums: Option<Map<'a, ThreeNumbers<'a>>>,
    #[serde(borrow)]
    server_version: Option<Number<'a>>,
    #[serde(borrow)]
    writes: Option<Number<'a>>,
    #[serde(borrow)]
    superseded: Option<Base64<'a>>,
    #[serde(borrow)]
    archived_from: Option<Number<'a>>,
    is_deleted: Option<Bool>,
    #[serde(borrow)]
    row: Option<Json<'a>>,
    #[serde(borrow)]
    removed_at: Option<List<Number<'a>>>,
}

/// The checksums of a collection.
#[derive(Deserialize)]
enum ThreeNumbers<'a> {
    L(#[serde(borrow)] [Number<'a>; 3]),
}

fn start_of(batch: Batch<'_>) -> Result<Option<PullStart>, Error> {
    if batch.unprocessed.is_some_and(|keys| !keys.is_empty()) {
        return Ok(None);
    }
    let mut start = PullStart { counter: None, membership: None };
    for item in batch.responses.into_values().flatten() {
        let Text::S(entity) = &item.entity;
        if entity == COUNTER {
            start.counter = Some(item.counter()?);
        } else {
            start.membership = Some(item.membership()?);
        }
    }
    Ok(Some(start))
}

impl<'a> Item<'a> {
    fn counter(&self) -> Result<PullCounter, Error> {
        let version = |number: &Option<Number<'_>>, what| match number {
            Some(number) => number.version().map(Some).ok_or_else(|| self.entity.corrupt(what)),
            None => Ok(None),
        };
        Ok(PullCounter {
            current: version(&self.current_version, "current_version")?
                .ok_or_else(|| self.entity.corrupt("current_version"))?,
            deleted_at: version(&self.deleted_at, "deleted_at")?,
            skipped: match &self.skipped {
                Some(List::L(ranges)) => {
                    ranges.iter().map(range_of).collect::<Option<_>>().ok_or_else(|| self.entity.corrupt("skipped"))?
                }
                None => vec![],
            },
            resync_through: version(&self.resync_through, "resync_through")?,
            checksums: self
                .checksums
                .as_ref()
                .and_then(checksums_of)
                .ok_or_else(|| self.entity.corrupt("checksums"))?,
        })
    }

    fn membership(self) -> Result<PullMembership, Error> {
        let removals = match &self.removed_at {
            Some(List::L(versions)) => versions.iter().map(Number::version).collect::<Option<_>>(),
            None => Some(Default::default()),
        };
        let removals = removals.ok_or_else(|| self.entity.corrupt("removed_at"))?;
        let Self { entity, server_version, writes, superseded, archived_from, is_deleted, row, .. } = self;
        let server_version = server_version.ok_or_else(|| entity.corrupt("server_version"))?;
        let text = row.as_ref().and_then(Json::escaped).map(Escaped::copy_of);
        let item = Attributes { entity, server_version, writes, superseded, archived_from, is_deleted, row };
        Ok(PullMembership { row: FeedRow::from_item(&item, text)?, removals })
    }
}

fn range_of(range: &List<Number<'_>>) -> Option<(u64, u64)> {
    let List::L(ends) = range;
    match ends.as_slice() {
        [first, last] => Some((first.parse()?, last.parse()?)),
        _ => None,
    }
}

/// A collection that is not named has no rows, because the code that wrote them did not know it.
fn checksums_of(by_collection: &Map<'_, ThreeNumbers<'_>>) -> Option<Checksums> {
    let Map::M(by_collection) = by_collection;
    let mut checksums = Checksums::default();
    for (name, ThreeNumbers::L([rows, one, other])) in by_collection {
        let collection: CollectionName = name.parse().ok()?;
        checksums.set(collection, [rows.parse()?, one.parse()?, other.parse()?]);
    }
    Some(checksums)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use aws_sdk_dynamodb::types::AttributeValue;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::testing::{RUNTIME, Service, as_json, client, damaged, service};
    use super::*;
    use crate::domain::{Columns, Counter, ProjectId, Row, ServerVersion, Write};
    use crate::storage::layout;

    fn project() -> ProjectId {
        "p".parse().expect("a project")
    }

    fn version(number: u64) -> ServerVersion {
        ServerVersion::try_from(number).expect("a version")
    }

    fn read(service: &Service) -> Result<Option<PullStart>, Error> {
        RUNTIME.block_on(send(client(service).batch_get_item().set_request_items(Some(HashMap::new()))))
    }

    /// The start by way of the SDK's own types.
    fn read_by_the_sdk(service: &Service) -> Result<PullStart, Error> {
        let batch = client(service).batch_get_item().set_request_items(Some(HashMap::new()));
        let output = RUNTIME.block_on(batch.send()).map_err(unavailable)?;
        let mut start = PullStart { counter: None, membership: None };
        for item in output.responses.unwrap_or_default().into_values().flatten() {
            if layout::string(&item, "entity")? == COUNTER {
                start.counter = Some(layout::counter(&item)?.into());
            } else {
                let removals = layout::row(&item)?.removals;
                start.membership = Some(PullMembership { row: layout::feed_row(item)?, removals });
            }
        }
        Ok(start)
    }

    fn counter() -> impl Strategy<Value = layout::Item> {
        let ranges = prop::collection::vec((1..50_u64, 50..99_u64), 0..3);
        let last = prop::collection::vec(("[a-z]{1,9}", 1..99_u64), 0..5);
        let number = || prop::option::of(1..99_u64);
        (100..1_000_u64, number(), ranges, number(), last).prop_map(|(current, deleted_at, skipped, resync, last)| {
            let last = last.into_iter().map(|(id, at)| (format!("tasks#{id}"), version(at)));
            let sums = Checksums::of([(&"tasks#a".parse().expect("a key"), version(current))]);
            let mut item = layout::key(&project(), COUNTER);
            item.insert("current_version".to_owned(), layout::number(current));
            item.insert("last".to_owned(), layout::last(last));
            item.insert("checksums".to_owned(), layout::checksums(&sums));
            if !skipped.is_empty() {
                item.insert("skipped".to_owned(), layout::skipped(&skipped));
            }
            for (name, value) in [("deleted_at", deleted_at), ("resync_through", resync)] {
                item.extend(value.map(|value| (name.to_owned(), layout::number(value))));
            }
            item
        })
    }

    fn membership() -> impl Strategy<Value = layout::Item> {
        let writes = prop::collection::vec((1..1_000_u64, prop::option::weighted(0.7, ".{0,20}")), 1..40);
        writes.prop_map(|writes| {
            let (mut row, mut version): (Option<Row>, u64) = (None, 0);
            for (gap, user) in writes {
                version += gap;
                let columns = |user| json!({"user": user, "role": 100}).as_object().expect("columns").clone();
                let write = user.map_or(Write::Delete, |user| Write::Put(columns(user)));
                let key = "memberships#m".parse().expect("a key");
                row = Some(Row::written(row.as_ref(), key, write, self::version(version)));
            }
            layout::row_item(&project(), &row.expect("one write at least"))
        })
    }

    /// An answer with these items.
    fn body(items: &[layout::Item]) -> Value {
        let as_json = |item: &layout::Item| -> Value { as_json(&AttributeValue::M(item.clone()))["M"].clone() };
        let items: Vec<Value> = items.iter().map(as_json).collect();
        json!({"Responses": {"trueppm": items}, "UnprocessedKeys": {},
            "ConsumedCapacity": [{"TableName": "trueppm", "CapacityUnits": 2.0}]})
    }

    fn start() -> impl Strategy<Value = Value> {
        let (counter, membership) = (prop::option::weighted(0.9, counter()), prop::option::weighted(0.9, membership()));
        (counter, membership, any::<bool>()).prop_map(|(counter, membership, backwards)| {
            let mut items: Vec<_> = counter.into_iter().chain(membership).collect();
            if backwards {
                items.reverse();
            }
            body(&items)
        })
    }

    proptest! {
        #[test]
        fn a_start_says_the_same_as_the_sdk_makes_of_it(body in start()) {
            let service = service(200, body.to_string());
            prop_assert_eq!(read(&service).expect("a start"), Some(read_by_the_sdk(&service).expect("a start")));
        }

        #[test]
        fn a_damaged_start_is_an_error_or_what_the_sdk_makes_of_it(
            body in damaged(start().prop_map(|body| body.to_string())),
        ) {
            let service = service(200, body);
            // Attributes that are not read may be damaged.
            if let (Ok(Some(own)), Ok(sdk)) = (read(&service), read_by_the_sdk(&service)) {
                prop_assert_eq!(own, sdk, "{}", service.1);
            }
        }
    }

    #[test]
    fn a_start_of_which_an_item_is_unprocessed_is_none() {
        let mut body = body(&[]);
        body["UnprocessedKeys"] = json!({"trueppm": {"Keys": [layout::COUNTER]}});
        assert!(read(&service(200, body.to_string())).expect("an answer").is_none());
    }

    #[test]
    fn a_body_that_is_cut_is_read_again() {
        let service = service(200, r#"{"Responses": {"#);
        assert!(matches!(read(&service), Err(Error::Unavailable(_))));
        assert_eq!(*service.2.lock().expect("no panic"), 3);
    }

    #[test]
    fn a_throttled_start_is_asked_for_again_as_by_the_sdk() {
        let body = json!({"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "no"});
        let service = service(400, body.to_string());
        assert!(matches!(read(&service), Err(Error::Unavailable(error)) if error.to_string().contains("Throttling")));
        assert_eq!(*service.2.lock().expect("no panic"), 3);
    }

    #[test]
    fn a_counter_or_a_membership_that_the_product_does_not_write_is_corrupt() {
        let key: crate::domain::RowKey = "memberships#m".parse().expect("a key");
        let row = Row::written(None, key, Write::Put(Columns::new()), version(2));
        let membership = layout::row_item(&project(), &row);
        let mut counter = layout::key(&project(), COUNTER);
        counter.insert("current_version".to_owned(), layout::number(3));
        counter.insert("checksums".to_owned(), layout::checksums(&Checksums::default()));
        let whole = read(&service(200, body(&[counter.clone(), membership.clone()]).to_string())).expect("a start");
        let sums = Counter::at(version(3)).into();
        assert_eq!(
            whole,
            Some(PullStart { counter: Some(sums), membership: Some(PullMembership::of(&project(), &row)) })
        );
        let text = || AttributeValue::S("x".to_owned());
        for (attribute, value) in [
            ("current_version", None),
            ("current_version", Some(text())),
            ("checksums", None),
            ("checksums", Some(AttributeValue::M([("tasks".to_owned(), AttributeValue::L(vec![]))].into()))),
            ("deleted_at", Some(layout::number(0))),
            ("resync_through", Some(text())),
            ("skipped", Some(AttributeValue::L(vec![AttributeValue::L(vec![layout::number(1)])]))),
        ] {
            let mut broken = counter.clone();
            broken.remove(attribute);
            broken.extend(value.clone().map(|value| (attribute.to_owned(), value)));
            let read = read(&service(200, body(&[broken]).to_string()));
            assert!(matches!(read, Err(Error::Corrupt(_))), "{attribute}: {value:?}");
        }
        for (attribute, value) in [
            ("server_version", None),
            ("writes", None),
            ("row", None),
            ("row", Some(layout::number(1))),
            ("removed_at", Some(text())),
            ("removed_at", Some(AttributeValue::L(vec![layout::number(0)]))),
        ] {
            let mut broken = membership.clone();
            broken.remove(attribute);
            broken.extend(value.clone().map(|value| (attribute.to_owned(), value)));
            let read = read(&service(200, body(&[broken]).to_string()));
            assert!(matches!(read, Err(Error::Corrupt(_))), "{attribute}: {value:?}");
        }
    }
}
