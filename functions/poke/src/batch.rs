//! The summary of a batch of the stream: which projects moved, and which members were removed.

use std::collections::{BTreeMap, BTreeSet};

use shared::domain::{ProjectId, ServerVersion, UserId};
use shared::storage::{Change, StreamRecord};

/// A record's place in the batch, in the order of the stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    index: usize,
    pub(crate) sequence_number: String,
}

/// A project that moved to a new version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) project: ProjectId,
    /// The newest version.
    pub(crate) version: ServerVersion,
    /// The place of the first record about the project.
    pub(crate) place: Place,
}

/// Members who were removed from a project.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) project: ProjectId,
    pub(crate) users: BTreeSet<UserId>,
    pub(crate) place: Place,
}

#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) records: usize,
    /// Unreadable records are left out, because they would be just as unreadable when Lambda repeats them.
    pub(crate) unreadable: usize,
    pub(crate) moved: Vec<Moved>,
    pub(crate) removed: Vec<Removed>,
}

impl Batch {
    pub(crate) fn of(records: Vec<StreamRecord>) -> Self {
        let mut batch = Self { records: records.len(), ..Self::default() };
        let mut moved: BTreeMap<ProjectId, Moved> = BTreeMap::new();
        let mut removed: BTreeMap<ProjectId, Removed> = BTreeMap::new();
        for (index, StreamRecord { sequence_number, change }) in records.into_iter().enumerate() {
            let place = Place { index, sequence_number };
            match change {
                Change::Moved { project, version } => {
                    let known = moved.entry(project.clone()).or_insert(Moved { project, version, place });
                    known.version = known.version.max(version);
                }
                Change::Removed { project, user } => {
                    let users = BTreeSet::new();
                    let known = removed.entry(project.clone()).or_insert(Removed { project, users, place });
                    known.users.insert(user);
                }
                Change::Other => {}
                Change::Unreadable => {
                    batch.unreadable += 1;
                    tracing::error!(
                        alarm = "corrupt",
                        sequence_number = place.sequence_number,
                        "a record of the stream cannot be read"
                    );
                }
            }
        }
        batch.moved = moved.into_values().collect();
        batch.removed = removed.into_values().collect();
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(project: &str, version: u64) -> Change {
        Change::Moved { project: project.parse().expect("a project"), version: version.try_into().expect("a version") }
    }

    fn removed(project: &str, user: &str) -> Change {
        Change::Removed { project: project.parse().expect("a project"), user: user.parse().expect("a user") }
    }

    fn batch(changes: Vec<Change>) -> Batch {
        let record = |(index, change)| StreamRecord { sequence_number: format!("s{index}"), change };
        Batch::of(changes.into_iter().enumerate().map(record).collect())
    }

    #[test]
    fn of_20_commits_in_a_burst_the_newest_counts_whatever_their_order() {
        let commits = (1..=20).rev().flat_map(|version| [moved("p", version), Change::Other]);
        let batch = batch(commits.chain([moved("q", 3)]).collect());
        let seen: Vec<_> = batch.moved.iter().map(|moved| (moved.project.as_str(), moved.version.get())).collect();
        assert_eq!(seen, [("p", 20), ("q", 3)]);
        assert_eq!(
            batch.moved.iter().map(|moved| moved.place.sequence_number.as_str()).collect::<Vec<_>>(),
            ["s0", "s40"]
        );
    }

    #[test]
    fn every_removed_member_counts_and_unreadable_records_are_left_out() {
        let batch = batch(vec![removed("p", "vic"), Change::Unreadable, removed("p", "ann"), moved("p", 4)]);
        let users: Vec<_> = batch.removed[0].users.iter().map(UserId::as_str).collect();
        assert_eq!((users, batch.removed.len(), batch.moved.len()), (vec!["ann", "vic"], 1, 1));
        assert_eq!((batch.records, batch.unreadable), (4, 1));
    }
}
