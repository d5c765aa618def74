//! The reference pull, which the product's pull is compared with: items in the SDK's types, rows as JSON values, one page after
//! the other.
//!
//! It trusts what it reads, so it is right only about a table that nobody writes to. The product must give the same answer, byte
//! for byte. The product's faster code must be worth the difference in cost.

use std::collections::HashMap;
use std::fmt;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use shared::domain::{Collection, ProjectId, RowKey, UserId};
use shared::storage::BY_VERSION;

type Item = HashMap<String, AttributeValue>;

/// The parameters of a pull.
#[derive(Debug, Clone)]
pub struct Reference {
    /// The project.
    pub project: ProjectId,
    /// The caller, who is a member.
    pub caller: UserId,
    /// The device's mark.
    pub since: u64,
    /// The maximum number of rows and tombstones.
    pub limit: usize,
    /// Whether tombstones are left out when the device holds nothing.
    pub turbo: bool,
}

impl Reference {
    /// The body of the answer.
    pub async fn pull(&self, client: &Client, table: &str) -> String {
        let counter = self.counter(client, table).await;
        let current = number(&counter["current_version"]);
        let mut rows = if self.since < current { self.rows(client, table).await } else { vec![] };
        rows.sort_by_key(|item| number(&item["server_version"]));
        let has_more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let mark = if has_more { rows.last().map_or(current, |item| number(&item["server_version"])) } else { current };
        let mut changes: HashMap<String, Changes> = HashMap::new();
        for item in rows {
            let (collection, id) = string(&item["entity"]).split_once('#').expect("a row's key");
            let changes = changes.entry(collection.to_owned()).or_default();
            if item.contains_key("is_deleted") {
                if !(self.turbo && self.since == 0) {
                    changes.deleted.push(id.to_owned());
                }
            } else {
                changes.updated.push(serde_json::from_str(string(&item["row"])).expect("a row"));
            }
        }
        let mut names = Collection::ALL.map(Collection::name).into_iter();
        let changes =
            InOrder(names.by_ref().map(|name| (name.to_owned(), changes.remove(name).unwrap_or_default())).collect());
        let checksum = checksum(&counter);
        let rows = |(name, sums): &(String, Vec<u64>)| (name.clone(), sums[0]);
        let row_counts = has_more.then(|| InOrder(checksum.0.iter().map(rows).collect()));
        let checksum = (!has_more).then_some(checksum);
        let answer = Answer { changes, timestamp: mark, has_more: has_more.then_some(true), row_counts, checksum };
        serde_json::to_string(&answer).expect("JSON")
    }

    async fn counter(&self, client: &Client, table: &str) -> Item {
        let key = |entity: String| {
            HashMap::from([
                ("project_id".to_owned(), AttributeValue::S(self.project.to_string())),
                ("entity".to_owned(), AttributeValue::S(entity)),
            ])
        };
        let membership = RowKey::membership(&self.project, &self.caller).to_string();
        let keys = KeysAndAttributes::builder()
            .keys(key("_counter".to_owned()))
            .keys(key(membership.clone()))
            .consistent_read(true)
            .build()
            .expect("keys");
        let output = client.batch_get_item().request_items(table, keys).send().await.expect("counter and membership");
        let items: Vec<Item> = output.responses.into_iter().flat_map(HashMap::into_values).flatten().collect();
        let (counters, members): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|item| string(&item["entity"]) == "_counter");
        assert!(members.iter().any(|item| string(&item["entity"]) == membership && !item.contains_key("is_deleted")));
        counters.into_iter().next().expect("a counter")
    }

    async fn rows(&self, client: &Client, table: &str) -> Vec<Item> {
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let query = client
                .query()
                .table_name(table)
                .index_name(BY_VERSION)
                .key_condition_expression("project_id = :project AND server_version > :after")
                .expression_attribute_values(":project", AttributeValue::S(self.project.to_string()))
                .expression_attribute_values(":after", AttributeValue::N(self.since.to_string()))
                .set_exclusive_start_key(start);
            let page = query.send().await.expect("a page");
            items.extend(page.items.unwrap_or_default());
            start = page.last_evaluated_key;
            if start.is_none() {
                return items;
            }
        }
    }
}

#[derive(serde::Serialize)]
struct Answer {
    changes: InOrder<Changes>,
    timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    has_more: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    row_counts: Option<InOrder<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checksum: Option<InOrder<Vec<u64>>>,
}

#[derive(Default, serde::Serialize)]
struct Changes {
    created: [Value; 0],
    updated: Vec<InOrder<Value>>,
    deleted: Vec<String>,
}

fn checksum(counter: &Item) -> InOrder<Vec<u64>> {
    let by_collection = counter["checksums"].as_m().expect("checksums");
    let numbers = |name: &str| by_collection[name].as_l().expect("three numbers").iter().map(number).collect();
    InOrder(Collection::ALL.map(Collection::name).map(|name| (name.to_owned(), numbers(name))).into())
}

fn string(value: &AttributeValue) -> &str {
    value.as_s().expect("a string")
}

fn number(value: &AttributeValue) -> u64 {
    value.as_n().expect("a number").parse().expect("an integer")
}

/// An object whose members keep their order. A `Value` would not keep it.
struct InOrder<T>(Vec<(String, T)>);

impl<T: Serialize> Serialize for InOrder<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for InOrder<Value> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = InOrder<Value>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(InOrder(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}
