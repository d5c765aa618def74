//! Projects: a project is a row of its own and comes with its counter and its owner.

use axum::extract::State;
use axum::response::Response;
use serde_json::Value;
use shared::domain::{
    Actor, Collection, Columns, Draft, Error, Membership, Project, ProjectId, Role, RowId, RowKey, Step, UserId,
    membership_id, parse,
};
use shared::http::{Caller, Params, Path, Problem};
use shared::idempotency::{Answered, KeyedRequest, RestAnswer};
use shared::storage::{Committed, ReadSet};

use crate::App;
use crate::answer;
use crate::decide::{self, Creation, Rules, named, refuse};
use crate::mutation::{InProject, Mutation, OneRow};
use crate::resource::{self, Page, take_id};

pub(crate) async fn list(State(app): State<App>, Caller(caller): Caller, params: Params) -> Result<Response, Problem> {
    let page = Page::<ProjectId>::of(&params)?;
    let (rows, next) = app.table.projects_of(&caller, page.cursor.as_ref(), page.limit, answer::MAX_LIST).await?;
    let rows = rows.iter().map(|(project, row)| (project.to_string(), row.rest_json(project))).collect();
    answer::list(rows, next.map(|last| last.to_string()), |cursor| {
        format!("/api/v1/projects/?limit={}&cursor={cursor}", page.limit)
    })
}

pub(crate) async fn create(State(app): State<App>, mutation: Mutation<()>) -> Result<Answered, Problem> {
    let Mutation { caller, body: mut fields, request, .. } = mutation;
    let project = take_id(&mut fields)?;
    // A request with a key and no id always gets the same id, because the record of the first try is stored under that project.
    let derived = || request.as_ref().map(KeyedRequest::project_id);
    // A project may have had this id before: the client chose it, or it was derived from the key.
    let known = project.or_else(derived);
    let may_be_known = known.is_some();
    let project = known.unwrap_or_else(ProjectId::generate);
    let key = RowKey::project(&project);
    // Check the request before the project is read. An invalid request must not reveal whether an id is taken.
    parse::<Project>(&Project::complete(fields.clone()))?;
    let read_set = Project::look_for_create(ReadSet::by_creator(&project, &caller), &project, &fields);
    let read_set = read_set.at([key.clone()]).keyed(request);
    let read_set = if may_be_known { read_set.at_the_start_of_versions() } else { read_set };
    let decide = |draft: &mut _| decide_create(draft, &caller, &fields);
    let answer = |committed: &Committed<'_, _>| answer::creation(&project, committed, &key, *committed.decided);
    Ok(app.table.commit(&project, &read_set, decide, answer).await?)
}

pub(crate) async fn read(
    app: State<App>,
    caller: Caller,
    Path(InProject { project_id }): Path<InProject>,
) -> Result<RestAnswer, Problem> {
    let id = project_id.row_id();
    resource::read::<Project>(app, caller, Path(OneRow { project_id, id })).await
}

pub(crate) async fn update(app: State<App>, mutation: Mutation<InProject>) -> Result<Answered, Problem> {
    resource::update::<Project>(app, of_row(mutation)).await
}

pub(crate) async fn delete(app: State<App>, mutation: Mutation<InProject>) -> Result<Answered, Problem> {
    resource::delete::<Project>(app, of_row(mutation)).await
}

/// The same request, for the project's row.
fn of_row(mutation: Mutation<InProject>) -> Mutation<OneRow> {
    let Mutation { caller, path: InProject { project_id }, precondition, body, request } = mutation;
    let id = project_id.row_id();
    Mutation { caller, path: OneRow { project_id, id }, precondition, body, request }
}

/// Creates a project with its creator as the owner. Only members of an existing project learn more than that its id is
/// taken.
fn decide_create(draft: &mut Draft, caller: &UserId, fields: &Columns) -> Result<Step<Creation>, Error> {
    let key = RowKey::project(draft.project());
    if draft.counter().is_some() {
        return match draft.authorize(caller, Role::Viewer) {
            Ok(_) => decide::repeated::<Project>(&key, draft.live(&key), fields),
            Err(Error::ProjectDeleted) => Err(Error::IdDeleted(key)),
            Err(_) => Err(Error::IdTaken(key)),
        };
    }
    let project: Project = parse(&Project::complete(fields.clone()))?;
    let owner = Actor { user: caller.clone(), role: Role::Owner };
    project.accept(&key.id, None, draft, &owner)?;
    draft.put(key.id, &project)?;
    let owner = membership_id(draft.project(), caller);
    draft.put(owner, &Membership { user: caller.clone(), role: Role::Owner })?;
    Ok(Step::Last(Creation::Created))
}

impl Rules for Project {
    const WRITER: Role = Role::Admin;

    /// A project starts today unless it says when (in UTC).
    fn complete(mut fields: Columns) -> Columns {
        let today = || jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().to_string();
        fields.entry("start_date").or_insert_with(|| Value::from(today()));
        fields
    }

    fn look_for_create(read_set: ReadSet, _: &ProjectId, fields: &Columns) -> ReadSet {
        read_set.at(named(fields, "calendar").map(|id| RowKey::new(Collection::Calendars, id)))
    }

    fn look_for_delete(read_set: ReadSet, _: &ProjectId) -> ReadSet {
        read_set
    }

    /// A new calendar must be a live one of the same project.
    fn accept(&self, _: &RowId, before: Option<&Self>, draft: &Draft, _: &Actor) -> Result<(), Error> {
        let unchanged = before.is_some_and(|before| before.calendar == self.calendar);
        match &self.calendar {
            Some(id) if !unchanged && draft.live(&RowKey::new(Collection::Calendars, id.clone())).is_none() => {
                Err(refuse("calendar", "must be a calendar of this project, or null"))
            }
            _ => Ok(()),
        }
    }

    fn may_delete(draft: &Draft, caller: &UserId, _: &RowKey) -> Result<(), Error> {
        draft.authorize(caller, Role::Owner).map(|_| ())
    }

    /// Writes the project's tombstone and `deleted_at` on its counter. All other rows stay as they are.
    fn delete(_: &RowId, draft: &mut Draft) -> Result<Step<()>, Error> {
        draft.delete_project();
        Ok(Step::Last(()))
    }
}
