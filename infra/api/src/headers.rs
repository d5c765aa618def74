//! The headers of requests and answers.

use shared::domain::ServerVersion;
use utoipa::openapi::content::Content;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr, Required};

use super::schemas::{id, integer, string, version};

/// On every answer.
pub(super) const ALWAYS: [&str; 4] =
    ["Cache-Control", "X-Content-Type-Options", "Server-Timing", "Timing-Allow-Origin"];

/// The headers of answers, by their names.
pub(super) fn of_answers() -> Vec<(&'static str, Header)> {
    let header = |schema: ObjectBuilder, example: &str, about: &str| {
        let header = HeaderBuilder::new().schema(Some(schema.build())).description(Some(about.to_owned()));
        header.example(Some(example.into())).build()
    };
    let tag = || string().pattern(Some("^\"[0-9]+\"$"));
    vec![
        ("ETag", header(tag(), "\"42\"", "The row's `server_version` in quotes, for `If-Match`.")),
        (
            "Location",
            header(
                string(),
                "/api/v1/projects/demo/tasks/foundation/",
                "The address of what was made; or where to ask.",
            ),
        ),
        (
            "X-Server-Version",
            header(
                string().pattern(Some("^[0-9]+$")),
                "42",
                "The version that the change committed: the last one, if it wrote several rows; the project's, where \
                 there was nothing to write. A pull with `min_version` accounts for it.",
            ),
        ),
        (
            "X-Merged-Concurrent-Fields",
            header(
                string(),
                "name, notes",
                "Fields that others changed since `X-Base-Version` and this change left alone.",
            ),
        ),
        (
            "Idempotent-Replay",
            header(
                string().enum_values(Some(["true"])),
                "true",
                "The request was made before, under the same `Idempotency-Key`, and this is its first answer again.",
            ),
        ),
        ("Retry-After", header(string().pattern(Some("^[0-9]+$")), "1", "After so many seconds send the same again.")),
        (
            "WWW-Authenticate",
            header(string().pattern(Some("^Bearer")), "Bearer error=\"invalid_token\"", "What it takes to be let in."),
        ),
        ("Allow", header(string(), "GET,HEAD,POST", "The methods of this address.")),
        (
            "Content-Encoding",
            header(string().enum_values(Some(["gzip"])), "gzip", "From 1.4 kB on, to those who accept it."),
        ),
        ("Vary", header(string(), "accept-encoding", "The answer depends on this header of the request.")),
        ("Cache-Control", header(string(), "no-store", "No cache keeps an answer: it is for one caller, at one time.")),
        (
            "X-Content-Type-Options",
            header(string(), "nosniff", "The body is what `Content-Type` says, whatever it looks like."),
        ),
        (
            "Server-Timing",
            header(
                string(),
                "table;dur=9.8;desc=\"2 calls\", rcu;desc=\"2.5 read units\", wcu;desc=\"0 write units\"",
                "What the request took of the table, and which way a pull took.",
            ),
        ),
        ("Timing-Allow-Origin", header(string(), "*", "`Server-Timing` is for pages of any origin.")),
    ]
}

/// The header with this name.
pub(super) fn named(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}

fn parameter(within: ParameterIn, name: &str, schema: ObjectBuilder, about: &str) -> ParameterBuilder {
    let required = if within == ParameterIn::Path { Required::True } else { Required::False };
    let parameter = ParameterBuilder::new().name(name).parameter_in(within).required(required);
    parameter.schema(Some(schema)).description(Some(about))
}

/// A part of the path that is an id.
pub(super) fn in_path(name: &str, example: &str) -> Parameter {
    parameter(ParameterIn::Path, name, id(), "").description(None::<String>).example(Some(example.into())).build()
}

pub(super) fn if_match() -> Parameter {
    let tags = string().pattern(Some("^(\\*|(W/)?\"[0-9]{1,18}\"(, (W/)?\"[0-9]{1,18}\")*)$"));
    let about = "Only if the row is still at (one of) these versions: 412 otherwise, and for a weak tag (`W/`) always. Not together with \
                 `X-Base-Version`.";
    parameter(ParameterIn::Header, "If-Match", tags, about).build()
}

pub(super) fn base_version() -> Parameter {
    let about = "The version of the row that the user saw. The change is merged field by field with what others changed \
                 since; a field that was changed to another value is 409 `sync_conflict`. A version from before a restore \
                 counts as before every field.";
    parameter(ParameterIn::Header, "X-Base-Version", version(), about).build()
}

pub(super) fn idempotency_key() -> Parameter {
    let key = string().pattern(Some("^[!-~]+$")).min_length(Some(1)).max_length(Some(255));
    let about = "A name for this one change, a UUID say. Sent again with the same key within 24 hours, it is answered as \
                 the first time and happens once.";
    parameter(ParameterIn::Header, "Idempotency-Key", key, about).build()
}

/// Which part of a list.
pub(super) fn of_lists() -> [Parameter; 2] {
    let limit = integer(1, 1_000).default(Some(100.into()));
    [
        parameter(ParameterIn::Query, "limit", limit, "The most rows of a page.").build(),
        parameter(ParameterIn::Query, "cursor", id(), "The last id of the page before, as `next` has it.").build(),
    ]
}

/// What a pull says.
pub(super) fn of_pulls() -> [Parameter; 7] {
    let number = || integer(0, ServerVersion::MAX);
    let query = |name: &str, schema, about: &str| parameter(ParameterIn::Query, name, schema, about).build();
    [
        query(
            "since",
            number().default(Some(0.into())),
            "The mark that the device holds: `timestamp` of its last pull; 0 for everything.",
        ),
        query("limit", integer(1, 100_000), "The most rows of a page. Without it, as many as fit 6 MB."),
        query(
            "turbo",
            string().examples(["true"]),
            "`true` with `since=0` leaves tombstones out, as WatermelonDB's Turbo mode wants it. Means nothing elsewhere.",
        ),
        query("min_version", number(), "A version that the answer has to account for, or it is a 503."),
        migration(),
        query(
            "schema_version",
            string(),
            "WatermelonDB's `schemaVersion`. Ignored, like any parameter that is unknown.",
        ),
        parameter(ParameterIn::Header, "Accept-Encoding", string(), "`gzip` for a compressed answer.").build(),
    ]
}

/// WatermelonDB's, as JSON.
fn migration() -> Parameter {
    let columns = ObjectBuilder::new()
        .property("table", string())
        .property("columns", ArrayBuilder::new().items(RefOr::from(string())))
        .required("table")
        .required("columns");
    let migration = ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
        .property("tables", ArrayBuilder::new().items(RefOr::from(string())))
        .property("columns", ArrayBuilder::new().items(RefOr::from(columns)));
    let about = "WatermelonDB's `migration`, or `null`. When it adds a column or a table that is served here, the answer is \
                 that of `since=0`.";
    let parameter =
        ParameterBuilder::new().name("migration").parameter_in(ParameterIn::Query).required(Required::False);
    parameter.description(Some(about)).content("application/json", Content::new(Some(migration))).build()
}
