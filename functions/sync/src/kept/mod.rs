//! Pages kept by an instance, for a herd: many devices that need the same first sync within seconds.
//!
//! A page that was proven once stays a right answer. What changed later has a version above its mark, and comes with the next
//! pages. More exactly: a page of the versions `(after, mark]`, made when the counter was `covered`, may be given to any device
//! with a mark from `after` up to `mark`, if its reader could have been given the page when the counter was `covered`.
//!
//! - Every step of a pull before the index is made each time: counter and membership, resync, removal, deletion, marks ahead,
//!   `min_version`, unchanged. Only then are pages looked at.
//! - What is kept, and who may be given it: [`page`]. Where pages end, so that those of several instances fit together: [`rounding`].
//! - The memory of an instance, its bound, and how long a page is kept: [`store`]. All of it is of one table and of one build of
//!   this function, which therefore need not be told apart.
//!
//! A page may show a device that its own newer edit is undone, until the next page comes: less than a minute. Answers from the index
//! can do that, too.

mod ending;
mod page;
mod rounding;
mod store;

pub(crate) use page::{Page, PageKey, Reader};
pub(crate) use rounding::rounded;
pub(crate) use store::{Found, GivenPage, Reading};
pub use store::{KeptPages, Limits};
