//! The handlers that all resources share.

use axum::extract::State;
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use shared::domain::{Collection, Columns, Error, Resource, Role, RowId, RowKey};
use shared::http::{Caller, Params, Path, Problem};
use shared::idempotency::{Answered, RestAnswer};
use shared::storage::{Committed, ReadSet};

use crate::App;
use crate::answer;
use crate::decide::{self, Creation, Rules, refuse};
use crate::mutation::{InProject, Mutation, OneRow};

/// The routes of a collection.
pub(crate) fn collection<R: Rules>() -> MethodRouter<App> {
    get(list::<R>).post(create::<R>)
}

/// The routes of a row.
pub(crate) fn row<R: Rules>() -> MethodRouter<App> {
    get(read::<R>).patch(update::<R>).delete(delete::<R>)
}

pub(crate) async fn read<R: Resource>(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(OneRow { project_id, id }): Path<OneRow>,
) -> Result<RestAnswer, Problem> {
    app.table.expect_member(&project_id, &caller).await?;
    let key = RowKey::new(R::COLLECTION, id);
    // Read the row first, then the membership. One call does not read both at the same moment. If the caller was removed before
    // the row was written, the second read sees the removal.
    let row = app.table.row(&project_id, &key).await;
    app.table.authorize(&project_id, &caller, Role::Viewer).await?;
    let row = row?.filter(|row| row.live().is_some()).ok_or(Error::NotFound(key))?;
    Ok(answer::found(&project_id, &row))
}

pub(crate) async fn list<R: Resource>(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(InProject { project_id }): Path<InProject>,
    params: Params,
) -> Result<Response, Problem> {
    let page = Page::<RowId>::of(&params)?;
    app.table.expect_member(&project_id, &caller).await?;
    let after = page.cursor.map(|id| RowKey::new(R::COLLECTION, id));
    let (rows, more) = app.table.list(&project_id, R::COLLECTION, after.as_ref(), page.limit, answer::MAX_LIST).await?;
    // Check the membership after the rows were read. A removed member must not see what was written after the removal.
    app.table.authorize(&project_id, &caller, Role::Viewer).await?;
    let rest = rows.last().filter(|_| more).map(|last| last.key.id.to_string());
    let rows = rows.iter().map(|row| (row.key.id.to_string(), row.rest_json(&project_id))).collect();
    answer::list(rows, rest, |cursor| {
        format!("/api/v1/projects/{project_id}/{}/?limit={}&cursor={cursor}", R::COLLECTION.name(), page.limit)
    })
}

async fn create<R: Rules>(State(app): State<App>, mutation: Mutation<InProject>) -> Result<Answered, Problem> {
    let Mutation { caller, path: InProject { project_id }, mut body, request, .. } = mutation;
    let chosen = R::choose_id(take_id(&mut body)?);
    let key = R::new_id(&project_id, chosen.as_ref(), &body).ok().map(|id| RowKey::new(R::COLLECTION, id));
    let read_set = ReadSet::by(&project_id, &caller).at(key).keyed(request);
    let read_set = R::look_for_create(read_set, &project_id, &body);
    let decide = |draft: &mut _| decide::create::<R>(draft, &caller, chosen.as_ref(), &body);
    let answer = |committed: &Committed<'_, (Creation, RowKey)>| {
        let (creation, key) = committed.decided;
        answer::creation(&project_id, committed, key, *creation)
    };
    Ok(app.table.commit(&project_id, &read_set, decide, answer).await?)
}

pub(crate) async fn update<R: Rules>(State(app): State<App>, mutation: Mutation<OneRow>) -> Result<Answered, Problem> {
    let Mutation { caller, path: OneRow { project_id, id }, precondition, body: patch, request } = mutation;
    let key = RowKey::new(R::COLLECTION, id.clone());
    let read_set = ReadSet::by(&project_id, &caller).at([key.clone()]).keyed(request);
    let read_set = R::look_for_change(read_set, &project_id, &patch);
    let decide = |draft: &mut _| decide::update::<R>(draft, &caller, &id, &patch, &precondition);
    let answer =
        |committed: &Committed<'_, Vec<_>>| Ok(answer::changed(&project_id, committed.row(&key)?, committed.decided));
    Ok(app.table.commit(&project_id, &read_set, decide, answer).await?)
}

pub(crate) async fn delete<R: Rules>(State(app): State<App>, mutation: Mutation<OneRow>) -> Result<Answered, Problem> {
    let Mutation { caller, path: OneRow { project_id, id }, precondition, request, .. } = mutation;
    let key = RowKey::new(R::COLLECTION, id.clone());
    let read_set = R::look_for_delete(ReadSet::by(&project_id, &caller).at([key]), &project_id).keyed(request);
    let decide = |draft: &mut _| decide::delete::<R>(draft, &caller, &id, &precondition);
    Ok(app.table.commit(&project_id, &read_set, decide, |_| Ok(answer::deleted())).await?)
}

/// Takes the client's id out of a creation's fields.
pub(crate) fn take_id<Id: std::str::FromStr>(fields: &mut Columns) -> Result<Option<Id>, Error>
where
    Id::Err: std::fmt::Display,
{
    let Some(value) = fields.remove("id") else { return Ok(None) };
    let text = value.as_str().ok_or_else(|| refuse("id", "must be a string"))?;
    text.parse().map(Some).map_err(|error: Id::Err| refuse("id", &error.to_string()))
}

/// The part of a list that a request asks for: `limit` from 1 to 1000, by default 100, and `cursor`, the last id of the
/// page before.
pub(crate) struct Page<Id> {
    pub(crate) limit: usize,
    pub(crate) cursor: Option<Id>,
}

impl<Id: std::str::FromStr> Page<Id> {
    pub(crate) fn of(params: &Params) -> Result<Self, Problem> {
        let limit = params.integer("limit", 1, 1000)?.unwrap_or(100);
        let cursor = params.get("cursor")?.map(str::parse).transpose();
        Ok(Self {
            limit: usize::try_from(limit).unwrap_or(1000),
            cursor: cursor.map_err(|_| Problem::parameter("cursor", "must be the `next` of an earlier response"))?,
        })
    }
}

/// The collections that dependency rules read in full.
pub(crate) const EDGES: [Collection; 1] = [Collection::Dependencies];
