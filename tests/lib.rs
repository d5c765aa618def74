//! The helpers of the tests of the whole product. The tests themselves are in `it/`.
#![expect(clippy::expect_used, clippy::panic, reason = "in a test, a surprise is a failure")]

pub mod support;
