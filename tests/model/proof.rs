//! The proof, which decides what the rows that were read show.

use crate::archive::Archive;
use crate::copies::Copies;
use crate::pull::{Found, Source};
use crate::row::{Entity, Row, Version, Versions};
use crate::scenario::{Mutant, View};

/// The result of the proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Something may be missing.
    Short,
    /// The caller was removed at this version.
    Removed(Version),
    /// The rows are exactly the state at S.
    Exact,
    /// The rows are complete up to S, with newer rows.
    Newer,
    /// The rows are complete up to S, but no page of them ends at or below S, because all are newer.
    TooManyNewer,
    /// The rows do not fit. The page ends with the row of version `last` and is complete up to `mark`, which is the same.
    Cut { last: Version, mark: Version },
}

pub(crate) fn judge(view: View<'_>, found: Found) -> Verdict {
    let verdict = judge_for_another(view, found);
    match own_removal(view, found) {
        Some(version) if verdict != Verdict::Short => Verdict::Removed(version),
        _ => verdict,
    }
}

/// The result for a member whose membership is not among the rows.
pub(crate) fn judge_for_another(view: View<'_>, found: Found) -> Verdict {
    let Found { request, copies, .. } = found;
    let proven = proven_to(view, found);
    let rows = copies.after(view.table, request.since);
    match page(view, &rows, proven) {
        Some(page) => page,
        None if proven < request.current => Verdict::Short,
        None if rows.len() > view.scenario.limit => Verdict::TooManyNewer,
        None if newest(view, found) > request.current || rests_on_anonymous(view, found) => Verdict::Newer,
        None => Verdict::Exact,
    }
}

/// The newest version that the rows or the archive show.
///
/// A version of a row that the archive names was superseded. If the row was not read above it although nothing is missing, the
/// row is newer than the counter. While something is missing, the missing version may be that row's.
pub(crate) fn newest(view: View<'_>, found: Found) -> Version {
    let Found { request, copies, archive, .. } = found;
    let read = |entity| view.table.rows[entity].at(copies.copy(entity));
    let names_a_newer =
        |archive: Archive| Entity::ALL.into_iter().any(|entity| archive.names_a_newer(entity, read(entity)));
    let nothing_is_missing =
        || proven_to(view, found) >= request.current || view.scenario.is(Mutant::SightingOfWhatIsMissing);
    let sighted =
        archive.is_some_and(names_a_newer) && nothing_is_missing() && !view.scenario.is(Mutant::ArchiveIsNoSighting);
    copies.newest(view.table).max(if sighted { request.current + 1 } else { 0 })
}

/// If the archive does not name the row of a version, nobody knows whether that row was read.
fn rests_on_anonymous(view: View<'_>, found: Found) -> bool {
    let without = found.archive.map(|archive| Archive { anonymous: Versions::default(), ..archive });
    found.archive.is_some_and(|archive| !archive.anonymous.is_empty())
        && !view.scenario.is(Mutant::ArchiveIsNoSighting)
        && proven_to(view, Found { archive: without, ..found }) < found.request.current
}

/// The version up to which nothing is missing.
fn proven_to(view: View<'_>, found: Found) -> Version {
    let Found { request, source, copies, archive } = found;
    let believed = view.scenario.is(Mutant::MarkTakenWithoutProof)
        || source == Source::Table && view.scenario.is(Mutant::TableBelievedWithoutItsSum);
    if believed {
        return request.current;
    }
    match source {
        // These are all rows of the project, so the sum can be taken, however many histories are cut.
        Source::Table if adds_up(view, request.current, copies, archive) => request.current,
        // The index does not show from which version on the archive is complete.
        Source::Index if request.since == 0 && adds_up(view, request.current, copies, None) => request.current,
        Source::Table => request.since,
        Source::Index => copies.accounted_to(request.since, request.current, accounted(view, found)),
    }
}

/// The versions for which no row has to be read.
fn accounted(view: View<'_>, Found { request, copies, archive, .. }: Found) -> Versions {
    let archived = archive.map_or(Versions::default(), |archive| archive.named().with(archive.anonymous));
    let silent_below = copies.rows(view.table).map(|(_, row)| row.silent_below).max().unwrap_or(0);
    let believed = if view.scenario.is(Mutant::SilentListTakenForArchived) && silent_below > request.since + 1 {
        Versions::all().up_to(silent_below - 1)
    } else {
        Versions::default()
    };
    archived.with(view.table.skipped).with(believed)
}

/// Whether the rows that were read held `current` versions up to `current`, which are all versions.
///
/// A history that is silent above `current` does not tell how many versions lie above, unless the row was read from the table
/// with `archived_from` and the archive was read after it.
pub(crate) fn adds_up(view: View<'_>, current: Version, copies: Copies, archive: Option<Archive>) -> bool {
    let is_complete = |row: &Row| archive.is_some() && row.archived_from.is_some_and(|from| from <= current);
    let is_silent = copies.rows(view.table).any(|(_, row)| row.is_silent_above(current) && !is_complete(row));
    let held = |(entity, row): (Entity, &Row)| {
        let archived = archive.map_or(Versions::default(), |archive| archive.rows[entity].up_to(row.server_version));
        u32::from(row.writes).saturating_sub(row.held().with(archived).above(current))
    };
    let skipped = view.table.skipped.up_to(current).above(0);
    (!is_silent || view.scenario.is(Mutant::SilentListBelieved))
        && copies.rows(view.table).map(held).sum::<u32>() + skipped == u32::from(current)
}

/// The page, if the rows do not fit. It ends at the last version in it up to which everything fits and is proven.
fn page(view: View<'_>, rows: &[(Entity, &Row)], proven: Version) -> Option<Verdict> {
    let (fitting, rest) = rows.split_at_checked(view.scenario.limit)?;
    let following = rest.first()?.1.server_version;
    let versions = fitting.iter().map(|(_, row)| row.server_version);
    let last = versions.rev().find(|&version| version <= proven)?;
    let mark = if view.scenario.is(Mutant::PageEndsBetweenTwoRows) { proven.min(following - 1) } else { last };
    Some(Verdict::Cut { last, mark })
}

/// The version at which the caller was removed, if the newest copy of the caller's membership that was read says so.
fn own_removal(view: View<'_>, Found { request, copies, .. }: Found) -> Option<Version> {
    let copy = copies.copy(Entity::Membership);
    let not_looked_at = view.scenario.is(Mutant::OwnDeadMembershipNotLookedFor)
        || view.scenario.is(Mutant::OldOwnTombstoneDelivered) && copy < request.membership;
    let membership = view.table.rows[Entity::Membership].at(copy)?;
    (membership.is_deleted && !not_looked_at).then_some(membership.server_version)
}
