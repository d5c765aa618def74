//! The checks of references between rows.

use std::collections::HashMap;

use shared::domain::{Collection, Dependency, Membership, Project, Role, RowId, RowKey, Task, find_cycle, understand};

use super::check::Check;
use super::world::World;

pub(super) fn check(world: &mut World<'_>) {
    edges(world);
    owner(world);
    calendar(world);
    assignees(world);
}

/// Checks that live dependencies name live tasks, each pair once for each type, and have no cycle. This holds in a deleted
/// project, too, because its rows stay as they were.
fn edges(world: &mut World<'_>) {
    let edges = world.all::<Dependency>();
    world.look(Check::EdgeNamesLiveTasks, edges.len());
    world.look(Check::EdgeOnce, edges.len());
    world.look(Check::NoCycle, edges.len());
    let mut seen: HashMap<_, &RowId> = HashMap::new();
    for (id, edge) in &edges {
        let key = RowKey::new(Collection::Dependencies, id.clone());
        for (end, task) in [("predecessor", &edge.predecessor), ("successor", &edge.successor)] {
            let task = RowKey::new(Collection::Tasks, task.clone());
            if world.live(&task).is_none() {
                let how = if world.rows.contains_key(&task) { "deleted" } else { "missing" };
                world.violation(Check::EdgeNamesLiveTasks, &key, format!("its {end}, {task}, is {how}"));
            }
        }
        let of_type = world.live(&key).and_then(|columns| columns.get("dep_type")).map(ToString::to_string);
        let same = (&edge.predecessor, &edge.successor, of_type);
        if let Some(other) = seen.insert(same, id) {
            world.violation(Check::EdgeOnce, &key, format!("dependencies#{other} has the same tasks and type"));
        }
    }
    let ends: Vec<_> = edges.iter().map(|(_, edge)| (&edge.predecessor, &edge.successor)).collect();
    if let Some(cycle) = find_cycle(ends) {
        let tasks: Vec<&str> = cycle.iter().map(RowId::as_str).collect();
        world.violation_of_project(Check::NoCycle, format!("through the tasks {}", tasks.join(", ")));
    }
}

fn owner(world: &mut World<'_>) {
    if !world.is_live() {
        return;
    }
    world.look(Check::HasOwner, 1);
    if !world.all::<Membership>().iter().any(|(_, membership)| membership.role == Role::Owner) {
        world.violation_of_project(Check::HasOwner, "no live membership has the role Owner");
    }
}

fn calendar(world: &mut World<'_>) {
    let own = RowKey::project(world.project);
    let project: Option<Project> = world.live(&own).and_then(|columns| Some(understand(columns).ok()?.resource));
    let Some(id) = project.and_then(|project| project.calendar) else { return };
    world.look(Check::CalendarLive, 1);
    let calendar = RowKey::new(Collection::Calendars, id);
    if world.live(&calendar).is_none() {
        world.violation(Check::CalendarLive, own, format!("its calendar, {calendar}, is not live"));
    }
}

/// Checks that each assignee is or was a member. A removed member stays the assignee.
fn assignees(world: &mut World<'_>) {
    for (id, task) in world.all::<Task>() {
        let Some(user) = task.assignee else { continue };
        world.look(Check::AssigneeWasMember, 1);
        if !world.rows.contains_key(&RowKey::membership(world.project, &user)) {
            let key = RowKey::new(Collection::Tasks, id);
            world.violation(Check::AssigneeWasMember, key, "its assignee was never a member");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::verify::testing::{Project as Story, assigned, at, edge, member};

    #[test]
    fn a_live_edge_on_a_dead_task_or_on_none() {
        let dead = Story::sound().put("dependencies#x", edge("a", "dead")).reading();
        assert_eq!(dead.violated(), [at(Check::EdgeNamesLiveTasks, "dependencies#x")]);
        let absent = Story::sound().put("dependencies#x", edge("z", "a")).reading();
        assert_eq!(absent.violated(), [at(Check::EdgeNamesLiveTasks, "dependencies#x")]);
        let orphaned = Story::sound().delete("tasks#c").reading();
        assert_eq!(orphaned.violated(), [at(Check::EdgeNamesLiveTasks, "dependencies#bc")]);
        assert_eq!(Story::sound().delete("tasks#c").deleted().reading().violated(), orphaned.violated());
    }

    #[test]
    fn two_edges_with_the_same_ends_and_type() {
        let twice = Story::sound().put("dependencies#x", edge("a", "b")).reading();
        assert_eq!(twice.violated(), [at(Check::EdgeOnce, "dependencies#x")]);
        let mut other = edge("a", "b");
        other["dep_type"] = "SS".into();
        assert_eq!(Story::sound().put("dependencies#x", other).reading().violated(), []);
    }

    #[test]
    fn a_cycle_is_found_behind_tasks_that_are_on_none() {
        let story = Story::sound().put("dependencies#x", edge("c", "b"));
        let judgement = story.reading().judged();
        assert_eq!(judgement.violations.len(), 1);
        assert_eq!(judgement.violations[0].check, Check::NoCycle);
        let detail = judgement.violations[0].detail.as_str();
        assert!(["through the tasks b, c", "through the tasks c, b"].contains(&detail), "{detail}");
    }

    #[test]
    fn a_live_project_without_an_owner() {
        let ownerless = Story::sound().put(&member("olga"), json!({"user": "olga", "role": 300}));
        assert_eq!(ownerless.reading().violated(), [at(Check::HasOwner, "")]);
        assert_eq!(ownerless.deleted().reading().violated(), []);
        assert_eq!(Story::sound().delete(&member("olga")).reading().violated(), [at(Check::HasOwner, "")]);
    }

    #[test]
    fn a_live_project_whose_calendar_is_not_live() {
        assert_eq!(
            Story::sound().delete("calendars#site").reading().violated(),
            [at(Check::CalendarLive, "projects#p")]
        );
        assert_eq!(Story::sound().delete("calendars#site").deleted().reading().violated(), []);
    }

    #[test]
    fn an_assignee_who_never_was_a_member() {
        let stranger = Story::sound().put("tasks#c", assigned("Roof", "stranger")).reading();
        assert_eq!(stranger.violated(), [at(Check::AssigneeWasMember, "tasks#c")]);
    }
}
