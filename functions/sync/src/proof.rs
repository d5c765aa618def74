//! The proof that a pull misses nothing.
//!
//! Each version from 1 to the counter was given to exactly one row. That row has it as its `server_version`, or names it in its
//! version history, or an archive has it. Two conclusions follow:
//!
//! - If the versions that were read account for all of `(since, t]`, then every row whose current version is in there was read
//!   in its current copy. It does not matter how late, torn or out of order the index is.
//! - If all rows of a project were read, their revision counts without the versions above `s`, and the number of skipped versions
//!   up to `s`, add up to exactly `s`.
//!
//! A version in a version history is accounted for even if its row was not read: no row has it any more. The same holds for an
//! archived version. A row's own version is accounted for only with the row.
//!
//! The archive can also name a version of a row that was not read, or was read at a lower version. That is a sighting: a row
//! newer than the rows that were read exists.
//!
//! ```text
//! counter 6, since 2                          accounted for
//! task 1, version 5, history 3, 1             5, 3
//! task 2, version 4                           4
//! task 3 is late in the index                 6 is missing: proven up to 5
//! ```

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use indexmap::IndexSet;
use shared::domain::{ArchivedVersions, Mark, RowKey, ServerVersion, VersionSpan};
use shared::storage::raw::Escaped;
use shared::storage::{FeedRow, RowHistory};

use crate::body::Budget;

/// The rows that a pull has read so far, and the versions that they account for.
pub(crate) struct Proof {
    since: Mark,
    /// The skipped versions, which no row has. They count as accounted for.
    skipped: Vec<VersionSpan>,
    /// The rows in the order in which they were read, which is nearly the order of their versions.
    rows: IndexSet<ByKey>,
    /// The versions above `since` that are accounted for. The versions of an older copy stay, because the row had them.
    accounted: Vec<ServerVersion>,
    accounted_is_sorted: bool,
    /// The newest version of a row of which only the history was read.
    newest_of_histories: Mark,
    /// The archived versions above `since` of each row, sorted.
    archived: HashMap<RowKey, Vec<ServerVersion>>,
    /// Whether some versions are accounted for only by an anonymous archive.
    needs_anonymous: bool,
    /// The archive above this mark was read after all of the rows.
    archive_read_above: Option<Mark>,
    /// The version up to which a history that was read after the archive may have dropped versions.
    silent_through: Mark,
    /// The version up to which everything is accounted for.
    proven: Mark,
    /// The version as of which, or later, all rows were read. The sum over the rows proved it.
    summed_at: Option<ServerVersion>,
}

/// A row that equals every row with the same key. So a set holds each key once, inside its row.
struct ByKey(FeedRow);

impl Hash for ByKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key.hash(state);
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for ByKey {}

impl Borrow<RowKey> for ByKey {
    fn borrow(&self) -> &RowKey {
        &self.0.key
    }
}

impl Proof {
    pub(crate) fn new(since: Mark, skipped: impl IntoIterator<Item = VersionSpan>) -> Self {
        Self {
            since,
            skipped: skipped.into_iter().collect(),
            rows: IndexSet::new(),
            accounted: vec![],
            accounted_is_sorted: true,
            newest_of_histories: Mark::NOTHING,
            archived: HashMap::new(),
            needs_anonymous: false,
            archive_read_above: None,
            silent_through: Mark::NOTHING,
            proven: since,
            summed_at: None,
        }
    }

    /// Adds a copy of a row. Of two copies of a row, the newer one counts.
    pub(crate) fn add(&mut self, row: FeedRow) {
        self.account_for(std::iter::once(row.version).chain(row.history.versions().iter().copied()));
        self.silent_through = self.silent_through.max(row.history.silent_through());
        self.archive_read_above = None;
        let (version, archived_above) = (row.version, row.archived_above);
        // Of two equal copies the first one stays. Otherwise a page that says nothing new would be kept in memory.
        if let Some(mut known) = self.rows.replace(ByKey(row))
            && known.0.version >= version
        {
            if known.0.version == version {
                known.0.archived_above = known.0.archived_above.or(archived_above);
            }
            self.rows.replace(known);
        }
    }

    /// Adds a copy of a row without the page that it was read with, and without its content if the device has it.
    pub(crate) fn add_without_page(&mut self, row: FeedRow) {
        let device_has_it = self.since.covers(row.version);
        let json = row.json.map(|json| if device_has_it { Escaped::of("") } else { json.detached() });
        self.add(FeedRow { json, ..row });
    }

    /// Adds the history of a row that was not read, up to `through`. The row's own version is seen, but not accounted for.
    pub(crate) fn add_history(&mut self, row: &RowHistory, through: Mark) {
        let newest_first = row.history.versions().iter().copied();
        self.account_for(newest_first.skip_while(|version| !through.covers(*version)));
        self.silent_through = self.silent_through.max(row.history.silent_through());
        self.newest_of_histories = self.newest_of_histories.max(row.version.into());
    }

    /// Adds the versions that the archive has above `after`. That adds no row.
    pub(crate) fn add_archive(&mut self, after: Mark, archive: Vec<ArchivedVersions>) {
        let (of_rows, anonymous): (Vec<_>, Vec<_>) = archive.into_iter().partition(|archived| archived.row().is_some());
        for archived in &of_rows {
            let versions = archived.versions().iter().copied();
            self.account_for(versions.clone());
            if let Some(row) = archived.row() {
                let above = versions.take_while(|version| !self.since.covers(*version));
                self.archived.entry(row.clone()).or_default().extend(above);
            }
        }
        for versions in self.archived.values_mut() {
            versions.sort_unstable();
            versions.dedup();
        }
        self.sort_accounted();
        let anonymous = anonymous.iter().flat_map(|archived| archived.versions().iter().copied());
        let is_missing =
            |version: &ServerVersion| !self.since.covers(*version) && self.accounted.binary_search(version).is_err();
        let needed: Vec<ServerVersion> = anonymous.filter(is_missing).collect();
        self.needs_anonymous |= !needed.is_empty();
        self.accounted.extend(needed);
        self.accounted_is_sorted = false;
        self.archive_read_above = Some(after);
        self.silent_through = Mark::NOTHING;
    }

    /// Accounts for versions, which come newest first.
    fn account_for(&mut self, newest_first: impl Iterator<Item = ServerVersion>) {
        let since = self.since;
        self.accounted.extend(newest_first.take_while(|version| !since.covers(*version)));
        self.accounted_is_sorted = false;
    }

    /// Whether a history that was read after the archive may have dropped versions that are missing.
    pub(crate) fn is_silent(&mut self) -> bool {
        let proven = self.proven();
        self.silent_through > proven
    }

    /// Whether the archive was read after the rows.
    pub(crate) fn archive_was_read(&self) -> bool {
        self.archive_read_above.is_some()
    }

    fn all(&self) -> impl Iterator<Item = &FeedRow> {
        self.rows.iter().map(|ByKey(row)| row)
    }

    /// The rows that the device lacks.
    fn above_since(&self) -> impl Iterator<Item = &FeedRow> {
        self.all().filter(|row| !self.since.covers(row.version))
    }

    /// A row, if it was read.
    pub(crate) fn row(&self, key: &RowKey) -> Option<&FeedRow> {
        self.rows.get(key).map(|ByKey(row)| row)
    }

    /// The newest version seen, of a row or of a history.
    pub(crate) fn newest(&self) -> Mark {
        self.all().map(|row| row.version.into()).max().unwrap_or(Mark::NOTHING).max(self.newest_of_histories)
    }

    /// Whether there is a sign of a row that is newer than `counter`: its version, or a sighting. If the row that replaced an
    /// archived version were not newer than the counter, it would have been read.
    pub(crate) fn has_newer(&self, counter: ServerVersion) -> bool {
        let read_at = |row: &RowKey| self.row(row).map(|row| row.version);
        let is_sighted = |(row, versions): (&RowKey, &Vec<ServerVersion>)| versions.last().copied() > read_at(row);
        self.newest() > counter.into() || self.archived.iter().any(is_sighted)
    }

    /// Whether the rows, proven up to `counter`, are exactly the state at that version.
    ///
    /// They are not if the proof needed an anonymous archive, because a newer row may then exist without a sign of it.
    pub(crate) fn is_state_at(&self, counter: ServerVersion) -> bool {
        let would_be_seen = !self.needs_anonymous || self.summed_at == Some(counter);
        would_be_seen && !self.has_newer(counter)
    }

    fn sort_accounted(&mut self) {
        if !self.accounted_is_sorted {
            self.accounted.sort_unstable();
            self.accounted.dedup();
            self.accounted_is_sorted = true;
        }
    }

    /// The mark up to which every version is accounted for.
    pub(crate) fn proven(&mut self) -> Mark {
        self.sort_accounted();
        let mut proven = self.proven;
        for version in &self.accounted[self.accounted.partition_point(|version| proven.covers(*version))..] {
            proven = skip(&self.skipped, proven);
            if !proven.plus(1).covers(*version) {
                break;
            }
            proven = proven.max((*version).into());
        }
        self.proven = skip(&self.skipped, proven);
        self.proven
    }

    /// Whether the rows account for every version up to `counter`, if they are all rows of the project.
    ///
    /// A history may be silent below `counter`. If it is silent above, nobody knows how many versions lie there, unless the
    /// archive tells. It tells for a row of the table with `archived_above`, if it was read after the last row.
    pub(crate) fn proves_by_sum(&mut self, counter: ServerVersion) -> bool {
        let through = Mark::from(counter);
        let archive_is_read = self.archive_read_above.is_some_and(|after| after <= through);
        let is_archived = |row: &FeedRow| archive_is_read && row.archived_above.is_some_and(|above| above < through);
        let is_silent_above = |row: &FeedRow| row.history.silent_through() > through;
        if self.all().any(|row| is_silent_above(row) && !is_archived(row)) {
            return false;
        }
        let archived_above = |row: &FeedRow| {
            let versions = self.archived.get(&row.key).map_or(&[][..], Vec::as_slice);
            // The history names the versions above the floor. Versions that are newer than this copy are not in its revision
            // count.
            let silent = VersionSpan { after: through, through: row.history.silent_through() };
            versions.iter().filter(|version| silent.contains(**version)).count()
        };
        let up_to_counter = |row: &FeedRow| {
            let mut above = row.history.versions().iter().take_while(|version| **version > counter).count();
            if is_silent_above(row) {
                above += archived_above(row);
            }
            row.revision_count.saturating_sub(above as u64 + u64::from(row.version > counter))
        };
        let of_rows: u64 = self.all().map(up_to_counter).sum();
        let skipped: u64 = self.skipped.iter().map(|span| through.min(span.through).above(span.after)).sum();
        let proven = of_rows + skipped == counter.get();
        if proven {
            self.proven = self.proven.max(through);
            self.summed_at = Some(counter);
        }
        proven
    }

    /// The rows of the answer in the order of their versions: those above `since`, up to `through`.
    pub(crate) fn into_rows(self, through: Mark) -> Vec<FeedRow> {
        let wanted = VersionSpan { after: self.since, through };
        let rows = self.rows.into_iter().map(|ByKey(row)| row);
        let mut rows: Vec<_> = rows.filter(|row| wanted.contains(row.version)).collect();
        rows.sort_unstable_by_key(|row| row.version);
        rows
    }

    /// Whether the rows are more than one response may hold.
    pub(crate) fn exceeds(&self, budget: &Budget) -> bool {
        let mut left = *budget;
        !self.above_since().all(|row| left.take(row))
    }

    /// How many times these rows fit into one response, rounded down. 0 if they do not fit once.
    pub(crate) fn times(&self, budget: &Budget) -> usize {
        budget.times(self.above_since())
    }

    /// The version to cut at: that of the last row up to which everything fits, is proven, and is not above `counter`. Never a
    /// number between two rows. None if nothing is proven.
    pub(crate) fn cut(&mut self, counter: ServerVersion, budget: &Budget) -> Option<ServerVersion> {
        let proven = self.proven().min(counter.into());
        self.last_that_fits(proven, budget)
    }

    /// The version of the last row up to which everything fits, proven or not, among those up to `through`.
    pub(crate) fn last_that_fits(&self, through: Mark, budget: &Budget) -> Option<ServerVersion> {
        let mut rows: Vec<_> = self.above_since().filter(|row| through.covers(row.version)).collect();
        rows.sort_unstable_by_key(|row| row.version);
        let mut left = *budget;
        rows.into_iter().take_while(|row| left.take(row)).last().map(|row| row.version)
    }
}

/// The mark moved across the skipped spans that follow on it.
fn skip(skipped: &[VersionSpan], mut mark: Mark) -> Mark {
    while let Some(span) = skipped.iter().find(|span| span.after <= mark && mark < span.through) {
        mark = span.through;
    }
    mark
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::domain::VersionHistory;

    use super::*;
    use crate::encoding::Encoding;
    use crate::testing::{mark, version};

    /// Skipped versions, both ends included.
    fn skipped(first: u64, last: u64) -> VersionSpan {
        VersionSpan { after: mark(first - 1), through: mark(last) }
    }

    /// The copy of a task that was written at these rising versions.
    fn task(id: u64, versions: &[u64]) -> FeedRow {
        task_within(id, versions, VersionHistory::MAX_BYTES)
    }

    fn task_within(id: u64, versions: &[u64], max_history_bytes: usize) -> FeedRow {
        let history = versions.windows(2).fold(VersionHistory::default(), |list, pair| {
            list.superseding(version(pair[0]), version(pair[1]), max_history_bytes)
        });
        FeedRow {
            key: format!("tasks#{id}").parse().expect("a key"),
            version: version(*versions.last().expect("a write")),
            revision_count: versions.len() as u64,
            history,
            archived_above: None,
            json: Some(shared::storage::raw::Escaped::of("{}")),
        }
    }

    /// The archived versions of a task.
    fn archived(id: u64, versions: impl IntoIterator<Item = u64>) -> ArchivedVersions {
        let anonymous = anonymous(versions);
        let row = format!("tasks#{id}").parse().expect("a key");
        ArchivedVersions::decode(Some(row), anonymous.newest(), &anonymous.encode()).expect("an archive")
    }

    fn anonymous(versions: impl IntoIterator<Item = u64>) -> ArchivedVersions {
        ArchivedVersions::anonymous(versions.into_iter().map(version)).remove(0)
    }

    /// The history of a task, without the row.
    fn history_of(FeedRow { version, history, .. }: FeedRow) -> RowHistory {
        RowHistory { version, history }
    }

    fn proof(since: u64, rows: impl IntoIterator<Item = FeedRow>) -> Proof {
        let mut proof = Proof::new(mark(since), []);
        rows.into_iter().for_each(|row| proof.add(row));
        proof
    }

    #[test]
    fn a_gap_ends_what_is_proven() {
        assert_eq!(proof(0, [task(1, &[1]), task(2, &[2]), task(4, &[4])]).proven().get(), 2);
        assert_eq!(proof(2, [task(4, &[4])]).proven().get(), 2);
        assert_eq!(proof(3, [task(4, &[4])]).proven().get(), 4);
        assert_eq!(proof(7, []).proven().get(), 7);
    }

    #[test]
    fn of_two_copies_the_newer_counts_whichever_came_first() {
        let key = "tasks#1".parse().expect("a key");
        for copies in [[task(1, &[3]), task(1, &[3, 5])], [task(1, &[3, 5]), task(1, &[3])]] {
            let proof = proof(2, copies);
            assert_eq!((proof.row(&key).map(|row| row.version), proof.newest().get()), (Some(version(5)), 5));
        }
        assert_eq!(proof(2, []).newest().get(), 0);
    }

    /// The caller's membership was read on every pull, however old it is.
    #[test]
    fn a_row_that_the_device_holds_takes_no_part_in_the_answer() {
        let budget = |rows| Budget::new(rows, Encoding::Identity);
        let held = || proof(4, [task(1, &[3]), task(2, &[4])]);
        assert!(!held().exceeds(&budget(0)) && held().times(&budget(2)) > 2);
        assert_eq!(held().cut(version(4), &budget(9)), None);
        let with_two_more = || proof(4, [task(1, &[3]), task(2, &[4]), task(3, &[6]), task(4, &[5])]);
        assert!(with_two_more().exceeds(&budget(1)) && !with_two_more().exceeds(&budget(2)));
        assert_eq!([1, 2, 3, 4, 7].map(|rows| with_two_more().times(&budget(rows))), [0, 1, 1, 2, 3]);
        let versions = |to| with_two_more().into_rows(mark(to)).iter().map(|row| row.version.get()).collect::<Vec<_>>();
        assert_eq!((versions(9), versions(5)), (vec![5, 6], vec![5]));
    }

    #[test]
    fn of_all_rows_only_the_content_of_those_that_the_device_lacks_is_kept() {
        let mut proof = proof(3, []);
        [task(1, &[2]), task(2, &[3]), task(3, &[4])].into_iter().for_each(|row| proof.add_without_page(row));
        let content = |row: &FeedRow| row.json.as_ref().map(|json| json.as_str().to_owned());
        let kept: Vec<_> = proof.all().map(content).collect();
        assert_eq!(kept, [Some(String::new()), Some(String::new()), Some("{}".to_owned())]);
        assert!(!proof.proves_by_sum(version(4)) && proof.proven().get() == 4);
    }

    #[test]
    fn a_newer_copy_accounts_for_the_versions_before_it() {
        assert_eq!(proof(1, [task(1, &[2, 5]), task(2, &[3]), task(3, &[4])]).proven().get(), 5);
    }

    #[test]
    fn superseded_versions_count_without_their_row_and_its_own_version_does_not() {
        let mut proof = proof(1, [task(2, &[4]), task(3, &[6])]);
        proof.add_history(&history_of(task(1, &[1, 2, 3, 5, 7])), mark(5));
        assert_eq!((proof.proven().get(), proof.newest().get()), (6, 7));
        let cut = |limit, proof: &mut Proof| proof.cut(version(7), &Budget::new(limit, Encoding::Identity));
        assert_eq!([1, 9].map(|limit| cut(limit, &mut proof)), [Some(version(4)), Some(version(6))]);
        assert_eq!(proof.into_rows(Mark::EVERYTHING).iter().map(|row| row.version.get()).collect::<Vec<_>>(), [4, 6]);
        // The history accounts for no version above `through`, and for none up to the device's mark.
        let mut proof = self::proof(1, []);
        proof.add_history(&history_of(task(1, &[1, 2, 3, 5, 7])), mark(3));
        assert_eq!(proof.accounted, [3, 2].map(version));
    }

    #[test]
    fn an_old_copy_does_not_stand_in_for_the_write_it_misses() {
        let mut proof = proof(0, [task(1, &[1]), task(2, &[2])]);
        assert!(proof.proven().get() < 3 && !proof.proves_by_sum(version(3)));
        proof.add(task(1, &[1, 3]));
        assert!(proof.proven().get() == 3 && proof.proves_by_sum(version(3)));
    }

    #[test]
    fn skipped_versions_are_accounted_for() {
        let mut proof = Proof::new(mark(0), [skipped(3, 1_000_000), skipped(1, 1)]);
        proof.add(task(1, &[2]));
        proof.add(task(2, &[1_000_001]));
        assert_eq!(proof.proven().get(), 1_000_001);
        assert!(proof.proves_by_sum(version(1_000_001)));
        assert!(!proof.proves_by_sum(version(1_000_002)));
    }

    #[test]
    fn a_skipped_range_counts_once_everything_before_it_is_accounted_for() {
        let mut proof = Proof::new(mark(0), [skipped(5, 9)]);
        proof.add(task(1, &[1]));
        proof.add(task(2, &[10]));
        assert_eq!(proof.proven().get(), 1);
    }

    #[test]
    fn the_sum_proves_with_cut_histories_but_not_with_ones_that_are_silent_above_the_counter() {
        let busy: Vec<u64> = (2..=900).collect();
        let mut proof = proof(0, [task(1, &[1]), task(2, &busy)]);
        assert!(proof.row(&"tasks#2".parse().expect("a key")).expect("a row").history.silent_through() >= mark(100));
        assert_eq!(proof.proven().get(), 1);
        assert!(proof.proves_by_sum(version(900)) && proof.proven().get() == 900);
        let mut proof = self::proof(0, [task(1, &[1]), task(2, &busy)]);
        assert!(!proof.proves_by_sum(version(100)), "nobody knows how often it was written since");
    }

    #[test]
    fn an_archived_version_counts_without_its_row_and_proves_nothing_about_its_neighbours() {
        let mut proof = proof(1, [task_within(1, &[2, 3, 6, 8], 1), task(2, &[4]), task(3, &[7])]);
        assert!(proof.is_silent() && proof.proven().get() == 1);
        proof.add_archive(mark(1), vec![archived(1, [2, 3])]);
        assert_eq!((proof.proven().get(), proof.is_silent()), (4, false));
        assert!(proof.row(&"tasks#1".parse().expect("a key")).is_some_and(|row| row.version == version(8)));
    }

    #[test]
    fn a_history_that_is_silent_only_where_all_is_proven_is_no_reason_to_read_the_archive() {
        assert!(!proof(5, [task_within(1, &[2, 3, 6], 1), task(2, &[8])]).is_silent());
        let mut proof = proof(1, []);
        proof.add_history(&history_of(task_within(1, &[2, 3, 6], 1)), mark(9));
        assert!(proof.is_silent(), "of a row that was seen from the end");
    }

    #[test]
    fn an_archive_with_a_later_version_than_the_row_that_was_read_is_a_sign_of_a_newer_row() {
        for read in [None, Some(task(1, &[2]))] {
            let mut proof = proof(1, read.into_iter().chain([task(2, &[4])]));
            proof.add_archive(mark(1), vec![archived(1, [2, 3])]);
            assert_eq!(proof.proven().get(), 4);
            assert!(proof.newest().get() <= 4 && proof.has_newer(version(4)) && !proof.is_state_at(version(4)));
            proof.add(task(1, &[2, 3, 5]));
            assert!(proof.is_state_at(version(5)));
        }
    }

    #[test]
    fn an_anonymous_archive_proves_but_may_hide_a_newer_row() {
        let held = || proof(0, [task(1, &[1]), task(2, &[3, 4])]);
        let mut needed = held();
        needed.add_archive(mark(0), vec![anonymous([2])]);
        assert_eq!(needed.proven().get(), 4);
        assert!(!needed.has_newer(version(4)) && !needed.is_state_at(version(4)));
        let mut not_needed = held();
        not_needed.add_archive(mark(0), vec![anonymous([3])]);
        not_needed.add(task(3, &[2]));
        assert!(not_needed.proven().get() == 4 && not_needed.is_state_at(version(4)));
        // The sum proves that all rows were read, so none can go unseen.
        needed.add(task_within(3, &[2], 256));
        assert!(needed.proves_by_sum(version(4)) && needed.is_state_at(version(4)));
    }

    /// A row that was written often, as the table has it, and another row.
    fn busy_in_the_table(archived_above: Option<u64>) -> [FeedRow; 2] {
        let busy: Vec<u64> = (2..=900).collect();
        [task(1, &[1]), FeedRow { archived_above: archived_above.map(mark), ..task(2, &busy) }]
    }

    #[test]
    fn the_sum_proves_an_old_counter_if_the_archive_has_what_the_histories_dropped_since() {
        let floor = busy_in_the_table(None)[1].history.silent_through().floor();
        let archive = || vec![archived(2, 90..floor), archived(2, 95..120)];
        let mut proof = proof(0, busy_in_the_table(Some(0)));
        assert!(!proof.proves_by_sum(version(100)));
        proof.add_archive(mark(100), archive());
        assert!(proof.proves_by_sum(version(100)) && !proof.proves_by_sum(version(99)), "99 was not asked for");
        let known_above = |above| {
            let mut proof = self::proof(0, busy_in_the_table(above));
            proof.add_archive(mark(99), archive());
            [99, 100].map(|counter| proof.proves_by_sum(version(counter)))
        };
        assert_eq!(
            [Some(0), Some(98), Some(99), Some(100), None].map(known_above),
            [[true, true], [true, true], [false, true], [false, false], [false, false],]
        );
    }

    #[test]
    fn an_archive_read_before_a_row_says_nothing_about_what_its_history_dropped_since() {
        let [_, busy] = busy_in_the_table(Some(0));
        let mut proof = proof(0, []);
        // The archive is one version short, because the history had not dropped that version yet. Row 1 is missing, and the busy
        // row seems to make up for it.
        proof.add_archive(mark(0), vec![archived(2, 101..busy.history.silent_through().floor() - 1)]);
        proof.add(busy.clone());
        assert!(!proof.proves_by_sum(version(100)));
        let mut missing = self::proof(0, [busy]);
        missing.add_archive(mark(0), vec![archived(2, 101..missing.silent_through.floor())]);
        assert!(!missing.proves_by_sum(version(100)));
    }

    #[test]
    fn a_copy_from_the_index_takes_archived_above_from_the_same_copy_of_the_table() {
        let [other, busy] = busy_in_the_table(Some(0));
        let mut proof = proof(0, [other, FeedRow { archived_above: None, ..busy.clone() }, busy]);
        proof.add_archive(mark(0), vec![archived(2, 2..proof.silent_through.floor())]);
        assert!(proof.proves_by_sum(version(100)));
    }

    #[test]
    fn a_history_that_is_silent_above_the_counter_does_not_make_up_for_a_missing_row() {
        let busy = task(2, &(2..=900).collect::<Vec<_>>());
        let floor = busy.history.silent_through().floor();
        // One of the versions above floor - 2 is not listed, so it is counted in place of version 1.
        assert!(!proof(0, [busy.clone()]).proves_by_sum(version(floor - 2)));
        // A history that names all versions above the counter is as good as a complete one.
        assert!(proof(0, [task(1, &[1]), busy]).proves_by_sum(version(floor - 1)));
    }

    #[test]
    fn a_cut_is_at_a_row_and_never_past_what_is_proven_or_fits() {
        let rows = [task(1, &[1]), task(2, &[2, 4]), task(3, &[3]), task(6, &[6])];
        let mut proof = proof(0, rows);
        assert_eq!(proof.cut(version(6), &Budget::new(1, Encoding::Identity)), Some(version(1)));
        assert_eq!(
            proof.cut(version(6), &Budget::new(2, Encoding::Identity)),
            Some(version(3)),
            "2 is no row's version any more"
        );
        assert_eq!(proof.cut(version(6), &Budget::new(9, Encoding::Identity)), Some(version(4)), "5 is missing");
        assert_eq!(
            proof.cut(version(3), &Budget::new(9, Encoding::Identity)),
            Some(version(3)),
            "never past the counter"
        );
    }

    /// A true history, which says which task each version was given to.
    fn history() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec(0..12_u64, 1..300)
    }

    /// The copy of a task as of a version, if it existed.
    fn copy(history: &[u64], id: u64, as_of: u64) -> Option<FeedRow> {
        let versions: Vec<u64> = (1..=as_of).filter(|v| history[(*v - 1) as usize] == id).collect();
        (!versions.is_empty()).then(|| task(id, &versions))
    }

    proptest! {
        /// Whatever copies the index shows, complete or not, the proven part contains every row that is current in it.
        #[test]
        fn what_is_proven_misses_no_current_row(
            history in history(),
            since in 0..300_u64,
            shown in prop::collection::vec((0..12_u64, 1..=300_u64), 0..30),
            to in prop::collection::vec(prop::option::of(1..=300_u64), 30),
        ) {
            let counter = history.len() as u64;
            let since = since.min(counter);
            let mut proof = proof(since, []);
            for ((id, as_of), to) in shown.iter().zip(to) {
                let Some(copy) = copy(&history, *id, (*as_of).min(counter)) else { continue };
                match to {
                    Some(to) => proof.add_history(&history_of(copy), mark(to)),
                    None if copy.version.get() > since => proof.add(copy),
                    None => {}
                }
            }
            let proven = proof.proven().get().min(counter);
            for id in 0..12 {
                let Some(current) = copy(&history, id, counter) else { continue };
                if current.version.get() > since && current.version.get() <= proven {
                    prop_assert_eq!(proof.row(&current.key), Some(&current));
                }
            }
        }

        /// The histories hold few versions, and the archive holds what was superseded until some moment.
        #[test]
        fn what_is_proven_with_an_archive_misses_no_current_row_and_is_the_state_if_it_says_so(
            history in prop::collection::vec(0..4_u64, 1..40),
            (since, counter) in (0..40_u64, 1..=40_u64),
            max_history_bytes in prop::sample::select(vec![1, 3, 6]),
            shown in prop::collection::vec((0..4_u64, 1..=40_u64), 0..8),
            archive in prop::collection::vec((0..4_u64, 1..=40_u64, any::<bool>()), 0..4),
            archive_first: bool,
        ) {
            let end = history.len() as u64;
            let (counter, since) = (counter.min(end), since.min(counter.min(end)));
            let versions_of = |id: u64, as_of: u64| -> Vec<u64> {
                (1..=as_of.min(end)).filter(|v| history[(*v - 1) as usize] == id).collect()
            };
            let mut proof = proof(since, []);
            let archives: Vec<_> = archive.iter().filter_map(|(id, as_of, is_named)| {
                let mut versions = versions_of(*id, *as_of);
                versions.pop();
                let make = |versions: Vec<u64>| if *is_named { archived(*id, versions) } else { anonymous(versions) };
                (!versions.is_empty()).then(|| make(versions))
            }).collect();
            if archive_first {
                proof.add_archive(mark(since), archives.clone());
            }
            for (id, as_of) in &shown {
                let versions = versions_of(*id, *as_of);
                if versions.last().is_some_and(|version| *version > since) {
                    proof.add(task_within(*id, &versions, max_history_bytes));
                }
            }
            if !archive_first {
                proof.add_archive(mark(since), archives);
            }
            let is_state = proof.proven().get() >= counter && proof.is_state_at(version(counter));
            let proven = proof.proven().get();
            for id in 0..4 {
                let read = proof.row(&format!("tasks#{id}").parse().expect("a key")).map(|row| row.version.get());
                let current = versions_of(id, end).last().copied();
                if let Some(current) = current.filter(|current| (since + 1..=proven).contains(current)) {
                    prop_assert_eq!(read, Some(current));
                }
                let at_counter = versions_of(id, counter).last().copied().filter(|version| *version > since);
                prop_assert!(!is_state || read == at_counter, "{:?} was read and not {:?}", read, at_counter);
            }
        }

        /// Every proven row was read. If everything is proven and there is no sign of a newer row, the rows are the state at the
        /// counter.
        #[test]
        fn rows_of_which_only_the_history_was_read_are_not_taken_for_rows_that_were_read(
            history in prop::collection::vec(0..3_u64, 1..8),
            counter in 1..8_u64,
            lag in prop::collection::vec(prop::option::of(0..6_u64), 3),
            seen in prop::collection::vec(prop::option::of(0..3_u64), 3),
        ) {
            let end = history.len() as u64;
            let counter = counter.min(end);
            let mut proof = proof(0, []);
            for id in 0..3 {
                let as_of = |lag: Option<u64>| copy(&history, id, end.saturating_sub(lag?));
                as_of(lag[id as usize]).into_iter().for_each(|row| proof.add(row));
                let seen = as_of(seen[id as usize]);
                seen.into_iter().for_each(|row| proof.add_history(&history_of(row), mark(end)));
            }
            let is_state = proof.proven().get() >= counter && proof.newest().get() <= counter;
            let proven = proof.proven().get();
            for id in 0..3 {
                let read = proof.row(&format!("tasks#{id}").parse().expect("a key"));
                if let Some(current) = copy(&history, id, end).filter(|row| row.version.get() <= proven) {
                    prop_assert_eq!(read, Some(&current));
                }
                prop_assert!(!is_state || read == copy(&history, id, counter).as_ref());
            }
        }

        /// The sum holds exactly if every row was read in its state at the counter or a later one.
        #[test]
        fn the_sum_is_reached_exactly_by_the_rows_complete_up_to_the_counter(
            history in history(),
            counter in 1..=300_u64,
            lag in prop::collection::vec(0..4_u64, 12),
        ) {
            let end = history.len() as u64;
            let counter = counter.min(end);
            let seen = |id: u64| end.saturating_sub(lag[id as usize] * 20);
            let copies = (0..12).filter_map(|id| copy(&history, id, seen(id)));
            let mut proof = proof(0, copies);
            let silent = proof.all().any(|row| row.history.silent_through() > mark(counter));
            let complete = (0..12).all(|id| {
                let holds = |as_of: u64| history[..as_of as usize].iter().take(counter as usize).filter(|t| **t == id).count();
                holds(seen(id)) == holds(end)
            });
            prop_assert_eq!(proof.proves_by_sum(version(counter)), complete && !silent);
        }
    }
}
