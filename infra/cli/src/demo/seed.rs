//! A small, realistic project, which is created over REST.

use std::error::Error;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

/// The demo project's id.
pub const PROJECT: &str = api::EXAMPLE_PROJECT;
/// Its owner.
pub const OWNER: &str = "olga";
/// The other members, with their roles.
const MEMBERS: [(&str, u16); 4] = [("adam", 300), ("sofia", 200), ("mia", 100), ("vic", 1)];

/// The demo's users, the owner first.
pub(super) fn users() -> impl Iterator<Item = &'static str> {
    std::iter::once(OWNER).chain(MEMBERS.map(|(user, _)| user))
}

/// Creates the demo project unless it exists. `token` is its owner's.
pub async fn seed(router: &Router, token: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    seed_as(router, token, PROJECT).await
}

/// Creates the demo project under another id.
pub(super) async fn seed_as(router: &Router, token: &str, id: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let path = format!("/api/v1/projects/{id}/");
    let project = json!({"id": id, "name": "House by the lake", "start_date": "2026-03-02",
        "description": "Two storeys, timber frame, keys in September."});
    let there = send(router, token, Request::get(&path), None).await?;
    if there != StatusCode::FORBIDDEN {
        return Ok(());
    }
    create(router, token, "", project).await?;
    for (user, role) in MEMBERS {
        create(router, token, &format!("{id}/memberships/"), json!({"user": user, "role": role})).await?;
    }
    let site = json!({"id": "site", "name": "Site", "working_days": 63, "hours_per_day": 7.5, "timezone": "Europe/Berlin",
        "exceptions": [{"start": "2026-08-03", "end": "2026-08-14", "description": "Works holidays"}]});
    create(router, token, &format!("{id}/calendars/"), site).await?;
    let patch = Request::patch(&path);
    send(router, token, patch, Some(json!({"calendar": "site"}))).await?;
    for task in tasks() {
        create(router, token, &format!("{id}/tasks/"), task).await?;
    }
    let edges = [
        ("permit", "groundwork", "FS", 0),
        ("groundwork", "foundation", "FS", 0),
        ("foundation", "frame", "FS", 7),
        ("frame", "roof", "FS", 0),
        ("roof", "dry", "FS", 0),
        ("dry", "electrics", "FS", 0),
        ("dry", "plumbing", "FS", 0),
        ("electrics", "plaster", "FS", 0),
        ("plumbing", "plaster", "FS", 0),
        ("plaster", "paint", "SS", 5),
        ("plaster", "paint", "FF", 3),
        ("paint", "keys", "FS", 0),
        ("groundwork", "garden", "SS", 60),
    ];
    for (predecessor, successor, dep_type, lag) in edges {
        let edge_id = format!("{predecessor}-{successor}-{dep_type}");
        let edge = json!({"id": edge_id, "predecessor": predecessor, "successor": successor, "dep_type": dep_type, "lag": lag});
        create(router, token, &format!("{id}/dependencies/"), edge).await?;
    }
    Ok(())
}

fn tasks() -> Vec<Value> {
    vec![
        json!({"id": "permit", "name": "Building permit", "wbs_path": "1", "duration": 20, "percent_complete": 100,
            "status": "COMPLETE", "planned_start": "2026-03-02", "assignee": "adam"}),
        json!({"id": "groundwork", "name": "Groundwork", "wbs_path": "2.1", "duration": 8, "percent_complete": 100,
            "status": "COMPLETE", "planned_start": "2026-03-30"}),
        json!({"id": "foundation", "name": "Foundation slab", "wbs_path": "2.2", "duration": 6, "percent_complete": 60,
            "status": "IN_PROGRESS", "planned_start": "2026-04-10", "assignee": "mia",
            "notes": "Concrete needs a week above 5 °C before the frame goes up."}),
        json!({"id": "frame", "name": "Timber frame", "wbs_path": "3.1", "duration": 12, "assignee": "mia",
            "optimistic_duration": 10, "most_likely_duration": 12, "pessimistic_duration": 18}),
        json!({"id": "roof", "name": "Roof", "wbs_path": "3.2", "duration": 9,
            "optimistic_duration": 7, "most_likely_duration": 9, "pessimistic_duration": 16}),
        json!({"id": "dry", "name": "House is dry", "wbs_path": "3.3", "is_milestone": true}),
        json!({"id": "electrics", "name": "Electrics", "wbs_path": "4.1", "duration": 10}),
        json!({"id": "plumbing", "name": "Plumbing", "wbs_path": "4.2", "duration": 8}),
        json!({"id": "plaster", "name": "Plaster", "wbs_path": "4.3", "duration": 12}),
        json!({"id": "paint", "name": "Paint", "wbs_path": "4.4", "duration": 7}),
        json!({"id": "garden", "name": "Garden", "wbs_path": "5", "duration": 15, "status": "BACKLOG"}),
        json!({"id": "keys", "name": "Keys", "wbs_path": "6", "is_milestone": true, "planned_start": "2026-09-18"}),
    ]
}

async fn create(router: &Router, token: &str, path: &str, body: Value) -> Result<(), Box<dyn Error + Send + Sync>> {
    let request = Request::post(format!("/api/v1/projects/{path}"));
    match send(router, token, request, Some(body)).await? {
        StatusCode::CREATED => Ok(()),
        status => Err(format!("cannot create the demo project: POST {path} returned {status}").into()),
    }
}

async fn send(
    router: &Router,
    token: &str,
    request: axum::http::request::Builder,
    body: Option<Value>,
) -> Result<StatusCode, Box<dyn Error + Send + Sync>> {
    let request = request
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))?;
    let response = router.clone().oneshot(request).await?;
    let status = response.status();
    response.into_body().collect().await?;
    Ok(status)
}
