//! The dependencies of a project. A rule needs all of them: none may close a cycle.

use axum::http::Method;
use serde_json::{Value, json};
use shared::domain::{Collection, Dependency, RowKey};
use shared::storage::Table;

use crate::instance::{Cost, Instance};
use crate::program::Outcome;
use crate::seed;
use crate::sheet::Sheet;

/// The number of tasks that the dependencies link.
const TASKS: usize = 2_000;
/// The number of tasks that have successors. The tasks after them are only successors.
const PREDECESSORS: usize = 1_500;
/// How often each commit is measured.
const TIMES: usize = 5;
/// The operations of a batch.
const BATCH: usize = 98;

pub(crate) async fn measure(table: &Table, points: &[usize]) -> Outcome<Sheet> {
    let instance = Instance::with_project(table, "edges").await?;
    instance.create_tasks(TASKS).await?;
    let mut sheet = Sheet::new("dependencies", points);
    let mut edges = 0;
    for &count in points {
        let more: Vec<usize> = (edges..count).collect();
        write(&instance, &more).await?;
        edges = edges.max(count);
        instance.touch(0, sheet.columns() + 1).await?;
        let [mut create, mut patch, mut delete, mut delete_task] = [Cost::default(); 4];
        for time in 0..TIMES {
            let id = format!("new-{count}-{time}");
            let path = format!("dependencies/{id}/");
            create += instance.rest(Method::POST, "dependencies/", &body(&id, time)?).await?;
            patch += instance.rest(Method::PATCH, &path, &json!({"lag": 1})).await?;
            delete += instance.rest(Method::DELETE, &path, &Value::Null).await?;
            let lonely = json!({"id": format!("lonely-{count}-{time}"), "name": "Nothing depends on it"});
            instance.rest(Method::POST, "tasks/", &lonely).await?;
            let path = format!("tasks/lonely-{count}-{time}/");
            delete_task += instance.rest(Method::DELETE, &path, &Value::Null).await?;
        }
        sheet.add("create a dependency", create.over(TIMES));
        sheet.add("`PATCH` its lag", patch.over(TIMES));
        sheet.add("delete a dependency", delete.over(TIMES));
        sheet.add("delete a task without dependencies", delete_task.over(TIMES));
        sheet.add("batch that creates 98", batch(&instance, count).await?);
    }
    Ok(sheet)
}

/// A batch that creates dependencies. They are deleted again.
async fn batch(instance: &Instance, count: usize) -> Outcome<Cost> {
    let ids: Vec<String> = (0..BATCH).map(|number| format!("batch-{count}-{number}")).collect();
    let mut create = Vec::with_capacity(BATCH);
    for (number, id) in ids.iter().enumerate() {
        create.push(json!({"method": "POST", "path": "dependencies/", "body": body(id, number)?}));
    }
    let cost = instance.rest(Method::POST, "batch/", &json!({"operations": create})).await?;
    let delete = |id: &String| json!({"method": "DELETE", "path": format!("dependencies/{id}/")});
    let operations: Vec<Value> = ids.iter().map(delete).collect();
    instance.rest(Method::POST, "batch/", &json!({"operations": operations})).await?;
    instance.touch(0, count).await?;
    Ok(cost)
}

/// A dependency between tasks that no other dependency links: from the first task to one of the last.
fn body(id: &str, number: usize) -> Outcome<Value> {
    let (first, last) = (seed::key(0)?, seed::key(TASKS - 1 - number)?);
    Ok(json!({"id": id, "predecessor": first.id, "successor": last.id}))
}

/// Writes dependencies with these numbers. No two are alike, and each leads to a later task.
async fn write(instance: &Instance, numbers: &[usize]) -> Outcome<()> {
    for batch in numbers.chunks(seed::BATCH) {
        let edges = batch.iter().map(|number| edge(*number)).collect::<Outcome<Vec<_>>>()?;
        let keys: Vec<RowKey> = edges.iter().map(|(key, _)| key.clone()).collect();
        seed::commit_rows(&instance.table, &instance.project, &keys, |draft| {
            edges.iter().try_for_each(|(key, edge)| draft.put(key.id.clone(), edge))
        })
        .await?;
    }
    Ok(())
}

fn edge(number: usize) -> Outcome<(RowKey, Dependency)> {
    let from = number % PREDECESSORS;
    let to = from + 1 + number / PREDECESSORS;
    let key = RowKey::new(Collection::Dependencies, format!("0198c8d5-6b1e-7cc0-8f0f-{number:012}").parse()?);
    Ok((key, seed::parsed(&json!({"predecessor": seed::key(from)?.id, "successor": seed::key(to)?.id}))?))
}
