//! The demo page's own routes, in addition to the product's.

use std::collections::HashMap;
use std::error::Error as AnyError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use shared::auth::Verifier;
use shared::domain::{Error, ProjectId};
use shared::http::{Path, Problem};
use shared::storage::Table;
use tokio::sync::RwLock;

use super::backup::{self, Backup};
use super::journal::{Journal, REQUEST};
use super::{OWNER, PROJECT, page, seed};
use ops::history;
use stack::serve;
use stack::token::Signer;

/// The maximum lag of the index.
const MAX_LAG: u64 = 60_000;

/// The local stack with a page on it.
pub struct Demo {
    client: Client,
    table: Table,
    journal: Arc<Journal>,
    verifier: Arc<Verifier>,
    signer: Signer,
    backups: Mutex<HashMap<ProjectId, Backup>>,
    /// A lock that each request of the product shares and that a restore takes alone, because a restore needs the table without
    /// traffic.
    traffic: RwLock<()>,
}

impl Demo {
    /// The demo on the table behind `client`, whose calls pass through the journal. `signer` signs the tokens of its users.
    pub fn new(client: Client, table: &str, journal: Arc<Journal>, verifier: Arc<Verifier>, signer: Signer) -> Self {
        Self {
            table: Table::new(client.clone(), table),
            client,
            journal,
            verifier,
            signer,
            backups: Mutex::default(),
            traffic: RwLock::default(),
        }
    }

    fn backup(&self, project: &ProjectId) -> Option<Backup> {
        self.backups.lock().unwrap_or_else(PoisonError::into_inner).get(project).cloned()
    }
}

/// The routes of the page and of the product.
pub fn router(demo: &Arc<Demo>) -> Router {
    let product = product(demo);
    let project = "/demo/projects/{project_id}";
    let seeding = product.clone();
    let seed = move |State(demo): State<Arc<Demo>>| another(demo, seeding);
    let own = Router::new()
        .route("/demo/setup", get(setup))
        .route("/demo/lag", put(set_lag))
        .route("/demo/projects", post(seed))
        .route(&format!("{project}/versions"), get(versions))
        .route(&format!("{project}/backup"), post(take_backup))
        .route(&format!("{project}/restore"), post(restore))
        .with_state(Arc::clone(demo))
        .merge(page::router())
        .layer(axum::middleware::from_fn(from_this_page));
    own.merge(product)
}

/// The product's functions, with the request of each commit known to the journal.
fn product(demo: &Arc<Demo>) -> Router {
    serve::router(demo.table.clone(), Arc::clone(&demo.verifier))
        .layer(from_fn_with_state(Arc::clone(demo), in_traffic))
}

async fn in_traffic(State(demo): State<Arc<Demo>>, request: Request, next: Next) -> Response {
    let _no_restore = demo.traffic.read().await;
    let authorization = request.headers().get(header::AUTHORIZATION).cloned();
    let authorization = authorization.as_ref().and_then(|value| value.to_str().ok());
    let user = demo.verifier.caller(authorization).await.map_or_else(|_| "nobody".to_owned(), |user| user.to_string());
    let path = request.uri().path().trim_start_matches("/api/v1/projects/").trim_end_matches('/');
    let in_project = path.split_once('/').map_or("the project", |(_, path)| path);
    let words = format!("{} {in_project} by {user}", request.method());
    REQUEST.scope(words, next.run(request)).await
}

/// Refuses requests that another site's page might send through the browser of someone who runs this. The address that the
/// browser calls must be this machine's, and changes must come from the page itself.
async fn from_this_page(request: Request, next: Next) -> Response {
    let headers = request.headers().clone();
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = header("host").unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let site = header("sec-fetch-site");
    let foreign = !matches!(name, "127.0.0.1" | "localhost" | "[::1]")
        || site.is_some_and(|site| !matches!(site, "same-origin" | "none"));
    if foreign {
        let detail = "Open the page at http://127.0.0.1, with the port that `trueppm demo` printed.";
        return Problem::new(StatusCode::FORBIDDEN, "foreign_page", "Not from this page", detail).into_response();
    }
    next.run(request).await
}

/// The users with a token for each, and the project to begin with.
async fn setup(State(demo): State<Arc<Demo>>) -> Result<impl IntoResponse, Problem> {
    let mut users = Vec::new();
    for user in seed::users() {
        users.push(json!({ "user": user, "token": demo.signer.sign(user).map_err(failed)? }));
    }
    let lag = u64::try_from(demo.journal.lag().as_millis()).unwrap_or(u64::MAX);
    let setup = json!({"project": PROJECT, "users": users, "lag_ms": lag});
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(setup)))
}

/// Creates another demo project, for when the first one is deleted.
async fn another(demo: Arc<Demo>, product: Router) -> Result<impl IntoResponse, Problem> {
    let project = ProjectId::generate();
    let token = demo.signer.sign(OWNER).map_err(failed)?;
    seed::seed_as(&product, &token, project.as_str()).await.map_err(failed)?;
    Ok((StatusCode::CREATED, Json(json!({ "id": project }))))
}

#[derive(Deserialize)]
struct Lag {
    milliseconds: u64,
}

async fn set_lag(State(demo): State<Arc<Demo>>, Json(lag): Json<Lag>) -> Result<StatusCode, Problem> {
    if lag.milliseconds > MAX_LAG {
        return Err(Problem::parameter("milliseconds", format!("must be at most {MAX_LAG}")));
    }
    demo.journal.set_lag(Duration::from_millis(lag.milliseconds));
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct OfProject {
    project_id: ProjectId,
}

/// The state of each version, the commits that this stack has seen, and the backup, if there is one. With the entity tag of an
/// earlier answer, it answers 304 until the project moves.
async fn versions(
    State(demo): State<Arc<Demo>>,
    Path(OfProject { project_id }): Path<OfProject>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let backup = demo.backup(&project_id);
    let counter = demo.table.counter(&project_id).await?;
    let version = counter.map_or(0, |counter| counter.current.get());
    let tag = format!("\"{version}-{}\"", backup.as_ref().map_or(0, |backup| backup.version));
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == tag) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    let history = history::read(&demo.table, &project_id).await?;
    let commits = demo.journal.commits(project_id.as_str());
    let body = json!({"history": history, "commits": commits, "backup": backup});
    Ok(([(header::ETAG, tag), (header::CACHE_CONTROL, "no-store".to_owned())], Json(body)).into_response())
}

async fn take_backup(
    State(demo): State<Arc<Demo>>,
    Path(OfProject { project_id }): Path<OfProject>,
) -> Result<impl IntoResponse, Problem> {
    let _no_traffic = demo.traffic.write().await;
    let backup = backup::take(&demo.table, &project_id).await?.ok_or(Error::NotAMember)?;
    demo.backups.lock().unwrap_or_else(PoisonError::into_inner).insert(project_id, backup.clone());
    Ok((StatusCode::CREATED, Json(backup)))
}

#[derive(Deserialize)]
struct Restore {
    /// Whether the lost table can still be read.
    lost_table: bool,
}

async fn restore(
    State(demo): State<Arc<Demo>>,
    Path(OfProject { project_id }): Path<OfProject>,
    Json(Restore { lost_table }): Json<Restore>,
) -> Result<impl IntoResponse, Problem> {
    let Some(backup) = demo.backup(&project_id) else {
        return Err(Problem::new(StatusCode::CONFLICT, "no_backup", "No backup", "Take a backup first."));
    };
    let _no_traffic = demo.traffic.write().await;
    let restored = backup::restore(&demo.client, &demo.table, &project_id, backup, lost_table).await;
    Ok(Json(restored.map_err(failed)?))
}

/// Errors are shown in full, because there is nobody to hide them from.
fn failed(error: impl Into<Box<dyn AnyError + Send + Sync>>) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "demo_failed", "The demo failed", error.into().to_string())
}
