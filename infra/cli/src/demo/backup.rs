//! A backup of one project, and restoring it as an operator would.

use std::error::Error;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use indicatif::ProgressBar;
use serde::Serialize;
use shared::domain::ProjectId;
use shared::storage::{StoredItem, Table};

use ops::restore::{self, RAISE, Report};
use stack::table;

/// Rows a second: nothing else uses the engine meanwhile.
const RATE: u32 = 10_000;

/// Every item of a project as it lay on the table.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Backup {
    /// The project's version then.
    pub(super) version: u64,
    /// How many rows, tombstones included.
    pub(super) rows: usize,
    #[serde(skip)]
    items: Vec<StoredItem>,
}

/// Takes a backup; none of a project that there is not.
pub(super) async fn take(table: &Table, project: &ProjectId) -> Result<Option<Backup>, shared::domain::Error> {
    let items = table.stored(project).await?;
    let Some(counter) = items.iter().find(|item| item.is_counter()) else { return Ok(None) };
    let rows = items.iter().filter(|item| item.is_row()).count();
    Ok(Some(Backup { version: counter.counter()?.current.get(), rows, items }))
}

/// Puts a backup in the place of what the project is now, and restores it: `trueppm restore`, with the lost table or
/// without. To be called while nothing else uses the table.
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
        // DynamoDB restores into a new table, about which an earlier restoring's note says nothing.
        counter.0.remove("restored");
    }
    replace(client, table, project, items).await?;
    // The same backup may be restored again and again: each time above every mark that was handed out.
    let raise = RAISE * (1 + marks / RAISE);
    let options = restore::Options { project: Some(project.clone()), lost, rate: RATE, raise };
    restore::run(table, &options, &ProgressBar::hidden()).await
}

/// Makes these items all that the table has of the project.
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
