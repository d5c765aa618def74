//! Deleted rows beside those that live. Half of either are dependencies, and their ids are mixed.

use axum::http::Method;
use serde_json::{Value, json};
use shared::domain::{Collection, Dependency, Error, RowKey, Task};
use shared::storage::Table;

use crate::instance::Instance;
use crate::program::Outcome;
use crate::seed;
use crate::sheet::Sheet;

/// Live tasks, and nearly as many live dependencies. With the project and its owner's membership they are 1,000 rows.
const LIVE: usize = 499;
/// The first number of a row that is deleted.
const DEAD: usize = 1_000_000;

pub(crate) async fn measure(table: &Table, points: &[usize]) -> Outcome<Sheet> {
    let instance = Instance::with_project(table, "tombstones").await?;
    let live: Vec<usize> = (0..LIVE).collect();
    write(&instance, &live, false).await?;
    let mut sheet = Sheet::new("tombstones beside 1,000 rows", points);
    let mut dead = 0;
    for &tombstones in points {
        let more: Vec<usize> = (dead..tombstones / 2).map(|n| DEAD + n).collect();
        dead = dead.max(tombstones / 2);
        write(&instance, &more, true).await?;
        // The next commit checks all rows of the latest one, so that one should be small.
        let body = json!({"percent_complete": sheet.columns() + 1});
        instance.rest(Method::PATCH, &format!("tasks/{}/", task(0)?.id), &body).await?;
        let current = instance.current().await?;
        sheet.add("first sync", instance.pull("since=0").await?);
        sheet.add_peak_memory();
        sheet.add("first sync with `turbo`", instance.pull("since=0&turbo=true").await?);
        sheet.add("pull, nothing new", instance.pull(&format!("since={current}")).await?);
        sheet.add("list 100 tasks", instance.read("tasks/").await?);
        sheet.add("list 100 dependencies", instance.read("dependencies/").await?);
        let id = format!("new-{tombstones}");
        let edge = json!({"id": id, "predecessor": task(0)?.id, "successor": task(LIVE / 2)?.id});
        sheet.add("create a dependency", instance.rest(Method::POST, "dependencies/", &edge).await?);
        instance.rest(Method::DELETE, &format!("dependencies/{id}/"), &Value::Null).await?;
    }
    Ok(sheet)
}

/// Writes tasks with these numbers and a dependency of each on the one before, and deletes them again if asked to.
async fn write(instance: &Instance, numbers: &[usize], then_delete: bool) -> Outcome<()> {
    for batch in numbers.chunks(seed::BATCH / 2) {
        let tasks = batch.iter().map(|number| task(*number)).collect::<Outcome<Vec<_>>>()?;
        let edges = batch.iter().map(|number| edge(*number)).collect::<Outcome<Vec<_>>>()?;
        let edges: Vec<(RowKey, Dependency)> = edges.into_iter().flatten().collect();
        let keys: Vec<RowKey> = tasks.iter().chain(edges.iter().map(|(key, _)| key)).cloned().collect();
        let (table, project) = (&instance.table, &instance.project);
        seed::commit_rows(table, project, &keys, |draft| {
            for key in &tasks {
                draft.put(key.id.clone(), &seed::parsed::<Task>(&json!({"name": "Dig the pit", "duration": 8}))?)?;
            }
            edges.iter().try_for_each(|(key, edge)| draft.put(key.id.clone(), edge))
        })
        .await?;
        if then_delete {
            let delete = |draft: &mut shared::domain::Draft| -> Result<(), Error> {
                keys.iter().for_each(|key| draft.delete(key.clone()));
                Ok(())
            };
            seed::commit_rows(table, project, &keys, delete).await?;
        }
    }
    Ok(())
}

fn task(number: usize) -> Outcome<RowKey> {
    Ok(RowKey::new(Collection::Tasks, mixed(number).parse()?))
}

/// The dependency of a task on the one before, if there is one.
fn edge(number: usize) -> Outcome<Option<(RowKey, Dependency)>> {
    if number == 0 {
        return Ok(None);
    }
    let key = RowKey::new(Collection::Dependencies, mixed(number).parse()?);
    let ends = json!({"predecessor": task(number - 1)?.id, "successor": task(number)?.id});
    Ok(Some((key, seed::parsed(&ends)?)))
}

/// An id that begins with a hash of the number.
fn mixed(number: usize) -> String {
    format!("{:08x}-6b1e-7cc0-8f0e-{number:012}", (number as u32).wrapping_mul(0x9e37_79b1))
}
