//! The pull, which reads, proves and answers.

use crate::archive::Archive;
use crate::copies::Copies;
use crate::device::{Answer, Device, How};
use crate::kept::{Form, KeptPage};
use crate::proof::{Verdict, judge, newest};
use crate::row::{Entity, Overflow, PerRow, Row, Version};
use crate::scenario::{Mutant, View};
use crate::table::{Moment, Table};

/// The request that is to be answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Request {
    /// The device's mark, or 0 for a full resync.
    pub(crate) since: Version,
    /// The counter S.
    pub(crate) current: Version,
    /// The copy of the caller's membership that was read. It was live.
    pub(crate) membership: Moment,
}

impl Request {
    pub(crate) fn new(since: Version, current: Version) -> Self {
        Self { since, current, membership: 0 }
    }
}

/// The source of the rows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Source {
    Index,
    /// All rows were read strongly, from the table.
    Table,
}

/// The rows that were read for a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Found {
    pub(crate) request: Request,
    pub(crate) source: Source,
    pub(crate) copies: Copies,
    /// The archive, if it was read.
    pub(crate) archive: Option<Archive>,
}

/// The moments of counter and membership. These are two items, so they need not be of the same moment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Head {
    counter: Moment,
    membership: Moment,
}

impl Head {
    fn now(table: &Table) -> Self {
        Self { counter: table.counter.now(), membership: table.rows[Entity::Membership].now() }
    }

    /// Every possible result of a read of both that began then and ends now.
    fn until_now(self, table: &Table) -> impl Iterator<Item = Self> {
        let memberships = table.rows[Entity::Membership].seen_since(self.membership);
        table
            .counter
            .seen_since(self.counter)
            .flat_map(move |counter| memberships.clone().map(move |membership| Self { counter, membership }))
    }

    fn current_version(self, table: &Table) -> Option<Version> {
        table.counter.at(self.counter).map(|counter| counter.current_version)
    }

    /// The version at which the caller was removed, if the membership is dead.
    fn removed_at(self, table: &Table) -> Option<Version> {
        let membership = table.rows[Entity::Membership].at(self.membership)?;
        membership.is_deleted.then_some(membership.server_version)
    }

    /// Whether the caller, a member now, was once removed at this version.
    fn was_removed_at(self, table: &Table, version: Version) -> bool {
        let membership = table.rows[Entity::Membership].at(self.membership);
        membership.is_some_and(|row| row.removed_at.has(version))
    }
}

/// A device and its pull.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Pull {
    pub(crate) device: Device,
    pub(crate) phase: Phase,
    /// The page that the instance keeps.
    pub(crate) kept: Option<KeptPage>,
}

/// The state of the pull.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Phase {
    /// Counter and membership are being read.
    Start { begin: Head },
    /// The index is being asked, as often as needed.
    Query { request: Request },
    /// All rows are being read from the table.
    Scan { request: Request, begin: PerRow<Moment> },
    /// Rows were read, but not enough of them. The archive is being read.
    Archive { found: Found, begin: Archive },
    /// Rows were read. Counter and membership are being read again.
    Recount { found: Found, begin: Head },
}

/// A step of the pull.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Start(Head),
    Query(Copies),
    /// The same step, but the archive is read although there is a page without it.
    QueryForTheArchive(Copies),
    Scan(Copies),
    ReadArchive(Archive),
    /// A fresh S for the next scan.
    FreshCounter,
    Recount(Head, Busy),
    /// The pull is answered 503 at the deadline.
    GiveUp,
    /// Another device's pull leaves a page.
    Keep(KeptPage),
    /// The kept page is given.
    GiveKept,
}

/// The choice for a project that does not stand still.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Busy {
    Answer,
    QueryOn,
}

impl Pull {
    pub(crate) fn new(table: &Table, mark: Version) -> Self {
        Self { device: Device::at(table, mark), phase: Phase::Start { begin: Head::now(table) }, kept: None }
    }

    pub(crate) fn steps(&self, view: View<'_>) -> Vec<Step> {
        let mut steps = self.own_steps(view);
        if view.scenario.keeps_a_page && self.kept.is_none() {
            steps.extend(KeptPage::any(view, self.device.mark).into_iter().map(Step::Keep));
        }
        if self.kept.is_some() {
            steps.push(Step::GiveKept);
        }
        steps
    }

    fn own_steps(&self, view: View<'_>) -> Vec<Step> {
        match self.phase {
            Phase::Start { begin } => begin.until_now(view.table).map(Step::Start).collect(),
            Phase::Query { request } => {
                let readings = Copies::from_index(view, request);
                let missing = |copies: &&Copies| {
                    copies.is_silent_above(view.table, request.since)
                        && copies.accounted_to(request.since, request.current, view.table.skipped) < request.current
                };
                let overflows = view.scenario.overflow == Overflow::Archived;
                let for_the_archive = readings.iter().filter(missing).filter(|_| overflows);
                let for_the_archive: Vec<_> = for_the_archive.copied().map(Step::QueryForTheArchive).collect();
                readings.into_iter().map(Step::Query).chain(for_the_archive).collect()
            }
            Phase::Archive { found, begin } => {
                begin.until_now(view.table, found.request.since).into_iter().map(Step::ReadArchive).collect()
            }
            Phase::Scan { begin, .. } => {
                let scans = Copies::from_table(view.table, begin).into_iter().map(Step::Scan);
                scans.chain([Step::FreshCounter, Step::GiveUp]).collect()
            }
            Phase::Recount { begin, .. } => {
                let either = |head| [Busy::Answer, Busy::QueryOn].map(|busy| Step::Recount(head, busy));
                begin.until_now(view.table).flat_map(either).collect()
            }
        }
    }

    /// Takes a step. Returns `None` if it changes nothing.
    pub(crate) fn step(&mut self, view: View<'_>, step: Step) -> Option<()> {
        match (step, self.phase) {
            (Step::Start(head), Phase::Start { .. }) => self.start(view, head)?,
            (Step::Query(copies), Phase::Query { request }) => {
                self.look(view, Found { request, source: Source::Index, copies, archive: None })?;
            }
            (Step::QueryForTheArchive(copies), Phase::Query { request }) => {
                let found = with_membership(view, Found { request, source: Source::Index, copies, archive: None });
                self.read_archive(view, found);
            }
            (Step::ReadArchive(archive), Phase::Archive { found, .. }) => {
                self.look(view, Found { archive: Some(archive), ..found })?;
            }
            (Step::Scan(copies), Phase::Scan { request, .. }) => {
                self.look(view, Found { request, source: Source::Table, copies, archive: None })?;
            }
            (Step::FreshCounter, Phase::Scan { request, .. }) => {
                let current = view.table.visible_version();
                self.read_rows(view.table, Request { current, ..request }, Source::Table);
            }
            (Step::Recount(head, busy), Phase::Recount { found, .. }) => {
                self.recount(view, head, found, busy)?;
            }
            (Step::Keep(page), _) => self.kept = Some(page),
            (Step::GiveKept, _) => self.give_kept(view)?,
            (Step::GiveUp, _) => self.phase = Phase::Start { begin: Head::now(view.table) },
            _ => return None,
        }
        Some(())
    }

    fn start(&mut self, view: View<'_>, head: Head) -> Option<()> {
        if let Some(removed_at) = head.removed_at(view.table) {
            self.answer_removal(view.table, removed_at);
            return Some(());
        }
        let current = head.current_version(view.table)?;
        let mark = self.device.mark;
        // This comes before the comparison with S, because the counter that was read may be as old as the removal.
        let resync = head.was_removed_at(view.table, mark)
            && !(mark == current && view.scenario.is(Mutant::EmptyAnswerBeforeTheResync));
        let since = if resync { 0 } else { mark };
        let request = Request { since, current, membership: head.membership };
        if since > current {
            // The answer is `since_ahead_of_server`, unless another read of the counter says otherwise.
            return None;
        }
        if since == current && !view.scenario.is(Mutant::CounterReadAfterTheRows) {
            let found = Found { request, source: Source::Index, copies: Copies::default(), archive: None };
            self.answer(view, found, Verdict::Exact);
        } else {
            self.read_rows(view.table, request, Source::Index);
        }
        Some(())
    }

    fn read_rows(&mut self, table: &Table, request: Request, source: Source) {
        let begin = PerRow::from_fn(|entity| table.rows[entity].now());
        self.phase = match source {
            Source::Index => Phase::Query { request },
            Source::Table => Phase::Scan { request, begin },
        };
    }

    fn read_archive(&mut self, view: View<'_>, found: Found) {
        let too_early = view.scenario.is(Mutant::ArchiveReadBeforeTheRows);
        let begin = if too_early { Archive::default() } else { view.table.archive };
        self.phase = Phase::Archive { found, begin };
    }

    /// Decides after rows were read: answers, or reads the counter, the archive or the table.
    fn look(&mut self, view: View<'_>, found: Found) -> Option<()> {
        let found = with_membership(view, found);
        let has_archive = view.scenario.overflow == Overflow::Archived && found.archive.is_none();
        let recount = Phase::Recount { found, begin: Head::now(view.table) };
        match judge(view, found) {
            _ if view.scenario.is(Mutant::CounterReadAfterTheRows) => self.phase = recount,
            verdict if view.scenario.is(Mutant::MarkTakenWithoutProof) => {
                self.answer(view, found, verdict);
            }
            Verdict::Short if has_archive => self.read_archive(view, found),
            Verdict::Short if found.source == Source::Table => return None,
            Verdict::Short => self.read_rows(view.table, found.request, Source::Table),
            Verdict::Newer | Verdict::TooManyNewer | Verdict::Cut { .. } => self.phase = recount,
            verdict @ (Verdict::Exact | Verdict::Removed(_)) => self.answer(view, found, verdict),
        }
        Some(())
    }

    /// Reads the counter before a busy or a cut answer, until it is not below the newest row that was read.
    fn recount(&mut self, view: View<'_>, head: Head, mut found: Found, busy: Busy) -> Option<()> {
        let current = head.current_version(view.table)?;
        let fresh = Found { request: Request { current, ..found.request }, ..found };
        if view.scenario.is(Mutant::CounterReadAfterTheRows) {
            found = fresh;
        }
        let verdict = judge(view, found);
        let ahead = match verdict {
            Verdict::Cut { .. } => view.scenario.is(Mutant::CutAnswerAheadOfTheCounter),
            _ => view.scenario.is(Mutant::BusyAnswerAheadOfTheCounter),
        };
        if current < newest(view, found) && !ahead {
            return None;
        }
        match (verdict, judge(view, fresh)) {
            (Verdict::Short, _) => self.read_rows(view.table, fresh.request, Source::Table),
            (Verdict::Cut { .. }, _) => self.answer(view, found, verdict),
            (Verdict::Newer, _) if busy == Busy::Answer => self.answer_busy(view, head, found)?,
            (_, better @ (Verdict::Exact | Verdict::Cut { .. })) => self.answer(view, fresh, better),
            _ => self.read_rows(view.table, fresh.request, found.source),
        }
        Some(())
    }

    /// Makes a busy answer, which needs another read of the membership.
    fn answer_busy(&mut self, view: View<'_>, mut head: Head, found: Found) -> Option<()> {
        if view.scenario.is(Mutant::MembershipNotReadAgain) {
            head.membership = found.copies.copy(Entity::Membership);
        }
        let mark = found.request.current;
        if let Some(removed_at) = head.removed_at(view.table) {
            // The removal was completely applied before the newest row was written, so it is seen here.
            self.answer_removal(view.table, removed_at);
        } else if head.was_removed_at(view.table, mark) && !view.scenario.is(Mutant::BusyAnswerAtARemoval) {
            // This would be the mark of a removed member, so the query goes on.
            return None;
        } else {
            self.answer(view, found, Verdict::Newer);
        }
        Some(())
    }

    /// Gives the kept page, after all steps that come before the index.
    fn give_kept(&mut self, view: View<'_>) -> Option<()> {
        let page = self.kept?;
        let (request, form) = match self.phase {
            Phase::Query { request } => (request, page.form_for(view, request)?),
            Phase::Start { .. } if view.scenario.is(Mutant::PageGivenWithoutTheMembership) => {
                let request = Request::new(self.device.mark, view.table.visible_version());
                (request, page.form_for_anybody(view, request.since)?)
            }
            _ => return None,
        };
        let resync = request.since < self.device.mark;
        let how = How { source: Source::Index, resync, archive: false, kept: true };
        let rows: Vec<_> = page.rows(view).collect();
        self.note(view, request, |entity| page.copy(entity), &rows);
        self.device.told_that_was_all |= form == Form::Exact && page.mark() < request.current;
        let answer = if form == Form::Exact { Answer::Exact(how) } else { Answer::Cut(how) };
        self.device.tell(answer, page.mark(), rows);
        self.phase = Phase::Start { begin: Head::now(view.table) };
        Some(())
    }

    /// Notes rows that the member must not be shown.
    fn note(&mut self, view: View<'_>, request: Request, copy: impl Fn(Entity) -> Moment, rows: &[(Entity, &Row)]) {
        let let_in = view.table.rows[Entity::Membership].at(request.membership).map_or(0, |row| row.server_version);
        for (entity, row) in rows {
            let next = view.table.rows[*entity].at(copy(*entity) + 1);
            self.device.shown_from_before |= next.is_some_and(|next| next.server_version <= let_in);
            self.device.told_of_own_tombstone |= *entity == Entity::Membership && row.is_deleted && let_in > 0;
        }
    }

    fn answer(&mut self, view: View<'_>, found: Found, verdict: Verdict) {
        let Found { request, source, copies, archive } = found;
        let how = How { source, resync: request.since < self.device.mark, archive: archive.is_some(), kept: false };
        let rows = copies.after(view.table, request.since);
        match verdict {
            Verdict::Short | Verdict::Removed(_) => {}
            Verdict::Cut { last, .. } => {
                let page: Vec<_> = rows.iter().copied().filter(|(_, row)| row.server_version <= last).collect();
                self.note(view, request, |entity| copies.copy(entity), &page);
            }
            _ => self.note(view, request, |entity| copies.copy(entity), &rows),
        }
        match verdict {
            Verdict::Exact => self.device.tell(Answer::Exact(how), request.current, rows),
            Verdict::Cut { last, mark } => {
                let final_mark = view.scenario.is(Mutant::FinalMarkOnAnEarlyPage);
                let mark = if final_mark { request.current } else { mark };
                let page = rows.into_iter().filter(|(_, row)| row.server_version <= last);
                self.device.tell(Answer::Cut(how), mark, page);
            }
            Verdict::Short => {}
            Verdict::Newer | Verdict::TooManyNewer => {
                self.device.tell(Answer::Busy(how), request.current, rows);
            }
            Verdict::Removed(removed_at) => {
                let membership = view.table.rows[Entity::Membership].at(request.membership);
                self.device.told_of_an_undone_removal |=
                    membership.is_some_and(|row| (removed_at + 1..=request.current).contains(&row.server_version));
                self.device.tell_removal(removed_at);
            }
        }
        self.phase = Phase::Start { begin: Head::now(view.table) };
    }

    fn answer_removal(&mut self, table: &Table, removed_at: Version) {
        self.device.tell_removal(removed_at);
        self.phase = Phase::Start { begin: Head::now(table) };
    }
}

/// The membership that was read at the beginning is one of the rows, and of two copies the newer one counts.
fn with_membership(view: View<'_>, found: Found) -> Found {
    let kept_apart = [Mutant::OldOwnTombstoneBelieved, Mutant::OldOwnTombstoneDelivered];
    if kept_apart.iter().any(|&mutant| view.scenario.is(mutant)) {
        return found;
    }
    Found { copies: found.copies.with(view.table, Entity::Membership, found.request.membership), ..found }
}
