//! Idempotency records: what a keyed request was answered, in the transaction that did what it asks for.
//!
//! The item, in a partition of its own beside the project's, so that reading a project does not read it:
//! `project_id = request#<project>`, `entity =` the hash of caller and key; `fingerprint` B (of the request),
//! `version` N (that it committed; not `server_version`, which would put it into the index), `status` N, `headers` M of S, `body` S unless it is empty, or B, compressed
//! with gzip, when it is long, and `expires_at` N (seconds since 1970), by which DynamoDB removes it some time later.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::layout::{self, Item, number, text};
use super::table::Table;
use super::transaction::{self, Condition};
use crate::domain::{Answer, Answered, Error, KeyedRequest, ProjectId, ServerVersion};

/// So long a repetition is recognised, in seconds.
const KEPT: i64 = 24 * 60 * 60;
/// A longer body is compressed. Only where it has to be: an older version of this code cannot read it, and says so.
const MAX_PLAIN_BODY: usize = 380 * 1024;
/// An item holds 400 KB, of which key, headers and the rest take less than 4. A row's JSON takes less than 400 KB, and text
/// in UTF-8 that does not compress by a tenth does not exist.
const MAX_KEPT_BODY: usize = 396 * 1024;

/// What a keyed request was answered.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) version: ServerVersion,
    expires_at: i64,
    fingerprint: Vec<u8>,
    answer: Answer,
}

impl Record {
    /// The record of an item.
    pub(super) fn of(item: &Item) -> Result<Self, Error> {
        let corrupt = |what: &str| layout::corrupt(item, what);
        let headers = item.get("headers").and_then(|value| value.as_m().ok()).ok_or_else(|| corrupt("headers"))?;
        let headers = headers.iter().map(|(name, value)| Some((name.clone(), value.as_s().ok()?.clone())));
        let status = layout::integer(item, "status")?;
        let answer = Answer {
            status: u16::try_from(status).map_err(|_| corrupt("status"))?,
            headers: headers.collect::<Option<BTreeMap<_, _>>>().ok_or_else(|| corrupt("headers"))?,
            body: body_of(item).ok_or_else(|| corrupt("body"))?,
        };
        Ok(Self {
            version: layout::version_of(item, "version")?,
            expires_at: i64::try_from(layout::integer(item, "expires_at")?).map_err(|_| corrupt("expires_at"))?,
            fingerprint: layout::bytes(item, "fingerprint").to_vec(),
            answer,
        })
    }

    /// Does it still count? It may be there long after its time.
    pub(super) fn is_valid(&self) -> bool {
        self.expires_at > now()
    }

    /// The answer again; `KeyReused` when the key was that of another request.
    pub(super) fn answer_to(&self, request: &KeyedRequest) -> Result<Answered, Error> {
        if self.fingerprint != request.fingerprint() {
            return Err(Error::KeyReused);
        }
        Ok(Answered { answer: self.answer.clone(), version: self.version, replayed: true })
    }
}

/// The place of a keyed request's record, with no valid one in it when it was read.
#[derive(Debug)]
pub(super) struct Slot {
    key: Item,
    request: KeyedRequest,
    /// When the record that was there had its time.
    expired: Option<i64>,
}

/// The key of a request's record.
pub(super) fn key(project: &ProjectId, request: &KeyedRequest) -> Item {
    layout::request_key(project, request.record_id())
}

impl Slot {
    pub(super) fn new(project: &ProjectId, request: &KeyedRequest, expired: Option<&Record>) -> Self {
        let expired = expired.map(|record| record.expires_at);
        Self { key: key(project, request), request: request.clone(), expired }
    }

    pub(super) fn request(&self) -> &KeyedRequest {
        &self.request
    }

    /// Keeps the answer, on the condition that the place is as it was read.
    pub(super) fn put(&self, table: &Table, answered: &Answered) -> Result<TransactWriteItem, Error> {
        let Answered { answer, version, .. } = answered;
        let headers = answer.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        let mut item = self.key.clone();
        let mut set = |name: &str, value| item.insert(name.to_owned(), value);
        set("fingerprint", AttributeValue::B(Blob::new(self.request.fingerprint())));
        set("version", number(version));
        set("status", number(answer.status));
        set("headers", AttributeValue::M(headers));
        if !answer.body.is_empty() {
            let too_long = || Error::Corrupt(format!("an answer of {} bytes cannot be kept", answer.body.len()));
            set("body", kept_body(&answer.body).ok_or_else(too_long)?);
        }
        set("expires_at", number(now() + KEPT));
        transaction::put(table, item, &self.condition())
    }

    /// The same condition without writing.
    pub(super) fn check(&self, table: &Table) -> Result<TransactWriteItem, Error> {
        transaction::check(table, self.key.clone(), &self.condition())
    }

    fn condition(&self) -> Condition {
        Condition::number("expires_at", self.expired)
    }
}

/// A body as it is kept; none when it is too long for that.
fn kept_body(body: &str) -> Option<AttributeValue> {
    if body.len() <= MAX_PLAIN_BODY {
        return Some(text(body));
    }
    let compressed = gzip(body).ok().filter(|bytes| bytes.len() <= MAX_KEPT_BODY)?;
    Some(AttributeValue::B(Blob::new(compressed)))
}

fn gzip(body: &str) -> io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(body.as_bytes())?;
    gzip.finish()
}

/// The body that an item keeps; none when it cannot be read.
fn body_of(item: &Item) -> Option<String> {
    match item.get("body") {
        None => Some(String::new()),
        Some(AttributeValue::S(body)) => Some(body.clone()),
        Some(AttributeValue::B(compressed)) => {
            let mut body = String::new();
            GzDecoder::new(compressed.as_ref()).read_to_string(&mut body).ok()?;
            Some(body)
        }
        Some(_) => None,
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text that compresses as little as UTF-8 allows: each character as likely as its length makes good.
    fn noise(bytes: usize) -> String {
        let mut random = fastrand::Rng::with_seed(7);
        let mut text = String::new();
        while text.len() < bytes - 4 {
            text.push(match random.u32(..1_000) {
                ..814 => random.char(' '..='~'),
                ..955 => random.char('\u{80}'..='\u{7ff}'),
                ..994 => random.char('\u{800}'..='\u{ffff}'),
                _ => random.char('\u{10000}'..),
            });
        }
        text
    }

    #[test]
    fn the_longest_row_can_be_kept_whatever_it_says_and_is_the_same_again() {
        let ascii = std::iter::repeat_with({
            let mut random = fastrand::Rng::with_seed(8);
            move || random.char(' '..='~')
        });
        for body in [noise(400 * 1024), ascii.take(400 * 1024).collect(), "ä".repeat(200 * 1024), "a".to_owned()] {
            let kept = kept_body(&body).expect("short enough");
            let plain = matches!(kept, AttributeValue::S(_));
            assert_eq!(plain, body.len() <= MAX_PLAIN_BODY);
            assert_eq!(body_of(&[("body".to_owned(), kept)].into()), Some(body));
        }
        assert_eq!(body_of(&Item::new()), Some(String::new()));
    }

    #[test]
    fn what_cannot_be_read_or_kept_is_an_error_and_no_answer() {
        let broken = gzip(&"a".repeat(1_000)).expect("compressed");
        let item = |value| [("body".to_owned(), value)].into();
        assert_eq!(body_of(&item(AttributeValue::B(Blob::new(&broken[..broken.len() - 9])))), None);
        assert_eq!(body_of(&item(number(1))), None);
        assert_eq!(kept_body(&noise(500 * 1024)), None);
    }
}
