//! A backup of one project, and its restore as an operator would do it.

use std::error::Error;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use indicatif::ProgressBar;
use serde::Serialize;
use shared::domain::ProjectId;
use shared::storage::{StoredItem, Table};

use ops::restore::{self, RAISE, Report};
use stack::table;

/// The maximum number of rows per second. It is high, because nothing else uses the engine meanwhile.
const RATE: u32 = 10_000;

/// Every item of a project as it was on the table.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Backup {
    /// The project's version at that time.
    pub(super) version: u64,
    /// The number of rows, including tombstones.
    pub(super) rows: usize,
    #[serde(skip)]
    items: Vec<StoredItem>,
}

/// Takes a backup. None if there is no such project.
pub(super) async fn take(table: &Table, project: &ProjectId) -> Result<Option<Backup>, shared::domain::Error> {
    let items = table.stored(project).await?;
    let Some(counter) = items.iter().find(|item| item.is_counter()) else { return Ok(None) };
    let rows = items.iter().filter(|item| item.is_row()).count();
    Ok(Some(Backup { version: counter.counter()?.current.get(), rows, items }))
}

/// Replaces the project by a backup and restores it as `trueppm restore` does, with or without the lost table. Call it while
/// nothing else uses the table.
pub(super) async fn restore(
    client: &Client,
    table: &Table,
    project: &ProjectId,
    backup: Backup,
    with_lost_table: bool,
) -> Result<Report, Box<dyn Error + Send + Sync>> {
    let now = take(table, project).await?;
    let marks = now.as_ref().map_or(0, |now| now.version);
    let lost = if with_lost_table {
        let lost = Table::new(client.clone(), format!("{}-lost", table.name()));
        table::create(client, lost.name()).await?;
        replace(client, &lost, project, now.map(|now| now.items).unwrap_or_default()).await?;
        Some(lost)
    } else {
        None
    };
    let mut items = backup.items;
    for counter in items.iter_mut().filter(|item| item.is_counter()) {
        // DynamoDB restores into a new table, which does not have the note of an earlier restore.
        counter.0.remove("restored");
    }
    replace(client, table, project, items).await?;
    // The same backup may be restored again and again. Each restore must be above every mark that was handed out.
    let raise = RAISE * (1 + marks / RAISE);
    let options = restore::Options { project: Some(project.clone()), lost, rate: RATE, raise };
    restore::run(table, &options, &ProgressBar::hidden()).await
}

/// Replaces all items of the project on the table by these.
async fn replace(
    client: &Client,
    table: &Table,
    project: &ProjectId,
    items: Vec<StoredItem>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let before = take(table, project).await?.map(|before| before.items).unwrap_or_default();
    for item in before {
        let key = item.0.into_iter().filter(|(name, _)| name == "project_id" || name == "entity").collect();
        let delete = client.delete_item().table_name(table.name()).set_key(Some(key));
        delete.send().await.map_err(|error| DisplayErrorContext(error).to_string())?;
    }
    for item in items {
        let put = client.put_item().table_name(table.name()).set_item(Some(item.0));
        put.send().await.map_err(|error| DisplayErrorContext(error).to_string())?;
    }
    Ok(())
}
