//! Pages kept by an instance, for a herd: many devices that need the same first sync within seconds.
//!
//! A page that was proven once stays a right answer. Later changes have versions above its mark and come with the next pages. The
//! rule: let a page have the versions `(after, mark]`, made while the counter went from `begun` to `covered`. It may be given to
//! any device with a mark from `after` up to `mark`, if its reader was a member by `begun` and could have been given the page when
//! the counter was `covered`.
//!
//! - Every pull first takes all the steps that come before the index: counter and membership, resync, removal, deletion, marks
//!   ahead, `min_version`, unchanged. Only then does it look for a page.
//! - [`page`] says what is kept and who may be given it. [`rounding`] says where pages end, so that those of several instances
//!   fit together.
//! - [`store`] is the memory of an instance. It says how large that is and how long a page is kept. An instance has one table and
//!   one build of this function, so pages need not tell them apart.
//!
//! A page may lack a newer edit of the device that gets it. The device then shows its own edit undone until the next page comes,
//! for less than a minute. Answers from the index can do that, too.

mod ending;
mod page;
mod rounding;
mod store;

pub(crate) use page::{Page, PageKey, Reader};
pub(crate) use rounding::rounded;
pub(crate) use store::{Found, GivenPage, Reading};
pub use store::{KeptPages, Limits};
