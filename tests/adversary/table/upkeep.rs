//! Answers the calls that only an operator's command makes.

use serde_json::{Value, json};

use super::base::key_of;
use super::connection::{Answer, expect_table};
use super::expression::Item;
use super::{UnreliableTable, expect_only};

/// The number of items in a page of a scan. It is small, so that a scan takes several pages.
const SCAN_PAGE: usize = 40;

impl UnreliableTable {
    /// The table's identity, which no other table has.
    pub(super) fn describe_table(&self, request: &Value) -> Answer {
        expect_only(request, &["TableName"]);
        expect_table(&request["TableName"]);
        let id = format!("table-{}", self.state().incarnation);
        (200, json!({"Table": {"TableId": id}}).to_string())
    }

    /// The keys of all partitions.
    pub(super) fn scan(&self, request: &Value) -> Answer {
        expect_only(request, &["TableName", "ConsistentRead", "ProjectionExpression", "ExclusiveStartKey"]);
        expect_table(&request["TableName"]);
        assert_eq!(request["ConsistentRead"], true, "reads of the table are strong");
        assert_eq!(request["ProjectionExpression"], "project_id", "not understood");
        let start = request["ExclusiveStartKey"].as_object().map(key_of);
        let now = self.now();
        let state = self.state();
        let keys =
            state.base.all(now).map(|(key, _)| key).filter(|key| start.as_ref().is_none_or(|start| *key > start));
        let page: Vec<_> = keys.take(SCAN_PAGE).collect();
        let items: Vec<Value> = page.iter().map(|(project, _)| json!({"project_id": {"S": project}})).collect();
        let mut answer = json!({"Count": items.len(), "ScannedCount": items.len(), "Items": items});
        if let (SCAN_PAGE, Some((project, entity))) = (page.len(), page.last()) {
            answer["LastEvaluatedKey"] = json!({"project_id": {"S": project}, "entity": {"S": entity}});
        }
        (200, answer.to_string())
    }

    pub(super) fn put_item(&self, request: &Value) -> Answer {
        expect_only(request, &["TableName", "Item"]);
        expect_table(&request["TableName"]);
        let item: &Item = request["Item"].as_object().expect("an item");
        assert_eq!(item["project_id"]["S"], "table#", "a row is written by transactions alone");
        let now = self.now();
        self.state().base.put(item, now);
        (200, "{}".to_owned())
    }

    pub(super) fn delete_item(&self, request: &Value) -> Answer {
        expect_only(request, &["TableName", "Key"]);
        expect_table(&request["TableName"]);
        let key = key_of(request["Key"].as_object().expect("a key"));
        assert!(key.1.starts_with("_dropped#"), "{key:?} is deleted, and is no archive");
        let now = self.now();
        self.trace(|| format!("delete {key:?}"));
        self.state().base.remove(key, now);
        (200, "{}".to_owned())
    }
}
