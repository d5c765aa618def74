//! What the whole does, seen from outside: over HTTP, and in the table.

mod tasks;
