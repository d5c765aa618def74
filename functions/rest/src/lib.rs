//! REST: the only way to change a project. Reads are strong, writes go through [`shared::storage::Table::commit`].

use std::sync::Arc;

use axum::extract::{FromRef, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use serde_json::json;
use shared::auth::Verifier;
use shared::domain::{Calendar, Dependency, Membership, Task};
use shared::http::{both_slashes, finish, observed};
use shared::storage::Table;

mod answer;
mod batch;
mod calendars;
mod decide;
mod dependencies;
mod heads;
mod memberships;
mod mutation;
mod projects;
mod resource;
mod tasks;

/// The state that the handlers share.
#[derive(Clone)]
pub struct App {
    /// The table.
    pub table: Table,
    /// Checks who is calling.
    pub verifier: Arc<Verifier>,
}

impl FromRef<App> for Arc<Verifier> {
    fn from_ref(app: &App) -> Self {
        Self::clone(&app.verifier)
    }
}

/// Every route of the function.
pub fn router(app: App) -> Router {
    let routes: [(&str, MethodRouter<App>); 12] = [
        ("/api/v1/heads/", get(heads::list)),
        ("/api/v1/projects/", get(projects::list).post(projects::create)),
        ("/api/v1/projects/{project_id}/", get(projects::read).patch(projects::update).delete(projects::delete)),
        ("/api/v1/projects/{project_id}/batch/", post(batch::commit)),
        ("/api/v1/projects/{project_id}/tasks/", resource::collection::<Task>()),
        ("/api/v1/projects/{project_id}/tasks/{id}/", resource::row::<Task>()),
        ("/api/v1/projects/{project_id}/dependencies/", resource::collection::<Dependency>()),
        ("/api/v1/projects/{project_id}/dependencies/{id}/", resource::row::<Dependency>()),
        ("/api/v1/projects/{project_id}/calendars/", resource::collection::<Calendar>()),
        ("/api/v1/projects/{project_id}/calendars/{id}/", resource::row::<Calendar>()),
        ("/api/v1/projects/{project_id}/memberships/", resource::collection::<Membership>()),
        ("/api/v1/projects/{project_id}/memberships/{id}/", resource::row::<Membership>()),
    ];
    let router = Router::new()
        .route("/health", get(health))
        .route("/api/v1/projects/{project_id}/sync/", get(to_sync_without_slash));
    let router = routes.into_iter().fold(router, |router, (path, methods)| both_slashes(router, path, methods));
    observed(finish(router).layer(middleware::from_fn(preflight))).with_state(app)
}

async fn health() -> impl IntoResponse {
    Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

/// A gateway may give `…/sync/` to this function instead of the other one. The plain client follows the redirect.
async fn to_sync_without_slash(request: Request) -> Redirect {
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    Redirect::permanent(&format!("{}{query}", request.uri().path().trim_end_matches('/')))
}

/// Behind an `ANY` route the gateway hands preflights to the function. Without a success the browser gives up. The
/// gateway adds the headers.
async fn preflight(request: Request, next: Next) -> Response {
    if request.method() == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    next.run(request).await
}
