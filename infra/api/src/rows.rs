//! The operations that every collection has.

use serde_json::{Value, json};
use shared::domain::{Collection, Error, Role};
use utoipa::openapi::link::{Link, LinkBuilder};
use utoipa::openapi::path::{HttpMethod, Parameter};

use super::columns::{columns, example, example_row, place, singular};
use super::headers;
use super::route::{BODY, Body, COMMIT, KB, MEMBER, PROJECT, PROJECTS, Route, Success, TABLE, TOKEN};

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

/// The path parameters of a collection, or of a row.
fn path_parameters(collection: Collection, row: bool) -> Result<Vec<Parameter>, Error> {
    let project = headers::in_path("project_id", crate::EXAMPLE_PROJECT);
    let id = headers::in_path("id", place(collection)?.id.as_str());
    Ok(match (collection, row) {
        (Collection::Projects, false) => vec![],
        (Collection::Projects, true) | (_, false) => vec![project],
        (_, true) => vec![project, id],
    })
}

/// The lowest role that may write rows of a collection.
pub fn writer(collection: Collection) -> Role {
    match collection {
        Collection::Tasks => Role::Member,
        Collection::Dependencies => Role::Scheduler,
        Collection::Projects | Collection::Calendars | Collection::Memberships => Role::Admin,
    }
}

fn takes(role: Role) -> String {
    format!("Needs the role {role:?} ({}) or a higher one.", i64::from(role))
}

/// The problems that references to other rows can cause.
pub(super) fn references(collection: Collection) -> &'static [&'static str] {
    match collection {
        Collection::Dependencies => &["dependency_cycle", "duplicate_dependency"],
        _ => &[],
    }
}

const ABOUT_LISTS: &str = "Ordered by id, in pages. A page has fewer rows than `limit` if they would exceed 5 MB.";
const ABOUT_PROJECTS: &str = " Each page reads `limit` memberships, but at least 100, and leaves out deleted projects. So a page can \
                              have fewer rows than `limit`, or none, and still have a `next`.";

pub(super) fn list(collection: Collection) -> Result<Route, Error> {
    let name = singular(collection);
    let mut parameters = path_parameters(collection, false)?;
    parameters.extend(headers::of_lists());
    let is_project = collection == Collection::Projects;
    let what = if is_project { "the caller's projects" } else { collection.name() };
    let next = format!("{}?limit=1&cursor={}", rows_path(collection), place(collection)?.id);
    let next = next.replace("{project_id}", crate::EXAMPLE_PROJECT);
    let page = json!({"results": [example_row(collection)?.0], "next": next});
    Ok(Route {
        method: HttpMethod::Get,
        path: rows_path(collection),
        id: format!("list{name}s").replace("ys", "ies"),
        tag: collection.name(),
        summary: format!("List {what}"),
        about: format!("{ABOUT_LISTS}{}", if is_project { ABOUT_PROJECTS } else { "" }),
        parameters,
        body: None,
        successes: vec![Success {
            status: 200,
            about: "One page of rows.",
            body: Some((format!("{name}Page"), page)),
            ..Success::default()
        }],
        problems: [TOKEN, if is_project { &[] } else { MEMBER }, &["invalid_parameter"], TABLE].concat(),
    })
}

pub(super) fn create(collection: Collection) -> Result<Route, Error> {
    let name = singular(collection);
    let mut parameters = path_parameters(collection, false)?;
    parameters.push(headers::idempotency_key());
    let row = example_row(collection)?.0;
    let links = links(collection);
    let about = match collection {
        Collection::Projects => "The caller becomes the project's owner.".to_owned(),
        Collection::Memberships => {
            format!("{} An Admin can give roles below Admin. An Owner can give every role.", takes(Role::Admin))
        }
        other => takes(writer(other)),
    };
    let of_project: &[&str] = match collection {
        // This happens when a request is repeated under an `Idempotency-Key` by a user who has left or has deleted the project.
        Collection::Projects => &[
            "membership_revoked",
            "project_deleted",
            "busy",
            "outcome_unknown",
            "idempotency_key_reused",
            "quota_exceeded",
        ],
        _ => &[],
    };
    let in_project = if collection == Collection::Projects { vec![] } else { [MEMBER, COMMIT].concat() };
    Ok(Route {
        method: HttpMethod::Post,
        path: rows_path(collection),
        id: format!("create{name}"),
        tag: collection.name(),
        summary: format!("Create a {}", name.to_lowercase()),
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
                about: "The row was created.",
                body: Some((name.to_owned(), row.clone())),
                headers: vec!["ETag", "Location", "X-Server-Version", "Idempotent-Replay"],
                links,
            },
            Success {
                status: 200,
                about: "The row already exists with the same content. This is a repeated request.",
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

/// A row that can be created in the demo's project.
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

/// Links from a created row to the operations on it.
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

pub(super) fn read(collection: Collection) -> Result<Route, Error> {
    let name = singular(collection);
    Ok(Route {
        method: HttpMethod::Get,
        path: row_path(collection),
        id: format!("read{name}"),
        tag: collection.name(),
        summary: format!("Read a {}", name.to_lowercase()),
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

pub(super) fn change(collection: Collection) -> Result<Route, Error> {
    let name = singular(collection);
    let mut parameters = path_parameters(collection, true)?;
    parameters.extend(headers::of_changes());
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
        summary: format!("Update a {}", name.to_lowercase()),
        about: format!("{} If no field changes, nothing is written.", takes(writer(collection))),
        parameters,
        body: Some(Body { schema: format!("{name}Patch"), example: patch, max: 256 * KB, is_patch: true }),
        successes: vec![Success {
            status: 200,
            about: "The row after the change.",
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

pub(super) fn delete(collection: Collection) -> Result<Route, Error> {
    let name = singular(collection);
    let mut parameters = path_parameters(collection, true)?;
    parameters.extend(headers::of_changes());
    let about = match collection {
        Collection::Projects => takes(Role::Owner),
        Collection::Memberships => {
            format!(
                "{} Members can always remove themselves. The last owner can do so only if the project is deleted.",
                takes(Role::Admin)
            )
        }
        Collection::Tasks => format!("{} The task's dependencies are deleted with it.", takes(Role::Member)),
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
        summary: format!("Delete a {}", name.to_lowercase()),
        about,
        parameters,
        body: None,
        successes: vec![Success {
            status: 204,
            about: "The row is deleted. It may have been deleted before.",
            headers: vec!["X-Server-Version", "Idempotent-Replay"],
            ..Success::default()
        }],
        problems: [TOKEN, MEMBER, COMMIT, &["invalid_parameter", "version_mismatch", "sync_conflict"], refused, TABLE]
            .concat(),
    })
}
