//! Erases a user's data from a table, or the content of old tombstones, while the table is in use.
//!
//! Data that devices get is changed by ordinary commits, so every device learns of it with its next pull: a membership is
//! removed, a task loses its assignee. Data that no device, proof or decision reads is changed in place and takes no version: the
//! content of a tombstone, the author of a row, a stored answer (see `shared/src/storage/erasure.rs`). Ids and versions stay, so
//! every proof still holds.
//!
//! A run keeps no state of its own. So the next run continues one that was stopped, and a run after the last one changes nothing.
//! A project is read again after each round of changes, until there is nothing to change. One round is not enough: for example, a
//! removed membership leaves a tombstone that names its user.

mod report;
mod target;

use std::collections::BTreeSet;

use indicatif::ProgressBar;
use shared::domain::{Collection, Draft, Error, ProjectId, RowKey, Step, UserId};
use shared::storage::{Partition, ReadSet, StoredItem, Table};

pub use report::Report;
pub use target::Target;

use crate::operator::{MAX_COMMIT_BYTES, Pace, Tries, batches, of_project, partitions, unasked};
use target::Action;

/// The command that commits name as their author.
const COMMAND: &str = "erase";
/// The number of rows that one commit writes. It is small, because other commits wait for it.
const ROWS: usize = 25;
/// The maximum number of reads of a project. Two rounds of changes suffice if nothing else is written.
const MAX_ROUNDS: u32 = 6;

/// The options of an erasure.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data to erase.
    pub target: Target,
    /// The only project to change, or none for all projects of the table.
    pub project: Option<ProjectId>,
    /// The maximum number of rows per second.
    pub rate: u32,
    /// Whether the run only counts what would be erased, and writes nothing.
    pub dry_run: bool,
}

/// Erases the data. A project that cannot be read or written is reported, and the next one begins. Fails if the table cannot be
/// read at all. A new run continues an interrupted one.
pub async fn run(table: &Table, options: &Options, progress: &ProgressBar) -> Result<Report, Error> {
    let report = Report { table: table.name().to_owned(), dry_run: options.dry_run, ..Report::default() };
    let mut erasure = Erasure { table, options, progress, report, pace: Pace::new(options.rate) };
    let partitions = match &options.project {
        Some(project) => BTreeSet::from([Partition::Project(project.clone()), Partition::Requests(project.clone())]),
        None => partitions(table, progress).await?,
    };
    progress.set_length(partitions.len() as u64);
    for partition in partitions {
        let (project, ended) = match (partition, &options.target) {
            (Partition::Project(project), _) => (project.clone(), erasure.project(&project).await),
            (Partition::Requests(project), Target::User(user)) => {
                (project.clone(), erasure.records(&project, user).await)
            }
            (Partition::Requests(_), Target::Tombstones { .. })
            | (Partition::Counts | Partition::Live | Partition::Table | Partition::Unknown(_), _) => continue,
        };
        if let Err(error) = ended {
            let detail = of_project(table, error).await?;
            erasure.report.leave(&project, "", detail);
        }
        progress.inc(1);
    }
    if let (Target::User(user), None) = (&options.target, &options.project) {
        erasure.report.removed_counts = table.remove_counts(user, options.dry_run).await?;
    }
    progress.finish_and_clear();
    Ok(erasure.report)
}

struct Erasure<'a> {
    table: &'a Table,
    options: &'a Options,
    progress: &'a ProgressBar,
    report: Report,
    pace: Pace,
}

/// The data of a project that must be erased.
#[derive(Default)]
struct Found {
    remove: Vec<RowKey>,
    /// The rows, each with its approximate size in bytes.
    unassign: Vec<(usize, RowKey)>,
    in_place: Vec<InPlace>,
    undated: u64,
    unreadable: Vec<(String, String)>,
}

/// A change that takes no version.
enum InPlace {
    Replace(Box<shared::domain::Row>),
    ForgetAuthor(Box<shared::domain::Row>),
    ForgetAuthorOfDeletion(shared::domain::ServerVersion),
}

impl Erasure<'_> {
    async fn project(&mut self, project: &ProjectId) -> Result<(), Error> {
        self.report.projects += 1;
        self.progress.set_message(project.to_string());
        let mut refused = BTreeSet::new();
        for round in 1.. {
            let mut found = self.find(project).await?;
            found.remove.retain(|key| !refused.contains(key));
            let nothing = found.remove.is_empty() && found.unassign.is_empty() && found.in_place.is_empty();
            if self.options.dry_run || nothing || round == MAX_ROUNDS {
                if self.options.dry_run {
                    self.count(&found);
                } else if !nothing {
                    self.report.leave(project, "", "other commits keep winning; run this again");
                }
                self.report.undated_tombstones += found.undated;
                for (entity, why) in found.unreadable {
                    self.report.leave(project, &entity, why);
                }
                return Ok(());
            }
            self.apply(project, found, &mut refused).await?;
        }
        Ok(())
    }

    async fn find(&self, project: &ProjectId) -> Result<Found, Error> {
        let mut found = Found::default();
        let mut cursor = None;
        loop {
            let page = self.table.stored_page(project, cursor).await?;
            self.progress.tick();
            for item in &page.items {
                match self.examine(project, item, &mut found) {
                    Err(Error::Corrupt(what)) => found.unreadable.push((item.entity().to_owned(), what)),
                    examined => examined?,
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(found);
            }
        }
    }

    fn examine(&self, project: &ProjectId, item: &StoredItem, found: &mut Found) -> Result<(), Error> {
        let is_author = matches!(&self.options.target, Target::User(user) if item.names_as_author(user));
        if item.is_counter() {
            if is_author {
                found.in_place.push(InPlace::ForgetAuthorOfDeletion(item.counter()?.current));
            }
            return Ok(());
        }
        if !item.is_row() {
            return Ok(());
        }
        let row = item.row()?;
        let action = target::action(&self.options.target, project, &row);
        // A row that a commit writes again gets a new author, so its old one need not be erased.
        if is_author && !matches!(action, Some(Action::Remove | Action::Unassign)) {
            found.in_place.push(InPlace::ForgetAuthor(Box::new(row.clone())));
        }
        match action {
            Some(Action::Remove) => found.remove.push(row.key),
            Some(Action::Unassign) => {
                let size = shared::domain::Row::size(project, &row.key, row.columns(), &row.unknown);
                found.unassign.push((size, row.key));
            }
            Some(Action::Replace(erased)) => found.in_place.push(InPlace::Replace(erased)),
            Some(Action::Undated) => found.undated += 1,
            None => {}
        }
        Ok(())
    }

    /// Counts the changes that a run would make.
    fn count(&mut self, found: &Found) {
        self.report.removed_memberships += found.remove.len() as u64;
        self.report.unassigned_tasks += found.unassign.len() as u64;
        for change in &found.in_place {
            *self.counted(change) += 1;
        }
    }

    fn counted(&mut self, change: &InPlace) -> &mut u64 {
        match change {
            InPlace::Replace(_) => &mut self.report.erased_tombstones,
            InPlace::ForgetAuthor(_) | InPlace::ForgetAuthorOfDeletion(_) => &mut self.report.forgotten_authors,
        }
    }

    async fn apply(&mut self, project: &ProjectId, found: Found, refused: &mut BTreeSet<RowKey>) -> Result<(), Error> {
        // The memberships go first, so that nobody makes the user an assignee again.
        for key in found.remove {
            let read_set = ReadSet::of_operator(COMMAND, [key.clone()]).at_all([Collection::Memberships]);
            match self.commit(project, &read_set, 1, |draft| target::remove(draft, &key)).await {
                Ok(removed) => self.report.removed_memberships += removed,
                Err(Error::LastOwner) => {
                    let why =
                        "the last owner; make another member an owner, or delete the project, then run this again";
                    self.report.leave(project, &key.to_string(), why);
                    refused.insert(key);
                }
                Err(error) => return Err(error),
            }
        }
        if let Target::User(user) = &self.options.target {
            for batch in batches(found.unassign, ROWS, MAX_COMMIT_BYTES) {
                let read_set = ReadSet::of_operator(COMMAND, batch.iter().cloned());
                let unassign = |draft: &mut Draft| target::unassign(draft, &batch, user);
                self.report.unassigned_tasks += self.commit(project, &read_set, batch.len(), unassign).await?;
            }
        }
        for change in found.in_place {
            self.pace.wait(1).await;
            if self.change(project, &change).await? {
                *self.counted(&change) += 1;
            }
        }
        Ok(())
    }

    /// Commits, and returns the count of the decision.
    async fn commit(
        &mut self,
        project: &ProjectId,
        read_set: &ReadSet,
        rows: usize,
        mut decide: impl FnMut(&mut Draft) -> Result<u64, Error>,
    ) -> Result<u64, Error> {
        let mut tries = Tries::new();
        loop {
            self.pace.wait(rows).await;
            let mut counted = 0;
            let decide = |draft: &mut Draft| {
                counted = decide(draft)?;
                Ok(Step::Last(()))
            };
            match self.table.commit(project, read_set, decide, unasked).await {
                Ok(_) => return Ok(counted),
                // If an answer was lost although its commit took effect, nothing is written again.
                Err(Error::Busy | Error::OutcomeUnknown) if tries.another().await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Changes an item in place. Returns false if the item was written meanwhile; the next round then reads it again.
    async fn change(&self, project: &ProjectId, change: &InPlace) -> Result<bool, Error> {
        let mut tries = Tries::new();
        loop {
            let changed = match change {
                InPlace::Replace(row) => self.table.replace_tombstone(project, row).await,
                InPlace::ForgetAuthor(row) => self.table.forget_author(project, row).await,
                InPlace::ForgetAuthorOfDeletion(counter) => {
                    self.table.forget_author_of_deletion(project, *counter).await
                }
            };
            match changed {
                Err(Error::Busy) if tries.another().await => {}
                changed => return changed,
            }
        }
    }

    /// Removes the user from the answers that are stored for repeated requests.
    async fn records(&mut self, project: &ProjectId, user: &UserId) -> Result<(), Error> {
        let mut cursor = None;
        loop {
            let page = self.table.records_page(project, cursor).await?;
            for record in &page.items {
                let Some(body) = record.answer_body() else {
                    self.report.leave(project, record.entity(), "the stored response cannot be read");
                    continue;
                };
                let Some(erased) = target::without_user(&body, user) else { continue };
                if !self.options.dry_run {
                    self.pace.wait(1).await;
                    // A record that is replaced meanwhile belongs to a request that was sent just now. The next run erases it.
                    if !self.table.replace_kept_body(record, &erased).await? {
                        self.report.leave(project, record.entity(), "another request replaced it; run this again");
                        continue;
                    }
                }
                self.report.erased_answers += 1;
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }
}
