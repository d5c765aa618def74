//! The data to erase, and the new content of each row. All of it is pure functions.

use serde_json::Value;
use shared::domain::{
    Collection, Columns, Draft, Error, Membership, Patched, ProjectId, Role, Row, RowKey, State, Task, UserId, patched,
};

/// The data to erase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A user's id, everywhere in the table.
    User(UserId),
    /// The content of tombstones that were written before this moment.
    Tombstones {
        /// The moment, in seconds since 1970.
        before: i64,
        /// Whether tombstones without a date are erased, too.
        undated: bool,
    },
}

/// The change that a row needs.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// A commit removes the membership.
    Remove,
    /// A commit takes the assignee off the task.
    Unassign,
    /// The tombstone gets this content in place.
    Replace(Box<Row>),
    /// The tombstone has an unknown age and stays as it is.
    Undated,
}

/// The change that a row's content needs.
pub(super) fn action(target: &Target, project: &ProjectId, row: &Row) -> Option<Action> {
    let is_live = row.live().is_some();
    match target {
        Target::User(user) => {
            let is_membership = row.key == RowKey::membership(project, user);
            let names = |column: &str| row.columns().get(column).and_then(Value::as_str) == Some(user.as_str());
            match (is_live, row.key.collection.known()?) {
                (true, Collection::Memberships) => is_membership.then_some(Action::Remove),
                (false, Collection::Memberships) => {
                    (is_membership && !row.is_erased()).then(|| Action::Replace(Box::new(row.clone().erased())))
                }
                (true, Collection::Tasks) => names("assignee").then_some(Action::Unassign),
                (false, Collection::Tasks) => names("assignee").then(|| Action::Replace(Box::new(unassigned(row)))),
                (_, Collection::Projects | Collection::Dependencies | Collection::Calendars) => None,
            }
        }
        Target::Tombstones { before, undated } => {
            if is_live || row.is_erased() {
                return None;
            }
            let written_at = row.last_write.as_ref().map(|last| last.at);
            let is_due = written_at.map_or(*undated, |at| at < *before);
            match (is_due, written_at) {
                (true, _) => Some(Action::Replace(Box::new(row.clone().erased()))),
                (false, None) => Some(Action::Undated),
                (false, Some(_)) => None,
            }
        }
    }
}

/// The tombstone of a task without its assignee.
fn unassigned(row: &Row) -> Row {
    let mut columns = row.columns().clone();
    columns.insert("assignee".to_owned(), Value::Null);
    Row { state: State::Dead(columns), ..row.clone() }
}

/// Drafts the removal of a membership. Fails with `LastOwner` if a live project would have no owner then.
pub(super) fn remove(draft: &mut Draft, key: &RowKey) -> Result<u64, Error> {
    if draft.live(key).is_none() {
        return Ok(0);
    }
    let is_deleted = draft.counter().is_none_or(|counter| counter.deleted_at.is_some());
    let is_owner = |(_, member): &(_, shared::domain::Understood<Membership>)| member.resource.role == Role::Owner;
    let (own, others): (Vec<_>, Vec<_>) =
        draft.all::<Membership>()?.into_iter().filter(is_owner).partition(|(id, _)| *id == key.id);
    if !is_deleted && !own.is_empty() && others.is_empty() {
        return Err(Error::LastOwner);
    }
    draft.delete(key.clone());
    Ok(1)
}

/// Drafts the tasks that still have this assignee, without it.
pub(super) fn unassign(draft: &mut Draft, keys: &[RowKey], user: &UserId) -> Result<u64, Error> {
    let mut written = 0;
    for key in keys {
        let Some(columns) = draft.live(key).cloned() else { continue };
        if columns.get("assignee").and_then(Value::as_str) != Some(user.as_str()) {
            continue;
        }
        let patch: Columns = [("assignee".to_owned(), Value::Null)].into_iter().collect();
        let Patched { after, kept, .. } = patched::<Task>(&columns, &patch)?;
        draft.put_keeping(key.id.clone(), &after, &kept)?;
        written += 1;
    }
    Ok(written)
}

/// The stored answer without the user's id, or none if it does not name the user.
///
/// It changes only the members `user` and `assignee`. Within a text, a quotation mark is escaped, so these patterns match in no
/// note and no name. Every other byte stays as it is.
pub(super) fn without_user(body: &str, user: &UserId) -> Option<String> {
    let quoted = Value::from(user.as_str()).to_string();
    // The API describes no membership without a user.
    let erased =
        [("user", "\"erased\""), ("assignee", "null")].into_iter().fold(body.to_owned(), |body, (column, to)| {
            body.replace(&format!("\"{column}\":{quoted}"), &format!("\"{column}\":{to}"))
        });
    (erased != body).then_some(erased)
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use serde_json::json;
    use shared::domain::{Counter, LastWrite, ServerVersion, Write};

    use super::*;

    fn project() -> ProjectId {
        "p".parse().expect("a project")
    }

    fn user(name: &str) -> UserId {
        name.parse().expect("a user")
    }

    fn version(number: u64) -> ServerVersion {
        ServerVersion::try_from(number).expect("a version")
    }

    fn row(key: &RowKey, columns: Value) -> Row {
        Row::written(None, key.clone(), Write::Put(columns.as_object().expect("columns").clone()), version(2))
    }

    fn dead(row: &Row, at: Option<i64>) -> Row {
        let dead = Row::written(Some(row), row.key.clone(), Write::Delete, version(3));
        Row { last_write: at.map(|at| LastWrite { author: None, at }), ..dead }
    }

    fn member(name: &str, role: i64) -> Row {
        row(&RowKey::membership(&project(), &user(name)), json!({"user": name, "role": role}))
    }

    fn task(assignee: &str) -> Row {
        row(&"tasks#t".parse().expect("a key"), json!({"name": "ann", "notes": "for ann", "assignee": assignee}))
    }

    #[test]
    fn erasing_a_user_removes_memberships_and_assignments_and_nothing_else() {
        let of = |row: &Row| action(&Target::User(user("ann")), &project(), row);
        assert_eq!(of(&member("ann", 1)), Some(Action::Remove));
        assert_eq!(of(&task("ann")), Some(Action::Unassign));
        for other in [member("anna", 1), task("anna"), dead(&member("anna", 1), None), dead(&task("anna"), None)] {
            assert_eq!(of(&other), None, "{other:?}");
        }
        let Some(Action::Replace(gone)) = of(&dead(&member("ann", 1), None)) else { panic!("left") };
        assert!(gone.is_erased() && gone.version == version(3));
        assert_eq!(of(&gone), None, "erased once");
        let Some(Action::Replace(gone)) = of(&dead(&task("ann"), None)) else { panic!("left") };
        assert_eq!((&gone.columns()["assignee"], &gone.columns()["notes"]), (&Value::Null, &json!("for ann")));
        assert_eq!(of(&gone), None, "erased once");
    }

    #[test]
    fn tombstones_go_by_their_age_and_those_of_an_unknown_age_only_when_asked_for() {
        let of = |undated, row: &Row| action(&Target::Tombstones { before: 100, undated }, &project(), row);
        let replaced = |action| matches!(action, Some(Action::Replace(row)) if row.is_erased());
        assert!(replaced(of(false, &dead(&task("ann"), Some(99)))));
        assert_eq!(of(true, &dead(&task("ann"), Some(100))), None);
        assert_eq!(of(false, &dead(&task("ann"), None)), Some(Action::Undated));
        assert!(replaced(of(true, &dead(&task("ann"), None))));
        assert_eq!(of(true, &task("ann")), None, "live");
        assert_eq!(of(true, &dead(&task("ann"), Some(1)).erased()), None, "erased once");
    }

    fn removal(rows: &[Row], deleted_at: Option<ServerVersion>, who: &str) -> Result<u64, Error> {
        let counter = Counter { deleted_at, ..Counter::at(version(9)) };
        let listed = HashSet::from([Collection::Memberships]);
        let mut draft = Draft::new(project(), Some(counter), HashMap::new(), listed, rows.to_vec(), 90);
        let removed = remove(&mut draft, &RowKey::membership(&project(), &user(who)))?;
        assert_eq!(draft.rows_written() as u64, removed);
        Ok(removed)
    }

    #[test]
    fn the_last_owner_of_a_live_project_is_not_removed() {
        let rows = [member("ann", 400), member("bob", 300)];
        assert!(matches!(removal(&rows, None, "ann"), Err(Error::LastOwner)));
        assert!(matches!(removal(&rows, None, "bob"), Ok(1)));
        assert!(matches!(removal(&rows, Some(version(9)), "ann"), Ok(1)));
        assert!(matches!(removal(&[member("ann", 400), member("bob", 400)], None, "ann"), Ok(1)));
        assert!(matches!(removal(&rows, None, "eve"), Ok(0)));
    }

    #[test]
    fn an_answer_is_changed_only_where_a_row_names_the_user() {
        let body =
            json!({"id": "m", "user": "a\"nn", "notes": "\"user\":\"a\\\"nn\"", "assignee": "a\"nn", "x": "a\"nn"});
        let erased = without_user(&body.to_string(), &user("a\"nn")).expect("another body");
        let mut expected = body;
        expected["user"] = "erased".into();
        expected["assignee"] = Value::Null;
        assert_eq!(erased, expected.to_string());
        assert_eq!(without_user(&erased, &user("a\"nn")), None);
        assert_eq!(without_user(r#"{"user":"anna"}"#, &user("ann")), None);
    }
}
