//! One operation of a batch: from what the client sends to a decision by the rules of its collection.

use axum::http::StatusCode;
use serde::Deserialize;
use shared::domain::{
    Calendar, Collection, Columns, Dependency, Draft, Error, FieldError, Precondition, ProjectId, RowId, RowKey, Step,
    Task, UserId,
};
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

/// One operation, as far as it makes sense without the project.
pub(crate) struct Operation {
    kind: Kind,
    pub(crate) key: RowKey,
    change: Change,
}

/// Of which collection.
#[derive(Clone, Copy)]
enum Kind {
    Task,
    Dependency,
    Calendar,
}

enum Change {
    Create(Columns),
    Update(Columns, Precondition),
    Delete(Precondition),
}

impl Kind {
    fn collection(self) -> Collection {
        match self {
            Self::Task => Collection::Tasks,
            Self::Dependency => Collection::Dependencies,
            Self::Calendar => Collection::Calendars,
        }
    }
}

impl Sent {
    /// Makes sense of it, as far as that can be done without the project.
    pub(crate) fn understood(self) -> Result<Operation, Error> {
        let (kind, id) = self.row()?;
        let Self { method, body, if_match, .. } = self;
        let precondition = if_match.map_or(Precondition::None, |version| Precondition::Match(vec![version]));
        let (id, change) = match (method, id, body) {
            (Method::Post, Some(_), _) => return Err(refuse("path", "must be that of a collection, for POST")),
            (Method::Patch | Method::Delete, None, _) => {
                return Err(refuse("path", "must be that of a row: tasks/<id>/"));
            }
            (Method::Post | Method::Patch, _, None) => return Err(refuse("body", "must be an object")),
            (Method::Delete, _, Some(_)) => return Err(refuse("body", "must be left out, for DELETE")),
            (Method::Post, ..) if if_match.is_some() => return Err(refuse("if_match", "must be left out, for POST")),
            (Method::Post, None, Some(mut fields)) => {
                let id = take_id(&mut fields).map_err(|error| below("body.", error))?;
                (id.unwrap_or_else(RowId::generate), Change::Create(fields))
            }
            (Method::Patch, Some(id), Some(patch)) => (id, Change::Update(patch, precondition)),
            (Method::Delete, Some(id), None) => (id, Change::Delete(precondition)),
        };
        Ok(Operation { kind, key: RowKey::new(kind.collection(), id), change })
    }

    /// What the path names: a collection, or a row of it.
    fn row(&self) -> Result<(Kind, Option<RowId>), Error> {
        let path = self.path.strip_suffix('/').unwrap_or(&self.path);
        let (collection, id) = path.split_once('/').map_or((path, None), |(collection, id)| (collection, Some(id)));
        let id = id
            .map(str::parse::<RowId>)
            .transpose()
            .map_err(|error| refuse("path", &format!("has an id that {error}")))?;
        let kind = match collection {
            "tasks" => Kind::Task,
            "dependencies" => Kind::Dependency,
            "calendars" => Kind::Calendar,
            _ => return Err(refuse("path", "must begin with tasks/, dependencies/ or calendars/")),
        };
        Ok((kind, id))
    }
}

impl Change {
    fn has_precondition(&self) -> bool {
        matches!(self, Self::Update(_, precondition) | Self::Delete(precondition) if !precondition.is_none())
    }
}

impl Operation {
    /// Looks at what the single request would look at.
    pub(crate) fn look(&self, look: Look, project: &ProjectId) -> Look {
        match self.kind {
            Kind::Task => self.look_of::<Task>(look, project),
            Kind::Dependency => self.look_of::<Dependency>(look, project),
            Kind::Calendar => self.look_of::<Calendar>(look, project),
        }
    }

    fn look_of<R: Rules>(&self, look: Look, project: &ProjectId) -> Look {
        let look = look.at([self.key.clone()]);
        match &self.change {
            Change::Create(fields) => R::look_for_create(look, project, fields),
            Change::Update(patch, _) => R::look_for_change(look, project, patch),
            Change::Delete(_) => R::look_for_delete(look, project),
        }
    }

    /// Decides as the single request would, and says with which status that one would be answered. All in one step: any
    /// number of rows may be drafted.
    pub(crate) fn decide(&self, draft: &mut Draft, caller: &UserId) -> Result<StatusCode, Error> {
        match self.kind {
            Kind::Task => self.decide_of::<Task>(draft, caller),
            Kind::Dependency => self.decide_of::<Dependency>(draft, caller),
            Kind::Calendar => self.decide_of::<Calendar>(draft, caller),
        }
    }

    fn decide_of<R: Rules>(&self, draft: &mut Draft, caller: &UserId) -> Result<StatusCode, Error> {
        let Self { key, change, .. } = self;
        if change.has_precondition() && draft.row(key).is_none() && draft.live(key).is_some() {
            return Err(refuse("if_match", "must be left out: the batch itself makes the row"));
        }
        let status = match change {
            Change::Create(fields) => {
                decide::create::<R>(draft, caller, Some(&key.id), fields).map(|step| match step {
                    Step::Last((Creation::Repeated, _)) => StatusCode::OK,
                    _ => StatusCode::CREATED,
                })
            }
            Change::Update(patch, precondition) => {
                decide::update::<R>(draft, caller, &key.id, patch, precondition).map(|_| StatusCode::OK)
            }
            Change::Delete(precondition) => {
                decide::delete::<R>(draft, caller, &key.id, precondition).map(|_| StatusCode::NO_CONTENT)
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
