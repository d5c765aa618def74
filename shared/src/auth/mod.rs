//! Who is calling: a JWT, checked against keys that the configuration names.

mod crypto;
mod issuer;
mod keys;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;

use crate::domain::UserId;
pub use crypto::use_ring;
use issuer::Issuer;
use keys::{Key, public_keys};

/// Clock skew that `exp` and `nbf` are given, in seconds.
const LEEWAY: u64 = 60;
/// HS256 is as strong as its secret; RFC 7518 asks for at least the hash's size.
const MIN_SECRET: usize = 32;
/// The longest token, in bytes; the gateway lets 10 KB of headers in.
const MAX_TOKEN: usize = 8 * 1024;

/// Checks bearer tokens: HS256 with a shared secret, or RS256, ES256 and EdDSA with public keys.
///
/// Which algorithm a token may use comes from the key it is checked with, never from the token. `exp` is required, `nbf`
/// honoured, `iss` and `aud` required and checked when they are configured. `sub` is the user's id.
pub struct Verifier {
    source: Source,
    issuer: Option<String>,
    audience: Option<String>,
}

enum Source {
    /// A secret, or keys that the configuration holds.
    Fixed(Arc<[Key]>),
    Issuer(Box<Issuer>),
}

/// What is wrong with the configuration, in one line.
#[derive(PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// None of the sources of keys is set.
    #[error("no keys to check tokens with: set JWT_SECRET (HS256), JWT_JWKS or JWT_JWKS_URL (RS256, ES256, EdDSA)")]
    NoKeys,
    /// More than one source of keys is set.
    #[error("set one of JWT_SECRET, JWT_JWKS and JWT_JWKS_URL, not several")]
    Contradiction,
    /// The secret can be guessed.
    #[error("JWT_SECRET is shorter than 32 bytes")]
    ShortSecret,
    /// The JWKS holds nothing that verifies.
    #[error("JWT_JWKS is not usable: {0}")]
    BadJwks(String),
    /// Keys cannot be fetched from there.
    #[error("JWT_JWKS_URL is not usable: {0}")]
    BadJwksUrl(String),
}

/// The sentence: what `main` returns is printed this way.
impl fmt::Debug for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Why a request has no caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No `Authorization: Bearer` header.
    #[error("no bearer token")]
    Missing,
    /// Expired more than a minute ago.
    #[error("the token has expired")]
    Expired,
    /// Anything else: bad signature, wrong algorithm, issuer or audience, no usable `sub`.
    #[error("the token is not valid")]
    Invalid,
    /// The issuer's keys could not be fetched, so nothing can be said about the token.
    #[error("there are no keys to check the token with")]
    KeysUnavailable,
}

#[derive(Deserialize)]
struct Claims {
    sub: UserId,
}

impl Verifier {
    /// The verifier that the environment describes: `JWT_SECRET`, `JWT_JWKS` or `JWT_JWKS_URL`, `JWT_ISSUER`, `JWT_AUDIENCE`.
    ///
    /// Fetches the keys of a URL; when that fails they are fetched later.
    pub async fn from_env() -> Result<Self, ConfigError> {
        let verifier = Self::configured(|name| std::env::var(name).ok())?;
        if let Source::Issuer(issuer) = &verifier.source {
            issuer.fetch().await;
        }
        Ok(verifier)
    }

    /// The verifier that variables describe; an empty one counts as not set. Keys of a URL are fetched at the first token.
    pub fn configured(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        use_ring();
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let source = match (set("JWT_SECRET"), set("JWT_JWKS"), set("JWT_JWKS_URL")) {
            (Some(secret), None, None) if secret.len() < MIN_SECRET => return Err(ConfigError::ShortSecret),
            (Some(secret), None, None) => Source::Fixed([Key::secret(secret.as_bytes())].into()),
            (None, Some(jwks), None) => {
                Source::Fixed(public_keys(jwks.as_bytes()).map_err(ConfigError::BadJwks)?.into())
            }
            (None, None, Some(url)) => Source::Issuer(Box::new(Issuer::at(&url).map_err(ConfigError::BadJwksUrl)?)),
            (None, None, None) => return Err(ConfigError::NoKeys),
            _ => return Err(ConfigError::Contradiction),
        };
        Ok(Self { source, issuer: set("JWT_ISSUER"), audience: set("JWT_AUDIENCE") })
    }

    /// The caller that an `Authorization` header names.
    pub async fn caller(&self, authorization: Option<&str>) -> Result<UserId, TokenError> {
        let (scheme, token) = authorization.and_then(|value| value.split_once(' ')).ok_or(TokenError::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(TokenError::Missing);
        }
        let token = token.trim();
        if token.len() > MAX_TOKEN {
            return Err(TokenError::Invalid);
        }
        let header = decode_header(token).map_err(|_| TokenError::Invalid)?;
        // Extensions that must be understood (RFC 7515, 4.1.11): none is.
        if header.crit.is_some() {
            return Err(TokenError::Invalid);
        }
        let id = header.kid.as_deref();
        let keys = match &self.source {
            Source::Fixed(keys) => Arc::clone(keys),
            Source::Issuer(issuer) => issuer.keys(id).await?,
        };
        let mut refusal = TokenError::Invalid;
        for key in keys.iter().filter(|key| key.algorithm == header.alg && key.may_be(id)) {
            match decode::<Claims>(token, &key.key, &self.validation(key.algorithm)) {
                Ok(token) => return Ok(token.claims.sub),
                Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => refusal = TokenError::Expired,
                Err(_) => {}
            }
        }
        Err(refusal)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        let mut required = HashSet::from(["exp".to_owned(), "sub".to_owned()]);
        // The library checks a claim only if the token has it, unless it is required.
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.insert("iss".to_owned());
        }
        match &self.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.insert("aud".to_owned());
            }
            None => validation.validate_aud = false,
        }
        validation.required_spec_claims = required;
        validation
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
    use ring::rand::SystemRandom;
    use ring::{hmac, signature as public};
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn verifier(variables: &[(&str, &str)]) -> Result<Verifier, ConfigError> {
        Verifier::configured(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    fn hs256(claims: &Value) -> String {
        let token = encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes()));
        format!("Bearer {}", token.expect("a token"))
    }

    fn in_seconds(seconds: i64) -> i64 {
        i64::try_from(get_current_timestamp()).expect("now") + seconds
    }

    async fn check(claims: Value) -> Result<String, TokenError> {
        let verifier = verifier(&[("JWT_SECRET", SECRET)]).expect("a verifier");
        verifier.caller(Some(&hs256(&claims))).await.map(String::from)
    }

    #[test]
    fn missing_short_or_contradictory_configuration_is_refused() {
        let refused = |variables: &[(&str, &str)]| verifier(variables).err();
        assert_eq!(refused(&[]), Some(ConfigError::NoKeys));
        assert_eq!(refused(&[("JWT_SECRET", "")]), Some(ConfigError::NoKeys));
        assert_eq!(refused(&[("JWT_SECRET", "short")]), Some(ConfigError::ShortSecret));
        assert_eq!(refused(&[("JWT_SECRET", SECRET), ("JWT_JWKS", "{}")]), Some(ConfigError::Contradiction));
        assert!(matches!(refused(&[("JWT_JWKS", "{}")]), Some(ConfigError::BadJwks(_))));
        let symmetric = r#"{"keys":[{"kty":"oct","k":"AAECAwQFBgc","alg":"HS256"}]}"#;
        assert_eq!(
            refused(&[("JWT_JWKS", JWKS), ("JWT_JWKS_URL", "https://example.com/")]),
            Some(ConfigError::Contradiction)
        );
        assert!(matches!(refused(&[("JWT_JWKS_URL", "http://example.com/")]), Some(ConfigError::BadJwksUrl(_))));
        assert!(matches!(refused(&[("JWT_JWKS", symmetric)]), Some(ConfigError::BadJwks(_))));
    }

    #[tokio::test]
    async fn the_subject_is_the_caller() {
        assert_eq!(check(json!({"sub": "ann", "exp": in_seconds(60)})).await, Ok("ann".to_owned()));
    }

    #[tokio::test]
    async fn a_token_expires_after_a_minute_of_leeway() {
        assert!(check(json!({"sub": "ann", "exp": in_seconds(-50)})).await.is_ok());
        assert_eq!(check(json!({"sub": "ann", "exp": in_seconds(-70)})).await, Err(TokenError::Expired));
        assert_eq!(check(json!({"sub": "ann"})).await, Err(TokenError::Invalid));
    }

    #[tokio::test]
    async fn a_token_is_not_valid_before_its_time() {
        assert!(check(json!({"sub": "ann", "exp": in_seconds(600), "nbf": in_seconds(50)})).await.is_ok());
        let early = check(json!({"sub": "ann", "exp": in_seconds(600), "nbf": in_seconds(70)})).await;
        assert_eq!(early, Err(TokenError::Invalid));
    }

    #[tokio::test]
    async fn a_subject_has_1_to_128_characters() {
        for sub in [json!(""), json!("x".repeat(129)), json!(7), json!(null), json!("a\0b")] {
            assert_eq!(check(json!({"sub": sub, "exp": in_seconds(60)})).await, Err(TokenError::Invalid));
        }
        assert_eq!(check(json!({"exp": in_seconds(60)})).await, Err(TokenError::Invalid));
    }

    #[tokio::test]
    async fn issuer_and_audience_are_required_when_configured_and_ignored_otherwise() {
        let strict = verifier(&[("JWT_SECRET", SECRET), ("JWT_ISSUER", "us"), ("JWT_AUDIENCE", "app")]).expect("ok");
        let exp = in_seconds(60);
        let with = async |iss: Value, aud: Value| {
            strict.caller(Some(&hs256(&json!({"sub": "ann", "exp": exp, "iss": iss, "aud": aud})))).await.is_ok()
        };
        assert!(with(json!("us"), json!("app")).await && with(json!("us"), json!(["x", "app"])).await);
        assert!(!with(json!("them"), json!("app")).await && !with(json!("us"), json!("other")).await);
        assert!(strict.caller(Some(&hs256(&json!({"sub": "ann", "exp": exp})))).await.is_err());
        assert!(check(json!({"sub": "ann", "exp": exp, "iss": "x", "aud": "y"})).await.is_ok());
    }

    #[tokio::test]
    async fn only_a_bearer_header_names_a_caller() {
        let verifier = verifier(&[("JWT_SECRET", SECRET)]).expect("a verifier");
        let header = hs256(&json!({"sub": "ann", "exp": in_seconds(60)}));
        assert_eq!(verifier.caller(None).await, Err(TokenError::Missing));
        assert_eq!(verifier.caller(Some(header.trim_start_matches("Bearer "))).await, Err(TokenError::Missing));
        assert_eq!(verifier.caller(Some(&header.replace("Bearer", "Basic"))).await, Err(TokenError::Missing));
        assert_eq!(verifier.caller(Some("Bearer x.y.z")).await, Err(TokenError::Invalid));
        assert!(verifier.caller(Some(&header.replace("Bearer", "bearer"))).await.is_ok());
    }

    /// A token with these parts as they are, which no library would write.
    fn hs256_of(header: &str, claims: &str) -> String {
        token(header, claims, Algorithm::HS256, SECRET.as_bytes())
    }

    /// … with this signature.
    fn token(header: &str, claims: &str, algorithm: Algorithm, key: &[u8]) -> String {
        let content = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = signature(algorithm, key, content.as_bytes());
        format!("Bearer {content}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    #[tokio::test]
    async fn what_a_token_says_twice_or_demands_to_be_understood_makes_it_invalid() {
        let verifier = verifier(&[("JWT_SECRET", SECRET)]).expect("a verifier");
        let exp = in_seconds(60);
        let (header, claims) = (r#"{"alg":"HS256"}"#, format!(r#"{{"sub":"ann","exp":{exp}}}"#));
        assert!(verifier.caller(Some(&hs256_of(header, &claims))).await.is_ok());
        for (header, claims) in [
            (header, format!(r#"{{"sub":"ann","sub":"eve","exp":{exp}}}"#)),
            (header, format!(r#"{{"sub":"ann","exp":1,"exp":{exp}}}"#)),
            (header, format!(r#"{{"sub":"ann","nbf":{},"nbf":1,"exp":{exp}}}"#, exp + 600)),
            (r#"{"alg":"none","alg":"HS256"}"#, claims.clone()),
            (r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, claims.clone()),
        ] {
            let caller = verifier.caller(Some(&hs256_of(header, &claims))).await;
            assert_eq!(caller, Err(TokenError::Invalid), "{header} {claims}");
        }
    }

    #[tokio::test]
    async fn a_token_has_at_most_8_kb() {
        let sized = async |length| check(json!({"sub": "ann", "exp": in_seconds(60), "x": "x".repeat(length)})).await;
        assert!(sized(6_000).await.is_ok());
        assert_eq!(sized(6_200).await, Err(TokenError::Invalid));
    }

    // Made for these tests with `openssl genpkey`; they protect nothing.
    const RSA_KEY: &[u8] = include_bytes!("../../testdata/rsa.der");
    const EC_KEY: &[u8] = include_bytes!("../../testdata/ec.der");
    const ED_KEY: &[u8] = include_bytes!("../../testdata/ed.der");
    const JWKS: &str = include_str!("../../testdata/jwks.json");

    /// A token of ann's, signed with a private key or a secret.
    fn signed(algorithm: Algorithm, kid: Option<&str>, key: &[u8]) -> String {
        let mut header = Header::new(algorithm);
        header.kid = kid.map(str::to_owned);
        let header = serde_json::to_string(&header).expect("JSON");
        token(&header, &json!({"sub": "ann", "exp": in_seconds(60)}).to_string(), algorithm, key)
    }

    fn signature(algorithm: Algorithm, key: &[u8], content: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let rsa = |encoding| {
            let pair = public::RsaKeyPair::from_der(key).expect("a key");
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(encoding, &random, content, &mut signature).expect("a signature");
            signature
        };
        match algorithm {
            Algorithm::HS256 => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), content).as_ref().to_vec(),
            Algorithm::RS256 => rsa(&public::RSA_PKCS1_SHA256),
            Algorithm::RS512 => rsa(&public::RSA_PKCS1_SHA512),
            Algorithm::ES256 => {
                let scheme = &public::ECDSA_P256_SHA256_FIXED_SIGNING;
                let pair = public::EcdsaKeyPair::from_pkcs8(scheme, key, &random).expect("a key");
                pair.sign(&random, content).expect("a signature").as_ref().to_vec()
            }
            Algorithm::EdDSA => {
                let pair = public::Ed25519KeyPair::from_pkcs8_maybe_unchecked(key).expect("a key");
                pair.sign(content).as_ref().to_vec()
            }
            other => panic!("no test signs {other:?}"),
        }
    }

    #[tokio::test]
    async fn public_keys_verify_rs256_es256_and_eddsa_with_or_without_a_key_id() {
        let verifier = verifier(&[("JWT_JWKS", JWKS)]).expect("a verifier");
        let keys =
            [(Algorithm::RS256, "rsa", RSA_KEY), (Algorithm::ES256, "ec", EC_KEY), (Algorithm::EdDSA, "ed", ED_KEY)];
        for (algorithm, kid, key) in &keys {
            for kid in [Some(*kid), None] {
                assert!(verifier.caller(Some(&signed(*algorithm, kid, key))).await.is_ok(), "{algorithm:?} {kid:?}");
            }
            let unknown = signed(*algorithm, Some("other"), key);
            assert_eq!(verifier.caller(Some(&unknown)).await, Err(TokenError::Invalid));
        }
    }

    /// The tests' document with its RSA key alone, of which something else was made.
    fn with_rsa_key(change: impl Fn(Vec<u8>) -> Vec<u8>) -> String {
        let mut document: Value = serde_json::from_str(JWKS).expect("JSON");
        let keys = document["keys"].as_array_mut().expect("keys");
        keys.retain(|key| key["kty"] == "RSA");
        for part in ["n", "e"] {
            let number = URL_SAFE_NO_PAD.decode(keys[0][part].as_str().expect("a number")).expect("Base64");
            keys[0][part] = json!(URL_SAFE_NO_PAD.encode(change(number)));
        }
        document.to_string()
    }

    #[tokio::test]
    async fn an_rsa_key_may_have_zeros_in_front_and_has_2048_bits_or_more() {
        let padded = with_rsa_key(|number| [vec![0], number].concat());
        let token = signed(Algorithm::RS256, Some("rsa"), RSA_KEY);
        let verifier = self::verifier(&[("JWT_JWKS", &padded)]).expect("a verifier");
        assert_eq!(verifier.caller(Some(&token)).await.map(String::from), Ok("ann".to_owned()));
        let short = |number: Vec<u8>| number[..number.len().min(255)].to_vec();
        let one_bit_less = |number: Vec<u8>| [vec![number[0] & 0x7f], number[1..].to_vec()].concat();
        for document in [with_rsa_key(short), with_rsa_key(one_bit_less)] {
            let refused = self::verifier(&[("JWT_JWKS", &document)]).err();
            assert!(matches!(refused, Some(ConfigError::BadJwks(reason)) if reason.contains("2,048 bits")));
        }
    }

    #[tokio::test]
    async fn the_algorithm_never_comes_from_the_token() {
        let verifier = verifier(&[("JWT_JWKS", JWKS)]).expect("a verifier");
        // The public document, or a part of it, as the secret of an HMAC.
        let jwks: Value = serde_json::from_str(JWKS).expect("JSON");
        for secret in [JWKS, jwks["keys"][0]["n"].as_str().expect("n")] {
            for kid in [Some("rsa"), None] {
                let forged = signed(Algorithm::HS256, kid, secret.as_bytes());
                assert_eq!(verifier.caller(Some(&forged)).await, Err(TokenError::Invalid));
            }
        }
        // {"alg":"none"}.{"sub":"ann","exp":9999999999}
        let unsigned = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4iLCJleHAiOjk5OTk5OTk5OTl9.";
        assert_eq!(verifier.caller(Some(unsigned)).await, Err(TokenError::Invalid));
        assert_eq!(
            super::tests::verifier(&[("JWT_SECRET", SECRET)]).expect("ok").caller(Some(unsigned)).await,
            Err(TokenError::Invalid)
        );
        let rs512 = signed(Algorithm::RS512, Some("rsa"), RSA_KEY);
        assert_eq!(verifier.caller(Some(&rs512)).await, Err(TokenError::Invalid));
    }
}
