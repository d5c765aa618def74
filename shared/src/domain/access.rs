//! Roles, and the rules of authorization.

use serde::{Deserialize, Serialize};

use super::{Counter, Error, Membership, Row, UserId, understand};

/// Member roles, lowest first. Each role includes the permissions of those below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub enum Role {
    /// Reads and syncs the project, and can leave it.
    Viewer = 1,
    /// Creates, changes and deletes tasks.
    Member = 100,
    /// Creates, changes and deletes dependencies.
    Scheduler = 200,
    /// Manages calendars, the project's own fields, and memberships with roles below Admin.
    Admin = 300,
    /// Deletes the project, and manages memberships with every role.
    Owner = 400,
}

impl Role {
    /// All roles, lowest first.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Member, Self::Scheduler, Self::Admin, Self::Owner];

    /// Whether a member with this role can add, change or remove a membership with the role `other`.
    pub fn manages(self, other: Self) -> bool {
        self == Self::Owner || (self >= Self::Admin && other < self)
    }
}

impl From<Role> for i64 {
    fn from(role: Role) -> Self {
        role as Self
    }
}

impl TryFrom<i64> for Role {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| i64::from(*role) == number)
            .ok_or_else(|| "must be 1 (Viewer), 100 (Member), 200 (Scheduler), 300 (Admin) or 400 (Owner)".to_owned())
    }
}

/// An authorized member with their current role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The user.
    pub user: UserId,
    /// The role.
    pub role: Role,
}

/// Authorizes a user who is a member of the project with at least the role `needed`.
///
/// Errors, checked in this order: `NotAMember` (also if the project does not exist), `MembershipRevoked`, `ProjectDeleted`,
/// `RoleTooLow`. Counter and membership must come from strong reads for this request.
pub fn authorize(
    counter: Option<&Counter>,
    membership: Option<&Row>,
    user: &UserId,
    needed: Role,
) -> Result<Actor, Error> {
    let (Some(counter), Some(membership)) = (counter, membership) else {
        return Err(Error::NotAMember);
    };
    let Some(columns) = membership.live() else {
        return Err(Error::MembershipRevoked);
    };
    if counter.deleted_at.is_some() {
        return Err(Error::ProjectDeleted);
    }
    let role = understand::<Membership>(columns)?.resource.role;
    if role < needed {
        return Err(Error::RoleTooLow { needed });
    }
    Ok(Actor { user: user.clone(), role })
}

#[cfg(test)]
mod tests {
    use super::super::{RowKey, ServerVersion, Write};
    use super::*;

    fn version(number: u64) -> ServerVersion {
        ServerVersion::try_from(number).expect("a version")
    }

    fn membership(role: Role) -> Row {
        let project = "p".parse().expect("a project");
        let columns = serde_json::json!({"user": "u", "role": role});
        let write = Write::Put(columns.as_object().expect("columns").clone());
        Row::written(None, RowKey::membership(&project, &user()), write, version(2))
    }

    fn user() -> UserId {
        "u".parse().expect("a user")
    }

    #[test]
    fn a_member_is_let_in_with_the_role_needed_or_a_higher_one() {
        let counter = Counter::at(version(2));
        for role in Role::ALL {
            for needed in Role::ALL {
                match authorize(Some(&counter), Some(&membership(role)), &user(), needed) {
                    Ok(actor) => assert!(role >= needed && actor == Actor { user: user(), role }),
                    Err(error) => {
                        assert!(role < needed && matches!(error, Error::RoleTooLow { needed: n } if n == needed))
                    }
                }
            }
        }
    }

    #[test]
    fn a_user_who_is_refused_learns_the_first_reason() {
        let live = Counter::at(version(3));
        let deleted = Counter { deleted_at: Some(version(3)), ..live.clone() };
        let member = membership(Role::Viewer);
        let removed = Row::written(Some(&member), member.key.clone(), Write::Delete, version(3));
        let refused = |counter, row| authorize(counter, row, &user(), Role::Owner).expect_err("a refusal");
        assert!(matches!(refused(None, Some(&member)), Error::NotAMember));
        assert!(matches!(refused(Some(&deleted), None), Error::NotAMember));
        assert!(matches!(refused(Some(&deleted), Some(&removed)), Error::MembershipRevoked));
        assert!(matches!(refused(Some(&deleted), Some(&member)), Error::ProjectDeleted));
        assert!(matches!(refused(Some(&live), Some(&member)), Error::RoleTooLow { needed: Role::Owner }));
    }

    #[test]
    fn an_admin_manages_the_roles_below_and_an_owner_every_role() {
        for role in Role::ALL {
            assert!(Role::Owner.manages(role));
            assert_eq!(Role::Admin.manages(role), role < Role::Admin);
            assert!(!Role::Scheduler.manages(role));
        }
    }

    #[test]
    fn a_role_is_one_of_five_numbers() {
        assert_eq!(serde_json::from_str::<Role>("200").ok(), Some(Role::Scheduler));
        assert!(serde_json::from_str::<Role>("150").is_err());
        assert!(serde_json::from_str::<Role>("\"200\"").is_err());
        assert_eq!(serde_json::to_string(&Role::Owner).ok(), Some("400".to_owned()));
    }
}
