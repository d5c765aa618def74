//! Who may cause expensive reads.
//!
//! A request reads the counter, the caller's membership and the rows that it names in one call, and is judged afterwards.
//! That saves a call. But the reads are paid for by then, and a row may take 100 read units. So each instance remembers callers
//! who are members. For any other caller it first reads the membership alone. That takes one call and one read unit, whether the
//! project exists or not. Being remembered here grants no access. Each request reads the membership again.

use super::layout;
use super::table::{Table, unavailable};
use crate::domain::{Actor, Error, ProjectId, Role, Row, RowKey, UserId};

impl Table {
    /// Refuses whoever is not a member of the project, before anything is read whose size the caller chooses: `NotAMember`
    /// (no such project looks and costs the same), `MembershipRevoked`.
    ///
    /// Reads one item, strongly, or nothing when this instance knows the caller as a member. So it lets nobody in: the
    /// membership is to be read again with whatever the request is about, see [`authorize`](crate::domain::authorize).
    pub async fn expect_member(&self, project: &ProjectId, user: &UserId) -> Result<(), Error> {
        match self.expect_member_or_removed(project, user).await? {
            true => Ok(()),
            false => Err(Error::MembershipRevoked),
        }
    }

    /// Does the same for a request that has an answer for removed members. Returns whether the caller is still a
    /// member.
    pub async fn expect_member_or_removed(&self, project: &ProjectId, user: &UserId) -> Result<bool, Error> {
        if self.members.knows(project, user) {
            return Ok(true);
        }
        let membership = RowKey::membership(project, user);
        let output = self
            .client
            .get_item()
            .table_name(self.name())
            .set_key(Some(layout::key_of_row(project, &membership)))
            .consistent_read(true)
            .send()
            .await
            .map_err(unavailable)?;
        let Some(item) = output.item else { return Err(Error::NotAMember) };
        let is_member = !layout::is_deleted(&item);
        if is_member {
            self.members.remember(project, user);
        }
        Ok(is_member)
    }

    /// Checks the user's membership and role, see [`authorize`](crate::domain::authorize), by counter and membership as
    /// they are now.
    ///
    /// Rows that were read before this call may be handed out, because the caller was still a member after the read.
    pub async fn authorize(&self, project: &ProjectId, user: &UserId, needed: Role) -> Result<Actor, Error> {
        let membership = RowKey::membership(project, user);
        let snapshot = self.snapshot(project, std::slice::from_ref(&membership)).await?;
        self.note(project, user, snapshot.row(&membership));
        snapshot.authorize(project, user, needed)
    }

    /// Notes whether the user is a member, as their membership says that was read just now.
    pub(super) fn note(&self, project: &ProjectId, user: &UserId, membership: Option<&Row>) {
        match membership.is_some_and(|row| row.live().is_some()) {
            true => self.members.remember(project, user),
            false => self.members.forget(project, user),
        }
    }
}
