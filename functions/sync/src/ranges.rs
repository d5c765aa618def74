//! How a long interval of the index is read: in ranges of versions, side by side.
//!
//! A page has 1 MB, and each one names where the next begins, so that a long interval read in one go is a chain of round
//! trips. But versions are dense: the first page tells how many of them fill one, and the rest is split into ranges of a
//! little less. The last range has no end, like the interval itself. Nothing relies on the split being right: a range that
//! takes more than a page is read on, and what is proven is proven from all that was read.

use shared::storage::PageCursor;

/// So many ranges are read at once. Each holds a page in memory, and has a connection.
const MOST: usize = 6;

/// A range of versions of which some may be left to read.
#[derive(Debug)]
pub(crate) struct Range {
    pub(crate) after: u64,
    /// None: without an end.
    pub(crate) to: Option<u64>,
    pub(crate) cursor: Option<PageCursor>,
}

/// The ranges to read next, ascending, and where to go on behind them.
#[derive(Debug)]
pub(crate) struct Ranges {
    pub(crate) next: Vec<Range>,
    rest: Option<u64>,
}

impl Ranges {
    /// Everything above a version.
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
/// what lies before it in two ranges side by side, then four.
#[derive(Debug)]
pub(crate) struct FromTheEnd {
    pub(crate) next: Vec<Range>,
    after: u64,
    /// Up to here nothing was read yet.
    left: u64,
    width: u64,
    at_once: usize,
}

impl FromTheEnd {
    /// Everything above a version.
    pub(crate) fn above(after: u64) -> Self {
        let all = Range { after, to: None, cursor: None };
        Self { next: vec![all], after, left: after, width: 1, at_once: 1 }
    }

    /// A page of each range was read, `newest` is the last version of all: drops the ranges that were read to their ends, and
    /// goes on before them, if there is something left.
    pub(crate) fn go_on(&mut self, newest: u64) -> bool {
        let last_page = self.next.pop_if(|range| range.to.is_none());
        if let Some(cursor) = last_page.and_then(|range| range.cursor) {
            self.split(cursor.version(), newest);
        }
        self.next.retain(|range| range.cursor.is_some());
        if self.next.is_empty() {
            self.at_once = (self.at_once * 2).min(MOST);
            while self.left > self.after && self.next.len() < self.at_once {
                let after = self.left.saturating_sub(self.width).max(self.after);
                self.next.push(Range { after, to: Some(self.left), cursor: None });
                self.left = after;
            }
        }
        !self.next.is_empty()
    }

    /// The versions `first..=newest` fill a page: splits what lies before them into ranges of a little less.
    fn split(&mut self, first: u64, newest: u64) {
        self.left = first.saturating_sub(1);
        self.width = (newest.saturating_sub(self.left) * 9 / 10).max(1);
    }
}

#[cfg(test)]
mod tests {
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
    #[test]
    fn from_the_end_ever_more_ranges_are_read_side_by_side_until_nothing_is_left() {
        let mut ranges = FromTheEnd::above(100);
        assert_eq!(ends(&ranges.next), [(100, None)]);
        ranges.split(9001, 10_000);
        assert!(ranges.go_on(10_000));
        assert_eq!(ends(&ranges.next), [(8100, Some(9000)), (7200, Some(8100))]);
        let mut rounds = vec![];
        while {
            ranges.next.clear();
            ranges.go_on(10_000)
        } {
            rounds.push(ranges.next.len());
        }
        assert_eq!(rounds, [4, 4]);
    }

    #[test]
    fn from_the_end_no_version_is_left_out_or_read_twice() {
        let mut ranges = FromTheEnd::above(7);
        ranges.split(1000, 1004);
        let mut left = 999;
        while ranges.go_on(1004) {
            for range in ranges.next.drain(..) {
                assert!(range.to == Some(left) && range.after < left, "{range:?} does not follow on {left}");
                left = range.after;
            }
        }
        assert_eq!(left, 7);
    }

    #[test]
    fn nothing_is_read_before_a_last_page_that_is_all_there_is() {
        assert!(!FromTheEnd::above(100).go_on(10_000));
    }
}
