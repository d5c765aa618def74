//! Checksums over live rows, with which a device checks its own rows.

use std::collections::BTreeMap;

use super::{Collection, CollectionName, RowKey, ServerVersion, UnknownCollection};

/// Two odd numbers whose bits look random. They must never change, because apps have them too.
const FACTORS: [u32; 2] = [0x9e37_79b1, 0x85eb_ca77];

/// For each collection: the number of live rows, and two sums over their ids and versions.
///
/// A row adds 1 to the number, and the two hashes of the text `<server_version>@<id>;` to the sums, all modulo 2^32. So the order
/// does not matter, and a commit subtracts the old row and adds the new one. A device with the same rows at the same versions has
/// the same three numbers. Another device has them by accident with a probability of 1 in 2^64. The checksum does not protect
/// against someone who constructs such a case on purpose.
///
/// Collections that this code does not know keep the checksums that a newer version of the code counted.
#[derive(Debug, Clone, Default)]
pub struct Checksums {
    known: [[u32; 3]; Collection::ALL.len()],
    unknown: BTreeMap<UnknownCollection, [u32; 3]>,
}

/// A collection without rows equals one that is not listed.
impl PartialEq for Checksums {
    fn eq(&self, other: &Self) -> bool {
        self.collections().chain(other.collections()).all(|collection| self.get(collection) == other.get(collection))
    }
}

impl Eq for Checksums {}

impl Checksums {
    /// The checksums of these live rows.
    pub fn of<'a>(live: impl IntoIterator<Item = (&'a RowKey, ServerVersion)>) -> Self {
        let mut checksums = Self::default();
        live.into_iter().for_each(|(key, version)| checksums.add(key, version));
        checksums
    }

    /// Adds a live row.
    pub fn add(&mut self, key: &RowKey, version: ServerVersion) {
        let sums = self.of_mut(key.collection).iter_mut();
        sums.zip(summands(key, version)).for_each(|(sum, summand)| *sum = sum.wrapping_add(summand));
    }

    /// Subtracts a live row that was added before.
    pub fn subtract(&mut self, key: &RowKey, version: ServerVersion) {
        let sums = self.of_mut(key.collection).iter_mut();
        sums.zip(summands(key, version)).for_each(|(sum, summand)| *sum = sum.wrapping_sub(summand));
    }

    /// Sets a collection's numbers, as [`Checksums::get`] returned them.
    pub fn set(&mut self, collection: impl Into<CollectionName>, numbers: [u32; 3]) {
        *self.of_mut(collection.into()) = numbers;
    }

    /// A collection's number of live rows and its two sums.
    pub fn get(&self, collection: impl Into<CollectionName>) -> [u32; 3] {
        match collection.into() {
            CollectionName::Known(collection) => self.known[collection as usize],
            CollectionName::Unknown(unknown) => self.unknown.get(&unknown).copied().unwrap_or_default(),
        }
    }

    /// The collections with numbers: the five known ones in the order of the sync response, then the others.
    pub fn collections(&self) -> impl Iterator<Item = CollectionName> {
        let known = Collection::ALL.into_iter().map(CollectionName::Known);
        known.chain(self.unknown.keys().copied().map(CollectionName::Unknown))
    }

    fn of_mut(&mut self, collection: CollectionName) -> &mut [u32; 3] {
        match collection {
            CollectionName::Known(collection) => &mut self.known[collection as usize],
            CollectionName::Unknown(unknown) => self.unknown.entry(unknown).or_default(),
        }
    }
}

fn summands(key: &RowKey, version: ServerVersion) -> [u32; 3] {
    let text = format!("{version}@{};", key.id);
    let [first, second] = FACTORS.map(|factor| hash(&text, factor));
    [1, first, second]
}

/// A hash that needs few lines of JavaScript (`Math.imul`). The multiplication carries each character into the higher bits, and
/// the shift carries it back into the lower ones. The end of the text is mixed least, so a `;` follows it. Without the `;`, the
/// sums would miss that two rows swapped their versions ten times too often.
fn hash(text: &str, factor: u32) -> u32 {
    text.bytes().fold(0, |hash: u32, byte| {
        let product = (hash ^ u32::from(byte)).wrapping_mul(factor);
        product ^ (product >> 15)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn version(number: u64) -> ServerVersion {
        ServerVersion::try_from(number).expect("a version")
    }

    fn key(text: &str) -> RowKey {
        text.parse().expect("a key")
    }

    fn of(rows: &[(&str, u64)]) -> Checksums {
        let rows: Vec<_> = rows.iter().map(|(row, at)| (key(row), version(*at))).collect();
        Checksums::of(rows.iter().map(|(row, at)| (row, *at)))
    }

    #[test]
    fn the_numbers_on_tables_and_devices_never_change() {
        let tasks = |rows: &[(&str, u64)]| of(rows).get(Collection::Tasks);
        assert_eq!(tasks(&[]), [0, 0, 0]);
        assert_eq!(tasks(&[("tasks#a", 1)]), [1, 1_883_953_205, 3_615_160_911]);
        let rows = [
            ("tasks#bVvC2oXCRx4Ts0aL", 3),
            ("tasks#0198c8d5-6b1e-7cc0-8f0e-0d8f6b6a1c11", ServerVersion::MAX),
            ("tasks#_", 1_000_000),
        ];
        assert_eq!(tasks(&rows), [3, 1_637_911_603, 3_957_167_863]);
    }

    #[test]
    fn each_collection_has_its_own() {
        let sums = of(&[("tasks#x", 4), ("calendars#x", 4), ("calendars#y", 9)]);
        assert_eq!(Collection::ALL.map(|collection| sums.get(collection)[0]), [0, 1, 0, 2, 0]);
        assert_eq!(sums.get(Collection::Tasks), of(&[("tasks#x", 4)]).get(Collection::Tasks));
    }

    #[test]
    fn a_collection_of_a_newer_version_is_counted_by_its_name() {
        let sums = of(&[("tasks#x", 4), ("notes#x", 5), ("notes#y", 6)]);
        let names: Vec<_> = sums.collections().map(|collection| collection.name().to_owned()).collect();
        assert_eq!(names, ["projects", "tasks", "dependencies", "calendars", "memberships", "notes"]);
        let notes = sums.collections().last().expect("notes");
        assert_eq!(sums.get(notes), of(&[("tasks#x", 5), ("tasks#y", 6)]).get(Collection::Tasks));
        let mut without = sums.clone();
        without.subtract(&key("notes#x"), version(5));
        without.subtract(&key("notes#y"), version(6));
        assert_eq!(without, of(&[("tasks#x", 4)]), "a collection without rows is as one that is not named");
        assert_ne!(of(&[("tasks#x", 4)]), sums);
    }

    #[test]
    fn a_collections_numbers_go_back_to_where_they_came_from() {
        let numbers = of(&[("tasks#x", 4)]).get(Collection::Tasks);
        let mut sums = Checksums::default();
        sums.set(Collection::Tasks, numbers);
        assert_eq!(sums, of(&[("tasks#x", 4)]));
    }

    /// Changes that look alike, as real ones do: neighbouring ids, neighbouring versions. A good hash misses one of these
    /// once in a thousand runs.
    #[test]
    fn two_rows_that_have_each_others_version_are_noticed_by_either_sum() {
        for (one, other) in [("a", "b"), ("t1", "t2"), ("t19", "t20"), ("bVvC2oXCRx4Ts0aL", "bVvC2oXCRx4Ts0aM")] {
            let [one, other] = [one, other].map(|id| {
                let key = key(&format!("tasks#{id}"));
                (1..1_500).map(|at| summands(&key, version(at))).collect::<Vec<_>>()
            });
            for sum in [1, 2] {
                let differences = one.iter().zip(&other).map(|(one, other)| one[sum].wrapping_sub(other[sum]));
                let distinct: HashSet<u32> = differences.collect();
                assert_eq!(distinct.len(), one.len(), "h(v, one) + h(w, other) == h(w, one) + h(v, other)");
            }
        }
    }

    proptest! {
        #[test]
        fn rows_count_in_any_order_and_leave_no_trace_when_they_are_subtracted(
            mut rows in prop::collection::vec(("[A-Za-z0-9_-]{1,64}", 1..=ServerVersion::MAX), 1..40),
            gone in 0..40_usize,
        ) {
            let keyed = |rows: &[(String, u64)]| -> Vec<_> {
                rows.iter().map(|(id, at)| (key(&format!("tasks#{id}")), version(*at))).collect()
            };
            let sums = |rows: &[(String, u64)]| Checksums::of(keyed(rows).iter().map(|(row, at)| (row, *at)));
            let all = sums(&rows);
            rows.reverse();
            prop_assert_eq!(&sums(&rows), &all);
            let (id, at) = rows.remove(gone % rows.len());
            let mut rest = all.clone();
            rest.subtract(&key(&format!("tasks#{id}")), version(at));
            prop_assert_eq!(&rest, &sums(&rows));
            prop_assert_ne!(rest, all);
        }
    }
}
