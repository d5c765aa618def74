//! Creates the table that template.yaml describes, on any endpoint.

use std::error::Error;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, LocalSecondaryIndex, Projection,
    ProjectionType, ScalarAttributeType, StreamSpecification, StreamViewType,
};
use shared::storage::Table;
use yaml_rust2::{Yaml, YamlLoader};

/// The template that is deployed, so that there is only one description of the table.
const TEMPLATE: &str = include_str!("../../../template.yaml");

/// Creates the table unless it exists. An existing table must have the index that cannot be added later.
pub async fn create(client: &Client, name: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    match describe(client.create_table().table_name(name))?.send().await {
        Ok(_) => Ok(()),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) => {
            Table::new(client.clone(), name).expect_live_edges().await?;
            give_a_stream(client, name).await;
            Ok(())
        }
        Err(error) => Err(DisplayErrorContext(error).to_string().into()),
    }
}

/// Adds the stream to a table from before live updates. If that fails, there are no live updates.
async fn give_a_stream(client: &Client, name: &str) {
    let described = client.describe_table().table_name(name).send().await.ok().and_then(|described| described.table);
    if described.is_some_and(|table| table.latest_stream_arn.is_none()) {
        let update = client.update_table().table_name(name).set_stream_specification(stream().ok());
        if let Err(error) = update.send().await {
            tracing::warn!(error = %DisplayErrorContext(error), "the table gets no stream");
        }
    }
}

/// The stream that live updates read. In the template it depends on a condition: `!If [IsLive, …, !Ref AWS::NoValue]`.
fn stream() -> Result<StreamSpecification, Box<dyn Error + Send + Sync>> {
    let template = YamlLoader::load_from_str(TEMPLATE)?;
    let view = text(&template[0]["Resources"]["Table"]["Properties"]["StreamSpecification"][1]["StreamViewType"])?;
    Ok(StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::from(view)).build()?)
}

/// The request that creates everything that the template's table has.
fn describe(mut request: CreateTableFluentBuilder) -> Result<CreateTableFluentBuilder, Box<dyn Error + Send + Sync>> {
    let template = YamlLoader::load_from_str(TEMPLATE)?;
    let table = &template[0]["Resources"]["Table"]["Properties"];
    request = request.stream_specification(stream()?);
    request = request.billing_mode(BillingMode::from(text(&table["BillingMode"])?));
    for attribute in list(&table["AttributeDefinitions"])? {
        request = request.attribute_definitions(
            AttributeDefinition::builder()
                .attribute_name(text(&attribute["AttributeName"])?)
                .attribute_type(ScalarAttributeType::from(text(&attribute["AttributeType"])?))
                .build()?,
        );
    }
    request = request.set_key_schema(Some(key_schema(table)?));
    for index in list(&table["GlobalSecondaryIndexes"])? {
        request = request.global_secondary_indexes(
            GlobalSecondaryIndex::builder()
                .index_name(text(&index["IndexName"])?)
                .set_key_schema(Some(key_schema(index)?))
                .projection(projection(index)?)
                .build()?,
        );
    }
    for index in list(&table["LocalSecondaryIndexes"])? {
        request = request.local_secondary_indexes(
            LocalSecondaryIndex::builder()
                .index_name(text(&index["IndexName"])?)
                .set_key_schema(Some(key_schema(index)?))
                .projection(projection(index)?)
                .build()?,
        );
    }
    Ok(request)
}

fn projection(index: &Yaml) -> Result<Projection, Box<dyn Error + Send + Sync>> {
    let projection = &index["Projection"];
    let mut projected =
        Projection::builder().projection_type(ProjectionType::from(text(&projection["ProjectionType"])?));
    for attribute in projection["NonKeyAttributes"].as_vec().into_iter().flatten() {
        projected = projected.non_key_attributes(text(attribute)?);
    }
    Ok(projected.build())
}

fn key_schema(of: &Yaml) -> Result<Vec<KeySchemaElement>, Box<dyn Error + Send + Sync>> {
    let mut schema = Vec::new();
    for element in list(&of["KeySchema"])? {
        schema.push(
            KeySchemaElement::builder()
                .attribute_name(text(&element["AttributeName"])?)
                .key_type(KeyType::from(text(&element["KeyType"])?))
                .build()?,
        );
    }
    Ok(schema)
}

fn text(yaml: &Yaml) -> Result<&str, Box<dyn Error + Send + Sync>> {
    yaml.as_str().ok_or_else(|| "template.yaml: the table is not described in plain texts".into())
}

fn list(yaml: &Yaml) -> Result<&Vec<Yaml>, Box<dyn Error + Send + Sync>> {
    yaml.as_vec().ok_or_else(|| "template.yaml: the table lacks a list".into())
}
