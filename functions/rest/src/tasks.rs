//! The rules of tasks.

use shared::domain::{Actor, Columns, Draft, Error, ProjectId, Role, RowId, RowKey, Step, Task, UserId};
use shared::storage::ReadSet;

use crate::decide::{Rules, named, refuse};
use crate::resource::EDGES;

impl Rules for Task {
    const WRITER: Role = Role::Member;

    fn complete(fields: Columns) -> Columns {
        Self::infer_milestone(fields)
    }

    fn complete_change(fields: Columns) -> Columns {
        Self::infer_milestone(fields)
    }

    fn look_for_create(read_set: ReadSet, project: &ProjectId, fields: &Columns) -> ReadSet {
        let assignee = named::<UserId>(fields, "assignee");
        read_set.at(assignee.map(|user| RowKey::membership(project, &user)))
    }

    fn look_for_delete(read_set: ReadSet, _: &ProjectId) -> ReadSet {
        read_set.at_all(EDGES)
    }

    /// A new assignee must be a member. An assignee who was one may stay.
    fn accept(&self, _: &RowId, before: Option<&Self>, draft: &Draft, _: &Actor) -> Result<(), Error> {
        let unchanged = before.is_some_and(|before| before.assignee == self.assignee);
        match &self.assignee {
            Some(user) if !unchanged && draft.live(&RowKey::membership(draft.project(), user)).is_none() => {
                Err(refuse("assignee", "must be a member of the project, or null"))
            }
            _ => Ok(()),
        }
    }

    fn delete(id: &RowId, draft: &mut Draft) -> Result<Step<()>, Error> {
        draft.delete_task(id)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shared::domain::Precondition;

    use super::*;
    use crate::decide::testing::{OWNER, World, fields, id, refused_fields, user, written};
    use crate::decide::{self, Creation};
    use shared::domain::parse;

    fn create(world: &World, value: Value) -> Result<Step<Creation>, Error> {
        let step = decide::create::<Task>(&mut world.draft(), &user(OWNER), Some(&id("new")), &fields(value))?;
        Ok(step.map(|(creation, _)| creation))
    }

    #[test]
    fn a_milestone_and_a_duration_of_0_follow_from_each_other_when_one_is_given() {
        let task = |value| parse::<Task>(&Task::complete(fields(value)));
        assert_eq!(task(json!({"name": "M", "is_milestone": true})).expect("a task").duration, 0);
        assert!(task(json!({"name": "M", "duration": 0})).expect("a task").is_milestone);
        assert!(task(json!({"name": "M", "duration": 0, "is_milestone": false})).is_err());
        assert!(task(json!({"name": "M", "duration": 3, "is_milestone": true})).is_err());
    }

    #[test]
    fn a_change_of_duration_or_milestone_alone_brings_the_other_along() {
        let (task, milestone) =
            (json!({"name": "T", "duration": 3}), json!({"name": "M", "duration": 0, "is_milestone": true}));
        let changed = |before: &Value, patch: Value| {
            let world = World::new().with("tasks#t", before.clone());
            let mut draft = world.draft();
            let patch = fields(patch);
            decide::update::<Task>(&mut draft, &user(OWNER), &id("t"), &patch, &Precondition::None)?;
            let after: Task = parse(draft.live(&"tasks#t".parse().expect("a key")).expect("a task"))?;
            Ok::<_, Error>((after.duration, after.is_milestone))
        };
        assert_eq!(changed(&task, json!({"duration": 0})).expect("a milestone"), (0, true));
        assert_eq!(changed(&task, json!({"is_milestone": true})).expect("a milestone"), (0, true));
        assert_eq!(changed(&milestone, json!({"duration": 5})).expect("a task"), (5, false));
        assert_eq!(changed(&task, json!({"name": "x"})).expect("a task"), (3, false));
        let contradictions =
            [(&task, json!({"duration": 0, "is_milestone": false})), (&milestone, json!({"is_milestone": false}))];
        for (before, patch) in contradictions {
            assert_eq!(refused_fields(changed(before, patch)), ["is_milestone"]);
        }
    }

    #[test]
    fn a_task_is_assigned_to_members_only() {
        let world = World::new().with_member("ann", 100);
        assert!(create(&world, json!({"name": "Dig", "assignee": "ann"})).is_ok());
        assert_eq!(refused_fields(create(&world, json!({"name": "Dig", "assignee": "bob"}))), ["assignee"]);
    }

    #[test]
    fn an_assignee_who_left_stays_until_the_task_is_assigned_anew() {
        let world = World::new().with("tasks#t", json!({"name": "Dig", "assignee": "gone"}));
        let patch = |value| {
            decide::update::<Task>(&mut world.draft(), &user(OWNER), &id("t"), &fields(value), &Precondition::None)
                .map(|_| ())
        };
        assert!(patch(json!({"name": "Dig deeper"})).is_ok());
        assert!(patch(json!({"assignee": null})).is_ok());
        assert_eq!(refused_fields(patch(json!({"assignee": "also-gone"}))), ["assignee"]);
    }

    #[test]
    fn a_deleted_task_takes_its_edges_along_and_they_go_first() {
        let world = World::new().with_task("a").with_task("b").with_task("c");
        let world = world.with_edge("e1", "a", "b").with_edge("e2", "b", "c").with_edge("e3", "a", "c");
        let mut draft = world.draft();
        let step = decide::delete::<Task>(&mut draft, &user(OWNER), &id("b"), &Precondition::None).expect("a step");
        assert!(matches!(step, Step::Last(())));
        assert_eq!(written(&draft), ["dependencies#e1", "dependencies#e2", "tasks#b"]);
    }

    #[test]
    fn edges_beyond_one_commit_go_first_and_the_task_stays_for_the_last_one() {
        let world = (0..7).fold(World::new().with_task("hub"), |world, n| {
            world.with_task(&format!("t{n}")).with_edge(&format!("e{n}"), "hub", &format!("t{n}"))
        });
        let mut draft = world.draft_with_room(5);
        let step = decide::delete::<Task>(&mut draft, &user(OWNER), &id("hub"), &Precondition::None).expect("a step");
        assert!(matches!(step, Step::More { task, .. } if task == id("hub")));
        assert_eq!(written(&draft).len(), 5);
        assert!(!written(&draft).contains(&"tasks#hub".to_owned()));
    }

    #[test]
    fn a_repeated_creation_is_recognised_and_another_content_is_refused() {
        let world = World::new().with("tasks#new", json!({"name": "Dig", "notes": "deep"}));
        assert!(matches!(create(&world, json!({"name": "Dig"})), Ok(Step::Last(Creation::Repeated))));
        assert!(matches!(create(&world, json!({"name": "Fill"})), Err(Error::IdTaken(_))));
    }

    #[test]
    fn a_patch_that_changes_nothing_writes_nothing() {
        let world = World::new().with_task("t");
        let mut draft = world.draft();
        decide::update::<Task>(&mut draft, &user(OWNER), &id("t"), &fields(json!({"name": "t"})), &Precondition::None)
            .expect("a step");
        assert!(written(&draft).is_empty());
    }
}
