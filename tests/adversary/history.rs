//! The true history: which version was given to which row, and the row's content then. Each commit is checked as it happens.
//!
//! A restore takes the true history back to the backup (`restored.rs`). Later commits are gone, and none of their versions is
//! ever given again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_smithy_types::base64;
use serde_json::{Map, Value};
use shared::domain::{Mark, ServerVersion, VersionHistory};

use fastrand::Rng;

use crate::newer;
use crate::restored::Restoring;
use crate::rules;
use crate::table::{Item, Key, Written};

/// A row as devices get it.
pub(crate) type Content = Arc<Map<String, Value>>;

/// The state of a row at a version.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// `tasks#<id>`
    pub(crate) row: String,
    /// The content, or none for a tombstone.
    pub(crate) live: Option<Content>,
    /// The version that the row held before.
    pub(crate) previous: Option<u64>,
}

/// All commits of the run's project.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) entries: BTreeMap<u64, Entry>,
    /// The commits that a restore took back.
    pub(crate) gone: BTreeMap<u64, Entry>,
    /// The counter.
    pub(crate) current: u64,
    /// The versions that each row held.
    pub(crate) rows: BTreeMap<String, Vec<u64>>,
    /// The rows that are live now.
    pub(crate) live: BTreeMap<String, Content>,
    /// The versions at which a row got each mark that a writer left in it.
    pub(crate) marks: BTreeMap<String, Vec<u64>>,
    /// The last version of each commit, with its first version and its idempotency record.
    pub(crate) commits: BTreeMap<u64, Commit>,
    /// The restore that is under way.
    pub(crate) restoring: Option<Restoring>,
    /// The number of restores so far.
    pub(crate) restores: u64,
    /// The version to which the latest restore raised the counter. Every row was written again above it.
    pub(crate) raised_to: u64,
    /// The versions to which all earlier restores raised the counter.
    pub(crate) raises: Vec<u64>,
    /// The version up to which marks are refused.
    pub(crate) resync_through: Option<u64>,
    /// The versions of commits of which a backup held only a part. No answer names such a commit again.
    pub(crate) torn: BTreeSet<u64>,
    pub(crate) deleted_at: Option<u64>,
    /// The task whose deletion has begun and not ended.
    pub(crate) unfinished: Option<String>,
    /// The rows of which older code dropped versions without archiving them.
    pub(crate) unarchived: BTreeSet<String>,
    /// The requests, by their idempotency records, whose deletion takes several commits.
    pub(crate) begun: BTreeSet<String>,
}

/// The first version of a commit, and the idempotency record that it wrote.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) first: u64,
    pub(crate) record: Option<Key>,
}

impl History {
    /// The newest version.
    pub(crate) fn current(&self) -> u64 {
        self.current
    }

    pub(crate) fn entry(&self, version: u64) -> Option<&Entry> {
        self.entries.get(&version)
    }

    /// The number of versions that were ever given to rows.
    pub(crate) fn versions_given(&self) -> u64 {
        (self.entries.len() + self.gone.len()) as u64
    }

    /// A random version of the project, or none.
    pub(crate) fn any_version(&self, rng: &mut Rng) -> u64 {
        let place = rng.u64(0..=self.entries.len() as u64);
        if self.restores == 0 {
            return place;
        }
        let version = usize::try_from(place).ok().and_then(|place| self.entries.keys().nth(place.checked_sub(1)?));
        version.copied().unwrap_or(0)
    }

    /// Every row with the versions it held, oldest first.
    pub(crate) fn rows(&self) -> &BTreeMap<String, Vec<u64>> {
        &self.rows
    }

    pub(crate) fn live(&self) -> &BTreeMap<String, Content> {
        &self.live
    }

    /// The version that a row held at a version of the project.
    pub(crate) fn version_at(&self, row: &str, at: u64) -> Option<u64> {
        let versions = self.rows.get(row)?;
        versions.get(versions.partition_point(|version| *version <= at).checked_sub(1)?).copied()
    }

    /// Whether the row was live at a version of the project.
    pub(crate) fn was_live(&self, row: &str, at: u64) -> bool {
        self.version_at(row, at).and_then(|version| self.entry(version)).is_some_and(|entry| entry.live.is_some())
    }

    /// The versions of the live rows at a version of the project.
    pub(crate) fn state_at(&self, at: u64) -> BTreeMap<&str, u64> {
        let versions = self.rows.keys().filter_map(|row| Some((row.as_str(), self.version_at(row, at)?)));
        versions.filter(|(_, version)| self.entry(*version).is_some_and(|entry| entry.live.is_some())).collect()
    }

    /// Whether the row that got this version has the mark there.
    pub(crate) fn shows(&self, version: u64, mark: &str) -> bool {
        let Some(Entry { row, live: Some(live), .. }) = self.entry(version) else { return false };
        marks_of(row, live).iter().any(|shown| shown == mark)
    }

    /// The versions at which a row got this mark.
    pub(crate) fn taken_on(&self, mark: &str) -> &[u64] {
        self.marks.get(mark).map_or(&[], Vec::as_slice)
    }

    /// The number of versions at which a row ever got this mark, including those that a restore took back.
    pub(crate) fn ever_taken_on(&self, mark: &str) -> usize {
        let is_it = |entry: &&Entry| {
            entry.live.as_ref().is_some_and(|live| marks_of(&entry.row, live).iter().any(|m| m == mark))
        };
        let was_it = |entry: &&Entry| {
            let before = entry.previous.and_then(|before| self.gone.get(&before).or_else(|| self.entry(before)));
            before.filter(is_it).is_some()
        };
        self.taken_on(mark).len() + self.gone.values().filter(is_it).filter(|entry| !was_it(entry)).count()
    }

    /// The versions that the row held and that a restore took back.
    pub(crate) fn gone_of(&self, row: &str) -> Vec<u64> {
        self.gone.iter().filter(|(_, entry)| entry.row == row).map(|(version, _)| *version).collect()
    }

    /// Whether only a lost table had this row, so that a restore made it a tombstone.
    pub(crate) fn was_buried(&self, row: &str) -> bool {
        let first = self.rows.get(row).and_then(|held| held.first());
        first.and_then(|first| self.entry(*first)).is_some_and(|entry| entry.live.is_none())
    }

    /// Whether a device with this mark is told to start over.
    pub(crate) fn refuses(&self, mark: u64) -> bool {
        mark > 0 && self.resync_through.is_some_and(|through| mark <= through)
    }

    /// The last version of the commit that gave out this one.
    pub(crate) fn commit_of(&self, version: u64) -> Option<u64> {
        self.commits.range(version..).next().map(|(last, _)| *last)
    }

    /// Records an accepted transaction. The error is the rule that it breaks.
    pub(crate) fn commit(&mut self, written: &[Written]) -> Result<(), String> {
        let mut counter = None;
        let mut record = None;
        let mut rows = BTreeMap::new();
        for write in written {
            let item = write.after.item.as_deref().ok_or("an item was removed")?;
            if write.key.1 == "_counter" {
                counter = Some((write.before.as_deref().map_or(0, |old| number(old, "current_version")), item));
            } else if item.contains_key("server_version") {
                let version = number(item, "server_version");
                if let Some((other, _)) = rows.insert(version, (write.key.1.clone(), item)) {
                    return Err(format!("version {version} was given to {other} and to {}", write.key.1));
                }
            } else if write.key.0.starts_with("request#") {
                record = Some(write.key.clone());
            }
        }
        let Some((before, counter)) = counter else {
            return if rows.is_empty() { Ok(()) } else { Err("rows were written without the counter".to_owned()) };
        };
        let current = number(counter, "current_version");
        if let (Some(restoring), true) = (&mut self.restoring, rows.is_empty()) {
            restoring.take_counter(self.current, before, current)?;
            self.current = current;
            return Ok(());
        }
        if let Some(gone) = self.gone.last_key_value().map(|(gone, _)| *gone).filter(|gone| before < *gone) {
            return Err(format!(
                "versions from {before} on are given again, up to {gone} they were given before the restore"
            ));
        }
        if before != self.current() || !rows.keys().copied().eq(before + 1..=current) {
            return Err(format!("the counter went from {before} to {current}, rows took {:?}", rows.keys()));
        }
        let is_restored = self.restoring.is_some();
        if self.deleted_at.is_some() && !is_restored && !rows.values().all(|(row, item)| is_leaving(row, item)) {
            return Err("a commit after the project's deletion".to_owned());
        }
        self.expect_deletion_goes_on(counter, rows.values().map(|(row, item)| (row.as_str(), &***item)))
            .map_err(|broken| format!("{broken} at {current}"))?;
        let edges: Vec<String> = rows.values().map(|(row, _)| row.clone()).collect();
        self.current = current;
        for (version, (row, item)) in rows {
            self.take(version, row, item)?;
        }
        for row in edges {
            rules::accept_edge(&self.live, &row).map_err(|broken| format!("{row} at {current}: {broken}"))?;
        }
        self.commits.insert(current, Commit { first: before + 1, record });
        if counter.contains_key("deleted_at") {
            self.deleted_at = Some(number(counter, "deleted_at"));
        }
        // Members of a deleted project may leave it, even the last owner.
        if self.deleted_at.is_some() || is_restored { Ok(()) } else { rules::after_commit(&self.live) }
    }

    /// Checks that archived versions were superseded, by the row that the archive names.
    pub(crate) fn expect_archive(&self, item: &Item) -> Result<(), String> {
        let Some(row) = item.get("row_entity").and_then(|row| row["S"].as_str()) else {
            return match crate::clean::archived(item)?.into_iter().find(|version| !self.is_superseded(*version)) {
                Some(version) => Err(format!("{version} is archived for no row, and was not superseded")),
                None if self.restoring.is_none() => Err("an archive without a row".to_owned()),
                None => Ok(()),
            };
        };
        let held = self.rows.get(row).map_or(&[][..], Vec::as_slice);
        let superseded = &held[..held.len().saturating_sub(1)];
        for version in crate::clean::archived(item)? {
            if !superseded.contains(&version) {
                return Err(format!("{version} is archived for {row}, which held {held:?}"));
            }
        }
        Ok(())
    }

    fn is_superseded(&self, version: u64) -> bool {
        self.entry(version).is_some_and(|entry| self.rows[&entry.row].last() != Some(&version))
    }

    /// Checks that a deletion that has begun ends before anything else is written, and that it ends with the task's tombstone.
    fn expect_deletion_goes_on<'a>(
        &mut self,
        counter: &Item,
        mut rows: impl Iterator<Item = (&'a str, &'a Item)> + Clone,
    ) -> Result<(), String> {
        let noted = counter.get("unfinished").map(|note| &note["M"]);
        let noted_task = noted.map(|note| note["task"]["S"].as_str().unwrap_or_default().to_owned());
        let Some(task) = self.unfinished.clone().or_else(|| noted_task.clone()) else { return Ok(()) };
        let buried = rows.clone().any(|(row, _)| row == format!("tasks#{task}"));
        if noted_task.as_ref() != Some(&task) && !buried {
            return Err(format!("the deletion of {task} is forgotten"));
        }
        if noted_task.is_some() && buried {
            return Err(format!("the deletion of {task} is over and goes on"));
        }
        let names = |row: &str| {
            let edge = self.live.get(row).filter(|_| row.starts_with("dependencies#"));
            edge.is_some_and(|edge| edge["predecessor"] == *task || edge["successor"] == *task)
        };
        let belongs =
            |row: &str, item: &Item| item.contains_key("is_deleted") && (row == format!("tasks#{task}") || names(row));
        if let Some((other, _)) = rows.find(|(row, item)| !belongs(row, item)) {
            return Err(format!("{other} is written while {task} is being deleted"));
        }
        let record = noted.and_then(|note| note["record"]["M"]["entity"]["S"].as_str());
        self.begun.extend(record.map(str::to_owned));
        self.unfinished = noted_task;
        Ok(())
    }

    fn take(&mut self, version: u64, row: String, item: &Item) -> Result<(), String> {
        let held = self.rows.get(&row).cloned().unwrap_or_default();
        let dead = item.contains_key("is_deleted");
        let text = item.get("row").map(|row| row["S"].as_str().expect("a text"));
        let live: Option<Content> = match (dead, text) {
            (true, None) => None,
            (false, Some(text)) => Some(serde_json::from_str(text).map_err(|error| format!("{row}: {error}"))?),
            _ => return Err(format!("{row}@{version} is neither live nor dead")),
        };
        if live.as_ref().is_some_and(|live| live["server_version"] != version) {
            return Err(format!("{row}@{version} says otherwise to devices"));
        }
        if number(item, "writes") != held.len() as u64 + 1 {
            return Err(format!("{row}@{version} does not count its writes"));
        }
        self.check_superseded(&row, version, &held, item)?;
        if item.contains_key("live_edge") && (dead || !row.starts_with("dependencies#")) {
            return Err(format!("{row}@{version} is in the index of live dependencies"));
        }
        let previous = held.last().copied();
        let before = self.live.get(&row).cloned();
        let stays_dead = self.restoring.is_some() && live.is_none();
        if before.is_none() && previous.is_some() && !row.starts_with("memberships#") && !stays_dead {
            return Err(format!("{row}@{version} was dead already"));
        }
        if let (Some(before), Some(live)) = (&before, &live) {
            columns_stay(before, live, version).map_err(|broken| format!("{row}@{version}: {broken}"))?;
        }
        rules::at_version(&self.live, &row, before.as_ref(), live.as_ref())
            .map_err(|broken| format!("{row}@{version}: {broken}"))?;
        let marks = |content: Option<&Content>| content.map_or(vec![], |content| marks_of(&row, content));
        let marks_before = marks(before.as_ref());
        for mark in marks(live.as_ref()).into_iter().filter(|mark| !marks_before.contains(mark)) {
            self.marks.entry(mark).or_default().push(version);
        }
        match &live {
            Some(live) => self.live.insert(row.clone(), Arc::clone(live)),
            None => self.live.remove(&row),
        };
        self.rows.entry(row.clone()).or_default().push(version);
        self.entries.insert(version, Entry { row, live, previous });
        Ok(())
    }

    /// Checks that the version history names exactly the versions that the row held, down to where it is silent.
    fn check_superseded(&mut self, row: &str, version: u64, held: &[u64], item: &Item) -> Result<(), String> {
        let current = ServerVersion::try_from(version).map_err(|error| error.to_string())?;
        let list = match item.get("superseded").map(|list| list["B"].as_str().expect("bytes")) {
            None => VersionHistory::default(),
            Some(text) => {
                let bytes = base64::decode(text).map_err(|error| error.to_string())?;
                VersionHistory::decode(&bytes, current).map_err(|error| format!("{row}@{version}: {error}"))?
            }
        };
        if list.silent_through() > Mark::NOTHING && !item.contains_key("archived_from") {
            self.unarchived.insert(row.to_owned());
        }
        let listed = held.iter().rev().copied().filter(|version| *version >= list.silent_through().floor());
        if listed.eq(list.versions().iter().map(|version| version.get()))
            && (list.silent_through() > Mark::NOTHING || list.versions().len() == held.len())
        {
            return Ok(());
        }
        Err(format!("{row}@{version} held {held:?} and lists {list:?}"))
    }
}

/// Checks that no write loses a column, and that only the newer version changes its own columns.
fn columns_stay(before: &Map<String, Value>, after: &Map<String, Value>, version: u64) -> Result<(), String> {
    if let Some(lost) = before.keys().find(|column| !after.contains_key(*column)) {
        return Err(format!("the column {lost} is lost"));
    }
    match (before.get("colour"), after.get("colour")) {
        (before, Some(after)) if before.is_some_and(|before| before != after) && *after != newer::colour(version) => {
            Err(format!("a colour of nobody: {after}"))
        }
        _ => Ok(()),
    }
}

/// The mark that a writer leaves in a row. No two requests leave the same mark.
pub(crate) fn mark_of(row: &str, content: &Map<String, Value>) -> Option<String> {
    let (collection, _) = row.split_once('#')?;
    match collection {
        "memberships" => None,
        "dependencies" => Some(format!("{row} {}", content["lag"])),
        _ => content["name"].as_str().map(str::to_owned),
    }
}

/// Both marks of a row: that one, and the mark of a writer who does not change the name of a task.
pub(crate) fn marks_of(row: &str, content: &Map<String, Value>) -> Vec<String> {
    let notes = content.get("notes").and_then(Value::as_str).filter(|notes| !notes.is_empty());
    mark_of(row, content).into_iter().chain(notes.map(str::to_owned)).collect()
}

/// Whether this write ends a membership. A member may leave a deleted project.
fn is_leaving(row: &str, item: &Item) -> bool {
    row.starts_with("memberships#") && item.get("is_deleted").is_some()
}

pub(crate) fn number(item: &Item, name: &str) -> u64 {
    item[name]["N"].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {name}"))
}
