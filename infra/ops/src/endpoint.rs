//! A client for DynamoDB at a given URL.

use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use shared::storage::Table;

/// A client for an endpoint. See [`config`].
pub async fn client(endpoint: &str) -> Client {
    Client::new(&config(endpoint).await)
}

/// The SDK's configuration for an endpoint, with the environment's credentials. Without any, it has made-up ones, because
/// emulators accept all.
pub async fn config(endpoint: &str) -> SdkConfig {
    let mut config = Table::sdk_config().endpoint_url(endpoint);
    if std::env::var_os("AWS_ACCESS_KEY_ID").is_none() {
        config = config.credentials_provider(Credentials::new("local", "local", None, None, "local"));
    }
    if std::env::var_os("AWS_REGION").is_none() {
        config = config.region(Region::from_static("us-east-1"));
    }
    config.load().await
}
