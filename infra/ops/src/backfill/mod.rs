//! Fills in columns that a resource has and rows that were written before do not, while the table is in use.
//!
//! A pull copies a row's JSON and never parses it, so what a row lacks no device gets. Each such row that is alive is
//! written again, with the resource's own default, by an ordinary commit: it takes a new version, and every device gets it
//! with its next pull. What a row lacks is decided on what the commit itself reads (`fill.rs`); a row that someone changed
//! meanwhile is complete and stays as it is. Nothing is remembered beside the rows: a run that was stopped is gone on
//! with by the next, and one after the last writes nothing.
//!
//! It also archives the versions that rows dropped from their lists before there was an archive, so that no pull has to read the whole
//! table for them (`unnamed.rs`). That takes no lock and no commit.
//!
//! And it puts live dependencies into their index that older code wrote without the attribute for it. That takes no commit
//! either: no device is told of it.
//!
//! Tombstones and the rows of deleted projects are left alone: no device gets them.

mod fill;
mod report;

use indicatif::ProgressBar;
use shared::domain::{
    ArchivedVersions, Collection, Columns, Counter, Draft, Error, ProjectId, Row, RowKey, ServerVersion, State, Step,
};
use shared::storage::{Partition, ReadSet, StoredItem, Table};

pub use report::{Failed, Report};

use crate::operator::{MAX_COMMIT_BYTES, Pace, Tries, archive, batches, of_project, partitions, unasked};
use crate::unnamed::unnamed;

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

/// Fills in what rows lack. A project that cannot be read or written is reported, and the next one begins; fails when the
/// table cannot be read at all. Started again, it goes on.
pub async fn run(table: &Table, options: &Options, progress: &ProgressBar) -> Result<Report, Error> {
    table.expect_live_edges().await?;
    let report = Report { table: table.name().to_owned(), ..Report::default() };
    let mut backfill = Backfill { table, options, progress, report, pace: Pace::new(options.rate) };
    let projects = match &options.project {
        Some(project) => vec![project.clone()],
        None => {
            let of_projects = partitions(table, progress).await?.into_iter().filter_map(|partition| match partition {
                Partition::Project(project) => Some(project),
                Partition::Requests(_)
                | Partition::Counts
                | Partition::Live
                | Partition::Table
                | Partition::Unknown(_) => None,
            });
            of_projects.collect()
        }
    };
    progress.set_length(projects.len() as u64);
    for project in projects {
        if let Err(error) = backfill.project(&project).await {
            let detail = of_project(table, error).await?;
            backfill.report.failed.push(Failed { project: project.to_string(), detail });
        }
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
        let counter = match self.table.counter(project).await {
            Ok(Some(counter)) if counter.deleted_at.is_some() => {
                self.report.deleted_projects += 1;
                return Ok(());
            }
            Ok(Some(counter)) => counter,
            Ok(None) => {
                self.report.leave(
                    project,
                    "_counter",
                    "the project does not exist, or its counter is missing".to_owned(),
                );
                return Ok(());
            }
            Err(Error::Corrupt(what)) => {
                self.report.leave(project, "_counter", what);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.report.projects += 1;
        let Lacking { columns: lacking, versions, unlisted } = self.lacking(project, &counter).await?;
        self.archive(project, versions).await?;
        for row in unlisted {
            self.list(project, row).await?;
        }
        let (all, mut done) = (lacking.len(), 0);
        for batch in batches(lacking, ROWS, MAX_COMMIT_BYTES) {
            self.progress.set_message(format!("{project}: {done} of {all} rows"));
            self.write(project, &batch).await?;
            done += batch.len();
        }
        Ok(())
    }

    /// Archives the versions that rows superseded and that nothing names. When what was read does not prove which these are,
    /// commits were under way, and it is read again.
    async fn archive(&mut self, project: &ProjectId, versions: Option<Vec<ServerVersion>>) -> Result<(), Error> {
        let mut versions = versions;
        let mut tries = Tries::new();
        while versions.is_none() && tries.another().await {
            let Some(counter) = self.table.counter(project).await? else { break };
            versions = read(self.table, project).await?.unnamed(&counter);
        }
        let Some(versions) = versions else {
            let detail = "superseded versions cannot be told from missing ones; run `trueppm verify`".to_owned();
            self.report.failed.push(Failed { project: project.to_string(), detail });
            return Ok(());
        };
        let archived = ArchivedVersions::anonymous(versions);
        self.report.archived_versions += archive(self.table, project, &archived).await?;
        Ok(())
    }

    /// Puts a row into the index of live dependencies, or takes it out.
    async fn list(&mut self, project: &ProjectId, read: Row) -> Result<(), Error> {
        let (mut row, mut tries) = (read, Tries::new());
        loop {
            self.pace.wait(1).await;
            match self.table.set_live_edge(project, &row).await {
                Ok(true) => {
                    self.report.listed_edges += 1;
                    return Ok(());
                }
                Ok(false) | Err(Error::Busy) if tries.another().await => {}
                Ok(false) => return Err(Error::Busy),
                Err(error) => return Err(error),
            }
            // Older code may have written it again.
            match self.table.row(project, &row.key).await? {
                Some(written) => row = written,
                None => return Ok(()),
            }
        }
    }

    /// What is to be done at first sight.
    async fn lacking(&mut self, project: &ProjectId, counter: &Counter) -> Result<Lacking, Error> {
        let mut lacking = Lacking::default();
        let mut stored = Stored::default();
        let mut cursor = None;
        loop {
            let page = self.table.stored_page(project, cursor).await?;
            self.progress.tick();
            for item in &page.items {
                stored.add(item);
                if !item.is_row() {
                    continue;
                }
                match item.row() {
                    Ok(row) if self.options.collection.is_some_and(|only| row.key.collection != only) => {}
                    Ok(row) => {
                        self.report.rows += 1;
                        if fill::lacks_a_column(&row) {
                            lacking.columns.push((row.stored_size(project), row.key.clone()));
                        }
                        if !item.agrees_on_live_edge(project, &row) {
                            lacking.unlisted.push(row);
                        }
                    }
                    Err(Error::Corrupt(what)) => self.report.leave(project, item.entity(), what),
                    Err(error) => return Err(error),
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(Lacking { versions: stored.unnamed(counter), ..lacking });
            }
        }
    }

    async fn write(&mut self, project: &ProjectId, batch: &[RowKey]) -> Result<(), Error> {
        let read_set = ReadSet::of_operator("backfill", batch.iter().cloned());
        let mut tries = Tries::new();
        loop {
            self.pace.wait(batch.len()).await;
            let mut filled = fill::Filled::default();
            let decide = |draft: &mut Draft| {
                filled = fill::fill(draft, batch)?;
                Ok(Step::Last(()))
            };
            match self.table.commit(project, &read_set, decide, unasked).await {
                Ok(_) => {
                    self.report.filled_rows += filled.rows as u64;
                    for (key, why) in filled.left {
                        self.report.leave(project, &key.to_string(), why);
                    }
                    return Ok(());
                }
                // What an answer that was lost has written lacks nothing when it is read again.
                Err(Error::Busy | Error::OutcomeUnknown) if tries.another().await => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// What a project lacks.
#[derive(Default)]
struct Lacking {
    /// The rows that lack a column, each with about its bytes.
    columns: Vec<(usize, RowKey)>,
    /// The versions up to the counter's that nothing names, if they can be told.
    versions: Option<Vec<ServerVersion>>,
    /// The rows that are not in the index of live dependencies and belong there, or the other way round.
    unlisted: Vec<Row>,
}

/// The rows and the archive of a project.
#[derive(Default)]
struct Stored {
    rows: Vec<Row>,
    archive: Vec<ArchivedVersions>,
}

impl Stored {
    /// What cannot be read is left out: then the rows do not account for every version.
    fn add(&mut self, item: &StoredItem) {
        if item.is_archive() {
            self.archive.extend(item.archived());
        } else if item.is_row() {
            // Only what it says of versions is looked at.
            self.rows.extend(item.row().map(|row| Row { state: State::Dead(Columns::new()), ..row }));
        }
    }

    fn unnamed(&self, counter: &Counter) -> Option<Vec<ServerVersion>> {
        unnamed(counter, &self.rows, &self.archive)
    }
}

async fn read(table: &Table, project: &ProjectId) -> Result<Stored, Error> {
    let mut stored = Stored::default();
    let mut cursor = None;
    loop {
        let page = table.stored_page(project, cursor).await?;
        page.items.iter().for_each(|item| stored.add(item));
        cursor = page.next;
        if cursor.is_none() {
            return Ok(stored);
        }
    }
}
