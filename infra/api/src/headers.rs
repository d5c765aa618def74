//! The headers of requests and responses.

use shared::domain::ServerVersion;
use utoipa::openapi::content::Content;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr, Required};

use super::schemas::{id, integer, string};

/// Headers of every response.
pub(super) const ALWAYS: [&str; 4] =
    ["Cache-Control", "X-Content-Type-Options", "Server-Timing", "Timing-Allow-Origin"];

/// The headers of responses, by name.
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
                "URL of the created row, or the redirect target.",
            ),
        ),
        (
            "X-Server-Version",
            header(
                string().pattern(Some("^[0-9]+$")),
                "42",
                "The highest version that the change committed. If nothing had to be written, the project's current \
                 version. Pass it as `min_version` to a pull that must include the change.",
            ),
        ),
        (
            "X-Merged-Concurrent-Fields",
            header(
                string(),
                "name, notes",
                "Fields that other requests changed since `X-Base-Version` and that this change did not set.",
            ),
        ),
        (
            "Idempotent-Replay",
            header(
                string().enum_values(Some(["true"])),
                "true",
                "This is the stored response to an earlier request with the same `Idempotency-Key`.",
            ),
        ),
        ("Retry-After", header(string().pattern(Some("^[0-9]+$")), "1", "Seconds to wait before retrying.")),
        (
            "WWW-Authenticate",
            header(
                string().pattern(Some("^Bearer")),
                "Bearer error=\"invalid_token\"",
                "Authentication challenge (RFC 6750).",
            ),
        ),
        ("Allow", header(string(), "GET,HEAD,POST", "The methods that this path supports.")),
        (
            "Content-Encoding",
            header(
                string().enum_values(Some(["gzip"])),
                "gzip",
                "Set if the body has at least 1.4 kB and the request accepts gzip.",
            ),
        ),
        ("Vary", header(string(), "accept-encoding", "The response depends on this request header.")),
        ("Cache-Control", header(string(), "no-store", "Always `no-store`.")),
        (
            "X-Content-Type-Options",
            header(string(), "nosniff", "Always `nosniff`: browsers must not guess the content type."),
        ),
        (
            "Server-Timing",
            header(
                string(),
                "table;dur=9.8;desc=\"2 calls\", rcu;desc=\"2.5 read units\", wcu;desc=\"0 write units\"",
                "Table calls, capacity units and time of the request, and the outcome of a pull.",
            ),
        ),
        ("Timing-Allow-Origin", header(string(), "*", "Always `*`: pages of any origin may read `Server-Timing`.")),
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

/// The headers that a change or a deletion of a row may have.
pub(super) fn of_changes() -> [Parameter; 4] {
    [if_match(), base_version(), base_fields(), idempotency_key()]
}

fn if_match() -> Parameter {
    let tags = string().pattern(Some("^(\\*|(W/)?\"[0-9]{1,18}\"(, (W/)?\"[0-9]{1,18}\")*)$"));
    let about = "ETags, separated by commas, or `*`. The change is made only if the row has one of these versions; otherwise the \
                 response is 412. A weak tag (`W/`) never matches. Do not send it together with `X-Base-Version`.";
    parameter(ParameterIn::Header, "If-Match", tags, about).build()
}

fn base_version() -> Parameter {
    let about = "The version of the row that the change is based on, or 0. The change is merged field by field with later \
                 changes. If a later change set a field of this change to another value, the response is 409 `sync_conflict`. \
                 A deletion conflicts with every later change. A version from before a restore counts as older than every \
                 field.";
    parameter(ParameterIn::Header, "X-Base-Version", integer(0, ServerVersion::MAX), about).build()
}

fn base_fields() -> Parameter {
    // The schema is a string with a pattern. For an object, the reference page would fill in made-up fields and send them.
    const ENTRY: &str = "\"[a-z_]{1,40}\":(0|[1-9][0-9]{0,14})";
    let versions = string().pattern(Some(format!("^\\{{{ENTRY}(,{ENTRY})*\\}}$")));
    let about = "The versions that the change is based on for single fields, if they differ from `X-Base-Version`: a JSON \
                 object such as `{\"notes\":42}`. Send it only together with that header.";
    parameter(ParameterIn::Header, "X-Base-Fields", versions, about).build()
}

pub(super) fn idempotency_key() -> Parameter {
    let key = string().pattern(Some("^[!-~]+$")).min_length(Some(1)).max_length(Some(255));
    let about = "A unique name for this change, such as a UUID. A repeated request with the same key within 24 hours \
                 is applied only once and gets the first response.";
    parameter(ParameterIn::Header, "Idempotency-Key", key, about).build()
}

/// The parameters of lists.
pub(super) fn of_lists() -> [Parameter; 2] {
    let limit = integer(1, 1_000).default(Some(100.into()));
    [
        parameter(ParameterIn::Query, "limit", limit, "Maximum number of rows per page.").build(),
        parameter(ParameterIn::Query, "cursor", id(), "The last id of the previous page, from its `next`.").build(),
    ]
}

/// The parameters of a pull.
pub(super) fn of_pulls() -> [Parameter; 7] {
    let number = || integer(0, ServerVersion::MAX);
    let query = |name: &str, schema, about: &str| parameter(ParameterIn::Query, name, schema, about).build();
    [
        query(
            "since",
            number().default(Some(0.into())),
            "The `timestamp` of the device's last pull. 0 for a full sync.",
        ),
        query("limit", integer(1, 100_000), "Maximum number of rows per page. The default is as many as fit 6 MB."),
        query(
            "turbo",
            string().examples(["true"]),
            "`true` together with `since=0` leaves out deleted rows, as WatermelonDB's Turbo mode requires. Ignored otherwise.",
        ),
        query(
            "min_version",
            number(),
            "The response without `has_more` must include this version; otherwise the server returns 503.",
        ),
        migration(),
        query("schema_version", string(), "WatermelonDB's `schemaVersion`. Ignored, like every unknown parameter."),
        parameter(ParameterIn::Header, "Accept-Encoding", string(), "`gzip` for a compressed response.").build(),
    ]
}

/// WatermelonDB's parameter, as JSON.
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
    let about = "WatermelonDB's `migration`, or `null`. If it adds a table or column that this API serves, the server ignores \
                 `since` and sends a full sync.";
    let parameter =
        ParameterBuilder::new().name("migration").parameter_in(ParameterIn::Query).required(Required::False);
    parameter.description(Some(about)).content("application/json", Content::new(Some(migration))).build()
}
