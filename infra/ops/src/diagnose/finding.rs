//! The findings about a device.

use std::fmt::{self, Write};

use serde::Serialize;
use shared::domain::Row;

use crate::text::one_line;
use crate::written::Written;

/// The maximum number of rows in the JSON of a finding. All rows are counted.
const MAX_LISTED: usize = 1_000;
/// The maximum number of rows in the lines for people.
const MAX_SHOWN: usize = 10;
/// The maximum number of characters that a line shows of a text of the report.
const MAX_TEXT: usize = 120;

/// The kind of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// The device's clock is wrong.
    ClockOff,
    /// Something keeps the device from syncing.
    NotSyncing,
    /// The table has no such project.
    ProjectUnknown,
    /// The project is deleted.
    ProjectDeleted,
    /// The user was removed from the project.
    UserRemoved,
    /// The user never was a member.
    UserNeverMember,
    /// The device is deleting a project's rows.
    Leaving,
    /// The device has deleted a project that the user is a member of.
    GoneForMember,
    /// The device says that it deleted the rows, and still has some.
    RowsLeft,
    /// The mark is above the server's version.
    MarkAboveServer,
    /// The mark is a place in a wipe.
    MarkInWipe,
    /// The mark is from before a restore.
    MarkBeforeRestore,
    /// The device has rows and no mark.
    MarkLost,
    /// The first sync is not done.
    NeverSynced,
    /// The mark is older than the server's version. This is not a fault.
    Behind,
    /// Rows are missing although the mark says that the device has them.
    RowsMissing,
    /// Rows have a version lower than the table's, although the mark says they are up to date.
    RowsStale,
    /// Rows have a version higher than the table's.
    RowsAhead,
    /// Rows are not on the table.
    RowsUnknown,
    /// Rows are tombstones on the table, although the mark says they are gone.
    RowsDeleted,
    /// A collection's checksum differs for another reason than being behind.
    CollectionDiffers,
    /// A collection's checksum cannot be compared.
    CollectionUnclear,
    /// The app syncs a table that the server does not have.
    TableUnknown,
    /// The server has a collection that the app does not sync.
    CollectionNotSynced,
    /// The app's schema lacks columns.
    ColumnMissing,
    /// The app's schema has columns that the server does not know.
    ColumnUnknown,
    /// The server refused an edit.
    EditRefused,
    /// The user has to settle a conflict.
    ConflictOpen,
    /// An edit is about a row that is gone.
    EditOfGoneRow,
    /// A row waits to be created, and already exists on the server.
    CreatedTwice,
    /// Edits wait to be sent.
    EditsWaiting,
    /// The server confirmed an edit, and the row does not have it.
    ConfirmationLost,
    /// Edits of rows that are gone wait for the user.
    EditsSetAside,
    /// Edits that the user gave up are still there.
    EditsGivenUp,
    /// A request has no answer yet, and the server keeps its answer.
    RequestAnswered,
    /// A request has no answer yet, and the server keeps no answer to it.
    RequestUnanswered,
    /// A request has no answer yet, and the command was not told whose request it is.
    RequestUnclear,
    /// The device itself found a difference that a repair did not mend.
    BrokenAfterRepair,
}

/// Whether a finding is a difference or only information.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Something differs, or waits for a person.
    Fault,
    /// Nothing is wrong. The next sync or the user's next step settles it.
    Note,
}

/// A row that a finding names, without its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedRow {
    /// `table/id`.
    pub row: String,
    /// Its version on the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<u64>,
    /// Its version on the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<u64>,
    /// The author and time of its last write, if the table has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<Written>,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The kind.
    pub finding: Difference,
    /// The level.
    pub level: Level,
    /// The finding in words.
    pub what: String,
    /// The advice.
    pub next: String,
    /// The number of rows that it is about.
    #[serde(skip_serializing_if = "is_none")]
    pub count: usize,
    /// The first 1,000 of these rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<NamedRow>,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

impl Finding {
    /// A finding that something differs.
    pub(super) fn fault(finding: Difference, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { finding, level: Level::Fault, what: what.into(), next: next.into(), count: 0, rows: vec![] }
    }

    /// A finding that is only information.
    pub(super) fn note(finding: Difference, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { level: Level::Note, ..Self::fault(finding, what, next) }
    }

    /// The same finding about these rows.
    #[must_use]
    pub(super) fn about(mut self, rows: impl IntoIterator<Item = NamedRow>) -> Self {
        for row in rows {
            self.count += 1;
            if self.rows.len() < MAX_LISTED {
                self.rows.push(row);
            }
        }
        self
    }
}

impl NamedRow {
    /// A row of the report, with its versions on the device and on the table.
    pub(super) fn new(row: String, device: Option<u64>, server: Option<&Row>) -> Self {
        let (written, server) = (server.and_then(Written::of), server.map(|row| row.version.get()));
        Self { row, device, server, written }
    }
}

impl fmt::Display for NamedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.row))?;
        if let Some(device) = self.device {
            write!(f, ", device {device}")?;
        }
        if let Some(server) = self.server {
            write!(f, ", server {server}")?;
        }
        self.written.as_ref().map_or(Ok(()), |written| write!(f, ", written by {}", shown(&written.to_string())))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.level == Level::Fault { "  FAULT   " } else { "  note    " })?;
        // The same name as in the JSON.
        self.finding.serialize(&mut *f)?;
        write!(f, ": {}", self.what)?;
        for row in self.rows.iter().take(MAX_SHOWN) {
            write!(f, "\n            {row}")?;
        }
        if self.count > MAX_SHOWN {
            write!(f, "\n            … and {} more", self.count - MAX_SHOWN)?;
        }
        write!(f, "\n          next: {}", self.next)
    }
}

/// A text of the report or the table that is safe on a terminal.
pub(super) fn shown(text: &str) -> String {
    one_line(text, MAX_TEXT)
}

/// Several such texts, at most ten.
pub(super) fn listed<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let texts: Vec<&str> = texts.into_iter().collect();
    let mut list = texts.iter().take(MAX_SHOWN).map(|text| one_line(text, 64)).collect::<Vec<_>>().join(", ");
    if texts.len() > MAX_SHOWN {
        let _ = write!(list, " and {} more", texts.len() - MAX_SHOWN);
    }
    list
}

/// A count with its noun: `1 row`, `2 rows`.
pub(super) fn counted(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}
