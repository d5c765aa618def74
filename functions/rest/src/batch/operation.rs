//! One operation of a batch: from what the client sends to a decision by the rules of its collection.

use axum::http::StatusCode;
use serde::Deserialize;
use shared::domain::{
    Calendar, Columns, Dependency, Draft, Error, FieldError, ProjectId, RowId, RowKey, Step, Task, UserId,
};
use shared::http::{BaseVersion, IfMatch};
use shared::storage::Look;

use crate::decide::{self, Creation, Rules, refuse};
use crate::resource::take_id;

/// One operation, as the client sends it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sent {
    method: Method,
    /// Below the project: `tasks/`, `tasks/t1/`.
    path: String,
    body: Option<Columns>,
    /// The version at which the row must have been before the batch.
    if_match: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    Post,
    Patch,
    Delete,
}

/// One operation, with the rules of its collection.
pub(crate) struct Operation {
    pub(crate) key: RowKey,
    change: Change,
    /// Adds what the single request would look at.
    pub(crate) looks: fn(&Self, Look, &ProjectId) -> Look,
    /// Decides as the single request would, and says with which status that one would be answered.
    pub(crate) decides: fn(&Self, &mut Draft, &UserId) -> Result<StatusCode, Error>,
}

pub(crate) enum Change {
    Create(Columns),
    Update(Columns, IfMatch),
    Delete(IfMatch),
}

impl Sent {
    /// Makes sense of it, as far as that can be done without the project.
    pub(crate) fn understood(self) -> Result<Operation, Error> {
        let path = self.path.strip_suffix('/').unwrap_or(&self.path);
        let (collection, id) = path.split_once('/').map_or((path, None), |(collection, id)| (collection, Some(id)));
        let id = id
            .map(str::parse::<RowId>)
            .transpose()
            .map_err(|error| refuse("path", &format!("has an invalid id: the id {error}")))?;
        match collection {
            "tasks" => self.of::<Task>(id),
            "dependencies" => self.of::<Dependency>(id),
            "calendars" => self.of::<Calendar>(id),
            _ => Err(refuse("path", "must begin with tasks/, dependencies/ or calendars/")),
        }
    }

    fn of<R: Rules>(self, id: Option<RowId>) -> Result<Operation, Error> {
        let Self { method, body, if_match, .. } = self;
        let versions = if_match.map_or_else(IfMatch::any, IfMatch::version);
        let (id, change) = match (method, id, body) {
            (Method::Post, Some(_), _) => {
                return Err(refuse("path", "must name a collection for POST, such as tasks/"));
            }
            (Method::Patch | Method::Delete, None, _) => {
                return Err(refuse("path", "must name a row for PATCH and DELETE, such as tasks/<id>/"));
            }
            (Method::Post | Method::Patch, _, None) => return Err(refuse("body", "must be a JSON object")),
            (Method::Delete, _, Some(_)) => return Err(refuse("body", "must be left out for DELETE")),
            (Method::Post, ..) if if_match.is_some() => return Err(refuse("if_match", "must be left out for POST")),
            (Method::Post, None, Some(mut fields)) => {
                let id = take_id(&mut fields).map_err(|error| below("body.", error))?;
                (id.unwrap_or_else(RowId::generate), Change::Create(fields))
            }
            (Method::Patch, Some(id), Some(patch)) => (id, Change::Update(patch, versions)),
            (Method::Delete, Some(id), None) => (id, Change::Delete(versions)),
        };
        let key = RowKey::new(R::COLLECTION, id);
        Ok(Operation { key, change, looks: Operation::look::<R>, decides: Operation::decide::<R> })
    }
}

impl Change {
    fn has_if_match(&self) -> bool {
        matches!(self, Self::Update(_, if_match) | Self::Delete(if_match) if !if_match.is_any())
    }
}

impl Operation {
    /// Looks at what the single request would look at.
    fn look<R: Rules>(&self, look: Look, project: &ProjectId) -> Look {
        let look = look.at([self.key.clone()]);
        match &self.change {
            Change::Create(fields) | Change::Update(fields, _) => R::look_for_write(look, project, fields),
            Change::Delete(_) => R::look_for_delete(look, project),
        }
    }

    /// Decides as the single request would, and says with which status that one would be answered. All in one step: any
    /// number of rows may be drafted.
    fn decide<R: Rules>(&self, draft: &mut Draft, caller: &UserId) -> Result<StatusCode, Error> {
        let Self { key, change, .. } = self;
        if change.has_if_match() && draft.row(key).is_none() && draft.live(key).is_some() {
            return Err(refuse("if_match", "must be left out, because this batch creates the row"));
        }
        let status = match change {
            Change::Create(fields) => decide::create::<R>(draft, caller, &key.id, fields).map(|step| match step {
                Step::Last(Creation::Repeated) => StatusCode::OK,
                _ => StatusCode::CREATED,
            }),
            Change::Update(patch, if_match) => {
                decide::update::<R>(draft, caller, &key.id, patch, if_match, BaseVersion(None)).map(|_| StatusCode::OK)
            }
            Change::Delete(if_match) => {
                decide::delete::<R>(draft, caller, &key.id, if_match).map(|_| StatusCode::NO_CONTENT)
            }
        };
        status.map_err(|error| below("body.", error))
    }
}

/// The same error with this way to the fields that it names.
pub(crate) fn below(way: &str, error: Error) -> Error {
    let Error::Invalid(errors) = error else { return error };
    let moved = |FieldError { field, message }| FieldError { field: format!("{way}{field}"), message };
    Error::Invalid(errors.into_iter().map(moved).collect())
}
