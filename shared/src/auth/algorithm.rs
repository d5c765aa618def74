//! The names of algorithms.

use std::str::FromStr;

use jsonwebtoken::Algorithm;

/// An algorithm by its name in a token or a key. Here `EdDSA` means `Ed25519` (RFC 9864).
pub(super) fn named(name: &str) -> Option<Algorithm> {
    let name = if name == "Ed25519" { "EdDSA" } else { name };
    Algorithm::from_str(name).ok()
}
