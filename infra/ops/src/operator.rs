//! Helpers that the operators' commands share: finding projects, splitting and pacing writes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indicatif::ProgressBar;
use serde::Serialize;
use shared::domain::{ArchivedVersions, Error, ProjectId};
use shared::idempotency::RestAnswer;
use shared::storage::{Committed, Partition, Table, reasons};
use tokio::time::{Instant, sleep, sleep_until};

/// The maximum number of bytes that one commit writes, well below the 4 MB of a transaction.
pub(crate) const MAX_COMMIT_BYTES: usize = 3_000_000;

/// The attempts of an operation that may find the project busy.
pub(crate) struct Tries {
    made: u32,
}

impl Tries {
    const MAX: u32 = 5;
    /// The pause before the second attempt. Each later pause is longer by the same amount.
    const PAUSE: Duration = Duration::from_millis(500);

    /// A count before the first attempt.
    pub(crate) fn new() -> Self {
        Self { made: 1 }
    }

    /// Waits before the next attempt. Returns false without a pause if there is none left.
    pub(crate) async fn another(&mut self) -> bool {
        if self.made == Self::MAX {
            return false;
        }
        sleep(Self::PAUSE * self.made).await;
        self.made += 1;
        true
    }
}

/// Every partition of the table.
pub(crate) async fn partitions(table: &Table, progress: &ProgressBar) -> Result<BTreeSet<Partition>, Error> {
    progress.set_message("finding projects");
    let mut partitions = BTreeSet::new();
    let mut cursor = None;
    loop {
        let (page, next) = table.partitions_page(cursor).await?;
        partitions.extend(page);
        progress.tick();
        cursor = next;
        if cursor.is_none() {
            return Ok(partitions);
        }
    }
}

/// Splits targets, each with its size in bytes, into batches of at most `rows` targets and `bytes` bytes. A target that is larger
/// gets a batch of its own. The order stays.
pub fn batches<T>(targets: impl IntoIterator<Item = (usize, T)>, rows: usize, bytes: usize) -> Vec<Vec<T>> {
    let mut batches: Vec<Vec<T>> = Vec::new();
    let mut room = 0;
    for (size, target) in targets {
        match batches.last_mut() {
            Some(batch) if batch.len() < rows && size <= room => {
                room -= size;
                batch.push(target);
            }
            _ => {
                room = bytes.saturating_sub(size);
                batches.push(vec![target]);
            }
        }
    }
    batches
}

/// Limits writes per second.
pub(crate) struct Pace {
    rate: u32,
    next_write: Instant,
}

impl Pace {
    pub(crate) fn new(rate: u32) -> Self {
        Self { rate: rate.max(1), next_write: Instant::now() }
    }

    /// Waits until `items` more items may be written.
    pub(crate) async fn wait(&mut self, items: usize) {
        sleep_until(self.next_write).await;
        let share = Duration::from_secs_f64(items as f64 / f64::from(self.rate));
        self.next_write = Instant::now() + share;
    }
}

/// The time that archiving may take.
const ARCHIVING: Duration = Duration::from_secs(10);

/// Archives versions. Returns their number.
pub(crate) async fn archive(table: &Table, project: &ProjectId, archived: &[ArchivedVersions]) -> Result<u64, Error> {
    table.put_archive(project, archived, Instant::now() + ARCHIVING).await?;
    Ok(archived.iter().map(|archived| archived.versions().len() as u64).sum())
}

/// The reason why a project failed, if the table itself can be read. Otherwise returns the table's error.
pub(crate) async fn of_project(table: &Table, error: Error) -> Result<String, Error> {
    match table.new_projects().await {
        Err(unreadable @ Error::Unavailable(_)) => Err(unreadable),
        _ => Ok(reasons(&error)),
    }
}

/// An item that a command did not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The project.
    pub project: String,
    /// The row, record or counter.
    pub entity: String,
    /// The reason.
    pub detail: String,
}

impl Left {
    pub(crate) fn new(project: &ProjectId, entity: &str, detail: impl Into<String>) -> Self {
        Self { project: project.to_string(), entity: entity.to_owned(), detail: detail.into() }
    }
}

/// The response of a commit without a request.
pub(crate) fn unasked<T>(_: &Committed<'_, T>) -> Result<RestAnswer, Error> {
    Ok(RestAnswer { status: 204, headers: BTreeMap::new(), body: String::new(), row: None })
}
