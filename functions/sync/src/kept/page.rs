//! The rules that say which page may be given to whom. They have no memory and no clock.

use shared::domain::{Collection, CollectionName, Mark, ProjectId, RowKey, ServerVersion};
use shared::storage::{FeedRow, PullMembership};

use crate::encoding::Encoding;

/// What two pulls must have in common to share a page.
///
/// Neither caller nor role nor `min_version` is part of it: pages look the same to all members.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PageKey {
    pub(crate) project: ProjectId,
    /// This field and the next one are the epoch of the table, as on the counter that this pull read. A restore changes them.
    pub(crate) skipped: Vec<(u64, u64)>,
    pub(crate) resync_through: Option<ServerVersion>,
    /// The version up to which the device has what it needs. It is 0 for an app with new columns, and for a member who was added
    /// again.
    pub(crate) since: Mark,
    pub(crate) without_tombstones: bool,
    /// The maximum number of rows.
    pub(crate) limit: usize,
    pub(crate) encoding: Encoding,
}

/// A proven answer, reduced to what decides who may be given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// The version above which the page has every change.
    pub(crate) after: Mark,
    /// The version up to which the page has every change.
    pub(crate) mark: Mark,
    /// A counter that was read before everything that the page was made of, except for the counter and the membership of its pull.
    pub(crate) begun: Mark,
    /// A counter that was read after everything that the page was made of, and that is not below any version of it.
    pub(crate) covered: Mark,
    /// The number of rows and tombstones.
    pub(crate) rows: usize,
    /// The memberships that are dead in the page. They are noted before tombstones are left out.
    pub(crate) dead_members: Vec<RowKey>,
    /// Whether the page was exactly the state at its mark, and carries checksums. Otherwise it says that there is more.
    pub(crate) is_final: bool,
}

/// The caller who asks for a page. All of this was read for this pull.
pub(crate) struct Reader<'a> {
    /// The version up to which the device has what it needs.
    pub(crate) since: Mark,
    pub(crate) counter: Mark,
    pub(crate) min_version: Mark,
    /// The caller's own membership, which is live.
    pub(crate) membership: &'a PullMembership,
}

/// How a page may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    AsMade,
    /// The page is given with `has_more` and without checksums.
    WithMore,
}

impl Page {
    /// A page of these rows, ascending.
    pub(crate) fn of(
        rows: &[FeedRow],
        after: Mark,
        mark: Mark,
        (begun, covered): (Mark, Mark),
        is_final: bool,
    ) -> Self {
        let members = CollectionName::Known(Collection::Memberships);
        let dead = rows.iter().filter(|row| row.json.is_none() && row.key.collection == members);
        let dead_members = dead.map(|row| row.key.clone()).collect();
        Self { after, mark, begun, covered, rows: rows.len(), dead_members, is_final }
    }

    /// Whether, and how, the page may be given to another caller than the one whose pull made it.
    pub(crate) fn form_for(&self, reader: &Reader) -> Option<Form> {
        let fits = self.after <= reader.since && reader.since < self.mark && self.mark <= self.covered;
        // With a lower counter, this pull's reads began before the page was made.
        let is_covered = self.covered <= reader.counter && reader.min_version <= self.covered;
        // A member who was added later must not see what was deleted or replaced before. `covered` would not do here: it may have
        // been read long after the rows.
        let was_a_member = self.begun.covers(reader.membership.row.version);
        let is_told_of_own_removal =
            self.dead_members.contains(&reader.membership.row.key) || reader.membership.removals.may_include(self.mark);
        if !(fits && is_covered && was_a_member) || is_told_of_own_removal {
            return None;
        }
        Some(if self.is_final && reader.counter > self.mark { Form::WithMore } else { Form::AsMade })
    }
}

#[cfg(test)]
mod tests {
    use shared::domain::VersionHistory;
    use shared::storage::raw::Escaped;

    use super::*;
    use crate::testing::{mark, membership, version};

    fn feed_row(key: &str, at: u64, is_live: bool) -> FeedRow {
        FeedRow {
            key: key.parse().expect("a key"),
            version: version(at),
            revision_count: 1,
            history: VersionHistory::default(),
            archived_above: None,
            json: is_live.then(|| Escaped::of("{}")),
        }
    }

    /// A page of (10, 20], made while the counter went from 28 to 30.
    fn page() -> Page {
        let (begun, covered) = (mark(28), mark(30));
        Page { after: mark(10), mark: mark(20), begun, covered, rows: 10, dead_members: vec![], is_final: false }
    }

    /// A reader who may have the page.
    fn reader(membership: &PullMembership) -> Reader<'_> {
        Reader { since: mark(10), counter: mark(31), min_version: mark(0), membership }
    }

    #[test]
    fn a_page_is_given_from_where_it_begins_up_to_before_its_mark() {
        let member = membership(&[(2, false)]);
        let form = |since| page().form_for(&Reader { since: mark(since), ..reader(&member) });
        assert_eq!([9, 10, 19, 20, 21].map(|since| form(since).is_some()), [false, true, true, false, false]);
    }

    #[test]
    fn a_page_is_given_to_nobody_whose_counter_is_older_than_it() {
        let member = membership(&[(2, false)]);
        let form = |counter| page().form_for(&Reader { counter: mark(counter), ..reader(&member) });
        assert_eq!([29, 30, 31].map(|counter| form(counter).is_some()), [false, true, true]);
        let early = Page { covered: mark(19), ..page() };
        assert_eq!(early.form_for(&reader(&member)), None, "nor is one that ends above what its counter covers");
    }

    #[test]
    fn a_page_is_given_to_nobody_who_has_seen_a_newer_version() {
        let member = membership(&[(2, false)]);
        let form = |min_version| page().form_for(&Reader { min_version: mark(min_version), ..reader(&member) });
        assert_eq!([30, 31].map(|min_version| form(min_version).is_some()), [true, false]);
    }

    #[test]
    fn a_page_from_before_a_member_was_let_in_is_not_given_to_them() {
        for (writes, is_given) in [
            (&[(28, false)][..], true),
            (&[(29, false)], false),
            (&[(31, false)], false),
            (&[(2, false), (25, true), (29, false)], false),
            (&[(2, false), (25, true), (28, false)], true),
        ] {
            let member = membership(writes);
            assert_eq!(page().form_for(&reader(&member)).is_some(), is_given, "{writes:?}");
        }
    }

    #[test]
    fn a_page_tells_nobody_of_their_own_removal() {
        let member = membership(&[(2, false), (15, true), (22, false)]);
        let told = Page { dead_members: vec![member.row.key.clone()], ..page() };
        assert_eq!(told.form_for(&reader(&member)), None);
        let other = Page { dead_members: vec!["memberships#o".parse().expect("a key")], ..page() };
        assert!(other.form_for(&reader(&member)).is_some());
    }

    #[test]
    fn a_page_that_ends_where_the_member_was_removed_is_not_given_to_them() {
        let member = membership(&[(2, false), (20, true), (22, false)]);
        assert_eq!(page().form_for(&reader(&member)), None);
    }

    #[test]
    fn a_final_page_is_repeated_while_the_counter_stands_and_says_later_that_there_is_more() {
        let member = membership(&[(2, false)]);
        let last = Page { mark: mark(30), is_final: true, ..page() };
        let form = |counter| last.form_for(&Reader { counter: mark(counter), ..reader(&member) });
        assert_eq!([29, 30, 31].map(form), [None, Some(Form::AsMade), Some(Form::WithMore)]);
    }

    #[test]
    fn dead_memberships_are_noted_and_no_other_tombstones() {
        let rows = [
            feed_row("memberships#dead", 11, false),
            feed_row("memberships#live", 12, true),
            feed_row("tasks#dead", 13, false),
        ];
        let page = Page::of(&rows, mark(10), mark(13), (mark(19), mark(20)), false);
        assert_eq!(page.dead_members, ["memberships#dead".parse().expect("a key")]);
        assert_eq!(page.rows, 3);
    }
}
