//! What both functions share. Arrows go one way: `http`, `storage` and `auth` know the `domain`, the domain knows none
//! of them. `storage` counts on the `meter`, `http` reads it. `outbound` carries the
//! requests of `storage` and `auth`.
//!
//! Read [`architecture`] first: how a change travels, the table, the invariants, a glossary. [`protocol`] is what devices see.

pub mod architecture;
pub mod auth;
pub mod domain;
pub mod http;
pub mod idempotency;
pub mod meter;
pub mod outbound;
pub mod protocol;
pub mod storage;
