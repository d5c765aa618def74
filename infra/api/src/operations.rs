//! The operations of the HTTP functions.

use serde_json::json;
use shared::domain::{Collection, Error};
use utoipa::openapi::link::LinkBuilder;
use utoipa::openapi::path::HttpMethod;

use super::columns::example_row;
use super::headers;
use super::route::{BODY, Body, COMMIT, KB, MEMBER, PROJECT, Route, Success, TABLE, TOKEN};
use super::rows::{change, create, delete, list, read, references};

/// All operations, in the order in which they are shown.
pub(super) fn all() -> Result<Vec<Route>, Error> {
    let mut all = vec![pull()?, heads()];
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
        summary: "Apply a batch of changes in one commit".to_owned(),
        about: "Operations are validated in order; each sees the effect of those before it. In the mode `all` either all of them \
                are applied or none. An error has the status and problem of the single request, and `operation` has the index. \
                In the mode `each` every operation is accepted or refused by itself. The accepted ones make one commit, and those \
                that do not fit into it are not attempted. A batch can have at most 98 operations, and can write at most 98 rows \
                and 4,000,000 bytes of rows."
            .to_owned(),
        parameters: vec![headers::in_path("project_id", crate::EXAMPLE_PROJECT), headers::idempotency_key()],
        body: Some(Body { schema: "Batch".to_owned(), example: operations, max: 2048 * KB, is_patch: false }),
        successes: vec![Success {
            status: 200,
            about: "The result of each operation.",
            body: Some(("BatchResults".to_owned(), results)),
            headers: vec!["X-Server-Version", "Idempotent-Replay"],
            ..Success::default()
        }],
        problems: [
            TOKEN,
            MEMBER,
            COMMIT,
            &["invalid_parameter", "not_found", "id_taken", "id_deleted", "version_mismatch", "sync_conflict", "batch_too_large"],
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
    let mut parameters = vec![headers::in_path("project_id", crate::EXAMPLE_PROJECT)];
    parameters.extend(headers::of_pulls());
    Ok(Route {
        method: HttpMethod::Get,
        path: format!("{PROJECT}sync/"),
        id: "pull".to_owned(),
        tag: "sync",
        summary: "Pull the changes since a version".to_owned(),
        about: "The response has the `changes` and `timestamp` that WatermelonDB's `pullChanges` returns. If the project was \
                deleted, or the caller's membership was revoked, `deleted` lists the ids of all rows, so that the device \
                removes them. For a revoked membership this happens once. If the ids do not fit one response, more pages \
                follow with `has_more`; their `timestamp` is a place in the list, from 2^52 up, and not a version."
            .to_owned(),
        parameters,
        body: None,
        successes: vec![
            Success {
                status: 200,
                about: "All changes up to `timestamp`.",
                body: Some(("SyncResponse".to_owned(), json!({"changes": changes, "timestamp": 42}))),
                headers: vec!["Content-Encoding", "Vary"],
                links: vec![("pull".to_owned(), again)],
            },
            Success {
                status: 308,
                about: "Redirect to the path without the final slash. Only behind some gateways.",
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

fn heads() -> Route {
    Route {
        method: HttpMethod::Get,
        path: "/api/v1/heads/".to_owned(),
        id: "listHeads".to_owned(),
        tag: "sync",
        summary: "List the current versions of the caller's projects".to_owned(),
        about: "Which projects moved: those whose `version` is above the device's mark have something to pull. Ordered by id, \
                in pages. Each page reads `limit` memberships, and leaves out deleted projects and projects that the caller \
                was removed from. So a page can have fewer heads than `limit`, or none, and still have a `next`. A project \
                that the caller was added to a moment ago can be missing."
            .to_owned(),
        parameters: headers::of_lists().into(),
        body: None,
        successes: vec![Success {
            status: 200,
            about: "One page of versions.",
            body: Some((
                "Heads".to_owned(),
                json!({"heads": [{"project": crate::EXAMPLE_PROJECT, "version": 42}], "next": null}),
            )),
            ..Success::default()
        }],
        problems: [TOKEN, &["invalid_parameter"], TABLE, &["busy"]].concat(),
    }
}

fn health() -> Route {
    Route {
        method: HttpMethod::Get,
        path: "/health".to_owned(),
        id: "health".to_owned(),
        tag: "health",
        summary: "Health check".to_owned(),
        about: "Needs no token. Does not read the table.".to_owned(),
        parameters: vec![],
        body: None,
        successes: vec![Success {
            status: 200,
            about: "The service is up.",
            body: Some(("Health".to_owned(), json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))),
            ..Success::default()
        }],
        problems: vec![],
    }
}
