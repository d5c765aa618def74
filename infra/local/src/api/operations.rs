//! Every operation of both functions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use shared::domain::{Collection, Error, Role};
use utoipa::openapi::content::{Content, ContentBuilder};
use utoipa::openapi::link::{Link, LinkBuilder};
use utoipa::openapi::path::{HttpMethod, Operation, OperationBuilder, Parameter};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::{Ref, RefOr, Required};

use super::columns::{columns, example, example_row, place, singular};
use super::headers;
use super::problems::Documented;
use super::schemas::{named, problem_of};

const PROJECTS: &str = "/api/v1/projects/";
const PROJECT: &str = "/api/v1/projects/{project_id}/";
const KB: usize = 1024;

/// Who calls, and whether it can be told.
const TOKEN: &[&str] = &["token_missing", "token_expired", "token_invalid", "keys_unavailable"];
/// The table cannot be asked, or holds what it should not.
const TABLE: &[&str] = &["unavailable", "internal_error"];
const MEMBER: &[&str] = &["not_a_member", "membership_revoked", "project_deleted"];
const BODY: &[&str] = &["malformed_json", "body_too_large", "unsupported_media_type", "validation_failed"];
const COMMIT: &[&str] = &["role_too_low", "busy", "outcome_unknown", "idempotency_key_reused"];

/// One method of one address.
pub(super) struct Route {
    pub(super) method: HttpMethod,
    pub(super) path: String,
    id: String,
    tag: &'static str,
    summary: String,
    about: String,
    parameters: Vec<Parameter>,
    body: Option<Body>,
    successes: Vec<Success>,
    problems: Vec<&'static str>,
}

struct Body {
    schema: String,
    example: Value,
    max: usize,
    /// As a JSON merge patch, too.
    is_patch: bool,
}

#[derive(Default)]
struct Success {
    status: u16,
    about: &'static str,
    /// The schema's name and an example.
    body: Option<(String, Value)>,
    headers: Vec<&'static str>,
    links: Vec<(String, Link)>,
}

/// All of them, in the order in which they are shown.
pub(super) fn all() -> Result<Vec<Route>, Error> {
    let mut all = vec![pull()?];
    for collection in Collection::ALL {
        all.extend([
            list(collection)?,
            create(collection)?,
            read(collection)?,
            change(collection)?,
            delete(collection)?,
        ]);
    }
    all.push(batch());
    all.push(health());
    Ok(all)
}

fn rows_path(collection: Collection) -> String {
    match collection {
        Collection::Projects => PROJECTS.to_owned(),
        _ => format!("{PROJECT}{}/", collection.name()),
    }
}

fn row_path(collection: Collection) -> String {
    match collection {
        Collection::Projects => PROJECT.to_owned(),
        _ => format!("{PROJECT}{}/{{id}}/", collection.name()),
    }
}

/// The parts of the path that name the collection, or the row.
fn path_parameters(collection: Collection, row: bool) -> Result<Vec<Parameter>, Error> {
    let project = headers::in_path("project_id", crate::demo::PROJECT);
    let id = headers::in_path("id", place(collection)?.id.as_str());
    Ok(match (collection, row) {
        (Collection::Projects, false) => vec![],
        (Collection::Projects, true) | (_, false) => vec![project],
        (_, true) => vec![project, id],
    })
}

fn writer(collection: Collection) -> Role {
    match collection {
        Collection::Tasks => Role::Member,
        Collection::Dependencies => Role::Scheduler,
        Collection::Projects | Collection::Calendars | Collection::Memberships => Role::Admin,
    }
}

fn takes(role: Role) -> String {
    format!("Takes at least the role {role:?} ({}).", i64::from(role))
}

/// What may be wrong with references to other rows.
fn references(collection: Collection) -> &'static [&'static str] {
    match collection {
        Collection::Dependencies => &["dependency_cycle", "duplicate_dependency"],
        _ => &[],
    }
}

fn list(collection: Collection) -> Result<Route, Error> {
    let name = singular(collection);
    let mut parameters = path_parameters(collection, false)?;
    parameters.extend(headers::of_lists());
    let is_project = collection == Collection::Projects;
    let what = if is_project { "the caller's projects" } else { collection.name() };
    let next = format!("{}?limit=1&cursor={}", rows_path(collection), place(collection)?.id);
    let next = next.replace("{project_id}", crate::demo::PROJECT);
    let page = json!({"results": [example_row(collection)?.0], "next": next});
    Ok(Route {
        method: HttpMethod::Get,
        path: rows_path(collection),
        id: format!("list{name}s").replace("ys", "ies"),
        tag: collection.name(),
        summary: format!("Lists {what}"),
        about: "By id, a page at a time. A page has fewer rows than `limit` when they would take more than 5 MB."
            .to_owned(),
        parameters,
        body: None,
        successes: vec![Success {
            status: 200,
            about: "A page.",
            body: Some((format!("{name}Page"), page)),
            ..Success::default()
        }],
        problems: [TOKEN, if is_project { &[] } else { MEMBER }, &["invalid_parameter"], TABLE].concat(),
    })
}

fn create(collection: Collection) -> Result<Route, Error> {
    let name = singular(collection);
    let mut parameters = path_parameters(collection, false)?;
    parameters.push(headers::idempotency_key());
    let row = example_row(collection)?.0;
    let links = links(collection);
    let about = match collection {
        Collection::Projects => "Whoever creates a project owns it.".to_owned(),
        Collection::Memberships => {
            format!("{} An Admin gives the roles below Admin, an Owner every role.", takes(Role::Admin))
        }
        other => takes(writer(other)),
    };
    let of_project: &[&str] = match collection {
        // A repetition under an `Idempotency-Key` by someone who has left, or has deleted it.
        Collection::Projects => {
            &["membership_revoked", "project_deleted", "busy", "outcome_unknown", "idempotency_key_reused"]
        }
        _ => &[],
    };
    let in_project = if collection == Collection::Projects { vec![] } else { [MEMBER, COMMIT].concat() };
    Ok(Route {
        method: HttpMethod::Post,
        path: rows_path(collection),
        id: format!("create{name}"),
        tag: collection.name(),
        summary: format!("Creates a {}", name.to_lowercase()),
        about,
        parameters,
        body: Some(Body {
            schema: format!("{name}Creation"),
            example: creation_example(collection),
            max: 256 * KB,
            is_patch: false,
        }),
        successes: vec![
            Success {
                status: 201,
                about: "It is made.",
                body: Some((name.to_owned(), row.clone())),
                headers: vec!["ETag", "Location", "X-Server-Version", "Idempotent-Replay"],
                links,
            },
            Success {
                status: 200,
                about: "It was there already, with the same content: the request was sent again.",
                body: Some((name.to_owned(), row)),
                headers: vec!["ETag", "X-Server-Version", "Idempotent-Replay"],
                ..Success::default()
            },
        ],
        problems: [
            TOKEN,
            of_project,
            &in_project,
            &["invalid_parameter", "id_taken", "id_deleted"],
            BODY,
            references(collection),
            TABLE,
        ]
        .concat(),
    })
}

/// Something that the demo's project takes.
fn creation_example(collection: Collection) -> Value {
    let mut fields = example(collection);
    match collection {
        Collection::Dependencies => fields.insert("dep_type".to_owned(), json!("SS")),
        Collection::Memberships => fields.insert("user".to_owned(), json!("noah")),
        Collection::Projects => fields.remove("calendar"),
        Collection::Tasks | Collection::Calendars => None,
    };
    Value::Object(fields)
}

/// From what was made to what can be done with it.
fn links(collection: Collection) -> Vec<(String, Link)> {
    let name = singular(collection);
    let to = |operation: &str, project: &str| {
        let link = LinkBuilder::new().operation_id(operation).parameter("project_id", project);
        (operation.to_owned(), link)
    };
    let of_row = ["read", "change", "delete"].map(|verb| format!("{verb}{name}"));
    match collection {
        Collection::Projects => {
            let created = Collection::ALL.into_iter().skip(1).map(|other| format!("create{}", singular(other)));
            let all = of_row.into_iter().chain(["pull".to_owned(), "commitBatch".to_owned()]).chain(created);
            all.map(|operation| to(&operation, "$response.body#/id")).map(|(name, link)| (name, link.build())).collect()
        }
        _ => of_row
            .into_iter()
            .map(|operation| to(&operation, "$request.path.project_id"))
            .map(|(name, link)| (name, link.parameter("id", "$response.body#/id").build()))
            .collect(),
    }
}

fn read(collection: Collection) -> Result<Route, Error> {
    let name = singular(collection);
    Ok(Route {
        method: HttpMethod::Get,
        path: row_path(collection),
        id: format!("read{name}"),
        tag: collection.name(),
        summary: format!("Reads a {}", name.to_lowercase()),
        about: takes(Role::Viewer),
        parameters: path_parameters(collection, true)?,
        body: None,
        successes: vec![Success {
            status: 200,
            about: "The row.",
            body: Some((name.to_owned(), example_row(collection)?.0)),
            headers: vec!["ETag"],
            ..Success::default()
        }],
        problems: [TOKEN, MEMBER, &["invalid_parameter", "not_found"], TABLE].concat(),
    })
}

fn change(collection: Collection) -> Result<Route, Error> {
    let name = singular(collection);
    let mut parameters = path_parameters(collection, true)?;
    parameters.extend([headers::if_match(), headers::base_version(), headers::idempotency_key()]);
    let field = match collection {
        Collection::Projects => "description",
        Collection::Tasks => "percent_complete",
        Collection::Dependencies => "lag",
        Collection::Calendars => "hours_per_day",
        Collection::Memberships => "role",
    };
    let patch = columns(collection).into_iter().filter(|column| column.name == field);
    let patch = patch.map(|column| (column.name.to_owned(), column.example)).collect();
    let owner: &[&str] = if collection == Collection::Memberships { &["last_owner"] } else { &[] };
    Ok(Route {
        method: HttpMethod::Patch,
        path: row_path(collection),
        id: format!("change{name}"),
        tag: collection.name(),
        summary: format!("Changes a {}", name.to_lowercase()),
        about: format!("{} Where nothing changes, nothing is written.", takes(writer(collection))),
        parameters,
        body: Some(Body { schema: format!("{name}Patch"), example: patch, max: 256 * KB, is_patch: true }),
        successes: vec![Success {
            status: 200,
            about: "The row as it is now.",
            body: Some((name.to_owned(), example_row(collection)?.0)),
            headers: vec!["ETag", "X-Server-Version", "X-Merged-Concurrent-Fields", "Idempotent-Replay"],
            ..Success::default()
        }],
        problems: [
            TOKEN,
            MEMBER,
            COMMIT,
            &["invalid_parameter", "not_found", "version_mismatch", "sync_conflict"],
            BODY,
            references(collection),
            owner,
            TABLE,
        ]
        .concat(),
    })
}

fn delete(collection: Collection) -> Result<Route, Error> {
    let name = singular(collection);
    let mut parameters = path_parameters(collection, true)?;
    parameters.extend([headers::if_match(), headers::idempotency_key()]);
    let about = match collection {
        Collection::Projects => takes(Role::Owner),
        Collection::Memberships => {
            format!("{} Anyone may leave, the last owner aside.", takes(Role::Admin))
        }
        Collection::Tasks => format!("{} Its dependencies go with it.", takes(Role::Member)),
        other => takes(writer(other)),
    };
    let refused: &[&str] = match collection {
        Collection::Calendars => &["calendar_in_use", "not_found"],
        Collection::Memberships => &["last_owner", "not_found"],
        Collection::Tasks | Collection::Dependencies => &["not_found"],
        Collection::Projects => &[],
    };
    Ok(Route {
        method: HttpMethod::Delete,
        path: row_path(collection),
        id: format!("delete{name}"),
        tag: collection.name(),
        summary: format!("Deletes a {}", name.to_lowercase()),
        about,
        parameters,
        body: None,
        successes: vec![Success {
            status: 204,
            about: "It is deleted, now or before.",
            headers: vec!["X-Server-Version", "Idempotent-Replay"],
            ..Success::default()
        }],
        problems: [TOKEN, MEMBER, COMMIT, &["invalid_parameter", "version_mismatch"], refused, TABLE].concat(),
    })
}

fn batch() -> Route {
    let operations = json!({"operations": [
        {"method": "POST", "path": "tasks/", "body": {"id": "walls", "name": "Walls", "duration": 10}},
        {"method": "POST", "path": "dependencies/", "body": {"id": "frame-walls", "predecessor": "frame", "successor": "walls"}},
        {"method": "PATCH", "path": "tasks/foundation/", "body": {"percent_complete": 100}},
    ]});
    let results = json!({"results": [
        {"status": 201, "id": "walls", "server_version": 42},
        {"status": 201, "id": "frame-walls", "server_version": 43},
        {"status": 200, "id": "foundation", "server_version": 41},
    ]});
    Route {
        method: HttpMethod::Post,
        path: format!("{PROJECT}batch/"),
        id: "commitBatch".to_owned(),
        tag: "batch",
        summary: "Makes many changes as one".to_owned(),
        about: "All of them or none, each judged as the single request would be and with what those before it did. A refusal \
                has the status and the problem of the single request, and the index of the `operation`. At most 1,000 \
                operations, 98 rows and 4,000,000 bytes of rows."
            .to_owned(),
        parameters: vec![headers::in_path("project_id", crate::demo::PROJECT), headers::idempotency_key()],
        body: Some(Body { schema: "Batch".to_owned(), example: operations, max: 2048 * KB, is_patch: false }),
        successes: vec![Success {
            status: 200,
            about: "All are made.",
            body: Some(("BatchResults".to_owned(), results)),
            headers: vec!["X-Server-Version", "Idempotent-Replay"],
            ..Success::default()
        }],
        problems: [
            TOKEN,
            MEMBER,
            COMMIT,
            &["invalid_parameter", "not_found", "id_taken", "id_deleted", "version_mismatch", "batch_too_large"],
            BODY,
            references(Collection::Dependencies),
            &["calendar_in_use"],
            TABLE,
        ]
        .concat(),
    }
}

fn pull() -> Result<Route, Error> {
    let mut changes = serde_json::Map::new();
    for collection in Collection::ALL {
        let row = example_row(collection)?.1;
        changes.insert(collection.name().to_owned(), json!({"created": [], "updated": [row], "deleted": []}));
    }
    let again = LinkBuilder::new().operation_id("pull").parameter("project_id", "$request.path.project_id");
    let again = again.parameter("since", "$response.body#/timestamp").build();
    let mut parameters = vec![headers::in_path("project_id", crate::demo::PROJECT)];
    parameters.extend(headers::of_pulls());
    Ok(Route {
        method: HttpMethod::Get,
        path: format!("{PROJECT}sync/"),
        id: "pull".to_owned(),
        tag: "sync",
        summary: "Pulls what changed since the version that a device holds".to_owned(),
        about: "What WatermelonDB's `pullChanges` returns is in the answer. A project that was deleted, and the first pull of \
                a member who was removed, are answered with every id in `deleted`."
            .to_owned(),
        parameters,
        body: None,
        successes: vec![
            Success {
                status: 200,
                about: "All that changed, complete up to `timestamp`.",
                body: Some(("SyncResponse".to_owned(), json!({"changes": changes, "timestamp": 42}))),
                headers: vec!["Content-Encoding", "Vary", "Cache-Control"],
                links: vec![("pull".to_owned(), again)],
            },
            Success {
                status: 308,
                about: "Behind some gateways: the address without the slash.",
                headers: vec!["Location"],
                ..Success::default()
            },
        ],
        problems: [
            TOKEN,
            &["not_a_member", "membership_revoked", "invalid_parameter"],
            &["since_ahead_of_server", "resync_required", "min_version_ahead_of_server", "not_proven", "busy"],
            TABLE,
        ]
        .concat(),
    })
}

fn health() -> Route {
    Route {
        method: HttpMethod::Get,
        path: "/health".to_owned(),
        id: "health".to_owned(),
        tag: "health",
        summary: "Says that the service is there".to_owned(),
        about: "Without a token; the table is not asked.".to_owned(),
        parameters: vec![],
        body: None,
        successes: vec![Success {
            status: 200,
            about: "It is there.",
            body: Some(("Health".to_owned(), json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))),
            ..Success::default()
        }],
        problems: vec![],
    }
}

impl Route {
    /// The operation. What it may be refused for goes to `refusals`, since many are refused for the same.
    pub(super) fn operation(self, documented: &[Documented], refusals: &mut BTreeMap<String, Response>) -> Operation {
        let mut operation = OperationBuilder::new()
            .operation_id(Some(self.id))
            .tag(self.tag)
            .summary(Some(self.summary))
            .description(Some(self.about))
            .parameters(Some(self.parameters));
        if self.problems.is_empty() {
            operation = operation.securities(Some([]));
        }
        if let Some(Body { schema, example, max, is_patch }) = self.body {
            let content: Content = ContentBuilder::new().schema(Some(named(&schema))).example(Some(example)).build();
            let body = RequestBodyBuilder::new()
                .description(Some(format!("At most {} KB.", max / KB)))
                .required(Some(Required::True))
                .content("application/json", content.clone());
            let body = if is_patch { body.content("application/merge-patch+json", content) } else { body };
            operation = operation.request_body(Some(body.build()));
        }
        for success in self.successes {
            let mut response = ResponseBuilder::new().description(success.about);
            if let Some((schema, example)) = success.body {
                let content = ContentBuilder::new().schema(Some(named(&schema))).example(Some(example));
                response = response.content("application/json", content.build());
            }
            for name in success.headers.into_iter().chain(headers::ALWAYS) {
                response = response.header_ref(name, headers::named(name));
            }
            for (name, link) in success.links {
                response = response.link(name, link);
            }
            operation = operation.response(success.status.to_string(), response);
        }
        let refused = |problem: &&Documented| self.problems.contains(&problem.code.as_str());
        for status in documented.iter().filter(refused).map(|problem| problem.status).collect::<BTreeSet<_>>() {
            let here: Vec<_> = documented.iter().filter(refused).filter(|problem| problem.status == status).collect();
            let (name, response) = refusal(status, &here);
            refusals.insert(name.clone(), response);
            operation = operation.response(status.to_string(), Ref::from_response_name(name));
        }
        operation.build()
    }
}

/// The answer with this status for any of these reasons, and what it is called.
pub(super) fn refusal(status: u16, problems: &[&Documented]) -> (String, Response) {
    let mut codes: Vec<&str> = Vec::new();
    for problem in problems {
        if !codes.contains(&problem.code.as_str()) {
            codes.push(&problem.code);
        }
    }
    let listed: Vec<_> = codes.iter().map(|code| format!("`{code}`")).collect();
    let examples = codes.iter().map(|code| (*code, RefOr::Ref(Ref::new(format!("#/components/examples/{code}")))));
    let content = ContentBuilder::new().schema(Some(problem_of(status, &codes))).examples_from_iter(examples);
    let response = ResponseBuilder::new().description(listed.join(", "));
    let response = response.content("application/problem+json", content.build());
    let own =
        |name: &str| problems.iter().flat_map(|problem| &problem.headers).any(|own| own.eq_ignore_ascii_case(name));
    let names = headers::of_answers().into_iter().map(|(name, _)| name);
    let names = names.filter(|name| own(name) || headers::ALWAYS.contains(name));
    let response = names.fold(response, |response, name| response.header_ref(name, headers::named(name)));
    (codes.join("-or-"), response.build())
}
