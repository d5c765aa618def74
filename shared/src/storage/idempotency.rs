//! Idempotency records: the answer to a request with a key, stored by the transaction that does what the request asks for.
//!
//! The item is in a partition of its own, so that reading a project does not read it. `project_id` is `request#<project>`, and
//! `entity` is the hash of caller and key. It has `fingerprint` B (of the request), `version` N (of the commit; not
//! `server_version`, which would put it into the index), `status` N, `headers` M of S, and `expires_at` N (seconds since 1970),
//! after which DynamoDB removes it some time. `body` is S, or B compressed with gzip if it is long, and absent if it is empty.

use aws_sdk_dynamodb::types::TransactWriteItem;
use serde::Deserialize;
use tokio::time::{Duration, Instant};

use super::audit::StoredItem;
use super::batch_write::delete;
use super::feed_row::PageCursor;
use super::kept_body;
use super::layout::{self, Item, number};
use super::table::{Table, unavailable};
use super::transaction::{self, Condition};
use crate::domain::{Columns, Error, IdempotencyKey, ProjectId, PromisedAnswer, Row, RowKey, ServerVersion, UserId};
use crate::idempotency::{Answered, KeyedRequest, RestAnswer};

/// How long a repeated request is recognised, in seconds.
const KEPT: i64 = 24 * 60 * 60;
/// The longest body that is stored for a request that had nothing to write. Each such request pays for the whole body.
const MAX_BODY_OF_NO_CHANGE: usize = 4 * 1024;
/// How long records may take to remove.
const DEADLINE: Duration = Duration::from_secs(10);

/// The stored answer to a request with a key.
#[derive(Debug)]
pub(super) struct IdempotencyRecord {
    pub(super) version: ServerVersion,
    expires_at: i64,
    fingerprint: Vec<u8>,
    answer: RestAnswer,
}

impl IdempotencyRecord {
    /// The record of an item.
    pub(super) fn of(item: &Item) -> Result<Self, Error> {
        let (fingerprint, answer) = layout::answer_of(item)?;
        let expires_at = layout::integer(item, "expires_at")?;
        Ok(Self {
            version: layout::version_of(item, "version")?,
            expires_at: i64::try_from(expires_at).map_err(|_| layout::corrupt(item, "expires_at"))?,
            fingerprint,
            answer,
        })
    }

    /// The versions in the answer: that of the commit, and those of the rows in the body.
    fn versions(&self) -> Vec<u64> {
        #[derive(Deserialize)]
        struct AtVersion {
            server_version: Option<u64>,
        }
        #[derive(Deserialize)]
        struct Body {
            server_version: Option<u64>,
            #[serde(default)]
            results: Vec<AtVersion>,
        }
        let body: Option<Body> = serde_json::from_str(&self.answer.body).ok();
        let in_body = body.into_iter().flat_map(|body| {
            body.server_version.into_iter().chain(body.results.into_iter().filter_map(|row| row.server_version))
        });
        std::iter::once(self.version.get()).chain(in_body).collect()
    }

    /// Whether the record still counts. DynamoDB may remove it long after it expired.
    pub(super) fn is_valid(&self) -> bool {
        self.expires_at > now()
    }

    /// The stored answer. `KeyReused` if the key was that of another request.
    ///
    /// If only the key of the row in the answer is stored, the answer shows that row as it is now, which `current` finds.
    pub(super) fn answer_to<'a>(
        &self,
        request: &KeyedRequest,
        project: &ProjectId,
        current: impl FnOnce(&RowKey) -> Option<&'a Row>,
    ) -> Result<Answered, Error> {
        if self.fingerprint != request.fingerprint() {
            return Err(Error::KeyReused);
        }
        let mut answer = self.answer.clone();
        if let Some(key) = &self.answer.row {
            let row = current(key).ok_or_else(|| Error::NotFound(key.clone()))?;
            answer.headers.insert("etag".to_owned(), format!("\"{}\"", row.version));
            answer.body = row.rest_json(project);
        }
        Ok(Answered { answer, version: self.version, replayed: true })
    }
}

/// The slot of a request's record. When the slot was read, it held no valid record.
#[derive(Debug)]
pub(super) struct IdempotencySlot {
    record_id: String,
    fingerprint: Vec<u8>,
    key: Item,
    /// The time at which the record in the slot expired.
    expired: Option<i64>,
}

impl IdempotencySlot {
    /// The slot of a request.
    pub(super) fn new(project: &ProjectId, request: &KeyedRequest, expired: Option<&IdempotencyRecord>) -> Self {
        Self::at(project, request.record_id(), request.fingerprint().to_vec(), expired)
    }

    /// The slot of a request that was promised an answer.
    pub(super) fn of_promise(
        project: &ProjectId,
        promised: &PromisedAnswer,
        expired: Option<&IdempotencyRecord>,
    ) -> Self {
        Self::at(project, promised.record_id.clone(), promised.fingerprint.clone(), expired)
    }

    fn at(project: &ProjectId, record_id: String, fingerprint: Vec<u8>, expired: Option<&IdempotencyRecord>) -> Self {
        let key = layout::request_key(project, record_id.clone());
        Self { record_id, fingerprint, key, expired: expired.map(|record| record.expires_at) }
    }

    /// The answer that a later commit is to store here.
    pub(super) fn promise(&self, answer: &RestAnswer) -> Result<PromisedAnswer, Error> {
        let (record_id, fingerprint) = (self.record_id.clone(), self.fingerprint.clone());
        Ok(PromisedAnswer { record_id, fingerprint, answer: answer.to_text()? })
    }

    /// Stores the answer to a request that had nothing to write, see [`IdempotencySlot::put`]. Of a long row only its key is stored.
    pub(super) fn put_unchanged(
        &self,
        table: &Table,
        answer: &RestAnswer,
        version: ServerVersion,
    ) -> Result<TransactWriteItem, Error> {
        if answer.body.len() <= MAX_BODY_OF_NO_CHANGE {
            return self.put(table, answer, version);
        }
        self.put_item(table, layout::kept_without_body(&self.fingerprint, answer), version)
    }

    /// Stores the answer of a commit at this version, on the condition that the slot is as it was read.
    pub(super) fn put(
        &self,
        table: &Table,
        answer: &RestAnswer,
        version: ServerVersion,
    ) -> Result<TransactWriteItem, Error> {
        self.put_item(table, layout::kept_answer(&self.fingerprint, answer), version)
    }

    fn put_item(&self, table: &Table, kept: Item, version: ServerVersion) -> Result<TransactWriteItem, Error> {
        let mut item = self.key.clone();
        item.extend(kept);
        if !kept_body::fits(&item) {
            return Err(Error::Bug("an answer is too long to be kept"));
        }
        item.insert("version".to_owned(), number(version));
        item.insert("expires_at".to_owned(), number(now() + KEPT));
        transaction::put(table, item, &self.condition())
    }

    /// Checks the same condition and writes nothing.
    pub(super) fn check(&self, table: &Table) -> Result<TransactWriteItem, Error> {
        transaction::check(table, self.key.clone(), &self.condition())
    }

    fn condition(&self) -> Condition {
        Condition::number("expires_at", self.expired)
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// The stored answer to a request, for whoever wants to know its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRequest {
    /// The version of the commit. If there was nothing to write, the project's version at that time.
    pub version: ServerVersion,
    /// Until when a repeated request gets the answer, in seconds since 1970. The record may be there longer.
    pub expires_at: i64,
    /// The answer. It lacks the body if nothing had to be written and the row is long.
    pub answer: RestAnswer,
}

/// An idempotency record as a restore reads it.
#[derive(Debug)]
pub struct KeptAnswer {
    key: Item,
    /// The versions that the answer names. None if it cannot be read.
    pub versions: Option<Vec<u64>>,
}

impl Table {
    /// The stored answer under a caller's key, read strongly, if there is one.
    pub async fn kept_request(
        &self,
        project: &ProjectId,
        caller: &UserId,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptRequest>, Error> {
        let record_id = KeyedRequest::new(caller.clone(), key.clone(), &[], &Columns::new()).record_id();
        let output = self
            .client
            .get_item()
            .table_name(self.name())
            .set_key(Some(layout::request_key(project, record_id)))
            .consistent_read(true)
            .send()
            .await
            .map_err(unavailable)?;
        let Some(item) = output.item else { return Ok(None) };
        let IdempotencyRecord { version, expires_at, answer, .. } = IdempotencyRecord::of(&item)?;
        Ok(Some(KeptRequest { version, expires_at, answer }))
    }

    /// The idempotency records of a project, read strongly, and the start of the next page.
    pub async fn kept_answers(
        &self,
        project: &ProjectId,
        cursor: Option<PageCursor>,
    ) -> Result<(Vec<KeptAnswer>, Option<PageCursor>), Error> {
        let page = self.partition_page(&layout::requests(project), cursor).await?;
        let kept = |StoredItem(mut item)| {
            let versions = IdempotencyRecord::of(&item).ok().map(|record| record.versions());
            item.retain(|name, _| matches!(name.as_str(), "project_id" | "entity"));
            KeptAnswer { key: item, versions }
        };
        Ok((page.items.into_iter().map(kept).collect(), page.next))
    }

    /// Removes idempotency records. Call it only while nothing else uses the table.
    pub async fn drop_answers(&self, answers: Vec<KeptAnswer>) -> Result<(), Error> {
        let deletes = answers.into_iter().map(|KeptAnswer { key, .. }| delete(key)).collect::<Result<_, _>>()?;
        self.write_each(deletes, Instant::now() + DEADLINE).await
    }
}
