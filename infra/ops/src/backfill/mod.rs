//! Fills in the columns that rows of older code lack, while the table is in use.
//!
//! A pull copies a row's JSON and never parses it, so devices do not get a column that a row lacks. Each such live row is written
//! again by an ordinary commit, with the resource's own default. It takes a new version, and every device gets it with its next
//! pull. The commit decides on the rows that it reads itself (`fill.rs`). A row that someone changed meanwhile is complete and
//! stays as it is. A run keeps no state of its own. So the next run continues one that was stopped, and a run after the last one
//! writes nothing.
//!
//! It also archives the versions that version histories dropped before the archive existed, so that no pull has to read the whole
//! table for them (`unnamed.rs`). That takes no lock and no commit.
//!
//! Older code wrote live dependencies without the attribute of their index. The backfill adds it. That takes no commit either,
//! because devices need not know of it.
//!
//! Tombstones and the rows of deleted projects are left alone, because no device gets them.

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

/// The number of rows that one commit writes. It is small, because other commits wait for it.
const ROWS: usize = 25;

/// The options of a backfill.
#[derive(Debug, Clone)]
pub struct Options {
    /// The only project to fill, or none for all projects of the table.
    pub project: Option<ProjectId>,
    /// The only collection to fill, or none for all.
    pub collection: Option<Collection>,
    /// The maximum number of rows per second.
    pub rate: u32,
}

/// Fills in the missing columns. A project that cannot be read or written is reported, and the next one begins. Fails if the
/// table cannot be read at all. A new run continues an interrupted one.
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

    /// Archives the superseded versions that nothing names. If the rows that were read do not prove which versions these are,
    /// commits were under way, and the rows are read again.
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
            // Older code may have written the row again meanwhile.
            match self.table.row(project, &row.key).await? {
                Some(written) => row = written,
                None => return Ok(()),
            }
        }
    }

    /// Everything that a project lacks, as the first read shows it.
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
                // If an answer was lost although its commit took effect, the next read finds these rows complete.
                Err(Error::Busy | Error::OutcomeUnknown) if tries.another().await => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Everything that a project lacks.
#[derive(Default)]
struct Lacking {
    /// The rows that lack a column, each with its approximate size in bytes.
    columns: Vec<(usize, RowKey)>,
    /// The versions up to the counter that nothing names, if it can be told which they are.
    versions: Option<Vec<ServerVersion>>,
    /// The rows that belong into the index of live dependencies and are not there, or are there and do not belong.
    unlisted: Vec<Row>,
}

/// The rows and the archive of a project.
#[derive(Default)]
struct Stored {
    rows: Vec<Row>,
    archive: Vec<ArchivedVersions>,
}

impl Stored {
    /// Rows that cannot be read are left out. Then the rows do not account for every version.
    fn add(&mut self, item: &StoredItem) {
        if item.is_archive() {
            self.archive.extend(item.archived());
        } else if item.is_row() {
            // Only the archive's versions are used.
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
