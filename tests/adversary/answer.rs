//! Judges the promises of an answer to a pull against the true history.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use shared::domain::{Checksums, CollectionName, RowKey, ServerVersion, WipePlace};

use crate::device::Device;
use crate::history::History;

/// A sync response whose form was checked.
pub(crate) struct Answer {
    mark: u64,
    pub(crate) has_more: bool,
    updated: Vec<(String, u64, Map<String, Value>)>,
    deleted: Vec<String>,
    checksums: Option<Checksums>,
}

/// The circumstances of the pull.
pub(crate) struct Given {
    pub(crate) turbo: bool,
    /// Whether the app has a new column, so that the device asks for everything.
    pub(crate) migrates: bool,
    /// A version that the answer to an earlier mutation named.
    pub(crate) min_version: u64,
    /// The version of the user's membership that a strong read would have seen when the pull began, or 0 if there was none.
    pub(crate) membership_at_start: u64,
    /// The counter that a strong read would have seen when the pull began.
    pub(crate) counter_at_start: u64,
    /// Whether the index shows each row as it is.
    pub(crate) index_is_current: bool,
}

const COLLECTIONS: [&str; 5] = ["projects", "tasks", "dependencies", "calendars", "memberships"];

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

impl Answer {
    pub(crate) fn read(body: &Value) -> Result<Self, String> {
        let mark = body["timestamp"].as_u64().filter(|mark| *mark > 0).ok_or("no timestamp")?;
        let changes = body["changes"].as_object().ok_or("no changes")?;
        ensure(COLLECTIONS.iter().all(|name| changes.contains_key(*name)), || "not all collections".to_owned())?;
        let has_more = body.get("has_more").is_some_and(|more| more == true);
        let checksums = body.get("checksum").map(checksums).transpose()?;
        let mut answer = Self { mark, has_more, updated: vec![], deleted: vec![], checksums };
        for (collection, arrays) in changes {
            let arrays = arrays.as_object().ok_or("no arrays")?;
            let array = |name: &str| arrays.get(name).and_then(Value::as_array).ok_or("not three arrays");
            ensure(arrays.len() == 3 && array("created")?.is_empty(), || "something created".to_owned())?;
            for row in array("updated")? {
                let row = row.as_object().ok_or("no row")?;
                ensure(row.values().all(|value| !value.is_array() && !value.is_object()), || "not flat".to_owned())?;
                let id = row.get("id").and_then(Value::as_str).ok_or("no id")?;
                let version = row.get("server_version").and_then(Value::as_u64).ok_or("no version")?;
                answer.updated.push((format!("{collection}#{id}"), version, row.clone()));
            }
            for id in array("deleted")? {
                answer.deleted.push(format!("{collection}#{}", id.as_str().ok_or("no id")?));
            }
        }
        let ids = answer.updated.iter().map(|(row, ..)| row).chain(&answer.deleted);
        let distinct: BTreeSet<_> = ids.clone().collect();
        ensure(distinct.len() == ids.count(), || "an id appears twice".to_owned())?;
        Ok(answer)
    }
}

fn checksums(body: &Value) -> Result<Checksums, String> {
    let mut checksums = Checksums::default();
    ensure(COLLECTIONS.iter().all(|name| body.get(name).is_some()), || "not all checksums".to_owned())?;
    for (name, numbers) in body.as_object().ok_or("no checksums")? {
        let collection: CollectionName = name.parse().map_err(|_| format!("checksum of {name}"))?;
        let numbers = serde_json::from_value(numbers.clone());
        checksums.set(collection, numbers.map_err(|error| format!("checksum: {error}"))?);
    }
    Ok(checksums)
}

impl Device {
    /// Judges an ordinary answer.
    pub(crate) fn take_changes(&mut self, answer: &Answer, history: &History, given: &Given) -> Result<(), String> {
        let Answer { mark, has_more, .. } = *answer;
        // A device at its user's removal was told to forget everything, and is given everything now that the user is back.
        let at_removal = self.is_removal(self.mark, history) || self.mark >= WipePlace::FIRST_MARK;
        let since = if at_removal || given.migrates { 0 } else { self.mark };
        ensure(mark <= history.current(), || format!("the mark {mark} is ahead of the truth"))?;
        ensure(mark >= since, || format!("the mark went back from {since} to {mark}"))?;
        ensure(!has_more || mark > since, || "more, but no step forward".to_owned())?;
        ensure(has_more || mark >= given.min_version, || format!("{mark} is less than was asked for"))?;
        ensure(has_more || mark >= given.counter_at_start, || {
            format!("{mark} is said to be everything, and {} was there", given.counter_at_start)
        })?;
        ensure(!answer.deleted.contains(&self.membership), || "a member is told that they were removed".to_owned())?;
        self.expect_right_to_it(answer, history, given)?;
        for (row, version, content) in &answer.updated {
            let entry = history.entry(*version).filter(|entry| entry.row == *row);
            let entry = entry.ok_or_else(|| format!("{row} never was at {version}"))?;
            ensure(entry.live.as_deref() == Some(content), || format!("{row} never was so at {version}"))?;
            ensure(*version > since, || format!("{row}@{version} again"))?;
            ensure(!has_more || *version <= mark, || format!("{row}@{version} behind the cut"))?;
            let newer = history.rows()[row].iter().find(|newer| *newer > version);
            let is_older_than_the_reader = newer.is_some_and(|newer| *newer <= given.membership_at_start);
            ensure(!(given.index_is_current && is_older_than_the_reader), || {
                format!("{row}@{version} is from before the reader was let in at {}", given.membership_at_start)
            })?;
            self.rows.insert(row.clone(), *version);
        }
        ensure(!(given.turbo && since == 0) || answer.deleted.is_empty(), || "tombstones in turbo mode".to_owned())?;
        for row in &answer.deleted {
            let held = history.rows().get(row).map(Vec::as_slice).unwrap_or_default();
            let died = |version: &&u64| history.entry(**version).is_some_and(|entry| entry.live.is_none());
            let died = held.iter().filter(died).any(|at| *at > since && (!has_more || *at <= mark));
            ensure(died, || format!("{row} did not die since {since}"))?;
            self.rows.remove(row);
        }
        self.mark = mark;
        self.expect_complete(history)?;
        // An answer without checksums knows of newer rows, and it may not show some of them.
        ensure(has_more || answer.checksums.is_some() || history.current() > mark, || "no checksum".to_owned())?;
        if answer.checksums.is_some() {
            let same = self.rows.iter().map(|(row, version)| (row.as_str(), *version)).eq(history.state_at(mark));
            ensure(same, || format!("is not the server's state at {mark}: {}", self.differences(history, mark)))?;
        }
        ensure(!has_more || answer.checksums.is_none(), || "a checksum of a page".to_owned())?;
        match &answer.checksums {
            Some(said) => ensure(*said == self.checksums(), || format!("the checksum is not the device's: {said:?}")),
            None => Ok(()),
        }
    }

    fn checksums(&self) -> Checksums {
        let mut checksums = Checksums::default();
        for (row, version) in &self.rows {
            let row: RowKey = row.parse().expect("a key");
            checksums.add(&row, ServerVersion::try_from(*version).expect("a version"));
        }
        checksums
    }

    /// Judges an answer to a user who may see nothing any more. After the last page the device holds nothing.
    pub(crate) fn take_wipe(&mut self, answer: &Answer, history: &History, given: &Given) -> Result<(), String> {
        let mark = answer.mark;
        ensure(answer.updated.is_empty(), || "rows for nobody".to_owned())?;
        ensure(answer.checksums.is_none(), || "a checksum for nobody".to_owned())?;
        let end = if answer.has_more {
            self.end_of_page(mark, history, given)?
        } else {
            let is_new = mark > self.mark || self.mark >= WipePlace::FIRST_MARK;
            let removed = self.is_removal(mark, history) && mark >= given.membership_at_start && is_new;
            let told = if self.mark >= WipePlace::FIRST_MARK { 0 } else { self.mark };
            let deleted = history.deleted_at.is_some_and(|end| mark == end.max(told));
            ensure(removed || deleted, || format!("wiped for no reason at {mark}"))?;
            mark
        };
        for row in &answer.deleted {
            let held = history.rows().get(row).ok_or("an unknown id")?;
            // If older code dropped versions of a row, the server does not know since when the row exists.
            let existed = held[0] <= end || history.was_buried(row) || history.unarchived.contains(row);
            ensure(existed, || format!("{row} was made after {end}"))?;
            self.rows.remove(row);
        }
        // If a restore buried a row and another restore wrote it again, nobody can tell that the row was known before.
        let is_known = |row: &String| !history.was_buried(row) || history.rows()[row].len() == 1;
        if !answer.has_more {
            self.rows.retain(|row, _| is_known(row));
        }
        ensure(answer.has_more || self.rows.is_empty(), || format!("left after the wipe: {:?}", self.rows))?;
        self.mark = mark;
        Ok(())
    }

    /// Judges a page that is not the last one. The mark does not say how far it is. Returns the latest version at which all of
    /// its ids existed.
    fn end_of_page(&self, place: u64, history: &History, given: &Given) -> Result<u64, String> {
        ensure(place >= WipePlace::FIRST_MARK, || format!("a page of a wipe has a device's mark, {place}"))?;
        ensure(place > self.mark, || format!("a wipe went back from {} to {place}", self.mark))?;
        let held = history.rows().get(&self.membership).map(Vec::as_slice).unwrap_or_default();
        let removals = held.iter().copied().filter(|version| self.is_removal(*version, history));
        let removed = removals.filter(|version| *version >= given.membership_at_start).max();
        history.deleted_at.max(removed).ok_or_else(|| format!("wiped for no reason at {place}"))
    }

    fn is_removal(&self, version: u64, history: &History) -> bool {
        history.entry(version).is_some_and(|entry| entry.row == self.membership && entry.live.is_none())
    }

    /// A user who was removed, or whose project was deleted, gets no rows, and no ids of rows that were written later.
    fn expect_right_to_it(&self, answer: &Answer, history: &History, given: &Given) -> Result<(), String> {
        let mark = answer.mark;
        ensure(history.deleted_at.is_none_or(|end| mark < end), || "rows of a deleted project".to_owned())?;
        let latest = history.rows().get(&self.membership).and_then(|versions| versions.last()).copied();
        let latest = latest.ok_or("rows for someone who never was a member")?;
        let gone = history.entry(latest).is_some_and(|entry| entry.live.is_none());
        ensure(!(gone && latest <= mark), || format!("a member removed at {latest} got a mark beyond"))?;
        let later = answer.updated.iter().find(|(_, version, _)| gone && *version > latest);
        ensure(later.is_none(), || format!("a member removed at {latest} got what was written later: {later:?}"))?;
        // A member who is added again with such a mark is given everything anew, so the mark would go back.
        ensure(!self.is_removal(mark, history), || format!("a member got the mark of a removed one: {mark}"))?;
        ensure(!(gone && latest == given.membership_at_start), || format!("rows for a member removed at {latest}"))
    }

    /// Checks that the device holds every row whose current version is at most the mark, in that state.
    fn expect_complete(&self, history: &History) -> Result<(), String> {
        for (row, versions) in history.rows() {
            let Some(current) = versions.last().filter(|current| **current <= self.mark) else { continue };
            let live = history.entry(*current).is_some_and(|entry| entry.live.is_some());
            let held = self.rows.get(row);
            ensure(held == live.then_some(current), || {
                format!("at mark {} holds {row}@{held:?}, which is @{current} (live: {live})", self.mark)
            })?;
        }
        Ok(())
    }

    /// The differences between the device and the server's state at a version, row by row.
    pub(crate) fn differences(&self, history: &History, at: u64) -> String {
        let truth = history.state_at(at);
        let rows: BTreeSet<&str> = truth.keys().copied().chain(self.rows.keys().map(String::as_str)).collect();
        let differing = rows.into_iter().filter(|row| truth.get(row) != self.rows.get(*row));
        let lines = differing.map(|row| format!("{row}: here {:?}, there {:?}", self.rows.get(row), truth.get(row)));
        lines.collect::<Vec<_>>().join("; ")
    }
}
