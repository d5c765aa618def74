//! Every operation of both functions.

use serde_json::json;
use shared::domain::{Collection, Error};
use utoipa::openapi::link::LinkBuilder;
use utoipa::openapi::path::HttpMethod;

use super::columns::example_row;
use super::headers;
use super::route::{BODY, Body, COMMIT, KB, MEMBER, PROJECT, Route, Success, TABLE, TOKEN};
use super::rows::{change, create, delete, list, read, references};

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
                has the status and the problem of the single request, and the index of the `operation`. At most 98 \
                operations, 98 rows and 4,000,000 bytes of rows."
            .to_owned(),
        parameters: vec![headers::in_path("project_id", crate::EXAMPLE_PROJECT), headers::idempotency_key()],
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
            &["calendar_in_use", "quota_exceeded"],
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
        summary: "Pulls what changed since the version that a device holds".to_owned(),
        about: "What WatermelonDB's `pullChanges` returns is in the answer. A project that was deleted, and the first pull of \
                a member who was removed, are answered with the ids of all rows that existed then in `deleted`. What does not \
                fit one response follows in pages with `has_more`, whose `timestamp` is a place from 2^52 on and no version."
            .to_owned(),
        parameters,
        body: None,
        successes: vec![
            Success {
                status: 200,
                about: "All that changed, complete up to `timestamp`.",
                body: Some(("SyncResponse".to_owned(), json!({"changes": changes, "timestamp": 42}))),
                headers: vec!["Content-Encoding", "Vary"],
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
