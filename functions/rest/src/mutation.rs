//! A request that changes something, before anything is read for it.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use shared::domain::{Columns, Precondition, ProjectId, RowId, UserId};
use shared::http::{Caller, Idempotency, Json, Path, Problem};
use shared::idempotency::KeyedRequest;

use crate::App;

/// `/projects/{project_id}/…`
#[derive(Debug, Deserialize)]
pub(crate) struct InProject {
    pub(crate) project_id: ProjectId,
}

/// `/projects/{project_id}/…/{id}/`
#[derive(Debug, Deserialize)]
pub(crate) struct OneRow {
    pub(crate) project_id: ProjectId,
    pub(crate) id: RowId,
}

/// The largest body, in bytes, unless a route says otherwise.
const MAX_BODY: usize = 256 * 1024;

/// A request that changes something at a path, with its caller and its content.
///
/// Its parts are checked in this order: the caller, the path, the headers, the body. A DELETE has no body, and a POST
/// has no precondition.
pub(crate) struct Mutation<P, const MAX: usize = MAX_BODY> {
    pub(crate) caller: UserId,
    pub(crate) path: P,
    pub(crate) precondition: Precondition,
    /// The fields of a row, or what else the route takes.
    pub(crate) body: Columns,
    /// The request under its `Idempotency-Key`, if it has one.
    pub(crate) request: Option<KeyedRequest>,
}

impl<P: DeserializeOwned + Send, const MAX: usize> FromRequest<App> for Mutation<P, MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let Caller(caller) = Caller::from_request_parts(&mut parts, app).await?;
        let Path(path) = Path::from_request_parts(&mut parts, app).await?;
        let idempotency = Idempotency::from_request_parts(&mut parts, app).await?;
        let precondition = match parts.method {
            Method::POST => Precondition::None,
            _ => Precondition::from_request_parts(&mut parts, app).await?,
        };
        let Json(body) = match parts.method {
            Method::DELETE => Json::<MAX>(Columns::new()),
            _ => Json::<MAX>::from_request(Request::from_parts(parts, body), app).await?,
        };
        let request = idempotency.request(&caller, &body);
        Ok(Self { caller, path, precondition, body, request })
    }
}
