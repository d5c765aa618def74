//! The first read of a pull.

use aws_sdk_dynamodb::types::KeysAndAttributes;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::feed_row::FeedRow;
use super::layout::{COUNTER, key, key_of_row};
use super::raw;
use super::read::PATIENCE;
use super::table::Table;
use super::transaction::unbuilt;
use crate::domain::{Error, ProjectId, PullCounter, Removals, Row, RowKey, UserId};

/// A project's counter and the caller's membership. Both were read strongly in one call, but they are not of one moment: a
/// commit may show in one of them and not yet in the other.
#[derive(Debug, PartialEq)]
pub struct PullStart {
    /// None if there is no such project.
    pub counter: Option<PullCounter>,
    /// None if the caller was never a member.
    pub membership: Option<PullMembership>,
}

/// The caller's membership as a pull needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullMembership {
    /// The row, dead or alive.
    pub row: FeedRow,
    /// When it was removed.
    pub removals: Removals,
}

impl PullMembership {
    /// A membership that was read whole.
    pub fn of(project: &ProjectId, row: &Row) -> Self {
        Self { row: FeedRow::of(project, row), removals: row.removals.clone() }
    }

    /// Whether the caller is a member.
    pub fn is_live(&self) -> bool {
        self.row.json.is_some()
    }
}

impl Table {
    /// Reads a project's counter and the caller's membership. `Busy` if DynamoDB leaves one of them unprocessed for 3 s.
    pub async fn pull_start(&self, project: &ProjectId, caller: &UserId) -> Result<PullStart, Error> {
        let membership = RowKey::membership(project, caller);
        let mut backoff = Backoff::until(Instant::now() + PATIENCE);
        loop {
            let request = KeysAndAttributes::builder()
                .set_keys(Some(vec![key(project, COUNTER), key_of_row(project, &membership)]))
                .consistent_read(true)
                .build()
                .map_err(unbuilt)?;
            let batch = self.client.batch_get_item().request_items(self.name(), request);
            // If one of them is unprocessed, both are read again, so that they are always of one call.
            if let Some(start) = raw::read_pull_start(batch).await? {
                return Ok(start);
            }
            if !backoff.wait().await {
                return Err(Error::Busy);
            }
        }
    }
}
