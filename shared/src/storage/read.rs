//! Strong reads.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::KeysAndAttributes;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::idempotency::IdempotencyRecord;
use super::layout::{self, COUNTER, Item, LIVE_EDGE, collection_prefix, key, key_of_row, text};
use super::page::page;
use super::readable::readable;
use super::table::{BY_USER, LIVE_EDGES, Table, unavailable};
use super::transaction::unbuilt;
use crate::domain::{Actor, Collection, Counter, Error, ProjectId, Role, Row, RowKey, UserId, authorize};

/// The largest number of keys in one `BatchGetItem`.
const BATCH: usize = 100;
/// A limit above what fits a page, so that each call returns as much as DynamoDB gives.
const ALL: usize = 1_000_000;
/// The smallest number of items that a list reads in a call, even if it needs fewer rows, because some items may be
/// tombstones.
const MIN_PAGE: usize = 100;
/// The largest number of a user's projects that are confirmed at once. A page of the list of projects looks at least at
/// this many memberships, even if it needs fewer projects, because most may be of deleted projects.
const MAX_CONFIRMED: usize = 100;
/// How long a read asks again for keys that DynamoDB left unprocessed.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// A counter and some rows. Each is read strongly, but they are not of one moment: a commit may show in one of them and
/// not yet in another.
#[derive(Debug)]
pub struct Snapshot {
    /// None if there is no such project.
    pub counter: Option<Counter>,
    /// How long the latest commit's request had waited since it was first refused.
    pub(super) waited: Duration,
    rows: HashMap<RowKey, Option<Row>>,
    /// The idempotency record that was asked for, if it exists.
    pub(super) record: Option<IdempotencyRecord>,
    /// The version above which a new project begins, if that was asked for.
    pub(super) start_above: u64,
}

impl Snapshot {
    /// The snapshot of a project that does not exist.
    pub(super) fn of_nothing(rows: &[RowKey]) -> Self {
        let rows = rows.iter().map(|key| (key.clone(), None)).collect();
        Self { counter: None, waited: Duration::ZERO, rows, record: None, start_above: 0 }
    }

    /// The same snapshot. The versions of a new project begin above this one.
    pub(super) fn starting_above(self, start_above: u64) -> Self {
        Self { start_above, ..self }
    }

    /// A row that was asked for, dead or alive. None if it does not exist.
    pub fn row(&self, key: &RowKey) -> Option<&Row> {
        self.rows.get(key).and_then(Option::as_ref)
    }

    /// Checks the user's membership and role, see [`authorize`]. The membership must have been asked for.
    pub fn authorize(&self, project: &ProjectId, user: &UserId, needed: Role) -> Result<Actor, Error> {
        authorize(self.counter.as_ref(), self.row(&RowKey::membership(project, user)), user, needed)
    }

    /// Whether this row was asked for.
    pub(super) fn has(&self, key: &RowKey) -> bool {
        self.rows.contains_key(key)
    }

    /// Whether each row that was asked for, and that the latest commit wrote, has at least the version that the commit
    /// gave it.
    pub(super) fn shows_its_predecessor(&self) -> bool {
        let last = self.counter.iter().flat_map(|counter| &counter.write_set);
        last.filter(|(key, _)| self.has(key))
            .all(|(key, version)| self.row(key).is_some_and(|row| row.version >= *version))
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
    /// Reads a project's counter and the named rows. It takes one call for up to 99 rows.
    pub async fn snapshot(&self, project: &ProjectId, rows: &[RowKey]) -> Result<Snapshot, Error> {
        self.snapshot_with(project, rows, None).await
    }

    /// Reads the same, and the idempotency record with this id in the same call.
    pub(super) async fn snapshot_with(
        &self,
        project: &ProjectId,
        rows: &[RowKey],
        record_id: Option<String>,
    ) -> Result<Snapshot, Error> {
        let mut wanted: Vec<String> = rows.iter().map(RowKey::to_string).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.insert(0, COUNTER.to_owned());
        let keys = wanted.into_iter().map(|entity| key(project, entity));
        let keys = keys.chain(record_id.map(|id| layout::request_key(project, id))).collect();
        let mut snapshot = Snapshot::of_nothing(rows);
        for item in self.batch_get(keys).await? {
            if layout::string(&item, "project_id")? != project.as_str() {
                snapshot.record = Some(IdempotencyRecord::of(&item)?);
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

    /// Reads a project's counter alone. None if there is no such project.
    pub async fn counter(&self, project: &ProjectId) -> Result<Option<Counter>, Error> {
        let item = self.get(key(project, COUNTER)).await?;
        item.as_ref().map(layout::counter).transpose()
    }

    /// Reads one row alone, dead or alive.
    pub async fn row(&self, project: &ProjectId, row: &RowKey) -> Result<Option<Row>, Error> {
        let item = self.get(key_of_row(project, row)).await?;
        item.as_ref().map(layout::row).transpose()
    }

    async fn get(&self, key: Item) -> Result<Option<Item>, Error> {
        let get = self.client.get_item().table_name(self.name()).set_key(Some(key)).consistent_read(true);
        Ok(get.send().await.map_err(unavailable)?.item)
    }

    /// Lists live rows of a collection in the order of their ids, and says whether there are more. It returns at most
    /// `limit` rows. It stops after the row with which their JSON exceeds `bytes`.
    pub async fn list(
        &self,
        project: &ProjectId,
        collection: Collection,
        after: Option<&RowKey>,
        limit: usize,
        bytes: usize,
    ) -> Result<(Vec<Row>, bool), Error> {
        self.list_in(List::of(project, collection), after, limit, bytes).await
    }

    async fn list_in(
        &self,
        list: List<'_>,
        after: Option<&RowKey>,
        limit: usize,
        bytes: usize,
    ) -> Result<(Vec<Row>, bool), Error> {
        let mut rows: Vec<Row> = Vec::new();
        let mut room = Some(bytes);
        let mut start = after.map(|after| list.place(after));
        let mut scanned = 0;
        loop {
            // It reads one more than was asked for, to know whether there are more. Tombstones count here and are
            // filtered later.
            let page = page_for(limit.saturating_sub(rows.len()) + 1, rows.len(), scanned);
            let query = list.query(self).limit(i32::try_from(page).unwrap_or(i32::MAX));
            let found = self::page(query, start).await.map_err(unavailable)?;
            scanned += found.scanned;
            for item in &found.items {
                room = room.and_then(|room| room.checked_sub(json_len(item)));
                rows.push(layout::row(item)?);
            }
            start = found.next;
            if rows.len() > limit || room.is_none() || start.is_none() {
                let more = rows.len() > limit || start.is_some();
                rows.truncate(limit);
                return Ok((rows, more));
            }
        }
    }

    /// Lists every live row of a collection.
    pub(super) async fn list_all(&self, project: &ProjectId, collection: Collection) -> Result<Vec<Row>, Error> {
        Ok(self.list_in(List::of(project, collection), None, ALL, usize::MAX).await?.0)
    }

    /// Lists the same from the table, even if the collection has an index. It pays for tombstones too.
    pub(super) async fn list_all_in_table(
        &self,
        project: &ProjectId,
        collection: Collection,
    ) -> Result<Vec<Row>, Error> {
        let list = List { indexed: false, ..List::of(project, collection) };
        Ok(self.list_in(list, None, ALL, usize::MAX).await?.0)
    }

    /// Lists live projects of which the user is a member, in the order of their ids. Returns also the id after which to
    /// go on, if there are more. It returns at most `limit` projects, and none after their JSON exceeds `bytes`.
    ///
    /// It looks at `limit` memberships, or at 100 if that is more. If most of them are of deleted projects, it returns
    /// fewer projects than `limit`, or none, and an id after which to go on. A page costs two read units for each
    /// membership, and more only for projects that it shows. So others cannot make it expensive by adding the user to
    /// projects.
    ///
    /// The index that finds them lags, so a new membership may not be listed yet. A strong read confirms each hit, so
    /// nothing is listed that the user may not see.
    pub async fn projects_of(
        &self,
        user: &UserId,
        after: Option<&ProjectId>,
        limit: usize,
        bytes: usize,
    ) -> Result<(Vec<(ProjectId, Row)>, Option<ProjectId>), Error> {
        let mut rows: Vec<(ProjectId, Row)> = Vec::new();
        let mut room = Some(bytes);
        let mut after = after.cloned();
        let mut page = 0;
        let mut left = limit.max(MAX_CONFIRMED);
        loop {
            // If many of them are deleted, each call looks at more.
            page = (limit - rows.len()).max(page * 2).min(MAX_CONFIRMED).min(left);
            let (found, next) = self.memberships_of(user, after.as_ref(), page).await?;
            // A page of the index may be empty and not be the last one.
            left = left.saturating_sub(found.len().max(1));
            for (project, row, len) in self.confirm(user, found).await? {
                room = room.and_then(|room| room.checked_sub(len));
                rows.push((project, row));
            }
            after = next;
            if rows.len() > limit {
                rows.truncate(limit);
                let last = rows.last().map(|(project, _)| project.clone());
                return Ok((rows, last));
            }
            if rows.len() == limit || room.is_none() || after.is_none() || left == 0 {
                return Ok((rows, after));
            }
        }
    }

    /// A page of the projects that the index has the user as a member of, and where the next one begins.
    pub(super) async fn memberships_of(
        &self,
        user: &UserId,
        after: Option<&ProjectId>,
        limit: usize,
    ) -> Result<(Vec<ProjectId>, Option<ProjectId>), Error> {
        let start = after.map(|project| {
            let mut start = key_of_row(project, &RowKey::membership(project, user));
            start.insert("user_id".to_owned(), text(user.as_str()));
            start
        });
        let query = self
            .client
            .query()
            .table_name(self.name())
            .index_name(BY_USER)
            .key_condition_expression("user_id = :user")
            .expression_attribute_values(":user", text(user.as_str()))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX));
        let page = self::page(query, start).await.map_err(unavailable)?;
        let project = |item: &Item| {
            let id = layout::string(item, "project_id")?.parse();
            id.map_err(|_| Error::Corrupt("by_user names no project".to_owned()))
        };
        let mut projects = Vec::with_capacity(page.items.len());
        for item in &page.items {
            projects.extend(readable(project(item))?);
        }
        // Go by DynamoDB's key, not by the last item: a page may be empty and not be the last one.
        let next = page.next.as_ref().map(project).transpose()?;
        Ok((projects, next))
    }

    /// The project rows of those projects that are live and have the user as a live member, in the order given, each with
    /// the length of its JSON.
    ///
    /// The rows are read before the memberships. So nothing is shown that was written after the user was removed.
    async fn confirm(&self, user: &UserId, projects: Vec<ProjectId>) -> Result<Vec<(ProjectId, Row, usize)>, Error> {
        let own = |project: &ProjectId| key_of_row(project, &RowKey::project(project));
        let mut rows = self.live_by_project(projects.iter().map(own).collect()).await?;
        let membership = |project: &&ProjectId| key_of_row(project, &RowKey::membership(project, user));
        let live = projects.iter().filter(|project| rows.contains_key(project.as_str()));
        let memberships = self.live_by_project(live.map(|project| membership(&project)).collect()).await?;
        let confirmed = projects.into_iter().filter_map(|project| {
            memberships.get(project.as_str())?;
            let (row, len) = rows.remove(project.as_str())?;
            Some((project, row, len))
        });
        Ok(confirmed.collect())
    }

    /// The live ones among these rows, by project, each with the length of its JSON. Each row must be of another
    /// project. A row that cannot be read is left out, or it would keep the user from all other projects.
    async fn live_by_project(&self, keys: Vec<Item>) -> Result<HashMap<String, (Row, usize)>, Error> {
        let mut live = HashMap::new();
        for item in self.batch_get(keys).await? {
            if let Some(row) = readable(layout::row(&item))?
                && row.live().is_some()
            {
                live.insert(layout::string(&item, "project_id")?.to_owned(), (row, json_len(&item)));
            }
        }
        Ok(live)
    }

    /// Reads items strongly, in any order. Items that do not exist are left out.
    pub(super) async fn batch_get(&self, keys: Vec<Item>) -> Result<Vec<Item>, Error> {
        self.batch_get_with(keys, true).await
    }

    /// Reads items strongly, or eventually consistent for half of the price.
    pub(super) async fn batch_get_with(&self, keys: Vec<Item>, strongly: bool) -> Result<Vec<Item>, Error> {
        let mut found = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(BATCH) {
            let mut backoff = Backoff::until(Instant::now() + PATIENCE);
            let mut wanted = chunk.to_vec();
            loop {
                let request = KeysAndAttributes::builder()
                    .set_keys(Some(wanted))
                    .consistent_read(strongly)
                    .build()
                    .map_err(unbuilt)?;
                let output = self
                    .client
                    .batch_get_item()
                    .request_items(self.name(), request)
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

/// How many items to look at in the next call of a list that still needs `wanted` rows and has found `live` ones among the items
/// it has looked at.
///
/// If most items are tombstones, it looks at as many as probably hold the rows, so that a list among 10,000 tombstones is not 100
/// calls. It never looks at more than all calls before, so the guess at most doubles what is read.
fn page_for(wanted: usize, live: usize, scanned: usize) -> usize {
    let guess = wanted.saturating_mul(scanned) / live.max(1);
    wanted.max(guess.min(scanned)).max(MIN_PAGE)
}

/// The collection to list, and where to read it.
struct List<'a> {
    project: &'a ProjectId,
    collection: Collection,
    /// Whether to read the index of live dependencies instead of the table.
    indexed: bool,
}

impl<'a> List<'a> {
    fn of(project: &'a ProjectId, collection: Collection) -> Self {
        Self { project, collection, indexed: collection == Collection::Dependencies }
    }

    /// A strong query, in the order of the ids.
    fn query(&self, table: &Table) -> QueryFluentBuilder {
        let query = table.client.query().table_name(table.name()).consistent_read(true);
        let query = if self.indexed {
            query.index_name(LIVE_EDGES).key_condition_expression("project_id = :project")
        } else {
            query
                .key_condition_expression("project_id = :project AND begins_with(entity, :collection)")
                .expression_attribute_values(":collection", collection_prefix(self.collection))
        };
        query
            .filter_expression("attribute_not_exists(is_deleted)")
            .expression_attribute_values(":project", text(self.project.as_str()))
    }

    /// The start key with which the query goes on after a row.
    fn place(&self, after: &RowKey) -> Item {
        let mut place = key_of_row(self.project, after);
        if self.indexed {
            place.insert(LIVE_EDGE.to_owned(), text(after.id.as_str()));
        }
        place
    }
}

/// The length of a live row's JSON. What REST sends is no shorter, because it is escaped inside the function's
/// response.
fn json_len(item: &Item) -> usize {
    layout::string(item, "row").map_or(0, str::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pages of a list of so many rows, if one item of so many is alive.
    fn pages(limit: usize, one_of: usize) -> Vec<usize> {
        let (mut pages, mut live, mut scanned) = (vec![], 0, 0);
        while live <= limit {
            let page = page_for(limit - live + 1, live, scanned);
            pages.push(page);
            scanned += page;
            live = scanned / one_of;
        }
        pages
    }

    #[test]
    fn a_list_looks_at_more_items_in_a_call_the_more_of_them_are_tombstones() {
        assert_eq!(pages(100, 1), [101]);
        assert_eq!(pages(100, 2), [101, 101]);
        assert_eq!(pages(100, 50), [101, 101, 202, 404, 808, 1_616, 1_868]);
        assert_eq!(pages(1, 1_000), [100, 100, 200, 400, 800, 1_600]);
    }

    #[test]
    fn a_list_never_looks_at_more_than_all_its_calls_before_beyond_a_usual_page() {
        for (wanted, live, scanned) in [(101, 0, 0), (101, 0, 5_000), (1, 100, 101), (7, 94, 101), (1_001, 0, 1_001)] {
            let page = page_for(wanted, live, scanned);
            assert!(page >= wanted && page <= wanted.max(scanned).max(MIN_PAGE), "{page} of {wanted}");
        }
        assert_eq!(page_for(7, 94, 101), MIN_PAGE, "few tombstones make no difference");
    }
}
