//! Splits a long interval of the index into ranges of versions, which are read in parallel.
//!
//! A page has 1 MB, and each page names where the next one begins. So reading a long interval in one go is a chain of round trips.
//! But versions are dense: the first page tells how many of them fill a page, and the rest is split into slightly smaller ranges.
//! The last range has no end, like the interval itself. The split need not be exact: a range with more than one page is read
//! further, and the proof covers everything that was read.

use shared::storage::PageCursor;

/// The maximum number of ranges that are read in parallel. Each needs memory for a page, and a connection.
const MOST: usize = 6;

/// A range of versions that may not be read completely yet.
#[derive(Debug)]
pub(crate) struct Range {
    pub(crate) after: u64,
    /// None: without an end.
    pub(crate) to: Option<u64>,
    pub(crate) cursor: Option<PageCursor>,
}

/// The ranges to read next, ascending, and where the next ranges begin.
#[derive(Debug)]
pub(crate) struct Ranges {
    pub(crate) next: Vec<Range>,
    rest: Option<u64>,
}

impl Ranges {
    /// All versions above a version.
    pub(crate) fn above(after: u64) -> Self {
        Self { next: vec![Range { after, to: None, cursor: None }], rest: None }
    }

    /// Ranges that were read to their ends are gone: goes on behind them, if there is something left.
    pub(crate) fn go_on(&mut self) -> bool {
        if self.next.is_empty()
            && let Some(after) = self.rest.take()
        {
            *self = Self::above(after);
        }
        !self.next.is_empty()
    }

    /// Are there ranges left to read before others that were read?
    pub(crate) fn has_gaps(&self) -> bool {
        self.next.iter().any(|range| range.to.is_some())
    }

    /// Nothing is left to read.
    pub(crate) fn is_empty(&self) -> bool {
        self.next.is_empty() && self.rest.is_none()
    }

    /// A page full of the versions `first..=last` of the range without an end was read, and there is more: splits what is left
    /// up to `current` into ranges that fit a page, `pages` of them at most for now.
    pub(crate) fn split(&mut self, first: u64, last: u64, current: u64, pages: usize) {
        let Some(open) = self.next.pop_if(|range| range.to.is_none()) else { return };
        let width = ((last - first + 1) * 9 / 10).max(1);
        let count = usize::try_from(current.saturating_sub(last).div_ceil(width)).unwrap_or(usize::MAX);
        let now = count.min(pages).min(MOST);
        if now < 2 {
            self.next.push(open);
            return;
        }
        let mut after = last;
        for _ in 1..now {
            self.next.push(Range { after, to: Some(after + width), cursor: None });
            after += width;
        }
        if now == count {
            self.next.push(Range { after, to: None, cursor: None });
        } else {
            self.next.push(Range { after, to: Some(after + width), cursor: None });
            self.rest = Some(after + width);
        }
    }
}

/// The ranges to read next when an interval is read from its end, which mostly does not take long: the last page alone, then
/// what lies before it in two ranges side by side, then four. The lowest one always goes down to where the interval begins, so
/// that its page leads across whatever versions no row holds, however many they are.
#[derive(Debug)]
pub(crate) struct FromTheEnd {
    pub(crate) next: Vec<Range>,
    after: u64,
    newest: u64,
    /// Up to here nothing was asked for yet.
    left: u64,
    width: u64,
    at_once: usize,
}

impl FromTheEnd {
    /// Everything above a version, up to `newest` for all that is known. No range is wider than `widest`, as many versions as
    /// some page had, but the lowest.
    pub(crate) fn above(after: u64, newest: u64, widest: u64) -> Self {
        let all = Range { after, to: None, cursor: None };
        Self { next: vec![all], after, newest, left: after, width: widest, at_once: 1 }
    }

    /// A page of each range was read: drops the ranges that were read to their ends, and goes on before them, if there is
    /// something left.
    pub(crate) fn go_on(&mut self) -> bool {
        if let Some(lowest) = self.next.pop_if(|range| range.after == self.after)
            && let Some(cursor) = lowest.cursor
        {
            self.reached(cursor.version(), lowest.to.unwrap_or(self.newest));
        }
        self.next.retain(|range| range.cursor.is_some());
        self.fill();
        !self.next.is_empty()
    }

    /// The page of the lowest range had the versions `first..=last`.
    fn reached(&mut self, first: u64, last: u64) {
        self.left = first.saturating_sub(1);
        self.width = self.width.min(last.saturating_sub(self.left));
    }

    fn fill(&mut self) {
        self.at_once = (self.at_once * 2).min(MOST);
        // A little less than a page.
        let width = (self.width / 10 * 9).max(1);
        while self.left > self.after && self.next.len() < self.at_once {
            let is_lowest = self.next.len() + 1 == self.at_once;
            let after = if is_lowest { self.after } else { self.left.saturating_sub(width).max(self.after) };
            self.next.push(Range { after, to: Some(self.left), cursor: None });
            self.left = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(ranges: &Ranges) -> Vec<(u64, Option<u64>)> {
        ends(&ranges.next)
    }

    fn ends(ranges: &[Range]) -> Vec<(u64, Option<u64>)> {
        ranges.iter().map(|range| (range.after, range.to)).collect()
    }

    #[test]
    fn what_is_left_is_split_into_ranges_of_less_than_a_page_and_the_last_has_no_end() {
        let mut ranges = Ranges::above(0);
        ranges.split(1, 1000, 3000, 100);
        assert_eq!(shown(&ranges), [(1000, Some(1900)), (1900, Some(2800)), (2800, None)]);
        assert!(ranges.has_gaps() && !ranges.is_empty());
        ranges.next.clear();
        assert!(ranges.is_empty() && !ranges.go_on());
    }

    #[test]
    fn no_more_is_read_than_fits_the_answer_and_the_rest_is_not_forgotten() {
        let mut ranges = Ranges::above(0);
        ranges.split(1, 1000, 100_000, 2);
        assert_eq!(shown(&ranges), [(1000, Some(1900)), (1900, Some(2800))]);
        ranges.next.clear();
        assert!(!ranges.has_gaps() && !ranges.is_empty() && ranges.go_on());
        assert_eq!(shown(&ranges), [(2800, None)]);
    }

    #[test]
    fn what_would_fit_one_page_or_lies_behind_the_counter_is_read_on_as_it_is() {
        for (last, current, pages) in [(1000, 1900, 9), (1000, 1000, 9), (1000, 3, 9), (1000, 9000, 1), (1000, 9000, 0)]
        {
            let mut ranges = Ranges::above(0);
            ranges.split(1, last, current, pages);
            assert_eq!(shown(&ranges), [(0, None)]);
        }
    }

    #[test]
    fn a_gap_before_the_page_does_not_make_the_ranges_wider() {
        let mut ranges = Ranges::above(0);
        ranges.split(4_294_967_300, 4_294_967_399, 4_294_967_500, 9);
        assert_eq!(shown(&ranges), [(4_294_967_399, Some(4_294_967_489)), (4_294_967_489, None)]);
    }

    /// Reads an index with pages of so many rows from its end: what was read round by round, by how many ranges.
    fn rounds(index: &[u64], after: u64, page: usize) -> Vec<(usize, Vec<u64>)> {
        let newest = index.last().copied().unwrap_or(0);
        let mut ranges = FromTheEnd::above(after, newest, u64::MAX);
        let mut rounds = vec![];
        while !ranges.next.is_empty() {
            let mut read = vec![];
            let mut reached = None;
            for range in &ranges.next {
                let last = range.to.unwrap_or(newest);
                let wanted = index.iter().rev().filter(|version| (range.after + 1..=last).contains(version));
                // Of all but the lowest one every page.
                let page = if range.after == after { page } else { usize::MAX };
                let versions: Vec<u64> = wanted.clone().take(page).copied().collect();
                if versions.len() < wanted.count() {
                    reached = versions.last().map(|first| (*first, last));
                }
                read.extend(versions);
            }
            rounds.push((ranges.next.len(), read));
            ranges.next.clear();
            if let Some((first, last)) = reached {
                ranges.reached(first, last);
            }
            ranges.fill();
        }
        rounds
    }

    #[test]
    fn from_the_end_ever_more_ranges_are_read_side_by_side_until_nothing_is_left() {
        let mut ranges = FromTheEnd::above(100, 10_000, u64::MAX);
        assert_eq!(ends(&ranges.next), [(100, None)]);
        ranges.next.clear();
        ranges.reached(9001, 10_000);
        ranges.fill();
        assert_eq!(ends(&ranges.next), [(8100, Some(9000)), (100, Some(8100))]);
        let index: Vec<u64> = (1..=10_000).collect();
        let ranges: Vec<usize> = rounds(&index, 100, 1000).iter().map(|(ranges, _)| *ranges).collect();
        assert_eq!(ranges, [1, 2, 4, 4]);
    }

    #[test]
    fn from_the_end_a_page_leads_across_a_gap_and_makes_no_range_wider() {
        // Before and behind a restore.
        let index: Vec<u64> = (1..=5_000).chain(1 << 32..(1 << 32) + 5_000).collect();
        for page in [100, 1_000, 4_900, 5_001, 6_000] {
            let rounds = rounds(&index, 0, page);
            assert!(rounds.len() <= 10_000 / page + 2, "{} rounds with pages of {page}", rounds.len());
        }
        let mut ranges = FromTheEnd::above(0, 1 << 32, 900);
        ranges.reached(4_000, 1 << 32);
        assert_eq!(ranges.width, 900);
    }

    proptest! {
        #[test]
        fn from_the_end_no_version_is_left_out_or_read_twice(
            steps in prop::collection::vec(prop_oneof![8 => 1..3_u64, 1 => 1..1_000_000_u64], 0..200),
            after in 0..300_u64,
            page in 1..50_usize,
        ) {
            let index: Vec<u64> = steps.iter().scan(0, |version, step| { *version += step; Some(*version) }).collect();
            let mut read: Vec<u64> = rounds(&index, after, page).into_iter().flat_map(|(_, read)| read).collect();
            read.sort_unstable();
            prop_assert_eq!(read, index.into_iter().filter(|version| *version > after).collect::<Vec<_>>());
        }
    }

    #[test]
    fn nothing_is_read_before_a_last_page_that_is_all_there_is() {
        assert!(!FromTheEnd::above(100, 10_000, u64::MAX).go_on());
    }
}
