//! Restores projects in memory as backups leave them: every half of a commit, stopped after every write.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::domain::{
    ArchivedVersions, Checksums, Collection, Columns, Counter, ProjectId, Row, RowKey, ServerVersion, UserId, Write,
    membership_id,
};
use shared::storage::{Restoration, StoredItem};

use super::finish::Fix;
use super::plan::{Aim, Damage, Step, Stored, holds, next};
use super::run::RAISE;
use crate::verify::{Reading, judge, testing};

fn project() -> ProjectId {
    "p".parse().expect("a project")
}

fn key(text: &str) -> RowKey {
    text.parse().expect("a key")
}

fn member(user: &str) -> String {
    let user: UserId = user.parse().expect("a user");
    format!("memberships#{}", membership_id(&project(), &user))
}

fn version(number: u64) -> ServerVersion {
    ServerVersion::try_from(number).expect("a version")
}

fn put(columns: Value) -> Write {
    Write::Put(columns.as_object().expect("columns").clone())
}

fn house(calendar: Option<&str>) -> Write {
    put(json!({"name": "House", "description": "", "start_date": "2026-03-02", "calendar": calendar}))
}

fn owner() -> Write {
    put(json!({"user": "olga", "role": 400}))
}

fn task(name: &str) -> Write {
    put(
        json!({"name": name, "wbs_path": null, "duration": 1, "percent_complete": 0, "notes": "", "planned_start": null,
        "status": "NOT_STARTED", "is_milestone": false, "assignee": null, "optimistic_duration": null,
        "most_likely_duration": null, "pessimistic_duration": null}),
    )
}

fn edge(from: &str, to: &str) -> Write {
    put(json!({"predecessor": from, "successor": to, "dep_type": "FS", "lag": 0}))
}

/// One commit.
fn commit(stored: &Stored, mut writes: Vec<(RowKey, Write)>) -> Stored {
    writes.sort_by_key(|(key, write)| write.rank(key.collection));
    let mut after = stored.clone();
    let counter = stored.counter.as_ref();
    let current = counter.map_or(0, |counter| counter.current.get());
    let mut last = Vec::new();
    let mut deleted_at = counter.and_then(|counter| counter.deleted_at);
    let mut checksums = counter.map(|counter| counter.checksums.clone()).unwrap_or_default();
    for (at, (key, write)) in (current + 1..).zip(writes) {
        if key == RowKey::project(&project()) && !matches!(write, Write::Put(_)) {
            deleted_at = Some(version(at));
        }
        let old = stored.rows.get(&key);
        if let Some(old) = old.filter(|old| old.live().is_some()) {
            checksums.subtract(&key, old.version);
        }
        let row = Row::written(old, key.clone(), write, version(at));
        after.archive.extend(old.and_then(|old| ArchivedVersions::dropped(old, &row)));
        if row.live().is_some() {
            checksums.add(&key, row.version);
        }
        after.rows.insert(key.clone(), row);
        last.push((key, version(at)));
    }
    after.counter = Some(Counter {
        current: version(current + last.len() as u64),
        write_set: last,
        deleted_at,
        skipped: counter.map(|counter| counter.skipped.clone()).unwrap_or_default(),
        resync_through: counter.and_then(|counter| counter.resync_through),
        checksums,
        unfinished: None,
    });
    after
}

fn commits(commits: Vec<Vec<(&str, Write)>>) -> Stored {
    commits.into_iter().fold(Stored::default(), |stored, writes| with(&stored, writes))
}

fn with(stored: &Stored, writes: Vec<(&str, Write)>) -> Stored {
    commit(stored, writes.into_iter().map(|(entity, write)| (key(entity), write)).collect())
}

/// A project with a calendar in use, a chain of tasks, a removed member, and a row that was written so often that its history is
/// cut.
fn sound() -> Stored {
    let gone = member("gone");
    let mut stored = commits(vec![
        vec![("projects#p", house(None)), (&member("olga"), owner())],
        vec![(
            "calendars#site",
            put(json!({"name": "Site", "working_days": 31, "hours_per_day": 8, "timezone": "UTC",
            "exceptions": []})),
        )],
        vec![("projects#p", house(Some("site")))],
        vec![("tasks#a", task("Dig")), ("tasks#b", task("Fill")), ("tasks#c", task("Roof"))],
        vec![("dependencies#ab", edge("a", "b")), ("dependencies#bc", edge("b", "c"))],
        vec![(&gone, put(json!({"user": "gone", "role": 1})))],
        vec![(&gone, Write::Delete)],
    ]);
    for n in 0..300 {
        stored = with(&stored, vec![("tasks#a", task(&format!("Dig {n}")))]);
    }
    stored
}

/// The commits that a backup may cut, each on top of [`sound`].
fn cuttable() -> Vec<Vec<(&'static str, Write)>> {
    vec![
        vec![("tasks#c", task("Roof, red"))],
        vec![("tasks#b", Write::Delete), ("dependencies#ab", Write::Delete), ("dependencies#bc", Write::Delete)],
        vec![("tasks#d", task("New")), ("tasks#e", task("New")), ("dependencies#de", edge("d", "e"))],
        // One commit replaces a dependency by another one, and one by a dependency in the other direction.
        vec![("dependencies#ab", Write::Delete), ("dependencies#ab2", edge("a", "b"))],
        vec![("dependencies#ab", Write::Delete), ("dependencies#ca", edge("c", "a"))],
        vec![("projects#p", house(None)), ("calendars#site", Write::Delete)],
        vec![("projects#p", Write::Delete)],
    ]
}

/// The tables that a backup may hold between two commits: each item is there before or after the commit.
fn halves(before: &Stored, after: &Stored) -> Vec<Stored> {
    let last = &after.counter.as_ref().expect("a counter").write_set;
    let half = |bits: u32| {
        let mut half = before.clone();
        if bits & 1 == 1 {
            half.counter.clone_from(&after.counter);
        }
        for (n, (key, _)) in last.iter().enumerate() {
            if bits >> (n + 1) & 1 == 1 {
                half.rows.insert(key.clone(), after.rows[key].clone());
            }
        }
        half
    };
    (0..1 << (last.len() + 1)).map(half).collect()
}

fn aim(lost: Option<Stored>) -> Aim {
    Aim { table: "restored".to_owned(), raise: RAISE, lost, starts: vec![] }
}

/// Takes the step, or only its first write.
fn take(stored: &Stored, step: Step, only_one_write: bool) -> Stored {
    let take = if only_one_write { 1 } else { usize::MAX };
    let noted =
        |counter, note: Option<Restoration>| Stored { counter: Some(counter), restoration: note, ..stored.clone() };
    match step {
        Step::Remove => Stored::default(),
        Step::DropArchive(untrue) => {
            let archive = stored.archive.iter().filter(|archived| !untrue.contains(archived)).cloned().collect();
            Stored { archive, ..stored.clone() }
        }
        Step::Archive(archived) => Stored { archive: [stored.archive.clone(), archived].concat(), ..stored.clone() },
        Step::Repair(counter, _) => noted(counter, stored.restoration.clone()),
        Step::Raise(counter, note) | Step::Complete(counter, note) => noted(counter, Some(note)),
        Step::Finish(fixes) => fixes.chunks(1).take(take).fold(stored.clone(), |stored, fixes| {
            let write = |fix: &Fix| match fix {
                Fix::WithoutCalendar(own, _) => put(serde_json::to_value(own).expect("columns")),
                Fix::SetMembership(_, membership) => put(serde_json::to_value(membership).expect("columns")),
                Fix::DeleteProject | Fix::DeleteEdge(_) | Fix::EndMembership(..) => Write::Delete,
            };
            commit(&stored, fixes.iter().map(|fix| (fix.key(&project()), write(fix))).collect())
        }),
        Step::Rewrite(batches) => batches.into_iter().take(take).fold(stored.clone(), |stored, batch| {
            let writes = batch.into_iter().map(|target| {
                let alive = stored.rows.get(&target.key).and_then(Row::live);
                let write = match (alive, target.lost) {
                    (_, Some(lost)) => Write::Bury(lost.columns().clone(), lost.unknown.clone()),
                    (Some(columns), None) => Write::Put(columns.clone()),
                    (None, None) => Write::Delete,
                };
                (target.key, write)
            });
            commit(&stored, writes.collect())
        }),
    }
}

fn restored(stored: &Stored, aim: &Aim, stopped_after_each_write: bool) -> Stored {
    let mut stored = stored.clone();
    for _ in 0..200 {
        match next(&project(), &stored, aim).expect("no damage") {
            Some(step) => stored = take(&stored, step, stopped_after_each_write),
            None => return stored,
        }
    }
    panic!("it does not come to an end")
}

/// The violations that an audit finds in the project.
#[track_caller]
fn assert_sound(stored: &Stored) {
    let counter = stored.counter.as_ref().expect("a counter");
    let number = |number: u64| AttributeValue::N(number.to_string());
    let range = |range: &(u64, u64)| AttributeValue::L(vec![number(range.0), number(range.1)]);
    let last = counter.write_set.iter().map(|(key, version)| (key.to_string(), number(version.get()))).collect();
    let mut item: std::collections::HashMap<String, AttributeValue> = [
        ("project_id".to_owned(), AttributeValue::S("p".to_owned())),
        ("entity".to_owned(), AttributeValue::S("_counter".to_owned())),
        ("current_version".to_owned(), number(counter.current.get())),
        ("last".to_owned(), AttributeValue::M(last)),
        ("skipped".to_owned(), AttributeValue::L(counter.skipped.iter().map(range).collect())),
        ("checksums".to_owned(), testing::checksums(&counter.checksums)),
    ]
    .into();
    if let Some(version) = counter.deleted_at {
        item.insert("deleted_at".to_owned(), number(version.get()));
    }
    let rows: Vec<_> = stored.rows.values().map(|row| StoredItem::of_row(&project(), row)).collect();
    let archive = stored.archive.iter().map(|archived| StoredItem::of_archive(&project(), archived));
    let stored = std::iter::once(StoredItem(item)).chain(archive).chain(rows.iter().cloned()).collect();
    let judgement = judge(&Reading { project: project(), stored, indexed: rows });
    assert_eq!(judgement.violations, []);
    assert_eq!(judgement.counts.unlisted, 0, "a version that nothing names");
}

/// The project is sound, its restore is done, and every row is above every mark that was handed out.
#[track_caller]
fn assert_restored(stored: &Stored, end_of_range: u64) {
    assert_sound(stored);
    assert!(stored.restoration.as_ref().is_some_and(|note| note.done && note.raised.1 == end_of_range), "{stored:?}");
    assert!(stored.rows.values().all(|row| row.version.get() > end_of_range));
}

fn content(stored: &Stored) -> BTreeMap<RowKey, Option<Columns>> {
    stored.rows.iter().map(|(key, row)| (key.clone(), row.live().cloned())).collect()
}

#[test]
fn whatever_half_of_a_commit_the_backup_holds_the_project_ends_sound_wherever_the_run_was_stopped() {
    let before = sound();
    for writes in cuttable() {
        let after = with(&before, writes);
        for half in halves(&before, &after) {
            let torn_end =
                half.rows.values().map(|row| row.version).chain(half.counter.iter().map(|c| c.current)).max();
            let whole = restored(&half, &aim(None), false);
            let end = whole.restoration.as_ref().expect("a note").raised.1;
            assert!(end >= torn_end.expect("a version").get() + RAISE);
            assert_restored(&whole, end);
            assert_eq!(whole.counter.as_ref().expect("a counter").resync_through, Some(version(end)));
            let stopped = restored(&half, &aim(None), true);
            assert_restored(&stopped, stopped.restoration.as_ref().expect("a note").raised.1);
            assert_eq!(content(&stopped), content(&whole));
        }
    }
}

#[test]
fn a_backup_between_two_commits_loses_nothing_and_skips_nothing_but_the_range() {
    let before = sound();
    let after = restored(&before, &aim(None), false);
    assert_eq!(content(&after), content(&before));
    let current = before.counter.expect("a counter").current.get();
    assert_eq!(after.counter.expect("a counter").skipped, [(current + 1, current + RAISE)]);
}

#[test]
fn checksums_that_are_not_those_of_the_live_rows_are_repaired_also_when_nothing_else_is_wrong() {
    let before = sound();
    let Ok(Some(Step::Repair(repaired, 0))) = next(&project(), &before, &aim(None)) else {
        panic!("`last` is emptied")
    };
    assert_eq!(repaired.checksums, before.counter.as_ref().expect("a counter").checksums);
    let mut other = repaired.checksums.clone();
    other.add(&key("tasks#z"), version(7));
    for wrong in [Checksums::default(), other] {
        let counter = Some(Counter { checksums: wrong, ..repaired.clone() });
        let stored = Stored { counter, ..before.clone() };
        assert_eq!(next(&project(), &stored, &aim(None)), Ok(Some(Step::Repair(repaired.clone(), 0))));
        for lost in [None, Some(before.clone())] {
            let after = restored(&stored, &aim(lost), true);
            assert_sound(&after);
            assert_eq!(content(&after), content(&before));
        }
    }
}

#[test]
fn a_deletion_that_was_cut_is_finished_and_a_dependency_on_what_was_not_brought_back_goes() {
    let before = sound();
    let cut = |writes: Vec<(&str, Write)>, shown: &[&str]| {
        let mut half = before.clone();
        let after = with(&before, writes);
        shown.iter().for_each(|entity| drop(half.rows.insert(key(entity), after.rows[&key(entity)].clone())));
        restored(&half, &aim(None), false)
    };
    let [_, task, made, replaced, turned, calendar, _] = <[_; 7]>::try_from(cuttable()).expect("seven");
    let dead = |stored: &Stored, entity: &str| stored.rows[&key(entity)].live().is_none();
    let after = cut(task, &["tasks#b"]);
    assert!(dead(&after, "dependencies#ab") && dead(&after, "dependencies#bc"));
    let after = cut(made, &["dependencies#de", "tasks#d"]);
    assert!(dead(&after, "dependencies#de") && !dead(&after, "tasks#d"));
    let after = cut(replaced, &["dependencies#ab2"]);
    assert!(dead(&after, "dependencies#ab") && !dead(&after, "dependencies#ab2"), "the new one stays");
    let after = cut(turned, &["dependencies#ca"]);
    assert!(dead(&after, "dependencies#ca") && !dead(&after, "dependencies#ab"), "there was no cycle before");
    let after = cut(calendar, &["calendars#site"]);
    assert_eq!(after.rows[&key("projects#p")].columns()["calendar"], Value::Null);
}

#[test]
fn a_project_whose_deletion_was_cut_is_deleted() {
    let before = sound();
    let after = with(&before, vec![("projects#p", Write::Delete)]);
    for (number, half) in halves(&before, &after).into_iter().enumerate() {
        let stored = restored(&half, &aim(None), true);
        let own = &stored.rows[&key("projects#p")];
        let deleted_at = stored.counter.as_ref().expect("a counter").deleted_at;
        assert_eq!(deleted_at, own.live().is_none().then_some(own.version));
        assert_eq!(deleted_at.is_some(), number > 0, "half {number}");
    }
}

#[test]
fn a_project_whose_creation_was_cut_is_whole_or_was_never_made() {
    let after = commits(vec![vec![("projects#p", house(None)), (&member("olga"), owner())]]);
    for half in halves(&Stored::default(), &after) {
        let whole = half.rows.len() == 2;
        let stored = restored(&half, &aim(None), true);
        assert_eq!((stored.rows.len(), stored.counter.is_some()), if whole { (2, true) } else { (0, false) });
        if whole {
            assert_restored(&stored, 2 + RAISE);
        }
        // With the lost table the project counts as lost. Its id is not used again, and its devices are emptied.
        let buried = restored(&half, &aim(Some(after.clone())), true);
        assert_sound(&buried);
        assert_eq!((buried.rows.len(), content(&buried).values().flatten().count()), (2, if whole { 2 } else { 0 }));
    }
}

#[test]
fn rows_that_only_the_lost_table_has_become_tombstones_and_no_device_has_to_start_over() {
    let backup = sound();
    let lost = with(
        &backup,
        vec![("tasks#later", task("Later")), (&member("later"), put(json!({"user": "later", "role": 1})))],
    );
    let lost = with(&lost, vec![("tasks#a", Write::Delete), ("dependencies#ab", Write::Delete)]);
    let after = restored(&backup, &aim(Some(lost.clone())), true);
    let end = lost.counter.as_ref().expect("a counter").current.get() + RAISE;
    assert_restored(&after, end);
    assert_eq!(after.counter.as_ref().expect("a counter").resync_through, None);
    for entity in ["tasks#later".to_owned(), member("later")] {
        let row = &after.rows[&key(&entity)];
        assert!(row.live().is_none() && row.revision_count == 1 && row.columns() == lost.rows[&key(&entity)].columns());
    }
    assert_eq!(after.rows[&key(&member("later"))].removals.versions().len(), 1);
    assert!(after.rows[&key("tasks#a")].live().is_some(), "the backup knows it alive");
}

#[test]
fn a_dead_membership_remembers_its_new_version_as_a_removal() {
    let before = sound();
    let old = before.rows[&key(&member("gone"))].version;
    let row = restored(&before, &aim(None), false).rows[&key(&member("gone"))].clone();
    assert_eq!(row.removals.versions(), [old, row.version]);
}

#[test]
fn whoever_was_back_in_the_lost_table_is_removed_anew() {
    let backup = sound();
    let gone = member("gone");
    let lost = with(&backup, vec![(&gone, put(json!({"user": "gone", "role": 1})))]);
    let row = restored(&backup, &aim(Some(lost)), true).rows[&key(&gone)].clone();
    assert!(row.live().is_none());
    assert_eq!(row.removals.versions(), [row.version], "and is told of every row up to now");
}

#[test]
fn a_backup_of_a_restored_table_is_restored_again_and_a_restored_table_is_not() {
    let once = restored(&sound(), &aim(None), false);
    assert_eq!(next(&project(), &once, &aim(None)), Ok(None));
    let first = once.counter.as_ref().expect("a counter").clone();
    // Devices that have not pulled since the first restore still have to start over.
    let again = Aim { table: "another".to_owned(), ..aim(Some(once.clone())) };
    let twice = restored(&once, &again, true);
    assert_restored(&twice, first.current.get() + RAISE);
    assert_eq!(twice.counter.expect("a counter").resync_through, first.resync_through);
}

#[test]
fn a_project_with_more_wrong_than_half_a_commit_is_left_as_it_is() {
    let damaged = |change: &dyn Fn(&mut Stored)| {
        let mut stored = cut_by_older_code(&sound());
        change(&mut stored);
        next(&project(), &stored, &aim(None))
    };
    let says = |result: Result<Option<Step>, Damage>, words: &str| assert!(result.is_err_and(|d| d.0.contains(words)));
    says(damaged(&|stored| drop(stored.rows.remove(&key("projects#p")))), "own row");
    // Below the floor of the row with a cut history, nobody can tell which versions are missing.
    says(damaged(&|stored| drop(stored.rows.remove(&key("tasks#c")))), "account for");
    let twice = |stored: &mut Stored| {
        let version = stored.rows[&key("tasks#b")].version;
        stored.rows.get_mut(&key("tasks#c")).expect("a row").version = version;
    };
    says(damaged(&twice), "two rows have version");
}

fn role(role: i64, user: &str) -> Write {
    put(json!({"user": user, "role": role}))
}

/// The roles of the live members, by user.
fn members(stored: &Stored) -> BTreeMap<String, i64> {
    let memberships = stored.rows.values().filter(|row| row.key.collection == Collection::Memberships);
    let member = |columns: &Columns| {
        (columns["user"].as_str().expect("a user").to_owned(), columns["role"].as_i64().expect("a role"))
    };
    memberships.filter_map(Row::live).map(member).collect()
}

fn is_in(stored: &Stored, members_then: &[(&str, i64)]) {
    let expected: BTreeMap<_, _> = members_then.iter().map(|(user, role)| ((*user).to_owned(), *role)).collect();
    assert_eq!(members(stored), expected);
}

#[test]
fn who_was_removed_or_got_a_lower_role_after_the_backup_has_no_more_access_than_the_lost_table_gives() {
    let backup = with(&sound(), vec![(&member("eve"), role(300, "eve"))]);
    let backup = with(&backup, vec![(&member("adam"), role(300, "adam"))]);
    let lost = with(&backup, vec![(&member("eve"), Write::Delete)]);
    let lost = with(&lost, vec![(&member("adam"), role(1, "adam"))]);
    is_in(&restored(&backup, &aim(Some(lost)), true), &[("olga", 400), ("adam", 1)]);
    is_in(&restored(&backup, &aim(None), true), &[("olga", 400), ("adam", 300), ("eve", 300)]);
}

#[test]
fn a_project_without_an_owner_gets_one_of_the_lost_table() {
    let backup = with(&sound(), vec![(&member("otto"), role(100, "otto"))]);
    let lost = with(&backup, vec![(&member("otto"), role(400, "otto"))]);
    let lost = with(&lost, vec![(&member("olga"), Write::Delete)]);
    is_in(&restored(&backup, &aim(Some(lost.clone())), true), &[("otto", 400)]);
    // The new owner may be one whom the backup does not know.
    let lost = with(&lost, vec![(&member("new"), role(400, "new"))]);
    let lost = with(&lost, vec![(&member("otto"), role(1, "otto"))]);
    is_in(&restored(&backup, &aim(Some(lost)), true), &[("new", 400), ("otto", 1)]);
}

#[test]
fn a_project_without_an_owner_gets_back_the_one_removed_last_or_else_its_highest_member() {
    // The lost table is a replica. Olga's removal has arrived there, and otto's promotion has not.
    let before = with(&sound(), vec![(&member("ada"), role(400, "ada"))]);
    let before = with(&before, vec![(&member("ada"), Write::Delete)]);
    let before = with(&before, vec![(&member("otto"), role(100, "otto"))]);
    let after = with(&before, vec![(&member("otto"), role(400, "otto"))]);
    let mut cut = with(&after, vec![(&member("olga"), Write::Delete)]);
    let otto = key(&member("otto"));
    cut.rows.insert(otto.clone(), before.rows[&otto].clone());
    is_in(&restored(&cut, &aim(None), true), &[("olga", 400), ("otto", 100)]);
    // Here a lower role has arrived, and no removed member was ever an owner.
    let before = commits(vec![
        vec![("projects#p", house(None)), (&member("olga"), owner())],
        vec![(&member("otto"), role(100, "otto"))],
        vec![(&member("adam"), role(200, "adam"))],
    ]);
    let after = with(&before, vec![(&member("otto"), role(400, "otto"))]);
    let mut cut = with(&after, vec![(&member("olga"), role(200, "olga"))]);
    cut.rows.insert(otto.clone(), before.rows[&otto].clone());
    is_in(&restored(&cut, &aim(None), true), &[("olga", 400), ("adam", 200), ("otto", 100)]);
    // A deleted project needs no owner.
    let deleted = with(&cut, vec![("projects#p", Write::Delete)]);
    is_in(&restored(&deleted, &aim(None), true), &[("olga", 200), ("adam", 200), ("otto", 100)]);
}

/// Memberships that come and go by the product's rules, so that the project always has an owner.
fn lives(changes: &[(usize, Option<i64>)]) -> Vec<Stored> {
    let users = ["olga", "otto", "ada", "eve"];
    let mut lives = vec![commits(vec![vec![("projects#p", house(None)), (&member("olga"), owner())]])];
    for (user, new) in changes {
        let last = lives.last().expect("one at least");
        let (user, in_now) = (users[*user], members(last));
        let owners = in_now.iter().filter(|(other, role)| **role == 400 && other.as_str() != user).count();
        let write = match new {
            Some(new) => role(*new, user),
            None if in_now.contains_key(user) => Write::Delete,
            None => continue,
        };
        if owners > 0 || *new == Some(400) {
            lives.push(with(last, vec![(&member(user), write)]));
        }
    }
    lives
}

proptest! {
    #[test]
    fn a_restored_project_has_an_owner_and_nobody_has_more_access_than_the_lost_table_gives(
        changes in prop::collection::vec(
            (0..4_usize, prop::sample::select(vec![None, Some(1), Some(100), Some(300), Some(400), Some(400)])), 0..30),
        at in any::<prop::sample::Index>(),
        behind in prop::collection::vec(0..4_usize, 4),
    ) {
        let lives = lives(&changes);
        let at = at.index(lives.len());
        // A replica may lag behind with each row independently.
        let mut backup = lives[at].clone();
        for (user, behind) in ["olga", "otto", "ada", "eve"].into_iter().zip(behind) {
            let key = key(&member(user));
            match lives[at.saturating_sub(behind)].rows.get(&key) {
                Some(row) => drop(backup.rows.insert(key, row.clone())),
                None => drop(backup.rows.remove(&key)),
            }
        }
        prop_assume!(backup.rows.len() > 1);
        let lost = lives.last().expect("one at least").clone();
        for lost in [None, Some(lost)] {
            let after = restored(&backup, &aim(lost.clone()), true);
            assert_sound(&after);
            let then = members(&after);
            prop_assert!(then.values().any(|role| *role == 400), "{:?}", then);
            for (user, role) in then.into_iter().filter(|_| lost.is_some()) {
                let most = lost.as_ref().and_then(|lost| members(lost).get(&user).copied());
                prop_assert!(most.is_some_and(|most| role <= most), "{user}: {role} of {most:?}");
            }
        }
    }
}

#[test]
fn a_creation_that_was_cut_is_taken_back_also_where_new_projects_begin_higher() {
    let whole = commits(vec![vec![("projects#p", house(None)), (&member("olga"), owner())]]);
    let own = &whole.rows[&key("projects#p")];
    let half = |at: u64| {
        let row = Row { version: version(at), ..own.clone() };
        Stored { rows: [(row.key.clone(), row)].into(), ..Stored::default() }
    };
    let step = |at: u64| next(&project(), &half(at), &Aim { starts: vec![0, 100], ..aim(None) });
    for at in [1, 2, 101, 102] {
        assert_eq!(step(at), Ok(Some(Step::Remove)), "{at}");
    }
    for at in [3, 100, 103] {
        assert!(step(at).is_err(), "{at}");
    }
}

#[test]
fn no_version_that_was_handed_out_is_handed_out_again() {
    let before = sound();
    for writes in cuttable() {
        // The lost table had many more commits after the backup.
        let (after, handed_out) = (with(&before, writes), RAISE);
        for half in halves(&before, &after) {
            let held: Vec<u64> = half.rows.values().map(|row| row.version.get()).collect();
            let mut stored = half.clone();
            while let Some(step) = next(&project(), &stored, &aim(None)).expect("no damage") {
                stored = take(&stored, step, true);
                let low = stored.rows.values().map(|row| row.version.get()).filter(|version| *version <= handed_out);
                assert!({ low }.all(|version| held.contains(&version)), "{held:?}");
            }
        }
    }
}

#[test]
fn an_answer_holds_when_the_restored_table_has_each_version_that_it_speaks_of() {
    let counter = Counter { skipped: vec![(4, 5), (8, 8)], ..Counter::at(version(9)) };
    let held: Vec<u64> = (1..12).filter(|version| holds(Some(&counter), *version)).collect();
    assert_eq!(held, [1, 2, 3, 6, 7, 9]);
    assert!(!holds(None, 1), "of a project that is not there nothing");
}

/// Older code left it like this: it cut the history of a row and archived nothing.
fn cut_by_older_code(stored: &Stored) -> Stored {
    let mut cut = Stored { archive: vec![], ..stored.clone() };
    cut.rows.values_mut().for_each(|row| row.archived_above = None);
    cut
}

#[test]
fn versions_that_nothing_names_are_archived_and_told_from_those_that_the_cut_took() {
    let before = cut_by_older_code(&sound());
    for writes in cuttable() {
        let after = with(&before, writes);
        for half in halves(&before, &after) {
            let stored = restored(&half, &aim(None), true);
            assert_sound(&stored);
            let skipped = &stored.counter.as_ref().expect("a counter").skipped;
            let anonymous = stored.archive.iter().filter(|archived| archived.row().is_none());
            let named: Vec<u64> =
                anonymous.flat_map(|archived| archived.versions()).map(|version| version.get()).collect();
            assert!(named.len() > 100, "{named:?}");
            assert!(named.iter().all(|version| !skipped.iter().any(|(first, last)| (first..=last).contains(&version))));
        }
    }
}

#[test]
fn an_archive_that_is_newer_than_its_row_goes() {
    let before = sound();
    let mut after = before.clone();
    for n in 0..300 {
        after = with(&after, vec![("tasks#a", task(&format!("Again {n}")))]);
    }
    // The rows and the counter are as they were, and later archives are there, too.
    let ahead = Stored { archive: after.archive.clone(), ..before.clone() };
    let stored = restored(&ahead, &aim(None), true);
    assert_sound(&stored);
    assert_eq!(content(&stored), content(&before));
    assert_eq!(stored.archive[..before.archive.len()], before.archive);
    assert!(!stored.archive.contains(after.archive.last().expect("an archive")));
}
