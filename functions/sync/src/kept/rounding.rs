//! Chooses where a page ends, so that instances that read slightly different amounts end their pages at the same row.
//!
//! A page is found by the mark before it. If the first pages of two instances ended a few rows apart, neither instance could use
//! the other's second page. So among the last rows that fit, a page ends before the roundest number.

/// The number of rows that a page keeps of the rows with these ascending versions. The page ends in its last `part`-th. It keeps
/// at least one row, if there is any.
///
/// Between the version of its last row and the version of the next row lies a multiple of the highest power of two. The page
/// always ends at a row's own version.
pub(crate) fn rounded(versions: &[u64], part: usize) -> usize {
    let Some(last) = versions.len().checked_sub(1) else { return 0 };
    let first = last - (versions.len() / part.max(1)).min(last);
    let next = |index: usize| versions.get(index + 1).copied().unwrap_or(versions[index] + 1);
    let roundness = |index: &usize| roundest(versions[*index], next(*index));
    // If several ends are equally round, take the last one.
    (first..=last).max_by_key(roundness).map_or(versions.len(), |index| index + 1)
}

/// How often the roundest number of the range `from..to` can be halved. The range is not empty.
fn roundest(from: u64, to: u64) -> u32 {
    let last = to - 1;
    // This is the highest bit in which the number before the range and its last number differ.
    (from.saturating_sub(1) ^ last).checked_ilog2().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_ends_with_the_row_before_the_roundest_number_of_its_last_part() {
        let versions: Vec<u64> = (1..=100).collect();
        assert_eq!(rounded(&versions, 8), 96, "64 lies before the last eighth");
        assert_eq!(rounded(&versions, 2), 64);
        let gaps = [1, 2, 90, 91, 94, 97, 99];
        assert_eq!(rounded(&gaps, 2), 5, "94 is the last row up to 96");
        assert_eq!((rounded(&[], 8), rounded(&[7], 8), rounded(&[7, 8, 9], 8)), (0, 1, 3));
    }

    proptest! {
        #[test]
        fn the_roundest_number_is_found_as_by_looking_at_each(from in 1..5_000_u64, width in 1..600_u64) {
            let slow = (from..from + width).map(u64::trailing_zeros).max();
            prop_assert_eq!(Some(roundest(from, from + width)), slow);
        }

        /// Pages nearly always end at the same row, whichever of the first rows were edited since and however many rows fit.
        #[test]
        fn pages_that_differ_in_a_few_rows_end_at_the_same_one(more in 0..=30_usize, gone in prop::collection::btree_set(1..800_u64, 0..20)) {
            let end = |versions: Vec<u64>| versions[rounded(&versions, 8) - 1];
            let one = end((1..=1_060).collect());
            let other = end((1..=2_000).filter(|version| !gone.contains(version)).take(1_060 - more).collect());
            prop_assert_eq!((one, other), (1_024, 1_024));
        }
    }
}
