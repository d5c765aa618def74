//! Convergence over a table that keeps only what DynamoDB promises.
//!
//! Many writers over REST, each an instance of its own, and several devices that pull, all by the protocol's JSON. The
//! true history is known, and every answer is judged against it. A seed is one course of events, and fails the same way
//! each time.
//!
//! `ADVERSARY_SEED=n` plays that seed alone, `ADVERSARY_SEEDS=a..b` these, `ADVERSARY_SOAK=minutes` as many as fit;
//! `ADVERSARY_SCENARIO=name` of them only those that play it.

#![expect(clippy::expect_used, clippy::panic, reason = "all of this is test code, helpers included")]

mod answer;
mod batch;
mod bugs;
mod clean;
mod contention;
mod convergence;
mod device;
mod each;
mod figures;
mod history;
mod http;
mod lag;
mod merge;
mod newer;
mod operations;
mod overflow;
mod restore;
mod restored;
mod rules;
mod run;
mod scenario;
mod table;
mod writer;
