//! A model of commit, application item by item, index and pull, checked in every interleaving within small bounds.
//!
//! Emulators apply a transaction at once and keep their indexes current, so no test against them can show that the rules for a
//! torn read or a lagging index are right, let alone needed. Here DynamoDB does everything that it may do, and the checker tries
//! every order. [`rules`] says which promises hold, and within which bounds. [`mutants`] leaves out one rule at a time and has
//! the checker find what then goes wrong: a mutant that survives is a hole in the model, or a rule that nobody needs.
//!
//! # What is modelled
//!
//! - The counter with `current_version` and `last`; a task, an edge that names it and the membership of the device's user, each
//!   with `server_version`, `superseded` (also as a list that is cut), `writes`, deadness and `removed_at`. The content of a row
//!   is not modelled, because its version stands for it.
//! - Transactions whose conditions are exact, which conflict with a commit that is still being applied to one of
//!   their items, and which are applied item by item, in any order, at any time after they were decided.
//! - Writers that read a batch, see `last` in place or condition-check it, read a set, decide and commit. If another commit won,
//!   they decide again or put the draft on top of that commit. They repeat a request whose answer was lost or that is still on
//!   its way.
//! - A batch whose operations are judged one by one. Operations on dead rows are refused, and the others are written at once.
//! - A deletion that takes several commits. The first one leaves a note on the counter, and the next writer continues it.
//! - Repetitions that come so late that their token is forgotten.
//! - The archive ([`archive`]). A writer, who may be killed in between, writes it before the commit that drops versions from a
//!   history. It is read after the rows. A backfill completes it if older code dropped versions without it. A restore tells
//!   archived versions from versions that no row ever got.
//! - The index: see [`copies::Copies::from_index`].
//! - One device that pulls as often as it likes: proof by accounted versions, including those that only a row's history names,
//!   proof by the sum, busy answers, cut pages, removal of its user, and the full resync of a user who is added again.
//! - A page that an instance keeps of another device's pull ([`kept`]).
//!
//! # How it is kept small
//!
//! Every reduction keeps all outcomes; none is a sample.
//!
//! - *A read is an interval.* Reads of several items, each at its own moment, begin with the step before and end with
//!   the step that uses them, and of each item bring any copy that was visible in between. That is what item reads in
//!   any order, as early or late as they like, can bring together.
//! - *Reading again is no step* if the first read was not enough, because the state is the same.
//! - *A killed writer* is one that takes no more steps, and every prefix of every run is looked at. Its requests may still
//!   arrive.
//! - *One device*: devices only read, so two of them do not notice each other. A pull whose answer was lost changes nothing, so
//!   it equals a pull that never happened.
//! - *All archive items of one commit are written at once.* Each item is true by itself, so a writer that is killed halfway
//!   equals one that archived less.
//! - *No clock.* Steps that are allowed until a deadline are always allowed.
//!
//! The checker remembers 64 bits of each state. The probability that two of a million states share them is one in 10^7.
//!
//! # What is not modelled
//!
//! Deleting a project, raised counters and refused marks after a restore, migrations, checksums, `turbo`; roles and the writers' own
//! memberships; idempotency records, `If-Match`, field merging; responses measured in bytes; sets other than a task's
//! edges (one decision over a set stands for all); an index that is
//! ahead of the table; liveness, which is that something happens in the end (but see
//! [`properties::Always::AnAppliedProjectIsProvenByTheTable`]).

mod archive;
mod check;
mod commit;
mod copies;
mod decision;
mod device;
mod kept;
mod mutants;
mod proof;
mod properties;
mod pull;
mod restore;
mod row;
mod rules;
mod scenario;
mod table;
