//! The true history after a restore, and the checks of the restored table. They use the backup and none of the product's code.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::history::{Commit, Content, Entry, History, marks_of, number};
use crate::http::PROJECT;
use crate::rules;
use crate::table::{Item, Items, Key};

/// A restore that is under way.
#[derive(Debug)]
pub(crate) struct Restoring {
    backup: Backup,
    /// The lost table, if the restore may read it.
    lost: Option<Backup>,
    /// The number of versions by which the counter must be raised.
    raise: u64,
    raised_to: Option<u64>,
}

/// A project as a table holds it.
#[derive(Debug)]
struct Backup {
    rows: BTreeMap<String, Option<Content>>,
    counter: Option<Item>,
    /// The idempotency records, each with the version that its request committed.
    records: BTreeMap<Key, u64>,
}

impl Backup {
    fn of(items: &Items) -> Self {
        let mut backup = Self { rows: BTreeMap::new(), counter: None, records: BTreeMap::new() };
        for (key, item) in items {
            match (key.0.as_str(), key.1.as_str()) {
                (PROJECT, "_counter") => backup.counter = Some(Item::clone(item)),
                (PROJECT, row) if item.contains_key("server_version") => {
                    let text = item.get("row").and_then(|row| row["S"].as_str());
                    let live = text.map(|text| serde_json::from_str(text).expect("JSON"));
                    backup.rows.insert(row.to_owned(), live);
                }
                (partition, _) if partition.starts_with("request#") => {
                    backup.records.insert(key.clone(), number(item, "version"));
                }
                _ => {}
            }
        }
        backup
    }

    fn live(&self) -> BTreeMap<String, Content> {
        self.rows.iter().filter_map(|(row, live)| Some((row.clone(), Content::clone(live.as_ref()?)))).collect()
    }

    fn is_live(&self, row: &str) -> bool {
        self.rows.get(row).is_some_and(Option::is_some)
    }

    fn is_deleted(&self) -> bool {
        let own = self.rows.get(&format!("projects#{PROJECT}"));
        own.is_none_or(Option::is_none)
            || self.counter.as_ref().is_some_and(|counter| counter.contains_key("deleted_at"))
    }

    /// The live task whose deletion has begun.
    fn unfinished(&self) -> Option<&str> {
        let task = self.counter.as_ref()?.get("unfinished")?["M"]["task"]["S"].as_str()?;
        Some(task).filter(|task| self.is_live(&format!("tasks#{task}")))
    }
}

impl Restoring {
    /// Records a write of the counter alone. The counter never goes back.
    pub(crate) fn take_counter(&mut self, known: u64, before: u64, current: u64) -> Result<(), String> {
        if before != known || current < before {
            return Err(format!("the restore put the counter from {before} to {current}, it was at {known}"));
        }
        if current - before >= self.raise {
            self.raised_to = Some(current);
        }
        Ok(())
    }
}

impl History {
    /// Records that a backup replaced the table.
    pub(crate) fn begin_restore(&mut self, items: &Items, lost: Option<&Items>, raise: u64) {
        let backup = Backup::of(items);
        self.gone.append(&mut self.entries);
        self.rows.clear();
        for (row, version) in items.iter().filter_map(|(key, item)| {
            let version = item.get("server_version").map(|_| number(item, "server_version"));
            Some((key.1.clone(), version.filter(|_| key.0 == PROJECT)?))
        }) {
            let mut held = Vec::new();
            let mut next = Some(version);
            while let Some(version) = next {
                let entry = self.gone.remove(&version).expect("what a backup holds was committed");
                next = entry.previous;
                held.push(version);
                self.entries.insert(version, entry);
            }
            held.reverse();
            self.rows.insert(row, held);
        }
        self.live = backup.live();
        self.marks = marks(&self.entries);
        let is_whole = |last: u64, Commit { first, record }: &Commit| {
            let has_record = record.as_ref().is_none_or(|record| backup.records.get(record) == Some(&last));
            has_record && (*first..=last).all(|version| self.entries.contains_key(&version))
        };
        for (last, commit) in self.commits.iter().filter(|(last, commit)| !is_whole(**last, commit)) {
            self.torn.extend(commit.first..=*last);
        }
        self.current = backup.counter.as_ref().map_or(0, |counter| number(counter, "current_version"));
        let resync = backup.counter.as_ref().filter(|counter| counter.contains_key("resync_through"));
        self.resync_through = resync.map(|counter| number(counter, "resync_through"));
        self.deleted_at = None;
        self.unfinished = backup.unfinished().map(str::to_owned);
        // A repetition of such a deletion may get any answer, unless the backup has the deletion.
        self.begun.clear();
        let lost = lost.map(Backup::of);
        self.restoring = Some(Restoring { backup, lost, raise, raised_to: None });
        self.restores += 1;
    }

    /// Records that the restore is done, and checks the project against the backup.
    pub(crate) fn end_restore(&mut self, items: &Items) -> Result<(), String> {
        let restoring = self.restoring.take().ok_or("no restore was under way")?;
        let after = Backup::of(items);
        let counter = after.counter.as_ref().ok_or("no counter")?;
        if number(counter, "current_version") != self.current {
            return Err(format!("the counter is not at {}", self.current));
        }
        self.deleted_at = counter.contains_key("deleted_at").then(|| number(counter, "deleted_at"));
        self.raised_to = restoring.raised_to.ok_or("the counter was not raised")?;
        self.raises.push(self.raised_to);
        if restoring.lost.is_none() {
            self.resync_through = Some(self.raised_to);
        }
        self.expect_every_row_again()?;
        self.expect_rows(&restoring, &after)?;
        self.expect_records(&restoring, &after)
    }

    /// Checks that a device is given every row again, whatever mark it has.
    fn expect_every_row_again(&self) -> Result<(), String> {
        match self.rows.iter().find(|(_, held)| held.last().is_none_or(|version| *version <= self.raised_to)) {
            Some((row, held)) => Err(format!("{row} was not written again: {held:?}")),
            None => Ok(()),
        }
    }

    fn expect_rows(&self, Restoring { backup, lost, .. }: &Restoring, after: &Backup) -> Result<(), String> {
        if after.live() != self.live {
            return Err("the table is not what was committed".to_owned());
        }
        if self.deleted_at.is_some() != backup.is_deleted() || after.is_live(&own()) == backup.is_deleted() {
            return Err(format!("deleted in the backup: {}, deleted at {:?}", backup.is_deleted(), self.deleted_at));
        }
        let known = |row: &&String| {
            backup.rows.contains_key(*row) || lost.as_ref().is_some_and(|lost| lost.rows.contains_key(*row))
        };
        if let Some(made) = after.rows.keys().find(|row| !known(row)) {
            return Err(format!("{made} was made by the restore"));
        }
        let all = backup.rows.keys().chain(lost.iter().flat_map(|lost| lost.rows.keys()));
        let mut given = Vec::new();
        for row in all.collect::<BTreeSet<_>>() {
            let expected = expected(row, backup, lost.as_ref());
            let found = after.rows.get(row).ok_or_else(|| format!("{row} is not there"))?;
            let is_same = found.as_ref().map(without_version) == expected.as_ref().map(without_version);
            let is_owner = found.as_ref().is_some_and(|found| found.get("role").is_some_and(|role| *role == 400));
            match is_same {
                true => {}
                false if row.starts_with("memberships#") && is_owner => given.push(row),
                false => return Err(format!("{row} should be {expected:?} and is {found:?}")),
            }
        }
        if backup.is_deleted() {
            return if given.is_empty() { Ok(()) } else { Err(format!("{given:?} own a deleted project")) };
        }
        let owned = |row: &String| {
            row.starts_with("memberships#")
                && expected(row, backup, lost.as_ref()).is_some_and(|membership| membership["role"] == 400)
        };
        if given.len() > usize::from(!backup.rows.keys().any(owned)) {
            return Err(format!("{given:?} were made owners, and the project has one"));
        }
        rules::after_commit(&self.live)?;
        for row in self.live.keys() {
            rules::accept_edge(&self.live, row).map_err(|broken| format!("{row}: {broken}"))?;
            rules::at_version(&self.live, row, self.live.get(row), self.live.get(row))
                .map_err(|broken| format!("{row}: {broken}"))?;
        }
        Ok(())
    }

    /// Checks that the record of a request stays if all of its effect is there, and is removed otherwise.
    fn expect_records(&self, Restoring { backup, .. }: &Restoring, after: &Backup) -> Result<(), String> {
        for (record, last) in &backup.records {
            let Some(commit) = self.commits.get(last).filter(|commit| commit.record.as_ref() == Some(record)) else {
                continue;
            };
            let is_there = |version: &u64| self.entries.contains_key(version);
            // A deletion that the restore has done again counts as not taken back: that of an edge without its task, or of a task
            // whose deletion was under way. With the latter, the promised answer was stored again.
            let is_gone_too = |version: &u64| {
                let deletion = self.gone.get(version).filter(|entry| entry.live.is_none());
                deletion.is_some_and(|deletion| !after.is_live(&deletion.row))
            };
            let mut versions = commit.first..=*last;
            let is_kept = after.records.contains_key(record);
            if !is_kept && versions.all(|version| is_there(&version)) {
                return Err(format!("the record of {}..={last} is forgotten", commit.first));
            }
            let lost = (commit.first..=*last).find(|version| !is_there(version) && !is_gone_too(version));
            if let Some(version) = lost.filter(|_| is_kept) {
                let row = self.gone.get(&version).map_or("no row", |entry| &entry.row);
                return Err(format!("the record of {}..={last} is kept without {version}, {row}", commit.first));
            }
        }
        Ok(())
    }
}

fn own() -> String {
    format!("projects#{PROJECT}")
}

/// The versions at which a row got each mark.
fn marks(entries: &BTreeMap<u64, Entry>) -> BTreeMap<String, Vec<u64>> {
    let mut marks: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (version, entry) in entries {
        let of = |entry: &Entry| entry.live.as_ref().map_or(vec![], |live| marks_of(&entry.row, live));
        let before = entry.previous.and_then(|previous| entries.get(&previous)).map_or(vec![], of);
        for mark in of(entry).into_iter().filter(|mark| !before.contains(mark)) {
            marks.entry(mark).or_default().push(*version);
        }
    }
    marks
}

fn without_version(content: &Content) -> Map<String, Value> {
    content
        .iter()
        .filter(|(name, _)| *name != "server_version")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The expected content of a row of the backup, or of one that only the lost table has. It does not cover a member who becomes
/// the owner of a project without one.
fn expected(row: &str, backup: &Backup, lost: Option<&Backup>) -> Option<Content> {
    let live = backup.rows.get(row)?.as_ref()?;
    let with = |name: &str, value: Value| {
        let mut changed = Map::clone(live);
        changed.insert(name.to_owned(), value);
        Some(Content::new(changed))
    };
    let (collection, id) = row.split_once('#').expect("a row");
    match collection {
        "projects" if backup.is_deleted() => None,
        "projects" => match live["calendar"].as_str() {
            Some(calendar) if !backup.is_live(&format!("calendars#{calendar}")) => with("calendar", Value::Null),
            _ => Some(Content::clone(live)),
        },
        "memberships" => match lost.and_then(|lost| lost.rows.get(row)) {
            Some(None) => None,
            Some(Some(then)) => with("role", live["role"].as_i64().min(then["role"].as_i64()).into()),
            None => Some(Content::clone(live)),
        },
        "tasks" if backup.unfinished() == Some(id) => None,
        "dependencies" if is_to_go(row, live, backup) => None,
        _ => Some(Content::clone(live)),
    }
}

/// Whether an edge of the backup must be deleted. It must if one of its tasks is missing or being deleted, if it is the older one
/// of two equal edges, or if it is the newest of a cycle.
fn is_to_go(row: &str, edge: &Content, backup: &Backup) -> bool {
    let end = |name: &str| edge[name].as_str().unwrap_or_default();
    let dies = |task: &str| !backup.is_live(&format!("tasks#{task}")) || backup.unfinished() == Some(task);
    if dies(end("predecessor")) || dies(end("successor")) {
        return true;
    }
    let mut others: Vec<(&String, &Content)> =
        backup.rows.iter().filter_map(|(row, live)| Some((row, live.as_ref()?))).collect();
    others.retain(|(other, live)| {
        other.starts_with("dependencies#")
            && other.as_str() != row
            && !dies(live["predecessor"].as_str().unwrap_or_default())
            && !dies(live["successor"].as_str().unwrap_or_default())
    });
    let version = |edge: &Content| edge["server_version"].as_u64();
    let is_same =
        |other: &Content| ["predecessor", "successor", "dep_type"].iter().all(|name| other[*name] == edge[*name]);
    if others.iter().any(|(_, other)| is_same(other) && version(other) > version(edge)) {
        return true;
    }
    // These are the older edges, which stay.
    let mut stay: BTreeMap<String, Content> = BTreeMap::new();
    others.retain(|(_, other)| version(other) < version(edge) && !is_same(other));
    others.sort_by_key(|(_, other)| version(other));
    for (other, live) in others.into_iter().chain([(&row.to_owned(), edge)]) {
        stay.insert(other.clone(), Content::clone(live));
        if rules::accept_edge(&stay, other).is_err_and(|broken| broken.contains("cycle")) {
            stay.remove(other);
        }
    }
    !stay.contains_key(row)
}
