//! Takes the text of rows out of a page before a parser reads it.
//!
//! Most of a page is the text of rows, and we only need to know where each text begins and ends. Every sixth character
//! in there is a quote with a backslash before it. A JSON parser stops at each. That took half of the time of reading a
//! page. Here a search for what stands around a text finds it, and what is left for the parser is short.
//!
//! The search does not guess. Inside a JSON string no quote stands without a backslash before it. So [`BEGIN`] is the
//! end of a key and the beginning of its value. A text is taken only if [`is_plain`] has seen that it is the whole
//! value and well-formed. Any other text stays in the page, for the parser. The parser knows which row a text belongs
//! to by the place where it is missing.

use std::ops::Range;

use memchr::memmem;

/// The JSON is compact, as DynamoDB writes it.
const BEGIN: &[u8] = br#""row":{"S":"{"#;
const END: &[u8] = br#"}""#;
/// A backslash that is escaped.
const PAIR: &[u8] = br"\\";

/// A page without the text of its rows.
pub(super) struct WithoutRows {
    /// The page, with an empty string in place of each text that was taken.
    pub(super) page: String,
    pub(super) rows: Taken,
}

/// The places of the texts, without their quotes, in order.
pub(super) struct Taken {
    rows: std::vec::IntoIter<Range<usize>>,
    /// How many bytes were taken before this place.
    taken: usize,
}

impl Taken {
    /// The text that was taken from this place of the page, if it is the next one.
    pub(super) fn at(&mut self, place: usize) -> Option<Range<usize>> {
        let row = self.rows.next().filter(|row| row.start == place + self.taken)?;
        self.taken += row.len();
        Some(row)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.as_slice().is_empty()
    }
}

impl WithoutRows {
    pub(super) fn of(body: &str) -> Self {
        let rows = find(body);
        let taken: usize = rows.iter().map(Range::len).sum();
        let mut page = String::with_capacity(body.len() - taken);
        let mut after = 0;
        for row in &rows {
            page.push_str(&body[after..row.start]);
            after = row.end;
        }
        page.push_str(&body[after..]);
        Self { page, rows: Taken { rows: rows.into_iter(), taken: 0 } }
    }
}

fn find(body: &str) -> Vec<Range<usize>> {
    let (begin, end, pair) = (memmem::Finder::new(BEGIN), memmem::Finder::new(END), memmem::Finder::new(PAIR));
    let body = body.as_bytes();
    let mut found = Vec::new();
    let mut after = 0;
    while let Some(at) = begin.find(&body[after..]) {
        // The brace belongs to the row.
        let start = after + at + BEGIN.len() - 1;
        let Some(length) = end.find(&body[start..]) else { break };
        let row = start..start + length + 1;
        after = start;
        if is_plain(&body[row.clone()], &pair) {
            after = row.end;
            found.push(row);
        }
    }
    found
}

/// Whether this is the inside of a JSON string that escapes nothing but quotes and backslashes.
fn is_plain(mut text: &[u8], pair: &memmem::Finder<'_>) -> bool {
    // The first two adjacent backslashes are one escaped backslash, and so are the next two.
    while let Some(at) = pair.find(text) {
        if !has_plain_quotes(&text[..at]) {
            return false;
        }
        text = &text[at + PAIR.len()..];
    }
    has_plain_quotes(text)
}

/// Whether a backslash stands before every quote, and nowhere else. The loop has no branch, so that the compiler
/// handles many characters at once.
fn has_plain_quotes(text: &[u8]) -> bool {
    let is_plain = |two: &[u8]| (two[0] == b'\\') == (two[1] == b'"');
    text.first() != Some(&b'"')
        && text.windows(2).fold(true, |plain, two| plain & is_plain(two))
        && text.iter().fold(true, |plain, byte| plain & (*byte >= b' '))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    fn texts(body: &str) -> Vec<&str> {
        WithoutRows::of(body).rows.rows.map(|row| &body[row]).collect()
    }

    #[test]
    fn the_text_of_rows_is_taken_and_all_else_is_left() {
        let body = r#"{"Items":[{"row":{"S":"{\"a\":\"}\"}"},"entity":{"S":"x"}},{"row":{"S":"{}"}}],"Count":2}"#;
        let without = WithoutRows::of(body);
        assert_eq!(without.page, r#"{"Items":[{"row":{"S":""},"entity":{"S":"x"}},{"row":{"S":""}}],"Count":2}"#);
        assert_eq!(texts(body), [r#"{\"a\":\"}\"}"#, "{}"]);
    }

    #[test]
    fn what_is_written_in_another_way_is_left_to_the_parser() {
        for text in
            [r#""{} ""#, r#""5""#, r#""{\u0022}""#, r#""{\n}""#, "\"{\n}\"", r#""{\\\}""#, r#""{\\"}""#, "5", r#""{}"#]
        {
            let body = format!(r#"{{"row":{{"S":{text}}},"row":{{"S":"{{}}"}}}}"#);
            assert_eq!(texts(&body), ["{}"], "{text}");
        }
        assert!(texts(r#"{"row": {"S": "{}"}}"#).is_empty());
        assert!(texts(r#"{"row":{"S":"{\"a"#).is_empty());
    }

    proptest! {
        /// A text of these characters is taken only if it is a valid JSON string.
        #[test]
        fn what_is_taken_is_a_string(inside in r#"[\\"{}nu0ä\x1f]{0,12}"#) {
            let body = format!(r#"{{"row":{{"S":"{{{inside}}}"}}}}"#);
            for text in texts(&body) {
                prop_assert!(serde_json::from_str::<&RawValue>(&format!("\"{text}\"")).is_ok(), "{}", text);
            }
        }

        #[test]
        fn a_string_with_quotes_and_backslashes_is_taken_as_it_is(inside in r#"[\\"{}ä]{0,12}"#) {
            let string = serde_json::to_string(&format!("{{{inside}}}")).expect("JSON");
            let body = format!(r#"{{"row":{{"S":{string}}}}}"#);
            prop_assert_eq!(texts(&body), [&string[1..string.len() - 1]]);
        }
    }
}
