//! Content encodings that a client accepts.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

/// The encoding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
}

impl Encoding {
    /// The encoding for a response: gzip if `Accept-Encoding` allows it and does not prefer an uncompressed body.
    fn accepted_by(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
        let (mut gzip, mut identity, mut any) = (None, None, None);
        for part in lines.flat_map(|line| line.split(',')) {
            let (coding, weight) = part.split_once(';').unwrap_or((part, "q=1"));
            let weight = weight.trim().strip_prefix(['q', 'Q']).and_then(|q| q.trim_start().strip_prefix('='));
            // A weight that is not a number says nothing that can be relied upon.
            let weight: f32 = weight.and_then(|weight| weight.trim().parse().ok()).unwrap_or(0.0);
            match coding.trim().to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => gzip = Some(weight),
                "identity" => identity = Some(weight),
                "*" => any = Some(weight),
                _ => {}
            }
        }
        let gzip = gzip.or(any).unwrap_or(0.0);
        if gzip > 0.0 && gzip >= identity.unwrap_or(0.0) { Self::Gzip } else { Self::Identity }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Encoding {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::accepted_by(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts_gzip(lines: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::ACCEPT_ENCODING, line.parse().expect("a header"));
        }
        Encoding::accepted_by(&headers) == Encoding::Gzip
    }

    #[test]
    fn gzip_is_used_if_it_is_accepted_and_not_less_preferred_than_the_plain_body() {
        for accepted in
            ["gzip", "gzip, deflate", "br;q=1.0, GZIP;q=0.8, *;q=0.1", "*", "deflate,x-gzip ; q=0.5", "identity, gzip"]
        {
            assert!(accepts_gzip(&[accepted]), "{accepted}");
        }
        for refused in
            ["", "br", "gzip;q=0", "gzip; q=0.0, *", "*;q=0", "identity;q=1, gzip;q=0.5", "gzip;q=x", "gzipped"]
        {
            assert!(!accepts_gzip(&[refused]), "{refused}");
        }
        assert!(accepts_gzip(&["br", "gzip"]) && !accepts_gzip(&[]));
    }
}
