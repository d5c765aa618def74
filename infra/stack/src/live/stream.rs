//! Reads the table's stream as Lambda's event source does. A record comes as JSON in the same form as in Lambda's events, so it is
//! handed on as it is.

use std::error::Error;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use http_body_util::Full;
use serde_json::{Value, json};
use shared::outbound;

type Failure = Box<dyn Error + Send + Sync>;

/// The maximum size of an answer. It is more than the largest one, which has 1 MB of records.
const MAX_ANSWER: usize = 64 << 20;
/// Engines check that there are credentials, and not whose they are.
const CREDENTIALS: &str = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, \
                           SignedHeaders=host;x-amz-date, Signature=00";

/// A place in each shard of a stream. Shards that come later are not followed: the engine has one and keeps it.
pub(super) struct Stream {
    client: outbound::Client,
    endpoint: String,
    places: Vec<String>,
}

impl Stream {
    /// A reader of the stream from its present end on.
    pub(super) async fn from_now(client: &Client, endpoint: &str, table: &str) -> Result<Self, Failure> {
        let described = client.describe_table().table_name(table).send().await;
        let described = described.map_err(|error| DisplayErrorContext(error).to_string())?;
        let arn = described.table.and_then(|table| table.latest_stream_arn).ok_or("the table has no stream")?;
        let mut stream = Self { client: outbound::client(), endpoint: endpoint.to_owned(), places: vec![] };
        let described = stream.call("DescribeStream", json!({"StreamArn": arn})).await?;
        let shards = described["StreamDescription"]["Shards"].as_array().ok_or("the stream has no shards")?;
        for shard in shards {
            let wanted = json!({"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "LATEST"});
            let answer = stream.call("GetShardIterator", wanted).await?;
            stream.places.push(text(&answer["ShardIterator"])?);
        }
        Ok(stream)
    }

    /// The records since the last call, as events. There is at most one event for each shard.
    pub(super) async fn read(&mut self) -> Result<Vec<Value>, Failure> {
        let mut events = Vec::new();
        for index in 0..self.places.len() {
            let answer = self.call("GetRecords", json!({"ShardIterator": self.places[index]})).await?;
            // A shard that has ended has no next place.
            if let Ok(next) = text(&answer["NextShardIterator"]) {
                self.places[index] = next;
            }
            if answer["Records"].as_array().is_some_and(|records| !records.is_empty()) {
                events.push(json!({"Records": answer["Records"]}));
            }
        }
        Ok(events)
    }

    async fn call(&self, operation: &str, body: Value) -> Result<Value, Failure> {
        let request = Request::post(&self.endpoint)
            .header(header::CONTENT_TYPE, "application/x-amz-json-1.0")
            .header("x-amz-target", format!("DynamoDBStreams_20120810.{operation}"))
            .header("x-amz-date", "20260101T000000Z")
            .header(header::AUTHORIZATION, CREDENTIALS)
            .body(Full::from(body.to_string()))?;
        let response = self.client.request(request).await?;
        let status = response.status();
        let answer = to_bytes(Body::new(response.into_body()), MAX_ANSWER).await?;
        if !status.is_success() {
            return Err(format!("{operation}: {status} {}", String::from_utf8_lossy(&answer)).into());
        }
        Ok(serde_json::from_slice(&answer)?)
    }
}

fn text(value: &Value) -> Result<String, Failure> {
    value.as_str().map(str::to_owned).ok_or_else(|| "the stream does not say where to go on".into())
}
