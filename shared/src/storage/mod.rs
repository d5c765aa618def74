//! The one table, and the only module that names DynamoDB.
//!
//! - [`layout`](self): what an item looks like, documented in `layout.rs`
//! - [`Table::expect_member`]: asked before anything that a stranger could make dear
//! - [`Table::snapshot`], [`Table::list`], [`Table::projects_of`]: reads for REST
//! - [`Table::commit`]: the only way to write
//! - [`Table::feed_page`], [`Table::histories_page`], [`Table::rows_page`], [`Table::versions_page`]: what a pull reads
//! - [`Table::put_archive`], [`Table::archived_above`]: versions that rows' lists have no room for
//! - [`Table::partitions_page`], [`Table::stored`], [`Table::indexed`], [`Table::kept_request`]: what an audit reads
//! - [`Table::replace_counter`], [`Table::remove_remains`], [`Table::drop_answers`], [`Table::set_new_projects`]: what
//!   repairs a restored table
//! - [`Table::forget_author`], [`Table::replace_tombstone`], [`Table::replace_kept_body`]: what an erasure changes in place
//! - [`Table::expect_live_edges`], [`Table::set_live_edge`]: the index of live dependencies

mod archive;
mod audit;
mod backoff;
mod capacity;
mod commit;
mod connector;
mod creation;
mod erasure;
mod feed;
mod feed_row;
mod finish;
mod idempotency;
mod in_place;
mod kept_body;
mod known_members;
mod layout;
mod live_edges;
mod members;
mod new_projects;
pub mod raw;
mod read;
mod reading;
mod restore;
mod table;
mod transaction;
mod writes;

pub use audit::{StoredItem, StoredPage};
pub use commit::{Committed, MAX_BYTES, MAX_ROWS};
pub use feed_row::{FeedPage, FeedRow, PageCursor, RowHistory, RowVersions};
pub use idempotency::{KeptAnswer, KeptRequest};
pub use layout::Partition;
pub use new_projects::NewProjects;
pub use read::Snapshot;
pub use reading::Look;
pub use restore::Restoration;
pub use table::{BY_USER, BY_VERSION, ConfigError, LIVE_EDGES, Table, reasons};
