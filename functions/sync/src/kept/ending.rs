//! Turns a final page into a cut one, for when the project has moved on since the page was made.

use std::io::{self, Read, Write};

use axum::body::Bytes;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::body::LEVEL;

/// Returns the body with `has_more` and without its checksums.
pub(super) fn with_more(body: &Bytes, is_gzip: bool, mark: u64) -> io::Result<Bytes> {
    if !is_gzip {
        return Ok(Bytes::from(cut(body.to_vec(), mark)?));
    }
    let mut plain = Vec::with_capacity(body.len() * 8);
    GzDecoder::new(&body[..]).read_to_end(&mut plain)?;
    let mut gzip = GzEncoder::new(Vec::with_capacity(body.len()), LEVEL);
    gzip.write_all(&cut(plain, mark)?)?;
    let mut body = gzip.finish()?;
    body.shrink_to_fit();
    Ok(Bytes::from(body))
}

fn cut(mut json: Vec<u8>, mark: u64) -> io::Result<Vec<u8>> {
    // Only numbers and names of collections follow the checksums, so the last match is the right one.
    let ending = format!(r#"}},"timestamp":{mark}"#);
    let at = json.windows(ending.len()).rposition(|part| part == ending.as_bytes());
    json.truncate(at.ok_or_else(|| io::Error::other("a body without a timestamp"))?);
    json.extend_from_slice(ending.as_bytes());
    json.extend_from_slice(br#","has_more":true}"#);
    Ok(json)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shared::domain::{Checksums, CollectionName, Mark};

    use super::*;
    use crate::body::PullAnswer;

    fn mark() -> Mark {
        Mark::try_from(17).expect("a mark")
    }

    fn exact() -> PullAnswer {
        let mut checksums = Checksums::default();
        // A collection that only a newer version knows, whose name looks like the text that is searched for.
        checksums.set("timestamp".parse::<CollectionName>().expect("a name"), [1, 5, 7]);
        PullAnswer {
            deleted: vec!["tasks#a".parse().expect("a key")],
            checksums: Some(checksums),
            ..PullAnswer::empty(mark())
        }
    }

    #[test]
    fn a_final_page_becomes_one_with_more_and_is_otherwise_the_same() {
        let made = Bytes::from(exact().to_json().expect("whole rows"));
        let cut = with_more(&made, false, 17).expect("a body");
        let expected = PullAnswer { has_more: true, checksums: None, ..exact() }.to_json().expect("whole rows");
        assert_eq!(
            serde_json::from_slice::<Value>(&cut).expect("JSON"),
            serde_json::from_slice::<Value>(&expected).expect("JSON")
        );
        let mut gzip = GzEncoder::new(vec![], LEVEL);
        gzip.write_all(&made).expect("memory");
        let cut = with_more(&Bytes::from(gzip.finish().expect("memory")), true, 17).expect("a body");
        let mut plain = String::new();
        GzDecoder::new(&cut[..]).read_to_string(&mut plain).expect("gzip");
        let cut: Value = serde_json::from_str(&plain).expect("JSON");
        assert_eq!((&cut["timestamp"], &cut["has_more"], cut.get("checksum")), (&json!(17), &json!(true), None));
    }

    #[test]
    fn a_body_of_another_mark_is_refused() {
        let made = Bytes::from(exact().to_json().expect("whole rows"));
        assert!(with_more(&made, false, 16).is_err());
    }
}
