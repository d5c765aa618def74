//! The body of an answer as an idempotency record keeps it: unchanged, or compressed if an item could not hold it otherwise.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// The same name as in `layout.rs`, which reads bodies from here.
type Item = HashMap<String, AttributeValue>;

pub(super) const BODY: &str = "body";
/// A longer body is compressed, and no other, because older versions of this code fail to read a compressed one.
const MAX_PLAIN_BODY: usize = 380 * 1024;
/// An item holds 400 KB, of which key, headers and the rest take less than 4. A row's JSON has less than 400 KB, and compression
/// shortens any text in UTF-8 by at least a tenth. So every row fits.
const MAX_KEPT_BODY: usize = 396 * 1024;

/// A body as it is kept.
pub(super) fn kept(body: &str) -> AttributeValue {
    if body.len() <= MAX_PLAIN_BODY {
        return AttributeValue::S(body.to_owned());
    }
    gzip(body).map_or_else(|_| AttributeValue::S(body.to_owned()), |bytes| AttributeValue::B(Blob::new(bytes)))
}

/// Whether an item with this body is within DynamoDB's limit.
pub(super) fn fits(item: &Item) -> bool {
    match item.get(BODY) {
        Some(AttributeValue::B(compressed)) => compressed.as_ref().len() <= MAX_KEPT_BODY,
        Some(AttributeValue::S(body)) => body.len() <= MAX_PLAIN_BODY,
        _ => true,
    }
}

fn gzip(body: &str) -> io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(body.as_bytes())?;
    gzip.finish()
}

/// The body that an item holds. None if it cannot be read.
pub(super) fn body_of(item: &Item) -> Option<String> {
    match item.get(BODY) {
        None | Some(AttributeValue::Null(true)) => Some(String::new()),
        Some(AttributeValue::S(body)) => Some(body.clone()),
        Some(AttributeValue::B(compressed)) => {
            let mut body = String::new();
            GzDecoder::new(compressed.as_ref()).read_to_string(&mut body).ok()?;
            Some(body)
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text that compresses as little as UTF-8 allows. The longer a character is in UTF-8, the rarer it is here.
    fn noise(bytes: usize) -> String {
        let mut random = fastrand::Rng::with_seed(7);
        let mut text = String::new();
        while text.len() < bytes - 4 {
            text.push(match random.u32(..1_000) {
                0..814 => random.char(' '..='~'),
                814..955 => random.char('\u{80}'..='\u{7ff}'),
                955..994 => random.char('\u{800}'..='\u{ffff}'),
                _ => random.char('\u{10000}'..),
            });
        }
        text
    }

    #[test]
    fn the_longest_row_can_be_kept_whatever_it_says_and_is_the_same_again() {
        let ascii = std::iter::repeat_with({
            let mut random = fastrand::Rng::with_seed(8);
            move || random.char(' '..='~')
        });
        for body in [noise(400 * 1024), ascii.take(400 * 1024).collect(), "ä".repeat(200 * 1024), "a".to_owned()] {
            let kept = kept(&body);
            let plain = matches!(kept, AttributeValue::S(_));
            let item = [(BODY.to_owned(), kept)].into();
            assert_eq!((plain, fits(&item)), (body.len() <= MAX_PLAIN_BODY, true));
            assert_eq!(body_of(&item), Some(body));
        }
        assert_eq!(body_of(&Item::new()), Some(String::new()));
    }

    #[test]
    fn a_body_that_cannot_be_read_or_kept_is_an_error() {
        let broken = gzip(&"a".repeat(1_000)).expect("compressed");
        let item = |value| Item::from([(BODY.to_owned(), value)]);
        assert_eq!(body_of(&item(AttributeValue::B(Blob::new(&broken[..broken.len() - 9])))), None);
        assert_eq!(body_of(&item(AttributeValue::N("1".to_owned()))), None);
        assert!(!fits(&item(kept(&noise(500 * 1024)))) && fits(&Item::new()));
    }
}
