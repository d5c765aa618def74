//! The version history of a row, which the proof of a pull needs.

use super::ServerVersion;

/// The version history of a row: the versions that it had before its current one, newest first, and the floor below which the
/// history is incomplete.
///
/// On the table: LEB128 varints. The first is the floor; 0 means that the history is complete. Then each version follows as its
/// distance to the next newer one, beginning with the distance to the row's current version. The history has at most
/// [`VersionHistory::MAX_BYTES`]. A longer one is cut to half of that, and the versions that it loses are archived before, see
/// [`ArchivedVersions`](super::ArchivedVersions).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionHistory {
    floor: u64,
    newest_first: Vec<u64>,
}

/// Bytes that are not a valid version history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the version history is corrupt")]
pub struct CorruptHistory;

impl VersionHistory {
    /// The maximum size on the table, so that a row with many writes does not enlarge the index.
    pub const MAX_BYTES: usize = 256;

    /// The listed versions, newest first.
    pub fn versions(&self) -> &[u64] {
        &self.newest_first
    }

    /// The history is incomplete below this version. 0 if it is complete.
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// Whether the row never had another version.
    pub fn is_empty(&self) -> bool {
        self.newest_first.is_empty() && self.floor == 0
    }

    /// Whether a row with this history, the version `current` and the revision count `writes` existed at the version `then`. None
    /// if the history does not say.
    pub fn existed_at(&self, then: ServerVersion, current: ServerVersion, writes: u64) -> Option<bool> {
        let then = then.get();
        let oldest_known = self.newest_first.last().copied().unwrap_or(current.get());
        if oldest_known <= then {
            return Some(true);
        }
        let dropped = writes.saturating_sub(self.newest_first.len() as u64 + 1);
        if dropped == 0 {
            return Some(false);
        }
        // They are different versions below the floor, so that one at least is not above `then` when there are more of them
        // than lie between the two.
        let above = self.floor.saturating_sub(1).saturating_sub(then);
        if dropped > above { Some(true) } else { None }
    }

    /// The history after `new` supersedes `old`, the row's version so far. If it would exceed `max_bytes`, the oldest versions are
    /// dropped until half of that is left. So it takes many writes until it is full again.
    ///
    /// `old` is never dropped. Dropped versions must be archived before the commit, and until then `old` is the current version.
    pub fn superseding(&self, old: ServerVersion, new: ServerVersion, max_bytes: usize) -> Self {
        debug_assert!(old < new && self.newest_first.first().is_none_or(|v| *v < old.get()));
        let mut next = Self {
            floor: self.floor,
            newest_first: std::iter::once(old.get()).chain(self.newest_first.iter().copied()).collect(),
        };
        if next.encode(new).len() > max_bytes {
            while next.newest_first.len() > 1 && next.encode(new).len() > max_bytes / 2 {
                next.floor = next.newest_first.pop().map_or(next.floor, |dropped| dropped + 1);
            }
        }
        next
    }

    /// The bytes for the table, for a row whose current version is `current`.
    pub fn encode(&self, current: ServerVersion) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_varint(&mut bytes, self.floor);
        let mut newer = current.get();
        for version in &self.newest_first {
            write_varint(&mut bytes, newer - version);
            newer = *version;
        }
        bytes
    }

    /// Decodes the bytes of [`VersionHistory::encode`]. Other bytes are an error.
    pub fn decode(mut bytes: &[u8], current: ServerVersion) -> Result<Self, CorruptHistory> {
        let floor = read_varint(&mut bytes)?;
        let mut newer = current.get();
        let mut newest_first = Vec::new();
        while !bytes.is_empty() {
            let distance = read_varint(&mut bytes)?;
            newer = match newer.checked_sub(distance) {
                Some(version) if distance > 0 && version > 0 && version >= floor => version,
                _ => return Err(CorruptHistory),
            };
            newest_first.push(newer);
        }
        Ok(Self { floor, newest_first })
    }
}

/// Appends `number` as LEB128.
pub(super) fn write_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes one LEB128 number off the front.
pub(super) fn read_varint(bytes: &mut &[u8]) -> Result<u64, CorruptHistory> {
    let mut number = 0_u64;
    for shift in (0..63).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or(CorruptHistory)?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(CorruptHistory)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(number: u64) -> ServerVersion {
        ServerVersion::try_from(number).expect("a version")
    }

    /// A row written at each of these rising versions.
    fn history(versions: &[u64]) -> VersionHistory {
        versions.windows(2).fold(VersionHistory::default(), |list, pair| {
            list.superseding(version(pair[0]), version(pair[1]), VersionHistory::MAX_BYTES)
        })
    }

    proptest! {
        #[test]
        fn a_list_survives_the_table(mut versions in prop::collection::btree_set(1..=ServerVersion::MAX, 1..200)) {
            let current = version(versions.pop_last().expect("one at least"));
            versions.insert(current.get());
            let versions: Vec<u64> = versions.into_iter().collect();
            let list = history(&versions);
            let bytes = list.encode(current);
            prop_assert!(bytes.len() <= VersionHistory::MAX_BYTES);
            prop_assert_eq!(VersionHistory::decode(&bytes, current), Ok(list));
        }

        #[test]
        fn a_list_names_every_superseded_version_that_is_not_below_its_floor(
            versions in prop::collection::btree_set(1..1_000_000_u64, 1..400)
        ) {
            let versions: Vec<u64> = versions.into_iter().collect();
            let list = history(&versions);
            let expected: Vec<u64> = versions[..versions.len() - 1]
                .iter().rev().copied().filter(|v| *v >= list.floor()).collect();
            prop_assert_eq!(list.versions(), expected);
            prop_assert_eq!(list.floor() == 0, list.versions().len() == versions.len() - 1);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), current in 1..=ServerVersion::MAX) {
            let _ = VersionHistory::decode(&bytes, version(current));
        }
    }

    proptest! {
        #[test]
        fn what_a_list_says_of_a_rows_existence_is_true(
            versions in prop::collection::btree_set(1..3_000_u64, 1..500), then in 1..3_000_u64
        ) {
            let versions: Vec<u64> = versions.into_iter().collect();
            let (first, last) = (versions[0], version(versions[versions.len() - 1]));
            let list = history(&versions);
            let said = list.existed_at(version(then), last, versions.len() as u64);
            prop_assert!(said.is_none_or(|existed| existed == (first <= then)), "{said:?}");
            prop_assert!(said.is_some() || (list.floor() > 0 && then < list.floor()));
        }
    }

    #[test]
    fn a_row_that_was_made_later_did_not_exist_and_a_silent_list_says_so_where_it_can() {
        let existed = |versions: &[u64], then| {
            let last = version(*versions.last().expect("a write"));
            history(versions).existed_at(version(then), last, versions.len() as u64)
        };
        assert_eq!([4, 5, 6, 9].map(|then| existed(&[5, 9], then)), [Some(false), Some(true), Some(true), Some(true)]);
        let busy: Vec<u64> = (1_000..2_000).collect();
        assert_eq!([1, 999].map(|then| existed(&busy, then)), [None, None]);
        let floor = history(&busy).floor();
        assert_eq!(existed(&busy, floor - 1), Some(true), "the newest one that was dropped lies below the floor");
        assert_eq!(existed(&(1..=1_000).collect::<Vec<_>>(), 1), Some(true), "as many as there are versions");
    }

    #[test]
    fn a_busy_row_keeps_its_newest_versions_and_says_where_it_is_silent() {
        let list = history(&(1..=1000).collect::<Vec<_>>());
        assert_eq!(list.versions().first(), Some(&999));
        assert_eq!(list.versions().last(), Some(&list.floor()));
        assert!(list.versions().len() > 120, "one byte for each neighbouring version");
    }

    #[test]
    fn only_a_row_that_was_written_once_has_an_empty_list() {
        assert!(history(&[7]).is_empty() && !history(&[7, 8]).is_empty());
        let silent = VersionHistory { floor: 3, newest_first: vec![] };
        assert!(!silent.is_empty());
    }

    #[test]
    fn a_list_may_take_all_of_its_bytes() {
        // One for the floor, one for each neighbour.
        let full = history(&(1..=256).collect::<Vec<_>>());
        assert_eq!((full.encode(version(256)).len(), full.floor()), (VersionHistory::MAX_BYTES, 0));
        let cut = history(&(1..=257).collect::<Vec<_>>());
        assert_eq!(cut.encode(version(257)).len(), VersionHistory::MAX_BYTES / 2);
        assert_eq!((cut.versions().first(), cut.versions().last()), (Some(&256), Some(&cut.floor())));
    }

    #[test]
    fn however_little_room_there_is_the_version_that_is_superseded_stays() {
        let list =
            VersionHistory::default().superseding(version(5), version(9), 0).superseding(version(9), version(12), 0);
        assert_eq!((list.versions(), list.floor()), (&[9][..], 6));
    }

    #[test]
    fn versions_fall_stay_above_0_and_do_not_fall_below_the_floor() {
        let decode = |bytes: &[u8]| VersionHistory::decode(bytes, version(5)).map(|list| list.newest_first);
        assert_eq!(decode(&[0, 1, 3]), Ok(vec![4, 1]));
        assert_eq!(decode(&[4, 1]), Ok(vec![4]));
        for bytes in [&[0, 0][..], &[0, 1, 0], &[0, 5], &[0, 6], &[4, 2], &[4, 1, 1]] {
            assert_eq!(decode(bytes), Err(CorruptHistory), "{bytes:?}");
        }
    }
}
