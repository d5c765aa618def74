//! What the tests of the whole stand on; the tests themselves are in `it/`.
#![expect(clippy::expect_used, clippy::panic, reason = "in a test, a surprise is a failure")]

pub mod support;
