//! The handle to the table.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Region, SharedInterceptor, StalledStreamProtectionConfig};
use aws_sdk_dynamodb::error::SdkError;

use super::capacity::AskForCapacity;
use super::connector::Connector;
use super::known_members::KnownMembers;
use super::sdk_headers::OmitSdkHeaders;
use crate::domain::{Error, InvalidQuota, Quotas, VersionHistory};
use crate::outbound;
use aws_sdk_dynamodb::types::AttributeValue;

/// The index that feeds pulls: the rows of a project by `server_version`.
pub const BY_VERSION: &str = "by_version";
/// The index that finds a user's projects.
pub const BY_USER: &str = "by_user";
/// The index of the live dependencies of a project, by their ids: a local one, which has strong reads.
pub const LIVE_EDGES: &str = "live_edges";

/// The time limit for one attempt of one call. It is long enough for a page of 1 MB, and short enough to repeat the call within
/// a request's deadline. It also ends an answer that stalls, because the connector reads all of an answer within the attempt. So
/// the SDK's own protection against that is off.
const ATTEMPT: Duration = Duration::from_secs(2);

/// The error that the environment does not name the table, or has an invalid quota.
#[derive(thiserror::Error)]
pub enum ConfigError {
    /// There is no name.
    #[error("TABLE_NAME is not set: it must name the DynamoDB table")]
    NoTable,
    /// A quota is no number.
    #[error(transparent)]
    Quota(#[from] InvalidQuota),
}

/// Prints the sentence, because Rust prints the error that `main` returns with `Debug`.
impl fmt::Debug for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The table, cheap to clone.
#[derive(Debug, Clone)]
pub struct Table {
    pub(super) client: Client,
    name: Arc<str>,
    pub(super) members: Arc<KnownMembers>,
    pub(super) quotas: Quotas,
    pub(super) max_history_bytes: usize,
}

impl Table {
    /// The table with this name behind a client, whose calls are counted for the request that makes them.
    pub fn new(client: Client, name: impl AsRef<str>) -> Self {
        let mut config = client.config().to_builder();
        // Nothing disables these two. `permanent` spares the SDK a check of that at each step of each call.
        config.push_interceptor(SharedInterceptor::permanent(AskForCapacity));
        config.push_interceptor(SharedInterceptor::permanent(OmitSdkHeaders));
        Self {
            client: Client::from_conf(config.build()),
            name: name.as_ref().into(),
            members: Arc::default(),
            quotas: Quotas::default(),
            max_history_bytes: VersionHistory::MAX_BYTES,
        }
    }

    /// The same table with quotas for projects and users. Without quotas they may take any amount.
    #[must_use]
    pub fn with_quotas(self, quotas: Quotas) -> Self {
        Self { quotas, ..self }
    }

    /// The same table, on which a row's version history has at most this many bytes instead of [`VersionHistory::MAX_BYTES`].
    #[must_use]
    pub fn with_max_history_bytes(self, max_history_bytes: usize) -> Self {
        Self { max_history_bytes, ..self }
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the SDK is set up here: connections, retries and time limits. Credentials, region and endpoint are added, by
    /// default from wherever the SDK looks for them.
    pub fn sdk_config() -> ConfigLoader {
        // If the system names no authorities, use those that the functions trust.
        let client = outbound::client_of_the_system().unwrap_or_else(|_| outbound::client());
        aws_config::defaults(BehaviorVersion::latest())
            .http_client(Connector(client))
            .retry_config(retries())
            .timeout_config(timeouts())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
    }

    /// The table of a function's environment: `TABLE_NAME`, `AWS_REGION`, the credentials that Lambda gives, and
    /// `AWS_ENDPOINT_URL_DYNAMODB` or `AWS_ENDPOINT_URL` if set. Nothing else is looked for, in files or on the network.
    pub fn from_env() -> Result<Self, ConfigError> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let name = set("TABLE_NAME").ok_or(ConfigError::NoTable)?;
        let mut config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(Connector(outbound::client()))
            .retry_config(retries())
            .timeout_config(timeouts())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .region(set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION")).map(Region::new))
            .credentials_provider(EnvironmentVariableCredentialsProvider::new());
        config.set_endpoint_url(set("AWS_ENDPOINT_URL_DYNAMODB").or_else(|| set("AWS_ENDPOINT_URL")));
        let quotas = Quotas::configured(set)?;
        Ok(Self::new(Client::from_conf(config.build()), name).with_quotas(quotas))
    }

    /// Opens a connection, by reading a key that is not there, so that the first request need not wait for it.
    ///
    /// If that fails, a warning is logged, and the first request tries again.
    pub async fn connect(&self) {
        let nothing = AttributeValue::S("_".to_owned());
        let absent =
            self.client.get_item().table_name(self.name()).key("project_id", nothing.clone()).key("entity", nothing);
        let once = aws_sdk_dynamodb::Config::builder().retry_config(RetryConfig::disabled());
        if let Err(error) = absent.customize().config_override(once).send().await {
            tracing::warn!(error = %reasons(&error), "no connection to the table yet");
        }
    }
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(3)
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build()
}

/// The error of a failed read, after the SDK's retries.
pub(super) fn unavailable<E>(error: SdkError<E>) -> Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    Error::Unavailable(reasons(&error).into())
}

/// The message of an error and of all its causes. The SDK's own rendering is not used, because it shows the response with rows.
pub fn reasons(error: &dyn std::error::Error) -> String {
    let behind = error.source().map(|source| format!(": {}", reasons(source)));
    format!("{error}{}", behind.unwrap_or_default())
}
