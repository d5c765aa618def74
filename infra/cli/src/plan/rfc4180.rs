//! Checks that a text is CSV as in RFC 4180, before a lenient reader reads it.
//!
//! A reader that accepts every text puts all rows after an open quote into one cell. So a misplaced quote is a fault.

/// The first place that breaks the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    /// The line, from 1.
    pub(super) line: u64,
    /// The character in the line, from 1.
    pub(super) character: u64,
    /// The cell in its record, from 0.
    pub(super) cell: usize,
    pub(super) message: String,
}

#[derive(Clone, Copy)]
enum State {
    Start,
    Bare,
    Quoted,
    Closed,
}

/// The line on which each record starts. Empty lines are not records. A line ends with LF, CR or both.
pub(super) fn starts(text: &str) -> Result<Vec<u64>, Broken> {
    use State::{Bare, Closed, Quoted, Start};
    let (mut line, mut character, mut cell) = (0, 0, 0);
    let (mut state, mut opened, mut in_record) = (Start, (1, 1, 0), false);
    let mut starts = Vec::new();
    let mut before = '\n';
    let broken =
        |(line, character, cell): (u64, u64, usize), message: String| Broken { line, character, cell, message };
    for sign in text.chars() {
        if before == '\n' || (before == '\r' && sign != '\n') {
            line += 1;
            character = 0;
        }
        character += 1;
        before = sign;
        let (here, line_end) = ((line, character, cell), matches!(sign, '\r' | '\n'));
        if !in_record && !line_end {
            starts.push(line);
            in_record = true;
        }
        state = match (state, sign) {
            (Quoted, '"') => Closed,
            (Quoted, _) | (Closed, '"') => Quoted,
            (Start, '"') => {
                opened = here;
                Quoted
            }
            (_, ',') => {
                cell += 1;
                Start
            }
            _ if line_end => {
                (cell, in_record) = (0, false);
                Start
            }
            (Bare, '"') => {
                let message = "a quote in a cell that does not begin with one; put the whole cell in quotes, and write each quote in it twice";
                return Err(broken(here, message.to_owned()));
            }
            (Closed, _) => {
                let message = format!(
                    "text behind a closing quote; the cell begins on line {}, character {}. Write a quote inside a cell twice",
                    opened.0, opened.1
                );
                return Err(broken(here, message));
            }
            (Start | Bare, _) => Bare,
        };
    }
    match state {
        Quoted => Err(broken(
            opened,
            "this quote is never closed, up to the end of the file; is the file cut off?".to_owned(),
        )),
        _ => Ok(starts),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

    use super::*;

    fn read(text: &str) -> Vec<Vec<String>> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
        reader.records().map(|record| record.expect("a record").iter().map(str::to_owned).collect()).collect()
    }

    fn written(rows: &[Vec<String>]) -> String {
        let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
        rows.iter().for_each(|row| writer.write_record(row).expect("a record"));
        String::from_utf8(writer.into_inner().expect("a text")).expect("UTF-8")
    }

    /// Runs a property with a seed of its own, which a failure prints. `CSV_SEED` repeats it.
    fn holds(strategy: &str, property: impl Fn(String) -> Result<(), TestCaseError>) {
        let given = std::env::var("CSV_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed: u64 =
            given.unwrap_or_else(|| std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |age| age.as_nanos() as u64));
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let config = ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
        let ran = runner.run(&proptest::string::string_regex(strategy).expect("a pattern"), property);
        assert!(ran.is_ok(), "CSV_SEED={seed}: {ran:?}");
    }

    #[test]
    fn whatever_is_accepted_exports_to_the_same_rows_each_with_its_line() {
        holds("[a,;\"\\n\\r\\\\ ä]{0,24}", |text| {
            let Ok(starts) = starts(&text) else { return Ok(()) };
            let rows = read(&text);
            prop_assert_eq!(rows.len(), starts.len(), "{:?}", rows);
            // Only separators and the quotes around cells are missing from the rows.
            let inside: usize = rows
                .iter()
                .flatten()
                .map(|cell| cell.chars().filter(|sign| matches!(sign, 'a' | 'ä' | ';' | ' ' | '\\')).count())
                .sum();
            prop_assert_eq!(inside, text.chars().filter(|sign| matches!(sign, 'a' | 'ä' | ';' | ' ' | '\\')).count());
            let again = written(&rows);
            prop_assert!(super::starts(&again).is_ok(), "{:?}", again);
            prop_assert_eq!(read(&again), rows);
            Ok(())
        });
    }

    #[test]
    fn no_quote_that_stands_alone_is_accepted_and_every_written_row_is() {
        holds("[ab,\"\\n\\r]{0,24}", |text| {
            let quotes = text.matches('"').count();
            prop_assert!(quotes % 2 == 0 || starts(&text).is_err(), "{text:?}");
            let rows: Vec<Vec<String>> = text.split('b').map(|cell| vec!["x".to_owned(), cell.to_owned()]).collect();
            let again = written(&rows);
            prop_assert_eq!(starts(&again).map(|starts| starts.len()), Ok(rows.len()));
            prop_assert_eq!(read(&again), rows);
            // One quote too many or too few is a fault.
            for (at, _) in again.match_indices('"') {
                let less = format!("{}{}", &again[..at], &again[at + 1..]);
                prop_assert!(starts(&less).is_err(), "{less:?}");
            }
            Ok(())
        });
    }

    #[test]
    fn a_quote_out_of_place_is_found_where_it_is() {
        let at = |text: &str| starts(text).map_err(|broken| (broken.line, broken.character, broken.cell));
        assert_eq!(at("id,n\na,\"open\nb,x\nc,\"closed\"\n"), Err((4, 4, 1)), "closed rows later");
        assert_eq!(at("id,n\r\na,\"never\r\nb,x\r\n"), Err((2, 3, 1)));
        assert_eq!(at("id,n\rh,\"first\rsecond li"), Err((2, 3, 1)), "cut off");
        assert_eq!(at("id,n\ni,\"6\" pipe\"\n"), Err((2, 6, 1)));
        assert_eq!(at("id,n\ni,\"say \\\"hi\\\" now\"\n"), Err((2, 10, 1)), "backslashes");
        assert_eq!(at("id,n\ni, \"x\"\n"), Err((2, 4, 1)), "a blank before the quote");
        assert_eq!(at("id,n\ni,6\"\n"), Err((2, 4, 1)));
        assert_eq!(at("a\r\nb\rc\n\n\r\"d\r\n\r\n\ne\"\nf"), Ok(vec![1, 2, 3, 6, 10]));
    }
}
