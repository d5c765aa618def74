//! The project's counter and what a device knows of it.

use std::fmt;
use std::num::NonZeroU64;

/// The value a project's counter took when a row was last written: 1 to 2^53 - 1.
///
/// One counter per project: the first row ever written gets 1, every write of a row takes the next value, and no two
/// rows ever share one. It is also the token for optimistic concurrency (`ETag`). It ends at 2^53 - 1 because clients
/// hold it as a JavaScript number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerVersion(NonZeroU64);

/// A number outside 1 to 2^53 - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a version is an integer from 1 to 9007199254740991")]
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

    /// The version `n` writes later; an error past 2^53 - 1.
    pub fn plus(self, n: u64) -> Result<Self, InvalidVersion> {
        Self::try_from(self.get().saturating_add(n))
    }

    /// The next version; an error past 2^53 - 1.
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

/// The mark a device holds, or 0 when it holds nothing: 0 to 2^53 - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Since(u64);

impl Since {
    /// A device that holds nothing yet: a full sync.
    pub const NOTHING: Self = Self(0);

    /// The mark as a number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for Since {
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
    fn a_mark_is_0_or_a_version() {
        for number in [0, 1, 2, ServerVersion::MAX] {
            assert_eq!(Since::try_from(number).map(Since::get), Ok(number));
        }
        assert_eq!(Since::try_from(ServerVersion::MAX + 1), Err(InvalidVersion));
    }
}
