//! A newer version of the product on the same table, which knows more columns, collections and values.

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update};
use serde_json::Value;
use shared::domain::{
    ColumnVersions, Counter, ProjectId, Row, RowKey, ServerVersion, State, UnknownColumns, Write, merge,
};
use shared::storage::StoredItem;

use super::{TestProject, TestTable};

/// One row's write by a newer version.
#[derive(Debug)]
pub struct Newer {
    old: Option<Row>,
    row: Row,
}

impl Newer {
    /// The row at `version`, where `old` is the row before. `put` sets some of the columns that both versions know, to any
    /// values. It also has the columns that only the newer version knows, as a JSON object. Without `put` the row becomes a
    /// tombstone.
    pub fn new(old: Option<Row>, key: RowKey, put: Option<(&Value, &str)>, version: ServerVersion) -> Self {
        let Some((known, newer)) = put else {
            return Self { row: Row::written(old.as_ref(), key, Write::Delete, version), old };
        };
        let before = old.as_ref().map(|row| row.columns().clone()).unwrap_or_default();
        let columns = merge(&before, known.as_object().expect("columns"));
        let row = Row::written(old.as_ref(), key, Write::Put(columns), version);
        let unknown = UnknownColumns::of(newer, |_| false).expect("columns");
        let column_versions = column_versions(old.as_ref(), &row, newer);
        Self { row: Row { unknown, column_versions, ..row }, old }
    }

    /// The transaction on top of the counter that was read.
    pub fn items(&self, table: &str, project: &ProjectId, read: &Counter) -> Vec<TransactWriteItem> {
        let mut checksums = read.checksums.clone();
        if let Some(old) = self.old.as_ref().filter(|old| matches!(old.state, State::Live(_))) {
            checksums.subtract(&old.key, old.version);
        }
        if self.row.live().is_some() {
            checksums.add(&self.row.key, self.row.version);
        }
        let number = |number: u64| AttributeValue::N(number.to_string());
        let sums = checksums.collections().map(|collection| {
            let numbers = checksums.get(collection).map(|sum| number(sum.into()));
            (collection.name().to_owned(), AttributeValue::L(numbers.into()))
        });
        let last = [(self.row.key.to_string(), number(self.row.version.get()))];
        let counter = Update::builder()
            .table_name(table)
            .key("project_id", AttributeValue::S(project.to_string()))
            .key("entity", AttributeValue::S("_counter".to_owned()))
            .condition_expression("current_version = :read")
            .update_expression("SET current_version = :new, #last = :last, #waited = :waited, checksums = :checksums")
            .expression_attribute_names("#last", "last")
            .expression_attribute_names("#waited", "waited_ms")
            .expression_attribute_values(":read", number(read.current.get()))
            .expression_attribute_values(":new", number(self.row.version.get()))
            .expression_attribute_values(":last", AttributeValue::M(last.into()))
            .expression_attribute_values(":waited", number(0))
            .expression_attribute_values(":checksums", AttributeValue::M(sums.collect()));
        let put = Put::builder().table_name(table).set_item(Some(StoredItem::of_row(project, &self.row).0));
        let put = match &self.old {
            None => put.condition_expression("attribute_not_exists(entity)"),
            Some(old) => put
                .condition_expression("server_version = :read")
                .expression_attribute_values(":read", number(old.version.get())),
        };
        vec![
            TransactWriteItem::builder().update(counter.build().expect("an update")).build(),
            TransactWriteItem::builder().put(put.build().expect("a put")).build(),
        ]
    }
}

/// The column versions. The columns of the newer version come last.
fn column_versions(old: Option<&Row>, row: &Row, newer: &str) -> ColumnVersions {
    let known = row.key.collection.columns().len();
    let object = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let project = "p".parse().expect("a project");
    let before = old.map(|old| object(&old.device_json(&project)));
    let names = UnknownColumns::of(newer, |_| false).expect("columns");
    let unknown = names.names().enumerate().map(|(place, name)| {
        let same = before.as_ref().is_some_and(|before| before.get(name) == object(newer).get(name));
        let version = old.filter(|_| same).and_then(|old| old.column_versions.version_of(known + place));
        version.unwrap_or(row.version.get())
    });
    let versions = (0..known).map(|index| row.column_versions.version_of(index).expect("a version")).chain(unknown);
    let mut bytes = Vec::new();
    versions.for_each(|version| write_varint(&mut bytes, row.version.get() - version));
    ColumnVersions::decode(&bytes, row.version).expect("versions")
}

fn write_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).expect("seven bits"));
}

impl TestProject {
    /// Writes a row as a newer version would, see [`Newer::new`]. Returns the row's version.
    pub async fn newer_writes(&self, entity: &str, known: Value, newer: &str) -> u64 {
        self.newer(entity, Some((&known, newer))).await
    }

    /// Deletes a row as a newer version would.
    pub async fn newer_deletes(&self, entity: &str) -> u64 {
        self.newer(entity, None).await
    }

    async fn newer(&self, entity: &str, put: Option<(&Value, &str)>) -> u64 {
        let project = self.id.parse().expect("a project");
        let stored = TestTable::of_this_process().await.table().await.stored(&project).await.expect("the project");
        let counter = stored.iter().find(|item| item.is_counter()).expect("a counter").counter().expect("a counter");
        let old = stored.iter().find(|item| item.entity() == entity).map(|item| item.row().expect("a row"));
        let version = counter.current.next().expect("a version");
        let newer = Newer::new(old, entity.parse().expect("a key"), put, version);
        let items = newer.items(&self.app.table, &project, &counter);
        self.app.client.transact_write_items().set_transact_items(Some(items)).send().await.expect("a commit");
        version.get()
    }
}
