//! The version history of a row, which the proof of a pull needs.

use super::{Mark, ServerVersion};

/// The version history of a row: the versions that it had before its current one, newest first.
///
/// It has little room, so the oldest ones may have been dropped. It is silent up to a mark, and names every version above it.
///
/// ```
/// use shared::domain::{Mark, ServerVersion, VersionHistory};
///
/// let [second, fifth, ninth] = [2, 5, 9].map(|number| ServerVersion::try_from(number).expect("a version"));
/// // A row that was written at 2, at 5 and at 9.
/// let history = VersionHistory::default().superseding(second, fifth, VersionHistory::MAX_BYTES);
/// let history = history.superseding(fifth, ninth, VersionHistory::MAX_BYTES);
/// assert_eq!(history.versions(), [fifth, second]);
/// assert_eq!(history.silent_through(), Mark::NOTHING);
/// assert_eq!(VersionHistory::decode(&history.encode(ninth), ninth), Ok(history));
/// ```
///
/// On the table: LEB128 varints. The first is the floor, the version from which on the history is complete. It is 0 if
/// the history is always complete. Then each version follows as its distance to the next newer one, beginning with the
/// distance to the row's current version. The history has at most [`VersionHistory::MAX_BYTES`]. A longer one is cut to
/// half of that, and the versions that it loses are archived before, see [`ArchivedVersions`](super::ArchivedVersions).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionHistory {
    silent_through: Mark,
    newest_first: Vec<ServerVersion>,
}

/// Bytes that are not a valid version history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the version history is corrupt")]
pub struct CorruptHistory;

impl VersionHistory {
    /// The maximum size on the table, so that a row with many writes does not enlarge the index.
    pub const MAX_BYTES: usize = 256;

    /// The listed versions, newest first.
    pub fn versions(&self) -> &[ServerVersion] {
        &self.newest_first
    }

    /// The history does not say which versions up to here the row had. [`Mark::NOTHING`] if it is complete.
    pub fn silent_through(&self) -> Mark {
        self.silent_through
    }

    /// Whether the row never had another version.
    pub fn is_empty(&self) -> bool {
        self.newest_first.is_empty() && self.silent_through == Mark::NOTHING
    }

    /// Whether a row with this history, the version `current` and this revision count existed at the version `then`. None
    /// if the history does not say.
    pub fn existed_at(&self, then: ServerVersion, current: ServerVersion, revision_count: u64) -> Option<bool> {
        let oldest_known = self.newest_first.last().copied().unwrap_or(current);
        if oldest_known <= then {
            return Some(true);
        }
        let dropped = revision_count.saturating_sub(self.newest_first.len() as u64 + 1);
        if dropped == 0 {
            return Some(false);
        }
        // The history is silent about so many versions above `then`. Of more dropped versions than that, one at least is not above it.
        let above = self.silent_through.above(then.into());
        if dropped > above { Some(true) } else { None }
    }

    /// The history after `new` supersedes `old`, the row's version so far. If it would exceed `max_bytes`, the oldest versions are
    /// dropped until half of that is left. So it takes many writes until it is full again.
    ///
    /// `old` is never dropped. Dropped versions must be archived before the commit, and until then `old` is the current version.
    pub fn superseding(&self, old: ServerVersion, new: ServerVersion, max_bytes: usize) -> Self {
        debug_assert!(old < new && self.newest_first.first().is_none_or(|v| *v < old));
        let mut next = Self {
            silent_through: self.silent_through,
            newest_first: std::iter::once(old).chain(self.newest_first.iter().copied()).collect(),
        };
        if next.encode(new).len() > max_bytes {
            while next.newest_first.len() > 1 && next.encode(new).len() > max_bytes / 2 {
                next.silent_through = next.newest_first.pop().map_or(next.silent_through, Mark::from);
            }
        }
        next
    }

    /// The bytes for the table, for a row whose current version is `current`.
    pub fn encode(&self, current: ServerVersion) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_varint(&mut bytes, self.silent_through.floor());
        write_distances(&mut bytes, current, &self.newest_first);
        bytes
    }

    /// Decodes the bytes of [`VersionHistory::encode`]. Other bytes are an error.
    pub fn decode(mut bytes: &[u8], current: ServerVersion) -> Result<Self, CorruptHistory> {
        let silent_through = Mark::below_floor(read_varint(&mut bytes)?).map_err(|_| CorruptHistory)?;
        let mut newer = current;
        let mut newest_first = Vec::new();
        while !bytes.is_empty() {
            let distance = read_varint(&mut bytes)?;
            newer = match before(newer, distance)? {
                version if distance > 0 && !silent_through.covers(version) => version,
                _ => return Err(CorruptHistory),
            };
            newest_first.push(newer);
        }
        Ok(Self { silent_through, newest_first })
    }
}

/// Appends each version as its distance to the next newer one, which for the first is `newer`.
pub(super) fn write_distances(bytes: &mut Vec<u8>, mut newer: ServerVersion, newest_first: &[ServerVersion]) {
    for version in newest_first {
        write_varint(bytes, newer.get() - version.get());
        newer = *version;
    }
}

/// The version that lies so far before another one.
pub(super) fn before(newer: ServerVersion, distance: u64) -> Result<ServerVersion, CorruptHistory> {
    let version = newer.get().checked_sub(distance).ok_or(CorruptHistory)?;
    version.try_into().map_err(|_| CorruptHistory)
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
            let expected: Vec<_> = versions[..versions.len() - 1]
                .iter().rev().map(|v| version(*v)).filter(|v| !list.silent_through().covers(*v)).collect();
            prop_assert_eq!(list.versions(), expected);
            prop_assert_eq!(list.silent_through() == Mark::NOTHING, list.versions().len() == versions.len() - 1);
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
            prop_assert!(said.is_some() || list.silent_through().covers(version(then)));
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
        let silent_through = history(&busy).silent_through().get();
        assert_eq!(existed(&busy, silent_through), Some(true), "the newest one that was dropped is there");
        assert_eq!(existed(&(1..=1_000).collect::<Vec<_>>(), 1), Some(true), "as many as there are versions");
    }

    #[test]
    fn a_busy_row_keeps_its_newest_versions_and_says_where_it_is_silent() {
        let list = history(&(1..=1000).collect::<Vec<_>>());
        assert_eq!(list.versions().first(), Some(&version(999)));
        assert_eq!(list.versions().last(), list.silent_through().plus(1).version().as_ref());
        assert!(list.versions().len() > 120, "one byte for each neighbouring version");
    }

    #[test]
    fn only_a_row_that_was_written_once_has_an_empty_list() {
        assert!(history(&[7]).is_empty() && !history(&[7, 8]).is_empty());
        let silent = VersionHistory { silent_through: version(2).into(), newest_first: vec![] };
        assert!(!silent.is_empty());
    }

    #[test]
    fn a_list_may_take_all_of_its_bytes() {
        // The list has one varint for the floor, and one for each neighbour.
        let full = history(&(1..=256).collect::<Vec<_>>());
        assert_eq!(
            (full.encode(version(256)).len(), full.silent_through()),
            (VersionHistory::MAX_BYTES, Mark::NOTHING)
        );
        let cut = history(&(1..=257).collect::<Vec<_>>());
        assert_eq!(cut.encode(version(257)).len(), VersionHistory::MAX_BYTES / 2);
        let oldest = cut.silent_through().plus(1).version();
        assert_eq!((cut.versions().first(), cut.versions().last()), (Some(&version(256)), oldest.as_ref()));
    }

    #[test]
    fn however_little_room_there_is_the_version_that_is_superseded_stays() {
        let list =
            VersionHistory::default().superseding(version(5), version(9), 0).superseding(version(9), version(12), 0);
        assert_eq!((list.versions(), list.silent_through()), (&[version(9)][..], version(5).into()));
    }

    #[test]
    fn versions_fall_stay_above_0_and_do_not_fall_below_the_floor() {
        let decode = |bytes: &[u8]| VersionHistory::decode(bytes, version(5)).map(|list| list.newest_first);
        assert_eq!(decode(&[0, 1, 3]), Ok([4, 1].map(version).into()));
        assert_eq!(decode(&[4, 1]), Ok(vec![version(4)]));
        for bytes in [&[0, 0][..], &[0, 1, 0], &[0, 5], &[0, 6], &[4, 2], &[4, 1, 1]] {
            assert_eq!(decode(bytes), Err(CorruptHistory), "{bytes:?}");
        }
    }
}
