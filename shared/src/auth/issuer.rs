//! Keys that an issuer publishes at a URL.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use lambda_http::http::{StatusCode, Uri};
use tokio::time::{Instant, timeout};

use super::TokenError;
use super::keys::{Key, public_keys};
use crate::outbound;

/// One fetch, from the look-up of the name to the last byte.
const FETCH: Duration = Duration::from_secs(2);
/// The largest document; what issuers publish has a few KB.
const MAX_DOCUMENT: usize = 128 * 1024;
/// With keys in hand the issuer is not asked more often, whatever key ids tokens name.
const PAUSE: Duration = Duration::from_secs(60);
/// Without any.
const PAUSE_WITHOUT_KEYS: Duration = Duration::from_secs(5);
/// A key that the issuer has withdrawn is no longer accepted after so long, if the issuer can be reached.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// The issuer's keys: fetched, kept, and fetched again when a token names one that is not among them.
pub(super) struct Issuer {
    uri: Uri,
    client: outbound::Client,
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
    fn has(&self, id: Option<&str>) -> bool {
        self.keys.iter().any(|key| key.may_be(id))
    }

    /// Is the issuer to be asked before a token with this key id is checked?
    fn is_due(&self, id: Option<&str>) -> bool {
        let Some(tried) = self.tried else { return true };
        if self.keys.is_empty() {
            return tried.elapsed() >= PAUSE_WITHOUT_KEYS;
        }
        let stale = self.fetched.is_none_or(|fetched| fetched.elapsed() >= FRESH);
        (stale || !self.has(id)) && tried.elapsed() >= PAUSE
    }

    /// Did the issuer not answer when it was asked last?
    fn is_out_of_reach(&self) -> bool {
        self.fetched.is_none() || self.fetched < self.tried
    }
}

impl Issuer {
    /// The issuer at a URL; the error says what is wrong with that. Nothing is fetched yet.
    pub(super) fn at(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|_| "it is no URL".to_owned())?;
        let host = uri.host().ok_or("it is no URL")?;
        match uri.scheme_str() {
            Some("https") => {}
            // A development server or a sidecar; anyone else's keys could be exchanged on the way.
            Some("http") if is_loopback(host) => {}
            _ => return Err("it must begin with https://".to_owned()),
        }
        Ok(Self { uri, client: outbound::client(), known: Mutex::default(), fetching: tokio::sync::Mutex::default() })
    }

    /// The keys to check a token with that names this key.
    ///
    /// `KeysUnavailable` when there are none yet, or when the token names one that is not among those in hand and the
    /// issuer could not be asked about it.
    pub(super) async fn keys(&self, id: Option<&str>) -> Result<Arc<[Key]>, TokenError> {
        if self.known().is_due(id) {
            let _alone = self.fetching.lock().await;
            // Someone else may just have fetched them.
            if self.known().is_due(id) {
                self.fetch().await;
            }
        }
        let known = self.known();
        if known.has(id) {
            Ok(known.keys)
        } else if known.is_out_of_reach() {
            Err(TokenError::KeysUnavailable)
        } else {
            Err(TokenError::Invalid)
        }
    }

    /// Fetches the keys. When that fails those in hand are kept, and the log says why.
    pub(super) async fn fetch(&self) {
        let fetched = match timeout(FETCH, self.document()).await {
            Ok(Ok(document)) => public_keys(&document),
            Ok(Err(reason)) => Err(reason),
            Err(_) => Err(format!("no answer within {} s", FETCH.as_secs())),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        known.tried = Some(now);
        match fetched {
            Ok(keys) => (known.keys, known.fetched) = (keys.into(), Some(now)),
            Err(reason) => {
                tracing::error!(
                    alarm = "keys_unavailable",
                    reason,
                    keys = known.keys.len(),
                    "JWT_JWKS_URL gave no keys"
                );
            }
        }
    }

    /// No redirect is followed: the URL in the configuration is the one that is trusted.
    async fn document(&self) -> Result<Vec<u8>, String> {
        let response = self.client.get(self.uri.clone()).await.map_err(|error| with_causes(&error))?;
        if response.status() != StatusCode::OK {
            return Err(format!("it answered {}", response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_DOCUMENT);
        Ok(body.collect().await.map_err(|error| with_causes(&*error))?.to_bytes().into())
    }

    fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
