//! Archived versions: superseded versions that no version history names any more. They let a pull account for every version.

use super::version_history::{before, read_varint, write_distances};
use super::{CorruptHistory, Row, RowKey, ServerVersion};

/// Superseded versions for which a version history has no room, newest first. There is at least one.
///
/// An archive never becomes false. Each of its versions was in the version history of a committed row, so no row has it
/// as its current version. A version can also be in a version history, or in a second archive. It counts once.
///
/// On the table: LEB128 varints. Each is the distance of a version to the next newer one, beginning with 0 for the newest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ArchivedVersions {
    row: Option<RowKey>,
    newest_first: Vec<ServerVersion>,
}

impl ArchivedVersions {
    /// The maximum number of versions in an archive without a row. At 8 bytes each, it fits an item of 400 KB.
    pub const MAX_ANONYMOUS: usize = 40_000;

    /// The versions that `old` names and `new`, its replacement, does not. None if there are no such versions.
    ///
    /// The version of `old` itself is never among them: if the commit fails, it is still current.
    pub fn dropped(old: &Row, new: &Row) -> Option<Self> {
        let is_silent = |version: &ServerVersion| new.history.silent_through().covers(*version);
        let dropped = old.history.versions().iter().copied().filter(is_silent);
        Self::new(Some(old.key.clone()), dropped.collect())
    }

    /// Archives for versions that some unknown row superseded, in as many archives as needed.
    pub fn anonymous(versions: impl IntoIterator<Item = ServerVersion>) -> Vec<Self> {
        let mut versions: Vec<ServerVersion> = versions.into_iter().collect();
        versions.sort_unstable_by(|one, other| other.cmp(one));
        versions.dedup();
        versions.chunks(Self::MAX_ANONYMOUS).filter_map(|chunk| Self::new(None, chunk.to_vec())).collect()
    }

    fn new(row: Option<RowKey>, newest_first: Vec<ServerVersion>) -> Option<Self> {
        (!newest_first.is_empty()).then_some(Self { row, newest_first })
    }

    /// The row that had these versions, if it is known.
    pub fn row(&self) -> Option<&RowKey> {
        self.row.as_ref()
    }

    /// The versions, newest first.
    pub fn versions(&self) -> &[ServerVersion] {
        &self.newest_first
    }

    /// The newest of them.
    pub fn newest(&self) -> ServerVersion {
        self.newest_first[0]
    }

    /// The bytes for the table. They are stored together with [`ArchivedVersions::newest`].
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_distances(&mut bytes, self.newest(), &self.newest_first);
        bytes
    }

    /// Decodes the bytes of [`ArchivedVersions::encode`]. Other bytes are an error.
    pub fn decode(row: Option<RowKey>, newest: ServerVersion, mut bytes: &[u8]) -> Result<Self, CorruptHistory> {
        let mut newer = newest;
        let mut newest_first = Vec::new();
        while !bytes.is_empty() {
            let distance = read_varint(&mut bytes)?;
            if (distance == 0) != newest_first.is_empty() {
                return Err(CorruptHistory);
            }
            newer = before(newer, distance)?;
            newest_first.push(newer);
        }
        Self::new(row, newest_first).ok_or(CorruptHistory)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::domain::{Mark, Write};

    fn version(number: u64) -> ServerVersion {
        ServerVersion::try_from(number).expect("a version")
    }

    fn write() -> Write {
        Write::Put(json!({"name": "A"}).as_object().expect("columns").clone())
    }

    /// Each state of a row that was written at these rising versions, and what was archived before it.
    fn life(versions: &[u64], max_history_bytes: usize) -> Vec<(Row, Option<ArchivedVersions>)> {
        let mut states: Vec<(Row, Option<ArchivedVersions>)> = Vec::new();
        for number in versions {
            let old = states.last().map(|(row, _)| row);
            let key = "tasks#a".parse().expect("a key");
            let row = Row::written_within(old, key, write(), version(*number), max_history_bytes);
            let archived = old.and_then(|old| ArchivedVersions::dropped(old, &row));
            states.push((row, archived));
        }
        states
    }

    proptest! {
        #[test]
        fn each_version_that_a_row_held_is_listed_or_archived_and_its_current_one_never_is(
            versions in prop::collection::btree_set(1..100_000_u64, 1..400),
            max_history_bytes in prop_oneof![Just(256_usize), 1..20_usize],
        ) {
            let versions: Vec<u64> = versions.into_iter().collect();
            let mut archive = std::collections::BTreeSet::new();
            let states = life(&versions, max_history_bytes);
            for (index, (row, archived)) in states.iter().enumerate() {
                // The archive is written before the commit. So it must not touch the state that is still in place.
                let before = index.checked_sub(1).map(|before| version(versions[before]));
                archive.extend(archived.iter().flat_map(|archived| archived.versions().iter().copied()));
                prop_assert!(before.is_none_or(|current| !archive.contains(&current)));
                let listed = row.history.versions();
                let mut held = versions[..index].iter().map(|number| version(*number));
                let known = held.all(|version| listed.contains(&version) || archive.contains(&version));
                prop_assert!(known && row.archived_above.unwrap_or(row.history.silent_through()) == Mark::NOTHING);
                prop_assert_eq!(archive.is_empty(), row.archived_above.is_none());
            }
        }

        #[test]
        fn an_archive_survives_the_table(versions in prop::collection::btree_set(1..=ServerVersion::MAX, 1..300)) {
            let archived = ArchivedVersions::anonymous(versions.iter().map(|number| version(*number)));
            prop_assert_eq!(archived.len(), 1);
            let newest = archived[0].newest();
            prop_assert_eq!(Some(&newest.get()), versions.last());
            prop_assert_eq!(ArchivedVersions::decode(None, newest, &archived[0].encode()), Ok(archived[0].clone()));
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), newest in 1..=ServerVersion::MAX) {
            let _ = ArchivedVersions::decode(None, version(newest), &bytes);
        }
    }

    #[test]
    fn a_full_history_is_cut_to_half_so_that_few_writes_archive() {
        let states = life(&(1..=1_000).collect::<Vec<_>>(), 256);
        let archived: Vec<_> = states.iter().filter_map(|(_, archived)| archived.as_ref()).collect();
        assert!((6..=8).contains(&archived.len()), "{}", archived.len());
        assert!(archived.iter().all(|archived| archived.versions().len() > 120));
        assert!(
            states[..256].iter().all(|(_, archived)| archived.is_none()),
            "it costs a row nothing that is written seldom"
        );
    }

    #[test]
    fn versions_dropped_before_there_was_an_archive_do_not_count_as_archived() {
        let mut states = life(&(1..=300).collect::<Vec<_>>(), 256);
        let (mut row, _) = states.pop().expect("a row");
        // Code without an archive writes the same row without the attribute.
        row.archived_above = None;
        let silent_through = row.history.silent_through();
        assert!(silent_through.get() >= 100);
        let last =
            (301..=600).fold(row, |row, number| Row::written(Some(&row), row.key.clone(), write(), version(number)));
        assert_eq!(last.archived_above, Some(silent_through));
    }

    #[test]
    fn an_archive_of_very_many_versions_is_split_into_items() {
        let archived = ArchivedVersions::anonymous((1..=100_000).map(|number| version(number * 80_000_000_000)));
        assert_eq!(archived.len(), 3);
        assert!(archived.iter().all(|archived| archived.encode().len() < 380 * 1024));
        assert_eq!(archived.iter().map(|archived| archived.versions().len()).sum::<usize>(), 100_000);
    }

    #[test]
    fn bytes_that_no_archive_has_are_corrupt() {
        let decode =
            |bytes: &[u8]| ArchivedVersions::decode(None, version(5), bytes).map(|archived| archived.newest_first);
        assert_eq!(decode(&[0, 1, 3]), Ok([5, 4, 1].map(version).into()));
        for bytes in [&[][..], &[1], &[0, 0], &[0, 5], &[0, 6], &[0x80]] {
            assert_eq!(decode(bytes), Err(CorruptHistory), "{bytes:?}");
        }
    }
}
