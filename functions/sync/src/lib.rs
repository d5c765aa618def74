//! The delta pull: `GET /api/v1/projects/{project_id}/sync/?since=N`.

use std::sync::Arc;

use axum::extract::{FromRef, State};
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Extension, Router};
use serde::Deserialize;
use shared::auth::Verifier;
use shared::domain::{ProjectId, ServerVersion, Since};
use shared::http::{Caller, Outcome, Params, Path, Problem, both_slashes, finish, observed};
use shared::storage::Table;

mod body;
mod evidence;
mod migration;
mod paths;
mod pull;
mod strong;

pub use body::MAX_RESPONSE;
pub use paths::{PullPath, PullPaths};
use pull::{Pull, pull};
use strong::StrongReads;

/// What the handler needs.
#[derive(Clone)]
pub struct App {
    table: Table,
    verifier: Arc<Verifier>,
    paths: Arc<PullPaths>,
    strong: Arc<StrongReads>,
}

impl App {
    /// An app that has counted nothing yet.
    pub fn new(table: Table, verifier: Arc<Verifier>) -> Self {
        Self { table, verifier, paths: Arc::default(), strong: Arc::default() }
    }

    /// How often each way to an answer was taken.
    pub fn paths(&self) -> Arc<PullPaths> {
        Arc::clone(&self.paths)
    }
}

impl FromRef<App> for Arc<Verifier> {
    fn from_ref(app: &App) -> Self {
        Self::clone(&app.verifier)
    }
}

/// The function's one route.
pub fn router(app: App) -> Router {
    observed(finish(both_slashes(Router::new(), "/api/v1/projects/{project_id}/sync/", get(sync)))).with_state(app)
}

#[derive(Deserialize)]
struct OfProject {
    project_id: ProjectId,
}

async fn sync(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(OfProject { project_id }): Path<OfProject>,
    params: Params,
) -> Result<impl IntoResponse, Problem> {
    let since = params.integer("since", 0, ServerVersion::MAX)?.unwrap_or(0);
    let wanted = Pull {
        project: project_id,
        caller,
        since: Since::try_from(since).map_err(|error| Problem::parameter("since", error.to_string()))?,
        limit: params.integer("limit", 1, 100_000)?.and_then(|limit| usize::try_from(limit).ok()),
        turbo: params.get("turbo")? == Some("true"),
        needs_everything: migration::needs_everything(&params)?,
        min_version: params.integer("min_version", 0, ServerVersion::MAX)?.unwrap_or(0),
    };
    let (answer, path) = pull(&app.table, &app.strong, &wanted).await?;
    app.paths.count(path);
    let rows = answer.rows.len() + answer.deleted.len();
    let outcome = Outcome { mark: Some(answer.mark), rows: Some(rows), path: Some(path.name()) };
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((Extension(outcome), headers, answer.into_json()))
}
