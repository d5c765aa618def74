//! The rules of dependencies.

use shared::domain::{Actor, Collection, Columns, Dependency, Draft, Error, ProjectId, Role, RowId, RowKey, Step};
use shared::storage::ReadSet;

use crate::decide::{Rules, named, refuse};
use crate::resource::EDGES;

impl Rules for Dependency {
    const WRITER: Role = Role::Scheduler;

    fn look_for_create(read_set: ReadSet, _: &ProjectId, fields: &Columns) -> ReadSet {
        let ends = ["predecessor", "successor"].into_iter().filter_map(|field| named(fields, field));
        let read_set = read_set.at(ends.map(|id| RowKey::new(Collection::Tasks, id)));
        // A change of `lag` alone cannot break a rule that reads other edges.
        let moves = ["predecessor", "successor", "dep_type"].iter().any(|field| fields.contains_key(*field));
        read_set.at_all(EDGES.into_iter().filter(|_| moves))
    }

    fn look_for_delete(read_set: ReadSet, _: &ProjectId) -> ReadSet {
        read_set
    }

    /// Both ends are live tasks, no other live edge has the same ends and type, and no cycle is closed. An end that did
    /// not change is live already: a task takes its edges along.
    fn accept(&self, id: &RowId, before: Option<&Self>, draft: &Draft, _: &Actor) -> Result<(), Error> {
        let same = |get: fn(&Self) -> &RowId| before.is_some_and(|before| get(before) == get(self));
        let same_predecessor = same(|edge| &edge.predecessor);
        let same_successor = same(|edge| &edge.successor);
        let live = |task: &RowId| draft.live(&RowKey::new(Collection::Tasks, task.clone())).is_some();
        for (field, task, same) in
            [("predecessor", &self.predecessor, same_predecessor), ("successor", &self.successor, same_successor)]
        {
            if !same && !live(task) {
                return Err(refuse(field, "must be a task of this project"));
            }
        }
        match before {
            Some(before) if before.links_same(self) => Ok(()),
            _ => draft.graph()?.accept(id, self),
        }
    }

    fn delete(id: &RowId, draft: &mut Draft) -> Result<Step<()>, Error> {
        draft.delete(RowKey::new(Collection::Dependencies, id.clone()));
        Ok(Step::Last(()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shared::domain::Precondition;

    use super::*;
    use crate::decide::testing::{OWNER, World, fields, id, refused_fields, user, written};
    use crate::decide::{self, Creation};

    fn chain() -> World {
        let world = World::new().with_task("a").with_task("b").with_task("c");
        world.with_edge("ab", "a", "b").with_edge("bc", "b", "c")
    }

    fn create(predecessor: &str, successor: &str, dep_type: &str) -> Result<Step<Creation>, Error> {
        let edge = json!({"predecessor": predecessor, "successor": successor, "dep_type": dep_type});
        let step = decide::create::<Dependency>(&mut chain().draft(), &user(OWNER), Some(&id("new")), &fields(edge))?;
        Ok(step.map(|(creation, _)| creation))
    }

    fn update(edge: &str, patch: Value) -> Result<Vec<String>, Error> {
        let mut draft = chain().draft();
        decide::update::<Dependency>(&mut draft, &user(OWNER), &id(edge), &fields(patch), &Precondition::None)?;
        Ok(written(&draft))
    }

    #[test]
    fn both_ends_must_be_live_tasks_of_the_project() {
        assert!(create("a", "c", "FS").is_ok());
        assert_eq!(refused_fields(create("x", "c", "FS")), ["predecessor"]);
        assert_eq!(refused_fields(create("a", "x", "FS")), ["successor"]);
        assert_eq!(refused_fields(create("a", "a", "FS")), ["successor"]);
    }

    #[test]
    fn two_tasks_are_tied_once_by_each_type() {
        assert!(matches!(create("a", "b", "FS"), Err(Error::DuplicateDependency { id }) if id.as_str() == "ab"));
        assert!(create("a", "b", "SS").is_ok());
        assert!(matches!(
            update("bc", json!({"predecessor": "a", "successor": "b"})),
            Err(Error::DuplicateDependency { .. })
        ));
    }

    #[test]
    fn an_edge_that_closes_a_cycle_is_refused_with_its_tasks() {
        let Err(Error::DependencyCycle { tasks }) = create("c", "a", "SS") else { panic!("accepted") };
        assert_eq!(tasks, [id("c"), id("a"), id("b")]);
        assert!(matches!(update("ab", json!({"predecessor": "c"})), Err(Error::DependencyCycle { .. })));
    }

    #[test]
    fn reversing_the_only_edge_between_two_tasks_closes_no_cycle() {
        let mut draft = World::new().with_task("a").with_task("b").with_edge("ab", "a", "b").draft();
        let patch = fields(json!({"predecessor": "b", "successor": "a"}));
        let turned = decide::update::<Dependency>(&mut draft, &user(OWNER), &id("ab"), &patch, &Precondition::None);
        assert!(turned.is_ok());
    }

    #[test]
    fn a_change_of_lag_reads_nothing_but_the_edge() {
        assert_eq!(update("ab", json!({"lag": -2})).expect("planned writes"), ["dependencies#ab"]);
    }
}
