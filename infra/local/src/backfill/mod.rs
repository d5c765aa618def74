//! Fills in columns that a resource has and rows that were written before do not, while the table is in use.
//!
//! A pull copies a row's JSON and never parses it, so what a row lacks no device gets. Each such row that is alive is
//! written again, with the resource's own default, by an ordinary commit: it takes a new version, and every device gets it
//! with its next pull. What a row lacks is decided on what the commit itself reads (`fill.rs`); a row that someone changed
//! meanwhile is complete and stays as it is. Nothing is remembered beside the rows: a run that was stopped is gone on
//! with by the next, and one after the last writes nothing.
//!
//! Tombstones and the rows of deleted projects are left alone: no device gets them.

mod fill;
mod report;

use indicatif::ProgressBar;
use shared::domain::{Collection, Draft, Error, ProjectId, Row, RowKey, Step};
use shared::storage::{Look, Partition, Table};
use tokio::time::sleep;

pub use report::{Left, Report};

use crate::operator::{PAUSE, Pace, TRIES, batches, partitions, unasked};

/// So few rows are written by one commit, since others wait for it.
const ROWS: usize = 25;

/// What is filled in, and how fast.
#[derive(Debug, Clone)]
pub struct Options {
    /// This project only; none for all of the table.
    pub project: Option<ProjectId>,
    /// This collection only; none for all.
    pub collection: Option<Collection>,
    /// At most so many rows a second.
    pub rate: u32,
}

/// Fills in what rows lack. Fails when something cannot be read or written at all; started again, it goes on.
pub async fn run(table: &Table, options: &Options, progress: &ProgressBar) -> Result<Report, Error> {
    let report = Report { table: table.name().to_owned(), ..Report::default() };
    let mut backfill = Backfill { table, options, progress, report, pace: Pace::new(options.rate) };
    let projects = match &options.project {
        Some(project) => vec![project.clone()],
        None => {
            let of_projects = partitions(table, progress).await?.into_iter().filter_map(|partition| match partition {
                Partition::Project(project) => Some(project),
                Partition::Requests(_) | Partition::Unknown(_) => None,
            });
            of_projects.collect()
        }
    };
    progress.set_length(projects.len() as u64);
    for project in projects {
        backfill.project(&project).await?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(backfill.report)
}

struct Backfill<'a> {
    table: &'a Table,
    options: &'a Options,
    progress: &'a ProgressBar,
    report: Report,
    pace: Pace,
}

impl Backfill<'_> {
    async fn project(&mut self, project: &ProjectId) -> Result<(), Error> {
        match self.table.counter(project).await {
            Ok(Some(counter)) if counter.deleted_at.is_some() => {
                self.report.deleted_projects += 1;
                return Ok(());
            }
            Ok(Some(_)) => self.report.projects += 1,
            Ok(None) => {
                self.report.leave(
                    project,
                    "_counter",
                    "there is no such project, or its counter is missing".to_owned(),
                );
                return Ok(());
            }
            Err(Error::Corrupt(what)) => {
                self.report.leave(project, "_counter", what);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let lacking = self.lacking(project).await?;
        let (all, mut done) = (lacking.len(), 0);
        for batch in batches(lacking, ROWS) {
            self.progress.set_message(format!("{project}: {done} of {all} rows"));
            self.write(project, &batch).await?;
            done += batch.len();
        }
        Ok(())
    }

    /// The rows that lack a column at first sight, each with about its bytes.
    async fn lacking(&mut self, project: &ProjectId) -> Result<Vec<(usize, RowKey)>, Error> {
        let mut lacking = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.table.stored_page(project, cursor).await?;
            self.progress.tick();
            for item in page.items.iter().filter(|item| !item.is_counter()) {
                match item.row() {
                    Ok(row) if self.options.collection.is_some_and(|only| row.key.collection != only) => {}
                    Ok(row) => {
                        self.report.rows += 1;
                        if fill::lacks_a_column(&row) {
                            lacking.push((Row::size(project, &row.key, row.columns(), &row.unknown), row.key));
                        }
                    }
                    Err(Error::Corrupt(what)) => self.report.leave(project, item.entity(), what),
                    Err(error) => return Err(error),
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(lacking);
            }
        }
    }

    async fn write(&mut self, project: &ProjectId, batch: &[RowKey]) -> Result<(), Error> {
        let look = Look::of_operator("backfill", batch.iter().cloned());
        let mut tries = 1;
        loop {
            self.pace.wait(batch.len()).await;
            let mut filled = fill::Filled::default();
            let decide = |draft: &mut Draft| {
                filled = fill::fill(draft, batch)?;
                Ok(Step::Last(()))
            };
            match self.table.commit(project, &look, decide, unasked).await {
                Ok(_) => {
                    self.report.filled_rows += filled.rows as u64;
                    for (key, why) in filled.left {
                        self.report.leave(project, &key.to_string(), why);
                    }
                    return Ok(());
                }
                // What an answer that was lost has written lacks nothing when it is read again.
                Err(Error::Busy | Error::OutcomeUnknown) if tries < TRIES => {
                    sleep(PAUSE * tries).await;
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
