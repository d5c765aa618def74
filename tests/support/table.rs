//! One table for the whole test process.

use std::fmt;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::types::TableStatus;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use shared::storage::Table;
use tokio::sync::OnceCell;

/// The place of the tests' table: the embedded engine, or the endpoint that `TEST_DYNAMODB_ENDPOINT` names.
#[derive(Debug, Clone)]
pub struct TestTable {
    /// The endpoint.
    pub endpoint: String,
    /// The table's name, which no other process uses.
    pub name: String,
}

impl TestTable {
    /// This process's table, which the first call creates.
    pub async fn of_this_process() -> &'static Self {
        static TABLE: OnceCell<TestTable> = OnceCell::const_new();
        TABLE.get_or_init(Self::make).await
    }

    /// A new client for the caller. Its pooled connections belong to the runtime that opens them, and each test has its own
    /// runtime.
    pub async fn client(&self) -> Client {
        ops::endpoint::client(&self.endpoint).await
    }

    /// The table as the product knows it, behind a client of its own.
    pub async fn table(&self) -> Table {
        Table::new(self.client().await, &self.name)
    }

    /// The table behind a client that shows each attempt of a request, with the name of its operation, to `look` before it is
    /// sent. `look` may change the request. Its error becomes the error of the call.
    pub async fn seen_by(
        &self,
        look: impl Fn(&str, &mut HttpRequest) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> Table {
        let client = self.client().await;
        Table::new(Client::from_conf(client.config().to_builder().interceptor(Look(look)).build()), &self.name)
    }

    /// Whether this is another engine than the embedded one. Not all engines report the units that DynamoDB would.
    pub fn may_count_differently() -> bool {
        Self::elsewhere().is_some()
    }

    fn elsewhere() -> Option<String> {
        std::env::var("TEST_DYNAMODB_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty())
    }

    async fn make() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        let name = format!("test-{}-{}", now.as_millis(), std::process::id());
        let (endpoint, kind) = match Self::elsewhere() {
            Some(endpoint) => (endpoint, "TEST_DYNAMODB_ENDPOINT"),
            None => (stack::engine::start(None).expect("the embedded engine"), "the embedded engine"),
        };
        // This bypasses the test harness, which shows printed text only if a test fails.
        writeln!(std::io::stderr(), "tests run on table {name} at {endpoint} ({kind})").expect("standard error");
        let table = Self { endpoint, name };
        let client = table.client().await;
        stack::table::create(&client, &table.name).await.expect("a table");
        for _ in 0..240 {
            let described = client.describe_table().table_name(&table.name).send().await.expect("the table");
            let status = described.table.and_then(|table| table.table_status);
            if status == Some(TableStatus::Active) {
                return table;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        panic!("the table {} does not become active", table.name)
    }
}

/// See [`TestTable::seen_by`].
struct Look<F>(F);

impl<F> fmt::Debug for Look<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Look")
    }
}

impl<F> Intercept for Look<F>
where
    F: Fn(&str, &mut HttpRequest) -> Result<(), BoxError> + Send + Sync,
{
    fn name(&self) -> &'static str {
        "Look"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        let target = request.headers().get("x-amz-target").ok_or("no operation")?;
        let operation = target.rsplit_once('.').ok_or("no operation")?.1.to_owned();
        (self.0)(&operation, request)
    }
}
