//! The answers of requests that succeed.

use std::collections::BTreeMap;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::value::RawValue;
use shared::domain::{Collection, Error, ProjectId, Row, RowKey};
use shared::http::Problem;
use shared::idempotency::RestAnswer;
use shared::storage::Committed;
use shared::storage::raw::escaped_len;

use crate::decide::Creation;

/// 200 with the row and its `ETag`.
pub(crate) fn found(project: &ProjectId, row: &Row) -> RestAnswer {
    let headers = BTreeMap::from([("etag".to_owned(), format!("\"{}\"", row.version))]);
    RestAnswer { status: 200, headers, body: row.rest_json(project), row: Some(row.key.clone()) }
}

/// 200 with the row after a change, and the names of the fields that others changed meanwhile.
pub(crate) fn changed(project: &ProjectId, row: &Row, merged: &[String]) -> RestAnswer {
    let mut answer = found(project, row);
    if !merged.is_empty() {
        answer.headers.insert("x-merged-concurrent-fields".to_owned(), merged.join(", "));
    }
    answer
}

/// 201 with the row and its address, or 200 if the row existed already.
pub(crate) fn creation<T>(
    project: &ProjectId,
    committed: &Committed<'_, T>,
    key: &RowKey,
    creation: Creation,
) -> Result<RestAnswer, Error> {
    let mut answer = found(project, committed.row(key)?);
    if creation == Creation::Created {
        let location = if key.collection == Collection::Projects {
            format!("/api/v1/projects/{project}/")
        } else {
            format!("/api/v1/projects/{project}/{}/{}/", key.collection.name(), key.id)
        };
        answer.status = 201;
        answer.headers.insert("location".to_owned(), location);
    }
    Ok(answer)
}

/// 204.
pub(crate) fn deleted() -> RestAnswer {
    RestAnswer { status: 204, headers: BTreeMap::new(), body: String::new(), row: None }
}

/// The most bytes that the rows of a list take in the function's response, escaped as a JSON string inside it. Lambda takes
/// 6,291,556 for all of it.
pub(crate) const MAX_LIST: usize = 5_000_000;

/// One page of a list: `{results, next}`, with as many of the rows as fit a response.
///
/// Each row is its JSON with its cursor. `rest` is the cursor after which there are more rows, for when all of these fit.
/// `path` makes the path of the page after a cursor.
pub(crate) fn list(
    mut rows: Vec<(String, String)>,
    rest: Option<String>,
    path: impl Fn(&str) -> String,
) -> Result<Response, Problem> {
    #[derive(serde::Serialize)]
    struct List {
        results: Vec<Box<RawValue>>,
        next: Option<String>,
    }
    let mut room = MAX_LIST;
    let fits =
        |(_, json): &&(String, String)| room.checked_sub(escaped_len(json) + 1).map(|left| room = left).is_some();
    let fitting = rows.iter().take_while(fits).count();
    let rest = if fitting < rows.len() {
        rows.truncate(fitting);
        rows.last().map(|(cursor, _)| cursor.clone())
    } else {
        rest
    };
    let next = rest.map(|cursor| path(&cursor));
    let results =
        rows.into_iter().map(|(_, json)| RawValue::from_string(json)).collect::<Result<_, _>>().map_err(unwritten)?;
    let body = serde_json::to_string(&List { results, next }).map_err(unwritten)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// 200 with the outcomes of a batch.
pub(crate) fn batch(results: &[impl serde::Serialize]) -> Result<RestAnswer, Error> {
    let body = serde_json::to_string(&serde_json::json!({ "results": results })).map_err(unwritten)?;
    Ok(RestAnswer { status: 200, headers: BTreeMap::new(), body, row: None })
}

fn unwritten(error: serde_json::Error) -> Error {
    tracing::error!(%error, "an answer cannot be written");
    Error::Bug("an answer cannot be written as JSON")
}
