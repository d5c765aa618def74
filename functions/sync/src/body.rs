//! The body of a sync response, and the limits on its size.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use shared::domain::{Checksums, Collection, CollectionName, Error, Mark, RowKey};
use shared::storage::FeedRow;
use shared::storage::raw::{Escaped, NotEscaped, escape_into};

use crate::encoding::Encoding;

/// The most bytes that Lambda takes for a response. The body is in it as an escaped JSON string, or in Base64.
pub const MAX_RESPONSE: usize = 6_291_556;
/// The bytes that are reserved for the rest of the response: status, headers, names of the collections.
const ENVELOPE: usize = 16 * 1024;
const MAX_BODY: usize = MAX_RESPONSE - ENVELOPE;
/// How many times smaller than escaped a body is expected to be, compressed and in Base64. If it is not, the pull is made again with
/// a smaller budget.
const EXPECTED_GAIN: usize = 3;
/// The least bytes that a body must have to be compressed: about what fits one packet.
const WORTH_COMPRESSING: usize = 1400;
/// The compression level. At level 2, 3.85 MB of rows become 0.58 MB in 12 ms. At this level they become 0.55 MB in 16 ms, at
/// level 6 0.50 MB in 28 ms.
pub(crate) const LEVEL: Compression = Compression::new(3);
/// How many bytes are collected before they are compressed or written. To compress row by row would take half as much CPU again.
const AT_A_TIME: usize = 64 * 1024;

/// The room that is left in one response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    rows: usize,
    /// The bytes that are left for escaped rows.
    bytes: usize,
}

impl Budget {
    /// The room of a whole response in this encoding, for at most `limit` rows.
    pub(crate) fn new(limit: usize, encoding: Encoding) -> Self {
        let bytes = match encoding {
            Encoding::Identity => MAX_BODY,
            Encoding::Gzip => MAX_BODY * EXPECTED_GAIN,
        };
        Self { rows: limit, bytes }
    }

    /// The number of rows that are left.
    pub(crate) fn max_rows(&self) -> usize {
        self.rows
    }

    /// A smaller budget for an answer whose body has this many bytes, more than [`MAX_BODY`].
    fn after(self, answer: &PullAnswer, bytes: usize) -> Self {
        Self { bytes: answer.rows.iter().map(size).sum::<usize>() * 19 / 20 * MAX_BODY / bytes, ..self }
    }

    /// Takes the share of a row. Returns false if it does not fit.
    pub(crate) fn take(&mut self, row: &FeedRow) -> bool {
        match (self.rows.checked_sub(1), self.bytes.checked_sub(size(row))) {
            (Some(rows), Some(bytes)) => {
                *self = Self { rows, bytes };
                true
            }
            _ => false,
        }
    }

    /// How many times these rows fit, rounded down. 0 if they do not fit once.
    pub(crate) fn times<'a>(mut self, rows: impl Iterator<Item = &'a FeedRow>) -> usize {
        let all = self;
        if !rows.into_iter().all(|row| self.take(row)) {
            return 0;
        }
        let times = |left: usize, all: usize| left.checked_div(all - left).unwrap_or(usize::MAX);
        times(self.rows, all.rows).min(times(self.bytes, all.bytes)).saturating_add(1)
    }
}

/// The room that is left for ids in one response of a wipe.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdBudget {
    ids: usize,
    /// The bytes that are left for escaped ids. They are the same for every encoding: ids hardly compress, and Base64 takes away
    /// what that saves.
    bytes: usize,
}

impl IdBudget {
    /// The room of a whole response, for at most `ids` ids.
    pub(crate) fn new(ids: usize) -> Self {
        Self { ids: ids.max(1), bytes: MAX_BODY / 16 * 15 }
    }

    /// Takes the share of an id. Returns false if it does not fit.
    pub(crate) fn take(&mut self, row: &RowKey) -> bool {
        match (self.ids.checked_sub(1), self.bytes.checked_sub(id_size(row))) {
            (Some(ids), Some(bytes)) => {
                *self = Self { ids, bytes };
                true
            }
            _ => false,
        }
    }
}

/// The bytes of an escaped row in an answer, with its comma.
fn size(row: &FeedRow) -> usize {
    match &row.json {
        Some(json) => json.as_str().len() + 1,
        None => id_size(&row.key),
    }
}

/// The bytes of an id in an answer, in escaped quotes, with a comma.
fn id_size(row: &RowKey) -> usize {
    row.id.as_str().len() + 5
}

/// The answer to a pull.
#[derive(Debug)]
pub(crate) struct PullAnswer {
    /// Live rows and tombstones, each id once in its collection.
    pub(crate) rows: Vec<FeedRow>,
    /// More ids to delete.
    pub(crate) deleted: Vec<RowKey>,
    /// The version up to which the answer is complete.
    pub(crate) mark: Mark,
    /// Whether the answer was cut to fit.
    pub(crate) has_more: bool,
    /// The counter's checksums, if the device then has exactly the state at the mark. A cut answer has only the number of rows,
    /// so that a first sync can show its progress.
    pub(crate) checksums: Option<Checksums>,
}

/// A part of the body.
enum Piece<'a> {
    Json(&'a str),
    Row(&'a Escaped),
}

impl Piece<'_> {
    fn write_to(&self, body: &mut Vec<u8>) -> Result<(), NotEscaped> {
        match self {
            Self::Json(json) => body.extend_from_slice(json.as_bytes()),
            Self::Row(row) => row.unescape_into(body)?,
        }
        Ok(())
    }
}

impl PullAnswer {
    /// An answer with nothing but a mark.
    pub(crate) fn empty(mark: impl Into<Mark>) -> Self {
        Self { rows: vec![], deleted: vec![], mark: mark.into(), has_more: false, checksums: None }
    }

    /// The body, compressed if that is worth it.
    pub(crate) fn encode(self, encoding: Encoding, budget: Budget) -> Result<Encoded, Error> {
        if encoding == Encoding::Identity {
            return Ok(Encoded::Fits(EncodedBody::Unwritten(self)));
        }
        let size = self.rows.iter().map(size).sum::<usize>() + self.deleted.len() * 70 + 700;
        if size < WORTH_COMPRESSING {
            return Ok(Encoded::Fits(EncodedBody::Unwritten(self)));
        }
        let mut compressed = self.gzip(size / 4).map_err(|error| Error::Corrupt(format!("a row: {error}")))?;
        let in_base64 = compressed.len().div_ceil(3) * 4;
        if in_base64 > MAX_BODY && !self.rows.is_empty() {
            return Ok(Encoded::TooLarge(budget.after(&self, in_base64)));
        }
        compressed.shrink_to_fit();
        Ok(Encoded::Fits(EncodedBody::Gzip(Bytes::from(compressed))))
    }

    /// Writes the body as the inside of a JSON string, piece by piece. A function hands it to the gateway like this, so the rows are
    /// written as they came from the table. What is between them is collected first, because each piece costs a call.
    pub(crate) fn write_escaped<E>(&self, mut out: impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        // A body without rows fits.
        let mut escaped = String::with_capacity(1024);
        self.write(|piece| {
            let row = match piece {
                Piece::Json(json) => {
                    escape_into(json, &mut escaped);
                    None
                }
                Piece::Row(row) => Some(row),
            };
            if row.is_none() && escaped.len() < AT_A_TIME {
                return Ok(());
            }
            out(&escaped)?;
            escaped.clear();
            row.map_or(Ok(()), |row| out(row.as_str()))
        })?;
        out(&escaped)
    }

    /// The body.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, NotEscaped> {
        let mut body = Vec::new();
        self.write(|piece| piece.write_to(&mut body))?;
        Ok(body)
    }

    fn gzip(&self, size: usize) -> io::Result<Vec<u8>> {
        let mut gzip = GzEncoder::new(Vec::with_capacity(size), LEVEL);
        let mut plain = Vec::with_capacity(2 * AT_A_TIME);
        self.write::<io::Error>(|piece| {
            piece.write_to(&mut plain).map_err(io::Error::other)?;
            if plain.len() >= AT_A_TIME {
                gzip.write_all(&plain)?;
                plain.clear();
            }
            Ok(())
        })?;
        gzip.write_all(&plain)?;
        gzip.finish()
    }

    /// The collections that only a newer version of this code knows, in the order of their names. If their rows were left out while
    /// the mark moves on, a device whose app knows them would never get them.
    fn unknown_collections(&self) -> BTreeSet<CollectionName> {
        let keys = self.rows.iter().map(|row| &row.key).chain(&self.deleted);
        keys.map(|key| key.collection).filter(|collection| collection.known().is_none()).collect()
    }

    /// Writes `{changes, timestamp}`, piece by piece.
    fn write<E>(&self, mut out: impl FnMut(Piece<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut start = r#"{"changes":{""#;
        for collection in Collection::ALL.into_iter().map(CollectionName::Known).chain(self.unknown_collections()) {
            out(Piece::Json(start))?;
            out(Piece::Json(collection.name()))?;
            out(Piece::Json(r#"":{"created":[],"updated":["#))?;
            start = ",\"";
            let mut comma = "";
            let rows = self.rows.iter().filter(|row| row.key.collection == collection);
            for json in rows.clone().filter_map(|row| row.json.as_ref()) {
                out(Piece::Json(comma))?;
                out(Piece::Row(json))?;
                comma = ",";
            }
            out(Piece::Json(r#"],"deleted":["#))?;
            let dead = rows.filter(|row| row.json.is_none()).map(|row| &row.key);
            let mut quote = "\"";
            for key in dead.chain(self.deleted.iter().filter(|key| key.collection == collection)) {
                out(Piece::Json(quote))?;
                out(Piece::Json(key.id.as_str()))?;
                out(Piece::Json("\""))?;
                quote = ",\"";
            }
            out(Piece::Json("]}"))?;
        }
        out(Piece::Json(&self.end()))
    }

    /// What follows the changes.
    fn end(&self) -> String {
        let has_more = if self.has_more { r#","has_more":true"# } else { "" };
        let mut end = format!(r#"}},"timestamp":{}{has_more}"#, self.mark);
        if let Some(checksums) = &self.checksums {
            let mut start = if self.has_more { r#","row_counts":{"# } else { r#","checksum":{"# };
            for collection in checksums.collections() {
                let (name, [rows, one, other]) = (collection.name(), checksums.get(collection));
                // Writing to a `String` cannot fail.
                let _ = match self.has_more {
                    true => write!(end, r#"{start}"{name}":{rows}"#),
                    false => write!(end, r#"{start}"{name}":[{rows},{one},{other}]"#),
                };
                start = ",";
            }
            end.push('}');
        }
        end.push('}');
        end
    }
}

/// The body of an answer, if it fits.
#[derive(Debug)]
pub(crate) enum Encoded {
    /// The body fits a response.
    Fits(EncodedBody),
    /// The body compresses worse than expected. A body within this budget would fit.
    TooLarge(Budget),
}

/// A body as it leaves the function.
#[derive(Debug)]
pub(crate) enum EncodedBody {
    Unwritten(PullAnswer),
    Plain(Bytes),
    Gzip(Bytes),
}

impl EncodedBody {
    /// The bytes, and whether they are compressed.
    pub(crate) fn written(&self) -> Result<(Bytes, bool), NotEscaped> {
        Ok(match self {
            Self::Unwritten(answer) => (Bytes::from(answer.to_json()?), false),
            Self::Plain(bytes) => (bytes.clone(), false),
            Self::Gzip(bytes) => (bytes.clone(), true),
        })
    }
}

/// In the extensions of a response: the answer that is to be its body. Whoever sends the response writes it.
#[derive(Debug, Clone)]
pub(crate) struct Unwritten(pub(crate) Arc<PullAnswer>);

impl IntoResponse for EncodedBody {
    fn into_response(self) -> Response {
        let mut response;
        match self {
            Self::Unwritten(answer) => {
                response = Response::new(Body::empty());
                response.extensions_mut().insert(Unwritten(Arc::new(answer)));
            }
            Self::Plain(bytes) => response = Response::new(Body::from(bytes)),
            Self::Gzip(bytes) => {
                response = Response::new(Body::from(bytes));
                response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        response
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io::Read;

    use flate2::read::GzDecoder;
    use serde_json::{Value, json};
    use shared::domain::ServerVersion;

    use super::*;
    use crate::testing::mark;

    fn task(id: u64, json: Option<&Value>) -> FeedRow {
        FeedRow {
            key: format!("tasks#{id}").parse().expect("a key"),
            version: ServerVersion::FIRST,
            revision_count: 1,
            history: shared::domain::VersionHistory::default(),
            archived_above: None,
            json: json.map(|json| Escaped::of(&json.to_string())),
        }
    }

    fn encoded(answer: PullAnswer, encoding: Encoding) -> EncodedBody {
        match answer.encode(encoding, Budget::new(usize::MAX, encoding)).expect("whole rows") {
            Encoded::Fits(body) => body,
            Encoded::TooLarge(_) => panic!("it does not fit"),
        }
    }

    fn escaped(answer: &PullAnswer) -> String {
        let mut escaped = String::new();
        let written: Result<(), Infallible> = answer.write_escaped(|piece| {
            escaped.push_str(piece);
            Ok(())
        });
        let Ok(()) = written;
        escaped
    }

    fn body(answer: PullAnswer) -> Value {
        let EncodedBody::Unwritten(answer) = encoded(answer, Encoding::Identity) else { panic!("compressed") };
        let body: String = serde_json::from_str(&format!("\"{}\"", escaped(&answer))).expect("a JSON string");
        assert_eq!(answer.to_json().expect("whole rows"), body.as_bytes());
        serde_json::from_str(&body).expect("JSON")
    }

    #[test]
    fn a_row_takes_as_much_as_it_does_escaped_in_the_functions_response() {
        let rows = [task(1, Some(&json!({"name": "a \"b\" \\ ä \u{7f} \n"}))), task(2, None)];
        for row in rows {
            let with = escaped(&PullAnswer { rows: vec![row.clone(), row.clone()], ..PullAnswer::empty(mark(1)) });
            let without = escaped(&PullAnswer { rows: vec![row.clone()], ..PullAnswer::empty(mark(1)) });
            assert_eq!(size(&row), with.len() - without.len());
        }
    }

    /// Everything in the function's response except the body: status, headers and names, less than 4 kB.
    #[test]
    fn a_full_answer_leaves_room_for_the_response_around_it_and_wastes_little() {
        let row = task(1, Some(&json!({"notes": "\"".repeat(100)})));
        let mut left = Budget::new(usize::MAX, Encoding::Identity);
        let rows = std::iter::repeat_n(row, 1_000_000).take_while(|row| left.take(row)).collect();
        let body = escaped(&PullAnswer { rows, ..PullAnswer::empty(mark(1)) });
        assert!((MAX_RESPONSE - 30_000..MAX_RESPONSE - 4_000).contains(&body.len()), "{}", body.len());
    }

    #[test]
    fn all_five_collections_are_there_with_three_arrays_each_and_nothing_else() {
        let arrays = json!({"created": [], "updated": [], "deleted": []});
        let changes = json!({"projects": arrays, "tasks": arrays, "dependencies": arrays, "calendars": arrays,
            "memberships": arrays});
        assert_eq!(body(PullAnswer::empty(mark(3))), json!({"changes": changes, "timestamp": 3}));
    }

    #[test]
    fn rows_tombstones_and_ids_to_forget_are_each_in_their_own_collection_and_no_other() {
        let rows = vec![task(1, Some(&json!({"id": "1"}))), task(2, None)];
        let deleted = ["tasks#3", "calendars#4"].map(|key| key.parse().expect("a key")).into();
        let changes = &body(PullAnswer { rows, deleted, ..PullAnswer::empty(mark(3)) })["changes"];
        assert_eq!(changes["tasks"], json!({"created": [], "updated": [{"id": "1"}], "deleted": ["2", "3"]}));
        assert_eq!(changes["calendars"], json!({"created": [], "updated": [], "deleted": ["4"]}));
        assert_eq!(changes["projects"], json!({"created": [], "updated": [], "deleted": []}));
    }

    #[test]
    fn rows_of_a_collection_of_a_newer_version_are_a_further_key_and_so_are_their_checksums() {
        let note = |id: u64, json| FeedRow { key: format!("notes#{id}").parse().expect("a key"), ..task(id, json) };
        let rows = vec![note(1, Some(&json!({"id": "1"}))), task(2, None), note(2, None)];
        let deleted = ["badges#3".parse().expect("a key")].into();
        let mut checksums = Checksums::default();
        checksums.set("notes".parse::<CollectionName>().expect("a name"), [1, 5, 7]);
        let body = body(PullAnswer { rows, deleted, checksums: Some(checksums), ..PullAnswer::empty(mark(3)) });
        assert_eq!(body["changes"]["notes"], json!({"created": [], "updated": [{"id": "1"}], "deleted": ["2"]}));
        assert_eq!(body["changes"]["badges"], json!({"created": [], "updated": [], "deleted": ["3"]}));
        assert_eq!(body["changes"].as_object().expect("an object").len(), Collection::ALL.len() + 2);
        assert_eq!(body["checksum"]["notes"], json!([1, 5, 7]));
        assert_eq!(body["checksum"].as_object().expect("an object").len(), Collection::ALL.len() + 1);
    }

    #[test]
    fn checksums_are_three_numbers_for_each_collection_beside_the_timestamp() {
        let mut checksums = Checksums::default();
        checksums.set(Collection::Tasks, [2, u32::MAX, 7]);
        let answer = PullAnswer { checksums: Some(checksums), ..PullAnswer::empty(mark(3)) };
        let expected = json!({"projects": [0, 0, 0], "tasks": [2, 4_294_967_295_u32, 7], "dependencies": [0, 0, 0],
            "calendars": [0, 0, 0], "memberships": [0, 0, 0]});
        assert_eq!(body(answer)["checksum"], expected);
    }

    #[test]
    fn an_answer_that_was_cut_says_how_many_rows_there_are_and_has_no_checksums() {
        let mut checksums = Checksums::default();
        checksums.set(Collection::Tasks, [2, u32::MAX, 7]);
        let answer = PullAnswer { checksums: Some(checksums), has_more: true, ..PullAnswer::empty(mark(3)) };
        let body = body(answer);
        let expected = json!({"projects": 0, "tasks": 2, "dependencies": 0, "calendars": 0, "memberships": 0});
        assert_eq!((&body["row_counts"], &body["checksum"]), (&expected, &Value::Null));
    }

    #[test]
    fn compression_keeps_the_body_and_a_short_body_is_not_compressed() {
        let mut rows: Vec<_> = (0..5000).map(|id| task(id, Some(&json!({"name": "\"ä\"\n\\ \u{1}"})))).collect();
        rows.push(task(5000, None));
        let answer = PullAnswer { rows, ..PullAnswer::empty(mark(3)) };
        let escaped = escaped(&answer);
        let EncodedBody::Gzip(gzip) = encoded(answer, Encoding::Gzip) else { panic!("not compressed") };
        let mut plain = String::new();
        GzDecoder::new(&gzip[..]).read_to_string(&mut plain).expect("gzip");
        assert!(plain.len() > 2 * AT_A_TIME);
        assert_eq!(serde_json::to_string(&plain).expect("JSON"), format!("\"{escaped}\""));
        assert!(matches!(encoded(PullAnswer::empty(mark(3)), Encoding::Gzip), EncodedBody::Unwritten(_)));
    }

    #[test]
    fn ids_that_hardly_compress_fit_in_either_encoding() {
        let mut random = fastrand::Rng::with_seed(7);
        let allowed: Vec<char> = ('a'..='z').chain('A'..='Z').chain('0'..='9').chain(['_', '-']).collect();
        let mut id =
            || std::iter::repeat_with(|| *random.choice(&allowed).expect("a character")).take(64).collect::<String>();
        let mut left = IdBudget::new(usize::MAX);
        let keys = std::iter::repeat_with(|| format!("tasks#{}", id()).parse().expect("a key"));
        let deleted: Vec<RowKey> = keys.take_while(|key| left.take(key)).collect();
        assert!(deleted.len() > 80_000);
        let answer = || PullAnswer { deleted: deleted.clone(), ..PullAnswer::empty(mark(3)) };
        assert!(escaped(&answer()).len() <= MAX_BODY);
        let EncodedBody::Gzip(body) = encoded(answer(), Encoding::Gzip) else { panic!("not compressed") };
        assert!(body.len().div_ceil(3) * 4 <= MAX_BODY, "{}", body.len());
    }

    #[test]
    fn rows_that_do_not_compress_as_expected_get_a_smaller_budget_until_they_fit() {
        fastrand::seed(7);
        let noise = || (0..10_000).map(|_| fastrand::alphanumeric()).collect::<String>();
        let mut rows: Vec<_> = (0..800).map(|id| task(id, Some(&json!({"notes": noise()})))).collect();
        let mut budget = Budget::new(usize::MAX, Encoding::Gzip);
        assert!(rows.iter().all(|row| budget.clone().take(row)));
        let mut tries = 0;
        loop {
            let answer = PullAnswer { rows: rows.clone(), ..PullAnswer::empty(mark(3)) };
            match answer.encode(Encoding::Gzip, budget).expect("whole rows") {
                Encoded::Fits(EncodedBody::Gzip(body)) => {
                    assert!(body.len().div_ceil(3) * 4 <= MAX_BODY && body.len() * 4 / 3 > MAX_BODY * 9 / 10);
                    break;
                }
                Encoded::Fits(EncodedBody::Unwritten(_) | EncodedBody::Plain(_)) => panic!("not compressed"),
                Encoded::TooLarge(smaller) => budget = smaller,
            }
            let mut left = budget;
            rows = rows.into_iter().take_while(|row| left.take(row)).collect();
            tries += 1;
        }
        assert_eq!(tries, 1);
    }
}
