//! The one table, and the only module that names DynamoDB.
//!
//! - [`layout`](self): what an item looks like, documented in `layout.rs`
//! - [`Table::snapshot`], [`Table::list`], [`Table::projects_of`]: reads for REST
//! - [`Table::commit`]: the only way to write
//! - [`Table::feed_page`], [`Table::superseding_page`], [`Table::rows_page`]: what a pull reads
//! - [`Table::put_archive`], [`Table::archived_above`]: versions that rows' lists have no room for
//! - [`Table::partitions_page`], [`Table::stored`], [`Table::indexed`]: what an audit reads
//! - [`Table::replace_counter`], [`Table::remove_remains`], [`Table::drop_answers`], [`Table::set_new_projects`]: what
//!   repairs a restored table

mod archive;
mod audit;
mod backoff;
mod capacity;
mod commit;
mod connector;
mod feed;
mod layout;
mod new_projects;
mod page;
mod read;
mod record;
mod restore;
mod row_text;
mod table;
mod transaction;

pub use audit::{Partition, StoredItem, StoredPage};
pub use commit::{Committed, Look, MAX_BYTES, MAX_ROWS};
pub use feed::{FeedPage, FeedRow, PageCursor, Superseding};
pub use new_projects::NewProjects;
pub use read::Snapshot;
pub use record::KeptAnswer;
pub use restore::Restoration;
pub use table::{BY_USER, BY_VERSION, ConfigError, Table};
