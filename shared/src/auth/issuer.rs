//! Keys that an issuer publishes at a URL.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lambda_http::http::Uri;
use tokio::time::{Instant, timeout};

use super::TokenError;
use super::document::Document;
use super::keys::{Key, public_keys};

/// The time limit for one fetch, from the look-up of the name to the last byte.
const FETCH: Duration = Duration::from_secs(2);
/// The minimum time between two fetches if there are keys, whatever key ids tokens name.
const PAUSE: Duration = Duration::from_secs(60);
/// The minimum time between two fetches if there are no keys.
const PAUSE_WITHOUT_KEYS: Duration = Duration::from_secs(5);
/// The time after which a withdrawn key is no longer accepted, if the issuer can be reached.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// The time after which no key is accepted any more, because an issuer that cannot be reached cannot withdraw keys.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The issuer's keys, which are fetched, cached, and fetched again if a token names an unknown key.
pub(super) struct Issuer {
    document: Document,
    known: Mutex<Known>,
    /// Held while fetching, so that many requests fetch once.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct Known {
    keys: Arc<[Key]>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

impl Known {
    /// The keys, unless they are too old.
    fn usable(&self) -> Arc<[Key]> {
        match self.fetched {
            Some(fetched) if fetched.elapsed() < MAX_AGE => Arc::clone(&self.keys),
            _ => Arc::default(),
        }
    }

    /// Whether the keys must be fetched before a token with this key id is verified.
    fn is_due(&self, id: Option<&str>) -> bool {
        let Some(tried) = self.tried else { return true };
        let keys = self.usable();
        if keys.is_empty() {
            return tried.elapsed() >= PAUSE_WITHOUT_KEYS;
        }
        // A key without an id may be the one that the token names. But a new key with that id may also have been published since.
        let has_named = id.is_none() || keys.iter().any(|key| key.id.as_deref() == id);
        let stale = self.fetched.is_none_or(|fetched| fetched.elapsed() >= FRESH);
        (stale || !has_named) && tried.elapsed() >= PAUSE
    }

    /// Whether the last fetch failed.
    fn is_out_of_reach(&self) -> bool {
        self.fetched.is_none() || self.fetched < self.tried
    }
}

impl Issuer {
    /// The issuer at a URL. The error says what is wrong with the URL. Fetches nothing yet.
    pub(super) fn at(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|_| "it is not a URL".to_owned())?;
        let host = uri.host().ok_or("it is not a URL")?;
        match uri.scheme_str() {
            Some("https") => {}
            // Plain HTTP is for a development server or a sidecar on this machine. Keys from any other host could be replaced on
            // the way.
            Some("http") if is_loopback(host) => {}
            _ => return Err("it must begin with https://".to_owned()),
        }
        let document = Document::at(uri);
        Ok(Self { document, known: Mutex::default(), fetching: tokio::sync::Mutex::default() })
    }

    /// The keys to verify a token that names this key.
    ///
    /// `KeysUnavailable` if there are none, or if the token names an unknown key and the keys could not be fetched again.
    pub(super) async fn keys(&self, id: Option<&str>) -> Result<Arc<[Key]>, TokenError> {
        if self.known().is_due(id) {
            let _alone = self.fetching.lock().await;
            // Another request may have fetched the keys just now.
            if self.known().is_due(id) {
                self.fetch().await;
            }
        }
        let known = self.known();
        let keys = known.usable();
        if keys.iter().any(|key| key.may_be(id)) {
            Ok(keys)
        } else if keys.is_empty() || known.is_out_of_reach() {
            Err(TokenError::KeysUnavailable)
        } else {
            Err(TokenError::Invalid)
        }
    }

    /// Fetches the keys. If that fails, the cached ones are kept, and the reason is logged. An empty set also replaces them: the
    /// issuer has withdrawn its keys.
    pub(super) async fn fetch(&self) {
        let fetched = match timeout(FETCH, self.document.fetch()).await {
            Ok(Ok(document)) => public_keys(&document),
            Ok(Err(reason)) => Err(reason),
            Err(_) => Err(format!("no answer within {} s", FETCH.as_secs())),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        known.tried = Some(now);
        let reason = match fetched {
            Ok(keys) => {
                (known.keys, known.fetched) = (keys.into(), Some(now));
                known.keys.is_empty().then(|| "it has no signature key for RS256, ES256 or EdDSA".to_owned())
            }
            Err(reason) => Some(reason),
        };
        if let Some(reason) = reason {
            let keys = known.usable().len();
            tracing::error!(alarm = "keys_unavailable", reason, keys, "JWT_JWKS_URL gave no keys");
        }
    }

    fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
