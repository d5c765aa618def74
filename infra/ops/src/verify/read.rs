//! Reads a table project by project until each has stopped changing.

use std::time::Duration;

use indicatif::ProgressBar;
use shared::domain::{Error, ProjectId, RowKey, ServerVersion};
use shared::storage::{Partition, StoredItem, Table};
use tokio::time::sleep;

use super::check::{Check, Violation};
use super::judge::judge;
use super::report::{Outcome, Report};
use super::world::{Judgement, Reading};
use crate::operator::partitions;

/// The limits on reading a project again before it is judged.
///
/// A commit in progress and a lagging index look like violations for a moment. So a violation is reported only if a second read
/// finds it as well.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The maximum number of reads.
    pub readings: u32,
    /// The pause between two reads.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { readings: 6, pause: Duration::from_secs(1) }
    }
}

/// Audits one project, or all projects of the table. Fails if something cannot be read at all.
pub async fn run(
    table: &Table,
    project: Option<ProjectId>,
    patience: Patience,
    progress: &ProgressBar,
) -> Result<Report, Error> {
    table.expect_live_edges().await?;
    let mut report = Report { table: table.name().to_owned(), ..Report::default() };
    let projects = match project {
        Some(project) => vec![project],
        None => projects(table, progress, &mut report).await?,
    };
    progress.set_length(projects.len() as u64);
    for project in projects {
        let outcome = settle(table, &project, patience, progress).await?;
        report.add(&project, outcome);
        progress.inc(1);
        progress.set_message(report.progress());
    }
    progress.finish_and_clear();
    report.finish();
    Ok(report)
}

/// All projects of the table, including those without a counter.
async fn projects(table: &Table, progress: &ProgressBar, report: &mut Report) -> Result<Vec<ProjectId>, Error> {
    let partitions = partitions(table, progress).await?;
    report.look(Check::PartitionKnown, partitions.len());
    let mut projects = Vec::new();
    for partition in partitions {
        match partition {
            Partition::Project(project) => projects.push(project),
            Partition::Requests(_) | Partition::Counts | Partition::Live | Partition::Table => {}
            Partition::Unknown(key) => report.violation(Violation {
                written: None,
                project: key,
                entity: None,
                check: Check::PartitionKnown,
                detail: "the partition belongs to no project and has no idempotency records".to_owned(),
            }),
        }
    }
    Ok(projects)
}

/// Reads and judges until there is no violation, or until two reads agree.
async fn settle(
    table: &Table,
    project: &ProjectId,
    patience: Patience,
    progress: &ProgressBar,
) -> Result<Outcome, Error> {
    let mut judged: Option<(Judgement, usize)> = None;
    for reading in 0..patience.readings {
        if reading > 0 {
            sleep(patience.pause).await;
        }
        progress.tick();
        let Some(reading) = read(table, project).await? else { continue };
        let judgement = judge(&reading);
        let behind_at_first = judged.as_ref().map_or(judgement.behind.len(), |(_, behind)| *behind);
        let again = judged.as_ref().is_some_and(|(before, _)| before.violations == judgement.violations);
        let settled = judgement.behind.is_empty() && (judgement.violations.is_empty() || again);
        judged = Some((judgement, behind_at_first));
        if settled {
            break;
        }
    }
    Ok(judged.map_or(Outcome::Moving, |(judgement, behind)| Outcome::Judged(judgement, behind)))
}

/// Reads one project. None if it changed meanwhile.
async fn read(table: &Table, project: &ProjectId) -> Result<Option<Reading>, Error> {
    let stored = table.stored(project).await?;
    if stored.is_empty() {
        return Err(Error::NotFound(RowKey::project(project)));
    }
    let indexed = table.indexed(project).await?;
    let reading = Reading { project: project.clone(), stored, indexed };
    let counter = reading.stored.iter().find(|item| item.is_counter()).map(StoredItem::counter);
    let before = counter.and_then(Result::ok).map(|counter| counter.current);
    Ok((current(table, project).await? == before).then_some(reading))
}

/// The counter's value, or none if the counter is missing or cannot be read.
async fn current(table: &Table, project: &ProjectId) -> Result<Option<ServerVersion>, Error> {
    match table.counter(project).await {
        Ok(counter) => Ok(counter.map(|counter| counter.current)),
        Err(Error::Corrupt(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
