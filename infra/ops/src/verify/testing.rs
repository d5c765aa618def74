//! A project to corrupt, without any I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use shared::domain::{
    ArchivedVersions, Checksums, Collection, ProjectId, Row, RowKey, ServerVersion, UserId, Write, membership_id,
};
use shared::storage::StoredItem;

use super::{Check, Judgement, Reading, judge};

/// The rows of a project, written one after the other as commits write them.
#[derive(Default)]
pub(super) struct Project {
    rows: BTreeMap<RowKey, Row>,
    archive: Vec<ArchivedVersions>,
    version: u64,
    newest: Option<RowKey>,
    deleted_at: Option<u64>,
    skipped: Vec<(u64, u64)>,
}

pub(super) fn project_id() -> ProjectId {
    "p".parse().expect("a project")
}

/// The entity of a user's membership.
pub(super) fn member(user: &str) -> String {
    let user: UserId = user.parse().expect("a user");
    format!("memberships#{}", membership_id(&project_id(), &user))
}

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(super) fn bytes(value: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(value))
}

pub(super) fn task(name: &str) -> Value {
    json!({"name": name, "wbs_path": null, "duration": 1, "percent_complete": 0, "notes": "", "planned_start": null,
        "status": "NOT_STARTED", "is_milestone": false, "assignee": null, "optimistic_duration": null,
        "most_likely_duration": null, "pessimistic_duration": null})
}

pub(super) fn assigned(name: &str, user: &str) -> Value {
    let mut task = task(name);
    task["assignee"] = user.into();
    task
}

pub(super) fn edge(predecessor: &str, successor: &str) -> Value {
    json!({"predecessor": predecessor, "successor": successor, "dep_type": "FS", "lag": 0})
}

/// The checksums, as a counter has them.
pub(crate) fn checksums(sums: &Checksums) -> AttributeValue {
    let numbers = |collection| AttributeValue::L(sums.get(collection).map(|sum| number(sum.into())).into());
    AttributeValue::M(
        sums.collections().map(|collection| (collection.name().to_owned(), numbers(collection))).collect(),
    )
}

impl Project {
    /// A project with an example of everything: an owner, a removed member who is an assignee, a member who was added again, a
    /// calendar in use, and live and dead tasks and edges.
    pub(super) fn sound() -> Self {
        let calendar = json!({"name": "Site", "working_days": 31, "hours_per_day": 7.5, "timezone": "Europe/Berlin",
            "exceptions": [{"start": "2026-12-24", "end": "2026-12-26", "description": "X-mas"}]});
        let project = |calendar: Value| json!({"name": "House", "description": "", "start_date": "2026-03-02", "calendar": calendar});
        Self::default()
            .put("projects#p", project(Value::Null))
            .put(&member("olga"), json!({"user": "olga", "role": 400}))
            .put(&member("gone"), json!({"user": "gone", "role": 100}))
            .put(&member("back"), json!({"user": "back", "role": 1}))
            .put("calendars#site", calendar.clone())
            .put("projects#p", project("site".into()))
            .put("tasks#a", assigned("Dig", "gone"))
            .put("tasks#b", task("Fill"))
            .put("tasks#c", task("Roof"))
            .put("tasks#dead", task("Never"))
            .put("dependencies#ab", edge("a", "b"))
            .put("dependencies#bc", edge("b", "c"))
            .put("dependencies#dead", edge("c", "dead"))
            .put("calendars#spare", calendar)
            .delete("calendars#spare")
            .delete("dependencies#dead")
            .delete("tasks#dead")
            .delete(&member("gone"))
            .delete(&member("back"))
            .put(&member("back"), json!({"user": "back", "role": 100}))
            .put("tasks#b", task("Fill in"))
    }

    pub(super) fn put(self, key: &str, columns: Value) -> Self {
        self.write(key, Write::Put(columns.as_object().expect("columns").clone()))
    }

    pub(super) fn delete(self, key: &str) -> Self {
        self.write(key, Write::Delete)
    }

    fn write(mut self, key: &str, write: Write) -> Self {
        self.version += 1;
        let key: RowKey = key.parse().expect("a key");
        let version = ServerVersion::try_from(self.version).expect("a version");
        let old = self.rows.get(&key);
        let new = Row::written(old, key.clone(), write, version);
        self.archive.extend(old.and_then(|old| ArchivedVersions::dropped(old, &new)));
        self.rows.insert(key.clone(), new);
        self.newest = Some(key);
        self
    }

    /// The project after a restore that raised the counter by `versions`.
    pub(super) fn skip(mut self, versions: u64) -> Self {
        self.skipped.push((self.version + 1, self.version + versions));
        self.version += versions;
        self
    }

    /// Deletes the project and leaves everything else.
    pub(super) fn deleted(self) -> Self {
        let mut project = self.delete("projects#p");
        project.deleted_at = Some(project.version);
        project
    }

    /// Every item of the project, and an index that is up to date.
    pub(super) fn reading(&self) -> Reading {
        let mut stored = vec![self.counter()];
        stored.extend(self.archive.iter().map(|archived| StoredItem::of_archive(&project_id(), archived)));
        stored.extend(self.rows.values().map(|row| StoredItem::of_row(&project_id(), row)));
        let mut reading = Reading { project: project_id(), stored, indexed: vec![] };
        reading.index();
        reading
    }

    fn checksums(&self) -> AttributeValue {
        let live = self.rows.values().filter(|row| row.live().is_some()).map(|row| (&row.key, row.version));
        checksums(&Checksums::of(live))
    }

    fn counter(&self) -> StoredItem {
        let newest = self.newest.as_ref().and_then(|key| self.rows.get(key)).expect("a row");
        let last = [(newest.key.to_string(), number(newest.version.get()))].into();
        let range = |(first, last): &(u64, u64)| AttributeValue::L(vec![number(*first), number(*last)]);
        let mut item: HashMap<String, AttributeValue> = [
            ("project_id".to_owned(), text("p")),
            ("entity".to_owned(), text("_counter")),
            ("current_version".to_owned(), number(self.version)),
            ("last".to_owned(), AttributeValue::M(last)),
            ("checksums".to_owned(), self.checksums()),
        ]
        .into();
        if let Some(version) = self.deleted_at {
            item.insert("deleted_at".to_owned(), number(version));
        }
        if !self.skipped.is_empty() {
            item.insert("skipped".to_owned(), AttributeValue::L(self.skipped.iter().map(range).collect()));
        }
        StoredItem(item)
    }
}

impl Reading {
    /// Brings the index up to date with the table.
    fn index(&mut self) {
        let projected =
            ["project_id", "entity", "server_version", "row", "superseded", "writes", "is_deleted"].map(str::to_owned);
        let copy = |item: &StoredItem| {
            StoredItem(item.0.clone().into_iter().filter(|(name, _)| projected.contains(name)).collect())
        };
        self.indexed = self.stored.iter().filter(|item| item.is_indexed()).map(copy).collect();
    }

    /// Corrupts an item of the table, and of the index with it.
    pub(super) fn corrupt(mut self, entity: &str, change: impl FnOnce(&mut HashMap<String, AttributeValue>)) -> Self {
        let item = self.stored.iter_mut().find(|item| item.entity() == entity).expect("an item");
        change(&mut item.0);
        self.index();
        self
    }

    /// Corrupts a text inside a row's JSON.
    pub(super) fn corrupt_json(self, entity: &str, from: &str, to: &str) -> Self {
        self.corrupt(entity, |item| {
            let name = if item.contains_key("row") { "row" } else { "deleted_row" };
            let json = item[name].as_s().expect("a text");
            assert!(json.contains(from), "{json}");
            item.insert(name.to_owned(), text(json.replace(from, to)));
        })
    }

    /// Sets an attribute of an item of the table, and of the index with it.
    pub(super) fn set(self, entity: &str, attribute: &str, value: AttributeValue) -> Self {
        self.corrupt(entity, |item| drop(item.insert(attribute.to_owned(), value)))
    }

    /// Removes an attribute of an item of the table, and of the index with it.
    pub(super) fn unset(self, entity: &str, attribute: &str) -> Self {
        self.corrupt(entity, |item| drop(item.remove(attribute).expect("an attribute")))
    }

    /// Removes an item from the table, and from the index with it.
    pub(super) fn remove(mut self, entity: &str) -> Self {
        self.stored.retain(|item| item.entity() != entity);
        self.index();
        self
    }

    /// Puts an item into the table, and into the index with it.
    pub(super) fn insert(mut self, item: StoredItem) -> Self {
        self.stored.push(item);
        self.index();
        self
    }

    pub(super) fn item(&self, entity: &str) -> StoredItem {
        self.stored.iter().find(|item| item.entity() == entity).expect("an item").clone()
    }

    /// The result of the checks.
    pub(super) fn judged(&self) -> Judgement {
        judge(self)
    }

    /// The checks that fail, each with the items where it fails.
    pub(super) fn violated(&self) -> Vec<(Check, String)> {
        let violations = judge(self).violations.into_iter();
        let found: BTreeSet<_> = violations.map(|v| (v.check, v.entity.unwrap_or_default())).collect();
        found.into_iter().collect()
    }
}

/// A violation at an item. With "" as the item, it is a violation by the project.
pub(super) fn at(check: Check, entity: &str) -> (Check, String) {
    (check, entity.to_owned())
}

#[test]
fn a_sound_project_passes_and_every_check_has_something_to_look_at() {
    let busy = (0..300).fold(Project::sound(), |project, n| project.put("tasks#c", task(&format!("Roof {n}"))));
    let judgement = busy.skip(5).put("tasks#d", task("Late")).reading().judged();
    assert_eq!(judgement.violations, []);
    assert_eq!(judgement.behind, [""; 0]);
    for check in Check::ALL.into_iter().filter(|check| *check != Check::PartitionKnown) {
        assert!(judgement.looked_at.get(&check).is_some_and(|things| *things > 0), "{check:?}");
    }
    assert_eq!((judgement.counts.versions, judgement.counts.skipped, judgement.counts.tombstones), (327, 5, 4));
    assert_eq!(judgement.counts.live[Collection::Tasks.name()], 4);
}

#[test]
fn a_deleted_project_is_sound_too() {
    let judgement = Project::sound().deleted().reading().judged();
    assert!(judgement.violations.is_empty() && judgement.deleted);
}
