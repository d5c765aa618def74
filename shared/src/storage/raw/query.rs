//! Reads a page of rows out of the bytes that DynamoDB sends. The rows that we read are parts of the body, which stays in
//! memory as long as they do.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_dynamodb::client::customize::CustomizableOperation;
use aws_sdk_dynamodb::config::Config;
use aws_sdk_dynamodb::config::interceptors::InterceptorContext;
use aws_sdk_dynamodb::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_dynamodb::error::{ErrorMetadata, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::query::{QueryError, QueryOutput};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_runtime_api::client::interceptors::context::Output;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use serde::Deserialize;

use super::super::feed_row::{FeedPage, PageCursor};
use super::super::table::unavailable;
use super::answer::{Answer, Capacity, Read, ReadAnswer, parse};
use super::item::{Attributes, FromItem, Json};
use super::rows::{Taken, WithoutRows};
use crate::domain::Error;
use crate::storage::raw::Escaped;

/// Sends a query for rows as pulls need them: key, `server_version`, `writes`, `superseded`, `is_deleted` and `row`, or
/// those of them that the type has.
pub(in super::super) async fn send<R: FromItem>(query: QueryFluentBuilder) -> Result<FeedPage<R>, Error> {
    read(query.customize()).await.map_err(unavailable)?
}

/// Sends the same query, but does not try again when it is throttled. It fails with `Overloaded` then.
pub(in super::super) async fn send_once_if_throttled<R: FromItem>(
    query: QueryFluentBuilder,
) -> Result<FeedPage<R>, Error> {
    let never_again = Config::builder().retry_classifier(NotWhenThrottled);
    let page = read(query.customize().config_override(never_again)).await;
    page.map_err(|error| if is_throttle(error.code()) { Error::Overloaded } else { unavailable(error) })?
}

type Query = CustomizableOperation<QueryOutput, QueryError, QueryFluentBuilder>;

async fn read<R: FromItem>(query: Query) -> Result<Result<FeedPage<R>, Error>, SdkError<QueryError, HttpResponse>> {
    let page = ReadAnswer::new();
    query.interceptor(page.clone()).send().await?;
    Ok(page.take())
}

/// Forbids retries of throttled queries. It does not judge other failures.
#[derive(Debug)]
struct NotWhenThrottled;

impl ClassifyRetry for NotWhenThrottled {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let error = context.output_or_error().and_then(Result::err).and_then(|error| error.as_operation_error());
        match error.and_then(|error| error.downcast_ref::<QueryError>()) {
            Some(error) if is_throttle(error.code()) => RetryAction::RetryForbidden,
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "NotWhenThrottled"
    }
}

pub(in super::super) fn is_throttle(code: Option<&str>) -> bool {
    const THROTTLES: [&str; 4] =
        ["ProvisionedThroughputExceededException", "ThrottlingException", "Throttling", "RequestLimitExceeded"];
    code.is_some_and(|code| THROTTLES.contains(&code))
}

impl<R: FromItem> Answer for FeedPage<R> {
    type SdkError = QueryError;

    fn sdk_error(metadata: ErrorMetadata) -> QueryError {
        QueryError::generic(metadata)
    }

    fn read(body: &Arc<String>) -> serde_json::Result<Read<Self>> {
        let WithoutRows { page, rows } = WithoutRows::of(body);
        let mut parsed = parse::<Page<'_>>(&page, "a page of rows")?;
        let capacity = parsed.as_mut().ok().and_then(|page| page.capacity.take());
        Ok(Read {
            answer: parsed.and_then(|parsed| page_of(parsed, body, &page, rows)),
            output: Output::erase(QueryOutput::builder().set_consumed_capacity(capacity.map(Into::into)).build()),
        })
    }
}

/// The body of an answer.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(rename = "Items", borrow)]
    items: Vec<Attributes<'a>>,
    #[serde(rename = "LastEvaluatedKey")]
    last_key: Option<HashMap<String, KeyPart>>,
    #[serde(rename = "ConsumedCapacity")]
    capacity: Option<Capacity>,
}

/// Part of a key. Keys of the table and of its indexes are strings and numbers.
#[derive(Deserialize)]
enum KeyPart {
    S(String),
    N(String),
}

fn page_of<R: FromItem>(
    parsed: Page<'_>,
    body: &Arc<String>,
    page: &str,
    mut rows: Taken,
) -> Result<FeedPage<R>, Error> {
    let mut read = |item: &Attributes<'_>| {
        let row = match item.row.as_ref().map(Json::escaped) {
            None => None,
            Some(Some(text)) if text.is_empty() => {
                let place = text.as_ptr().addr() - page.as_ptr().addr();
                rows.at(place).map(|row| Escaped::part_of(body, row))
            }
            Some(text) => text.map(Escaped::copy_of),
        };
        R::from_item(item, row)
    };
    let items = parsed.items.iter().map(&mut read).collect::<Result<_, _>>()?;
    if !rows.is_empty() {
        return Err(Error::Corrupt("a row that is no item's".to_owned()));
    }
    let cursor = |key: HashMap<String, KeyPart>| key.into_iter().map(|(name, part)| (name, part.into())).collect();
    Ok(FeedPage { rows: items, next: parsed.last_key.map(|key| PageCursor(cursor(key))) })
}

impl From<KeyPart> for AttributeValue {
    fn from(part: KeyPart) -> Self {
        match part {
            KeyPart::S(text) => Self::S(text),
            KeyPart::N(digits) => Self::N(digits),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::super::layout::{feed_row, row_item};
    use super::super::testing::{RUNTIME, Service, as_json, client, damaged, service};
    use super::*;
    use crate::domain::{ProjectId, Row, ServerVersion, Write};
    use crate::storage::feed_row::{FeedRow, RowHistory};

    /// The page as it is read here.
    fn read<R: FromItem>(service: &Service) -> Result<FeedPage<R>, Error> {
        let query = client(service).query().table_name("t");
        RUNTIME.block_on(send(query))
    }

    /// The page by way of the SDK's own types.
    fn read_by_the_sdk(service: &Service) -> Result<FeedPage, Error> {
        let query = client(service).query().table_name("t");
        let output = RUNTIME.block_on(query.send()).map_err(unavailable)?;
        let rows = output.items.unwrap_or_default().into_iter().map(feed_row).collect::<Result<_, _>>()?;
        Ok(FeedPage { rows, next: output.last_evaluated_key.map(PageCursor) })
    }

    /// The attributes that are read. Only the SDK notices damage to other ones.
    const READ: [&str; 6] = ["entity", "server_version", "writes", "superseded", "is_deleted", "row"];

    fn row() -> impl Strategy<Value = Row> {
        let writes = prop::collection::vec((1..1_000_u64, prop::option::weighted(0.8, ".{0,40}")), 1..6);
        ("[a-z0-9_-]{1,12}", writes).prop_map(|(id, writes)| {
            let mut row: Option<Row> = None;
            let mut version = 0;
            for (gap, name) in writes {
                version += gap;
                let write = match name {
                    Some(name) => Write::Put(json!({ "name": name }).as_object().expect("columns").clone()),
                    None => Write::Delete,
                };
                let version = ServerVersion::try_from(version).expect("a version");
                row = Some(Row::written(row.as_ref(), format!("tasks#{id}").parse().expect("a key"), write, version));
            }
            row.expect("one write at least")
        })
    }

    fn page() -> impl Strategy<Value = String> {
        (prop::collection::vec(row(), 0..6), any::<bool>()).prop_map(|(rows, more)| {
            let project: ProjectId = "p".parse().expect("a project");
            let items: Vec<Value> = rows
                .iter()
                .map(|row| {
                    let item = row_item(&project, row);
                    let read = item.iter().filter(|(name, _)| READ.contains(&name.as_str()));
                    Value::Object(read.map(|(name, value)| (name.clone(), as_json(value))).collect())
                })
                .collect();
            let mut answer = json!({"Count": items.len(), "ScannedCount": items.len(), "Items": items});
            if more {
                answer["LastEvaluatedKey"] = json!({"project_id": {"S": "p"}, "entity": {"S": "tasks#\u{e4}\"x"},
                    "server_version": {"N": "7"}});
            }
            answer.to_string()
        })
    }

    fn shown(page: &FeedPage) -> (&[FeedRow], Option<&super::super::super::layout::Item>) {
        (&page.rows, page.next.as_ref().map(|next| &next.0))
    }

    proptest! {
        #[test]
        fn a_page_says_the_same_as_the_sdk_makes_of_it(body in page()) {
            let service = service(200, body);
            let (own, sdk) = (read(&service).expect("a page"), read_by_the_sdk(&service).expect("a page"));
            prop_assert_eq!(shown(&own), shown(&sdk));
        }

        #[test]
        fn the_histories_of_rows_are_the_same_with_and_without_their_content(body in page()) {
            let whole: FeedPage = read(&service(200, body.clone())).expect("a page");
            let mut body: Value = serde_json::from_str(&body).expect("JSON");
            for item in body["Items"].as_array_mut().expect("items") {
                let wanted = ["entity", "server_version", "superseded"];
                item.as_object_mut().expect("an item").retain(|name, _| wanted.contains(&name.as_str()));
            }
            let without: FeedPage<RowHistory> = read(&service(200, body.to_string())).expect("a page");
            let rows = whole.rows.into_iter();
            let expected = rows.map(|FeedRow { version, history, .. }| RowHistory { version, history });
            prop_assert_eq!(without.rows, expected.collect::<Vec<_>>());
            prop_assert_eq!(without.next.map(|next| next.0), whole.next.map(|next| next.0));
        }

        #[test]
        fn a_damaged_page_is_an_error_or_what_the_sdk_makes_of_it(
            body in damaged(page()),
        ) {
            let service = service(200, body);
            if let Ok(own) = read::<FeedRow>(&service) {
                let sdk = read_by_the_sdk(&service).map_err(|error| format!("{error:?}: {}", service.1));
                let sdk = sdk.map_err(TestCaseError::fail)?;
                prop_assert_eq!(shown(&own), shown(&sdk));
            }
        }
    }

    #[test]
    fn a_body_that_is_cut_is_read_again() {
        let service = service(200, r#"{"Items": ["#);
        assert!(matches!(read::<FeedRow>(&service), Err(Error::Unavailable(_))));
        assert_eq!(*service.2.lock().expect("no panic"), 3);
    }

    #[test]
    fn errors_are_classified_and_tried_again_as_by_the_sdk() {
        for (status, kind) in [
            (400, "ProvisionedThroughputExceededException"),
            (400, "ThrottlingException"),
            (400, "RequestLimitExceeded"),
            (400, "ResourceNotFoundException"),
            (400, "ValidationException"),
            (500, "InternalServerError"),
            (503, "ServiceUnavailable"),
        ] {
            let body = json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{kind}"), "message": "no"});
            let (own, sdk) = (service(status, body.to_string()), service(status, body.to_string()));
            assert!(
                matches!(read::<FeedRow>(&own), Err(Error::Unavailable(error)) if error.to_string().contains(kind)),
                "{kind}"
            );
            assert!(read_by_the_sdk(&sdk).is_err());
            assert_eq!(*own.2.lock().expect("no panic"), *sdk.2.lock().expect("no panic"), "{kind}");
        }
    }

    #[test]
    fn each_item_has_its_own_row_however_that_is_written() {
        let item = |id: &str, row: &str| {
            format!(r#"{{{row},"entity":{{"S":"tasks#{id}"}},"server_version":{{"N":"1"}},"writes":{{"N":"1"}}}}"#)
        };
        let items = [
            item("a", r#""row":{"S":"{\"id\":\"a\"}"}"#),
            item("b", r#""row": {"S": "{\"id\":\"b\"}"}"#),
            item("c", r#""is_deleted":{"BOOL":true}"#),
            item("d", r#""row":{"S":"{\u0022id\":\"d\"}"}"#),
            item("e", r#""row":{"S":"{\"id\":\"e\"}"}"#),
        ];
        let service = service(200, format!(r#"{{"Items":[{}]}}"#, items.join(",")));
        let (own, sdk) = (read(&service).expect("a page"), read_by_the_sdk(&service).expect("a page"));
        assert_eq!(shown(&own), shown(&sdk));
        assert_eq!(own.rows.len(), 5);
    }

    #[test]
    fn an_item_that_the_product_does_not_write_is_corrupt() {
        for item in [
            json!({"server_version": {"N": "1"}, "writes": {"N": "1"}, "row": {"S": "{}"}}),
            json!({"entity": {"S": "tasks#a"}, "server_version": {"S": "1"}, "writes": {"N": "1"}, "row": {"S": "{}"}}),
            json!({"entity": {"S": "tasks#a"}, "server_version": {"N": "1"}, "row": {"S": "{}"}}),
            json!({"entity": {"S": "tasks#a"}, "server_version": {"N": "1"}, "writes": {"N": "1"}}),
            json!({"entity": {"S": "cats-#a"}, "server_version": {"N": "1"}, "writes": {"N": "1"}, "row": {"S": "{}"}}),
            json!({"entity": {"S": "tasks#a"}, "server_version": {"N": "1"}, "writes": {"N": "1"}, "row": {"S": 5},
                "is_deleted": {"BOOL": true}}),
            // One row too many, before the item's own or behind it.
            json!({"entity": {"S": "tasks#a"}, "server_version": {"N": "1"}, "writes": {"N": "1"}, "row": {"S": "{}"},
                "a": {"M": {"row": {"S": "{}"}}}}),
            json!({"entity": {"S": "tasks#a"}, "server_version": {"N": "1"}, "writes": {"N": "1"}, "row": {"S": "{}"},
                "z": {"M": {"row": {"S": "{}"}}}}),
            json!({"entity": {"S": "tasks#a"}, "server_version": {"N": "1"}, "writes": {"N": "1"}, "row": {"S": ""},
                "a": {"M": {"row": {"S": "{}"}}}}),
            json!({"entity": {"S": "tasks#a"}, "server_version": {"N": "1"}, "writes": {"N": "1"}, "row": {"S": ""},
                "z": {"M": {"row": {"S": "{}"}}}}),
        ] {
            let service = service(200, json!({"Items": [item]}).to_string());
            assert!(matches!(read::<FeedRow>(&service), Err(Error::Corrupt(_))), "{item}");
        }
    }
}
