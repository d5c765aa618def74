//! One row that is written again and again: its version history, and the archive behind it.

use shared::storage::Table;

use crate::instance::{Cost, Instance};
use crate::program::Outcome;
use crate::sheet::Sheet;

/// The other tasks of the project.
const OTHERS: usize = 100;

pub(crate) async fn measure(table: &Table, points: &[usize]) -> Outcome<Sheet> {
    let instance = Instance::with_project(table, "writes").await?;
    instance.create_tasks(OTHERS + 1).await?;
    instance.touch(0, 1).await?;
    let before = instance.current().await?;
    let mut sheet = Sheet::new("writes of one row", points);
    let mut written = 0;
    for &writes in points {
        let (mut cost, from) = (Cost::default(), written);
        while written < writes {
            written += 1;
            cost += instance.touch(OTHERS, written).await?;
        }
        sheet.add("a write, mean since the point before", cost.over(writes - from));
        sheet.add("pull of all of them", instance.pull(&format!("since={before}")).await?);
        sheet.add("pull of the latest", instance.pull(&format!("since={}", before + writes as u64 - 1)).await?);
        sheet.add("first sync", instance.pull("since=0").await?);
    }
    Ok(sheet)
}
