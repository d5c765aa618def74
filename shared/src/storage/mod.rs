//! The one table, and the only module that names DynamoDB.
//!
//! - [`layout`](self): what an item looks like, documented in `layout.rs`
//! - [`Table::expect_member`]: called before any read that a stranger could make expensive
//! - [`Table::snapshot`], [`Table::list`], [`Table::projects_of`], [`Table::heads_of`]: reads for REST
//! - [`Table::commit`]: the only way to write
//! - [`Table::pull_start`], [`Table::feed_page`], [`Table::histories_page`], [`Table::rows_page`], [`Table::versions_page`]: what a pull reads
//! - [`Table::put_archive`], [`Table::archived_above`]: versions for which version histories have no room
//! - [`Table::partitions_page`], [`Table::stored`], [`Table::indexed`], [`Table::kept_request`]: what an audit reads
//! - [`Table::replace_counter`], [`Table::remove_remains`], [`Table::drop_answers`], [`Table::set_new_projects`]: what
//!   repairs a restored table
//! - [`Table::forget_author`], [`Table::replace_tombstone`], [`Table::replace_kept_body`]: what an erasure changes in place
//! - [`Table::expect_live_edges`], [`Table::set_live_edge`]: the index of live dependencies
//! - [`Table::watch`], [`Table::watchers`], [`Table::forget_connection`], [`Table::next_of_sweep`]: who is told of a
//!   project's commits
//! - [`changes`]: what the table's stream says of commits and removals

mod archive;
mod audit;
mod backoff;
mod batch_write;
mod capacity;
mod commit;
pub(crate) mod connector;
mod creation;
mod erasure;
mod feed;
mod feed_row;
mod finish;
mod heads;
mod idempotency;
mod in_place;
mod kept_body;
mod known_members;
mod layout;
mod live_edges;
mod members;
mod new_projects;
mod page;
mod pull_start;
pub mod raw;
mod read;
mod readable;
mod reading;
mod restore;
mod sdk_headers;
mod stream;
mod table;
mod transaction;
mod watchers;
mod writes;

pub use audit::{StoredItem, StoredPage};
pub use commit::{Committed, MAX_BYTES, MAX_ROWS};
pub use feed_row::{FeedPage, FeedRow, PageCursor, RowHistory, RowVersions};
pub use heads::Head;
pub use idempotency::{KeptAnswer, KeptRequest};
pub use layout::Partition;
pub use new_projects::NewProjects;
pub use pull_start::{PullMembership, PullStart};
pub use read::Snapshot;
pub use reading::ReadSet;
pub use restore::Restoration;
pub use stream::{Change, StreamRecord, changes};
pub use table::{BY_USER, BY_VERSION, ConfigError, LIVE_EDGES, Table, reasons};
pub use watchers::{MAX_WATCH_SECONDS, Sweep, Unwatched, Watcher};
