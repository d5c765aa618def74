//! Compares the counter with the rows: the latest commit, the checksums, unfinished deletions, and the deletion of the project.

use std::collections::BTreeSet;

use shared::domain::{Checksums, Collection, RowKey};

use super::check::Check;
use super::world::World;

pub(super) fn check(world: &mut World<'_>) {
    last(world);
    checksums(world);
    unfinished(world);
    deleted_at(world);
}

/// Checks the write set of the latest commit. Nothing was written after it, so its rows are at exactly the versions that it
/// names, and the newest row is one of them. After a restore the newest versions may be skipped, and then any commit may be the
/// latest.
fn last(world: &mut World<'_>) {
    let Some(counter) = world.counter.clone() else { return };
    world.look(Check::LastInPlace, counter.write_set.len());
    for (key, version) in &counter.write_set {
        let at = world.rows.get(key).map(|(row, _)| row.version);
        match at {
            Some(at) if at == *version => {}
            Some(at) => {
                world.violation(Check::LastInPlace, key, format!("last has version {version}, but the row has {at}"))
            }
            None => world.violation(
                Check::LastInPlace,
                key,
                format!("last has version {version}, but the row does not exist"),
            ),
        }
    }
    let newest = counter.write_set.iter().map(|(_, version)| version.get()).max();
    let current = counter.current.get();
    let skipped = counter.skipped.iter().any(|(first, last)| (*first..=*last).contains(&current));
    if !skipped && newest != Some(current) {
        let newest = newest.map_or("nothing".to_owned(), |version| version.to_string());
        let detail = format!("the counter is at {current}, but last ends with {newest}");
        world.violation_of_project(Check::LastInPlace, detail);
    }
}

fn checksums(world: &mut World<'_>) {
    let Some(counter) = world.counter.clone() else { return };
    let live = world.rows.values().map(|(row, _)| row).filter(|row| row.live().is_some());
    let sums = Checksums::of(live.map(|row| (&row.key, row.version)));
    let collections: BTreeSet<_> = counter.checksums.collections().chain(sums.collections()).collect();
    world.look(Check::ChecksumsAgree, collections.len());
    for collection in collections {
        let (said, counted) = (counter.checksums.get(collection), sums.get(collection));
        if said != counted {
            let detail = format!("{}: the counter has {said:?}, the live rows have {counted:?}", collection.name());
            world.violation_of_project(Check::ChecksumsAgree, detail);
        }
    }
}

/// The project's next commit drops an entry without a live task. A deleted project has no next commit.
fn unfinished(world: &mut World<'_>) {
    let Some(counter) = world.counter.clone() else { return };
    world.look(Check::UnfinishedTaskLive, 1);
    let Some(deletion) = counter.unfinished.filter(|_| counter.deleted_at.is_none()) else { return };
    let task = RowKey::new(Collection::Tasks, deletion.task);
    if world.rows.get(&task).is_none_or(|(row, _)| row.live().is_none()) {
        let detail = "the counter lists its deletion as unfinished, but it is not live".to_owned();
        world.violation(Check::UnfinishedTaskLive, &task, detail);
    }
}

fn deleted_at(world: &mut World<'_>) {
    let Some(counter) = world.counter.clone() else { return };
    world.look(Check::DeletedAtAgrees, 1);
    let own = world.rows.get(&RowKey::project(world.project));
    let tombstone = own.filter(|(row, _)| row.live().is_none()).map(|(row, _)| row.version);
    world.judgement.deleted = counter.deleted_at.is_some();
    if tombstone != counter.deleted_at {
        let say =
            |version: Option<_>| version.map_or("none".to_owned(), |v: shared::domain::ServerVersion| v.to_string());
        let detail = format!("deleted_at: {}; the project's tombstone: {}", say(counter.deleted_at), say(tombstone));
        world.violation_of_project(Check::DeletedAtAgrees, detail);
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;

    use super::*;
    use crate::verify::testing::{Project, at, number, task, text};

    fn last(entity: &str, version: u64) -> AttributeValue {
        AttributeValue::M([(entity.to_owned(), number(version))].into())
    }

    #[test]
    fn a_latest_commit_whose_rows_are_not_in_place() {
        let sound = || Project::sound().reading();
        let other = sound().set("_counter", "last", last("tasks#c", 21)).violated();
        assert_eq!(other, [at(Check::LastInPlace, "tasks#c")]);
        let absent = sound().set("_counter", "last", last("tasks#z", 21)).violated();
        assert_eq!(absent, [at(Check::LastInPlace, "tasks#z")]);
        let older = sound().set("_counter", "last", last("tasks#c", 9)).violated();
        assert_eq!(older, [at(Check::LastInPlace, "")]);
    }

    #[test]
    fn checksums_that_are_not_those_of_the_live_rows() {
        let other = Project::sound().put("tasks#d", task("New")).reading().item("_counter").0["checksums"].clone();
        let found = Project::sound().reading().set("_counter", "checksums", other).judged().violations;
        let details: Vec<_> = found.iter().map(|violation| (violation.check, &violation.detail[..6])).collect();
        assert_eq!(details, [(Check::ChecksumsAgree, "tasks:")]);
    }

    #[test]
    fn an_unfinished_deletion_of_a_task_that_is_not_live() {
        let noted = |task: &str| AttributeValue::M([("task".to_owned(), text(task))].into());
        let sound = || Project::sound().reading();
        assert_eq!(sound().set("_counter", "unfinished", noted("c")).violated(), []);
        let absent = sound().set("_counter", "unfinished", noted("z")).violated();
        assert_eq!(absent, [at(Check::UnfinishedTaskLive, "tasks#z")]);
        let deleted = Project::sound().deleted().reading().set("_counter", "unfinished", noted("z"));
        assert_eq!(deleted.violated(), []);
    }

    #[test]
    fn a_deletion_on_the_counter_without_a_tombstone_and_the_reverse() {
        let undead = Project::sound().reading().set("_counter", "deleted_at", number(21)).violated();
        assert_eq!(undead, [at(Check::DeletedAtAgrees, "")]);
        let unsaid = Project::sound().deleted().reading().unset("_counter", "deleted_at").violated();
        assert_eq!(unsaid, [at(Check::DeletedAtAgrees, "")]);
        let otherwise = Project::sound().deleted().reading().set("_counter", "deleted_at", number(21)).violated();
        assert_eq!(otherwise, [at(Check::DeletedAtAgrees, "")]);
    }
}
