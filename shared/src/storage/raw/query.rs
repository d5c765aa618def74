//! Reads a page of rows out of the bytes that DynamoDB sends.
//!
//! The SDK makes a map of attribute values of every row. That takes most of the time of a first pull. Here the SDK
//! still finds the endpoint, signs, waits for the body and tries again. Only its deserializer is replaced: an
//! interceptor puts our own in its place. The rows that we read are parts of the body, which stays in memory as long as
//! they do.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use aws_sdk_dynamodb::client::customize::CustomizableOperation;
use aws_sdk_dynamodb::config::interceptors::BeforeSerializationInterceptorContextMut;
use aws_sdk_dynamodb::config::interceptors::InterceptorContext;
use aws_sdk_dynamodb::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_dynamodb::config::{Config, ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::{BoxError, ErrorMetadata, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::query::{QueryError, QueryOutput};
use aws_sdk_dynamodb::types::{AttributeValue, ConsumedCapacity};
use aws_smithy_runtime_api::client::interceptors::context::{Error as AnyError, Output};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::ser_de::{DeserializeResponse, SharedResponseDeserializer};
use aws_smithy_types::base64;
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::feed_row::{FeedPage, FeedRow, PageCursor, RowHistory, RowVersions};
use super::super::table::unavailable;
use super::rows::{Taken, WithoutRows};
use crate::domain::{Error, Mark, RowKey, ServerVersion, VersionHistory};
use crate::storage::raw::Escaped;

/// A type as which a query's items can be read.
pub(in super::super) trait FromItem: Clone + Debug + Send + Sync + Sized + 'static {
    /// `row` is the row's JSON. It is also none if it is no string.
    fn from_item(item: &Attributes<'_>, row: Option<Escaped>) -> Result<Self, Error>;
}

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

async fn read<R: FromItem>(query: Query) -> Result<PageOrError<R>, SdkError<QueryError, HttpResponse>> {
    let read = ReadPage::<R>(Arc::default());
    query.interceptor(read.clone()).send().await?;
    let page = read.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(page.unwrap_or_else(|| Err(Error::Unavailable("a query without an answer".into()))))
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

/// Replaces the operation's deserializer, and keeps what it read.
#[derive(Debug, Clone)]
struct ReadPage<R>(Arc<Mutex<Option<PageOrError<R>>>>);

type PageOrError<R> = Result<FeedPage<R>, Error>;

impl<R: FromItem> Intercept for ReadPage<R> {
    fn name(&self) -> &'static str {
        "ReadPage"
    }

    fn modify_before_serialization(
        &self,
        _context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(SharedResponseDeserializer::new(self.clone()));
        Ok(())
    }
}

impl<R: FromItem> DeserializeResponse for ReadPage<R> {
    /// Of the two methods, only this one is given the body to keep.
    fn deserialize_streaming_with_config(
        &self,
        response: &mut HttpResponse,
        _config: &ConfigBag,
    ) -> Option<Result<Output, OrchestratorError<AnyError>>> {
        if !response.status().is_success() {
            return None;
        }
        let body = std::mem::replace(response.body_mut(), SdkBody::taken());
        Some(whole(body).and_then(|body| self.read(&Arc::new(body))))
    }

    /// Reads the error of an answer that is no success.
    fn deserialize_nonstreaming_with_config(
        &self,
        response: &HttpResponse,
        _config: &ConfigBag,
    ) -> Result<Output, OrchestratorError<AnyError>> {
        let body = response.body().bytes().ok_or_else(|| OrchestratorError::other("a body that was not read"))?;
        Err(OrchestratorError::operation(AnyError::erase(error_in(response, body))))
    }
}

/// A body that is already complete in one piece, as the connector hands it on.
fn whole(mut body: SdkBody) -> Result<String, OrchestratorError<AnyError>> {
    let frame = match pin!(body.frame()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(frame)) => frame.map_err(OrchestratorError::response)?,
        Poll::Ready(None) => return Ok(String::new()),
        Poll::Pending => return Err(OrchestratorError::other("a body that was not read")),
    };
    let bytes = frame.into_data().map_err(|_| OrchestratorError::other("a body without data"))?;
    // The body keeps its bytes in case they are read again, and so they would be copied.
    drop(body);
    String::from_utf8(bytes.into()).map_err(|error| OrchestratorError::response(error.into()))
}

impl<R: FromItem> ReadPage<R> {
    fn read(&self, body: &Arc<String>) -> Result<Output, OrchestratorError<AnyError>> {
        let WithoutRows { page, rows } = WithoutRows::of(body);
        let mut output = QueryOutput::builder();
        let page = match serde_json::from_str::<Answer<'_>>(&page) {
            Ok(mut answer) => {
                output = output.set_consumed_capacity(answer.capacity.take().map(ConsumedCapacity::from));
                page_of(answer, body, &page, rows)
            }
            // The body is well-formed, but not what the product writes. The error itself may quote it.
            Err(error) if error.is_data() => Err(Error::Corrupt("a page of rows".to_owned())),
            Err(error) => return Err(OrchestratorError::response(error.into())),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(page);
        Ok(Output::erase(output.build()))
    }
}

/// The error as the SDK's retries classify it: by its code.
fn error_in(response: &HttpResponse, body: &[u8]) -> QueryError {
    #[derive(Deserialize)]
    struct Problem {
        #[serde(rename = "__type")]
        kind: String,
        #[serde(alias = "Message")]
        message: Option<String>,
    }
    let mut metadata = ErrorMetadata::builder();
    if let Some(id) = response.headers().get("x-amzn-requestid") {
        metadata = metadata.custom("aws_request_id", id.to_owned());
    }
    if let Ok(Problem { kind, message }) = serde_json::from_slice(body) {
        metadata = metadata.code(kind.rsplit_once('#').map_or(kind.as_str(), |(_, code)| code));
        if let Some(message) = message {
            metadata = metadata.message(message);
        }
    }
    QueryError::generic(metadata.build())
}

/// The body of an answer.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(rename = "Items", borrow)]
    items: Vec<Attributes<'a>>,
    #[serde(rename = "LastEvaluatedKey")]
    last_key: Option<HashMap<String, KeyPart>>,
    #[serde(rename = "ConsumedCapacity")]
    capacity: Option<Capacity>,
}

/// The capacity units that the query consumed.
#[derive(Deserialize)]
struct Capacity {
    #[serde(rename = "CapacityUnits")]
    units: Option<f64>,
}

/// A row's attributes. Other attributes are ignored. An attribute that occurs twice or has another type is an error.
#[derive(Deserialize)]
pub(in super::super) struct Attributes<'a> {
    #[serde(borrow)]
    entity: Text<'a>,
    #[serde(borrow)]
    server_version: Number<'a>,
    #[serde(borrow)]
    writes: Option<Number<'a>>,
    #[serde(borrow)]
    superseded: Option<Base64<'a>>,
    #[serde(borrow)]
    archived_from: Option<Number<'a>>,
    is_deleted: Option<Bool>,
    #[serde(borrow)]
    row: Option<Json<'a>>,
}

// A value is an object with its type's name as the one key, which is how serde writes an enum.

#[derive(Deserialize)]
enum Text<'a> {
    S(#[serde(borrow)] Cow<'a, str>),
}

#[derive(Deserialize)]
enum Number<'a> {
    N(#[serde(borrow)] Cow<'a, str>),
}

#[derive(Deserialize)]
enum Base64<'a> {
    B(#[serde(borrow)] Cow<'a, str>),
}

#[derive(Deserialize)]
enum Bool {
    #[serde(rename = "BOOL")]
    Bool(bool),
}

/// A row's JSON, which is not parsed. Its string is checked to be well-formed and copied unchanged. It is empty if the
/// text was taken out before.
#[derive(Deserialize)]
enum Json<'a> {
    S(#[serde(borrow)] &'a RawValue),
}

impl<'a> Json<'a> {
    /// The text between the quotes. None if the value is no string.
    fn escaped(&self) -> Option<&'a str> {
        let Self::S(string) = self;
        let text = string.get().strip_prefix('"')?.strip_suffix('"')?;
        // Escapes were skipped unread so far. Half of a surrogate pair is the one escape that passes there and means no
        // character.
        if text.contains("\\u") {
            serde_json::from_str::<Cow<'_, str>>(string.get()).ok()?;
        }
        Some(text)
    }
}

/// Part of a key. Keys of the table and of its indexes are strings and numbers.
#[derive(Deserialize)]
enum KeyPart {
    S(String),
    N(String),
}

fn page_of<R: FromItem>(
    answer: Answer<'_>,
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
            Some(text) => text.map(|text| Escaped::part_of(&Arc::new(text.to_owned()), 0..text.len())),
        };
        R::from_item(item, row)
    };
    let items = answer.items.iter().map(&mut read).collect::<Result<_, _>>()?;
    if !rows.is_empty() {
        return Err(Error::Corrupt("a row that is no item's".to_owned()));
    }
    let cursor = |key: HashMap<String, KeyPart>| key.into_iter().map(|(name, part)| (name, part.into())).collect();
    Ok(FeedPage { rows: items, next: answer.last_key.map(|key| PageCursor(cursor(key))) })
}

impl Attributes<'_> {
    fn corrupt(&self, what: &str) -> Error {
        let Text::S(entity) = &self.entity;
        Error::Corrupt(format!("{entity}: {what}"))
    }

    fn version(&self) -> Result<ServerVersion, Error> {
        let Number::N(digits) = &self.server_version;
        let version = digits.parse::<u64>().ok();
        version.and_then(|version| version.try_into().ok()).ok_or_else(|| self.corrupt("server_version"))
    }

    fn key(&self) -> Result<RowKey, Error> {
        let Text::S(entity) = &self.entity;
        entity.parse().map_err(|_| self.corrupt("entity"))
    }

    fn revision_count(&self) -> Result<u64, Error> {
        let writes = self.writes.as_ref().and_then(|Number::N(digits)| digits.parse().ok());
        writes.ok_or_else(|| self.corrupt("writes"))
    }

    fn history(&self, version: ServerVersion) -> Result<VersionHistory, Error> {
        let Some(Base64::B(text)) = &self.superseded else { return Ok(VersionHistory::default()) };
        let bytes = base64::decode(text.as_ref()).ok();
        let list = bytes.and_then(|bytes| VersionHistory::decode(&bytes, version).ok());
        list.ok_or_else(|| self.corrupt("superseded"))
    }

    fn archived_above(&self) -> Result<Option<Mark>, Error> {
        let Some(Number::N(digits)) = &self.archived_from else { return Ok(None) };
        let above = digits.parse().ok().and_then(|from| Mark::below_floor(from).ok());
        above.map(Some).ok_or_else(|| self.corrupt("archived_from"))
    }
}

impl FromItem for FeedRow {
    fn from_item(item: &Attributes<'_>, row: Option<Escaped>) -> Result<Self, Error> {
        let version = item.version()?;
        let history = item.history(version)?;
        let is_deleted = matches!(item.is_deleted, Some(Bool::Bool(true)));
        if item.row.is_some() != row.is_some() || is_deleted == row.is_some() {
            return Err(item.corrupt("row"));
        }
        let archived_above = item.archived_above()?;
        Ok(Self {
            key: item.key()?,
            version,
            revision_count: item.revision_count()?,
            history,
            archived_above,
            json: row,
        })
    }
}

impl FromItem for RowVersions {
    fn from_item(item: &Attributes<'_>, _row: Option<Escaped>) -> Result<Self, Error> {
        let (version, revision_count) = (item.version()?, item.revision_count()?);
        let is_buried = revision_count == 1 && matches!(item.is_deleted, Some(Bool::Bool(true)));
        Ok(Self { key: item.key()?, version, revision_count, history: item.history(version)?, is_buried })
    }
}

impl FromItem for RowHistory {
    fn from_item(item: &Attributes<'_>, _row: Option<Escaped>) -> Result<Self, Error> {
        let version = item.version()?;
        Ok(Self { version, history: item.history(version)? })
    }
}

impl From<Capacity> for ConsumedCapacity {
    fn from(capacity: Capacity) -> Self {
        Self::builder().set_capacity_units(capacity.units).build()
    }
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
    use std::sync::LazyLock;

    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::config::Region;
    use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition};
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };
    use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use tokio::runtime::Runtime;

    use super::super::super::layout::{feed_row, row_item};
    use super::super::super::table::Table;
    use super::*;
    use crate::domain::{ProjectId, Row, Write};

    /// The answer that a service gives to every request, and the number of requests.
    #[derive(Debug, Clone)]
    struct Service(u16, String, Arc<Mutex<u32>>);

    impl HttpConnector for Service {
        fn call(&self, _request: HttpRequest) -> HttpConnectorFuture {
            *self.2.lock().expect("no panic") += 1;
            let status = self.0.try_into().expect("a status");
            HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(self.1.as_str()))))
        }
    }

    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
    });
    static SDK: LazyLock<aws_config::SdkConfig> =
        LazyLock::new(|| RUNTIME.block_on(Table::sdk_config().region("nowhere-1").no_credentials().load()));

    fn client(service: &Service) -> Client {
        let connector = SharedHttpConnector::new(service.clone());
        let config = aws_sdk_dynamodb::config::Builder::from(&*SDK)
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .region(Region::from_static("nowhere-1"))
            .allow_no_auth()
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            // Otherwise all clients of a process share what may be tried again.
            .retry_partition(RetryPartition::custom("alone").build());
        Client::from_conf(config.build())
    }

    fn service(status: u16, body: impl Into<String>) -> Service {
        Service(status, body.into(), Arc::default())
    }

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

    fn as_json(value: &AttributeValue) -> Value {
        match value {
            AttributeValue::S(text) => json!({ "S": text }),
            AttributeValue::N(digits) => json!({ "N": digits }),
            AttributeValue::B(blob) => json!({"B": base64::encode(blob.as_ref())}),
            AttributeValue::Bool(value) => json!({ "BOOL": value }),
            other => unreachable!("{other:?}"),
        }
    }

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
            body in page(),
            at in any::<prop::sample::Index>(),
            by in prop::sample::select(vec!["", "\"", "}", "]", ",", "x", "\\", "0", "\\u00", "null"]),
            length in 0..3_usize,
        ) {
            let places: Vec<usize> = body.char_indices().map(|(place, _)| place).collect();
            let from = at.index(places.len());
            let to = places.get(from + length).copied().unwrap_or(body.len());
            let damaged = format!("{}{by}{}", &body[..places[from]], &body[to..]);
            let service = service(200, damaged);
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
