//! How many projects are read strongly, whole, at once.
//!
//! Such a reading of 10,000 rows takes some 860 read units of a partition that has 3,000 a second for everyone, commits
//! included. While an index lags for long, each pull would come to that. So there are bounds, and what is beyond them is 503
//! with a `Retry-After` that spreads the devices:
//!
//! - In one instance, one reading of a project and [`AT_ONCE`] of all projects are under way.
//! - Over all instances the partition itself is the judge, for the function can write no lease: a strong reading that is
//!   throttled makes room by ever longer pauses, goes on from where it was, and is given up in time for the gateway. How many
//!   instances there are at all is what the function's reserved concurrency says.
//!
//! What a reading keeps: of each row the versions, and the content of those that the device lacks, which on a first pull are all. A
//! partition gives 12 MB a second, however large its rows are, so that the 25 s of a reading come to some 300 MB, of the
//! 1,024 that the function has (`SyncMemory`).

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use shared::domain::{Error, ProjectId};

/// Over all projects, in one instance.
const AT_ONCE: usize = 4;

/// The projects that an instance is reading strongly.
#[derive(Debug, Default)]
pub(crate) struct StrongReads(Mutex<HashSet<ProjectId>>);

/// One that is under way; it ends when this is dropped.
pub(crate) struct StrongRead<'a> {
    all: &'a StrongReads,
    project: &'a ProjectId,
}

impl StrongReads {
    /// Begins one, or refuses with `Overloaded`.
    pub(crate) fn begin<'a>(&'a self, project: &'a ProjectId) -> Result<StrongRead<'a>, Error> {
        let mut projects = self.projects();
        if projects.len() >= AT_ONCE || !projects.insert(project.clone()) {
            return Err(Error::Overloaded);
        }
        Ok(StrongRead { all: self, project })
    }

    fn projects(&self) -> MutexGuard<'_, HashSet<ProjectId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StrongRead<'_> {
    fn drop(&mut self) {
        self.all.projects().remove(self.project);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reading_of_a_project_and_four_of_all_are_under_way() {
        let projects: Vec<ProjectId> = ["a", "b", "c", "d", "e"].map(|id| id.parse().expect("an id")).into();
        let reads = StrongReads::default();
        let first = reads.begin(&projects[0]).expect("the first");
        assert!(reads.begin(&projects[0]).is_err(), "a second one of a project");
        let others: Vec<_> = projects[1..4].iter().map(|project| reads.begin(project).expect("another")).collect();
        assert!(reads.begin(&projects[4]).is_err(), "a fifth");
        drop(first);
        assert!(reads.begin(&projects[4]).is_ok());
        drop(others);
        assert!(reads.begin(&projects[0]).is_ok());
    }
}
