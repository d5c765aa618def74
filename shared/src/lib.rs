//! Code that the functions share. Dependencies go one way: `http`, `storage` and `auth` use the `domain`, and the domain uses
//! none of them. `storage` counts costs in the `meter`, and `http` reads them. `outbound` sends the requests of `storage`,
//! `auth` and `live`, which is what the functions of live updates share.
//!
//! Read [`architecture`] first: how a change travels, the table, the invariants, a glossary. [`protocol`] is what devices see.

pub mod architecture;
pub mod auth;
pub mod domain;
pub mod http;
pub mod idempotency;
pub mod lambda;
pub mod live;
pub mod meter;
pub mod outbound;
pub mod protocol;
pub mod storage;
