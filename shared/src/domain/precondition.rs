//! The preconditions of a change of a row.

use std::collections::BTreeMap;

/// What must hold of a row before it is changed.
///
/// ```
/// use shared::domain::{Base, Precondition};
///
/// assert!(Precondition::default().is_none());
/// // The user saw the row as of version 17, and its name, which came later, as of 20.
/// let base = Base { version: 17, fields: [("name".to_owned(), 20)].into() };
/// assert_eq!((base.of("name"), base.of("notes"), base.highest()), (20, 17, 20));
/// assert!(!Precondition::MergeSince(base).is_none());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Precondition {
    /// No condition.
    #[default]
    None,
    /// The row is at one of these versions.
    Match(Vec<u64>),
    /// No field that the change touches was given another value since its user saw it.
    MergeSince(Base),
}

impl Precondition {
    /// Whether it asks for nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// The base of a change: the version of the project up to which its user has seen the fields of a row.
///
/// 0 is before every version. It means that the user has not seen the field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Base {
    /// The version for each field that `fields` does not name.
    pub version: u64,
    /// The versions for these fields.
    pub fields: BTreeMap<String, u64>,
}

impl Base {
    /// The same version for all fields.
    pub fn new(version: u64) -> Self {
        Self { version, fields: BTreeMap::new() }
    }

    /// The version up to which this field was seen.
    pub fn of(&self, field: &str) -> u64 {
        self.fields.get(field).copied().unwrap_or(self.version)
    }

    /// The highest version that it names.
    pub fn highest(&self) -> u64 {
        self.fields.values().copied().fold(self.version, u64::max)
    }
}
