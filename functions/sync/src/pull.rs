//! The steps of a pull. A pull does not trust what it reads. It proves it, see [`Proof`].
//!
//! 1. Read counter and membership in one strong read. If one of them is left unprocessed, read both again. If the device is up
//!    to date, answer without a read of the index.
//! 2. Read the rows above `since` from the index, ascending and without an upper end. Many rows are read in ranges in parallel,
//!    of which the last has no end.
//! 3. Prove that nothing is missing up to the counter. If rows are newer than the counter, read the counter again and prove
//!    against that, or the device would see half of a cascade. If the project does not stand still, give a busy answer. If
//!    versions are missing and a history is silent, read the archive. If they are still missing, read the index again, then all
//!    rows strongly, few projects at once. If that does not prove it either, answer 503 and never a guess.
//! 4. If the answer is too large, cut it at the version of a row up to which everything is proven and fits. What is missing
//!    before the last row that fits was mostly replaced by a later row; otherwise it is late in the index. So the index is
//!    read once from its end, for version histories and not for rows, until nothing that fits is missing.
//! 5. Before a busy or a cut answer, read the counter until it is not below the newest row: a commit may be in the index before
//!    it is on the counter. A busy answer has rows that are newer than its mark, so the membership is read again, too.
//! 6. Counter and membership are two items and not one moment. If the caller's own membership is among the rows and dead, the
//!    caller was removed. The membership from step 1 is one of the rows, so an older tombstone in the index does not count.
//!    `deleted_at` is on the counter and is checked whenever the counter is read. If the counter was read in a later call, the
//!    membership is read again: the removal may be below a mark that the device guessed.
//! 7. A device that was wiped has the version of the removal as its mark, or a place while the wipe is under way. It gets
//!    everything again. So no other answer ends at a removal. `wipe.rs` says what the device is told to forget.
//! 8. A device whose app has new columns or collections gets everything, as with `since = 0`. Its mark is still checked.
//! 9. The mark of a final answer is a counter that was read. So `min_version` is waited for once, on the counter, before the
//!    index is read. The wait is needed because, for a moment, the answer to a mutation can be seen before its counter.
//! 10. An answer that is exactly the state at the counter carries the checksums that were read with it. So does an empty answer:
//!     the device has the counter's version, and anything newer would have moved the counter.
//! 11. After all steps that come before the index, and not sooner, a page that this instance keeps may be given instead. See
//!     `kept/`.

use std::time::Duration;

use futures_util::future::try_join_all;
use shared::domain::{Checksums, Error, Mark, ProjectId, PullCounter, ServerVersion, UserId, VersionSpan};
use shared::meter;
use shared::storage::{FeedPage, FeedRow, MAX_ROWS, PullMembership, PullStart, Table};
use tokio::time::{Instant, sleep};

use crate::body::{Budget, IdBudget, PullAnswer};
use crate::encoding::Encoding;
use crate::kept::{Found, GivenPage, KeptPages, Page, PageKey, Reader, Reading, rounded};
use crate::outcome::PullOutcome;
use crate::proof::Proof;
use crate::ranges::{FromTheEnd, Range, Ranges, versions_in};
use crate::strong_reads::StrongReads;
use crate::throttle::{unthrottled, unthrottled_unless};
use crate::wipe::{Ended, Wipe};

/// How long a pull tries to prove its answer.
const MAX_PROOF_TIME: Duration = Duration::from_secs(5);
/// How long it tries if it reads all rows strongly, counted from the beginning of the pull. The gateway gives up after 30 s.
const MAX_STRONG_TIME: Duration = Duration::from_secs(25);
/// How often a lagging index is read again before all rows are read strongly. Also how often the counter is read again because
/// rows are newer.
const MAX_RETRIES: u32 = 3;
/// How long the counter may take to reach `min_version`.
const MAX_VERSION_WAIT: Duration = Duration::from_secs(1);
/// The longest pause before the first retry. Later pauses are longer.
const RETRY_PAUSE: Duration = Duration::from_millis(40);

/// A request for a pull.
pub(crate) struct Pull {
    pub(crate) project: ProjectId,
    pub(crate) caller: UserId,
    pub(crate) since: Mark,
    /// The room that the answer has.
    pub(crate) budget: Budget,
    /// The encoding of the answer.
    pub(crate) encoding: Encoding,
    /// The room that a page of a wipe has.
    pub(crate) wipe_page: IdBudget,
    pub(crate) turbo: bool,
    /// Whether the app has columns or collections that the device lacks, whatever its mark is.
    pub(crate) needs_everything: bool,
    /// The version up to which the answer must be complete, unless it is cut.
    pub(crate) min_version: Mark,
}

/// The result of a pull.
pub(crate) enum Pulled<'a> {
    Made(Box<Made<'a>>),
    /// The answer is a page that was kept.
    Given(GivenPage),
}

/// An answer, its outcome, and the pages of it that are worth keeping.
pub(crate) struct Made<'a> {
    pub(crate) answer: PullAnswer,
    pub(crate) outcome: PullOutcome,
    pub(crate) page: Option<NewPage<'a>>,
}

impl Made<'_> {
    fn unkept(answer: PullAnswer, outcome: PullOutcome) -> Self {
        Self { answer, outcome, page: None }
    }
}

/// A page that was read and may be kept.
pub(crate) struct NewPage<'a> {
    pub(crate) page: Page,
    pub(crate) reading: Reading<'a>,
    /// The pages after it, if all rows were read.
    pub(crate) following: Vec<(PageKey, Page, PullAnswer)>,
}

/// The reason why a pull ends without rows.
enum Stop {
    Ended(Ended),
    Failed(Error),
    /// Another pull has kept a page meanwhile.
    Given(GivenPage),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Ended> for Stop {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

/// Answers a pull, and says how the answer was proven.
pub(crate) async fn pull<'a>(
    table: &Table,
    strong: &StrongReads,
    kept: &'a KeptPages,
    pull: &Pull,
) -> Result<Pulled<'a>, Error> {
    table.expect_member_or_removed(&pull.project, &pull.caller).await?;
    let start = table.pull_start(&pull.project, &pull.caller).await?;
    let PullStart { counter: Some(counter), membership: Some(membership) } = start else {
        return Err(Error::NotAMember);
    };
    expect_no_resync(&counter, pull.since)?;
    let resync_through = counter.resync_through;
    match Gathering::answer(table, strong, kept, pull, counter, &membership).await {
        Ok(made) => Ok(Pulled::Made(Box::new(made))),
        Err(Stop::Given(page)) => Ok(Pulled::Given(page)),
        Err(Stop::Failed(error)) => Err(error),
        Err(Stop::Ended(ended)) => {
            let Pull { ref project, since, wipe_page, .. } = *pull;
            let wipe = Wipe { table, strong, project, since, resync_through, budget: wipe_page };
            Ok(Pulled::Made(Box::new(Made::unkept(Box::pin(wipe.answer(ended)).await?, PullOutcome::Wiped))))
        }
    }
}

/// Refuses a device that must pull everything: it has rows that a restore took back, which no answer can name. The same holds if
/// its wipe began on another table.
///
/// This comes before removal and deletion, because a wipe names only the ids that this table has.
fn expect_no_resync(counter: &PullCounter, since: Mark) -> Result<(), Error> {
    let is_stale = match since.wipe_place() {
        Some(place) => !place.is_since(counter.resync_through),
        None => since != Mark::NOTHING && counter.resync_through.is_some_and(|through| since <= through.into()),
    };
    match counter.resync_through {
        Some(through) if is_stale => Err(Error::ResyncRequired { through }),
        None if is_stale => Err(Error::SinceAheadOfServer { current: counter.current }),
        _ => Ok(()),
    }
}

impl Pull {
    /// WatermelonDB's turbo mode refuses tombstones on a first sync, and a new database needs none.
    fn leaves_tombstones_out(&self) -> bool {
        self.turbo && self.since == Mark::NOTHING
    }
}

/// A pull in progress. The kept pages (`'k`) live longer than the pull itself.
struct Gathering<'a, 'k> {
    table: &'a Table,
    strong: &'a StrongReads,
    kept: &'k KeptPages,
    pull: &'a Pull,
    membership: &'a PullMembership,
    counter: PullCounter,
    /// The version above which the device needs everything. [`Mark::NOTHING`] if the device was wiped or its app has new columns.
    since: Mark,
    /// A counter that was read before the index.
    begun: Mark,
    proof: Proof,
    /// Whether the index was read from its end.
    end_was_read: bool,
    /// Whether the archive is larger than what a pull reads of it.
    archive_is_too_large: bool,
    outcome: PullOutcome,
    began: Instant,
    deadline: Instant,
}

impl<'a, 'k> Gathering<'a, 'k> {
    async fn answer(
        table: &'a Table,
        strong: &'a StrongReads,
        kept: &'k KeptPages,
        pull: &'a Pull,
        counter: PullCounter,
        membership: &'a PullMembership,
    ) -> Result<Made<'k>, Stop> {
        // Step 7 is about the mark of a device that was wiped or is being wiped.
        let wiped = membership.removals.may_include(pull.since) || pull.since.wipe_place().is_some();
        let held = if wiped { Mark::NOTHING } else { pull.since };
        let since = if pull.needs_everything { Mark::NOTHING } else { held };
        let mut gathering = Self {
            table,
            strong,
            kept,
            pull,
            membership,
            since,
            begun: counter.current.into(),
            proof: Proof::new(since, counter.skipped_spans()),
            end_was_read: false,
            archive_is_too_large: false,
            counter,
            outcome: PullOutcome::FirstRead,
            began: Instant::now(),
            deadline: Instant::now() + MAX_PROOF_TIME,
        };
        gathering.proof.add(membership.row.clone());
        if !membership.is_live() {
            return Err(Ended::removed(membership).into());
        }
        gathering.expect_not_deleted()?;
        if held > gathering.counter.current.into() {
            // The device may have seen a commit's rows before its counter.
            gathering.read_counter().await?;
            let current = gathering.counter.current;
            if held > current.into() {
                return Err(Error::SinceAheadOfServer { current }.into());
            }
            if held.covers(membership.row.version) {
                // A mark that the device guessed may be above the removal. Then the dead membership is not among the rows.
                // Whoever is a member after the counter was read was not removed up to the counter.
                gathering.read_membership().await?;
            }
        }
        gathering.wait_for_min_version().await?;
        let current = gathering.counter.current;
        if since == current.into() {
            let checksums = Some(gathering.counter.checksums.clone());
            return Ok(Made::unkept(PullAnswer { checksums, ..PullAnswer::empty(current) }, PullOutcome::Unchanged));
        }
        // In memory of its own, because the future of a pull is copied once, and most pulls end before this.
        Box::pin(gathering.find_or_gather()).await
    }

    /// Reads the counter until it is at `min_version`. From then on no final answer ends below it.
    ///
    /// The commit that the caller saw may not be on the counter yet, but each commit before it is. So a version further ahead
    /// than one commit reaches is refused at once.
    async fn wait_for_min_version(&mut self) -> Result<(), Stop> {
        let end = Instant::now() + MAX_VERSION_WAIT;
        let mut pause = RETRY_PAUSE;
        while !self.counter.reaches(self.pull.min_version) {
            let missing = self.pull.min_version.above(self.counter.current.into());
            if missing > MAX_ROWS as u64 || Instant::now() >= end {
                return Err(Error::MinVersionAheadOfServer { current: self.counter.current }.into());
            }
            sleep(pause.mul_f64(fastrand::f64())).await;
            pause *= 2;
            self.read_counter().await?;
        }
        Ok(())
    }

    /// The key that a page for this pull must have, or none if no page is worth keeping.
    fn page_key(&self) -> Option<PageKey> {
        let counter = &self.counter;
        self.kept.may_have(Mark::from(counter.current).above(self.since)).then(|| PageKey {
            project: self.pull.project.clone(),
            skipped: counter.skipped.clone(),
            resync_through: counter.resync_through,
            since: self.since,
            without_tombstones: self.pull.leaves_tombstones_out(),
            limit: self.pull.budget.max_rows(),
            encoding: self.pull.encoding,
        })
    }

    fn reader(&self) -> Reader<'a> {
        let (counter, min_version) = (self.counter.current.into(), self.pull.min_version);
        Reader { since: self.since, counter, min_version, membership: self.membership }
    }

    /// Whether a page is kept that this device may be given. A pull that waits for a throttled partition looks again, because
    /// another pull may have read the page meanwhile.
    fn look(&self) -> Result<(), Stop> {
        let page = self.page_key().and_then(|key| self.kept.look(&key, &self.reader()));
        page.map_or(Ok(()), |page| Err(Stop::Given(page)))
    }

    /// Gives a kept page, or reads one while other pulls wait for it.
    async fn find_or_gather(self) -> Result<Made<'k>, Stop> {
        let Some(key) = self.page_key() else { return self.gather(None).await };
        let (kept, reader) = (self.kept, self.reader());
        match kept.find(key.clone(), &reader).await {
            Found::Page(page) => Err(Stop::Given(page)),
            Found::None(reading) => match self.gather(Some(reading)).await {
                Err(Stop::Failed(error @ (Error::Overloaded | Error::Unavailable(_)))) => {
                    Err(kept.look(&key, &reader).map_or(Stop::Failed(error), Stop::Given))
                }
                gathered => gathered,
            },
        }
    }

    /// Reads, proves, and answers.
    async fn gather(mut self, reading: Option<Reading<'k>>) -> Result<Made<'k>, Stop> {
        let mut retries = MAX_RETRIES;
        let mut cut = self.read_index(self.since).await?;
        loop {
            if cut.is_none() {
                cut = self.prove_or_read_on().await?;
            }
            self.expect_not_removed()?;
            if let Some(cut) = cut {
                self.wait_for_counter().await?;
                return Ok(self.finish_cut(cut, reading));
            }
            let counter = self.counter.current;
            if self.proof.is_state_at(counter) {
                return Ok(self.finish_exact(counter, reading));
            }
            if self.proof.exceeds(&self.pull.budget) {
                // There is no place to cut, because each proven version was replaced by a row newer than the counter.
                self.wait_for_counter().await?;
            } else if retries > 0 && self.proof.has_newer(counter) {
                retries -= 1;
                self.catch_up().await?;
            } else {
                self.outcome = self.outcome.max(PullOutcome::Busy);
                self.wait_for_counter().await?;
                let membership = self.read_membership().await?;
                if !membership.removals.may_include(counter.into()) {
                    return Ok(self.finish_busy(counter));
                }
                if Instant::now() >= self.deadline {
                    return Err(Error::NotProven.into());
                }
            }
        }
    }

    /// Reads the index above `after`. After the first page, it reads ranges in parallel. As soon as there is more than fits, it
    /// reads the index from its end to find the missing versions. If something is proven then, returns where to cut the answer.
    async fn read_index(&mut self, after: Mark) -> Result<Option<ServerVersion>, Stop> {
        let mut ranges = Ranges::above(after);
        while ranges.go_on() {
            let page_of = |range: &Range| self.table.feed_page(&self.pull.project, range.span, range.cursor.clone());
            // The first and the last version of the last page.
            let mut ends = None;
            for rows in read_a_page_each(&mut ranges.next, page_of).await? {
                ends = rows.first().zip(rows.last()).map(|(first, last)| (first.version, last.version));
                rows.into_iter().for_each(|row| self.proof.add(row));
            }
            ranges.next.retain(|range| range.cursor.is_some());
            if ranges.has_gaps() {
                // The rows after a gap are read, but nothing is proven there yet.
                continue;
            }
            if ranges.is_empty() {
                return Ok(None);
            }
            if let Some((first, last)) = ends {
                let pages = self.proof.times(&self.pull.budget);
                ranges.split(first, last, self.counter.current, pages);
            }
            if self.proof.exceeds(&self.pull.budget) {
                self.expect_not_removed()?;
                let widest = ends.map_or(u64::MAX, |(first, last)| versions_in(first, last));
                self.read_from_the_end(widest).await?;
                if let Some(cut) = self.proof.cut(self.counter.current, &self.pull.budget) {
                    return Ok(Some(cut));
                }
            }
        }
        Ok(None)
    }

    /// Reads the index from its end, until everything that fits the answer is proven or nothing is left to read.
    ///
    /// A version that is missing before the last row that fits was mostly replaced by a row near the end, for example after an
    /// import and some edits. This is done once per pull. A version that is missing afterwards is late, or no history names it
    /// any more.
    async fn read_from_the_end(&mut self, widest: u64) -> Result<(), Stop> {
        if self.end_was_read {
            return Ok(());
        }
        let counter = Mark::from(self.counter.current);
        let Some(end) = self.proof.last_that_fits(counter, &self.pull.budget) else { return Ok(()) };
        let end = Mark::from(end);
        let mut ranges = FromTheEnd::above(end, counter.max(self.proof.newest()), widest);
        let mut archive_was_read = false;
        // There is no deadline, because there is no shorter way to the answer and each round leads a page further.
        while self.proof.proven() < end {
            if !archive_was_read && self.proof.is_silent() {
                archive_was_read = true;
                self.read_archive(self.since).await?;
                continue;
            }
            self.end_was_read = true;
            let page_of =
                |range: &Range| self.table.histories_page(&self.pull.project, range.span, range.cursor.clone());
            for rows in read_a_page_each(&mut ranges.next, page_of).await? {
                rows.iter().for_each(|row| self.proof.add_history(row, end));
            }
            if !ranges.go_on() {
                break;
            }
        }
        // Histories that were read since may have dropped versions.
        if self.proof.proven() < end && self.proof.is_silent() {
            self.read_archive(self.since).await?;
        }
        Ok(())
    }

    /// Reads what the archive has above a mark. Call it after the rows are read: a row may drop versions until it is read.
    async fn read_archive(&mut self, after: Mark) -> Result<(), Stop> {
        if self.archive_is_too_large && after == self.since {
            return Ok(());
        }
        match unthrottled(self.deadline, || self.table.archived_above(&self.pull.project, after)).await? {
            Some(archive) => self.proof.add_archive(after, archive),
            None => self.archive_is_too_large |= after == self.since,
        }
        Ok(())
    }

    /// Whether everything up to the counter was read.
    fn prove(&mut self) -> bool {
        let counter = self.counter.current;
        // On a first pull the index was read from its beginning. So the sum proves the answer, however many histories are silent.
        self.proof.proven().covers(counter) || (self.since == Mark::NOTHING && self.proof.proves_by_sum(counter))
    }

    /// Whether everything up to the counter was read. Reads the archive if versions are missing that a silent history may have
    /// dropped.
    async fn prove_with_archive(&mut self) -> Result<bool, Stop> {
        if !self.prove() && self.proof.is_silent() {
            self.read_archive(self.since).await?;
        }
        Ok(self.prove())
    }

    /// Proves the rows up to the counter, and reads more if necessary. Returns where to cut the answer if the rows exceed what
    /// fits.
    async fn prove_or_read_on(&mut self) -> Result<Option<ServerVersion>, Stop> {
        for attempt in 1..=MAX_RETRIES {
            if self.prove_with_archive().await? {
                break;
            }
            self.outcome = self.outcome.max(PullOutcome::AskedAgain);
            sleep((RETRY_PAUSE * attempt).mul_f64(fastrand::f64())).await;
            let after = self.proof.proven();
            if let Some(cut) = self.read_index(after).await? {
                return Ok(Some(cut));
            }
        }
        if !self.prove() && !self.proof.archive_was_read() {
            self.read_archive(self.since).await?;
        }
        if !self.prove() {
            self.read_strongly().await?;
        }
        if !self.proof.exceeds(&self.pull.budget) {
            return Ok(None);
        }
        Ok(self.proof.cut(self.counter.current, &self.pull.budget))
    }

    /// Reads all rows strongly until they add up. `Overloaded` if too many such reads are in progress.
    async fn read_strongly(&mut self) -> Result<(), Stop> {
        meter::strong_fallback();
        let _under_way = self.strong.begin(&self.pull.project)?;
        self.outcome = PullOutcome::Strong;
        self.deadline = self.began + MAX_STRONG_TIME;
        let mut pause = RETRY_PAUSE;
        loop {
            self.read_all_rows().await?;
            if self.prove_all_rows().await? {
                return Ok(());
            }
            if Instant::now() + pause >= self.deadline {
                return Err(Error::NotProven.into());
            }
            sleep(pause.mul_f64(fastrand::f64())).await;
            pause *= 2;
        }
    }

    /// Reads every page of the table. A throttled read continues after a pause. The pause does no harm, because a row counts as of
    /// when it was read.
    async fn read_all_rows(&mut self) -> Result<(), Stop> {
        let mut cursor = None;
        loop {
            let page_at = || self.table.rows_page(&self.pull.project, cursor.clone());
            let page = unthrottled_unless(self.deadline, page_at, || self.look()).await?;
            page.rows.into_iter().for_each(|row| self.proof.add_without_page(row));
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
            if Instant::now() >= self.deadline {
                return Err(Error::NotProven.into());
            }
        }
    }

    /// Whether the sum over all rows proves them. It is compared with the counter that was read before the rows, then again with
    /// the archive added, then with the present counter and the rows that are newer than the old one.
    async fn prove_all_rows(&mut self) -> Result<bool, Stop> {
        let counter = self.counter.current;
        if self.proof.proves_by_sum(counter) {
            return Ok(true);
        }
        self.read_archive(counter.into()).await?;
        if self.proof.proves_by_sum(counter) {
            return Ok(true);
        }
        self.read_counter().await?;
        let (newer, mut cursor) = (VersionSpan::above(counter.into()), None);
        loop {
            let page = self.table.feed_page(&self.pull.project, newer, cursor).await?;
            page.rows.into_iter().for_each(|row| self.proof.add(row));
            cursor = page.next;
            if cursor.is_none() {
                return Ok(self.proof.proves_by_sum(self.counter.current));
            }
        }
    }

    /// Reads the counter again, because rows are newer than it, and proves the rows against the new counter. Reads the index
    /// again if necessary. If that fails, the old counter stays, because everything up to it is proven.
    async fn catch_up(&mut self) -> Result<(), Stop> {
        self.outcome = self.outcome.max(PullOutcome::CaughtUp);
        let proven = self.counter.clone();
        self.read_counter().await?;
        if !self.prove() {
            let after = self.proof.proven();
            self.read_index(after).await?;
        }
        if !self.prove_with_archive().await? {
            self.counter = proven;
        }
        Ok(())
    }

    /// Reads the counter again. The project may have been deleted.
    async fn read_counter(&mut self) -> Result<(), Stop> {
        let counter = self.table.counter(&self.pull.project).await?.ok_or(Error::NotAMember)?;
        let counter = PullCounter::from(counter);
        // The counter never goes back, because what was read before was true.
        if counter.current >= self.counter.current {
            self.counter = counter;
        }
        self.expect_not_deleted()
    }

    /// Waits until the counter is not below the newest version seen. A commit's rows may be visible before its counter.
    async fn wait_for_counter(&mut self) -> Result<(), Stop> {
        let newest = self.proof.newest();
        while !self.counter.reaches(newest) {
            self.read_counter().await?;
            if !self.counter.reaches(newest) {
                if Instant::now() >= self.deadline {
                    return Err(Error::NotProven.into());
                }
                sleep(RETRY_PAUSE.mul_f64(fastrand::f64())).await;
            }
        }
        Ok(())
    }

    /// Reads the caller's membership again, because it may be dead by now.
    async fn read_membership(&self) -> Result<PullMembership, Stop> {
        let project = &self.pull.project;
        let row = self.table.row(project, &self.membership.row.key).await?.ok_or(Error::NotAMember)?;
        let membership = PullMembership::of(project, &row);
        if !membership.is_live() {
            return Err(Ended::removed(&membership).into());
        }
        Ok(membership)
    }

    fn expect_not_deleted(&self) -> Result<(), Stop> {
        self.counter.deleted_at.map_or(Ok(()), |end| Err(Ended::Deleted(end).into()))
    }

    /// Ends the pull if the caller's own membership is dead. The live one from step 1 is among the rows, so a dead one is newer.
    fn expect_not_removed(&self) -> Result<(), Stop> {
        match self.proof.row(&self.membership.row.key) {
            Some(row) if row.json.is_none() => Err(Ended::Removed { at: row.version, knew: row.version }.into()),
            _ => Ok(()),
        }
    }

    /// The busy answer: proven up to `mark`, with newer rows beside. It must not be kept.
    fn finish_busy(self, mark: ServerVersion) -> Made<'k> {
        let rows = without_tombstones_for(self.pull, self.proof.into_rows(Mark::EVERYTHING));
        Made::unkept(PullAnswer { rows, ..PullAnswer::empty(mark) }, self.outcome)
    }

    /// The answer that is exactly the state at `mark`, a counter that was read.
    fn finish_exact(self, mark: ServerVersion, reading: Option<Reading<'k>>) -> Made<'k> {
        let rows = self.proof.into_rows(Mark::EVERYTHING);
        let page = Page::of(&rows, self.since, mark.into(), (self.begun, mark.into()), true);
        let (rows, checksums) = (without_tombstones_for(self.pull, rows), Some(self.counter.checksums));
        let page = Page { rows: rows.len(), ..page };
        let page = reading.map(|reading| NewPage { page, reading, following: vec![] });
        Made { answer: PullAnswer { rows, checksums, ..PullAnswer::empty(mark) }, outcome: self.outcome, page }
    }

    /// The answer that is cut at `mark`, or earlier if pages are kept.
    fn finish_cut(mut self, mark: ServerVersion, reading: Option<Reading<'k>>) -> Made<'k> {
        let covered = Mark::from(self.counter.current);
        // A page is not kept while there is a sign of a row that the counter does not cover.
        let Some(reading) = reading.filter(|_| !self.proof.has_newer(self.counter.current)) else {
            let rows = without_tombstones_for(self.pull, self.proof.into_rows(mark.into()));
            let checksums = Some(self.counter.checksums);
            let answer = PullAnswer { rows, has_more: true, checksums, ..PullAnswer::empty(mark) };
            return Made::unkept(answer, self.outcome);
        };
        // After a strong read all rows are known, so the rows of the pages after this one need not be read again.
        let is_all = self.outcome == PullOutcome::Strong;
        let proven = if is_all { self.proof.proven().min(covered) } else { mark.into() };
        let mut rows = self.proof.into_rows(proven);
        let rest = rows.split_off(rows.partition_point(|row| row.version <= mark));
        let counters = (self.begun, covered);
        let pages = Pages { kept: self.kept, since: self.since, counters, checksums: &self.counter.checksums };
        let (page, rest) = pages.first(rows, rest);
        let following = Pages { since: page.0.mark, ..pages }.all(if is_all { rest } else { vec![] }, self.pull.budget);
        let key_of = |page: &Page| PageKey { since: page.after, without_tombstones: false, ..reading.key().clone() };
        let following = following.into_iter().map(|(page, answer)| (key_of(&page), page, answer)).collect();
        let (page, answer) = page;
        let answer = PullAnswer { rows: without_tombstones_for(self.pull, answer.rows), ..answer };
        let page = Page { rows: answer.rows.len(), ..page };
        Made { answer, outcome: self.outcome, page: Some(NewPage { page, reading, following }) }
    }
}

fn without_tombstones_for(pull: &Pull, mut rows: Vec<FeedRow>) -> Vec<FeedRow> {
    if pull.leaves_tombstones_out() {
        rows.retain(|row| row.json.is_some());
    }
    rows
}

/// Cuts ascending rows, which are all proven, into pages.
struct Pages<'k> {
    kept: &'k KeptPages,
    since: Mark,
    /// The counters that were read before and after the rows.
    counters: (Mark, Mark),
    /// The checksums of the counter that covers the pages.
    checksums: &'k Checksums,
}

impl Pages<'_> {
    /// The page of the rows that fit. Also returns the rows that are left, followed by `rest`.
    fn first(&self, mut rows: Vec<FeedRow>, rest: Vec<FeedRow>) -> ((Page, PullAnswer), Vec<FeedRow>) {
        let limits = self.kept.limits();
        if rows.len() >= limits.min_rows {
            let versions: Vec<u64> = rows.iter().map(|row| row.version.get()).collect();
            let mut left = rows.split_off(rounded(&versions, limits.rounded_part));
            left.extend(rest);
            return (self.page(rows), left);
        }
        (self.page(rows), rest)
    }

    fn page(&self, rows: Vec<FeedRow>) -> (Page, PullAnswer) {
        let mark = rows.last().map_or(self.since, |row| row.version.into());
        let page = Page::of(&rows, self.since, mark, self.counters, false);
        let checksums = Some(self.checksums.clone());
        (page, PullAnswer { rows, has_more: true, checksums, ..PullAnswer::empty(mark) })
    }

    /// Pages of all rows.
    fn all(mut self, mut rows: Vec<FeedRow>, budget: Budget) -> Vec<(Page, PullAnswer)> {
        let mut pages = vec![];
        while !rows.is_empty() {
            let mut left = budget;
            let fitting = rows.iter().take_while(|row| left.take(row)).count();
            if fitting == 0 {
                break;
            }
            let rest = rows.split_off(fitting);
            let (page, rest) = self.first(rows, rest);
            self.since = page.0.mark;
            pages.push(page);
            rows = rest;
        }
        pages
    }
}

/// Reads the next page of each range in parallel, and moves the cursor of the range. Returns the rows of each range.
async fn read_a_page_each<R, F>(ranges: &mut [Range], page_of: impl Fn(&Range) -> F) -> Result<Vec<Vec<R>>, Error>
where
    F: Future<Output = Result<FeedPage<R>, Error>>,
{
    let pages = try_join_all(ranges.iter().map(page_of)).await?;
    let rows = ranges.iter_mut().zip(pages).map(|(range, page)| {
        range.cursor = page.next;
        page.rows
    });
    Ok(rows.collect())
}

#[cfg(test)]
mod tests {
    use shared::domain::Counter;

    use super::*;

    #[test]
    fn a_mark_from_before_a_restore_starts_over_and_a_new_device_or_a_later_mark_does_not() {
        let version = |number: u64| ServerVersion::try_from(number).expect("a version");
        let starts_over = |counter: &PullCounter, since: u64| {
            let since = Mark::try_from(since).expect("a mark");
            matches!(expect_no_resync(counter, since), Err(Error::ResyncRequired { through }) if through == version(7))
        };
        let counter = PullCounter::from(Counter::at(version(9)));
        let restored = PullCounter { resync_through: Some(version(7)), ..counter.clone() };
        assert_eq!([0, 1, 7, 8].map(|since| starts_over(&restored, since)), [false, true, true, false]);
        assert!(!starts_over(&counter, 7));
    }
}
