//! Compares the index `by_version` with the table.

use std::collections::HashMap;

use shared::storage::StoredItem;

use super::check::Check;
use super::world::{Reading, World};

/// Checks each copy in the index. A copy with the table's version must be equal in everything. An older or missing copy is
/// behind. A newer copy, or one of an item that does not exist, is wrong, because rows are never removed and never go back.
pub(super) fn check(world: &mut World<'_>, reading: &Reading) {
    world.judgement.counts.indexed = reading.indexed.len() as u64;
    let stored: HashMap<&str, &StoredItem> = reading.stored.iter().map(|item| (item.entity(), item)).collect();
    let mut newest: HashMap<&str, &StoredItem> = HashMap::new();
    for copy in &reading.indexed {
        let known = newest.entry(copy.entity()).or_insert(copy);
        if version(copy) > version(known) {
            *known = copy;
        }
    }
    for copy in newest.values() {
        world.look(Check::IndexAgrees, 1);
        let Some(item) = stored.get(copy.entity()).filter(|item| item.is_indexed()) else {
            world.violation(Check::IndexAgrees, copy.entity(), "it is in the index, but not in the table");
            continue;
        };
        if !item.is_row() {
            world.violation(
                Check::IndexAgrees,
                copy.entity(),
                "it is not a row, but it is in the index, where every pull reads it",
            );
        }
        if version(copy) < version(item) {
            world.judgement.behind.push(copy.entity().to_owned());
            continue;
        }
        let differences = item.differences(copy);
        if !differences.is_empty() {
            let detail = format!("the index differs from the table in {}", differences.join(", "));
            world.violation(Check::IndexAgrees, copy.entity(), detail);
        }
    }
    let missing = reading.stored.iter().filter(|item| item.is_indexed() && !newest.contains_key(item.entity()));
    for item in missing {
        world.look(Check::IndexAgrees, 1);
        world.judgement.behind.push(item.entity().to_owned());
    }
}

fn version(item: &StoredItem) -> Option<u64> {
    item.integer("server_version")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::{Project, at, number, task, text};

    /// The present table with a changed copy of one row.
    fn with_copy(entity: &str, change: impl FnOnce(&mut StoredItem)) -> Reading {
        let mut reading = Project::sound().reading();
        change(reading.indexed.iter_mut().find(|copy| copy.entity() == entity).expect("a copy"));
        reading
    }

    #[test]
    fn a_copy_of_the_same_version_that_says_something_else() {
        for attribute in ["row", "writes", "superseded"] {
            let reading = with_copy("tasks#b", |copy| drop(copy.0.remove(attribute)));
            assert_eq!(reading.violated(), [at(Check::IndexAgrees, "tasks#b")], "{attribute}");
        }
        let reading = with_copy("tasks#dead", |copy| drop(copy.0.remove("is_deleted")));
        assert_eq!(reading.violated(), [at(Check::IndexAgrees, "tasks#dead")]);
    }

    #[test]
    fn a_copy_that_is_newer_than_the_table_or_of_nothing_in_it() {
        let newer = with_copy("tasks#c", |copy| drop(copy.0.insert("server_version".to_owned(), number(11))));
        assert_eq!(newer.violated(), [at(Check::IndexAgrees, "tasks#c")]);
        let mut stray = Project::sound().reading();
        let mut copy = stray.indexed[0].clone();
        copy.0.insert("entity".to_owned(), text("tasks#stray"));
        stray.indexed.push(copy);
        assert_eq!(stray.violated(), [at(Check::IndexAgrees, "tasks#stray")]);
    }

    #[test]
    fn a_counter_that_is_in_the_index() {
        let reading = Project::sound().reading().set("_counter", "server_version", number(21));
        assert_eq!(reading.violated(), [at(Check::IndexAgrees, "_counter")]);
    }

    #[test]
    fn an_old_or_missing_copy_is_behind_and_no_violation() {
        let now = Project::sound().put("tasks#c", task("Roof, green")).put("tasks#d", task("New")).reading();
        let behind = Reading { indexed: Project::sound().reading().indexed, ..now.clone() };
        assert_eq!((behind.violated(), behind.judged().behind), (vec![], vec!["tasks#c".into(), "tasks#d".into()]));
        // An index may show the old copy beside the new one for a while.
        let both = Reading { indexed: [now.indexed.clone(), behind.indexed].concat(), ..now };
        assert_eq!((both.violated(), both.judged().behind), (vec![], Vec::<String>::new()));
    }
}
