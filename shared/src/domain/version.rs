//! Versions and marks: the values of a project's counter, and how much of a project a device has.

use std::fmt;
use std::num::NonZeroU64;

/// The value of a project's counter when a row was last written: 1 to 2^53 - 1.
///
/// Each project has one counter. The first row ever written gets 1, every later write of a row gets the next value, and no two
/// rows ever share one. The version is also the token for optimistic concurrency (`ETag`). It ends at 2^53 - 1 because clients
/// store it as a JavaScript number. Rows get only versions below 2^52.
///
/// ```
/// use shared::domain::ServerVersion;
///
/// assert_eq!(ServerVersion::FIRST.plus(41)?.get(), 42);
/// assert!(ServerVersion::try_from(0).is_err() && ServerVersion::try_from(1 << 53).is_err());
/// # Ok::<(), shared::domain::InvalidVersion>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerVersion(NonZeroU64);

/// A number outside 1 to 2^53 - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a version must be an integer from 1 to 9007199254740991")]
pub struct InvalidVersion;

impl ServerVersion {
    /// The version of the first row ever written in a project.
    pub const FIRST: Self = Self(NonZeroU64::MIN);
    /// The largest integer that a JavaScript number holds exactly.
    pub const MAX: u64 = (1 << 53) - 1;

    /// The version as a number.
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// The version `n` writes later. An error above 2^52 - 1, because the marks of [`WipePlace`] begin there.
    pub fn plus(self, n: u64) -> Result<Self, InvalidVersion> {
        Self::to_give(self.get().saturating_add(n))
    }

    /// A version for a row that will be written. An error above 2^52 - 1.
    pub fn to_give(number: u64) -> Result<Self, InvalidVersion> {
        if number < WipePlace::FIRST_MARK { Self::try_from(number) } else { Err(InvalidVersion) }
    }

    /// The next version. An error above 2^52 - 1.
    pub fn next(self) -> Result<Self, InvalidVersion> {
        self.plus(1)
    }
}

impl TryFrom<u64> for ServerVersion {
    type Error = InvalidVersion;

    fn try_from(number: u64) -> Result<Self, InvalidVersion> {
        match NonZeroU64::new(number) {
            Some(version) if number <= Self::MAX => Ok(Self(version)),
            _ => Err(InvalidVersion),
        }
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Everything up to a version, that one included: 0 to 2^53 - 1, where 0 is nothing.
///
/// A device sends the mark up to which it has all rows. A mark of 2^52 or more is no version but a [`WipePlace`].
///
/// ```
/// use shared::domain::{Mark, ServerVersion};
///
/// let fifth = ServerVersion::try_from(5)?;
/// let mark = Mark::from(fifth);
/// assert!(mark.covers(ServerVersion::FIRST) && mark.covers(fifth) && !mark.covers(fifth.next()?));
/// assert!(!Mark::NOTHING.covers(ServerVersion::FIRST));
/// # Ok::<(), shared::domain::InvalidVersion>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark(u64);

impl Mark {
    /// The mark of a device without rows, which gets a full sync.
    pub const NOTHING: Self = Self(0);
    /// Every version there can be.
    pub const EVERYTHING: Self = Self(ServerVersion::MAX);

    /// The mark as a number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The last version that the mark covers. [`Mark::NOTHING`] has none.
    pub fn version(self) -> Option<ServerVersion> {
        self.0.try_into().ok()
    }

    /// Whether the version is at or below the mark.
    pub fn covers(self, version: ServerVersion) -> bool {
        version.get() <= self.0
    }

    /// The mark this many versions further on, at most [`Mark::EVERYTHING`].
    #[must_use]
    pub fn plus(self, versions: u64) -> Self {
        Self(self.0.saturating_add(versions)).min(Self::EVERYTHING)
    }

    /// The mark this many versions before, at least [`Mark::NOTHING`].
    #[must_use]
    pub fn minus(self, versions: u64) -> Self {
        Self(self.0.saturating_sub(versions))
    }

    /// How many versions lie above `other`, up to this mark. 0 if this mark is not above `other`.
    pub fn above(self, other: Self) -> u64 {
        self.0.saturating_sub(other.0)
    }

    /// The mark that ends below the floor `floor`, see [`Mark::floor`].
    pub fn below_floor(floor: u64) -> Result<Self, InvalidVersion> {
        floor.saturating_sub(1).try_into()
    }

    /// The first version above the mark, as the table notes it: 0, and not 1, where that is every version.
    pub fn floor(self) -> u64 {
        if self == Self::NOTHING { 0 } else { self.0 + 1 }
    }

    /// How far the device is in deleting a project, if the mark is such a place and not a version.
    pub fn wipe_place(self) -> Option<WipePlace> {
        let place = self.0.checked_sub(WipePlace::FIRST_MARK)?;
        Some(WipePlace { restores: place >> WipePlace::ROW_BITS, rows: place & WipePlace::MAX_ROWS })
    }
}

/// How far a device is in deleting a project that it can no longer read: the number of the project's rows, in key order, whose ids
/// it has received.
///
/// A client sends back only the last mark, so the mark carries the place, as a number from 2^52 up, which no counter reaches. Rows
/// are never removed, and a new row only moves later rows further back. So all rows before the place have been sent, whatever is
/// written meanwhile. A restored table may lack rows, so a place is valid only for the table that it was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WipePlace {
    restores: u64,
    rows: u64,
}

impl WipePlace {
    /// The mark of the first place.
    pub const FIRST_MARK: u64 = 1 << 52;
    const ROW_BITS: u32 = 32;
    const MAX_ROWS: u64 = (1 << Self::ROW_BITS) - 1;

    /// The place after `rows` rows of a project, in a table in which devices with marks up to `resync_through` need a full sync.
    pub fn new(resync_through: Option<ServerVersion>, rows: u64) -> Self {
        Self { restores: Self::restores_of(resync_through), rows: rows.min(Self::MAX_ROWS) }
    }

    /// Each restore raises the counter by at least 2^32, and so raises this number.
    fn restores_of(resync_through: Option<ServerVersion>) -> u64 {
        resync_through.map_or(0, |through| through.get() >> Self::ROW_BITS)
    }

    /// Whether the place was made for the table with this `resync_through`.
    pub fn is_since(self, resync_through: Option<ServerVersion>) -> bool {
        self.restores == Self::restores_of(resync_through)
    }

    /// The number of rows before the place.
    pub fn rows(self) -> u64 {
        self.rows
    }

    /// The mark that carries the place.
    pub fn mark(self) -> Mark {
        Mark(Self::FIRST_MARK + (self.restores << Self::ROW_BITS) + self.rows)
    }
}

impl From<ServerVersion> for Mark {
    fn from(version: ServerVersion) -> Self {
        Self(version.get())
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The versions above one mark, up to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionSpan {
    /// The span has only versions above this mark.
    pub after: Mark,
    /// The span has only versions that this mark covers.
    pub through: Mark,
}

impl VersionSpan {
    /// All versions above a mark, however new.
    pub fn above(after: Mark) -> Self {
        Self { after, through: Mark::EVERYTHING }
    }

    /// Whether there may be versions above it.
    pub fn has_end(self) -> bool {
        self.through < Mark::EVERYTHING
    }

    /// Whether the version is in the span.
    pub fn contains(self, version: ServerVersion) -> bool {
        !self.after.covers(version) && self.through.covers(version)
    }
}

impl TryFrom<u64> for Mark {
    type Error = InvalidVersion;

    fn try_from(number: u64) -> Result<Self, InvalidVersion> {
        if number <= ServerVersion::MAX { Ok(Self(number)) } else { Err(InvalidVersion) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_starts_at_1_and_ends_at_2_to_the_53_less_1() {
        assert_eq!(ServerVersion::try_from(0), Err(InvalidVersion));
        assert_eq!(ServerVersion::try_from(1), Ok(ServerVersion::FIRST));
        let last = ServerVersion::try_from(9_007_199_254_740_991).expect("the last one");
        assert_eq!(last.next(), Err(InvalidVersion));
        assert_eq!(ServerVersion::FIRST.next().map(ServerVersion::get), Ok(2));
        assert_eq!(ServerVersion::FIRST.plus(u64::MAX), Err(InvalidVersion));
    }

    #[test]
    fn no_counter_reaches_a_mark_that_is_a_place_in_a_wipe() {
        let highest = ServerVersion::try_from((1 << 52) - 1).expect("a version");
        assert_eq!(ServerVersion::FIRST.plus((1 << 52) - 2), Ok(highest));
        assert_eq!((highest.next(), ServerVersion::FIRST.plus(1 << 52)), (Err(InvalidVersion), Err(InvalidVersion)));
        assert_eq!(Mark::try_from(highest.get()).map(Mark::wipe_place), Ok(None));
        let first = Mark::try_from(highest.get() + 1).expect("a mark").wipe_place().expect("a place");
        assert_eq!((first.rows(), first.mark().get()), (0, 1 << 52));
    }

    #[test]
    fn a_place_in_a_wipe_survives_the_mark_and_a_restore_ends_it() {
        let through = |number| Some(ServerVersion::try_from(number).expect("a version"));
        for resync_through in [None, through((1 << 32) + 5), through((7 << 32) + 5), through((1 << 52) - 1)] {
            for rows in [0, 1, 90_000, u64::from(u32::MAX)] {
                let place = WipePlace::new(resync_through, rows);
                let mark = Mark::try_from(place.mark().get()).expect("a mark");
                assert_eq!((mark.wipe_place(), place.rows()), (Some(place), rows));
                assert!(place.is_since(resync_through) && !place.is_since(through(3 << 32)));
            }
        }
        assert!(!WipePlace::new(None, 5).is_since(through((1 << 32) + 5)));
    }

    #[test]
    fn a_mark_is_0_or_a_version() {
        for number in [0, 1, 2, ServerVersion::MAX] {
            assert_eq!(Mark::try_from(number).map(Mark::get), Ok(number));
        }
        assert_eq!(Mark::try_from(ServerVersion::MAX + 1), Err(InvalidVersion));
    }
}
