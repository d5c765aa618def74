//! A document at a URL of the configuration: where an issuer publishes its keys.

use std::io::Read;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full, Limited};
use lambda_http::http::{HeaderMap, Request, StatusCode, Uri, header};

use crate::outbound;

/// The largest document, compressed or not. Most issuers publish a few KB.
const MAX_DOCUMENT: usize = 1024 * 1024;
/// The maximum number of redirects, all on the same host.
const MAX_REDIRECTS: usize = 3;
/// The `User-Agent`, because firewalls reject clients without one.
const USER_AGENT: &str = concat!("trueppm/", env!("CARGO_PKG_VERSION"));

/// A document that is fetched anew each time.
pub(super) struct Document {
    uri: Uri,
    client: outbound::Client,
}

impl Document {
    pub(super) fn at(uri: Uri) -> Self {
        Self { uri, client: outbound::client() }
    }

    /// Fetches the document as it is now, or says why that failed. It follows a redirect on the same host only, because
    /// the URL in the configuration is the one that is trusted.
    pub(super) async fn fetch(&self) -> Result<Vec<u8>, String> {
        let mut uri = self.uri.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.client.request(request(&uri)?).await.map_err(|error| with_causes(&error))?;
            match response.status() {
                StatusCode::OK => {
                    let is_gzip = is_gzip(response.headers())?;
                    let body = Limited::new(response.into_body(), MAX_DOCUMENT);
                    let body = body.collect().await.map_err(|error| with_causes(&*error))?.to_bytes();
                    return if is_gzip { decompressed(&body) } else { Ok(body.into()) };
                }
                status if status.is_redirection() => uri = redirected(&uri, response.headers())?,
                status => return Err(format!("it answered {status}")),
            }
        }
        Err(format!("it redirected more than {MAX_REDIRECTS} times"))
    }
}

fn request(uri: &Uri) -> Result<Request<Full<Bytes>>, String> {
    let request = Request::get(uri)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "application/jwk-set+json, application/json;q=0.9, */*;q=0.1")
        .header(header::ACCEPT_ENCODING, "gzip");
    request.body(Full::default()).map_err(|error| error.to_string())
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, String> {
    let encoding = headers.get(header::CONTENT_ENCODING).map_or("identity", |value| value.to_str().unwrap_or("?"));
    match encoding.to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => Ok(true),
        "identity" => Ok(false),
        other => Err(format!("it answered in the encoding {other}")),
    }
}

fn decompressed(body: &[u8]) -> Result<Vec<u8>, String> {
    let mut document = Vec::new();
    let limit = MAX_DOCUMENT as u64 + 1;
    GzDecoder::new(body).take(limit).read_to_end(&mut document).map_err(|error| with_causes(&error))?;
    if document.len() > MAX_DOCUMENT { Err("it is too large".to_owned()) } else { Ok(document) }
}

/// The target of a redirect.
fn redirected(from: &Uri, headers: &HeaderMap) -> Result<Uri, String> {
    let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).ok_or("it redirects nowhere")?;
    let (scheme, authority) =
        (from.scheme_str().unwrap_or_default(), from.authority().map_or("", |part| part.as_str()));
    let directory = from.path().rsplit_once('/').map_or("", |(directory, _)| directory);
    let to = match location {
        _ if location.starts_with("//") => format!("{scheme}:{location}"),
        _ if location.starts_with('/') => format!("{scheme}://{authority}{location}"),
        _ if location.contains("://") => location.to_owned(),
        _ => format!("{scheme}://{authority}{directory}/{location}"),
    };
    let to: Uri = to.parse().map_err(|_| "it redirects to what is no URL")?;
    if origin(&to) == origin(from) { Ok(to) } else { Err(format!("it redirects elsewhere, to {to}")) }
}

fn origin(uri: &Uri) -> (Option<String>, Option<String>, u16) {
    let default_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let lower = |part: Option<&str>| part.map(str::to_ascii_lowercase);
    (lower(uri.scheme_str()), lower(uri.host()), uri.port_u16().unwrap_or(default_port))
}

fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use lambda_http::http::HeaderValue;

    use super::*;

    fn leads(location: &str) -> Option<String> {
        let headers = HeaderMap::from_iter([(header::LOCATION, HeaderValue::from_str(location).expect("a value"))]);
        let from = Uri::from_static("https://id.example/tenant/jwks.json");
        redirected(&from, &headers).ok().map(|to| to.to_string())
    }

    #[test]
    fn a_redirect_is_followed_on_the_same_host_alone() {
        for (location, expected) in [
            ("/keys", "https://id.example/keys"),
            ("v2/keys?x=1", "https://id.example/tenant/v2/keys?x=1"),
            ("//id.example/keys", "https://id.example/keys"),
            ("https://ID.example:443/keys", "https://ID.example:443/keys"),
        ] {
            assert_eq!(leads(location).as_deref(), Some(expected), "{location}");
        }
        for elsewhere in [
            "https://other.example/keys",
            "//other.example/keys",
            "http://id.example/keys",
            "https://id.example:8443/keys",
            "https://id.example.other.example/keys",
            "https://id.example@other.example/keys",
            "ftp://id.example/keys",
            "https:///keys",
        ] {
            assert_eq!(leads(elsewhere), None, "{elsewhere}");
        }
    }
}
