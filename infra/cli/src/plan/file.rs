//! Reads a CSV file into lines that know their file and line number.

use std::sync::Arc;

use csv::StringRecord;
use shared::domain::{Collection, Columns};

use super::fault::Findings;
use super::format::{columns, file_name, value};
use super::line::{Line, id_of_edge};
use super::names::is_header;
use super::rfc4180::{Broken, starts};

/// The records of a file, each with its line. If the file is not CSV as in RFC 4180, adds a fault and returns none.
pub(super) fn records(file: &str, bytes: &[u8], findings: &mut Findings) -> Option<Vec<(u64, StringRecord)>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes); // Excel's mark of UTF-8
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).replace("\r\n", "\n");
            let line = 1 + before.matches(['\r', '\n']).count() as u64;
            findings.unreadable(file, Some(line), None, "is not UTF-8; save the file as “CSV UTF-8”");
            return None;
        }
    };
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let starts = match starts(text) {
        Ok(starts) => starts,
        Err(Broken { line, character, cell, message }) => {
            let header = reader.records().next().and_then(Result::ok).filter(|_| line > 1);
            let named = header.as_ref().and_then(|header| header.get(cell)).map(str::trim);
            let column = named.map_or_else(|| (cell + 1).to_string(), str::to_owned);
            findings.unreadable(file, Some(line), Some(&column), format!("at character {character}: {message}"));
            return None;
        }
    };
    let records: Result<Vec<StringRecord>, csv::Error> = reader.records().collect();
    match records {
        Ok(records) if records.len() == starts.len() => Some(starts.into_iter().zip(records).collect()),
        Ok(_) => {
            findings.unreadable(file, None, None, "is not valid CSV: rows and lines do not agree");
            None
        }
        Err(error) => {
            findings.unreadable(file, None, None, format!("is not valid CSV: {error}"));
            None
        }
    }
}

/// The rows of a file. A row without a valid id is left out, with a fault.
pub(super) fn read(collection: Collection, bytes: &[u8], findings: &mut Findings) -> Vec<Line> {
    let file: Arc<str> = file_name(collection).into();
    let Some(records) = records(&file, bytes, findings) else { return vec![] };
    let mut records = records.into_iter();
    let Some((at, header)) = records.next() else {
        let columns = columns(collection).collect::<Vec<_>>().join(", ");
        findings.fault(&file, Some(1), None, format!("is empty; the first line must name columns out of {columns}"));
        return vec![];
    };
    let header: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
    if !is_header(collection, at, &header, findings) {
        return vec![];
    }
    let mut found = Vec::new();
    for (line, record) in records {
        // Spreadsheets save emptied rows as empty cells.
        if record.iter().all(str::is_empty) {
            findings.skip(collection, "all cells are empty");
        } else if record.len() != header.len() {
            let message = format!(
                "has {} cells, but the header has {}; check the commas, and quote texts that contain commas",
                record.len(),
                header.len()
            );
            findings.fault(&file, Some(line), None, message);
        } else {
            suspect(&file, line, &header, &record, findings);
            found.extend(row(collection, &file, line, header.iter().map(String::as_str).zip(record.iter()), findings));
        }
    }
    found
}

/// Warns of a cell that holds what looks like further rows: two quotes that are far apart can be well-formed by chance.
fn suspect(file: &str, line: u64, header: &[String], record: &StringRecord, findings: &mut Findings) {
    let like_a_row = |text: &str| header.len() > 2 && text.matches(',').count() + 1 >= header.len();
    for (column, cell) in header.iter().zip(record) {
        let rows = cell.split(['\r', '\n']).skip(1).filter(|text| like_a_row(text)).count();
        if rows > 0 {
            let message =
                format!("is one text, with {rows} lines in it that look like rows; check where its quote closes");
            let fault =
                super::fault::Fault { file: file.to_owned(), line: Some(line), column: Some(column.clone()), message };
            findings.warnings.push(fault);
        }
    }
}

fn row<'a>(
    collection: Collection,
    file: &Arc<str>,
    number: u64,
    cells: impl Iterator<Item = (&'a str, &'a str)>,
    findings: &mut Findings,
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
                findings.fault(file, Some(number), Some(column), message);
                sound = false;
            }
        }
    }
    let derived = id.is_none() && collection == Collection::Dependencies;
    let id = match id {
        Some(id) => id.to_owned(),
        None if derived => id_of_edge(&fields),
        None => {
            findings.fault(file, Some(number), Some("id"), "is required");
            return None;
        }
    };
    let initial = Columns::new();
    match id.parse() {
        Ok(id) => Some(Line { collection, file: Arc::clone(file), number, id, derived, fields, initial, sound }),
        Err(error) => {
            findings.fault(file, Some(number), Some("id"), format!("{error}; it is {id:?}"));
            None
        }
    }
}
