//! The gateway's connections, over its management API.

use std::fmt;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_apigatewaymanagement::Client;
use aws_sdk_apigatewaymanagement::config::Region;
use aws_sdk_apigatewaymanagement::error::SdkError;
use aws_sdk_apigatewaymanagement::primitives::Blob;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::connections::{Connections, Delivery};
use crate::domain::ConnectionId;
use crate::outbound;
use crate::storage::connector::Connector;
use crate::storage::reasons;

/// The time for one attempt of one call. It is short, because a lost poke does no harm and a slow one keeps others waiting.
const ATTEMPT: Duration = Duration::from_secs(2);
/// The number of attempts of a call. The second one is for a call that was throttled.
const MAX_ATTEMPTS: u32 = 2;
const GONE: u16 = 410;

/// The error that the environment does not say where the connections are.
#[derive(thiserror::Error)]
#[error("LIVE_API_URL is not set: it must be the management endpoint of the WebSocket stage")]
pub struct ConfigError;

/// Prints the sentence, because Rust prints the error that `main` returns with `Debug`.
impl fmt::Debug for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The connections of a WebSocket stage.
#[derive(Debug, Clone)]
pub struct Gateway(Client);

impl Gateway {
    /// The stage that a function's environment names: `LIVE_API_URL`, `AWS_REGION` and the credentials that Lambda gives. It
    /// looks for nothing in files or on the network.
    pub fn from_env() -> Result<Self, ConfigError> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let config = aws_sdk_apigatewaymanagement::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(Connector(outbound::client()))
            .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build())
            .region(set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION")).map(Region::new))
            .credentials_provider(EnvironmentVariableCredentialsProvider::new())
            .endpoint_url(set("LIVE_API_URL").ok_or(ConfigError)?);
        Ok(Self(Client::from_conf(config.build())))
    }
}

impl Connections for Gateway {
    async fn send(&self, to: &ConnectionId, text: &str) -> Delivery {
        let post = self.0.post_to_connection().connection_id(to.as_str()).data(Blob::new(text));
        delivery(post.send().await)
    }

    async fn close(&self, connection: &ConnectionId) -> Delivery {
        delivery(self.0.delete_connection().connection_id(connection.as_str()).send().await)
    }
}

/// Go by the status, because not every gateway names the error.
fn delivery<T, E>(answer: Result<T, SdkError<E, HttpResponse>>) -> Delivery
where
    E: std::error::Error + Send + Sync + 'static,
{
    match answer {
        Ok(_) => Delivery::Sent,
        Err(error) if error.raw_response().is_some_and(|response| response.status().as_u16() == GONE) => Delivery::Gone,
        Err(error) => {
            tracing::warn!(error = %reasons(&error), "a connection could not be reached");
            Delivery::Failed
        }
    }
}
