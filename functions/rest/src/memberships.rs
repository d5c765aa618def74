//! The rules of memberships: who may do what, and who may change that.

use shared::domain::{
    Actor, Collection, Columns, Draft, Error, Membership, ProjectId, Role, RowId, RowKey, Step, UserId, membership_id,
    parse, understand,
};
use shared::storage::ReadSet;

use crate::decide::{Rules, refuse};

impl Rules for Membership {
    const WRITER: Role = Role::Admin;
    /// A member who was removed and is added again has the same row.
    const REVIVES: bool = true;

    fn choose_id(given: Option<RowId>) -> Option<RowId> {
        given
    }

    fn new_id(project: &ProjectId, chosen: Option<&RowId>, fields: &Columns) -> Result<RowId, Error> {
        let id = membership_id(project, &parse::<Self>(fields)?.user);
        if chosen.is_some_and(|chosen| *chosen != id) {
            return Err(refuse("id", &format!("must be {id}, which is derived from project and user, or be left out")));
        }
        Ok(id)
    }

    fn look_for_create(read_set: ReadSet, _: &ProjectId, _: &Columns) -> ReadSet {
        read_set
    }

    /// A change or a deletion may take the last owner's role away.
    fn look_for_change(read_set: ReadSet, _: &ProjectId, _: &Columns) -> ReadSet {
        read_set.at_all([Collection::Memberships])
    }

    fn look_for_delete(read_set: ReadSet, _: &ProjectId) -> ReadSet {
        read_set.at_all([Collection::Memberships])
    }

    /// Checks that the actor may take the old role and give the new one.
    fn accept(&self, id: &RowId, before: Option<&Self>, draft: &Draft, actor: &Actor) -> Result<(), Error> {
        let Some(before) = before else { return expect_manages(actor, self.role) };
        if self.user != before.user {
            return Err(refuse("user", "is read-only"));
        }
        expect_manages(actor, before.role)?;
        expect_manages(actor, self.role)?;
        expect_another_owner(draft, id, before.role)
    }

    /// Members may leave, and be removed by those who manage their role.
    ///
    /// Every member may leave a deleted project, its last owner included. Nobody needs an owner there, and somebody may
    /// have been made one against their will. Nothing else is written in a deleted project.
    fn may_delete(draft: &Draft, caller: &UserId, key: &RowKey) -> Result<(), Error> {
        let actor = match draft.authorize(caller, Role::Viewer) {
            Err(Error::ProjectDeleted) if *key == RowKey::membership(draft.project(), caller) => return Ok(()),
            actor => actor?,
        };
        let Some(row) = draft.row(key) else { return Err(Error::NotFound(key.clone())) };
        if row.is_erased() {
            return expect_manages(&actor, Role::Viewer);
        }
        let membership = understand::<Self>(row.columns())?.resource;
        if membership.user == actor.user { Ok(()) } else { expect_manages(&actor, membership.role) }
    }

    fn delete(id: &RowId, draft: &mut Draft) -> Result<Step<()>, Error> {
        let key = RowKey::new(Collection::Memberships, id.clone());
        let is_over = draft.counter().is_some_and(|counter| counter.deleted_at.is_some());
        if !is_over {
            let membership = understand::<Self>(draft.expect_live(&key)?)?.resource;
            expect_another_owner(draft, id, membership.role)?;
        }
        draft.delete(key);
        Ok(Step::Last(()))
    }
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
    use shared::domain::Precondition;

    use super::*;
    use crate::decide::testing::{OWNER, World, fields, project, user, written};
    use crate::decide::{self, Creation};

    fn world() -> World {
        World::new().with_member("adam", 300).with_member("ada", 300).with_member("mia", 100).with_member("vic", 1)
    }

    fn key(name: &str) -> RowKey {
        RowKey::membership(&project(), &user(name))
    }

    fn add(by: &str, who: &str, role: i64) -> Result<(), Error> {
        decide::create::<Membership>(&mut world().draft(), &user(by), None, &fields(json!({"user": who, "role": role})))
            .map(|_| ())
    }

    fn set(by: &str, who: &str, role: i64) -> Result<(), Error> {
        let patch = fields(json!({ "role": role }));
        decide::update::<Membership>(&mut world().draft(), &user(by), &key(who).id, &patch, &Precondition::None)
            .map(|_| ())
    }

    fn remove(by: &str, who: &str) -> Result<(), Error> {
        decide::delete::<Membership>(&mut world().draft(), &user(by), &key(who).id, &Precondition::None).map(|_| ())
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
        let left = decide::delete::<Membership>(&mut two.draft(), &user(OWNER), &key(OWNER).id, &Precondition::None);
        assert!(left.is_ok());
    }

    #[test]
    fn everyone_may_leave_a_deleted_project_even_its_last_owner_and_nobody_is_removed_from_it() {
        let world = world().deleted();
        for name in [OWNER, "adam", "mia", "vic"] {
            let mut draft = world.draft();
            let left = decide::delete::<Membership>(&mut draft, &user(name), &key(name).id, &Precondition::None);
            assert!(left.is_ok() && written(&draft) == [key(name).to_string()], "{name}");
        }
        for (by, who) in [(OWNER, "mia"), ("adam", "vic"), ("mia", OWNER)] {
            let removed =
                decide::delete::<Membership>(&mut world.draft(), &user(by), &key(who).id, &Precondition::None);
            assert!(matches!(removed, Err(Error::ProjectDeleted)), "{by} {who}");
        }
        let stranger =
            decide::delete::<Membership>(&mut world.draft(), &user("eve"), &key("eve").id, &Precondition::None);
        assert!(matches!(stranger, Err(Error::NotAMember)));
    }

    #[test]
    fn a_membership_whose_content_was_erased_is_dead_like_any_other() {
        let world = world().erased(&key("mia"));
        assert!(matches!(
            decide::delete::<Membership>(&mut world.draft(), &user("adam"), &key("mia").id, &Precondition::None),
            Ok(Step::Last(()))
        ));
        assert!(too_low(
            decide::delete::<Membership>(&mut world.draft(), &user("vic"), &key("mia").id, &Precondition::None)
                .map(|_| ())
        ));
        let mut draft = world.draft();
        let again = fields(json!({"user": "mia", "role": 100}));
        assert!(decide::create::<Membership>(&mut draft, &user(OWNER), None, &again).is_ok());
        assert_eq!(written(&draft), [key("mia").to_string()]);
    }

    #[test]
    fn a_membership_is_of_one_user_for_ever() {
        let patch = fields(json!({"user": "eve"}));
        let result = decide::update::<Membership>(
            &mut world().draft(),
            &user(OWNER),
            &key("mia").id,
            &patch,
            &Precondition::None,
        );
        assert!(matches!(result, Err(Error::Invalid(errors)) if errors[0].field == "user"));
    }

    #[test]
    fn adding_a_member_again_with_the_same_role_writes_nothing() {
        let mut draft = world().draft();
        let again =
            decide::create::<Membership>(&mut draft, &user(OWNER), None, &fields(json!({"user": "mia", "role": 100})));
        assert!(matches!(again, Ok(Step::Last((Creation::Repeated, _)))));
        assert!(written(&draft).is_empty());
        assert!(matches!(add(OWNER, "mia", 200), Err(Error::IdTaken(_))));
    }
}
