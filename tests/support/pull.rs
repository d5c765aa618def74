//! Sync responses, and a device that applies them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use shared::domain::{Checksums, Collection, CollectionName, RowKey, ServerVersion};

use super::{Answer, TestProject};

/// A sync response that obeys every rule of its form.
#[derive(Debug, Clone)]
pub struct Pull {
    /// `timestamp`.
    pub mark: u64,
    /// Whether the response was cut.
    pub has_more: bool,
    /// The outcome of the pull.
    pub path: String,
    /// The checksums of the live rows, if the response has them.
    pub checksums: Option<Checksums>,
    /// How many live rows the server has, if it says so.
    pub row_counts: Option<u64>,
    updated: BTreeMap<(String, String), Value>,
    deleted: BTreeSet<(String, String)>,
}

impl Pull {
    /// Reads an answer and checks the rules that hold for every sync response.
    #[track_caller]
    pub fn of(answer: &Answer) -> Self {
        let pull = Self::with_newer(answer);
        let collections = answer.json()["changes"].as_object().map(serde_json::Map::len);
        assert_eq!(collections, Some(Collection::ALL.len()), "a collection that there is not");
        let sums = pull.checksums.as_ref().map(|checksums| checksums.collections().count());
        assert!(sums.is_none_or(|sums| sums == Collection::ALL.len()), "{sums:?} checksums");
        for ((collection, _), row) in &pull.updated {
            let collection: Collection = collection.parse().expect("a collection");
            let of_all = if collection == Collection::Projects { 2 } else { 3 };
            assert_eq!(row.as_object().map(serde_json::Map::len), Some(collection.columns().len() + of_all), "{row}");
        }
        pull
    }

    /// Reads an answer of a project that a newer version of the product also writes. It may have more columns and collections.
    #[track_caller]
    pub fn with_newer(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let body = answer.json();
        let body = body.as_object().expect("an object");
        assert!(
            body.keys()
                .all(|key| ["changes", "timestamp", "has_more", "row_counts", "checksum"].contains(&key.as_str())),
            "{:?}",
            body.keys()
        );
        let mark = body["timestamp"].as_u64().expect("an integer");
        assert!((1..=9_007_199_254_740_991).contains(&mark), "{mark}");
        let mut pull = Self {
            mark,
            has_more: body.get("has_more").is_some_and(|more| more.as_bool().expect("a boolean")),
            path: timing(answer),
            checksums: body.get("checksum").map(checksums),
            row_counts: body.get("row_counts").map(all_rows),
            updated: BTreeMap::new(),
            deleted: BTreeSet::new(),
        };
        assert!(pull.has_more || pull.row_counts.is_none(), "the last page counts rows");
        let changes = body["changes"].as_object().expect("an object");
        let names: BTreeSet<&str> = changes.keys().map(String::as_str).collect();
        assert!(names.is_superset(&Collection::ALL.map(Collection::name).into()), "{names:?}");
        for (collection, changes) in changes {
            pull.add(collection, changes);
        }
        pull
    }

    #[track_caller]
    fn add(&mut self, collection: &str, changes: &Value) {
        let changes = changes.as_object().expect("an object");
        let arrays: Vec<&str> = changes.keys().map(String::as_str).collect();
        assert_eq!(arrays.iter().collect::<BTreeSet<_>>(), ["created", "deleted", "updated"].iter().collect());
        let array = |name: &str| changes[name].as_array().expect("an array");
        assert!(array("created").is_empty());
        for row in array("updated") {
            assert_flat(collection, row);
            let key = (collection.to_owned(), row["id"].as_str().expect("an id").to_owned());
            assert!(self.updated.insert(key, row.clone()).is_none(), "twice: {row}");
        }
        for id in array("deleted") {
            let key = (collection.to_owned(), id.as_str().expect("an id").to_owned());
            assert!(!self.updated.contains_key(&key), "updated and deleted: {key:?}");
            assert!(self.deleted.insert(key.clone()), "twice: {key:?}");
        }
    }

    /// The ids of the live rows of a collection, in the order of the response.
    pub fn updated(&self, collection: &str) -> Vec<&str> {
        self.updated.keys().filter(|(name, _)| name == collection).map(|(_, id)| id.as_str()).collect()
    }

    /// A live row.
    #[track_caller]
    pub fn row(&self, collection: &str, id: &str) -> &Value {
        let row = self.updated.get(&(collection.to_owned(), id.to_owned()));
        row.unwrap_or_else(|| panic!("{collection}/{id} is not in {:?}", self.updated.keys()))
    }

    /// The versions of the live rows, in the order of the response.
    pub fn versions(&self) -> Vec<u64> {
        let mut versions: Vec<u64> =
            self.updated.values().map(|row| row["server_version"].as_u64().expect("a version")).collect();
        versions.sort_unstable();
        versions
    }

    /// The ids of a collection's tombstones, in the order of the response.
    pub fn deleted(&self, collection: &str) -> Vec<&str> {
        self.deleted.iter().filter(|(name, _)| name == collection).map(|(_, id)| id.as_str()).collect()
    }

    /// The number of rows and tombstones.
    pub fn len(&self) -> usize {
        self.updated.len() + self.deleted.len()
    }

    /// Checks that the response has nothing but a mark.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Checks that the checksums have three numbers for each collection.
#[track_caller]
fn checksums(body: &Value) -> Checksums {
    assert!(Collection::ALL.iter().all(|collection| body.get(collection.name()).is_some()), "{body}");
    let mut checksums = Checksums::default();
    for (name, numbers) in body.as_object().expect("an object") {
        let collection: CollectionName = name.parse().expect("a collection");
        checksums.set(collection, serde_json::from_value(numbers.clone()).expect("three numbers"));
    }
    checksums
}

/// `pull;desc="…", …`.
fn timing(answer: &Answer) -> String {
    let timing = answer.header("server-timing").expect("Server-Timing");
    let path = timing.strip_prefix("pull;desc=\"").and_then(|rest| rest.split_once("\", "));
    path.unwrap_or_else(|| panic!("Server-Timing: {timing}")).0.to_owned()
}

/// Checks that a row has every column, only scalars, and none of the names that WatermelonDB reserves.
#[track_caller]
fn assert_flat(collection: &str, row: &Value) {
    let row = row.as_object().expect("an object");
    let collection: CollectionName = collection.parse().expect("a collection");
    let mut expected: BTreeSet<&str> = collection.columns().iter().copied().chain(["id", "server_version"]).collect();
    if collection != Collection::Projects {
        expected.insert("project");
    }
    assert!(row.keys().map(String::as_str).collect::<BTreeSet<_>>().is_superset(&expected), "{row:?}");
    assert!(row.values().all(|value| !value.is_array() && !value.is_object()), "{row:?}");
    let id = row["id"].as_str().expect("a string");
    assert!(
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)),
        "{id}"
    );
}

/// A device's database after its pulls.
#[derive(Debug, Clone, Default)]
pub struct Device {
    /// `lastPulledAt`, which is 0 at first.
    pub mark: u64,
    /// Its rows, by collection and id.
    pub rows: BTreeMap<(String, String), Value>,
}

impl Device {
    /// Applies a response as WatermelonDB does.
    pub fn apply(&mut self, pull: &Pull) {
        for key in &pull.deleted {
            self.rows.remove(key);
        }
        self.rows.extend(pull.updated.clone());
        self.mark = pull.mark;
    }

    /// The checksums of its rows.
    pub fn checksums(&self) -> Checksums {
        let rows = self.rows.iter().map(|((collection, id), row)| {
            let key =
                RowKey::new(collection.parse::<CollectionName>().expect("a collection"), id.parse().expect("an id"));
            let version = row["server_version"].as_u64().and_then(|version| version.try_into().ok());
            (key, version.expect("a version"))
        });
        let rows: Vec<(RowKey, ServerVersion)> = rows.collect();
        Checksums::of(rows.iter().map(|(key, version)| (key, *version)))
    }

    /// One `synchronize()` of the plain client, which does not know `has_more`. `limit` is a page's size.
    pub async fn synchronize(&mut self, project: &TestProject, limit: Option<usize>) -> Pull {
        let limit = limit.map(|limit| format!("&limit={limit}")).unwrap_or_default();
        let pull = Pull::of(&project.sync(&format!("since={}{limit}", self.mark)).await);
        assert!(!pull.has_more || pull.mark > self.mark, "{} is not above {}", pull.mark, self.mark);
        self.apply(&pull);
        pull
    }
}

#[track_caller]
fn all_rows(counts: &Value) -> u64 {
    counts.as_object().expect("an object").values().map(|rows| rows.as_u64().expect("a number of rows")).sum()
}
