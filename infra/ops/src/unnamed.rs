//! Finds superseded versions that nothing names any more: neither a row, nor its version history, nor the archive.
//!
//! Rows whose histories were cut before the archive existed have such versions. A pull that needs one of them reads all rows of
//! the project. Once they are archived, it does not.

use shared::domain::{ArchivedVersions, Counter, Row, ServerVersion};

/// Ranges of versions, both ends included.
pub(crate) type Ranges = Vec<(u64, u64)>;

/// The versions up to the counter that some row superseded and that nothing names.
///
/// `rows` are all rows of the project, each read after the counter; `archive` may have been read at any time. None if the rows do
/// not account for every version up to the counter, because nothing is known of the missing versions then.
pub(crate) fn unnamed<'a>(
    counter: &Counter,
    rows: impl IntoIterator<Item = &'a Row>,
    archive: &[ArchivedVersions],
) -> Option<Vec<ServerVersion>> {
    let current = counter.current.get();
    let mut named: Ranges = counter.skipped.clone();
    let mut accounted: u64 = size(&counter.skipped);
    for row in rows {
        // Above the counter the history must be complete. Otherwise nobody knows how many of the row's versions are up to the
        // counter.
        if row.history.silent_through() > counter.current.into() {
            return None;
        }
        let versions = || row.versions().map(ServerVersion::get);
        let above = versions().filter(|version| *version > current).count() as u64;
        accounted += row.revision_count.checked_sub(above)?;
        named.extend(versions().filter(|version| *version <= current).map(|version| (version, version)));
    }
    if accounted != current {
        return None;
    }
    let archived = archive.iter().flat_map(|archived| archived.versions()).map(|version| version.get());
    named.extend(archived.filter(|version| *version <= current).map(|version| (version, version)));
    named.sort_unstable();
    let missing = gaps(&named, 1, current).into_iter().flat_map(|(first, last)| first..=last);
    missing.map(|version| ServerVersion::try_from(version).ok()).collect()
}

/// The ranges from `floor` to `current` that none of the sorted `covered` ranges covers.
pub(crate) fn gaps(covered: &[(u64, u64)], floor: u64, current: u64) -> Ranges {
    let mut gaps = Vec::new();
    let mut next = floor;
    for (first, last) in covered {
        if *first > next {
            gaps.push((next, (first - 1).min(current)));
        }
        next = next.max(last + 1);
    }
    if next <= current {
        gaps.push((next, current));
    }
    gaps
}

/// The number of versions in ranges that do not overlap.
pub(crate) fn size(ranges: &[(u64, u64)]) -> u64 {
    ranges.iter().map(|(first, last)| last + 1 - first).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Map;
    use shared::domain::{RowKey, Write};

    use super::*;

    fn version(number: u64) -> ServerVersion {
        ServerVersion::try_from(number).expect("a version")
    }

    /// Rows after commits that each wrote one of them, with short version histories. Also returns the earlier copies of each row.
    fn written(writes: &[usize], max_history_bytes: usize) -> Vec<Vec<Row>> {
        let mut states: Vec<Vec<Row>> = vec![vec![]];
        for (number, row) in (1..).zip(writes) {
            let mut rows = states.last().expect("one at least").clone();
            let key: RowKey = format!("tasks#t{row}").parse().expect("a key");
            let at = rows.iter().position(|row| row.key == key);
            let put = Write::Put(Map::new());
            let new = Row::written_within(at.map(|at| &rows[at]), key, put, version(number), max_history_bytes);
            match at {
                Some(at) => rows[at] = new,
                None => rows.push(new),
            }
            states.push(rows);
        }
        states
    }

    proptest! {
        #[test]
        fn under_traffic_only_versions_that_are_superseded_for_certain_are_named(
            writes in prop::collection::vec(0..4_usize, 1..120),
            max_history_bytes in 2..12_usize,
            from in any::<prop::sample::Index>(),
            read_at in prop::collection::vec(any::<prop::sample::Index>(), 4),
        ) {
            let states = written(&writes, max_history_bytes);
            // The counter is read first. Each row is read at a later moment of its own, and may have been created meanwhile.
            let from = 1 + from.index(states.len() - 1);
            let mut read: Vec<Row> = Vec::new();
            for (number, at) in read_at.iter().enumerate() {
                let state = &states[from + at.index(states.len() - from)];
                let key: RowKey = format!("tasks#t{number}").parse().expect("a key");
                read.extend(state.iter().find(|row| row.key == key).cloned());
            }
            let counter = Counter::at(version(from as u64));
            let found = unnamed(&counter, &read, &[]);
            let silent_above = read.iter().any(|row| row.history.silent_through().get() > from as u64);
            prop_assert_eq!(found.is_none(), silent_above, "the sum holds whenever the lists reach far enough");
            let Some(found) = found else { return Ok(()) };
            let current: Vec<u64> = states[from].iter().map(|row| row.version.get()).collect();
            for version in &found {
                let holder = read.iter().any(|row| row.version == *version);
                prop_assert!(!holder && version.get() <= from as u64);
                // A version may be current when the counter is read, and superseded afterwards. The row that was read is newer
                // then, and its history names the version.
                if current.contains(&version.get()) {
                    prop_assert!(!read.iter().any(|row| row.version.get() <= from as u64 && row.version == *version));
                }
            }
            // Once these are archived, nothing is missing any more.
            let archive = ArchivedVersions::anonymous(found);
            prop_assert_eq!(unnamed(&counter, &read, &archive), Some(vec![]));
        }
    }

    #[test]
    fn a_row_that_was_not_read_or_is_older_than_the_counter_proves_nothing() {
        let states = written(&[0, 1, 0, 0, 0, 0, 1], 3);
        let (last, before) = (&states[7], &states[6]);
        let counter = Counter::at(version(7));
        assert!(unnamed(&counter, last, &[]).is_some_and(|versions| !versions.is_empty()));
        assert_eq!(unnamed(&counter, before, &[]), None, "a torn reading");
        assert_eq!(unnamed(&counter, &last[..1], &[]), None, "a row is missing");
    }

    #[test]
    fn skipped_versions_do_not_count_as_dropped() {
        let states = written(&[0, 1, 0, 0, 0, 0], 3);
        let counter = Counter { skipped: vec![(7, 1 << 40)], ..Counter::at(version(1 << 40)) };
        let versions = unnamed(&counter, states.last().expect("rows"), &[]).expect("a proof");
        assert!(!versions.is_empty() && versions.iter().all(|version| version.get() < 7));
    }

    #[test]
    fn a_list_that_is_silent_above_the_counter_does_not_make_up_for_a_row_that_was_read_too_early() {
        let states = written(&[0, 1, 1, 0, 0, 0], 2);
        // The often written row has four versions, and 5 and 6 are known to be above 3. The other row is as it was at 2.
        let read = [states[6][0].clone(), states[2][1].clone()];
        assert_eq!((read[0].revision_count, read[0].history.versions()), (4, &[version(5)][..]));
        assert_eq!(unnamed(&Counter::at(version(3)), &read, &[]), None);
    }
}
