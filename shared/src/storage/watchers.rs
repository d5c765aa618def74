//! The watches: which user watches which project over which open connection.
//!
//! **Watch**, `project_id = live#<project>#<n>`, `entity = <connection>`: `watcher` S (the user), `until` N (seconds since 1970:
//! when the token expires), `expires_at` N. A project's watches are spread over a few partitions, by a hash of the connection: see
//! [`PARTITIONS`].
//!
//! **Connection**, `project_id = connection#<connection>`, `entity = connection`: `projects` L of S (what it watches),
//! `expires_at` N. With this item, a connection that ends finds its watches.
//!
//! **Unwatched**, `project_id = unwatched#<n>`, `entity = <milliseconds since 1970, 16 digits>#<connection>`: `expires_at` N. A
//! connection that has watched nothing yet, sorted by when it was opened, so that a sweep reads those that are due and no others.
//!
//! `expires_at` is at most 2 hours and 10 minutes away. By then the gateway has ended the connection, and DynamoDB removes the
//! items that nobody else removed. No index has any of these items. The attribute of the user is not called `user_id`, because
//! that name would put the watch into the index `by_user`.
//!
//! A watch is written before the version that the watcher is told is read. The code that tells watchers of a commit reads the
//! watches strongly. So each commit is either included in that version, or finds the watch.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use tokio::time::Instant;

use super::batch_write::{delete, put};
use super::layout::{self, CONNECTION, COUNTER, Item, LIVE, UNWATCHED, key_of_row, number, string, text};
use super::page::{all_items, page};
use super::readable::{readable, visible_version};
use super::table::{Table, unavailable};
use crate::domain::{ConnectionId, Counter, Error, ProjectId, Row, RowKey, ServerVersion, UserId};

/// The number of partitions over which the watches of a project are spread, and likewise the unwatched connections. One partition
/// takes 1,000 writes per second, twice as many as the connections that the gateway opens for an account. To tell watchers, the
/// code reads each partition, which takes at least one unit each.
const PARTITIONS: u32 = 4;
/// The maximum age of a watch, in seconds: as long as the gateway keeps a connection.
pub const MAX_WATCH_SECONDS: i64 = 2 * 60 * 60;
/// How long items may outlast their connection, in seconds.
const MARGIN: i64 = 10 * 60;
/// How long the code repeats writes that DynamoDB left unprocessed.
const PATIENCE: Duration = Duration::from_secs(3);
/// The maximum number of unwatched connections that a sweep reads from a partition at once.
const MAX_SWEPT: i32 = 100;
const ENTITY: &str = "connection";

/// A connection that is to hear of the commits of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watcher {
    /// The connection.
    pub connection: ConnectionId,
    /// The user.
    pub user: UserId,
    /// When the watch ends, in seconds since 1970.
    pub until: i64,
}

/// A connection that was noted when it was opened and has watched nothing since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwatched {
    /// The connection.
    pub connection: ConnectionId,
    /// When it was opened, in milliseconds since 1970.
    pub opened_at: u64,
}

impl Unwatched {
    fn key(&self) -> Item {
        keyed(format!("{UNWATCHED}{}", shard(&self.connection)), format!("{:016}#{}", self.opened_at, self.connection))
    }

    fn of(item: &Item) -> Result<Self, Error> {
        let parts = string(item, "entity")?.split_once('#');
        let read = parts.and_then(|(at, id)| Some(Self { connection: id.parse().ok()?, opened_at: at.parse().ok()? }));
        read.ok_or_else(|| layout::corrupt(item, "entity"))
    }
}

/// A walk over the connections that were opened before a time and watch nothing, oldest first in each partition.
#[derive(Debug)]
pub struct Sweep {
    /// Milliseconds since 1970.
    opened_before: u64,
    /// The partitions that have more, each with the key to go on behind.
    places: Vec<(u32, Option<Item>)>,
}

impl Sweep {
    /// The walk over those that were opened before this time, in milliseconds since 1970.
    pub fn of_those_opened_before(time: u64) -> Self {
        Self { opened_before: time, places: (0..PARTITIONS).map(|shard| (shard, None)).collect() }
    }

    /// Whether all of them were read.
    pub fn is_over(&self) -> bool {
        self.places.is_empty()
    }
}

fn keyed(partition: String, entity: impl Into<String>) -> Item {
    [("project_id".to_owned(), text(partition)), ("entity".to_owned(), text(entity))].into()
}

fn watch_key(project: &ProjectId, connection: &ConnectionId) -> Item {
    keyed(partition_of(project, shard(connection)), connection.as_str())
}

fn partition_of(project: &ProjectId, shard: u32) -> String {
    format!("{LIVE}{project}#{shard}")
}

fn connection_key(connection: &ConnectionId) -> Item {
    keyed(format!("{CONNECTION}{connection}"), ENTITY)
}

/// The hash is FNV-1a. Every version of this code must use the same one.
fn shard(connection: &ConnectionId) -> u32 {
    let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    connection.as_str().bytes().fold(0x811c_9dc5, hash) % PARTITIONS
}

fn expiring(mut item: Item, now: i64) -> Item {
    item.insert("expires_at".to_owned(), number(now + MAX_WATCH_SECONDS + MARGIN));
    item
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

impl Table {
    /// Notes that a connection was opened, so that it is closed if it watches nothing. Takes one write unit.
    pub async fn note_connection(&self, opened: &Unwatched) -> Result<(), Error> {
        self.write_each(vec![put(expiring(opened.key(), now()))?], deadline()).await
    }

    /// The projects among these of which the user is a live member. If this instance does not know, it reads only the
    /// memberships, strongly. The answer grants no access, see [`Self::versions_for`].
    pub async fn members_among(&self, user: &UserId, projects: &[ProjectId]) -> Result<Vec<ProjectId>, Error> {
        let unknown: Vec<&ProjectId> = projects.iter().filter(|project| !self.members.knows(project, user)).collect();
        let keys = unknown.iter().map(|project| key_of_row(project, &RowKey::membership(project, user))).collect();
        let mut live = HashSet::new();
        for item in self.batch_get_with(keys, true).await? {
            if !layout::is_deleted(&item) {
                live.insert(string(&item, "project_id")?.to_owned());
            }
        }
        for project in unknown.iter().filter(|project| live.contains(project.as_str())) {
            self.members.remember(project, user);
        }
        let members = projects.iter().filter(|project| self.members.knows(project, user));
        Ok(members.cloned().collect())
    }

    /// The current versions of the projects among these that the user may see, from strong reads of counter and membership. A
    /// project whose counter or membership cannot be read is left out.
    pub async fn versions_for(
        &self,
        user: &UserId,
        projects: &[ProjectId],
    ) -> Result<HashMap<ProjectId, ServerVersion>, Error> {
        let keys = projects.iter().flat_map(|project| {
            [layout::key(project, COUNTER), key_of_row(project, &RowKey::membership(project, user))]
        });
        let mut counters: HashMap<String, Counter> = HashMap::new();
        let mut memberships: HashMap<String, Row> = HashMap::new();
        for item in self.batch_get_with(keys.collect(), true).await? {
            let project = string(&item, "project_id")?.to_owned();
            if string(&item, "entity")? == COUNTER {
                counters.extend(readable(layout::counter(&item))?.map(|counter| (project, counter)));
            } else {
                memberships.extend(readable(layout::row(&item))?.map(|row| (project, row)));
            }
        }
        let mut versions = HashMap::new();
        for project in projects {
            let (counter, membership) = (counters.get(project.as_str()), memberships.get(project.as_str()));
            self.note(project, user, membership);
            versions.extend(visible_version(counter, membership, user)?.map(|version| (project.clone(), version)));
        }
        Ok(versions)
    }

    /// Makes the connection watch these projects and no others. Writes nothing if it watches nothing before and after. It then
    /// stays among the unwatched connections.
    pub async fn watch(&self, watcher: &Watcher, opened_at: u64, projects: &[ProjectId]) -> Result<(), Error> {
        let Watcher { connection, user, until } = watcher;
        let now = now();
        let before = self.watched_by(connection).await?;
        if projects.is_empty() && before.is_empty() {
            return Ok(());
        }
        let mut writes = Vec::with_capacity(projects.len() + 2);
        let mut own = expiring(connection_key(connection), now);
        let listed = projects.iter().map(|project| text(project.as_str())).collect();
        own.insert("projects".to_owned(), AttributeValue::L(listed));
        writes.push(put(own)?);
        for project in projects {
            let mut watch = expiring(watch_key(project, connection), now);
            watch.insert("watcher".to_owned(), text(user.as_str()));
            watch.insert("until".to_owned(), number(until.min(&(now + MAX_WATCH_SECONDS))));
            writes.push(put(watch)?);
        }
        for project in before.iter().filter(|project| !projects.contains(project)) {
            writes.push(delete(watch_key(project, connection))?);
        }
        writes.push(delete(Unwatched { connection: connection.clone(), opened_at }.key())?);
        self.write_each(writes, deadline()).await
    }

    /// The projects that the connection watches.
    async fn watched_by(&self, connection: &ConnectionId) -> Result<Vec<ProjectId>, Error> {
        let get = self.client.get_item().table_name(self.name()).set_key(Some(connection_key(connection)));
        let item = get.consistent_read(true).send().await.map_err(unavailable)?.item;
        let Some(item) = item else { return Ok(vec![]) };
        let Some(AttributeValue::L(projects)) = item.get("projects") else {
            return Err(layout::corrupt(&item, "projects"));
        };
        let project = |value: &AttributeValue| value.as_s().ok()?.parse().ok();
        projects.iter().map(project).collect::<Option<_>>().ok_or_else(|| layout::corrupt(&item, "projects"))
    }

    /// Removes everything about a connection that has ended.
    pub async fn forget_connection(&self, closed: &Unwatched) -> Result<(), Error> {
        let watched = self.watched_by(&closed.connection).await?;
        let mut keys = vec![closed.key(), connection_key(&closed.connection)];
        keys.extend(watched.iter().map(|project| watch_key(project, &closed.connection)));
        self.delete_each(keys).await
    }

    /// The watchers of a project, those first whose latest `watch` is oldest, including those whose watch has expired. It reads
    /// strongly and takes a read unit for each partition and for every 4 KB.
    pub async fn watchers(&self, project: &ProjectId) -> Result<Vec<Watcher>, Error> {
        let partitions = (0..PARTITIONS).map(|shard| self.watches_in(partition_of(project, shard)));
        let partitions = futures_util::future::try_join_all(partitions).await?;
        let mut watches: Vec<(i64, Watcher)> = partitions.into_iter().flatten().collect();
        watches.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.connection.cmp(&other.connection)));
        Ok(watches.into_iter().map(|(_, watcher)| watcher).collect())
    }

    /// The watches in a partition, each with its `expires_at`, which says when it was written.
    async fn watches_in(&self, partition: String) -> Result<Vec<(i64, Watcher)>, Error> {
        let query = self
            .client
            .query()
            .table_name(self.name())
            .consistent_read(true)
            .key_condition_expression("project_id = :partition")
            .expression_attribute_values(":partition", text(&partition));
        let items = all_items(query, usize::MAX).await.map_err(unavailable)?;
        let logged = |item: &Item| {
            let watch = watch(item);
            if watch.is_none() {
                tracing::error!(alarm = "corrupt", partition, "a watch cannot be read");
            }
            watch
        };
        Ok(items.iter().flatten().filter_map(logged).collect())
    }

    /// Ends these watches, each of a project by a connection.
    pub async fn end_watches(&self, watches: &[(&ProjectId, &ConnectionId)]) -> Result<(), Error> {
        self.delete_each(watches.iter().map(|(project, connection)| watch_key(project, connection)).collect()).await
    }

    /// Ends a watch that has expired, unless it was renewed since it was read. Returns whether the watch ended.
    pub async fn end_expired_watch(&self, project: &ProjectId, watcher: &Watcher) -> Result<bool, Error> {
        let delete = self
            .client
            .delete_item()
            .table_name(self.name())
            .set_key(Some(watch_key(project, &watcher.connection)))
            .condition_expression("#until = :read")
            .expression_attribute_names("#until", "until")
            .expression_attribute_values(":read", number(watcher.until));
        match delete.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                Ok(false)
            }
            Err(error) => Err(unavailable(error)),
        }
    }

    /// The next connections of a sweep, at most 400. There may be none though the sweep is not over.
    pub async fn next_of_sweep(&self, sweep: &mut Sweep) -> Result<Vec<Unwatched>, Error> {
        let (mut found, mut places) = (Vec::new(), Vec::new());
        for (shard, start) in std::mem::take(&mut sweep.places) {
            let query = self
                .client
                .query()
                .table_name(self.name())
                .key_condition_expression("project_id = :partition AND entity < :time")
                .expression_attribute_values(":partition", text(format!("{UNWATCHED}{shard}")))
                .expression_attribute_values(":time", text(format!("{:016}", sweep.opened_before)))
                .limit(MAX_SWEPT);
            let page = page(query, start).await.map_err(unavailable)?;
            for item in &page.items {
                found.extend(readable(Unwatched::of(item))?);
            }
            places.extend(page.next.map(|next| (shard, Some(next))));
        }
        sweep.places = places;
        Ok(found)
    }

    /// Splits connections into those that watch something by now and those that still watch nothing, from strong reads.
    pub async fn split_by_watching(
        &self,
        connections: Vec<Unwatched>,
    ) -> Result<(Vec<Unwatched>, Vec<Unwatched>), Error> {
        let keys = connections.iter().map(|unwatched| connection_key(&unwatched.connection)).collect();
        let mut watching = HashSet::new();
        for item in self.batch_get_with(keys, true).await? {
            watching.insert(string(&item, "project_id")?.to_owned());
        }
        let watches = |it: &Unwatched| watching.contains(&format!("{CONNECTION}{}", it.connection));
        Ok(connections.into_iter().partition(watches))
    }

    /// Takes these off the list of unwatched connections.
    pub async fn forget_unwatched<'a>(
        &self,
        connections: impl IntoIterator<Item = &'a Unwatched>,
    ) -> Result<(), Error> {
        self.delete_each(connections.into_iter().map(Unwatched::key).collect()).await
    }

    async fn delete_each(&self, keys: Vec<Item>) -> Result<(), Error> {
        self.write_each(keys.into_iter().map(delete).collect::<Result<_, _>>()?, deadline()).await
    }
}

fn watch(item: &Item) -> Option<(i64, Watcher)> {
    let seconds = |name: &str| item.get(name)?.as_n().ok()?.parse().ok();
    let watcher = Watcher {
        connection: string(item, "entity").ok()?.parse().ok()?,
        user: string(item, "watcher").ok()?.parse().ok()?,
        until: seconds("until")?,
    };
    Some((seconds("expires_at")?, watcher))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_spread_over_all_partitions_and_each_stays_in_its_own() {
        let mut counts = [0_u32; PARTITIONS as usize];
        for n in 0..10_000 {
            let id = format!("L0SM9cOFvHc{n}=").parse().expect("an id");
            counts[shard(&id) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (2_000..3_000).contains(count)), "{counts:?}");
        assert_eq!(shard(&"L0SM9cOFvHcCIhw=".parse().expect("an id")), 1, "older and newer code must agree");
    }

    #[test]
    fn an_unwatched_connection_is_found_by_the_time_of_its_key() {
        let opened = Unwatched { connection: "a=".parse().expect("an id"), opened_at: 1_772_438_400_000 };
        assert_eq!(Unwatched::of(&opened.key()).expect("readable"), opened);
        let entity = |at| string(&Unwatched { opened_at: at, ..opened.clone() }.key(), "entity").map(str::to_owned);
        assert!(entity(999).expect("a key") < entity(1_000).expect("a key"));
    }
}
