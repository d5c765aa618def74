//! The delta pull: `GET /api/v1/projects/{project_id}/sync/?since=N`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRef, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serde::Deserialize;
use shared::auth::Verifier;
use shared::domain::{Mark, ProjectId, ServerVersion};
use shared::http::{Caller, LoggedOutcome, Params, Path, Problem, both_slashes, finish, observed};
use shared::storage::Table;

mod body;
mod encoding;
mod kept;
mod lambda;
mod migration;
mod outcome;
mod proof;
mod pull;
mod ranges;
mod strong_reads;
#[cfg(test)]
mod testing;
mod throttle;
mod wipe;

pub use body::MAX_RESPONSE;
use body::{Budget, Encoded, EncodedBody, IdBudget, Unwritten};
use encoding::Encoding;
use kept::GivenPage;
pub use kept::{KeptPages, Limits};
pub use lambda::run;
pub use outcome::{PullOutcome, PullOutcomes};
use pull::{NewPage, Pull, Pulled, pull};
use strong_reads::StrongReads;

/// Everything that the handler needs.
#[derive(Clone)]
pub struct App {
    table: Table,
    verifier: Arc<Verifier>,
    outcomes: Arc<PullOutcomes>,
    strong: Arc<StrongReads>,
    kept: Arc<KeptPages>,
    wipe_page: usize,
}

impl App {
    /// A handler that has counted nothing yet and keeps no pages.
    pub fn new(table: Table, verifier: Arc<Verifier>) -> Self {
        let kept = Arc::new(KeptPages::off());
        Self { table, verifier, outcomes: Arc::default(), strong: Arc::default(), kept, wipe_page: usize::MAX }
    }

    /// Keeps pages in this store. The pages belong to one table, so two handlers may share a store only if they have the same
    /// table.
    #[must_use]
    pub fn keeping(self, kept: Arc<KeptPages>) -> Self {
        Self { kept, ..self }
    }

    /// Limits the ids in one response of a wipe. Only tests set this, because they do not have 90,000 rows.
    #[must_use]
    pub fn with_wipe_pages_of(self, ids: usize) -> Self {
        Self { wipe_page: ids, ..self }
    }

    /// The number of pulls with each outcome.
    pub fn outcomes(&self) -> Arc<PullOutcomes> {
        Arc::clone(&self.outcomes)
    }
}

impl FromRef<App> for Arc<Verifier> {
    fn from_ref(app: &App) -> Self {
        Self::clone(&app.verifier)
    }
}

/// The function's one route.
pub fn router(app: App) -> Router {
    router_without_bodies(app).layer(map_response(written))
}

/// The function's one route, with responses whose bodies the caller writes. See [`Unwritten`].
fn router_without_bodies(app: App) -> Router {
    let routes = both_slashes(Router::new(), "/api/v1/projects/{project_id}/sync/", get(sync));
    observed(finish(routes).layer(from_fn(without_body_to_head))).with_state(app)
}

/// HEAD is answered like GET, and axum removes only a body that is already written, so this removes the unwritten one.
async fn without_body_to_head(request: Request, next: Next) -> Response {
    let is_head = request.method() == Method::HEAD;
    let mut response = next.run(request).await;
    if is_head {
        response.extensions_mut().remove::<Unwritten>();
    }
    response
}

#[derive(Deserialize)]
struct OfProject {
    project_id: ProjectId,
}

/// A mark among the parameters, or [`Mark::NOTHING`] if the parameter is missing.
fn mark_in(params: &Params, name: &'static str) -> Result<Mark, Problem> {
    let number = params.integer(name, 0, ServerVersion::MAX)?.unwrap_or(0);
    Mark::try_from(number).map_err(|error| Problem::parameter(name, error.to_string()))
}

async fn sync(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(OfProject { project_id }): Path<OfProject>,
    params: Params,
    encoding: Encoding,
) -> Result<impl IntoResponse, Problem> {
    let since = mark_in(&params, "since")?;
    let limit = params.integer("limit", 1, 100_000)?.and_then(|limit| usize::try_from(limit).ok());
    let mut wanted = Pull {
        project: project_id,
        caller,
        since,
        budget: Budget::new(limit.unwrap_or(usize::MAX), encoding),
        encoding,
        wipe_page: IdBudget::new(app.wipe_page),
        turbo: params.get("turbo")? == Some("true"),
        needs_everything: migration::needs_everything(&params)?,
        min_version: mark_in(&params, "min_version")?,
    };
    let logged_as = |mark: Mark, rows, outcome: PullOutcome| LoggedOutcome {
        mark: Some(mark.get()),
        rows: Some(rows),
        pull: Some(outcome.name()),
    };
    let (body, logged, outcome) = loop {
        let made = match pull(&app.table, &app.strong, &app.kept, &wanted).await? {
            Pulled::Made(made) => made,
            Pulled::Given(GivenPage { body, is_gzip, mark, rows }) => {
                let body = if is_gzip { EncodedBody::Gzip(body) } else { EncodedBody::Plain(body) };
                break (body, logged_as(mark, rows, PullOutcome::Kept), PullOutcome::Kept);
            }
        };
        let rows = made.answer.rows.len() + made.answer.deleted.len();
        let logged = logged_as(made.answer.mark, rows, made.outcome);
        match made.answer.encode(encoding, wanted.budget)? {
            Encoded::Fits(body) => {
                made.page.into_iter().for_each(|page| keep(&app.kept, page, &body, wanted.budget));
                break (body, logged, made.outcome);
            }
            // Pull again, because a smaller page needs a proof of its own.
            Encoded::TooLarge(budget) => wanted.budget = budget,
        }
    };
    app.outcomes.count(outcome);
    Ok((Extension(logged), body))
}

/// Keeps a page that was made, and the pages that follow it.
fn keep(kept: &KeptPages, page: NewPage<'_>, body: &EncodedBody, budget: Budget) {
    let NewPage { page, reading, following } = page;
    if page.rows < kept.limits().min_rows {
        return;
    }
    for (key, page, answer) in following.into_iter().filter(|(_, page, _)| page.rows >= kept.limits().min_rows) {
        if let Ok(Encoded::Fits(body)) = answer.encode(key.encoding, budget)
            && let Ok((body, is_gzip)) = body.written()
        {
            kept.keep(key, page, body, is_gzip);
        }
    }
    if let Ok((body, is_gzip)) = body.written() {
        reading.keep(page, body, is_gzip);
    }
}

/// The response with its body.
async fn written(mut response: Response) -> Response {
    let Some(Unwritten(answer)) = response.extensions_mut().remove() else { return response };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    match answer.to_json() {
        Ok(body) => Response::from_parts(parts, Body::from(body)),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
