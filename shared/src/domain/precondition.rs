//! What a change of a row asks for before it is made.

use super::ServerVersion;

/// What a row must be like for a change of it to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Whatever it is like.
    #[default]
    None,
    /// The row is at one of these versions.
    Match(Vec<u64>),
    /// No field that the change sets was given another value after this version, the one that the change was made on.
    MergeSince(ServerVersion),
}

impl Precondition {
    /// Does it ask for nothing?
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// May a row at this version be changed, as far as the version alone says?
    pub fn allows(&self, version: ServerVersion) -> bool {
        match self {
            Self::Match(versions) => versions.contains(&version.get()),
            Self::None | Self::MergeSince(_) => true,
        }
    }
}
