//! Helpers that read like the domain.
//!
//! - [`TestApp`]: both functions over one table, through the real SDK
//! - [`TestProject`]: a project of its own for each test, set up over REST: `TestApp::new().await.with_project().with_tasks(3).await`
//! - [`Call`] and [`Answer`]: one request and what came back
//! - [`Fault`]: what goes wrong with a transaction
//! - [`documented`]: the OpenAPI document, which every answer is held against
//! - [`Pull`] and [`Device`]: what a device gets and what it holds then
//! - [`Newer`]: what a newer version of the product writes beside this one
//! - [`LiveApp`] and [`Clients`]: the functions `live` and `poke` over one table, and whoever is connected
//! - [`Stored`]: what the table holds, read strongly
//! - [`tls`]: a server that nobody vouches for
//! - [`Reference`] and [`Replay`]: the straightforward pull, and a table without an engine

mod app;
mod call;
pub mod documented;
mod faults;
mod live;
mod newer;
mod project;
mod pull;
mod reference;
mod replay;
mod stored;
mod table;
pub mod tls;

pub use app::TestApp;
pub use call::{Answer, Call};
pub use faults::Fault;
pub use live::{Clients, LiveApp, moved, removed, stream_event};
pub use newer::Newer;
pub use project::{OWNER, Setup, TestProject};
pub use pull::{Device, Pull};
pub use reference::Reference;
pub use replay::Replay;
pub use stored::Stored;
pub use table::TestTable;
