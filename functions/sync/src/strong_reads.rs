//! The limit on the number of strong reads of whole projects that are in progress at once.
//!
//! A strong read of 10,000 rows takes about 860 read units. A partition has 3,000 per second for all requests, including commits.
//! If an index lags for long, every pull needs such a read. So there are limits, and a pull beyond them gets a 503 with a
//! `Retry-After` that spreads the devices:
//!
//! - One instance reads each project at most once at a time, and at most [`MAX_STRONG_READS`] projects.
//! - Across instances, only DynamoDB's partition throttling limits strong reads, because the function cannot write a lease. A
//!   throttled read waits longer and longer, continues where it was, and gives up before the gateway times out. The function's
//!   reserved concurrency limits the number of instances.
//!
//! A read keeps the versions of each row, and the content of the rows that the device lacks; on a first pull these are all rows. A
//! partition returns 12 MB per second, whatever the size of its rows. So the 25 s of a read give about 300 MB, and the function has
//! 1,024 MB (`SyncMemory`).

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use shared::domain::{Error, ProjectId};

/// The maximum number of projects that one instance reads strongly at once.
const MAX_STRONG_READS: usize = 4;

/// The strong reads of projects that are in progress in this instance.
#[derive(Debug, Default)]
pub(crate) struct StrongReads(Mutex<HashSet<ProjectId>>);

/// A strong read in progress. It ends when this is dropped.
pub(crate) struct StrongRead<'a> {
    all: &'a StrongReads,
    project: &'a ProjectId,
}

impl StrongReads {
    /// Begins a strong read, or refuses with `Overloaded`.
    pub(crate) fn begin<'a>(&'a self, project: &'a ProjectId) -> Result<StrongRead<'a>, Error> {
        let mut projects = self.projects();
        if projects.len() >= MAX_STRONG_READS || !projects.insert(project.clone()) {
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
    fn one_strong_read_of_a_project_and_four_in_all_are_in_progress() {
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
