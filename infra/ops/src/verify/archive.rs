//! The checks of the archive, which holds the versions for which version histories have no room.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use shared::domain::{ArchivedVersions, Mark, Row, RowKey, ServerVersion};
use shared::storage::StoredItem;

use super::check::Check;
use super::world::World;

/// Reads the archive.
pub(super) fn read(world: &mut World<'_>, stored: &[StoredItem]) {
    for item in stored.iter().filter(|item| item.is_archive()) {
        world.look(Check::ArchiveReadable, 1);
        match item.archived() {
            Ok(archived) => world.archive.push(archived),
            Err(error) => world.violation(Check::ArchiveReadable, item.entity(), error.to_string()),
        }
    }
}

/// Every version in the archive. More than one item may have the same version.
pub(super) fn versions(archive: &[ArchivedVersions]) -> BTreeSet<u64> {
    archive.iter().flat_map(|archived| archived.versions()).map(|version| version.get()).collect()
}

/// Checks that each archived version was superseded, and by the row that the archive names.
pub(super) fn check(world: &mut World<'_>) {
    let archive = std::mem::take(&mut world.archive);
    world.look(Check::ArchiveAgrees, archive.len());
    owners(world, &archive);
    written_as_often(world, &archive);
    world.archive = archive;
}

fn owners(world: &mut World<'_>, archive: &[ArchivedVersions]) {
    let counter = world.counter.clone();
    let is_skipped = |version: u64| {
        let ranges = counter.iter().flat_map(|counter| &counter.skipped);
        ranges.into_iter().any(|(first, last)| (*first..=*last).contains(&version))
    };
    let current = counter.as_ref().map_or(u64::MAX, |counter| counter.current.get());
    let own: HashMap<u64, RowKey> = world.rows.values().map(|(row, _)| (row.version.get(), row.key.clone())).collect();
    let mut owners: BTreeMap<u64, RowKey> = BTreeMap::new();
    for (row, _) in world.rows.values() {
        owners.extend(row.history.versions().iter().map(|version| (version.get(), row.key.clone())));
    }
    for archived in archive {
        for version in archived.versions().iter().map(|version| version.get()) {
            let fault = match own.get(&version) {
                Some(row) => Some(format!("version {version} is archived, but {row} has it")),
                None if is_skipped(version) => Some(format!("version {version} is archived, but is skipped")),
                None if version > current => {
                    Some(format!("version {version} is archived, but is above the counter, {current}"))
                }
                None => None,
            };
            let fault = fault.or_else(|| {
                let row = archived.row()?;
                let other = owners.insert(version, row.clone()).filter(|other| other != row)?;
                Some(format!("version {version} is archived for {row}, but belongs to {other}"))
            });
            if let Some(fault) = fault {
                let named = archived.row().map_or("the archive".to_owned(), RowKey::to_string);
                world.violation(Check::ArchiveAgrees, named, fault);
            }
        }
    }
}

/// Checks the revision count of each row whose versions are archived from the first one on.
fn written_as_often(world: &mut World<'_>, archive: &[ArchivedVersions]) {
    let mut archived: HashMap<&RowKey, BTreeSet<ServerVersion>> = HashMap::new();
    for of_row in archive {
        if let Some(row) = of_row.row() {
            archived.entry(row).or_default().extend(of_row.versions());
        }
    }
    let none = BTreeSet::new();
    let miscounted = |row: &Row| {
        let is_silent = |version: &&ServerVersion| row.history.silent_through().covers(**version);
        let dropped = archived.get(&row.key).unwrap_or(&none).iter().filter(is_silent).count();
        let told = 1 + row.history.versions().len() as u64 + dropped as u64;
        (row.archived_above == Some(Mark::NOTHING) && row.revision_count != told).then(|| {
            format!(
                "writes is {}, but the row, its version history and the archive have {told} versions",
                row.revision_count
            )
        })
    };
    let faults: Vec<_> = world.rows.values().filter_map(|(row, _)| Some((row.key.clone(), miscounted(row)?))).collect();
    for (row, fault) in faults {
        world.violation(Check::ArchiveAgrees, row, fault);
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::verify::Reading;
    use crate::verify::testing::{Project, at, number, project_id, task, text};

    /// A row whose history dropped versions three times.
    fn busy() -> Project {
        (0..600).fold(Project::sound(), |project, n| project.put("tasks#c", task(&format!("Roof {n}"))))
    }

    fn archives(reading: &Reading) -> Vec<String> {
        let items = reading.stored.iter().filter(|item| item.is_archive());
        items.map(|item| item.entity().to_owned()).collect()
    }

    fn anonymous(versions: &[u64]) -> StoredItem {
        let versions = versions.iter().map(|version| ServerVersion::try_from(*version).expect("a version"));
        StoredItem::of_archive(&project_id(), &ArchivedVersions::anonymous(versions)[0])
    }

    #[test]
    fn a_row_that_dropped_versions_is_sound_with_its_archive_and_no_version_is_unaccounted_for() {
        let judgement = busy().reading().judged();
        assert_eq!(judgement.violations, []);
        assert_eq!((judgement.counts.unlisted, judgement.counts.archived > 300), (0, true));
        let twice = busy().reading().insert(anonymous(&[9, 30]));
        assert_eq!(twice.violated(), [], "a version may be archived twice");
        let before = busy().put("tasks#d", task("Late")).reading().insert(anonymous(&[9]));
        assert_eq!(before.violated(), []);
    }

    #[test]
    fn an_archive_that_is_gone() {
        let reading = busy().reading();
        let entity = archives(&reading).remove(1);
        let found = reading.remove(&entity).violated();
        assert_eq!(found, [at(Check::VersionHeld, ""), at(Check::ArchiveAgrees, "tasks#c")]);
    }

    #[test]
    fn versions_that_were_dropped_by_older_code_are_accounted_for_by_the_sum_alone() {
        let mut reading = busy().reading().unset("tasks#c", "archived_from");
        for entity in archives(&reading) {
            reading = reading.remove(&entity);
        }
        let judgement = reading.judged();
        assert_eq!(judgement.violations, []);
        assert!(judgement.counts.unlisted > 300);
    }

    #[test]
    fn a_version_that_is_archived_and_still_current_or_skipped_or_above_the_counter() {
        let sound = || Project::sound().skip(7);
        for version in [9, 25, 900] {
            let found = sound().reading().insert(anonymous(&[version])).violated();
            assert_eq!(found, [at(Check::ArchiveAgrees, "the archive")], "{version}");
        }
        assert_eq!(sound().reading().insert(anonymous(&[1, 8])).violated(), [], "listed and archived");
    }

    #[test]
    fn an_archive_that_names_another_row_than_the_one_that_held_its_versions() {
        let reading = busy().reading();
        let entity = archives(&reading).remove(0);
        let found = reading.set(&entity, "row_entity", text("tasks#b")).violated();
        assert!(found.contains(&at(Check::ArchiveAgrees, "tasks#c")), "{found:?}");
    }

    #[test]
    fn an_archive_that_cannot_be_read_or_is_in_the_index() {
        let reading = busy().reading();
        let entity = archives(&reading).remove(0);
        let unreadable = reading.clone().unset(&entity, "versions").violated();
        assert!(unreadable.contains(&at(Check::ArchiveReadable, &entity)), "{unreadable:?}");
        let indexed = reading.set(&entity, "server_version", number(3)).violated();
        assert!(indexed.contains(&at(Check::IndexAgrees, &entity)), "{indexed:?}");
    }
}
