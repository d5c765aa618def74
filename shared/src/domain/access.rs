//! Who may do what in a project.

use serde::{Deserialize, Serialize};

use super::{Counter, Error, Membership, Row, UserId, parse};

/// What a member may do; each role may all that the ones below it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub enum Role {
    /// Reads, syncs, leaves.
    Viewer = 1,
    /// Creates, changes and deletes tasks.
    Member = 100,
    /// … dependencies.
    Scheduler = 200,
    /// … calendars and the project's settings; manages memberships below the own role.
    Admin = 300,
    /// Deletes the project, manages every role.
    Owner = 400,
}

impl Role {
    /// All roles, lowest first.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Member, Self::Scheduler, Self::Admin, Self::Owner];

    /// May someone with this role give, change or take away a membership with `other`?
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

/// Someone who was let in, with the role they have now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Who.
    pub user: UserId,
    /// As what.
    pub role: Role,
}

/// Lets a user in when the project has them as a member with at least the role `needed`.
///
/// Errors, judged in this order: `NotAMember` (no such project looks the same), `MembershipRevoked`, `ProjectDeleted`,
/// `RoleTooLow`. Counter and membership must have been read strongly for this request.
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
    let role = parse::<Membership>(columns)?.role;
    if role < needed {
        return Err(Error::RoleTooLow { needed });
    }
    Ok(Actor { user: user.clone(), role })
}

#[cfg(test)]
mod tests {
    use super::*;

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
