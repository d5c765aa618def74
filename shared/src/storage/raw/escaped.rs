//! JSON inside of JSON.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// JSON as it stands in a JSON string, without the quotes around it: `{\"id\":\"a\"}`.
///
/// DynamoDB sends a row's JSON like this, and a function sends it to the gateway like this. So it is copied and never
/// parsed. A clone is cheap, because the rows of a page share one text.
#[derive(Clone)]
pub struct Escaped {
    page: Arc<String>,
    range: Range<usize>,
}

/// A text that cannot be the inside of a JSON string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no part of a JSON string")]
pub struct NotEscaped;

impl Escaped {
    /// This JSON, escaped.
    pub fn of(json: &str) -> Self {
        let mut text = String::with_capacity(escaped_len(json));
        escape_into(json, &mut text);
        Self { range: 0..text.len(), page: Arc::new(text) }
    }

    /// Takes part of a text that is known to be escaped: the inside of a JSON string.
    ///
    /// Panics if the range is not within the text.
    pub(crate) fn part_of(page: &Arc<String>, range: Range<usize>) -> Self {
        assert!(page.get(range.clone()).is_some(), "a range of the page");
        Self { page: Arc::clone(page), range }
    }

    /// Copies a text that is known to be escaped.
    pub(crate) fn copy_of(text: &str) -> Self {
        Self { page: Arc::new(text.to_owned()), range: 0..text.len() }
    }

    /// A copy without the rest of its page, so that the page can be freed.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self::copy_of(self.as_str())
    }

    /// The escaped text.
    pub fn as_str(&self) -> &str {
        &self.page[self.range.clone()]
    }

    /// Appends the JSON itself.
    pub fn unescape_into(&self, json: &mut Vec<u8>) -> Result<(), NotEscaped> {
        let start = json.len();
        let mut rest = self.as_str();
        while let Some(at) = rest.find('\\') {
            json.extend_from_slice(&rest.as_bytes()[..at]);
            match rest.as_bytes().get(at + 1) {
                Some(character @ (b'"' | b'\\')) => json.push(*character),
                // The product writes nothing that needs another escape. Other escapes are decoded correctly, too.
                _ => {
                    json.truncate(start);
                    let quoted = format!("\"{}\"", self.as_str());
                    let text: String = serde_json::from_str(&quoted).map_err(|_| NotEscaped)?;
                    json.extend_from_slice(text.as_bytes());
                    return Ok(());
                }
            }
            rest = &rest[at + 2..];
        }
        json.extend_from_slice(rest.as_bytes());
        Ok(())
    }
}

/// How many bytes JSON takes in a JSON string.
pub fn escaped_len(json: &str) -> usize {
    json.len() + json.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count()
}

/// Appends JSON as it stands in a JSON string. JSON has no control characters to escape.
pub fn escape_into(json: &str, text: &mut String) {
    let mut rest = json;
    while let Some(at) = rest.find(['"', '\\']) {
        text.push_str(&rest[..at]);
        text.push('\\');
        text.push_str(&rest[at..=at]);
        rest = &rest[at + 1..];
    }
    text.push_str(rest);
}

/// Two texts are equal if their JSON is, however it is escaped.
impl PartialEq for Escaped {
    fn eq(&self, other: &Self) -> bool {
        let json = |escaped: &Self| {
            let mut json = Vec::new();
            escaped.unescape_into(&mut json).map(|()| json)
        };
        self.as_str() == other.as_str() || matches!((json(self), json(other)), (Ok(one), Ok(other)) if one == other)
    }
}

impl Eq for Escaped {}

impl fmt::Debug for Escaped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn unescaped(escaped: &Escaped) -> Result<String, NotEscaped> {
        let mut json = b"before".to_vec();
        escaped.unescape_into(&mut json)?;
        Ok(String::from_utf8(json).expect("UTF-8").split_off("before".len()))
    }

    proptest! {
        #[test]
        fn json_is_escaped_as_serde_does_it_and_comes_back(text in ".{0,40}") {
            let json = json!({"name": text}).to_string();
            let escaped = Escaped::of(&json);
            prop_assert_eq!(format!("\"{}\"", escaped.as_str()), serde_json::to_string(&json).expect("JSON"));
            prop_assert_eq!(escaped_len(&json), escaped.as_str().len());
            prop_assert_eq!(unescaped(&escaped).expect("escaped"), json);
        }
    }

    #[test]
    fn other_escapes_are_decoded_and_invalid_ones_are_refused() {
        let part = Escaped::copy_of;
        assert_eq!(unescaped(&part(r#"{\"a\":\"\u00e4\/\\n\"}"#)).expect("escaped"), r#"{"a":"ä/\n"}"#);
        for text in ["\\", "\\x", "\\u00", "\\ud800"] {
            assert_eq!(unescaped(&part(text)), Err(NotEscaped), "{text}");
        }
    }
}
