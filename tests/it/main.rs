//! Tests the whole product from outside: over HTTP, and in the table.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "in a test, a surprise is a failure; clippy knows tests, not their helpers"
)]

use mimalloc::MiMalloc;

mod access;
mod after_restore;
mod alarms;
mod architecture;
mod audit;
mod auth;
mod backfill;
mod bad_input;
mod batch;
mod calendars;
mod cascade;
mod checksum;
mod compression;
mod conflicts;
mod connections;
mod cost;
mod creation;
mod dependencies;
mod doubt;
mod each;
mod empty_pages;
mod erase;
mod heads;
mod idempotency;
mod issuer;
mod kept;
mod leaving;
mod lists;
mod live;
mod live_edges;
mod live_socket;
mod memberships;
mod migration;
mod min_version;
mod newer;
mod observe;
mod openapi;
mod outage;
mod overflow;
mod pages;
mod paging;
mod pokes;
mod policy;
mod preconditions;
mod projects;
mod pull;
mod races;
mod reference;
mod removal;
mod removed_reads;
mod restore;
mod routes;
mod strangers;
mod strong;
mod supply_chain;
mod tasks;
mod trail;
mod versions;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;
