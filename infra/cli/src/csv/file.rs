//! Reads a CSV file into lines that know their file and line number.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;
use shared::domain::{Collection, Columns, RowId};
use uuid::Uuid;

use super::format::{columns, file_name, value};

/// A fault in a file, and its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file's name.
    pub file: String,
    /// The line on which the row begins. The header is line 1.
    pub line: u64,
    /// The column, if the fault is in one.
    pub column: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if let Some(column) = &self.column {
            write!(f, "column {column}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// A row of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) collection: Collection,
    pub(super) number: u64,
    pub(super) id: RowId,
    /// What the cells say; not all of it, if some of them are at fault.
    pub(super) fields: Columns,
    /// No cell is at fault.
    pub(super) sound: bool,
}

impl Line {
    pub(super) fn fault(&self, column: Option<&str>, message: impl Into<String>) -> Fault {
        fault(self.collection, self.number, column, message)
    }
}

fn fault(collection: Collection, line: u64, column: Option<&str>, message: impl Into<String>) -> Fault {
    Fault { file: file_name(collection), line, column: column.map(str::to_owned), message: message.into() }
}

/// The rows of a file. Faults are added to `faults`. A row without a valid id is left out.
pub(super) fn read(collection: Collection, bytes: &[u8], faults: &mut Vec<Fault>) -> Vec<Line> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes); // Excel's mark of UTF-8
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let line = lines(&bytes[..error.valid_up_to()]) + 1;
            faults.push(fault(collection, line, None, "is not UTF-8; save the file as “CSV UTF-8”"));
            return vec![];
        }
    };
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut header: Option<Vec<String>> = None;
    let mut found = Vec::new();
    let mut at = Place { text, offset: 0, line: 1 };
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                faults.push(fault(collection, at.line, None, format!("is not valid CSV: {error}")));
                return found;
            }
        };
        let line = at.of(record.position().map_or(0, |position| position.byte()));
        let Some(header) = &header else {
            let names: Vec<String> = record.iter().map(|name| name.trim().to_owned()).collect();
            if !is_header(collection, line, &names, faults) {
                return found;
            }
            header = Some(names);
            continue;
        };
        // Spreadsheets save emptied rows as empty cells.
        if record.iter().all(str::is_empty) {
            continue;
        }
        if record.len() != header.len() {
            let message = format!(
                "has {} cells, but the header has {}; check the commas, and quote texts that contain commas",
                record.len(),
                header.len()
            );
            faults.push(fault(collection, line, None, message));
            continue;
        }
        found.extend(row(collection, line, header.iter().map(String::as_str).zip(record.iter()), faults));
    }
    if header.is_none() {
        faults.push(fault(
            collection,
            1,
            None,
            format!("is empty; the first line must name columns out of {}", list(collection)),
        ));
    }
    found
}

/// Does the header name columns of the collection, each once, and those without which there is no row?
fn is_header(collection: Collection, line: u64, names: &[String], faults: &mut Vec<Fault>) -> bool {
    let before = faults.len();
    for (index, name) in names.iter().enumerate() {
        if !columns(collection).any(|column| column == name) {
            let message = format!("is not a known column; use {}, separated by commas", list(collection));
            faults.push(fault(collection, line, Some(name), message));
        } else if names[..index].contains(name) {
            faults.push(fault(collection, line, Some(name), "occurs twice"));
        }
    }
    // The id of a dependency is derived from its tasks and type.
    if faults.len() == before && collection != Collection::Dependencies && !names.iter().any(|name| name == "id") {
        faults.push(fault(collection, line, Some("id"), "is required"));
    }
    faults.len() == before
}

fn list(collection: Collection) -> String {
    columns(collection).collect::<Vec<_>>().join(", ")
}

fn row<'a>(
    collection: Collection,
    number: u64,
    cells: impl Iterator<Item = (&'a str, &'a str)>,
    faults: &mut Vec<Fault>,
) -> Option<Line> {
    let (mut fields, mut id, mut sound) = (Columns::new(), None, true);
    for (column, cell) in cells {
        if column == "id" {
            id = (!cell.is_empty()).then_some(cell);
            continue;
        }
        match value(column, cell) {
            Ok(value) => fields.extend(value.map(|value| (column.to_owned(), value))),
            Err(message) => {
                faults.push(fault(collection, number, Some(column), message));
                sound = false;
            }
        }
    }
    let id = match id {
        Some(id) => id.to_owned(),
        None if collection == Collection::Dependencies => id_of_edge(&fields),
        None => {
            faults.push(fault(collection, number, Some("id"), "is required"));
            return None;
        }
    };
    match id.parse() {
        Ok(id) => Some(Line { collection, number, id, fields, sound }),
        Err(error) => {
            faults.push(fault(collection, number, Some("id"), format!("{error}; it is {id:?}")));
            None
        }
    }
}

/// Any fixed value does, and this one must never change: an import that is run again finds its rows by these ids.
const EDGES: Uuid = Uuid::from_u128(0x61d0_5a1c_0b7e_4c39_9d82_7f54_e3a6_18bd);

/// The id of a dependency that has none: the same for the same tasks and type, of which there is only one in a project.
fn id_of_edge(fields: &Columns) -> String {
    let text = |column: &str, default: &'static str| {
        fields.get(column).and_then(|value| value.as_str()).unwrap_or(default).to_owned()
    };
    let ties = [text("predecessor", ""), text("successor", ""), text("dep_type", "FS")].join(" ");
    Uuid::new_v5(&EDGES, ties.as_bytes()).to_string()
}

/// The line number of a byte, counted on from the one before. (The library's own is that of the line before, where lines
/// end as on Windows or are empty.)
struct Place<'a> {
    text: &'a str,
    offset: usize,
    line: u64,
}

impl Place<'_> {
    fn of(&mut self, byte: u64) -> u64 {
        let bytes = self.text.as_bytes();
        let mut to = usize::try_from(byte).unwrap_or(usize::MAX).clamp(self.offset, bytes.len());
        while matches!(bytes.get(to), Some(b'\r' | b'\n')) {
            to += 1;
        }
        self.line += lines(&bytes[self.offset..to]);
        self.offset = to;
        self.line
    }
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// The rows by their ids; a second with the same id is a fault.
pub(super) fn by_id<'a>(
    lines: impl IntoIterator<Item = &'a Line>,
    faults: &mut Vec<Fault>,
) -> HashMap<(Collection, &'a RowId), &'a Line> {
    let mut found: HashMap<_, &Line> = HashMap::new();
    for line in lines {
        match found.get(&(line.collection, &line.id)) {
            Some(first) => {
                let message = format!("{} is already the id of line {}", line.id, first.number);
                faults.push(line.fault(Some("id"), message));
            }
            None => {
                found.insert((line.collection, &line.id), line);
            }
        }
    }
    found
}
