//! The current version of each project of a user: which of them moved, without a pull of each.

use std::collections::HashMap;

use super::layout::{self, COUNTER, key, key_of_row};
use super::readable::{readable, visible_version};
use super::table::Table;
use crate::domain::{Counter, Error, ProjectId, Row, RowKey, ServerVersion, UserId};

/// A live project and the version that it is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The project.
    pub project: ProjectId,
    /// The counter's value. A device whose mark is not below it has everything.
    pub version: ServerVersion,
}

impl Table {
    /// The heads of one page of a user's memberships, in the order of the projects' ids. Also returns the id after which to
    /// continue, if there are more.
    ///
    /// It looks at `limit` memberships. It leaves out those of deleted projects, those that are dead by now, and those of projects
    /// whose counter or membership cannot be read. So a page may have fewer heads than `limit`, or none, and not be the last one.
    /// It takes a strong read of each counter, and one of the membership unless the project is deleted. The index that finds the
    /// memberships lags, so a new one may be missing.
    ///
    /// The counters are read before the memberships. So nobody learns of a commit that was made after their removal.
    pub async fn heads_of(
        &self,
        user: &UserId,
        after: Option<&ProjectId>,
        limit: usize,
    ) -> Result<(Vec<Head>, Option<ProjectId>), Error> {
        let (projects, next) = self.memberships_of(user, after, limit).await?;
        let counters = self.live_counters(&projects).await?;
        let membership = |project: &ProjectId| key_of_row(project, &RowKey::membership(project, user));
        let live = projects.iter().filter(|project| counters.contains_key(project.as_str()));
        let mut memberships: HashMap<String, Row> = HashMap::new();
        for item in self.batch_get(live.map(membership).collect()).await? {
            let project = layout::string(&item, "project_id")?;
            memberships.extend(readable(layout::row(&item))?.map(|row| (project.to_owned(), row)));
        }
        let mut heads = Vec::with_capacity(memberships.len());
        for project in projects {
            let (counter, membership) = (counters.get(project.as_str()), memberships.get(project.as_str()));
            heads.extend(visible_version(counter, membership, user)?.map(|version| Head { project, version }));
        }
        Ok((heads, next))
    }

    /// The counters of those projects that are not deleted and whose counters can be read.
    async fn live_counters(&self, projects: &[ProjectId]) -> Result<HashMap<String, Counter>, Error> {
        let keys = projects.iter().map(|project| key(project, COUNTER)).collect();
        let mut counters = HashMap::new();
        for item in self.batch_get(keys).await? {
            if let Some(counter) = readable(layout::counter(&item))?
                && counter.deleted_at.is_none()
            {
                counters.insert(layout::string(&item, "project_id")?.to_owned(), counter);
            }
        }
        Ok(counters)
    }
}
