//! Restores projects: reads, decides and writes until nothing is left to do.

use std::collections::BTreeSet;
use std::error::Error as AnyError;

use indicatif::ProgressBar;
use shared::domain::{Counter, Draft, Error, ProjectId, RowKey, Step as Commit};
use shared::storage::{NewProjects, Partition, ReadSet, Table};

use super::finish::Fix;
use super::plan::{Aim, Damage, Step, Stored, Target, holds, next};
use super::report::{Damaged, Report};
use crate::operator::{Pace, Tries, archive, of_project, partitions, unasked};

/// The number of versions by which counters are raised: 2^32.
pub const RAISE: u64 = 1 << 32;
/// The number of fixes that fit into one commit.
const FIXES: usize = 95;

/// The options of a restore.
#[derive(Debug, Clone)]
pub struct Options {
    /// The only project to restore, or none for all projects of the table.
    pub project: Option<ProjectId>,
    /// The table that was lost, if it can still be read.
    pub lost: Option<Table>,
    /// The maximum number of rows per second.
    pub rate: u32,
    /// The number of versions by which counters are raised. It is [`RAISE`] unless a table is restored from one backup more than
    /// once.
    pub raise: u64,
}

/// Restores every project of a table, or one. Fails if something cannot be read or written at all. A new run continues where an
/// interrupted one stopped.
pub async fn run(
    table: &Table,
    options: &Options,
    progress: &ProgressBar,
) -> Result<Report, Box<dyn AnyError + Send + Sync>> {
    table.expect_live_edges().await?;
    let identity = table.identity().await?;
    if let Some(lost) = &options.lost
        && lost.identity().await? == identity
    {
        return Err("--lost-table and --table-name are the same table; pass the lost one with --lost-table".into());
    }
    let report = Report {
        table: table.name().to_owned(),
        lost_table: options.lost.as_ref().map(|lost| lost.name().to_owned()),
        ..Report::default()
    };
    let pace = Pace::new(options.rate);
    let mut restoring = Restoring { table, options, identity, starts: vec![], progress, report, pace };
    restoring.begin_new_projects_above().await?;
    let projects = match &options.project {
        Some(project) => BTreeSet::from([project.clone()]),
        None => restoring.projects().await?,
    };
    progress.set_length(projects.len() as u64);
    for project in projects {
        if let Err(error) = restoring.project(&project).await {
            let detail = of_project(table, error).await?;
            restoring.report.damaged.push(Damaged { project: project.to_string(), detail });
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(restoring.report)
}

/// The reason why the restore of a project stopped.
enum Stop {
    Damaged(Damage),
    Failed(Error),
}

impl From<Damage> for Stop {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

struct Restoring<'a> {
    table: &'a Table,
    options: &'a Options,
    identity: String,
    /// The versions above which new projects began, before this restore and since.
    starts: Vec<u64>,
    progress: &'a ProgressBar,
    report: Report,
    pace: Pace,
}

impl Restoring<'_> {
    /// Makes new projects begin above the marks that devices have. This matters if a project that the backup does not know is
    /// created again under its id. With the lost table such a project becomes a tombstone instead.
    async fn begin_new_projects_above(&mut self) -> Result<(), Error> {
        let found = self.table.new_projects().await?.unwrap_or_default();
        self.starts = vec![found.before, found.start_above];
        // A restore of one project says nothing about the whole table.
        if found.restored == self.identity || self.options.project.is_some() {
            return Ok(());
        }
        let start_above = match &self.options.lost {
            None => found.start_above + self.options.raise,
            Some(lost) => found.start_above.max(lost.new_projects().await?.unwrap_or_default().start_above),
        };
        if start_above == found.start_above {
            return Ok(());
        }
        let note = NewProjects { start_above, restored: self.identity.clone(), before: found.start_above };
        self.table.set_new_projects(&note).await?;
        self.starts.push(start_above);
        Ok(())
    }

    /// All projects of both tables, including those that have only idempotency records.
    async fn projects(&self) -> Result<BTreeSet<ProjectId>, Error> {
        let mut projects = BTreeSet::new();
        for table in std::iter::once(self.table).chain(&self.options.lost) {
            let partitions = partitions(table, self.progress).await?;
            projects.extend(partitions.into_iter().filter_map(|partition| match partition {
                Partition::Project(project) | Partition::Requests(project) => Some(project),
                // This partition belongs to no project.
                Partition::Counts | Partition::Live | Partition::Table | Partition::Unknown(_) => None,
            }));
        }
        Ok(projects)
    }

    async fn project(&mut self, project: &ProjectId) -> Result<(), Error> {
        let mut tries = Tries::new();
        loop {
            match self.steps(project).await {
                Ok(()) => return Ok(()),
                Err(Stop::Damaged(Damage(detail))) => {
                    self.report.damaged.push(Damaged { project: project.to_string(), detail });
                    return Ok(());
                }
                // Something moved or is throttled. The next step is decided on the next read.
                Err(Stop::Failed(Error::Busy | Error::OutcomeUnknown)) if tries.another().await => {}
                Err(Stop::Failed(error)) => return Err(error),
            }
        }
    }

    async fn steps(&mut self, project: &ProjectId) -> Result<(), Stop> {
        let lost = match &self.options.lost {
            Some(lost) => Some(read(lost, project).await?),
            None => None,
        };
        let aim = Aim { table: self.identity.clone(), raise: self.options.raise, lost, starts: self.starts.clone() };
        let mut stored = read(self.table, project).await?;
        let mut done_something = false;
        while let Some(step) = next(project, &stored, &aim)? {
            let read_counter = stored.counter.as_ref().map(|counter| counter.current);
            match step {
                Step::Remove => {
                    let rows: Vec<_> = stored.rows.values().map(|row| (row.key.clone(), row.version)).collect();
                    self.table.remove_remains(project, read_counter, &rows).await?;
                    self.report.torn(project).removed = true;
                    stored = read(self.table, project).await?;
                }
                Step::DropArchive(archived) => {
                    self.table.remove_archive(project, &archived).await?;
                    stored = read(self.table, project).await?;
                }
                Step::Archive(archived) => {
                    self.report.archived_versions += archive(self.table, project, &archived).await?;
                    stored.archive.extend(archived);
                }
                Step::Repair(counter, skipped) => {
                    let (note, torn) = (stored.restoration.as_ref(), stored.torn());
                    self.table.replace_counter(project, read_counter, &counter, note, &torn).await?;
                    if skipped > 0 {
                        self.report.torn(project).skipped_versions += skipped;
                    }
                    stored.counter = Some(counter);
                }
                Step::Finish(fixes) => {
                    self.finish(project, &fixes).await?;
                    stored = read(self.table, project).await?;
                }
                Step::Raise(counter, note) => {
                    self.drop_requests(project, stored.counter.as_ref()).await?;
                    self.table.replace_counter(project, read_counter, &counter, Some(&note), &[]).await?;
                    (stored.counter, stored.restoration) = (Some(counter), Some(note));
                }
                Step::Rewrite(batches) => {
                    self.rewrite(project, batches, &stored).await?;
                    stored = read(self.table, project).await?;
                }
                Step::Complete(counter, note) => {
                    self.table.replace_counter(project, read_counter, &counter, Some(&note), &[]).await?;
                    (stored.counter, stored.restoration) = (Some(counter), Some(note));
                    self.report.restored_projects += 1;
                    if self.options.lost.is_none() {
                        self.report.have_access(project, stored.rows.values());
                    }
                }
            }
            done_something = true;
        }
        if !done_something && stored.counter.is_some() {
            self.report.restored_before += 1;
        } else if stored.counter.is_none() {
            // There is no project, but there may be records of one that was never created.
            self.drop_requests(project, None).await?;
        }
        Ok(())
    }

    async fn finish(&mut self, project: &ProjectId, fixes: &[Fix]) -> Result<(), Error> {
        for fixes in fixes.chunks(FIXES) {
            self.pace.wait(fixes.len()).await;
            let keys: Vec<RowKey> = fixes.iter().map(|fix| fix.key(project)).collect();
            let read_set = ReadSet::of_operator("restore", keys.clone());
            let decide = |draft: &mut Draft| {
                fixes.iter().try_for_each(|fix| fix.draft(draft))?;
                Ok(Commit::Last(()))
            };
            self.table.commit(project, &read_set, decide, unasked).await?;
            self.report.fixed(project, fixes);
        }
        Ok(())
    }

    async fn rewrite(&mut self, project: &ProjectId, batches: Vec<Vec<Target>>, stored: &Stored) -> Result<(), Error> {
        let all: usize = batches.iter().map(Vec::len).sum();
        let through = stored.restoration.as_ref().map_or(0, |note| note.raised.1);
        let mut written = 0;
        for batch in batches {
            self.progress.set_message(format!("{project}: {written} of {all} rows"));
            self.pace.wait(batch.len()).await;
            // All rows go into one commit. The rows of the commit before take no space in it.
            let read_set =
                ReadSet::of_operator("restore", batch.iter().map(|target| target.key.clone())).in_one_commit();
            let decide = |draft: &mut Draft| {
                for target in &batch {
                    match (draft.row(&target.key).map(|row| row.version), &target.lost) {
                        // The answer to an earlier attempt was lost.
                        (Some(version), _) if version.get() > through => {}
                        (Some(_), None) => draft.rewrite(&target.key),
                        (_, Some(lost)) => draft.bury(lost),
                        (None, None) => return Err(Error::NotFound(target.key.clone())),
                    }
                }
                Ok(Commit::Last(()))
            };
            self.table.commit(project, &read_set, decide, unasked).await?;
            let buried = batch.iter().filter(|target| !stored.rows.contains_key(&target.key)).count();
            self.report.buried_rows += buried as u64;
            self.report.rewritten_rows += (batch.len() - buried) as u64;
            written += batch.len();
        }
        Ok(())
    }

    /// Removes the records of requests whose effect is not on the table, or only in part, according to the repaired counter. If
    /// the project does not exist, removes all of its records. A repeated request is then decided anew.
    async fn drop_requests(&mut self, project: &ProjectId, counter: Option<&Counter>) -> Result<(), Error> {
        let mut cursor = None;
        loop {
            let (answers, next) = self.table.kept_answers(project, cursor).await?;
            let all = answers.len();
            let held = |version: &u64| holds(counter, *version);
            let taken_back = |versions: &Option<Vec<u64>>| !versions.as_ref().is_some_and(|all| all.iter().all(held));
            let dropped: Vec<_> = answers.into_iter().filter(|answer| taken_back(&answer.versions)).collect();
            self.report.kept_requests += (all - dropped.len()) as u64;
            let number = dropped.len();
            if number > 0 {
                self.pace.wait(number).await;
                self.table.drop_answers(dropped).await?;
                self.report.dropped_requests += number as u64;
            }
            cursor = next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }
}

/// A project as a table holds it.
async fn read(table: &Table, project: &ProjectId) -> Result<Stored, Stop> {
    let mut stored = Stored::default();
    let mut cursor = None;
    loop {
        let page = table.stored_page(project, cursor).await?;
        for item in page.items {
            let unreadable = |error: Error| match error {
                Error::Corrupt(what) => Stop::Damaged(Damage(format!("in the table {}: {what}", table.name()))),
                other => Stop::Failed(other),
            };
            if item.is_counter() {
                stored.restoration = item.restoration().map_err(unreadable)?;
                stored.counter = Some(item.counter_to_repair().map_err(unreadable)?);
            } else if item.is_archive() {
                stored.archive.push(item.archived().map_err(unreadable)?);
            } else if item.is_row() {
                let row = item.row().map_err(unreadable)?;
                stored.rows.insert(row.key.clone(), row);
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(stored);
        }
    }
}
