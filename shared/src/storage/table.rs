//! The handle to the table.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_smithy_http_client::tls;

use super::capacity::AskForCapacity;
use crate::domain::Error;

/// The index that feeds pulls: the rows of a project by `server_version`.
pub const BY_VERSION: &str = "by_version";
/// The index that finds a user's projects.
pub const BY_USER: &str = "by_user";

/// One attempt of one call. Long enough for a page of 1 MB, short enough that a lost answer is asked for again within a
/// request's deadline.
const ATTEMPT: Duration = Duration::from_secs(2);
const CONNECT: Duration = Duration::from_secs(1);

/// The environment does not say which table.
#[derive(Debug, thiserror::Error)]
#[error("TABLE_NAME is not set: it must name the DynamoDB table")]
pub struct ConfigError;

/// The table, cheap to clone.
#[derive(Debug, Clone)]
pub struct Table {
    pub(super) client: Client,
    pub(super) name: String,
}

impl Table {
    /// The table with this name behind a client, whose calls are counted for the request that makes them.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        let counted = client.config().to_builder().interceptor(AskForCapacity);
        Self { client: Client::from_conf(counted.build()), name: name.into() }
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the SDK is set up here: connections, retries and time limits. Credentials, region and endpoint are added.
    pub fn sdk_config() -> ConfigLoader {
        // ring: aws-lc-rs, the SDK's default, takes 25 ms of CPU for its entropy at the first connection.
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .build_https();
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ATTEMPT).build();
        aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(timeouts)
    }

    /// The table of the environment: `TABLE_NAME` and what the SDK itself reads (`AWS_REGION`,
    /// `AWS_ENDPOINT_URL_DYNAMODB`, …). Connects at the first call.
    pub async fn from_env() -> Result<Self, ConfigError> {
        let name = std::env::var("TABLE_NAME").ok().filter(|name| !name.is_empty()).ok_or(ConfigError)?;
        let config = Self::sdk_config().load().await;
        Ok(Self::new(Client::new(&config), name))
    }
}

/// A failed read: the SDK has already tried again.
pub(super) fn unavailable<E>(error: SdkError<E>) -> Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    Error::Unavailable(reasons(&error).into())
}

/// An error and what lies behind it, for the log. Not the SDK's own rendering, which shows the response with it: rows.
pub(super) fn reasons(error: &dyn std::error::Error) -> String {
    let behind = error.source().map(|source| format!(": {}", reasons(source)));
    format!("{error}{}", behind.unwrap_or_default())
}
