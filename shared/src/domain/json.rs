//! Reads JSON from outside. All such JSON must be read here.
//!
//! `serde_json` treats an object with its private key `$serde_json::private::RawValue` as JSON inside a text, and reads that text
//! with a new depth limit. A few KB of it overflow the stack and end the process. Of equal keys, `serde_json` keeps the last one,
//! while another reader may keep the first. This module refuses private and repeated keys, so later readers never see them. One
//! depth limit (serde_json's 128) applies to the whole text.

use std::fmt;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::map::Entry;
use serde_json::{Number, Value};
use serde_path_to_error::{Path, Segment};

use super::Columns;

/// The prefix of keys that have a special meaning in `serde_json`.
const PRIVATE_KEYS: &str = "$serde_json::private::";

/// The largest integer up to which 64-bit floating point represents every integer exactly.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// A text that is not JSON or is refused, with the place.
#[derive(Debug, Clone)]
pub struct InvalidJson {
    path: Path,
    message: String,
}

impl InvalidJson {
    /// The index of the invalid element, if the error is inside the array in this member of the object.
    pub fn element_of(&self, member: &str) -> Option<usize> {
        match (self.path.iter().next(), self.path.iter().nth(1)) {
            (Some(Segment::Map { key }), Some(Segment::Seq { index })) if key == member => Some(*index),
            _ => None,
        }
    }
}

impl std::error::Error for InvalidJson {}

impl fmt::Display for InvalidJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.iter().len() > 0 {
            write!(f, "{}: ", shown(&self.path.to_string()))?;
        }
        f.write_str(&self.message)
    }
}

/// The value of a JSON text. Integers can be written in any form: `5.0` and `5e0` are 5.
pub fn value(text: &[u8]) -> Result<Value, InvalidJson> {
    match serde_json::from_slice(text) {
        Ok(Foreign(value)) => Ok(value),
        Err(error) => Err(located(text, &error)),
    }
}

/// The object of a JSON text. `None` if the text is another value.
pub fn object(text: &[u8]) -> Result<Option<Columns>, InvalidJson> {
    Ok(match value(text)? {
        Value::Object(object) => Some(object),
        _ => None,
    })
}

/// The integer that a number equals, if it does and its integer is exact.
pub fn integer(number: f64) -> Option<i64> {
    // Within these bounds the conversion loses nothing.
    (number.fract() == 0.0 && number.abs() <= MAX_EXACT).then_some(number as i64)
}

/// The beginning of a key or a path, which can be as long as the whole text.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Reads the text again to find the place of the error. Tracking the place takes time that only errors should cost.
fn located(text: &[u8], error: &serde_json::Error) -> InvalidJson {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    match serde_path_to_error::deserialize::<_, Foreign>(&mut deserializer) {
        Err(located) => InvalidJson { message: located.inner().to_string(), path: located.path().clone() },
        // It is behind the value.
        Ok(_) => InvalidJson { message: error.to_string(), path: serde_path_to_error::Track::new().path() },
    }
}

/// A value that is read by the rules of this file.
struct Foreign(Value);

impl<'de> Deserialize<'de> for Foreign {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyForeign).map(Self)
    }
}

struct AnyForeign;

impl<'de> Visitor<'de> for AnyForeign {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(flag.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(match integer(number) {
            Some(integer) => integer.into(),
            None => Number::from_f64(number).map_or(Value::Null, Value::Number),
        })
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Foreign(element)) = elements.next_element()? {
            array.push(element);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Columns::new();
        while let Some(key) = members.next_key::<String>()? {
            if key.starts_with(PRIVATE_KEYS) {
                return Err(A::Error::custom(format_args!("the key {:?} is reserved", shown(&key))));
            }
            match object.entry(key) {
                Entry::Occupied(entry) => {
                    return Err(A::Error::custom(format_args!("the key {:?} occurs twice", shown(entry.key()))));
                }
                Entry::Vacant(entry) => entry.insert(members.next_value::<Foreign>()?.0),
            };
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// The smallest stack that a thread of the product has. A function's own stack is larger.
    const STACK: usize = 2 * 1024 * 1024;

    fn refusal(text: &str) -> String {
        value(text.as_bytes()).expect_err("refused").to_string()
    }

    /// JSON that `serde_json` alone reads as arrays 124 deep, in which a text is read as such arrays, so many times.
    fn nested(levels: usize) -> String {
        let quote = |level: usize| match level {
            0 => "\"".to_owned(),
            level => format!("\\{}u0022", "u005c".repeat(level - 1)),
        };
        let open = |level| {
            let quote = quote(level);
            format!("{{{quote}{PRIVATE_KEYS}RawValue{quote}:{quote}{}", "[".repeat(124))
        };
        let close = |level| format!("{}{}}}", "]".repeat(124), quote(level));
        let (open, close): (String, String) = ((0..levels).map(open).collect(), (0..levels).rev().map(close).collect());
        format!("{open}1{close}")
    }

    #[test]
    fn no_text_is_deeper_than_the_stack_whatever_its_keys_are_called() {
        assert_eq!(serde_json::from_str::<Value>(&nested(1)).expect("JSON")[0][0].to_string().len(), 122 + 1 + 122);
        let read = || {
            for levels in [60, 20, 2, 1] {
                assert!(refusal(&nested(levels)).contains("reserved"));
                assert!(refusal(&format!("{{\"a\":[{}]}}", nested(levels))).starts_with("a[0]: the key"));
            }
            for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[[],{\"$serde_json\":", "}]")] {
                assert!(refusal(&open.repeat(100_000)).contains("recursion limit"));
                assert!(value(format!("{}1{}", open.repeat(60), close.repeat(60)).as_bytes()).is_ok());
            }
        };
        let thread = std::thread::Builder::new().stack_size(STACK).spawn(read).expect("a thread");
        thread.join().expect("read or refused");
    }

    #[test]
    fn a_key_that_serde_json_gives_a_meaning_of_its_own_is_refused_wherever_it_is() {
        for name in ["RawValue", "Number", "Datetime"] {
            for text in [r#"{"KEY":"1"}"#, r#"{"a":1,"KEY":"1"}"#, r#"[{"b":{"KEY":{}}}]"#] {
                let text = text.replace("KEY", &format!("$serde_json::private::{name}"));
                assert!(refusal(&text).contains("reserved"), "{text}");
            }
        }
        assert_eq!(value(br#"{"$serde_json":"1"}"#).expect("JSON"), json!({"$serde_json": "1"}));
    }

    #[test]
    fn a_key_is_there_once_in_each_object() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"b":1,"a":1,"b":2}]"#, r#"{"a":{"b":1,"\u0062":2}}"#] {
            assert!(refusal(text).contains("occurs twice"), "{text}");
        }
        assert!(value(br#"{"a":{"a":[{"a":1},{"a":1}]}}"#).is_ok());
    }

    #[test]
    fn a_refusal_names_the_place() {
        let batch = r#"{"operations":[{"body":{"name":"ok"}},{"body":{"name":"cut \ud83d"}}]}"#;
        let error = value(batch.as_bytes()).expect_err("half a character");
        assert!(error.to_string().starts_with("operations[1].body.name: "), "{error}");
        assert_eq!((error.element_of("operations"), error.element_of("other")), (Some(1), None));
        let error = value(b"{\"operations\":[1]}x").expect_err("more than one value");
        assert_eq!(error.element_of("operations"), None);
        assert!(error.to_string().starts_with("trailing characters"), "{error}");
        assert!(refusal(&format!("{{\"{0}\":1,\"{0}\":1}}", "k".repeat(10_000))).len() < 200);
        assert!(refusal(&format!("{{\"{}\":[", "k".repeat(10_000))).len() < 200);
    }

    #[test]
    fn an_integer_is_one_however_it_is_written() {
        for (text, expected) in [
            ("5.0", json!(5)),
            ("1e1", json!(10)),
            ("-0.0", json!(0)),
            ("-12.5e1", json!(-125)),
            ("5.5", json!(5.5)),
            ("1e300", json!(1e300)),
            ("9007199254740992.0", json!(9_007_199_254_740_992_u64)),
            ("18446744073709551615", json!(u64::MAX)),
        ] {
            assert_eq!(value(text.as_bytes()).expect("JSON"), expected, "{text}");
        }
        assert!(value(b"1e400").is_err());
    }

    /// Any JSON, keys and texts that need escaping included.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            // Eighths: their decimals are short, and so read back as what they are.
            any::<i32>().prop_map(|eighths| f64::from(eighths) / 8.0).prop_map(|number| match integer(number) {
                Some(integer) => integer.into(),
                None => number.into(),
            }),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|object| Value::Object(object.into_iter().collect())),
            ]
        })
    }

    /// Texts that look like JSON, and mostly are not.
    fn almost_json() -> impl Strategy<Value = Vec<u8>> {
        let pieces = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"",
            "\\",
            "\\u",
            "ud83d",
            "dc4d",
            "0",
            "-",
            "1",
            "e",
            ".",
            "null",
            "true",
            "\"a\"",
            "\"a\":",
            "\"$serde_json::private::RawValue\":",
            "\"[[1]]\"",
            " ",
            "\u{0}",
            "ä",
        ]);
        let text = prop::collection::vec(pieces, 0..30).prop_map(|pieces| pieces.concat().into_bytes());
        let cut = (any_json(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(json, at, byte)| {
            let mut text = json.to_string().into_bytes();
            let at = at.index(text.len());
            text[at] = byte;
            text
        });
        prop_oneof![prop::collection::vec(any::<u8>(), 0..60), text, cut]
    }

    proptest! {
        #[test]
        fn what_json_says_is_read(json in any_json()) {
            let read = value(json.to_string().as_bytes());
            prop_assert_eq!(read.expect("JSON").to_string(), json.to_string());
        }

        #[test]
        fn what_is_read_is_json_and_what_is_refused_is_none_or_forbidden(text in almost_json()) {
            match (value(&text), serde_json::from_slice::<Value>(&text)) {
                (Ok(_), Ok(_)) | (Err(_), Err(_)) => {}
                (Err(refusal), Ok(_)) => {
                    let refusal = refusal.to_string();
                    prop_assert!(refusal.contains("occurs twice") || refusal.contains("is reserved"), "{}", refusal);
                }
                (Ok(value), Err(error)) => prop_assert!(false, "{} is read although {}", value, error),
            }
        }
    }
}
