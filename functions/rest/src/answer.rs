//! What a success looks like.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::value::RawValue;
use shared::domain::{Collection, Error, ProjectId, Row, ServerVersion};
use shared::http::Problem;

/// One row with its `ETag`.
pub(crate) struct RowAnswer {
    status: StatusCode,
    location: Option<String>,
    etag: String,
    json: String,
}

impl RowAnswer {
    /// 200 with the row.
    pub(crate) fn found(project: &ProjectId, row: &Row) -> Self {
        Self {
            status: StatusCode::OK,
            location: None,
            etag: format!("\"{}\"", row.version),
            json: row.rest_json(project),
        }
    }

    /// 201 with the row and its address.
    pub(crate) fn created(project: &ProjectId, row: &Row) -> Self {
        let location = match row.key.collection {
            Collection::Projects => format!("/api/v1/projects/{project}/"),
            collection => format!("/api/v1/projects/{project}/{}/{}/", collection.name(), row.key.id),
        };
        Self { status: StatusCode::CREATED, location: Some(location), ..Self::found(project, row) }
    }
}

impl IntoResponse for RowAnswer {
    fn into_response(self) -> Response {
        let mut response = json(self.status, self.json);
        let headers = response.headers_mut();
        if let Ok(etag) = HeaderValue::from_str(&self.etag) {
            headers.insert(header::ETAG, etag);
        }
        if let Some(Ok(location)) = self.location.map(HeaderValue::try_from) {
            headers.insert(header::LOCATION, location);
        }
        response
    }
}

/// One page of a list: `{results, next}`.
pub(crate) fn list(rows: Vec<String>, next: Option<String>) -> Result<Response, Problem> {
    #[derive(serde::Serialize)]
    struct List {
        results: Vec<Box<RawValue>>,
        next: Option<String>,
    }
    let results = rows.into_iter().map(RawValue::from_string).collect::<Result<_, _>>().map_err(corrupt)?;
    Ok(json(StatusCode::OK, serde_json::to_string(&List { results, next }).map_err(corrupt)?))
}

/// The outcomes of a batch, with `X-Server-Version`: what the project is at now.
pub(crate) fn batch(results: &[impl serde::Serialize], version: Option<ServerVersion>) -> Result<Response, Problem> {
    let body = serde_json::to_string(&serde_json::json!({ "results": results })).map_err(corrupt)?;
    let mut response = json(StatusCode::OK, body);
    if let Some(version) = version {
        response.headers_mut().insert("x-server-version", HeaderValue::from(version.get()));
    }
    Ok(response)
}

fn corrupt(error: serde_json::Error) -> Problem {
    Error::Corrupt(error.to_string()).into()
}

fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
