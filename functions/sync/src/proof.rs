//! The proof that a pull misses nothing.
//!
//! Every version from 1 to the counter was given to exactly one row, and that row holds it: as its `server_version` or
//! among those it superseded. A version that any copy superseded is no row's any more and counts as held, be that copy in
//! hand or not; a row's own version only when the row is in hand. So when *all* versions in `(since, t]` are held, every row
//! whose current version lies in there is in hand in its current copy, however late, torn or jumbled the index is. And when
//! *all* rows of a project are in hand, their `writes` less the versions they hold above `s` add up to exactly `s`.
//!
//! A list that was full has dropped its oldest versions, which were archived before. An archived version is no row's any more, so it counts
//! as held, too. It is no row in hand: where the archive knows more of a row than the hand, the row is newer than the hand.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use indexmap::IndexSet;
use shared::domain::{ArchivedVersions, RowKey, ServerVersion};
use shared::storage::raw::Escaped;
use shared::storage::{FeedRow, RowHistory};

use crate::body::Budget;

/// The rows read so far and the versions they account for.
pub(crate) struct Proof {
    since: u64,
    /// Ranges that no row holds; they count as held.
    skipped: Vec<(u64, u64)>,
    /// In the order in which they came, which is nearly that of their versions.
    rows: IndexSet<ByKey>,
    /// Versions above `since` that are held. Kept of old copies too: what a row held, it held.
    held: Vec<u64>,
    held_is_sorted: bool,
    /// The newest version seen of a row that need not be in hand.
    newest_seen: u64,
    /// Archived versions above `since` by the row that held them, sorted.
    archived: HashMap<RowKey, Vec<u64>>,
    /// Versions are held that only an archive without a row accounts for.
    needs_anonymous: bool,
    /// The archive above this version was read after all rows in hand.
    archive_read_above: Option<u64>,
    /// Of the copies that were read since the archive was, some may have dropped versions below this one.
    silent_below: u64,
    /// Everything up to here is accounted for.
    proven: u64,
    /// All rows are in hand as of this version or later, as their sum says.
    summed_at: Option<u64>,
}

/// A row, which in a set is what its key is: the key need not be there twice.
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
    pub(crate) fn new(since: u64, skipped: Vec<(u64, u64)>) -> Self {
        Self {
            since,
            skipped,
            rows: IndexSet::new(),
            held: vec![],
            held_is_sorted: true,
            newest_seen: 0,
            archived: HashMap::new(),
            needs_anonymous: false,
            archive_read_above: None,
            silent_below: 0,
            proven: since,
            summed_at: None,
        }
    }

    /// Takes a copy of a row into account; of two copies the newer counts.
    pub(crate) fn add(&mut self, row: FeedRow) {
        let versions = std::iter::once(row.version.get()).chain(row.history.versions().iter().copied());
        self.held.extend(versions.take_while(|version| *version > self.since));
        self.held_is_sorted = false;
        self.silent_below = self.silent_below.max(row.history.floor());
        self.archive_read_above = None;
        let (version, archived_from) = (row.version, row.archived_from);
        // Of two that are the same the first stays, so that all of a page that says nothing new can go.
        if let Some(mut known) = self.rows.replace(ByKey(row))
            && known.0.version >= version
        {
            if known.0.version == version {
                known.0.archived_from = known.0.archived_from.or(archived_from);
            }
            self.rows.replace(known);
        }
    }

    /// Takes a row into account, and keeps no more of it than an answer may need: nothing of its page, and no content when the
    /// device holds it.
    pub(crate) fn add_without_page(&mut self, row: FeedRow) {
        let is_held = row.version.get() <= self.since;
        let json = row.json.map(|json| if is_held { Escaped::of("") } else { json.detached() });
        self.add(FeedRow { json, ..row });
    }

    /// Takes into account that a row superseded versions, those up to `to`, and that it was seen. That does not put it into
    /// the hand: its own version is not held.
    pub(crate) fn add_history(&mut self, row: &RowHistory, to: ServerVersion) {
        let newest_first = row.history.versions().iter().copied();
        let versions = newest_first.skip_while(|version| *version > to.get());
        self.held.extend(versions.take_while(|version| *version > self.since));
        self.held_is_sorted = false;
        self.silent_below = self.silent_below.max(row.history.floor());
        self.newest_seen = self.newest_seen.max(row.version.get());
    }

    /// Takes into account what the archive holds above `after`. That puts no row into the hand.
    pub(crate) fn add_archive(&mut self, after: u64, archive: Vec<ArchivedVersions>) {
        let (of_rows, anonymous): (Vec<_>, Vec<_>) = archive.into_iter().partition(|archived| archived.row().is_some());
        for archived in &of_rows {
            let versions = archived.versions().iter().copied().take_while(|version| *version > self.since);
            self.held.extend(versions.clone());
            if let Some(row) = archived.row() {
                self.archived.entry(row.clone()).or_default().extend(versions);
            }
        }
        for versions in self.archived.values_mut() {
            versions.sort_unstable();
            versions.dedup();
        }
        self.sort_held();
        let anonymous = anonymous.iter().flat_map(|archived| archived.versions().iter().copied());
        let wanted = |version: &u64| *version > self.since && self.held.binary_search(version).is_err();
        let needed: Vec<u64> = anonymous.filter(wanted).collect();
        self.needs_anonymous |= !needed.is_empty();
        self.held.extend(needed);
        self.held_is_sorted = false;
        self.archive_read_above = Some(after);
        self.silent_below = 0;
    }

    /// May versions that are missing have been dropped from the list of a copy that was read since the archive was?
    pub(crate) fn is_silent(&mut self) -> bool {
        self.silent_below > self.proven() + 1
    }

    /// Was the archive read since a row came to hand?
    pub(crate) fn archive_was_read(&self) -> bool {
        self.archive_read_above.is_some()
    }

    fn all(&self) -> impl Iterator<Item = &FeedRow> {
        self.rows.iter().map(|ByKey(row)| row)
    }

    /// The row in hand, if it is.
    pub(crate) fn row(&self, key: &RowKey) -> Option<&FeedRow> {
        self.rows.get(key).map(|ByKey(row)| row)
    }

    /// The newest version seen, of rows in hand or not; 0 if there is none.
    pub(crate) fn newest(&self) -> u64 {
        self.all().map(|row| row.version.get()).max().unwrap_or(0).max(self.newest_seen)
    }

    /// Is there a sign of a row that is newer than `counter`? Also where the archive names a version of a row that is not in hand, or in
    /// hand only before that version: were the row that replaced it not newer, it would be in hand.
    pub(crate) fn has_newer(&self, counter: ServerVersion) -> bool {
        let in_hand = |row: &RowKey| self.row(row).map_or(0, |row| row.version.get());
        let sighted = |(row, versions): (&RowKey, &Vec<u64>)| versions.last().is_some_and(|last| *last > in_hand(row));
        self.newest() > counter.get() || self.archived.iter().any(sighted)
    }

    /// Are the rows in hand, proven up to `counter`, exactly the state there?
    ///
    /// Not when it took an archive that does not say whose versions it holds, since then a newer row may go unseen.
    pub(crate) fn is_state_at(&self, counter: ServerVersion) -> bool {
        let is_seen = !self.needs_anonymous || self.summed_at == Some(counter.get());
        is_seen && !self.has_newer(counter)
    }

    fn sort_held(&mut self) {
        if !self.held_is_sorted {
            self.held.sort_unstable();
            self.held.dedup();
            self.held_is_sorted = true;
        }
    }

    /// The version up to which everything is accounted for by the versions held.
    pub(crate) fn proven(&mut self) -> u64 {
        self.sort_held();
        let mut proven = self.proven;
        for version in &self.held[self.held.partition_point(|version| *version <= proven)..] {
            proven = skip(&self.skipped, proven);
            if *version > proven + 1 {
                break;
            }
            proven = proven.max(*version);
        }
        self.proven = skip(&self.skipped, proven);
        self.proven
    }

    /// Do the rows in hand, taken for all rows of the project, account for all versions up to `counter`?
    ///
    /// Lists may be silent below `counter`. Where one is silent above, it is not known how many versions lie there, unless the
    /// archive tells: it does for a row from the table that says so, when the archive was read after the last row.
    pub(crate) fn proves_by_sum(&mut self, counter: ServerVersion) -> bool {
        let counter = counter.get();
        let archive_is_read = self.archive_read_above.is_some_and(|after| after <= counter);
        let is_archived = |row: &FeedRow| archive_is_read && row.archived_from.is_some_and(|from| from <= counter);
        let is_silent_above = |row: &FeedRow| row.history.floor() > counter + 1;
        if self.all().any(|row| is_silent_above(row) && !is_archived(row)) {
            return false;
        }
        let archived_above = |row: &FeedRow| {
            let versions = self.archived.get(&row.key).map_or(&[][..], Vec::as_slice);
            // What the list names is counted there, and what is newer than the copy is not among its writes.
            let above = (counter + 1)..row.history.floor();
            versions.iter().filter(|version| above.contains(version)).count()
        };
        let held_up_to_counter = |row: &FeedRow| {
            let mut above = row.history.versions().iter().take_while(|version| **version > counter).count();
            if is_silent_above(row) {
                above += archived_above(row);
            }
            row.writes.saturating_sub(above as u64 + u64::from(row.version.get() > counter))
        };
        let held: u64 = self.all().map(held_up_to_counter).sum();
        let skipped: u64 = self.skipped.iter().map(|(first, last)| counter.min(*last).saturating_sub(first - 1)).sum();
        let proven = held + skipped == counter;
        if proven {
            self.proven = self.proven.max(counter);
            self.summed_at = Some(counter);
        }
        proven
    }

    /// The rows of the answer in the order of their versions: those above `since`, and none above `to` if that is given.
    pub(crate) fn into_rows(self, to: Option<ServerVersion>) -> Vec<FeedRow> {
        let to = to.map_or(u64::MAX, ServerVersion::get);
        let wanted = self.since + 1..=to;
        let mut rows: Vec<_> =
            self.rows.into_iter().map(|ByKey(row)| row).filter(|row| wanted.contains(&row.version.get())).collect();
        rows.sort_unstable_by_key(|row| row.version);
        rows
    }

    /// Do the rows in hand exceed what one response may hold?
    pub(crate) fn exceeds(&self, budget: &Budget) -> bool {
        let mut left = *budget;
        !self.all().filter(|row| row.version.get() > self.since).all(|row| left.take(row))
    }

    /// How many times as much as the rows in hand one response would hold beside them, rounded up; 0 if they exceed it.
    pub(crate) fn times(&self, budget: &Budget) -> usize {
        budget.times(self.all().filter(|row| row.version.get() > self.since))
    }

    /// The version at which to cut: of the rows in hand the last one up to which everything fits, is proven and is not
    /// above `counter`. Always a row's own version, never a number between two. None while nothing is proven.
    pub(crate) fn cut(&mut self, counter: ServerVersion, budget: &Budget) -> Option<ServerVersion> {
        let proven = self.proven().min(counter.get());
        self.last_that_fits(proven, budget)
    }

    /// Of the rows in hand the last one up to which everything fits and that is not above `to`, proven or not.
    pub(crate) fn last_that_fits(&self, to: u64, budget: &Budget) -> Option<ServerVersion> {
        let candidates = self.since + 1..=to;
        let mut rows: Vec<_> = self.all().filter(|row| candidates.contains(&row.version.get())).collect();
        rows.sort_unstable_by_key(|row| row.version);
        let mut left = *budget;
        rows.into_iter().take_while(|row| left.take(row)).last().map(|row| row.version)
    }
}

/// The last version of the skipped ranges that follow on `version`, or `version` itself.
fn skip(skipped: &[(u64, u64)], mut version: u64) -> u64 {
    while let Some((_, last)) = skipped.iter().find(|(first, last)| *first <= version + 1 && version < *last) {
        version = *last;
    }
    version
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::domain::VersionHistory;

    use super::*;
    use crate::encoding::Encoding;

    fn version(number: u64) -> ServerVersion {
        ServerVersion::try_from(number).expect("a version")
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
            writes: versions.len() as u64,
            history,
            archived_from: None,
            json: Some(shared::storage::raw::Escaped::of("{}")),
        }
    }

    /// What the archive holds of a task.
    fn archived(id: u64, versions: impl IntoIterator<Item = u64>) -> ArchivedVersions {
        let anonymous = anonymous(versions);
        let row = format!("tasks#{id}").parse().expect("a key");
        ArchivedVersions::decode(Some(row), version(anonymous.newest()), &anonymous.encode()).expect("an archive")
    }

    fn anonymous(versions: impl IntoIterator<Item = u64>) -> ArchivedVersions {
        ArchivedVersions::anonymous(versions.into_iter().map(version)).remove(0)
    }

    /// Its history, without the row.
    fn history_of(FeedRow { version, history, .. }: FeedRow) -> RowHistory {
        RowHistory { version, history }
    }

    fn proof(since: u64, rows: impl IntoIterator<Item = FeedRow>) -> Proof {
        let mut proof = Proof::new(since, vec![]);
        rows.into_iter().for_each(|row| proof.add(row));
        proof
    }

    #[test]
    fn a_gap_ends_what_is_proven() {
        assert_eq!(proof(0, [task(1, &[1]), task(2, &[2]), task(4, &[4])]).proven(), 2);
        assert_eq!(proof(2, [task(4, &[4])]).proven(), 2);
        assert_eq!(proof(3, [task(4, &[4])]).proven(), 4);
        assert_eq!(proof(7, []).proven(), 7);
    }

    #[test]
    fn of_two_copies_the_newer_counts_whichever_came_first() {
        let key = "tasks#1".parse().expect("a key");
        for copies in [[task(1, &[3]), task(1, &[3, 5])], [task(1, &[3, 5]), task(1, &[3])]] {
            let proof = proof(2, copies);
            assert_eq!((proof.row(&key).map(|row| row.version), proof.newest()), (Some(version(5)), 5));
        }
        assert_eq!(proof(2, []).newest(), 0);
    }

    /// The caller's membership is in hand on every pull, however old it is.
    #[test]
    fn a_row_that_the_device_holds_takes_no_part_in_the_answer() {
        let budget = |rows| Budget::new(rows, Encoding::Identity);
        let held = || proof(4, [task(1, &[3]), task(2, &[4])]);
        assert!(!held().exceeds(&budget(0)) && held().times(&budget(2)) > 2);
        assert_eq!(held().cut(version(4), &budget(9)), None);
        let with_two_more = || proof(4, [task(1, &[3]), task(2, &[4]), task(3, &[6]), task(4, &[5])]);
        assert!(with_two_more().exceeds(&budget(1)) && !with_two_more().exceeds(&budget(2)));
        assert_eq!([1, 2, 3, 4, 7].map(|rows| with_two_more().times(&budget(rows))), [0, 1, 1, 2, 3]);
        let versions = |to| with_two_more().into_rows(to).iter().map(|row| row.version.get()).collect::<Vec<_>>();
        assert_eq!((versions(None), versions(Some(version(5)))), (vec![5, 6], vec![5]));
    }

    #[test]
    fn of_all_rows_only_the_content_of_those_that_the_device_lacks_is_kept() {
        let mut proof = proof(3, []);
        [task(1, &[2]), task(2, &[3]), task(3, &[4])].into_iter().for_each(|row| proof.add_without_page(row));
        let content = |row: &FeedRow| row.json.as_ref().map(|json| json.as_str().to_owned());
        let kept: Vec<_> = proof.all().map(content).collect();
        assert_eq!(kept, [Some(String::new()), Some(String::new()), Some("{}".to_owned())]);
        assert!(!proof.proves_by_sum(version(4)) && proof.proven() == 4);
    }

    #[test]
    fn a_newer_copy_still_holds_the_versions_before() {
        assert_eq!(proof(1, [task(1, &[2, 5]), task(2, &[3]), task(3, &[4])]).proven(), 5);
    }

    #[test]
    fn what_a_row_superseded_is_held_without_the_row_and_its_own_version_is_not() {
        let mut proof = proof(1, [task(2, &[4]), task(3, &[6])]);
        proof.add_history(&history_of(task(1, &[1, 2, 3, 5, 7])), version(5));
        assert_eq!((proof.proven(), proof.newest()), (6, 7));
        let cut = |limit, proof: &mut Proof| proof.cut(version(7), &Budget::new(limit, Encoding::Identity));
        assert_eq!([1, 9].map(|limit| cut(limit, &mut proof)), [Some(version(4)), Some(version(6))]);
        assert_eq!(proof.into_rows(None).iter().map(|row| row.version.get()).collect::<Vec<_>>(), [4, 6]);
        // Not asked about what lies behind.
        let mut proof = self::proof(1, []);
        proof.add_history(&history_of(task(1, &[1, 2, 3, 5, 7])), version(3));
        assert_eq!(proof.held, [3, 2]);
    }

    #[test]
    fn an_old_copy_does_not_stand_in_for_the_write_it_misses() {
        let mut proof = proof(0, [task(1, &[1]), task(2, &[2])]);
        assert!(proof.proven() < 3 && !proof.proves_by_sum(version(3)));
        proof.add(task(1, &[1, 3]));
        assert!(proof.proven() == 3 && proof.proves_by_sum(version(3)));
    }

    #[test]
    fn versions_that_no_row_holds_count_as_held() {
        let mut proof = Proof::new(0, vec![(3, 1_000_000), (1, 1)]);
        proof.add(task(1, &[2]));
        proof.add(task(2, &[1_000_001]));
        assert_eq!(proof.proven(), 1_000_001);
        assert!(proof.proves_by_sum(version(1_000_001)));
        assert!(!proof.proves_by_sum(version(1_000_002)));
    }

    #[test]
    fn a_range_that_no_row_holds_counts_once_everything_before_it_is_held() {
        let mut proof = Proof::new(0, vec![(5, 9)]);
        proof.add(task(1, &[1]));
        proof.add(task(2, &[10]));
        assert_eq!(proof.proven(), 1);
    }

    #[test]
    fn the_sum_proves_where_lists_are_cut_but_not_when_they_are_silent_above_the_counter() {
        let busy: Vec<u64> = (2..=900).collect();
        let mut proof = proof(0, [task(1, &[1]), task(2, &busy)]);
        assert!(proof.row(&"tasks#2".parse().expect("a key")).expect("a row").history.floor() > 100);
        assert_eq!(proof.proven(), 1);
        assert!(proof.proves_by_sum(version(900)) && proof.proven() == 900);
        let mut proof = self::proof(0, [task(1, &[1]), task(2, &busy)]);
        assert!(!proof.proves_by_sum(version(100)), "nobody knows how often it was written since");
    }

    #[test]
    fn an_archived_version_is_held_without_a_row_and_says_nothing_of_its_neighbours() {
        let mut proof = proof(1, [task_within(1, &[2, 3, 6, 8], 1), task(2, &[4]), task(3, &[7])]);
        assert!(proof.is_silent() && proof.proven() == 1);
        proof.add_archive(1, vec![archived(1, [2, 3])]);
        assert_eq!((proof.proven(), proof.is_silent()), (4, false));
        assert!(proof.row(&"tasks#1".parse().expect("a key")).is_some_and(|row| row.version == version(8)));
    }

    #[test]
    fn a_list_that_is_silent_only_where_all_is_proven_is_no_reason_to_read_the_archive() {
        assert!(!proof(5, [task_within(1, &[2, 3, 6], 1), task(2, &[8])]).is_silent());
        let mut proof = proof(1, []);
        proof.add_history(&history_of(task_within(1, &[2, 3, 6], 1)), version(9));
        assert!(proof.is_silent(), "of a row that was seen from the end");
    }

    #[test]
    fn an_archive_that_knows_more_of_a_row_than_the_hand_is_the_sign_of_a_newer_row() {
        for in_hand in [None, Some(task(1, &[2]))] {
            let mut proof = proof(1, in_hand.into_iter().chain([task(2, &[4])]));
            proof.add_archive(1, vec![archived(1, [2, 3])]);
            assert_eq!(proof.proven(), 4);
            assert!(proof.newest() <= 4 && proof.has_newer(version(4)) && !proof.is_state_at(version(4)));
            proof.add(task(1, &[2, 3, 5]));
            assert!(proof.is_state_at(version(5)));
        }
    }

    #[test]
    fn an_archive_without_a_row_proves_and_leaves_open_whether_a_newer_row_was_seen() {
        let held = || proof(0, [task(1, &[1]), task(2, &[3, 4])]);
        let mut needed = held();
        needed.add_archive(0, vec![anonymous([2])]);
        assert_eq!(needed.proven(), 4);
        assert!(!needed.has_newer(version(4)) && !needed.is_state_at(version(4)));
        let mut not_needed = held();
        not_needed.add_archive(0, vec![anonymous([3])]);
        not_needed.add(task(3, &[2]));
        assert!(not_needed.proven() == 4 && not_needed.is_state_at(version(4)));
        // By the sum all rows are in hand, so that none can go unseen.
        needed.add(task_within(3, &[2], 256));
        assert!(needed.proves_by_sum(version(4)) && needed.is_state_at(version(4)));
    }

    /// A busy row as the table has it, and another one.
    fn busy_in_the_table(archived_from: Option<u64>) -> [FeedRow; 2] {
        let busy: Vec<u64> = (2..=900).collect();
        [task(1, &[1]), FeedRow { archived_from, ..task(2, &busy) }]
    }

    #[test]
    fn the_sum_counts_against_an_old_counter_when_the_archive_has_what_the_lists_dropped_since() {
        let floor = busy_in_the_table(None)[1].history.floor();
        let archive = || vec![archived(2, 90..floor), archived(2, 95..120)];
        let mut proof = proof(0, busy_in_the_table(Some(0)));
        assert!(!proof.proves_by_sum(version(100)));
        proof.add_archive(100, archive());
        assert!(proof.proves_by_sum(version(100)) && !proof.proves_by_sum(version(99)), "99 was not asked for");
        let known_from = |from| {
            let mut proof = self::proof(0, busy_in_the_table(from));
            proof.add_archive(99, archive());
            [99, 100].map(|counter| proof.proves_by_sum(version(counter)))
        };
        assert_eq!(
            [Some(0), Some(99), Some(100), Some(101), None].map(known_from),
            [[true, true], [true, true], [false, true], [false, false], [false, false],]
        );
    }

    #[test]
    fn an_archive_that_was_read_before_a_row_says_nothing_of_what_its_list_has_dropped_since() {
        let [_, busy] = busy_in_the_table(Some(0));
        let mut proof = proof(0, []);
        // One version short, since it was not dropped yet: row 1 is missing, and the busy one seems to make up for it.
        proof.add_archive(0, vec![archived(2, 101..busy.history.floor() - 1)]);
        proof.add(busy.clone());
        assert!(!proof.proves_by_sum(version(100)));
        let mut missing = self::proof(0, [busy]);
        missing.add_archive(0, vec![archived(2, 101..missing.silent_below)]);
        assert!(!missing.proves_by_sum(version(100)));
    }

    #[test]
    fn a_copy_of_the_index_learns_from_the_same_one_of_the_table_from_where_it_is_archived() {
        let [other, busy] = busy_in_the_table(Some(0));
        let mut proof = proof(0, [other, FeedRow { archived_from: None, ..busy.clone() }, busy]);
        proof.add_archive(0, vec![archived(2, 2..proof.silent_below)]);
        assert!(proof.proves_by_sum(version(100)));
    }

    #[test]
    fn a_list_that_is_silent_above_the_counter_does_not_make_up_for_a_row_that_is_missing() {
        let busy = task(2, &(2..=900).collect::<Vec<_>>());
        let floor = busy.history.floor();
        // Of the versions above floor - 2 one is not listed, so that it is counted in place of version 1.
        assert!(!proof(0, [busy.clone()]).proves_by_sum(version(floor - 2)));
        // A list that names all versions above the counter is as good as a whole one.
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

    /// A true history: which task each version was given to.
    fn history() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec(0..12_u64, 1..300)
    }

    /// The copy of a task as of a version, if it existed.
    fn copy(history: &[u64], id: u64, as_of: u64) -> Option<FeedRow> {
        let versions: Vec<u64> = (1..=as_of).filter(|v| history[(*v - 1) as usize] == id).collect();
        (!versions.is_empty()).then(|| task(id, &versions))
    }

    proptest! {
        /// Whatever copies the index shows, whole or not, what is called proven contains every row that is current in there.
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
                    Some(to) => proof.add_history(&history_of(copy), version(to)),
                    None if copy.version.get() > since => proof.add(copy),
                    None => {}
                }
            }
            let proven = proof.proven().min(counter);
            for id in 0..12 {
                let Some(current) = copy(&history, id, counter) else { continue };
                if current.version.get() > since && current.version.get() <= proven {
                    prop_assert_eq!(proof.row(&current.key), Some(&current));
                }
            }
        }

        /// With lists of few versions, and an archive of whatever was superseded until some moment.
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
                proof.add_archive(since, archives.clone());
            }
            for (id, as_of) in &shown {
                let versions = versions_of(*id, *as_of);
                if versions.last().is_some_and(|version| *version > since) {
                    proof.add(task_within(*id, &versions, max_history_bytes));
                }
            }
            if !archive_first {
                proof.add_archive(since, archives);
            }
            let is_state = proof.proven() >= counter && proof.is_state_at(version(counter));
            let proven = proof.proven();
            for id in 0..4 {
                let in_hand = proof.row(&format!("tasks#{id}").parse().expect("a key")).map(|row| row.version.get());
                let current = versions_of(id, end).last().copied();
                if let Some(current) = current.filter(|current| (since + 1..=proven).contains(current)) {
                    prop_assert_eq!(in_hand, Some(current));
                }
                let at_counter = versions_of(id, counter).last().copied().filter(|version| *version > since);
                prop_assert!(!is_state || in_hand == at_counter, "{:?} in hand and not {:?}", in_hand, at_counter);
            }
        }

        /// What is proven is in hand; all of it, and no sign of anything newer, is the state at the counter.
        #[test]
        fn rows_that_are_known_by_what_they_superseded_are_not_taken_for_rows_in_hand(
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
                seen.into_iter().for_each(|row| proof.add_history(&history_of(row), version(end)));
            }
            let is_state = proof.proven() >= counter && proof.newest() <= counter;
            let proven = proof.proven();
            for id in 0..3 {
                let in_hand = proof.row(&format!("tasks#{id}").parse().expect("a key"));
                if let Some(current) = copy(&history, id, end).filter(|row| row.version.get() <= proven) {
                    prop_assert_eq!(in_hand, Some(&current));
                }
                prop_assert!(!is_state || in_hand == copy(&history, id, counter).as_ref());
            }
        }

        /// The sum holds exactly when every row is in hand in its state at the counter or a later one.
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
            let silent = proof.all().any(|row| row.history.floor() > counter + 1);
            let complete = (0..12).all(|id| {
                let holds = |as_of: u64| history[..as_of as usize].iter().take(counter as usize).filter(|t| **t == id).count();
                holds(seen(id)) == holds(end)
            });
            prop_assert_eq!(proof.proves_by_sum(version(counter)), complete && !silent);
        }
    }
}
