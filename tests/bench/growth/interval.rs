//! Pulls by a device that has missed so many changes, in a project of twice as many rows as the most.

use shared::storage::Table;

use crate::instance::Instance;
use crate::program::Outcome;
use crate::seed;
use crate::sheet::Sheet;

pub(crate) async fn measure(table: &Table, points: &[usize]) -> Outcome<Sheet> {
    let most = points.last().copied().unwrap_or_default();
    let instance = Instance::with_project(table, "interval").await?;
    instance.create_tasks(2 * most).await?;
    // Each of them is changed once, so a device that is so many versions behind gets so many rows.
    let changed: Vec<usize> = (0..2 * most).step_by(2).collect();
    for batch in changed.chunks(seed::BATCH) {
        seed::commit(table, &instance.project, batch, 50).await?;
    }
    let current = instance.current().await?;
    let mut sheet = Sheet::new("rows changed since the device's mark", points);
    for &rows in points {
        sheet.add("pull", instance.pull(&format!("since={}", current - rows as u64)).await?);
        sheet.add_peak_memory();
    }
    Ok(sheet)
}
