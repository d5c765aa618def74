//! Follows the versions of a project: its commits, and the change that each one made.
//!
//! Nothing announces a commit here, so the counter is polled, with one strong read each time. If it has moved, the project's rows
//! are read. The counter tells which versions belong to the latest commit. It does not tell where older commits ended, so all
//! commits between two reads are one [`Seen`].

use std::collections::HashSet;

use serde::Serialize;
use shared::domain::{Error, ProjectId};
use shared::storage::Table;

use crate::history::{self, Held, History};

/// The commits between two reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The first and the last version.
    pub versions: (u64, u64),
    /// Whether this is one commit. Otherwise it is one or more.
    pub one_commit: bool,
    /// The rows that were given these versions, in the order of the versions. A row that was written several times is there
    /// several times.
    pub rows: Vec<Held>,
    /// Whether the project is deleted by now.
    pub deleted: bool,
}

/// A project that is watched.
#[derive(Debug)]
pub struct Watch {
    table: Table,
    project: ProjectId,
    since: u64,
}

impl Watch {
    /// Watches from the version after this one.
    pub fn since(table: Table, project: ProjectId, since: u64) -> Self {
        Self { table, project, since }
    }

    /// Watches from now on. None if there is no such project.
    pub async fn now(table: Table, project: ProjectId) -> Result<Option<Self>, Error> {
        let counter = table.counter(&project).await?;
        Ok(counter.map(|counter| Self::since(table, project, counter.current.get())))
    }

    /// The last version that was seen.
    pub fn version(&self) -> u64 {
        self.since
    }

    /// The commits since the last read, oldest first. None if there is no such project.
    pub async fn look(&mut self) -> Result<Option<Vec<Seen>>, Error> {
        let Some(counter) = self.table.counter(&self.project).await? else { return Ok(None) };
        if counter.current.get() <= self.since {
            return Ok(Some(vec![]));
        }
        let Some(history) = history::read(&self.table, &self.project).await? else { return Ok(None) };
        let seen = news(&history, self.since);
        if let Some(last) = seen.last() {
            self.since = last.versions.1;
        }
        Ok(Some(seen))
    }
}

/// The part of a history after this version, as far as every version is accounted for. The latest commit may not be complete yet.
/// It then comes with the next read.
fn news(history: &History, since: u64) -> Vec<Seen> {
    let through = accounted(history, since);
    let seen = |first: u64, last: u64, one_commit: bool| Seen {
        versions: (first, last),
        one_commit: one_commit || first == last,
        rows: history.versions.iter().filter(|held| (first..=last).contains(&held.version)).cloned().collect(),
        deleted: history.deleted,
    };
    let latest = history.latest_from.filter(|_| through == history.current).map(|from| from.max(since + 1));
    match latest {
        _ if through <= since => vec![],
        Some(from) if from == since + 1 => vec![seen(from, through, true)],
        Some(from) => vec![seen(since + 1, from - 1, false), seen(from, through, true)],
        None => {
            let through = history.latest_from.map_or(through, |from| through.min(from - 1));
            if through > since { vec![seen(since + 1, through, false)] } else { vec![] }
        }
    }
}

/// The version up to which each version is held by a row, skipped, or too old to be in a history.
fn accounted(history: &History, since: u64) -> u64 {
    let held: HashSet<u64> = history.versions.iter().map(|held| held.version).collect();
    let mut through = since.max(history.silent_below.saturating_sub(1)).min(history.current);
    while through < history.current {
        let next = through + 1;
        through = match history.skipped.iter().find(|(first, last)| (*first..=*last).contains(&next)) {
            Some((_, last)) => *last,
            None if held.contains(&next) => next,
            None => break,
        };
    }
    through
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Change, Fate};

    /// A project at `current` whose latest commit began at `latest_from`, and whose rows hold these versions.
    fn history(current: u64, latest_from: Option<u64>, versions: impl IntoIterator<Item = u64>) -> History {
        let held = |version| Held {
            version,
            collection: "tasks".to_owned(),
            id: format!("t{version}"),
            name: String::new(),
            change: Change::Created,
            fate: Fate::Current,
            written: None,
        };
        let versions = versions.into_iter().map(held).collect();
        History { current, deleted: false, latest_from, skipped: vec![], silent_below: 0, versions }
    }

    fn ranges(history: &History, since: u64) -> Vec<(u64, u64, bool)> {
        let seen = news(history, since);
        for seen in &seen {
            let held: Vec<u64> = seen.rows.iter().map(|held| held.version).collect();
            assert!(held.iter().all(|version| (seen.versions.0..=seen.versions.1).contains(version)));
        }
        seen.iter().map(|seen| (seen.versions.0, seen.versions.1, seen.one_commit)).collect()
    }

    #[test]
    fn a_commit_is_told_from_several() {
        assert_eq!(ranges(&history(7, Some(5), 1..=7), 4), [(5, 7, true)]);
        assert_eq!(ranges(&history(7, Some(5), 1..=7), 2), [(3, 4, false), (5, 7, true)]);
        assert_eq!(ranges(&history(7, Some(5), 1..=7), 3), [(4, 4, true), (5, 7, true)], "one version is one commit");
        assert_eq!(ranges(&history(7, Some(5), 1..=7), 5), [(6, 7, true)], "asked for from its middle");
        assert_eq!(ranges(&history(7, Some(5), 1..=7), 7), []);
        assert_eq!(ranges(&history(7, None, 1..=7), 2), [(3, 7, false)], "after a restore");
    }

    #[test]
    fn a_commit_that_is_half_there_waits_for_the_next_look() {
        assert_eq!(ranges(&history(7, Some(5), [1, 2, 3, 4, 5, 7]), 2), [(3, 4, false)]);
        assert_eq!(ranges(&history(7, Some(5), [1, 2, 3, 4, 5, 7]), 4), []);
    }

    #[test]
    fn versions_that_no_row_holds_any_more_delay_nothing() {
        let restored = History {
            skipped: vec![(3, 1 << 40)],
            ..history((1 << 40) + 2, None, [1, 2, (1 << 40) + 1, (1 << 40) + 2])
        };
        assert_eq!(ranges(&restored, 1), [(2, (1 << 40) + 2, false)]);
        let busy = History { silent_below: 6, ..history(7, Some(7), [6, 7]) };
        assert_eq!(ranges(&busy, 1), [(2, 6, false), (7, 7, true)]);
    }
}
