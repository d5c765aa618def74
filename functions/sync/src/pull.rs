//! A pull does not trust what it reads, it checks it.
//!
//! 1. Counter and membership in one strong read. Up to date: an empty answer without a look at the index.
//! 2. The rows above `since` from the index, ascending and without an upper end; many of them in ranges side by side, of
//!    which the last one has no end.
//! 3. [`Proof`] proves that nothing is missing up to the counter. Rows newer than the counter: read it again and count
//!    against it, so that the device does not see half of a cascade; a project that does not stand still gets a busy answer.
//!    Not proven, and a row's list is cut: read the archive, which has what the list dropped. Not proven: ask the index again, then read all
//!    rows strongly, few at once. Still not: 503, never a guess.
//! 4. Too much for one response: cut at a row's version up to which everything is proven and fits. What is missing before the
//!    last row that fits was replaced by a row further on: the index is read once from its end, for the versions that rows there
//!    superseded and not for the rows, until nothing that fits is missing.
//! 5. Before a busy or a cut answer the counter is read until it is not below the newest row, since a commit may be in
//!    the index before it is on the counter. A busy answer shows rows newer than its mark, so the membership is read along.
//! 6. Counter and membership are two items, not one moment: a caller whose own dead membership is among the rows was
//!    removed. The membership that was read in 1 is one of the rows, so that an old tombstone in the index says nothing.
//!    `deleted_at` is on the counter and looked at whenever that is read. Where the counter was read in a later call, the
//!    membership is read again: the removal may be below a mark that was guessed.
//! 7. A device that was wiped holds the version of the removal, or a place while it still is being wiped, and gets everything
//!    again. So no other answer ends there. What it is told to forget: `wipe.rs`.
//! 8. A device whose app has new columns or collections gets everything again, as with `since = 0`; whether its mark is one of
//!    this server's is judged all the same.
//! 9. A final answer's mark is a counter that was read. So `min_version` is waited for once, on the counter, before any of
//!    this: an answer to a mutation can be seen before its counter is, for a moment.
//! 10. An answer that is exactly the state at the counter carries the checksums that were read with it. So does an empty one:
//!     whoever holds the counter's version was given nothing newer, for that would have moved the counter.
//! 11. After all that comes before the index, and not sooner, a page that this instance keeps may be given instead: `kept/`.

use std::time::Duration;

use futures_util::future::try_join_all;
use shared::domain::{Counter, Error, ProjectId, Row, RowKey, ServerVersion, Since, UserId};
use shared::meter;
use shared::storage::{FeedPage, FeedRow, MAX_ROWS, Table};
use tokio::time::{Instant, sleep};

use crate::body::{Budget, IdBudget, PullAnswer};
use crate::encoding::Encoding;
use crate::kept::{Found, GivenPage, KeptPages, Page, PageKey, Reader, Reading, rounded};
use crate::outcome::PullOutcome;
use crate::proof::Proof;
use crate::ranges::{FromTheEnd, Range, Ranges};
use crate::strong_reads::StrongReads;
use crate::throttle::{unthrottled, unthrottled_unless};
use crate::wipe::{Ended, Wipe};

/// How long a pull tries to prove its answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// … when it reads all rows strongly, from its beginning on. The gateway gives up after 30 s.
const STRONG_DEADLINE: Duration = Duration::from_secs(25);
/// How often a lagging index is asked again before all rows are read strongly, and how often a counter that runs ahead is
/// caught up with.
const TRIES: u32 = 3;
/// How long the counter may take to reach a version that a mutation has answered.
const MOMENT: Duration = Duration::from_secs(1);
/// The longest pause before the index is asked again; it grows with each try.
const PAUSE: Duration = Duration::from_millis(40);

/// What is asked for.
pub(crate) struct Pull {
    pub(crate) project: ProjectId,
    pub(crate) caller: UserId,
    pub(crate) since: Since,
    /// What the answer may hold.
    pub(crate) budget: Budget,
    /// How it will be written.
    pub(crate) encoding: Encoding,
    /// What a page of a wipe may name.
    pub(crate) wipe_page: IdBudget,
    pub(crate) turbo: bool,
    /// The app has columns or collections that the device does not hold yet, whatever its mark.
    pub(crate) needs_everything: bool,
    /// What the answer is to account for at least, unless it says that there is more.
    pub(crate) min_version: u64,
}

/// What becomes of a pull.
pub(crate) enum Pulled<'a> {
    Made(Box<Made<'a>>),
    /// A page that was kept.
    Given(GivenPage),
}

/// An answer, how it was proven, and what of it is worth keeping.
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
    /// The pages after it, when all rows are in hand.
    pub(crate) following: Vec<(PageKey, Page, PullAnswer)>,
}

/// Why gathering rows stopped.
enum Stop {
    Ended(Ended),
    Failed(Error),
    /// There is a page by now.
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

/// Answers a pull, and says which way it took.
pub(crate) async fn pull<'a>(
    table: &Table,
    strong: &StrongReads,
    kept: &'a KeptPages,
    pull: &Pull,
) -> Result<Pulled<'a>, Error> {
    table.expect_member_or_removed(&pull.project, &pull.caller).await?;
    let membership = RowKey::membership(&pull.project, &pull.caller);
    let snapshot = table.snapshot(&pull.project, std::slice::from_ref(&membership)).await?;
    let (Some(counter), Some(membership)) = (&snapshot.counter, snapshot.row(&membership)) else {
        return Err(Error::NotAMember);
    };
    expect_no_resync(counter, pull.since)?;
    let in_doubt = snapshot.was_read_in_several_calls();
    match Gathering::answer(table, strong, kept, pull, counter.clone(), membership, in_doubt).await {
        Ok(made) => Ok(Pulled::Made(Box::new(made))),
        Err(Stop::Given(page)) => Ok(Pulled::Given(page)),
        Err(Stop::Failed(error)) => Err(error),
        Err(Stop::Ended(ended)) => {
            let Pull { ref project, since, wipe_page, .. } = *pull;
            let wipe =
                Wipe { table, strong, project, since, resync_through: counter.resync_through, budget: wipe_page };
            Ok(Pulled::Made(Box::new(Made::unkept(wipe.answer(ended).await?, PullOutcome::Wiped))))
        }
    }
}

/// A device that holds rows a restore took back learns nothing of them from any answer: it has to start over. So has one
/// that was being wiped by another table.
///
/// Judged before removal and deletion, whose answers name only the ids that are known here.
fn expect_no_resync(counter: &Counter, since: Since) -> Result<(), Error> {
    let is_stale = match since.wipe_place() {
        Some(place) => !place.is_since(counter.resync_through),
        None => counter.resync_through.is_some_and(|through| (1..=through.get()).contains(&since.get())),
    };
    match counter.resync_through {
        Some(through) if is_stale => Err(Error::ResyncRequired { through }),
        None if is_stale => Err(Error::SinceAheadOfServer { current: counter.current }),
        _ => Ok(()),
    }
}

impl Pull {
    /// Turbo mode refuses tombstones on a first sync, and a fresh database needs none.
    fn leaves_tombstones_out(&self) -> bool {
        self.turbo && self.since == Since::NOTHING
    }
}

/// A pull under way. It ends before the pages that are kept do.
struct Gathering<'a, 'k> {
    table: &'a Table,
    strong: &'a StrongReads,
    kept: &'k KeptPages,
    pull: &'a Pull,
    membership: &'a Row,
    counter: Counter,
    /// What the device holds of what it needs; nothing, if it was wiped or its app has new columns.
    since: u64,
    proof: Proof,
    /// The index was read from its end.
    end_was_read: bool,
    /// The archive takes more than a pull reads of it.
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
        counter: Counter,
        membership: &'a Row,
        // The counter may have been read long after the membership.
        mut in_doubt: bool,
    ) -> Result<Made<'k>, Stop> {
        // A device that was wiped holds the version of the removal, or a place while that is under way.
        let wiped = membership.was_removed_at(pull.since.get());
        let held = if wiped || pull.since.wipe_place().is_some() { 0 } else { pull.since.get() };
        let since = if pull.needs_everything { 0 } else { held };
        let mut gathering = Self {
            table,
            strong,
            kept,
            pull,
            membership,
            since,
            proof: Proof::new(since, counter.skipped.clone()),
            end_was_read: false,
            archive_is_too_large: false,
            counter,
            outcome: PullOutcome::FirstRead,
            began: Instant::now(),
            deadline: Instant::now() + DEADLINE,
        };
        gathering.proof.add(FeedRow::of(&pull.project, membership));
        if membership.live().is_none() {
            return Err(Ended::removed(membership).into());
        }
        gathering.expect_not_deleted()?;
        if held > gathering.counter.current.get() {
            // The device may have seen a commit's rows before its counter.
            gathering.read_counter().await?;
            in_doubt = true;
        }
        let current = gathering.counter.current;
        if held > current.get() {
            return Err(Error::SinceAheadOfServer { current }.into());
        }
        if in_doubt && held >= membership.version.get() {
            // A mark that was guessed may be above the removal, which then is not among the rows. Whoever is a member after
            // the counter was read was not removed up to there.
            gathering.read_membership().await?;
        }
        gathering.wait_for_min_version().await?;
        let current = gathering.counter.current.get();
        if since == current {
            let checksums = Some(gathering.counter.checksums.clone());
            return Ok(Made::unkept(PullAnswer { checksums, ..PullAnswer::empty(current) }, PullOutcome::Unchanged));
        }
        gathering.find_or_gather().await
    }

    /// Reads the counter until it is at what the caller asks for. From then on no final answer ends below.
    ///
    /// The commit that the caller has seen may not be on the counter yet, but each one before it is. So what is further
    /// ahead than one commit goes is refused at once.
    async fn wait_for_min_version(&mut self) -> Result<(), Stop> {
        let end = Instant::now() + MOMENT;
        let mut pause = PAUSE;
        while self.counter.current.get() < self.pull.min_version {
            let missing = self.pull.min_version - self.counter.current.get();
            if missing > MAX_ROWS as u64 || Instant::now() >= end {
                return Err(Error::MinVersionAheadOfServer { current: self.counter.current }.into());
            }
            sleep(pause.mul_f64(fastrand::f64())).await;
            pause *= 2;
            self.read_counter().await?;
        }
        Ok(())
    }

    /// What a page for this pull has to have in common with it; none where none is worth keeping.
    fn page_key(&self) -> Option<PageKey> {
        let counter = &self.counter;
        self.kept.may_have(counter.current.get().saturating_sub(self.since)).then(|| PageKey {
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
        let (counter, min_version) = (self.counter.current.get(), self.pull.min_version);
        Reader { since: self.since, counter, min_version, membership: self.membership }
    }

    /// Is a page kept that this device may be given? Whoever waits for a throttled partition looks again, since somebody else may have
    /// read the page meanwhile.
    fn look(&self) -> Result<(), Stop> {
        let page = self.page_key().and_then(|key| self.kept.look(&key, &self.reader()));
        page.map_or(Ok(()), |page| Err(Stop::Given(page)))
    }

    /// Gives a page that is kept, or gathers one, which others wait for.
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
        let mut tries = TRIES;
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
                // Nothing to cut at: all that is proven has been superseded by rows newer than the counter.
                self.wait_for_counter().await?;
            } else if tries > 0 && self.proof.has_newer(counter) {
                tries -= 1;
                self.catch_up().await?;
            } else {
                self.outcome = self.outcome.max(PullOutcome::Busy);
                self.wait_for_counter().await?;
                let membership = self.read_membership().await?;
                if !membership.was_removed_at(counter.get()) {
                    return Ok(self.finish_busy(counter));
                }
                if Instant::now() >= self.deadline {
                    return Err(Error::NotProven.into());
                }
            }
        }
    }

    /// Reads the index above `after`, what lies behind the first page in ranges side by side. As soon as there is more than
    /// fits, it is read from its end for what is missing, and if some is proven then, the answer is cut.
    async fn read_index(&mut self, after: u64) -> Result<Option<ServerVersion>, Stop> {
        let mut ranges = Ranges::above(after);
        while ranges.go_on() {
            let page_of =
                |range: &Range| self.table.feed_page(&self.pull.project, range.after, range.to, range.cursor.clone());
            let mut span = None;
            for rows in read_a_page_each(&mut ranges.next, page_of).await? {
                let versions = rows.first().zip(rows.last());
                span = versions.map(|(first, last)| (first.version.get(), last.version.get()));
                rows.into_iter().for_each(|row| self.proof.add(row));
            }
            ranges.next.retain(|range| range.cursor.is_some());
            if ranges.has_gaps() {
                // What lies behind them is in hand and counts, but nothing is proven there yet.
                continue;
            }
            if ranges.is_empty() {
                return Ok(None);
            }
            if let Some((first, last)) = span {
                let pages = self.proof.times(&self.pull.budget);
                ranges.split(first, last, self.counter.current.get(), pages);
            }
            if self.proof.exceeds(&self.pull.budget) {
                self.expect_not_removed()?;
                let widest = span.map_or(u64::MAX, |(first, last)| last - first + 1);
                self.read_from_the_end(widest).await?;
                if let Some(cut) = self.proof.cut(self.counter.current, &self.pull.budget) {
                    return Ok(Some(cut));
                }
            }
        }
        Ok(None)
    }

    /// Reads the index from its end, until all that fits the answer is proven or nothing is left to read.
    ///
    /// What is missing before the last row that fits was replaced by a row behind it: mostly at the end, as after an import
    /// and some edits. Once in a pull: what is missing then is late, or named by no list any more.
    async fn read_from_the_end(&mut self, widest: u64) -> Result<(), Stop> {
        if self.end_was_read {
            return Ok(());
        }
        let counter = self.counter.current.get();
        let Some(end) = self.proof.last_that_fits(counter, &self.pull.budget) else { return Ok(()) };
        let mut ranges = FromTheEnd::above(end.get(), counter.max(self.proof.newest()), widest);
        let mut archive_was_read = false;
        // Without a deadline: there is no shorter way to the answer, and each round takes it a page further.
        while self.proof.proven() < end.get() {
            if !archive_was_read && self.proof.is_silent() {
                archive_was_read = true;
                self.read_archive(self.since).await?;
                continue;
            }
            self.end_was_read = true;
            let page_of = |range: &Range| {
                self.table.histories_page(&self.pull.project, range.after, range.to, range.cursor.clone())
            };
            for rows in read_a_page_each(&mut ranges.next, page_of).await? {
                rows.iter().for_each(|row| self.proof.add_history(row, end));
            }
            if !ranges.go_on() {
                break;
            }
        }
        // What was dropped meanwhile, or by rows that were read since.
        if self.proof.proven() < end.get() && self.proof.is_silent() {
            self.read_archive(self.since).await?;
        }
        Ok(())
    }

    /// Reads what the archive holds above a version. To be called after the rows, which may have dropped versions until they
    /// were read.
    async fn read_archive(&mut self, after: u64) -> Result<(), Stop> {
        if self.archive_is_too_large && after == self.since {
            return Ok(());
        }
        match unthrottled(self.deadline, || self.table.archived_above(&self.pull.project, after)).await? {
            Some(archive) => self.proof.add_archive(after, archive),
            None => self.archive_is_too_large |= after == self.since,
        }
        Ok(())
    }

    /// Is everything up to the counter in hand?
    fn prove(&mut self) -> bool {
        let counter = self.counter.current;
        // On a first pull the index was read from its beginning, so that the sum counts however many lists are cut.
        self.proof.proven() >= counter.get() || (self.since == 0 && self.proof.proves_by_sum(counter))
    }

    /// … or is what is missing in the archive, because the lists of rows that were read have no room for it?
    async fn prove_with_archive(&mut self) -> Result<bool, Stop> {
        if !self.prove() && self.proof.is_silent() {
            self.read_archive(self.since).await?;
        }
        Ok(self.prove())
    }

    /// Proves the rows in hand up to the counter, with more readings if it takes them. Returns where to cut when they
    /// exceed what fits.
    async fn prove_or_read_on(&mut self) -> Result<Option<ServerVersion>, Stop> {
        for attempt in 1..=TRIES {
            if self.prove_with_archive().await? {
                break;
            }
            self.outcome = self.outcome.max(PullOutcome::AskedAgain);
            sleep((PAUSE * attempt).mul_f64(fastrand::f64())).await;
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

    /// Reads all rows strongly until they add up, unless there is too much of that already.
    async fn read_strongly(&mut self) -> Result<(), Stop> {
        meter::strong_fallback();
        let _under_way = self.strong.begin(&self.pull.project)?;
        self.outcome = PullOutcome::Strong;
        self.deadline = self.began + STRONG_DEADLINE;
        let mut pause = PAUSE;
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

    /// Reads every page of the table. Where it was throttled it goes on after a pause, however long that is: a row counts as of when it was
    /// read.
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

    /// Do the rows that were read add up? To the counter that was read before them; or else with what their lists have dropped since; or else
    /// to a counter of now, with the rows that are newer than the old one.
    async fn prove_all_rows(&mut self) -> Result<bool, Stop> {
        let counter = self.counter.current;
        if self.proof.proves_by_sum(counter) {
            return Ok(true);
        }
        self.read_archive(counter.get()).await?;
        if self.proof.proves_by_sum(counter) {
            return Ok(true);
        }
        self.read_counter().await?;
        let mut cursor = None;
        loop {
            let page = self.table.feed_page(&self.pull.project, counter.get(), None, cursor).await?;
            page.rows.into_iter().for_each(|row| self.proof.add(row));
            cursor = page.next;
            if cursor.is_none() {
                return Ok(self.proof.proves_by_sum(self.counter.current));
            }
        }
    }

    /// Rows are newer than the counter: reads it again and proves what is in hand against that, with another look at the
    /// index if it takes one. What was proven stays proven when this is not.
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

    /// Reads the counter again; the project may have been deleted.
    async fn read_counter(&mut self) -> Result<(), Stop> {
        let counter = self.table.counter(&self.pull.project).await?.ok_or(Error::NotAMember)?;
        // Never back: what was read before was true.
        if counter.current >= self.counter.current {
            self.counter = counter;
        }
        self.expect_not_deleted()
    }

    /// Waits until the counter is not below the newest row in hand, which may be visible before it.
    async fn wait_for_counter(&mut self) -> Result<(), Stop> {
        let newest = self.proof.newest();
        while self.counter.current.get() < newest {
            self.read_counter().await?;
            if self.counter.current.get() < newest {
                if Instant::now() >= self.deadline {
                    return Err(Error::NotProven.into());
                }
                sleep(PAUSE.mul_f64(fastrand::f64())).await;
            }
        }
        Ok(())
    }

    /// Reads the caller's membership again, which may be dead by now.
    async fn read_membership(&self) -> Result<Row, Stop> {
        let key = &self.membership.key;
        let row = self.table.row(&self.pull.project, key).await?.ok_or(Error::NotAMember)?;
        if row.live().is_none() {
            return Err(Ended::removed(&row).into());
        }
        Ok(row)
    }

    fn expect_not_deleted(&self) -> Result<(), Stop> {
        self.counter.deleted_at.map_or(Ok(()), |end| Err(Ended::Deleted(end).into()))
    }

    /// The caller's own membership, dead, is an answer of its own. The one that let them in is in hand, so a dead one is
    /// newer than that.
    fn expect_not_removed(&self) -> Result<(), Stop> {
        match self.proof.row(&self.membership.key) {
            Some(row) if row.json.is_none() => Err(Ended::Removed { at: row.version, knew: row.version }.into()),
            _ => Ok(()),
        }
    }

    /// The answer up to `mark`, proven, with newer rows beside. It is not to be kept.
    fn finish_busy(self, mark: ServerVersion) -> Made<'k> {
        let rows = without_tombstones_for(self.pull, self.proof.into_rows(None));
        Made::unkept(PullAnswer { rows, ..PullAnswer::empty(mark.get()) }, self.outcome)
    }

    /// The answer that is exactly the state at `mark`, a counter that was read.
    fn finish_exact(self, mark: ServerVersion, reading: Option<Reading<'k>>) -> Made<'k> {
        let rows = self.proof.into_rows(None);
        let page = Page::of(&rows, self.since, mark.get(), mark.get(), true);
        let (rows, checksums) = (without_tombstones_for(self.pull, rows), Some(self.counter.checksums));
        let page = Page { rows: rows.len(), ..page };
        let page = reading.map(|reading| NewPage { page, reading, following: vec![] });
        Made { answer: PullAnswer { rows, checksums, ..PullAnswer::empty(mark.get()) }, outcome: self.outcome, page }
    }

    /// The answer that is cut at `mark`, or before, where pages are kept.
    fn finish_cut(mut self, mark: ServerVersion, reading: Option<Reading<'k>>) -> Made<'k> {
        let covered = self.counter.current.get();
        // A page is not kept while there is a sign of a row that the counter does not cover.
        let Some(reading) = reading.filter(|_| !self.proof.has_newer(self.counter.current)) else {
            let rows = without_tombstones_for(self.pull, self.proof.into_rows(Some(mark)));
            return Made::unkept(PullAnswer { rows, has_more: true, ..PullAnswer::empty(mark.get()) }, self.outcome);
        };
        // After a strong reading all rows are in hand, and those of the pages after this one need not be read again.
        let is_all = self.outcome == PullOutcome::Strong;
        let proven = if is_all { self.proof.proven().min(covered) } else { mark.get() };
        let mut rows = self.proof.into_rows(ServerVersion::try_from(proven).ok());
        let rest = rows.split_off(rows.partition_point(|row| row.version <= mark));
        let pages = Pages { kept: self.kept, since: self.since, covered };
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

/// Cuts rows that are all proven, ascending, into pages.
struct Pages<'k> {
    kept: &'k KeptPages,
    since: u64,
    covered: u64,
}

impl Pages<'_> {
    /// A page of rows that fit, and what is left with the rows after them.
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
        let mark = rows.last().map_or(self.since, |row| row.version.get());
        let page = Page::of(&rows, self.since, mark, self.covered, false);
        (page, PullAnswer { rows, has_more: true, ..PullAnswer::empty(mark) })
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

/// Reads the next page of each range, side by side, and notes in the range where it goes on. The rows, range by range.
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
    use super::*;

    #[test]
    fn a_mark_from_before_a_restore_starts_over_and_a_new_device_or_a_later_mark_does_not() {
        let version = |number: u64| ServerVersion::try_from(number).expect("a version");
        let starts_over = |counter: &Counter, since: u64| {
            let since = Since::try_from(since).expect("a mark");
            matches!(expect_no_resync(counter, since), Err(Error::ResyncRequired { through }) if through == version(7))
        };
        let restored = Counter { resync_through: Some(version(7)), ..Counter::at(version(9)) };
        assert_eq!([0, 1, 7, 8].map(|since| starts_over(&restored, since)), [false, true, true, false]);
        assert!(!starts_over(&Counter::at(version(9)), 7));
    }
}
