//! Splits a long interval of the index into ranges of versions, which are read in parallel.
//!
//! A page has 1 MB, and each page names where the next one begins. So a long interval that is read page by page needs one round
//! trip after another. But versions are dense: the first page tells how many of them fill a page, and the rest is split into
//! slightly smaller ranges. The last range has no end, like the interval itself. The split need not be exact: a range with more
//! than one page is read further, and the proof covers everything that was read.

use shared::domain::{Mark, ServerVersion, VersionSpan};
use shared::storage::PageCursor;

/// The maximum number of ranges that are read in parallel. Each needs memory for a page, and a connection.
const MAX_PARALLEL_RANGES: usize = 6;

/// A range of versions that may not be read completely yet.
#[derive(Debug)]
pub(crate) struct Range {
    pub(crate) span: VersionSpan,
    /// The place where the next page begins. It is none before the first page and after the last one.
    pub(crate) cursor: Option<PageCursor>,
}

impl Range {
    fn unread(span: VersionSpan) -> Self {
        Self { span, cursor: None }
    }
}

/// The ranges to read next, ascending, and where the next ranges begin.
#[derive(Debug)]
pub(crate) struct Ranges {
    pub(crate) next: Vec<Range>,
    rest: Option<Mark>,
}

impl Ranges {
    /// Ranges that have all versions above a mark.
    pub(crate) fn above(after: Mark) -> Self {
        Self { next: vec![Range::unread(VersionSpan::above(after))], rest: None }
    }

    /// Continues after the ranges, if all of them were read to their ends. Returns whether there is something to read.
    pub(crate) fn go_on(&mut self) -> bool {
        if self.next.is_empty()
            && let Some(after) = self.rest.take()
        {
            *self = Self::above(after);
        }
        !self.next.is_empty()
    }

    /// Whether a range is unfinished that has a range after it.
    pub(crate) fn has_gaps(&self) -> bool {
        self.next.iter().any(|range| range.span.has_end())
    }

    /// Whether nothing is left to read.
    pub(crate) fn is_empty(&self) -> bool {
        self.next.is_empty() && self.rest.is_none()
    }

    /// Splits what is left of the range without an end, up to `current`, into ranges that fit a page: at most `pages` of them
    /// for now. A full page of it was just read, which has the versions `first..=last`.
    pub(crate) fn split(&mut self, first: ServerVersion, last: ServerVersion, current: ServerVersion, pages: usize) {
        let Some(open) = self.next.pop_if(|range| !range.span.has_end()) else { return };
        // Take nine tenths, because the next rows may be a little larger.
        let width = (versions_in(first, last) * 9 / 10).max(1);
        let left = Mark::from(current).above(last.into());
        let count = usize::try_from(left.div_ceil(width)).unwrap_or(usize::MAX);
        let now = count.min(pages).min(MAX_PARALLEL_RANGES);
        if now < 2 {
            self.next.push(open);
            return;
        }
        let mut after = Mark::from(last);
        for _ in 1..now {
            after = self.push(after, width);
        }
        if now == count {
            self.next.push(Range::unread(VersionSpan::above(after)));
        } else {
            self.rest = Some(self.push(after, width));
        }
    }

    /// Adds a range of this many versions, and returns where it ends.
    fn push(&mut self, after: Mark, width: u64) -> Mark {
        let through = after.plus(width);
        self.next.push(Range::unread(VersionSpan { after, through }));
        through
    }
}

/// The number of versions from `first` to `last`.
pub(crate) fn versions_in(first: ServerVersion, last: ServerVersion) -> u64 {
    Mark::from(last).above(first.into()) + 1
}

/// The ranges to read next when an interval is read from its end. Few rounds are mostly enough. The first round has the last page
/// alone, the next one the two ranges before it in parallel, then four. The lowest range always goes down to the start of the
/// interval. So its page leads across a gap, however many versions no row has.
#[derive(Debug)]
pub(crate) struct FromTheEnd {
    pub(crate) next: Vec<Range>,
    after: Mark,
    newest: Mark,
    /// The version up to which nothing was read yet.
    left: Mark,
    width: u64,
    at_once: usize,
}

impl FromTheEnd {
    /// Ranges for everything above a mark. `newest` is the newest version known. Except for the lowest one, no range is wider
    /// than `widest`, the number of versions on some page.
    pub(crate) fn above(after: Mark, newest: Mark, widest: u64) -> Self {
        let all = Range::unread(VersionSpan::above(after));
        Self { next: vec![all], after, newest, left: after, width: widest, at_once: 1 }
    }

    /// Drops the ranges that were read to their ends, and adds ranges before them, if a page of each range was read. Returns
    /// whether there is something to read.
    pub(crate) fn go_on(&mut self) -> bool {
        if let Some(lowest) = self.next.pop_if(|range| range.span.after == self.after)
            && let Some(cursor) = lowest.cursor
        {
            let through = if lowest.span.has_end() { lowest.span.through } else { self.newest };
            self.reached(cursor.version().map_or(Mark::NOTHING, Mark::from), through);
        }
        self.next.retain(|range| range.cursor.is_some());
        self.fill();
        !self.next.is_empty()
    }

    /// The page of the lowest range had the versions from `first` to `last`.
    fn reached(&mut self, first: Mark, last: Mark) {
        self.left = first.minus(1);
        self.width = self.width.min(last.above(self.left));
    }

    fn fill(&mut self) {
        self.at_once = (self.at_once * 2).min(MAX_PARALLEL_RANGES);
        // Take nine tenths of a page. A width that is not known yet must not overflow.
        let width = (self.width / 10 * 9).max(1);
        while self.left > self.after && self.next.len() < self.at_once {
            let is_lowest = self.next.len() + 1 == self.at_once;
            let after = if is_lowest { self.after } else { self.left.minus(width).max(self.after) };
            self.next.push(Range::unread(VersionSpan { after, through: self.left }));
            self.left = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{mark, version};

    fn shown(ranges: &Ranges) -> Vec<(u64, Option<u64>)> {
        ends(&ranges.next)
    }

    fn ends(ranges: &[Range]) -> Vec<(u64, Option<u64>)> {
        let end = |span: VersionSpan| span.has_end().then_some(span.through.get());
        ranges.iter().map(|Range { span, .. }| (span.after.get(), end(*span))).collect()
    }

    #[test]
    fn what_is_left_is_split_into_ranges_of_less_than_a_page_and_the_last_has_no_end() {
        let mut ranges = Ranges::above(Mark::NOTHING);
        ranges.split(version(1), version(1000), version(3000), 100);
        assert_eq!(shown(&ranges), [(1000, Some(1900)), (1900, Some(2800)), (2800, None)]);
        assert!(ranges.has_gaps() && !ranges.is_empty());
        ranges.next.clear();
        assert!(ranges.is_empty() && !ranges.go_on());
    }

    #[test]
    fn no_more_is_read_than_fits_the_answer_and_the_rest_is_not_forgotten() {
        let mut ranges = Ranges::above(Mark::NOTHING);
        ranges.split(version(1), version(1000), version(100_000), 2);
        assert_eq!(shown(&ranges), [(1000, Some(1900)), (1900, Some(2800))]);
        ranges.next.clear();
        assert!(!ranges.has_gaps() && !ranges.is_empty() && ranges.go_on());
        assert_eq!(shown(&ranges), [(2800, None)]);
    }

    #[test]
    fn an_interval_that_fits_one_page_or_ends_at_the_counter_is_not_split() {
        for (last, current, pages) in [(1000, 1900, 9), (1000, 1000, 9), (1000, 3, 9), (1000, 9000, 1), (1000, 9000, 0)]
        {
            let mut ranges = Ranges::above(Mark::NOTHING);
            ranges.split(version(1), version(last), version(current), pages);
            assert_eq!(shown(&ranges), [(0, None)]);
        }
    }

    #[test]
    fn a_gap_before_the_page_does_not_make_the_ranges_wider() {
        let mut ranges = Ranges::above(Mark::NOTHING);
        ranges.split(version(4_294_967_300), version(4_294_967_399), version(4_294_967_500), 9);
        assert_eq!(shown(&ranges), [(4_294_967_399, Some(4_294_967_489)), (4_294_967_489, None)]);
    }

    /// Reads an index with pages of this many rows from its end. Returns what was read in each round, and by how many ranges.
    fn rounds(index: &[u64], after: u64, page: usize) -> Vec<(usize, Vec<u64>)> {
        let newest = index.last().copied().unwrap_or(0);
        let mut ranges = FromTheEnd::above(mark(after), mark(newest), u64::MAX);
        let mut rounds = vec![];
        while !ranges.next.is_empty() {
            let mut read = vec![];
            let mut reached = None;
            for range in &ranges.next {
                let (first, last) = (range.span.after.get() + 1, range.span.through.get().min(newest));
                let wanted = index.iter().rev().filter(|version| (first..=last).contains(version));
                // Every page of all ranges but the lowest one.
                let page = if range.span.after == mark(after) { page } else { usize::MAX };
                let versions: Vec<u64> = wanted.clone().take(page).copied().collect();
                if versions.len() < wanted.count() {
                    reached = versions.last().map(|first| (*first, last));
                }
                read.extend(versions);
            }
            rounds.push((ranges.next.len(), read));
            ranges.next.clear();
            if let Some((first, last)) = reached {
                ranges.reached(mark(first), mark(last));
            }
            ranges.fill();
        }
        rounds
    }

    #[test]
    fn from_the_end_ever_more_ranges_are_read_side_by_side_until_nothing_is_left() {
        let mut ranges = FromTheEnd::above(mark(100), mark(10_000), u64::MAX);
        assert_eq!(ends(&ranges.next), [(100, None)]);
        ranges.next.clear();
        ranges.reached(mark(9001), mark(10_000));
        ranges.fill();
        assert_eq!(ends(&ranges.next), [(8100, Some(9000)), (100, Some(8100))]);
        let index: Vec<u64> = (1..=10_000).collect();
        let ranges: Vec<usize> = rounds(&index, 100, 1000).iter().map(|(ranges, _)| *ranges).collect();
        assert_eq!(ranges, [1, 2, 4, 4]);
    }

    #[test]
    fn from_the_end_a_page_leads_across_a_gap_and_makes_no_range_wider() {
        // Versions before and after a restore.
        let index: Vec<u64> = (1..=5_000).chain(1 << 32..(1 << 32) + 5_000).collect();
        for page in [100, 1_000, 4_900, 5_001, 6_000] {
            let rounds = rounds(&index, 0, page);
            assert!(rounds.len() <= 10_000 / page + 2, "{} rounds with pages of {page}", rounds.len());
        }
        let mut ranges = FromTheEnd::above(mark(0), mark(1 << 32), 900);
        ranges.reached(mark(4_000), mark(1 << 32));
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
        assert!(!FromTheEnd::above(mark(100), mark(10_000), u64::MAX).go_on());
    }
}
