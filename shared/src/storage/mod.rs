//! The one table, and the only module that names DynamoDB.
//!
//! - [`layout`](self): what an item looks like, documented in `layout.rs`
//! - [`Table::snapshot`], [`Table::list`], [`Table::projects_of`]: reads for REST
//! - [`Table::commit`]: the only way to write
//! - [`Table::feed_page`], [`Table::rows_page`]: what a pull reads
//! - [`Table::partitions_page`], [`Table::stored_page`], [`Table::indexed_page`]: what an audit reads

mod audit;
mod backoff;
mod commit;
mod feed;
mod layout;
mod page;
mod read;
mod record;
mod table;

pub use audit::{Partition, StoredItem, StoredPage};
pub use commit::{Committed, Look, MAX_BYTES, MAX_ROWS};
pub use feed::{FeedPage, FeedRow, PageCursor};
pub use read::Snapshot;
pub use table::{BY_USER, BY_VERSION, ConfigError, Table};
