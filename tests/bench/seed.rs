//! Projects of several sizes, each task made by a commit as REST would make it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};
use shared::auth::Verifier;
use shared::domain::{Collection, Draft, Error, ProjectId, Resource, RowId, RowKey, Step, Task, UserId, parse};
use shared::idempotency::RestAnswer;
use shared::storage::{Committed, ReadSet, Table};
use stack::{serve, table, token};
use tower::ServiceExt;

use crate::Outcome;

pub(crate) const TABLE: &str = "bench";
pub(crate) const USER: &str = "olga";
/// How many tasks the projects have.
pub(crate) const SIZES: [usize; 4] = [100, 1_000, 10_000, 100_000];
/// The number of tasks that are changed at the end. They are the delta.
pub(crate) const CHANGED: usize = 50;
/// Rows to a transaction, which takes 100 items.
pub(crate) const BATCH: usize = 90;

/// The project that was made.
pub(crate) struct Seeded {
    /// The counter before the last change.
    pub(crate) before_change: u64,
    /// The counter.
    pub(crate) current: u64,
    /// The size of a task as the device gets it.
    pub(crate) bytes_per_row: usize,
}

/// The id of the project with so many tasks.
pub(crate) fn id(size: usize) -> String {
    format!("bVvC2oXC-{size}")
}

/// An empty table.
pub(crate) async fn table(endpoint: &str) -> Outcome<Table> {
    let client = ops::endpoint::client(endpoint).await;
    table::create(&client, TABLE).await?;
    Ok(Table::new(client, TABLE))
}

pub(crate) async fn project(table: &Table, size: usize) -> Outcome<Seeded> {
    let project: ProjectId = id(size).parse()?;
    create_project(table, &project).await?;
    let tasks: Vec<usize> = (0..size).collect();
    for batch in tasks.chunks(BATCH) {
        commit(table, &project, batch, 0).await?;
    }
    let before_change = current(table, &project).await?;
    let changed: Vec<usize> = (0..size).step_by((size / CHANGED).max(1)).collect();
    commit(table, &project, &changed, 50).await?;
    let current = current(table, &project).await?;
    let row = table.snapshot(&project, &[key(0)?]).await?;
    let bytes_per_row = row.row(&key(0)?).map_or(0, |row| row.device_json(&project).len());
    Ok(Seeded { before_change, current, bytes_per_row })
}

pub(crate) fn verifier() -> Outcome<Arc<Verifier>> {
    let secret = |name: &str| (name == "JWT_SECRET").then(|| token::LOCAL_SECRET.to_owned());
    Ok(Arc::new(Verifier::configured(secret)?))
}

pub(crate) async fn create_project(table: &Table, id: &ProjectId) -> Outcome<()> {
    let token = token::sign(token::LOCAL_SECRET, USER)?;
    let body = json!({"id": id.as_str(), "name": "House by the lake", "start_date": "2026-03-02"});
    let request = Request::post("/api/v1/projects/")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))?;
    let response = serve::router(table.clone(), verifier()?).oneshot(request).await?;
    match response.status() {
        StatusCode::CREATED => Ok(()),
        status => Err(format!("the project was not made: {status}").into()),
    }
}

/// Writes these tasks in one commit, new or changed.
pub(crate) async fn commit(table: &Table, project: &ProjectId, tasks: &[usize], percent_complete: i64) -> Outcome<()> {
    let keys = tasks.iter().map(|number| key(*number)).collect::<Outcome<Vec<_>>>()?;
    let rows = tasks.iter().map(|number| task(*number, percent_complete)).collect::<Vec<_>>();
    commit_rows(table, project, &keys, |draft| {
        for (key, columns) in keys.iter().zip(&rows) {
            draft.put(key.id.clone(), &parsed::<Task>(columns)?)?;
        }
        Ok(())
    })
    .await
}

/// Makes one commit that writes only these rows. The rules of REST are not applied, so it costs the same in a project of any size.
pub(crate) async fn commit_rows(
    table: &Table,
    project: &ProjectId,
    keys: &[RowKey],
    write: impl Fn(&mut Draft) -> Result<(), Error>,
) -> Outcome<()> {
    let caller: UserId = USER.parse()?;
    let read_set = ReadSet::by(project, &caller).at(keys.to_vec());
    let decide = |draft: &mut Draft| write(draft).map(|()| Step::Last(()));
    let answer = |_: &Committed<'_, ()>| {
        Ok(RestAnswer { status: 200, headers: BTreeMap::new(), body: String::new(), row: None })
    };
    table.commit(project, &read_set, decide, answer).await?;
    Ok(())
}

/// The key of a task.
pub(crate) fn key(number: usize) -> Outcome<RowKey> {
    let id: RowId = format!("0198c8d5-6b1e-7cc0-8f0e-{number:012}").parse()?;
    Ok(RowKey::new(Collection::Tasks, id))
}

fn task(number: usize, percent_complete: i64) -> Value {
    json!({
        "name": format!("Task {number}"), "wbs_path": format!("{}.{}", number / 100 + 1, number % 100 + 1),
        "duration": 8, "percent_complete": percent_complete, "status": "IN_PROGRESS",
    })
}

/// A resource with these columns.
pub(crate) fn parsed<R: Resource>(columns: &Value) -> Result<R, Error> {
    parse(columns.as_object().unwrap_or(&serde_json::Map::new()))
}

/// The project's counter.
pub(crate) async fn current(table: &Table, project: &ProjectId) -> Outcome<u64> {
    Ok(table.counter(project).await?.ok_or("the project has no counter")?.current.get())
}
