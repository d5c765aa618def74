//! What both functions share. Arrows go one way: `http`, `storage` and `auth` know the `domain`, the domain knows none
//! of them.

pub mod auth;
pub mod domain;
pub mod http;
pub mod storage;
