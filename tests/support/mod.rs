//! Helpers that read like the domain.
//!
//! - [`TestApp`]: the functions `rest` and `sync` over one table, through the real SDK
//! - [`TestProject`]: a project of its own for each test, set up over REST: `TestApp::new().await.with_project().with_tasks(3).await`
//! - [`Call`] and [`Answer`]: a request and its answer
//! - [`Fault`]: the ways in which a transaction fails
//! - [`documented`]: the OpenAPI document, with which every answer is compared
//! - [`Pull`] and [`Device`]: a sync response, and the rows that a device holds afterwards
//! - [`Newer`]: the writes of a newer version of the product beside this one
//! - [`LiveApp`] and [`Clients`]: the functions `live` and `poke` over one table, and the connected clients
//! - [`Stored`]: the contents of the table, read strongly
//! - [`tls`]: a server with a certificate that no authority signed
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
