//! A DynamoDB at a given address.

use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use shared::storage::Table;

/// A client for an endpoint, see [`config`].
pub async fn client(endpoint: &str) -> Client {
    Client::new(&config(endpoint).await)
}

/// The SDK set up for an endpoint, with the environment's credentials or, as emulators take any, made-up ones.
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
