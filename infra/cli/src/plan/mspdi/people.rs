//! Reads resources and assignments, and makes one member the assignee of a task.

use std::collections::HashMap;

use shared::domain::RowId;

use super::super::fault::Findings;
use super::super::line::Line;
use super::super::users::Users;
use super::element::Element;
use super::leave;

/// Gives each task its assignee, which is its first resource that is a user. Lists the other resources.
pub(super) fn assign(
    file: &str,
    (resources, assignments): (&[Element], &[Element]),
    users: &Users,
    ids: &HashMap<String, RowId>,
    tasks: &mut [Line],
    findings: &mut Findings,
) {
    let name = |resource: &Element| resource.text("Name").to_owned();
    let real = || resources.iter().filter(|resource| resource.text("UID") != "0" && !resource.text("Name").is_empty());
    let names: Vec<String> = real().map(name).collect();
    users.expect_known(names.iter().map(String::as_str), findings);
    for resource in real() {
        let (name, typed) = (name(resource), leave::of_resource(resource));
        match users.of(&name) {
            None => {
                let message =
                    format!("has no place here{typed}; if it is a user, name them in the file of --map-users");
                findings.leave(file, resource.line, &format!("resource {name:?}"), &message);
            }
            Some(user) if !typed.is_empty() => {
                let message = format!("is the user {user}; the rest has no place here{typed}");
                findings.leave(file, resource.line, &format!("resource {name:?}"), &message);
            }
            Some(_) => {}
        }
    }
    let by_uid: HashMap<&str, &Element> = resources.iter().map(|resource| (resource.text("UID"), resource)).collect();
    let mut by_id: HashMap<RowId, &mut Line> = tasks.iter_mut().map(|line| (line.id.clone(), line)).collect();
    for assignment in assignments {
        let Some(resource) = by_uid.get(assignment.text("ResourceUID")).map(|resource| name(resource)) else {
            continue;
        };
        let Some(task) = ids.get(assignment.text("TaskUID")).and_then(|id| by_id.get_mut(id)) else { continue };
        let what = format!("task {}", task.id);
        leave::of_assignment(file, assignment, &format!("{what}, assigned to {resource:?}"), findings);
        let mut left = |message: &str| findings.leave(file, assignment.line, &what, message);
        match (users.of(&resource), task.text("assignee")) {
            _ if resource.is_empty() => {}
            (None, _) => left(&format!("the assignment of {resource:?} has no place here; it is no user")),
            (Some(user), Some(first)) if user.as_str() != first => {
                left(&format!("the assignment of {resource:?} has no place here; the task has one assignee, {first}"));
            }
            (Some(user), _) => {
                task.fields.insert("assignee".to_owned(), user.as_str().into());
            }
        }
    }
}
