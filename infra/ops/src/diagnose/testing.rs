//! A project on a table, a device that holds it, and ways to damage the device.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::domain::{Checksums, Collection, Counter, Row, RowKey, ServerVersion, UserId, Write};

use super::device::DeviceReport;
use super::finding::{Difference, Level};
use super::judge::{diagnose, of_device};
use super::outcome::ProjectDiagnosis;
use super::state::TableState;

pub(super) fn version(number: u64) -> ServerVersion {
    ServerVersion::try_from(number).expect("a version")
}

pub(super) fn user(id: &str) -> UserId {
    id.parse().expect("a user")
}

/// A project whose rows are written one after the other.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) state: TableState,
}

impl Server {
    /// The project `p` at version 7, with two members, two tasks, an edge, and a task that is deleted.
    pub(super) fn new() -> Self {
        let empty = Self { state: TableState { counter: Some(Counter::at(version(1))), ..TableState::default() } };
        let memberships = ["olga", "mia"].map(|user| {
            let key = RowKey::membership(&"p".parse().expect("a project"), &user.parse().expect("a user"));
            key.to_string()
        });
        empty
            .put("projects#p", json!({"name": "P"}))
            .put(&memberships[0], json!({"user": "olga", "role": 400}))
            .put(&memberships[1], json!({"user": "mia", "role": 100}))
            .put("tasks#a", json!({"name": "Secret"}))
            .put("tasks#b", json!({"name": "Secret"}))
            .put("tasks#dead", json!({"name": "Secret"}))
            .delete("tasks#dead")
    }

    pub(super) fn put(self, key: &str, columns: Value) -> Self {
        self.write(key, Write::Put(columns.as_object().expect("columns").clone()))
    }

    pub(super) fn delete(self, key: &str) -> Self {
        self.write(key, Write::Delete)
    }

    /// Sets the next version.
    pub(super) fn skip_to(mut self, next: u64) -> Self {
        let counter = self.state.counter.as_mut().expect("a counter");
        let first = counter.current.get() + 1;
        counter.skipped.push((first, next - 1));
        counter.current = version(next - 1);
        self
    }

    fn write(mut self, key: &str, write: Write) -> Self {
        let key: RowKey = key.parse().expect("a key");
        let next = if self.state.rows.is_empty() { version(1) } else { version(self.state.current() + 1) };
        let row = Row::written(self.state.rows.get(&key), key.clone(), write, next);
        self.state.rows.insert(key, row);
        self.counter(|counter| counter.current = next)
    }

    pub(super) fn counter(mut self, change: impl FnOnce(&mut Counter)) -> Self {
        change(self.state.counter.as_mut().expect("a counter"));
        self
    }

    /// The report of a device that holds the whole project.
    pub(super) fn device(&self) -> Device {
        let live = self.state.rows.values().filter(|row| row.live().is_some());
        let mut rows: BTreeMap<&str, BTreeMap<&str, u64>> =
            Collection::ALL.map(|collection| (collection.name(), BTreeMap::new())).into();
        let mut sums = Checksums::default();
        for row in live {
            sums.add(&row.key, row.version);
            let of_table = rows.get_mut(row.key.collection.name()).expect("a table");
            of_table.insert(row.key.id.as_str(), row.version.get());
        }
        let checksums: BTreeMap<&str, [u32; 3]> =
            Collection::ALL.map(|collection| (collection.name(), sums.get(collection))).into();
        let columns =
            Collection::ALL.map(|collection| format!("{}:{}", collection.name(), collection.columns().join(",")));
        Device(json!({
            "client": "0.1.0", "schemaVersion": 3, "at": 1_790_000_000_000_i64, "clockSkew": 1_000,
            "status": {"state": "synced", "pending": 0, "lastSyncedAt": null, "problem": null, "projects": {}},
            "problems": [],
            "projects": [{
                "project": "p", "mark": self.state.current(), "status": "live", "lastSyncedAt": null, "activity": 1,
                "columns": columns.join(";"), "checksums": checksums, "dirty": [], "request": null, "acks": {},
                "conflicts": {}, "parked": {}, "insist": {}, "givenUp": {}, "shadow": {}, "aside": [], "broken": null,
                "rows": rows,
            }],
        }))
    }

    /// The findings and levels, for a user.
    pub(super) fn found_for(&self, device: &Device, who: Option<&str>) -> Vec<(Difference, Level)> {
        let (of_device, of_project) = self.diagnosed(device, who);
        of_device.iter().chain(&of_project.findings).map(|finding| (finding.finding, finding.level)).collect()
    }

    /// The findings and levels for olga.
    pub(super) fn found(&self, device: &Device) -> Vec<(Difference, Level)> {
        self.found_for(device, Some("olga"))
    }

    pub(super) fn diagnosed(&self, device: &Device, who: Option<&str>) -> (Vec<super::Finding>, ProjectDiagnosis) {
        let report: DeviceReport = serde_json::from_value(device.0.clone()).expect("a report");
        let now = 1_790_000_010;
        let project = &report.projects[0];
        let diagnosis = diagnose(&report, project, &self.state, who.map(user).as_ref(), now);
        (of_device(&report, self.state.newest_write(project.mark), now), diagnosis)
    }
}

/// A report.
#[derive(Clone)]
pub(super) struct Device(pub(super) Value);

impl Device {
    /// Changes the report.
    pub(super) fn but(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.0);
        self
    }

    /// Changes its project.
    pub(super) fn project(self, change: impl FnOnce(&mut Value)) -> Self {
        self.but(|report| change(&mut report["projects"][0]))
    }

    /// Sets a member of its project.
    pub(super) fn set(self, name: &str, value: Value) -> Self {
        self.project(|project| project[name] = value)
    }

    /// Changes the rows that it holds, and its checksums with them.
    pub(super) fn rows(self, table: &str, change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Self {
        self.project(|project| {
            let rows = project["rows"][table].as_object_mut().expect("rows");
            change(rows);
            let keyed: Vec<(RowKey, ServerVersion)> = rows
                .iter()
                .map(|(id, at)| {
                    (format!("{table}#{id}").parse().expect("a key"), version(at.as_u64().expect("a version")))
                })
                .collect();
            let sums = Checksums::of(keyed.iter().map(|(key, at)| (key, *at)));
            project["checksums"][table] = json!(sums.get(table.parse::<Collection>().expect("a collection")));
        })
    }

    /// The same report without the rows.
    pub(super) fn brief(self) -> Self {
        self.project(|project| drop(project.as_object_mut().expect("a project").remove("rows")))
    }
}
