//! The members that an instance remembers, see `members.rs`.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::{ProjectId, UserId};

/// The largest number of members that an instance remembers. It forgets the oldest first, and reads that membership
/// again.
const MAX_KNOWN: usize = 10_000;

/// The members that an instance remembers.
#[derive(Debug, Default)]
pub(super) struct KnownMembers(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    members: HashSet<(ProjectId, UserId)>,
    /// The same members, oldest first. Some of them may have been forgotten since.
    oldest_first: VecDeque<(ProjectId, UserId)>,
}

impl KnownMembers {
    pub(super) fn knows(&self, project: &ProjectId, user: &UserId) -> bool {
        self.known().members.contains(&(project.clone(), user.clone()))
    }

    pub(super) fn remember(&self, project: &ProjectId, user: &UserId) {
        let mut known = self.known();
        let member = (project.clone(), user.clone());
        if known.members.insert(member.clone()) {
            known.oldest_first.push_back(member);
        }
        while known.oldest_first.len() > MAX_KNOWN {
            if let Some(oldest) = known.oldest_first.pop_front() {
                known.members.remove(&oldest);
            }
        }
    }

    pub(super) fn forget(&self, project: &ProjectId, user: &UserId) {
        self.known().members.remove(&(project.clone(), user.clone()));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(number: usize) -> ProjectId {
        format!("p{number}").parse().expect("a project")
    }

    #[test]
    fn a_member_is_known_until_forgotten_or_until_there_are_too_many_others() {
        let (known, user) = (KnownMembers::default(), "ann".parse().expect("a user"));
        assert!(!known.knows(&project(0), &user));
        known.remember(&project(0), &user);
        assert!(known.knows(&project(0), &user) && !known.knows(&project(1), &user));
        known.forget(&project(0), &user);
        assert!(!known.knows(&project(0), &user));
        for number in 1..=MAX_KNOWN {
            known.remember(&project(number), &user);
            known.remember(&project(number), &user);
        }
        assert!(known.knows(&project(2), &user), "asked for twice is known once");
        known.remember(&project(0), &user);
        assert_eq!([1, 2, 0].map(|number| known.knows(&project(number), &user)), [false, true, true]);
        assert!(known.known().oldest_first.len() <= MAX_KNOWN);
    }
}
