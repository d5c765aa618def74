//! The contents of the table, read strongly and not with the product's code.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;
use shared::domain::{Mark, ServerVersion, VersionHistory};

use super::TestProject;

/// A row's item.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored(HashMap<String, AttributeValue>);

impl Stored {
    /// Any attribute.
    pub fn get(&self, name: &str) -> Option<&AttributeValue> {
        self.0.get(name)
    }

    /// A number, for example `server_version`, `writes` or `current_version`.
    #[track_caller]
    pub fn number(&self, name: &str) -> u64 {
        let number = self.get(name).and_then(|value| value.as_n().ok()?.parse().ok());
        number.unwrap_or_else(|| panic!("{name} is no number in {:?}", self.0))
    }

    /// The numbers of a list, for example `removed_at`. None if the list does not exist.
    pub fn numbers(&self, name: &str) -> Vec<u64> {
        let list = self.get(name).map(|value| value.as_l().expect("a list").as_slice()).unwrap_or_default();
        list.iter().map(|value| value.as_n().expect("a number").parse().expect("an integer")).collect()
    }

    /// Whether the row is a tombstone.
    pub fn is_dead(&self) -> bool {
        self.get("is_deleted") == Some(&AttributeValue::Bool(true))
    }

    /// The JSON in `row` or `deleted_row`.
    #[track_caller]
    pub fn content(&self) -> Value {
        let text = self.get(if self.is_dead() { "deleted_row" } else { "row" }).and_then(|value| value.as_s().ok());
        serde_json::from_str(text.unwrap_or_else(|| panic!("no content in {:?}", self.0))).expect("JSON")
    }

    /// Every version that the row ever held, oldest first. Use it only for a row whose history was never cut.
    #[track_caller]
    pub fn versions(&self) -> Vec<u64> {
        let current = ServerVersion::try_from(self.number("server_version")).expect("a version");
        let history = self.get("superseded").map_or_else(VersionHistory::default, |value| {
            VersionHistory::decode(value.as_b().expect("bytes").as_ref(), current).expect("a list")
        });
        assert_eq!(history.silent_through(), Mark::NOTHING, "the list was cut");
        let mut versions: Vec<u64> =
            history.versions().iter().map(|version| version.get()).chain([current.get()]).collect();
        versions.sort_unstable();
        versions
    }
}

impl TestProject {
    /// Every item of the project, the counter included, by its sort key.
    pub async fn items(&self) -> BTreeMap<String, Stored> {
        self.items_of(&self.id).await
    }

    /// The idempotency records of the project, by their sort keys.
    pub async fn records(&self) -> BTreeMap<String, Stored> {
        self.items_of(&format!("request#{}", self.id)).await
    }

    /// Makes an item unreadable for the product: the attribute becomes a text that says nothing.
    pub async fn spoil(&self, entity: &str, attribute: &str) {
        let update = self
            .update(&self.id, entity)
            .update_expression("SET #spoilt = :nothing")
            .condition_expression("attribute_exists(#spoilt)")
            .expression_attribute_names("#spoilt", attribute)
            .expression_attribute_values(":nothing", AttributeValue::S("?".to_owned()));
        update.send().await.expect("an answer");
    }

    /// Makes every record expire without removing it. DynamoDB may keep expired items for days.
    pub async fn expire_records(&self) {
        for (entity, _) in self.records().await {
            let update = self
                .update(&format!("request#{}", self.id), &entity)
                .update_expression("SET expires_at = :past")
                .expression_attribute_values(":past", AttributeValue::N("1700000000".to_owned()));
            update.send().await.expect("an update");
        }
    }

    /// Removes an attribute of an item, like code that does not know the attribute.
    pub async fn forget(&self, entity: &str, attribute: &str) {
        let update = self
            .update(&self.id, entity)
            .update_expression("REMOVE #attribute")
            .expression_attribute_names("#attribute", attribute);
        update.send().await.expect("an update");
    }

    /// An update of an item, for an expression to be added.
    fn update(&self, partition: &str, entity: &str) -> UpdateItemFluentBuilder {
        let update = self.app.client.update_item().table_name(&self.app.table);
        let key = |text: &str| AttributeValue::S(text.to_owned());
        update.key("project_id", key(partition)).key("entity", key(entity))
    }

    async fn items_of(&self, partition: &str) -> BTreeMap<String, Stored> {
        let mut items = BTreeMap::new();
        let mut start = None;
        loop {
            let query = self.app.client.query().table_name(&self.app.table).consistent_read(true);
            let page = query
                .key_condition_expression("project_id = :project")
                .expression_attribute_values(":project", AttributeValue::S(partition.to_owned()))
                .set_exclusive_start_key(start)
                .send()
                .await
                .expect("a page of the table");
            start = page.last_evaluated_key;
            for item in page.items.unwrap_or_default() {
                let entity = item["entity"].as_s().expect("a sort key").clone();
                items.insert(entity, Stored(item));
            }
            if start.is_none() {
                return items;
            }
        }
    }

    /// The rows, without the counter.
    pub async fn stored(&self) -> BTreeMap<String, Stored> {
        let mut items = self.items().await;
        items.retain(|entity, _| !entity.starts_with('_'));
        items
    }

    /// The counter's item.
    pub async fn counter(&self) -> Stored {
        self.items().await.remove("_counter").expect("a counter")
    }

    /// The project's current version.
    pub async fn current_version(&self) -> u64 {
        self.counter().await.number("current_version")
    }

    /// The rows that a device holds if it missed nothing.
    pub async fn live_rows(&self) -> BTreeMap<(String, String), Value> {
        let live = self.stored().await.into_iter().filter(|(_, row)| !row.is_dead());
        let keyed = live.map(|(entity, row)| {
            let (collection, id) = entity.split_once('#').expect("a row's key");
            ((collection.to_owned(), id.to_owned()), row.content())
        });
        keyed.collect()
    }

    /// Checks that every version from 1 to the counter was given to exactly one row, which still accounts for it.
    pub async fn assert_dense(&self) {
        let mut items = self.items().await;
        let counter = items.remove("_counter").expect("a counter").number("current_version");
        let mut held = Vec::new();
        for (entity, row) in &items {
            let versions = row.versions();
            assert_eq!(row.number("writes"), versions.len() as u64, "{entity}");
            held.extend(versions);
        }
        held.sort_unstable();
        assert_eq!(held, (1..=counter).collect::<Vec<_>>());
    }
}
