//! The body of a kept answer: plain, or compressed with gzip when it is long.

use std::io::{self, Read, Write};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// A longer body is compressed. Only where it has to be: an older version of this code cannot read it, and says so.
const MAX_PLAIN_BODY: usize = 380 * 1024;
/// An item holds 400 KB, of which key, headers and the rest take less than 4. A row's JSON takes less than 400 KB, and text
/// in UTF-8 that does not compress by a tenth does not exist.
const MAX_KEPT_BODY: usize = 396 * 1024;

/// A body as it is kept; none when it is too long for that.
pub(super) fn kept(body: &str) -> Option<AttributeValue> {
    if body.len() <= MAX_PLAIN_BODY {
        return Some(AttributeValue::S(body.to_owned()));
    }
    let compressed = gzip(body).ok().filter(|bytes| bytes.len() <= MAX_KEPT_BODY)?;
    Some(AttributeValue::B(Blob::new(compressed)))
}

fn gzip(body: &str) -> io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(body.as_bytes())?;
    gzip.finish()
}

/// The body that an item keeps in this attribute; none when it cannot be read.
pub(super) fn of(attribute: Option<&AttributeValue>) -> Option<String> {
    match attribute {
        None => Some(String::new()),
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

    /// Text that compresses as little as UTF-8 allows: each character as likely as its length makes good.
    fn noise(bytes: usize) -> String {
        let mut random = fastrand::Rng::with_seed(7);
        let mut text = String::new();
        while text.len() < bytes - 4 {
            text.push(match random.u32(..1_000) {
                ..814 => random.char(' '..='~'),
                ..955 => random.char('\u{80}'..='\u{7ff}'),
                ..994 => random.char('\u{800}'..='\u{ffff}'),
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
            let kept = kept(&body).expect("short enough");
            let plain = matches!(kept, AttributeValue::S(_));
            assert_eq!(plain, body.len() <= MAX_PLAIN_BODY);
            assert_eq!(of(Some(&kept)), Some(body));
        }
        assert_eq!(of(None), Some(String::new()));
    }

    #[test]
    fn what_cannot_be_read_or_kept_is_an_error_and_no_answer() {
        let broken = gzip(&"a".repeat(1_000)).expect("compressed");
        assert_eq!(of(Some(&AttributeValue::B(Blob::new(&broken[..broken.len() - 9])))), None);
        assert_eq!(of(Some(&AttributeValue::N("1".to_owned()))), None);
        assert_eq!(kept(&noise(500 * 1024)), None);
    }
}
