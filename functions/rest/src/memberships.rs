//! Memberships: who may do what, and who may say so.

use axum::extract::State;
use axum::routing::{MethodRouter, get};
use shared::domain::{
    Actor, Collection, Columns, Draft, Error, Membership, Patched, Role, RowId, RowKey, Step, UserId, membership_id,
    parse, patched, understand,
};
use shared::http::{BaseVersion, Caller, Idempotency, IfMatch, Json, Path, Problem};
use shared::idempotency::Answered;
use shared::storage::{Committed, Look};

use crate::App;
use crate::answer;
use crate::decide::{self, Creation, named, refuse};
use crate::resource::{self, InProject, OneRow, take_id};

/// The routes of the collection.
pub(crate) fn collection() -> MethodRouter<App> {
    get(resource::list::<Membership>).post(create)
}

/// The routes of a membership.
pub(crate) fn row() -> MethodRouter<App> {
    get(resource::read::<Membership>).patch(update).delete(delete)
}

async fn create(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(InProject { project_id }): Path<InProject>,
    idempotency: Idempotency,
    Json(mut fields): Json,
) -> Result<Answered, Problem> {
    let request = idempotency.request(&caller, &fields);
    let given: Option<RowId> = take_id(&mut fields)?;
    let user: Option<UserId> = named(&fields, "user");
    let id = user.map(|user| membership_id(&project_id, &user));
    let look = Look::by(&project_id, &caller).keyed(request);
    let look = look.at(id.clone().map(|id| RowKey::new(Collection::Memberships, id)));
    let decide = |draft: &mut _| decide_create(draft, &caller, given.as_ref(), &fields);
    let answer = |committed: &Committed<'_, (Creation, RowId)>| {
        let (creation, id) = committed.decided;
        answer::creation(&project_id, committed, &RowKey::new(Collection::Memberships, id.clone()), *creation)
    };
    Ok(app.table.commit(&project_id, &look, decide, answer).await?)
}

async fn update(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(OneRow { project_id, id }): Path<OneRow>,
    idempotency: Idempotency,
    if_match: IfMatch,
    base: BaseVersion,
    Json(patch): Json,
) -> Result<Answered, Problem> {
    let request = idempotency.request(&caller, &patch);
    let key = RowKey::new(Collection::Memberships, id);
    let look = Look::by(&project_id, &caller).at([key.clone()]).at_all([Collection::Memberships]).keyed(request);
    let decide = |draft: &mut _| decide_update(draft, &caller, &key, &patch, &if_match, base);
    let answer =
        |committed: &Committed<'_, Vec<_>>| Ok(answer::changed(&project_id, committed.row(&key)?, committed.decided));
    Ok(app.table.commit(&project_id, &look, decide, answer).await?)
}

async fn delete(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(OneRow { project_id, id }): Path<OneRow>,
    idempotency: Idempotency,
    if_match: IfMatch,
) -> Result<Answered, Problem> {
    let request = idempotency.request(&caller, &Columns::new());
    let key = RowKey::new(Collection::Memberships, id);
    let look = Look::by(&project_id, &caller).at([key.clone()]).at_all([Collection::Memberships]).keyed(request);
    let decide = |draft: &mut _| decide_delete(draft, &caller, &key, &if_match);
    Ok(app.table.commit(&project_id, &look, decide, |_| Ok(answer::deleted())).await?)
}

/// A new member, or one who was removed and is added again: the same row, revived.
fn decide_create(
    draft: &mut Draft,
    caller: &UserId,
    given: Option<&RowId>,
    fields: &Columns,
) -> Result<Step<(Creation, RowId)>, Error> {
    let actor = draft.authorize(caller, Role::Admin)?;
    let membership: Membership = parse(fields)?;
    let id = membership_id(draft.project(), &membership.user);
    if given.is_some_and(|given| *given != id) {
        return Err(refuse("id", &format!("must be {id}, which is derived from project and user, or be left out")));
    }
    let key = RowKey::new(Collection::Memberships, id.clone());
    if let Some(live) = draft.live(&key) {
        return Ok(decide::repeated::<Membership>(&key, Some(live), fields)?.map(|creation| (creation, id)));
    }
    expect_manages(&actor, membership.role)?;
    draft.put(id.clone(), &membership)?;
    Ok(Step::Last((Creation::Created, id)))
}

/// Another role for a member, by someone who may take the old one and give the new one.
fn decide_update(
    draft: &mut Draft,
    caller: &UserId,
    key: &RowKey,
    patch: &Columns,
    if_match: &IfMatch,
    base: BaseVersion,
) -> Result<Step<Vec<String>>, Error> {
    let actor = draft.authorize(caller, Role::Admin)?;
    let columns = draft.expect_live(key)?;
    let Patched { before, after, kept, changes } = patched::<Membership>(columns, patch)?;
    decide::check_version(draft, key, if_match)?;
    let merged = decide::check_base(draft, key, base, patch)?;
    if after.user != before.user {
        return Err(refuse("user", "is read-only"));
    }
    if !changes {
        return Ok(Step::Last(merged));
    }
    expect_manages(&actor, before.role)?;
    expect_manages(&actor, after.role)?;
    expect_another_owner(draft, &key.id, before.role)?;
    draft.put_keeping(key.id.clone(), &after, &kept)?;
    Ok(Step::Last(merged))
}

/// A member goes: by themselves, or by someone who may take the role.
///
/// Of a deleted project every member may leave, its last owner too: nobody needs an owner there, and it is the way out for
/// whoever was made one against their will. Nothing else is written in a deleted project.
fn decide_delete(draft: &mut Draft, caller: &UserId, key: &RowKey, if_match: &IfMatch) -> Result<Step<()>, Error> {
    let actor = match draft.authorize(caller, Role::Viewer) {
        Err(Error::ProjectDeleted) if *key == RowKey::membership(draft.project(), caller) => {
            decide::check_version(draft, key, if_match)?;
            draft.delete(key.clone());
            return Ok(Step::Last(()));
        }
        actor => actor?,
    };
    let Some(row) = draft.row(key) else { return Err(Error::NotFound(key.clone())) };
    if row.is_erased() {
        expect_manages(&actor, Role::Viewer)?;
        return Ok(Step::Last(()));
    }
    let membership = understand::<Membership>(row.columns())?.resource;
    if membership.user != actor.user {
        expect_manages(&actor, membership.role)?;
    }
    if row.live().is_none() {
        return Ok(Step::Last(()));
    }
    decide::check_version(draft, key, if_match)?;
    expect_another_owner(draft, &key.id, membership.role)?;
    draft.delete(key.clone());
    Ok(Step::Last(()))
}

fn expect_manages(actor: &Actor, role: Role) -> Result<(), Error> {
    if actor.role.manages(role) {
        return Ok(());
    }
    let needed = if Role::Admin.manages(role) { Role::Admin } else { Role::Owner };
    Err(Error::RoleTooLow { needed })
}

/// Refuses to take the last owner's role away.
fn expect_another_owner(draft: &Draft, id: &RowId, role: Role) -> Result<(), Error> {
    if role != Role::Owner {
        return Ok(());
    }
    let owners = draft.all::<Membership>()?;
    let another = owners.iter().any(|(other, membership)| other != id && membership.resource.role == Role::Owner);
    if another { Ok(()) } else { Err(Error::LastOwner) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decide::testing::{OWNER, World, fields, project, user, written};

    fn world() -> World {
        World::new().with_member("adam", 300).with_member("ada", 300).with_member("mia", 100).with_member("vic", 1)
    }

    fn key(name: &str) -> RowKey {
        RowKey::membership(&project(), &user(name))
    }

    fn add(by: &str, who: &str, role: i64) -> Result<(), Error> {
        decide_create(&mut world().draft(), &user(by), None, &fields(json!({"user": who, "role": role}))).map(|_| ())
    }

    fn set(by: &str, who: &str, role: i64) -> Result<(), Error> {
        let patch = fields(json!({ "role": role }));
        decide_update(&mut world().draft(), &user(by), &key(who), &patch, &IfMatch::any(), BaseVersion(None))
            .map(|_| ())
    }

    fn remove(by: &str, who: &str) -> Result<(), Error> {
        decide_delete(&mut world().draft(), &user(by), &key(who), &IfMatch::any()).map(|_| ())
    }

    fn too_low(result: Result<(), Error>) -> bool {
        matches!(result, Err(Error::RoleTooLow { .. }))
    }

    #[test]
    fn an_admin_gives_and_takes_the_roles_below_and_no_other() {
        assert!(add("adam", "new", 200).is_ok() && set("adam", "mia", 200).is_ok() && remove("adam", "mia").is_ok());
        assert!(too_low(add("adam", "new", 300)) && too_low(set("adam", "mia", 300)));
        assert!(too_low(set("adam", "ada", 100)) && too_low(remove("adam", "ada")) && too_low(remove("adam", OWNER)));
    }

    #[test]
    fn an_owner_manages_every_role() {
        assert!(add(OWNER, "new", 400).is_ok() && set(OWNER, "mia", 400).is_ok() && remove(OWNER, "adam").is_ok());
    }

    #[test]
    fn below_admin_nobody_manages_memberships_but_everyone_may_leave() {
        assert!(too_low(add("mia", "new", 1)) && too_low(set("mia", "vic", 100)) && too_low(remove("mia", "vic")));
        assert!(remove("mia", "mia").is_ok() && remove("vic", "vic").is_ok() && remove("adam", "adam").is_ok());
    }

    #[test]
    fn the_last_owner_can_neither_leave_nor_be_demoted() {
        assert!(matches!(remove(OWNER, OWNER), Err(Error::LastOwner)));
        assert!(matches!(set(OWNER, OWNER, 300), Err(Error::LastOwner)));
        let two = world().with_member("otto", 400);
        let left = decide_delete(&mut two.draft(), &user(OWNER), &key(OWNER), &IfMatch::any());
        assert!(left.is_ok());
    }

    #[test]
    fn everyone_may_leave_a_deleted_project_even_its_last_owner_and_nobody_is_removed_from_it() {
        let world = world().deleted();
        for name in [OWNER, "adam", "mia", "vic"] {
            let mut draft = world.draft();
            let left = decide_delete(&mut draft, &user(name), &key(name), &IfMatch::any());
            assert!(left.is_ok() && written(&draft) == [key(name).to_string()], "{name}");
        }
        for (by, who) in [(OWNER, "mia"), ("adam", "vic"), ("mia", OWNER)] {
            let removed = decide_delete(&mut world.draft(), &user(by), &key(who), &IfMatch::any());
            assert!(matches!(removed, Err(Error::ProjectDeleted)), "{by} {who}");
        }
        let stranger = decide_delete(&mut world.draft(), &user("eve"), &key("eve"), &IfMatch::any());
        assert!(matches!(stranger, Err(Error::NotAMember)));
    }

    #[test]
    fn a_membership_whose_content_was_erased_is_dead_like_any_other() {
        let world = world().erased(&key("mia"));
        assert!(matches!(
            decide_delete(&mut world.draft(), &user("adam"), &key("mia"), &IfMatch::any()),
            Ok(Step::Last(()))
        ));
        assert!(too_low(decide_delete(&mut world.draft(), &user("vic"), &key("mia"), &IfMatch::any()).map(|_| ())));
        let mut draft = world.draft();
        let again = fields(json!({"user": "mia", "role": 100}));
        assert!(decide_create(&mut draft, &user(OWNER), None, &again).is_ok());
        assert_eq!(written(&draft), [key("mia").to_string()]);
    }

    #[test]
    fn a_membership_is_of_one_user_for_ever() {
        let patch = fields(json!({"user": "eve"}));
        let result =
            decide_update(&mut world().draft(), &user(OWNER), &key("mia"), &patch, &IfMatch::any(), BaseVersion(None));
        assert!(matches!(result, Err(Error::Invalid(errors)) if errors[0].field == "user"));
    }

    #[test]
    fn adding_a_member_again_with_the_same_role_writes_nothing() {
        let mut draft = world().draft();
        let again = decide_create(&mut draft, &user(OWNER), None, &fields(json!({"user": "mia", "role": 100})));
        assert!(matches!(again, Ok(Step::Last((Creation::Repeated, _)))));
        assert!(written(&draft).is_empty());
        assert!(matches!(add(OWNER, "mia", 200), Err(Error::IdTaken(_))));
    }
}
