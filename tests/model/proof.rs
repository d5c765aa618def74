//! The proof: what can be said from the rows in hand.

use crate::hand::Hand;
use crate::pull::{Found, Source};
use crate::row::{Entity, Row, Version};
use crate::scenario::{Mutant, View};

/// What can be said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Not enough: something may be missing.
    Short,
    /// The caller was removed at this version.
    Removed(Version),
    /// Exactly the state at S.
    Exact,
    /// Complete up to S, with newer rows.
    Newer,
    /// Complete up to S, but no page of it ends at or below S: the rows are all newer.
    TooManyNewer,
    /// More than fits: the page ends with the row of version `last` and is complete up to `mark`, which is the same.
    Cut { last: Version, mark: Version },
}

pub(crate) fn judge(view: View<'_>, found: Found) -> Verdict {
    let Found { request, hand, .. } = found;
    let proven = proven_to(view, found);
    let rows = hand.after(view.table, request.since);
    let verdict = match page(view, &rows, proven) {
        Some(page) => page,
        None if proven < request.current => Verdict::Short,
        None if rows.len() > view.scenario.limit => Verdict::TooManyNewer,
        None if hand.newest(view.table) > request.current => Verdict::Newer,
        None => Verdict::Exact,
    };
    match own_removal(view, found) {
        Some(version) if verdict != Verdict::Short => Verdict::Removed(version),
        _ => verdict,
    }
}

/// The version up to which nothing is missing.
fn proven_to(view: View<'_>, found: Found) -> Version {
    let Found { request, source, hand } = found;
    let believed = view.scenario.is(Mutant::MarkTakenWithoutProof)
        || source == Source::Table && view.scenario.is(Mutant::TableBelievedWithoutItsSum);
    if believed {
        return request.current;
    }
    match source {
        // All rows of the project, so that the sum can be taken, however many lists are cut.
        Source::Table if adds_up(view, request.current, hand) => request.current,
        Source::Index if request.since == 0 && adds_up(view, request.current, hand) => request.current,
        Source::Table => request.since,
        Source::Index => hand.held_to(request.since, request.current),
    }
}

/// Whether the rows in hand hold `current` versions up to `current`: all that there are.
fn adds_up(view: View<'_>, current: Version, hand: Hand) -> bool {
    let is_silent = hand.rows(view.table).any(|(_, row)| row.is_silent_above(current));
    let held = |row: &Row| u32::from(row.writes) - row.held().above(current);
    (!is_silent || view.scenario.is(Mutant::SilentListBelieved))
        && hand.rows(view.table).map(|(_, row)| held(row)).sum::<u32>() == u32::from(current)
}

/// The page, if the rows do not fit: it ends at the last version in it up to which everything fits and is proven.
fn page(view: View<'_>, rows: &[(Entity, &Row)], proven: Version) -> Option<Verdict> {
    let (fitting, rest) = rows.split_at_checked(view.scenario.limit)?;
    let following = rest.first()?.1.server_version;
    let versions = fitting.iter().map(|(_, row)| row.server_version);
    let last = versions.rev().find(|&version| version <= proven)?;
    let mark = if view.scenario.is(Mutant::PageEndsBetweenTwoRows) { proven.min(following - 1) } else { last };
    Some(Verdict::Cut { last, mark })
}

/// The version at which the caller was removed, if that is the newest copy of the own membership that was read.
fn own_removal(view: View<'_>, Found { request, hand, .. }: Found) -> Option<Version> {
    let copy = hand.copy(Entity::Membership);
    let not_looked_at = view.scenario.is(Mutant::OwnDeadMembershipNotLookedFor)
        || view.scenario.is(Mutant::OldOwnTombstoneDelivered) && copy < request.membership;
    let membership = view.table.rows[Entity::Membership].at(copy)?;
    (membership.is_deleted && !not_looked_at).then_some(membership.server_version)
}
