//! Schemas of bodies: rows, creations and patches of rows, the sync response, problems.

use serde_json::{Value, json};
use shared::domain::{Collection, Error, ServerVersion};
use utoipa::openapi::schema::{
    AdditionalProperties, AllOfBuilder, AnyOfBuilder, ArrayBuilder, Object, ObjectBuilder, Ref, Schema, SchemaFormat,
    SchemaType, Type,
};
use utoipa::openapi::{KnownFormat, RefOr};

use super::columns::{self, Column, Kind, columns, singular};

/// The collections that a batch can change.
const IN_BATCHES: [Collection; 3] = [Collection::Tasks, Collection::Dependencies, Collection::Calendars];

/// The form of a row: over REST or on a device.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    OverRest,
    ByDevices,
}

/// All named schemas.
pub(super) fn all() -> Result<Vec<(String, RefOr<Schema>)>, Error> {
    let mut all: Vec<(String, RefOr<Schema>)> = Vec::new();
    for collection in Collection::ALL {
        let name = singular(collection);
        all.push((name.to_owned(), row(collection, Seen::OverRest)?));
        all.push((format!("{name}Creation"), creation(collection)?));
        all.push((format!("{name}Patch"), patch(collection)));
        all.push((format!("{name}Page"), page(collection)));
        all.push((format!("Synced{name}"), row(collection, Seen::ByDevices)?));
    }
    all.push(("CalendarException".to_owned(), exception().into()));
    all.push(("Heads".to_owned(), heads().into()));
    all.push(("SyncResponse".to_owned(), sync_response().into()));
    all.push(("Batch".to_owned(), batch().into()));
    all.push(("BatchResults".to_owned(), batch_results().into()));
    all.push(("Problem".to_owned(), problem().into()));
    all.push(("Health".to_owned(), health().into()));
    Ok(all)
}

/// The schema with this name.
pub(super) fn named(name: &str) -> RefOr<Schema> {
    Ref::from_schema_name(name).into()
}

/// The schema of a problem with this status and one of these codes.
pub(super) fn problem_of(status: u16, codes: &[&str]) -> RefOr<Schema> {
    let exactly = ObjectBuilder::new()
        .property("status", ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([status])))
        .property("code", string().enum_values(Some(codes.iter().copied())));
    AllOfBuilder::new().item(named("Problem")).item(exactly).into()
}

/// An object that has these properties and no others.
fn closed() -> ObjectBuilder {
    ObjectBuilder::new().additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
}

pub(super) fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

pub(super) fn integer(minimum: i64, maximum: u64) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(minimum)).maximum(Some(maximum))
}

pub(super) fn id() -> ObjectBuilder {
    string().pattern(Some("^[A-Za-z0-9_-]+$")).min_length(Some(1)).max_length(Some(64))
}

pub(super) fn version() -> ObjectBuilder {
    integer(1, ServerVersion::MAX)
}

fn array(items: impl Into<RefOr<Schema>>) -> ArrayBuilder {
    ArrayBuilder::new().items(items.into())
}

fn all_required(object: ObjectBuilder, names: &[&str]) -> Object {
    names.iter().fold(object, |object, name| object.required(*name)).build()
}

/// The pattern of the characters in a user's id: no control characters, and none that are invisible or change the direction of
/// writing. Characters beyond the first 65,536 are left out, because dialects of patterns write them in different ways.
const VISIBLE: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u0600-\\u0605\\u061c\\u06dd\\u070f\\u0890-\\u0891\\u08e2\
                       \\u115f-\\u1160\\u17b4-\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufe00-\\ufe0f\
                       \\ufeff\\uffa0\\ufff0-\\ufffb]*$";

/// The schema of a column's values.
fn value(column: &Column, seen: Seen) -> ObjectBuilder {
    let value = match column.kind {
        Kind::Text { min: 0, max } => string().max_length(Some(max)).pattern(Some("^[^\\u0000]*$")),
        Kind::Text { min, max } => {
            string().min_length(Some(min)).max_length(Some(max)).pattern(Some("^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$"))
        }
        Kind::Id => id(),
        Kind::User => string().min_length(Some(1)).max_length(Some(255)).pattern(Some(VISIBLE)),
        Kind::Date => string()
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)))
            .pattern(Some("^[0-9]{4}-[0-9]{2}-[0-9]{2}$")),
        Kind::OutlinePath => string().max_length(Some(255)).pattern(Some("^[1-9][0-9]*(\\.[1-9][0-9]*)*$")),
        Kind::Integer { min, max } => {
            ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(min)).maximum(Some(max))
        }
        Kind::Hours => ObjectBuilder::new().schema_type(Type::Number).exclusive_minimum(Some(0)).maximum(Some(24)),
        Kind::Boolean => ObjectBuilder::new().schema_type(Type::Boolean),
        Kind::OneOf(values) => string().enum_values(Some(values.iter().copied())),
        Kind::Role => {
            ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some(columns::roles().map(|(role, _)| role)))
        }
        Kind::TimeZone => string().min_length(Some(1)),
        // This is for REST only, see `property`.
        Kind::Exceptions => string().content_media_type("application/json"),
    };
    let value = value.description(Some(column.about));
    let value = if column.nullable { or_null(value) } else { value };
    let example = match (&column.example, seen) {
        (Value::Array(items), Seen::ByDevices) => Value::Array(items.clone()).to_string().into(),
        (example, _) => example.clone(),
    };
    value.examples([example])
}

fn or_null(object: ObjectBuilder) -> ObjectBuilder {
    let mut object = object.build();
    if let SchemaType::Type(one) = object.schema_type {
        object.schema_type = SchemaType::from_iter([one, Type::Null]);
    }
    object.into()
}

fn property(column: &Column, seen: Seen, default: Option<Value>) -> RefOr<Schema> {
    match (column.kind, seen) {
        (Kind::Exceptions, Seen::OverRest) => array(named("CalendarException"))
            .max_items(Some(1_000))
            .description(Some(column.about))
            .default(default)
            .examples([column.example.clone()])
            .into(),
        _ => value(column, seen).default(default).into(),
    }
}

/// The schema of a row. Every column is required.
fn row(collection: Collection, seen: Seen) -> Result<RefOr<Schema>, Error> {
    let about = "The value of the project's counter when the row was last written. It is also the row's `ETag`.";
    let mut names = vec!["id", "server_version"];
    let mut object = closed()
        .property("id", id().examples([columns::place(collection)?.id.as_str()]))
        .property("server_version", version().description(Some(about)));
    if collection != Collection::Projects {
        object = object.property("project", id().examples([crate::EXAMPLE_PROJECT]));
        names.push("project");
    }
    for column in columns(collection) {
        object = object.property(column.name, property(&column, seen, None));
        names.push(column.name);
    }
    let about = match seen {
        Seen::OverRest => format!("A row of {} in REST.", collection.name()),
        Seen::ByDevices => format!("A row of {} on a device, without nested values.", collection.name()),
    };
    Ok(all_required(object.description(Some(about)), &names).into())
}

fn creation(collection: Collection) -> Result<RefOr<Schema>, Error> {
    let about = match collection {
        Collection::Memberships => "Optional. If given, it must be the id that is derived from project and user.",
        _ => "Optional. The server generates an id if it is left out.",
    };
    let object = closed().property("id", id().description(Some(about)));
    let defaults = columns::defaults(collection)?;
    let object = columns(collection).iter().fold(object, |object, column| {
        object.property(column.name, property(column, Seen::OverRest, defaults.get(column.name).cloned()))
    });
    let required = columns::required(collection);
    Ok(all_required(object.description(Some("Fields that are left out get their defaults.")), required).into())
}

/// A JSON merge patch (RFC 7396).
fn patch(collection: Collection) -> RefOr<Schema> {
    let about = "A JSON merge patch (RFC 7396). Fields that are left out do not change.";
    let object = closed().description(Some(about));
    columns(collection)
        .iter()
        .fold(object, |object, column| object.property(column.name, property(column, Seen::OverRest, None)))
        .into()
}

fn page(collection: Collection) -> RefOr<Schema> {
    let next = or_null(string()).description(Some("The path of the next page, or null on the last page."));
    let object = closed().property("results", array(named(singular(collection)))).property("next", next);
    all_required(object, &["results", "next"]).into()
}

fn exception() -> Object {
    let day = |about: &str| {
        string()
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)))
            .pattern(Some("^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))
            .description(Some(about.to_owned()))
    };
    let description = string().max_length(Some(255)).pattern(Some("^[^\\u0000]*$")).default(Some(json!("")));
    let object = closed()
        .property("start", day("The first day."))
        .property("end", day("The last day. Must not be before `start`."))
        .property("description", description);
    all_required(object, &["start", "end"])
}

fn heads() -> Object {
    let at = version()
        .description(Some("The project's current version. A device whose mark is not below it has everything."));
    let head = closed().property("project", id()).property("version", at);
    let next = or_null(id()).description(Some("The `cursor` of the next page, or null on the last page."));
    let heads = array(all_required(head, &["project", "version"]));
    all_required(closed().property("heads", heads).property("next", next), &["heads", "next"])
}

fn sync_response() -> Object {
    let mut changes = closed();
    let (mut checksum, mut row_counts) = (closed(), closed());
    for collection in Collection::ALL {
        let rows = array(named(&format!("Synced{}", singular(collection))));
        let lists = closed()
            .property("created", array(ObjectBuilder::new()).max_items(Some(0)).description(Some("Always empty.")))
            .property("updated", rows.description(Some("Created and updated rows, with all columns.")))
            .property("deleted", array(id()).unique_items(true).description(Some("Ids of deleted rows.")));
        changes = changes.property(collection.name(), all_required(lists, &["created", "updated", "deleted"]));
        let sums = array(integer(0, u64::from(u32::MAX))).min_items(Some(3)).max_items(Some(3));
        checksum = checksum.property(collection.name(), sums);
        row_counts = row_counts.property(collection.name(), integer(0, u64::from(u32::MAX)));
    }
    let names = Collection::ALL.map(Collection::name);
    let checksum = checksum.description(Some(
        "Present if applying the response brings the device to exactly the server's state at `timestamp`. For each \
         collection: the number of rows, and two sums over their ids and versions.",
    ));
    let row_counts = row_counts.description(Some(
        "May be present beside `has_more`: the number of rows that each collection has on the server, so that a first sync can \
         show its progress.",
    ));
    let has_more = ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([true])).description(Some(
        "More changes follow. Pull again at once with `since` set to `timestamp`. Absent on the last page.",
    ));
    let timestamp = version()
        .description(Some("The response includes all changes up to this version. Use it as the next `since`."));
    let changes = changes.description(Some(
        "The changes of each collection. During a deployment, a newer server version may send more collections and columns. \
         WatermelonDB ignores both.",
    ));
    let object = closed()
        .property("changes", all_required(changes, &names))
        .property("timestamp", timestamp)
        .property("has_more", has_more)
        .property("row_counts", all_required(row_counts, &names))
        .property("checksum", all_required(checksum, &names));
    all_required(object, &["changes", "timestamp"])
}

fn batch() -> Object {
    let method = |name: &str| string().enum_values(Some([name]));
    let version = || ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    let bases = || ObjectBuilder::new().additional_properties(Some(AdditionalProperties::from(RefOr::from(version()))));
    let precondition = |object: ObjectBuilder| {
        let if_match =
            version().description(Some("The `server_version` that the row must have before the batch is applied."));
        let base_version = version().description(Some(
            "The version up to which the user has seen the row's fields, 0 for none of them, as `X-Base-Version`. Not beside \
             `if_match`.",
        ));
        let base_fields = bases().description(Some("The same for single fields, where that is another version."));
        object
            .property("if_match", if_match)
            .property("base_version", base_version)
            .property("base_fields", base_fields)
    };
    let mut operations = AnyOfBuilder::new();
    for collection in IN_BATCHES {
        let (path, name) = (collection.name(), singular(collection));
        let rows = string().pattern(Some(format!("^{path}/?$"))).examples([format!("{path}/")]);
        let row = string().pattern(Some(format!("^{path}/[A-Za-z0-9_-]{{1,64}}/?$")));
        let create = closed()
            .property("method", method("POST"))
            .property("path", rows)
            .property("body", named(&format!("{name}Creation")));
        let change = closed()
            .property("method", method("PATCH"))
            .property("path", row)
            .property("body", named(&format!("{name}Patch")));
        operations = operations
            .item(all_required(create, &["method", "path", "body"]))
            .item(all_required(precondition(change), &["method", "path", "body"]));
    }
    let paths = IN_BATCHES.map(Collection::name).join("|");
    let row = string().pattern(Some(format!("^({paths})/[A-Za-z0-9_-]{{1,64}}/?$")));
    let delete = precondition(closed().property("method", method("DELETE")).property("path", row));
    let operations = ArrayBuilder::new()
        .items(RefOr::from(operations.item(all_required(delete, &["method", "path"]))))
        .min_items(Some(1))
        .max_items(Some(shared::storage::MAX_ROWS))
        .description(Some("Applied in this order. Paths are relative to the project's path."));
    let mode = string().enum_values(Some(["all", "each"])).default(Some("all".into())).description(Some(
        "`all`: a refused operation refuses the batch. `each`: it leaves no trace, and the others are made.",
    ));
    all_required(closed().property("mode", mode).property("operations", operations), &["operations"])
}

fn batch_results() -> Object {
    let status = ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([200, 201, 204]));
    let at = or_null(version())
        .description(Some("The row's version after the batch. Null if the batch both created and deleted the row."));
    let merged = array(string()).min_items(Some(1)).description(Some(
        "Fields that others changed since the operation's base and it leaves alone; left out when there are none.",
    ));
    let accepted = closed()
        .property("status", status.description(Some("The status that the single request would have.")))
        .property("id", id())
        .property("server_version", at)
        .property("merged_fields", merged);
    let maybe = || or_null(id()).description(Some("Null when the operation does not say."));
    let refused = closed()
        .property("status", integer(400, 499).description(Some("The status that the single request would have.")))
        .property("id", maybe())
        .property("problem", named("Problem"));
    let zero = ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([0]));
    let not_attempted = closed()
        .property("status", zero.description(Some("The commit is full: send it in another request.")))
        .property("id", maybe())
        .property("code", string().enum_values(Some(["not_attempted"])));
    let result = AnyOfBuilder::new()
        .item(all_required(accepted, &["status", "id", "server_version"]))
        .item(all_required(refused, &["status", "id", "problem"]))
        .item(all_required(not_attempted, &["status", "id", "code"]));
    let results = ArrayBuilder::new().items(RefOr::from(result));
    let results = results
        .description(Some("One result for each operation, in the same order. All are accepted in the mode `all`."));
    all_required(closed().property("results", results), &["results"])
}

/// All members of all problems. None of them may look like a sync response to the plain client.
fn problem() -> Object {
    let error = closed().property("field", string()).property("message", string());
    let names = || array(string());
    let any_row = ObjectBuilder::new().description(Some("The current row."));
    let values = |about: &str| ObjectBuilder::new().description(Some(about.to_owned()));
    let limit = ObjectBuilder::new().description(Some("The limit that was exceeded, by name."));
    let object = closed()
        .description(Some("A problem (RFC 9457). Programs use `code`, which is stable; people read `detail`."))
        .property("type", string().pattern(Some("^urn:trueppm:problem:[a-z_]+$")))
        .property("title", string())
        .property("status", integer(400, 599))
        .property("detail", string().description(Some("What is wrong and what to do.")))
        .property("code", string())
        .property("errors", array(all_required(error, &["field", "message"])))
        .property("operation", integer(0, 999).description(Some("Index of the refused operation of a batch, from 0.")))
        .property("limit", limit)
        .property("tasks", names().description(Some("The tasks of the cycle, in order.")))
        .property("id", id().description(Some("Id of the existing dependency.")))
        .property("current", any_row)
        .property("conflict_fields", names().description(Some("The fields with conflicting changes.")))
        .property("server_value", values("The current value of each conflicting field."))
        .property("client_value", values("The request's value for each conflicting field."))
        .property("server_version", version().description(Some("The row's current version.")))
        .property(
            "shortened",
            ObjectBuilder::new()
                .schema_type(Type::Boolean)
                .enum_values(Some([true]))
                .description(Some("In a batch: the values are left out because they are too long.")),
        );
    all_required(object, &["type", "title", "status", "detail", "code"])
}

fn health() -> Object {
    let object = closed().property("status", string().enum_values(Some(["ok"]))).property("version", string());
    all_required(object, &["status", "version"])
}
