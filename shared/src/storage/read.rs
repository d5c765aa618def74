//! Strong reads.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::KeysAndAttributes;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::feed::collection_prefix;
use super::layout::{self, COUNTER, Item, key, key_of_row, text};
use super::new_projects;
use super::record::{self, Record};
use super::table::{BY_USER, Table, unavailable};
use super::transaction::unbuilt;
use crate::domain::{Actor, Collection, Counter, Error, KeyedRequest, ProjectId, Role, Row, RowKey, UserId, authorize};

/// The most keys one `BatchGetItem` takes.
const BATCH: usize = 100;
/// How long keys that DynamoDB leaves unprocessed are asked for again.
const PATIENCE: Duration = Duration::from_secs(3);

/// A counter and some rows, each read strongly, but not as of one moment: a commit may be seen in one and not yet in
/// another.
#[derive(Debug)]
pub struct Snapshot {
    /// None when there is no such project.
    pub counter: Option<Counter>,
    /// How long the latest commit's request had waited since it was first refused.
    pub(super) waited: Duration,
    rows: HashMap<RowKey, Option<Row>>,
    /// The record of the request that was asked for, if it is there.
    pub(super) record: Option<Record>,
    /// The version above which a new project begins, if that was asked for.
    pub(super) start_above: u64,
}

/// What is read along with the rows of a project.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Along<'a> {
    /// The record of this request.
    pub(super) request: Option<&'a KeyedRequest>,
    /// The version above which a new project begins.
    pub(super) start_above: bool,
}

impl Snapshot {
    /// A row that was asked for, if it is there, dead or alive.
    pub fn row(&self, key: &RowKey) -> Option<&Row> {
        self.rows.get(key).and_then(Option::as_ref)
    }

    /// Lets a member in, see [`authorize`]; their membership must have been asked for.
    pub fn authorize(&self, project: &ProjectId, user: &UserId, needed: Role) -> Result<Actor, Error> {
        authorize(self.counter.as_ref(), self.row(&RowKey::membership(project, user)), user, needed)
    }

    /// Was this row asked for?
    pub(super) fn has(&self, key: &RowKey) -> bool {
        self.rows.contains_key(key)
    }

    /// The same rows with a counter that was read before them.
    pub(super) fn after(self, counter: Option<Counter>) -> Self {
        Self { counter, ..self }
    }

    pub(super) fn into_rows(self) -> HashMap<RowKey, Option<Row>> {
        self.rows
    }
}

impl Table {
    /// Reads a project's counter and the rows named, in one call up to 99 rows.
    pub async fn snapshot(&self, project: &ProjectId, rows: &[RowKey]) -> Result<Snapshot, Error> {
        self.snapshot_with(project, rows, Along::default()).await
    }

    /// … and something else in the same call.
    pub(super) async fn snapshot_with(
        &self,
        project: &ProjectId,
        rows: &[RowKey],
        along: Along<'_>,
    ) -> Result<Snapshot, Error> {
        let mut wanted: Vec<String> = rows.iter().map(RowKey::to_string).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.insert(0, COUNTER.to_owned());
        let keys = wanted.into_iter().map(|entity| key(project, entity));
        let keys = keys.chain(along.request.map(|request| record::key(project, request)));
        let keys = keys.chain(along.start_above.then(new_projects::key)).collect();
        let rows = rows.iter().map(|key| (key.clone(), None)).collect();
        let mut snapshot = Snapshot { counter: None, waited: Duration::ZERO, rows, record: None, start_above: 0 };
        for item in self.batch_get(keys).await? {
            if new_projects::is_note(&item)? {
                snapshot.start_above = new_projects::start_above(&item)?;
            } else if layout::string(&item, "project_id")? != project.as_str() {
                snapshot.record = Some(Record::of(&item)?);
            } else if layout::string(&item, "entity")? == COUNTER {
                snapshot.waited = layout::waited(&item);
                snapshot.counter = Some(layout::counter(&item)?);
            } else {
                let row = layout::row(&item)?;
                snapshot.rows.insert(row.key.clone(), Some(row));
            }
        }
        Ok(snapshot)
    }

    /// Reads a project's counter alone; none when there is no such project.
    pub async fn counter(&self, project: &ProjectId) -> Result<Option<Counter>, Error> {
        let output = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(key(project, COUNTER)))
            .consistent_read(true)
            .send()
            .await
            .map_err(unavailable)?;
        output.item.as_ref().map(layout::counter).transpose()
    }

    /// At most `limit` live rows of a collection in the order of their ids, and whether there are more.
    pub async fn list(
        &self,
        project: &ProjectId,
        collection: Collection,
        after: Option<&RowKey>,
        limit: usize,
    ) -> Result<(Vec<Row>, bool), Error> {
        let mut rows: Vec<Row> = Vec::new();
        let mut start = after.map(|after| key_of_row(project, after));
        loop {
            let output = self
                .client
                .query()
                .table_name(&self.name)
                .consistent_read(true)
                .key_condition_expression("project_id = :project AND begins_with(entity, :collection)")
                .filter_expression("attribute_not_exists(is_deleted)")
                .expression_attribute_values(":project", text(project.as_str()))
                .expression_attribute_values(":collection", collection_prefix(collection))
                // One more than asked for tells whether there are more. Tombstones count here and are filtered later.
                .limit(i32::try_from(limit - rows.len() + 1).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(unavailable)?;
            for item in output.items() {
                rows.push(layout::row(item)?);
            }
            start = output.last_evaluated_key;
            if rows.len() > limit || start.is_none() {
                let more = rows.len() > limit;
                rows.truncate(limit);
                return Ok((rows, more));
            }
        }
    }

    /// Every live row of a collection.
    pub(super) async fn list_all(&self, project: &ProjectId, collection: Collection) -> Result<Vec<Row>, Error> {
        // More than fits a page, so that each call returns as much as DynamoDB gives.
        Ok(self.list(project, collection, None, 1_000_000).await?.0)
    }

    /// At most `limit` live projects that have the user as a member, in the order of their ids, and the id to go on
    /// behind if there are more.
    ///
    /// Found by an index that lags, so a membership of this moment may not be listed yet; each hit is confirmed by a strong
    /// read, so nothing is listed that the user may not see.
    pub async fn projects_of(
        &self,
        user: &UserId,
        after: Option<&ProjectId>,
        limit: usize,
    ) -> Result<(Vec<(ProjectId, Row)>, Option<ProjectId>), Error> {
        let mut rows = Vec::new();
        let mut after = after.cloned();
        loop {
            let (found, more) = self.memberships_of(user, after.as_ref(), limit - rows.len()).await?;
            after = found.last().cloned();
            rows.extend(self.confirm(user, found).await?);
            if rows.len() >= limit || !more {
                return Ok((rows, after.filter(|_| more)));
            }
        }
    }

    async fn memberships_of(
        &self,
        user: &UserId,
        after: Option<&ProjectId>,
        limit: usize,
    ) -> Result<(Vec<ProjectId>, bool), Error> {
        let start = after.map(|project| {
            let mut start = key_of_row(project, &RowKey::membership(project, user));
            start.insert("user_id".to_owned(), text(user.as_str()));
            start
        });
        let output = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(BY_USER)
            .key_condition_expression("user_id = :user")
            .expression_attribute_values(":user", text(user.as_str()))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(unavailable)?;
        let mut projects = Vec::with_capacity(output.items().len());
        for item in output.items() {
            let id = layout::string(item, "project_id")?.parse();
            projects.push(id.map_err(|_| Error::Corrupt("by_user names no project".to_owned()))?);
        }
        Ok((projects, output.last_evaluated_key.is_some()))
    }

    /// The project rows of those projects that are live and have the user as a live member, in the order given.
    async fn confirm(&self, user: &UserId, projects: Vec<ProjectId>) -> Result<Vec<(ProjectId, Row)>, Error> {
        let mut keys = Vec::with_capacity(projects.len() * 2);
        for project in &projects {
            keys.push(key_of_row(project, &RowKey::membership(project, user)));
            keys.push(key_of_row(project, &RowKey::project(project)));
        }
        let mut live: HashMap<String, HashMap<Collection, Row>> = HashMap::new();
        for item in self.batch_get(keys).await? {
            let row = layout::row(&item)?;
            if row.live().is_some() {
                let project = layout::string(&item, "project_id")?.to_owned();
                live.entry(project).or_default().insert(row.key.collection, row);
            }
        }
        let confirmed = projects.into_iter().filter_map(|project| {
            let mut rows = live.remove(project.as_str())?;
            rows.remove(&Collection::Memberships)?;
            Some((project, rows.remove(&Collection::Projects)?))
        });
        Ok(confirmed.collect())
    }

    /// Reads items strongly, in any order; those that are not there are left out.
    async fn batch_get(&self, keys: Vec<Item>) -> Result<Vec<Item>, Error> {
        let mut found = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(BATCH) {
            let mut backoff = Backoff::until(Instant::now() + PATIENCE);
            let mut wanted = chunk.to_vec();
            loop {
                let request = KeysAndAttributes::builder()
                    .set_keys(Some(wanted))
                    .consistent_read(true)
                    .build()
                    .map_err(unbuilt)?;
                let output = self
                    .client
                    .batch_get_item()
                    .request_items(&self.name, request)
                    .send()
                    .await
                    .map_err(unavailable)?;
                found.extend(output.responses.unwrap_or_default().into_values().flatten());
                let rest = output.unprocessed_keys.unwrap_or_default().into_values().next();
                wanted = rest.map(|rest| rest.keys).unwrap_or_default();
                if wanted.is_empty() {
                    break;
                }
                if !backoff.wait().await {
                    return Err(Error::Busy);
                }
            }
        }
        Ok(found)
    }
}
