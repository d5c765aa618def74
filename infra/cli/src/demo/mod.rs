//! What `trueppm demo` adds to the local stack: a project to look at, and a page that shows two devices and the server at work.
//!
//! - `seed.rs` makes the project, over REST
//! - `page.rs` serves the page, whose sources and bundle are in `infra/cli/page`
//! - `routes.rs` is what the page needs beside the product's own routes: tokens, versions, and the trouble it makes
//! - `journal.rs` sits beneath the SDK: it notes which commit gave which versions, and makes the index lag
//! - `backup.rs` takes a backup of a project and restores it
//!
//! With `trueppm serve` none of it is there, and what is served is what is deployed: the page signs in as any of the demo's
//! users, without asking for anything.

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
