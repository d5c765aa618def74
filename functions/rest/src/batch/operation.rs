//! One operation of a batch, from what the client sends to the decision by the rules of its collection.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::Deserialize;
use shared::domain::{
    Base, Calendar, Collection, Columns, Dependency, Draft, Error, FieldError, Precondition, ProjectId, RowId, RowKey,
    Step, Task, UserId, read,
};
use shared::storage::{MAX_BYTES, MAX_ROWS, ReadSet};

use crate::decide::{self, Creation, Rules, refuse};
use crate::resource::take_id;

/// One operation, as the client sends it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    method: Method,
    /// The path below the project, such as `tasks/` or `tasks/t1/`.
    path: String,
    body: Option<Columns>,
    /// The version at which the row must have been before the batch.
    if_match: Option<u64>,
    /// The version up to which the user has seen the fields of the row that `base_fields` does not name.
    base_version: Option<u64>,
    base_fields: Option<BTreeMap<String, u64>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    Post,
    Patch,
    Delete,
}

/// One operation that is valid as far as can be told without the project.
#[derive(Debug)]
pub(crate) struct Operation {
    kind: Kind,
    pub(crate) key: RowKey,
    change: Change,
}

/// The collection of the row.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Task,
    Dependency,
    Calendar,
}

#[derive(Debug)]
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

/// The result of an accepted operation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decided {
    /// The status that a single request would get.
    pub(crate) status: StatusCode,
    /// The fields that others changed since the operation's base, and that the operation does not name.
    pub(crate) merged: Vec<String>,
}

impl Sent {
    /// The precondition of the operation. Fails if it is contradictory.
    fn precondition(&mut self) -> Result<Precondition, Error> {
        match (self.if_match, self.base_version, self.base_fields.take()) {
            (Some(_), Some(_), _) => Err(refuse("base_version", "must not be given together with if_match")),
            (_, None, Some(_)) => Err(refuse("base_fields", "must come with base_version")),
            (None, Some(version), fields) => {
                Ok(Precondition::MergeSince(Base { version, fields: fields.unwrap_or_default() }))
            }
            (Some(version), None, None) => Ok(Precondition::Match(vec![version])),
            (None, None, None) => Ok(Precondition::None),
        }
    }

    /// Checks the operation as far as that can be done without the project.
    fn understood(mut self) -> Result<Operation, Error> {
        let (kind, id) = self.row()?;
        let precondition = self.precondition()?;
        let Self { method, body, .. } = self;
        let (id, change) = match (method, id, body) {
            (Method::Post, Some(_), _) => {
                return Err(refuse("path", "must name a collection for POST, such as tasks/"));
            }
            (Method::Patch | Method::Delete, None, _) => {
                return Err(refuse("path", "must name a row for PATCH and DELETE, such as tasks/<id>/"));
            }
            (Method::Post | Method::Patch, _, None) => return Err(refuse("body", "must be a JSON object")),
            (Method::Delete, _, Some(_)) => return Err(refuse("body", "must be left out for DELETE")),
            (Method::Post, ..) if !precondition.is_none() => {
                return Err(refuse(member_of(&precondition), "must be left out for POST"));
            }
            (Method::Post, None, Some(mut fields)) => {
                let id = take_id(&mut fields).map_err(|error| below("body.", error))?;
                (id.unwrap_or_else(RowId::generate), Change::Create(fields))
            }
            (Method::Patch, Some(id), Some(patch)) => (id, Change::Update(patch, precondition)),
            (Method::Delete, Some(id), None) => (id, Change::Delete(precondition)),
        };
        Ok(Operation { kind, key: RowKey::new(kind.collection(), id), change })
    }

    /// The collection that the path names, and the row if it names one.
    fn row(&self) -> Result<(Kind, Option<RowId>), Error> {
        let path = self.path.strip_suffix('/').unwrap_or(&self.path);
        let (collection, id) = path.split_once('/').map_or((path, None), |(collection, id)| (collection, Some(id)));
        let id = id
            .map(str::parse::<RowId>)
            .transpose()
            .map_err(|error| refuse("path", &format!("has an invalid id: the id {error}")))?;
        let kind = match collection {
            "tasks" => Kind::Task,
            "dependencies" => Kind::Dependency,
            "calendars" => Kind::Calendar,
            _ => return Err(refuse("path", "must begin with tasks/, dependencies/ or calendars/")),
        };
        Ok((kind, id))
    }
}

/// The member of an operation that holds this precondition.
fn member_of(precondition: &Precondition) -> &'static str {
    match precondition {
        Precondition::MergeSince(_) => "base_version",
        Precondition::None | Precondition::Match(_) => "if_match",
    }
}

impl Change {
    fn precondition(&self) -> &Precondition {
        match self {
            Self::Create(_) => &Precondition::None,
            Self::Update(_, precondition) | Self::Delete(precondition) => precondition,
        }
    }
}

impl Operation {
    /// Reads an operation. Fails if it is invalid whatever the project holds.
    pub(crate) fn read(sent: Columns) -> Result<Self, Error> {
        read::<Sent>(sent)?.understood()
    }

    /// Extends the read set by what the single request would read.
    pub(crate) fn extend(&self, read_set: ReadSet, project: &ProjectId) -> ReadSet {
        match self.kind {
            Kind::Task => self.look_of::<Task>(read_set, project),
            Kind::Dependency => self.look_of::<Dependency>(read_set, project),
            Kind::Calendar => self.look_of::<Calendar>(read_set, project),
        }
    }

    fn look_of<R: Rules>(&self, read_set: ReadSet, project: &ProjectId) -> ReadSet {
        let read_set = read_set.at([self.key.clone()]);
        match &self.change {
            Change::Create(fields) => R::look_for_create(read_set, project, fields),
            Change::Update(patch, _) => R::look_for_change(read_set, project, patch),
            Change::Delete(_) => R::look_for_delete(read_set, project),
        }
    }

    /// Decides as for the single request, but in one step: any number of rows may be drafted. An error about a field of
    /// the body names it below `body`.
    pub(crate) fn decide(&self, draft: &mut Draft, caller: &UserId) -> Result<Decided, Error> {
        match self.kind {
            Kind::Task => self.decide_of::<Task>(draft, caller),
            Kind::Dependency => self.decide_of::<Dependency>(draft, caller),
            Kind::Calendar => self.decide_of::<Calendar>(draft, caller),
        }
    }

    fn decide_of<R: Rules>(&self, draft: &mut Draft, caller: &UserId) -> Result<Decided, Error> {
        let Self { key, change, .. } = self;
        let precondition = change.precondition();
        if !precondition.is_none() && draft.row(key).is_none() && draft.live(key).is_some() {
            return Err(refuse(member_of(precondition), "must be left out, because this batch creates the row"));
        }
        let decided = |status| Decided { status, merged: vec![] };
        let decision = match change {
            Change::Create(fields) => {
                decide::create::<R>(draft, caller, Some(&key.id), fields).map(|step| match step {
                    Step::Last((Creation::Repeated, _)) => decided(StatusCode::OK),
                    _ => decided(StatusCode::CREATED),
                })
            }
            Change::Update(patch, precondition) => decide::update::<R>(draft, caller, &key.id, patch, precondition)
                .map(|step| {
                    let (Step::Last(merged) | Step::More { decided: merged, .. }) = step;
                    Decided { status: StatusCode::OK, merged }
                }),
            Change::Delete(precondition) => {
                decide::delete::<R>(draft, caller, &key.id, precondition).map(|_| decided(StatusCode::NO_CONTENT))
            }
        };
        decision.map_err(|error| below("body.", error))
    }
}

/// Fails if this many rows and bytes do not fit into one commit.
pub(crate) fn expect_fits(rows: usize, bytes: usize) -> Result<(), Error> {
    let too_large = |what, max| Err(Error::BatchTooLarge { what, max });
    if rows > MAX_ROWS {
        too_large("rows", MAX_ROWS)
    } else if bytes > MAX_BYTES {
        too_large("bytes", MAX_BYTES)
    } else {
        Ok(())
    }
}

/// The same error with this prefix on the fields that it names.
pub(crate) fn below(way: &str, error: Error) -> Error {
    renamed(error, |field| format!("{way}{field}"))
}

/// The same error with the fields of the body named as in a single request.
pub(crate) fn of_single_request(error: Error) -> Error {
    renamed(error, |field| field.strip_prefix("body.").map_or(field.clone(), str::to_owned))
}

fn renamed(error: Error, rename: impl Fn(String) -> String) -> Error {
    let Error::Invalid(errors) = error else { return error };
    let renamed = |FieldError { field, message }| FieldError { field: rename(field), message };
    Error::Invalid(errors.into_iter().map(renamed).collect())
}
