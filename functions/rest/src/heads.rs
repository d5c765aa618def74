//! The current versions of the caller's projects. An app sees from them which projects moved.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use shared::domain::ProjectId;
use shared::http::{Caller, Params, Problem};

use crate::App;
use crate::resource::Page;

/// One page: `{heads, next}`. `next` is the cursor of the next page.
#[derive(Serialize)]
struct Heads {
    heads: Vec<Head>,
    next: Option<ProjectId>,
}

#[derive(Serialize)]
struct Head {
    project: ProjectId,
    version: u64,
}

pub(crate) async fn list(
    State(app): State<App>,
    Caller(caller): Caller,
    params: Params,
) -> Result<impl IntoResponse, Problem> {
    let page = Page::<ProjectId>::of(&params)?;
    let (heads, next) = app.table.heads_of(&caller, page.cursor.as_ref(), page.limit).await?;
    let heads = heads.into_iter().map(|head| Head { project: head.project, version: head.version.get() }).collect();
    Ok(Json(Heads { heads, next }))
}
