//! Additions of `trueppm demo` to the local server: a project, and a page that shows two devices and the server.
//!
//! - `seed.rs` creates the project over REST
//! - `page.rs` serves the page, whose sources and bundle are in `infra/cli/page`
//! - `routes.rs` has the page's own routes: tokens, versions, and the scenarios
//! - `journal.rs` intercepts calls of the SDK: it records which commit gave which versions, and makes the index lag
//! - `backup.rs` takes a backup of a project and restores it
//!
//! `trueppm serve` has none of this and serves what a deployment serves. The demo page signs in as any of the demo's users, without a
//! password.

mod backup;
mod journal;
mod page;
mod routes;
mod seed;
#[cfg(test)]
mod tests;

pub use journal::Journal;
pub use routes::{Demo, router};
pub use seed::{OWNER, PROJECT, seed};
