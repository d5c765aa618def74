//! The proof that a pull misses nothing.
//!
//! Every version from 1 to the counter was given to exactly one row, and that row holds it: as its `server_version` or
//! among those it superseded. A version that any copy superseded is no row's any more and counts as held, be that copy in
//! hand or not; a row's own version only when the row is in hand. So when *all* versions in `(since, t]` are held, every row
//! whose current version lies in there is in hand in its current copy, however late, torn or jumbled the index is. And when
//! *all* rows of a project are in hand, their `writes` less the versions they hold above `s` add up to exactly `s`.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

use indexmap::IndexSet;
use shared::domain::{RowKey, ServerVersion};
use shared::storage::{FeedRow, Superseding};

use crate::body::Budget;

/// The rows read so far and the versions they account for.
pub(crate) struct Evidence {
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
    /// Everything up to here is accounted for.
    proven: u64,
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

impl Evidence {
    pub(crate) fn new(since: u64, skipped: Vec<(u64, u64)>) -> Self {
        Self {
            since,
            skipped,
            rows: IndexSet::new(),
            held: vec![],
            held_is_sorted: true,
            newest_seen: 0,
            proven: since,
        }
    }

    /// Takes a copy of a row into account; of two copies the newer counts.
    pub(crate) fn add(&mut self, row: FeedRow) {
        let versions = std::iter::once(row.version.get()).chain(row.superseded.versions().iter().copied());
        self.held.extend(versions.take_while(|version| *version > self.since));
        self.held_is_sorted = false;
        let version = row.version;
        // Of two that are the same the first stays, so that all of a page that says nothing new can go.
        if let Some(known) = self.rows.replace(ByKey(row))
            && known.0.version >= version
        {
            self.rows.replace(known);
        }
    }

    /// Takes into account that a row superseded versions, those up to `to`, and that it was seen. That does not put it into
    /// the hand: its own version is not held.
    pub(crate) fn add_superseded(&mut self, row: &Superseding, to: ServerVersion) {
        let newest_first = row.superseded.versions().iter().copied();
        let versions = newest_first.skip_while(|version| *version > to.get());
        self.held.extend(versions.take_while(|version| *version > self.since));
        self.held_is_sorted = false;
        self.newest_seen = self.newest_seen.max(row.version.get());
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

    /// The version up to which everything is accounted for by the versions held.
    pub(crate) fn proven(&mut self) -> u64 {
        if !self.held_is_sorted {
            self.held.sort_unstable();
            self.held.dedup();
            self.held_is_sorted = true;
        }
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
    /// Lists may be silent below `counter`, never above: then it is not known how many versions lie above.
    pub(crate) fn proves_by_sum(&mut self, counter: ServerVersion) -> bool {
        let counter = counter.get();
        let silent_above = |row: &FeedRow| row.superseded.floor() > counter + 1;
        if self.all().any(silent_above) {
            return false;
        }
        let held_up_to_counter = |row: &FeedRow| {
            let superseded_above = row.superseded.versions().iter().take_while(|version| **version > counter).count();
            row.writes.saturating_sub(superseded_above as u64 + u64::from(row.version.get() > counter))
        };
        let held: u64 = self.all().map(held_up_to_counter).sum();
        let skipped: u64 = self.skipped.iter().map(|(first, last)| counter.min(*last).saturating_sub(first - 1)).sum();
        let proven = held + skipped == counter;
        if proven {
            self.proven = self.proven.max(counter);
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
    use shared::domain::Superseded;

    use super::*;
    use crate::encoding::Encoding;

    fn version(number: u64) -> ServerVersion {
        ServerVersion::try_from(number).expect("a version")
    }

    /// The copy of a task that was written at these rising versions.
    fn task(id: u64, versions: &[u64]) -> FeedRow {
        let superseded = versions
            .windows(2)
            .fold(Superseded::default(), |list, pair| list.superseding(version(pair[0]), version(pair[1])));
        FeedRow {
            key: format!("tasks#{id}").parse().expect("a key"),
            version: version(*versions.last().expect("a write")),
            writes: versions.len() as u64,
            superseded,
            json: Some(shared::domain::Escaped::of("{}")),
        }
    }

    /// What it superseded.
    fn superseding(FeedRow { version, superseded, .. }: FeedRow) -> Superseding {
        Superseding { version, superseded }
    }

    fn evidence(since: u64, rows: impl IntoIterator<Item = FeedRow>) -> Evidence {
        let mut evidence = Evidence::new(since, vec![]);
        rows.into_iter().for_each(|row| evidence.add(row));
        evidence
    }

    #[test]
    fn a_gap_ends_what_is_proven() {
        assert_eq!(evidence(0, [task(1, &[1]), task(2, &[2]), task(4, &[4])]).proven(), 2);
        assert_eq!(evidence(2, [task(4, &[4])]).proven(), 2);
        assert_eq!(evidence(3, [task(4, &[4])]).proven(), 4);
        assert_eq!(evidence(7, []).proven(), 7);
    }

    #[test]
    fn of_two_copies_the_newer_counts_whichever_came_first() {
        let key = "tasks#1".parse().expect("a key");
        for copies in [[task(1, &[3]), task(1, &[3, 5])], [task(1, &[3, 5]), task(1, &[3])]] {
            let evidence = evidence(2, copies);
            assert_eq!((evidence.row(&key).map(|row| row.version), evidence.newest()), (Some(version(5)), 5));
        }
        assert_eq!(evidence(2, []).newest(), 0);
    }

    /// The caller's membership is in hand on every pull, however old it is.
    #[test]
    fn a_row_that_the_device_holds_takes_no_part_in_the_answer() {
        let budget = |rows| Budget::new(rows, Encoding::Identity);
        let held = || evidence(4, [task(1, &[3]), task(2, &[4])]);
        assert!(!held().exceeds(&budget(0)) && held().times(&budget(2)) > 2);
        assert_eq!(held().cut(version(4), &budget(9)), None);
        let with_two_more = || evidence(4, [task(1, &[3]), task(2, &[4]), task(3, &[6]), task(4, &[5])]);
        assert!(with_two_more().exceeds(&budget(1)) && !with_two_more().exceeds(&budget(2)));
        assert_eq!([1, 2, 3, 4, 7].map(|rows| with_two_more().times(&budget(rows))), [0, 1, 1, 2, 3]);
        let versions = |to| with_two_more().into_rows(to).iter().map(|row| row.version.get()).collect::<Vec<_>>();
        assert_eq!((versions(None), versions(Some(version(5)))), (vec![5, 6], vec![5]));
    }

    #[test]
    fn a_newer_copy_still_holds_the_versions_before() {
        assert_eq!(evidence(1, [task(1, &[2, 5]), task(2, &[3]), task(3, &[4])]).proven(), 5);
    }

    #[test]
    fn what_a_row_superseded_is_held_without_the_row_and_its_own_version_is_not() {
        let mut evidence = evidence(1, [task(2, &[4]), task(3, &[6])]);
        evidence.add_superseded(&superseding(task(1, &[1, 2, 3, 5, 7])), version(5));
        assert_eq!((evidence.proven(), evidence.newest()), (6, 7));
        let cut = |limit, evidence: &mut Evidence| evidence.cut(version(7), &Budget::new(limit, Encoding::Identity));
        assert_eq!([1, 9].map(|limit| cut(limit, &mut evidence)), [Some(version(4)), Some(version(6))]);
        assert_eq!(evidence.into_rows(None).iter().map(|row| row.version.get()).collect::<Vec<_>>(), [4, 6]);
        // Not asked about what lies behind.
        let mut evidence = self::evidence(1, []);
        evidence.add_superseded(&superseding(task(1, &[1, 2, 3, 5, 7])), version(3));
        assert_eq!(evidence.held, [3, 2]);
    }

    #[test]
    fn an_old_copy_does_not_stand_in_for_the_write_it_misses() {
        let mut evidence = evidence(0, [task(1, &[1]), task(2, &[2])]);
        assert!(evidence.proven() < 3 && !evidence.proves_by_sum(version(3)));
        evidence.add(task(1, &[1, 3]));
        assert!(evidence.proven() == 3 && evidence.proves_by_sum(version(3)));
    }

    #[test]
    fn versions_that_no_row_holds_count_as_held() {
        let mut evidence = Evidence::new(0, vec![(3, 1_000_000), (1, 1)]);
        evidence.add(task(1, &[2]));
        evidence.add(task(2, &[1_000_001]));
        assert_eq!(evidence.proven(), 1_000_001);
        assert!(evidence.proves_by_sum(version(1_000_001)));
        assert!(!evidence.proves_by_sum(version(1_000_002)));
    }

    #[test]
    fn a_range_that_no_row_holds_counts_once_everything_before_it_is_held() {
        let mut evidence = Evidence::new(0, vec![(5, 9)]);
        evidence.add(task(1, &[1]));
        evidence.add(task(2, &[10]));
        assert_eq!(evidence.proven(), 1);
    }

    #[test]
    fn the_sum_proves_where_lists_are_cut_but_not_when_they_are_silent_above_the_counter() {
        let busy: Vec<u64> = (2..=900).collect();
        let mut evidence = evidence(0, [task(1, &[1]), task(2, &busy)]);
        assert!(evidence.row(&"tasks#2".parse().expect("a key")).expect("a row").superseded.floor() > 100);
        assert_eq!(evidence.proven(), 1);
        assert!(evidence.proves_by_sum(version(900)) && evidence.proven() == 900);
        let mut evidence = self::evidence(0, [task(1, &[1]), task(2, &busy)]);
        assert!(!evidence.proves_by_sum(version(100)), "nobody knows how often it was written since");
    }

    #[test]
    fn a_list_that_is_silent_above_the_counter_does_not_make_up_for_a_row_that_is_missing() {
        let busy = task(2, &(2..=900).collect::<Vec<_>>());
        let floor = busy.superseded.floor();
        // Of the versions above floor - 2 one is not listed, so that it is counted in place of version 1.
        assert!(!evidence(0, [busy.clone()]).proves_by_sum(version(floor - 2)));
        // A list that names all versions above the counter is as good as a whole one.
        assert!(evidence(0, [task(1, &[1]), busy]).proves_by_sum(version(floor - 1)));
    }

    #[test]
    fn a_cut_is_at_a_row_and_never_past_what_is_proven_or_fits() {
        let rows = [task(1, &[1]), task(2, &[2, 4]), task(3, &[3]), task(6, &[6])];
        let mut evidence = evidence(0, rows);
        assert_eq!(evidence.cut(version(6), &Budget::new(1, Encoding::Identity)), Some(version(1)));
        assert_eq!(
            evidence.cut(version(6), &Budget::new(2, Encoding::Identity)),
            Some(version(3)),
            "2 is no row's version any more"
        );
        assert_eq!(evidence.cut(version(6), &Budget::new(9, Encoding::Identity)), Some(version(4)), "5 is missing");
        assert_eq!(
            evidence.cut(version(3), &Budget::new(9, Encoding::Identity)),
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
            let mut evidence = evidence(since, []);
            for ((id, as_of), to) in shown.iter().zip(to) {
                let Some(copy) = copy(&history, *id, (*as_of).min(counter)) else { continue };
                match to {
                    Some(to) => evidence.add_superseded(&superseding(copy), version(to)),
                    None if copy.version.get() > since => evidence.add(copy),
                    None => {}
                }
            }
            let proven = evidence.proven().min(counter);
            for id in 0..12 {
                let Some(current) = copy(&history, id, counter) else { continue };
                if current.version.get() > since && current.version.get() <= proven {
                    prop_assert_eq!(evidence.row(&current.key), Some(&current));
                }
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
            let mut evidence = evidence(0, []);
            for id in 0..3 {
                let as_of = |lag: Option<u64>| copy(&history, id, end.saturating_sub(lag?));
                as_of(lag[id as usize]).into_iter().for_each(|row| evidence.add(row));
                let seen = as_of(seen[id as usize]);
                seen.into_iter().for_each(|row| evidence.add_superseded(&superseding(row), version(end)));
            }
            let is_state = evidence.proven() >= counter && evidence.newest() <= counter;
            let proven = evidence.proven();
            for id in 0..3 {
                let in_hand = evidence.row(&format!("tasks#{id}").parse().expect("a key"));
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
            let mut evidence = evidence(0, copies);
            let silent = evidence.all().any(|row| row.superseded.floor() > counter + 1);
            let complete = (0..12).all(|id| {
                let holds = |as_of: u64| history[..as_of as usize].iter().take(counter as usize).filter(|t| **t == id).count();
                holds(seen(id)) == holds(end)
            });
            prop_assert_eq!(evidence.proves_by_sum(version(counter)), complete && !silent);
        }
    }
}
