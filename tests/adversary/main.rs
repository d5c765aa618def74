//! Tests convergence over a table that keeps only the promises of DynamoDB.
//!
//! Many writers use REST, each with an instance of its own, and several devices pull, all with the protocol's JSON. The true
//! history is known, and every answer is judged against it. A seed is one course of events, and fails the same way each time.
//!
//! `ADVERSARY_SEED=n` plays only that seed, `ADVERSARY_SEEDS=a..b` plays this range, and `ADVERSARY_SOAK=minutes` plays as many
//! seeds as fit. `ADVERSARY_SCENARIO=name` plays only the seeds with that scenario.

#![expect(clippy::expect_used, clippy::panic, reason = "all of this is test code, helpers included")]

use mimalloc::MiMalloc;

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

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;
