//! A page that an instance keeps. Another device's pull made it, and this device's pull may be given it.
//!
//! The other device belongs to a member who is not removed and who is not modelled. Its pull is one step, because it could have
//! read everything at the end, except for the counter, which it reads first. An instance keeps one page, once. The age of a page
//! is not modelled. Without a limit on it there are only more pages to give.

use std::collections::HashSet;

use crate::copies::Copies;
use crate::proof::{Verdict, judge_for_another, newest};
use crate::pull::{Found, Request, Source};
use crate::row::{Entity, PerRow, Row, Version};
use crate::scenario::{Mutant, View};
use crate::table::Moment;

/// A page and the facts about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct KeptPage {
    after: Version,
    mark: Version,
    /// A counter that is not below any version that the page was made of.
    covered: Version,
    is_final: bool,
    /// The copies of its rows, or 0 for a row that it does not have. Pages that look the same are equal.
    copies: PerRow<Moment>,
}

/// The form in which a page is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    Exact,
    Cut,
}

impl KeptPage {
    /// Every page that an instance may keep now, for a device that holds `mark`.
    pub(crate) fn any(view: View<'_>, mark: Version) -> Vec<Self> {
        let table = view.table;
        let counters: Vec<Version> = table.counter.copies().iter().map(|counter| counter.current_version).collect();
        let visible = table.visible_version();
        let mut sinces = vec![0, mark];
        sinces.dedup();
        let mut pages = vec![];
        for since in sinces {
            for current in counters.iter().copied().filter(|&current| since < current && current <= visible) {
                let request = Request::new(since, current);
                for copies in Copies::from_index(view, request) {
                    pages.extend(Self::of(
                        view,
                        Found { request, source: Source::Index, copies, archive: None },
                        &counters,
                    ));
                }
            }
        }
        let mut met = HashSet::new();
        pages.retain(|page| met.insert(*page));
        pages
    }

    /// The pages that a pull makes of the rows that it read, by the counter that it reads last.
    fn of(view: View<'_>, found: Found, counters: &[Version]) -> Vec<Self> {
        let Found { request, copies, .. } = found;
        let (mark, is_final) = match judge_for_another(view, found) {
            Verdict::Exact => (request.current, true),
            Verdict::Cut { mark, .. } => (mark, false),
            Verdict::Newer if view.scenario.is(Mutant::BusyAnswerKept) => (request.current, false),
            _ => return vec![],
        };
        let to = if is_final || view.scenario.is(Mutant::BusyAnswerKept) { Version::MAX } else { mark };
        let is_shown = |row: &Row| request.since < row.server_version && row.server_version <= to;
        let copies = PerRow::from_fn(|entity| {
            let row = view.table.rows[entity].at(copies.copy(entity));
            if row.is_some_and(is_shown) { copies.copy(entity) } else { 0 }
        });
        let page = |covered| Self { after: request.since, mark, covered, is_final, copies };
        if is_final || view.scenario.is(Mutant::PageKeptBeforeItsCounter) {
            return vec![page(request.current)];
        }
        let (newest, visible) = (newest(view, found), view.table.visible_version());
        let may_be_last = |counter: &Version| (newest.max(request.current)..=visible).contains(counter);
        counters.iter().copied().filter(may_be_last).map(page).collect()
    }

    /// Whether, and how, the page may be given to the device's pull.
    pub(crate) fn form_for(&self, view: View<'_>, request: Request) -> Option<Form> {
        let is_left_out = |mutant| view.scenario.is(mutant);
        let membership = view.table.rows[Entity::Membership].at(request.membership)?;
        let fits = self.after <= request.since && request.since < self.mark && self.mark <= self.covered;
        let is_covered = self.covered <= request.current || is_left_out(Mutant::PageGivenAheadOfTheCounter);
        let was_a_member = membership.server_version <= self.covered || is_left_out(Mutant::PageGivenToAYoungerMember);
        let tells_of_removal = self.rows(view).any(|(entity, row)| entity == Entity::Membership && row.is_deleted)
            || membership.removed_at.has(self.mark);
        let is_told = tells_of_removal && !is_left_out(Mutant::PageGivenWithTheOwnTombstone);
        if !(fits && is_covered && was_a_member) || is_told {
            return None;
        }
        let stands = request.current == self.mark || is_left_out(Mutant::FinalPageRepeatedLater);
        Some(if self.is_final && stands { Form::Exact } else { Form::Cut })
    }

    /// The form of the page in a mutant that does not read the membership.
    pub(crate) fn form_for_anybody(&self, view: View<'_>, since: Version) -> Option<Form> {
        let fits = self.after <= since && since < self.mark && self.covered <= view.table.visible_version();
        fits.then_some(Form::Cut)
    }

    pub(crate) fn mark(&self) -> Version {
        self.mark
    }

    pub(crate) fn copy(&self, entity: Entity) -> Moment {
        self.copies[entity]
    }

    /// The rows of the page.
    pub(crate) fn rows<'a>(&self, view: View<'a>) -> impl Iterator<Item = (Entity, &'a Row)> + use<'a> {
        let copies = self.copies;
        Entity::ALL.into_iter().filter_map(move |entity| Some((entity, view.table.rows[entity].at(copies[entity])?)))
    }
}
