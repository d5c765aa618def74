//! Who is calling: a JWT, checked against keys that the configuration names.

use std::collections::HashSet;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use crate::domain::UserId;

/// Clock skew that `exp` and `nbf` are given, in seconds.
const LEEWAY: u64 = 60;
/// HS256 is as strong as its secret; RFC 7518 asks for at least the hash's size.
const MIN_SECRET: usize = 32;

/// Checks bearer tokens: HS256 with a shared secret, or RS256, ES256 and EdDSA with public keys.
///
/// Which algorithm a token may use comes from the key it is checked with, never from the token. `exp` is required, `nbf`
/// honoured, `iss` and `aud` required and checked when they are configured. `sub` is the user's id.
pub struct Verifier {
    keys: Vec<Key>,
    issuer: Option<String>,
    audience: Option<String>,
}

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// What is wrong with the configuration, in one line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// None of the sources of keys is set.
    #[error("no keys to check tokens with: set JWT_SECRET (HS256) or JWT_JWKS (RS256, ES256, EdDSA)")]
    NoKeys,
    /// More than one source of keys is set.
    #[error("JWT_SECRET and JWT_JWKS are both set: set one of them")]
    Contradiction,
    /// The secret can be guessed.
    #[error("JWT_SECRET is shorter than 32 bytes")]
    ShortSecret,
    /// The JWKS holds nothing that verifies.
    #[error("JWT_JWKS is not usable: {0}")]
    BadJwks(String),
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
}

#[derive(Deserialize)]
struct Claims {
    sub: UserId,
}

impl Verifier {
    /// The verifier that the environment describes: `JWT_SECRET` or `JWT_JWKS`, `JWT_ISSUER`, `JWT_AUDIENCE`.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::configured(|name| std::env::var(name).ok())
    }

    /// The verifier that variables describe; an empty one counts as not set.
    pub fn configured(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let keys = match (set("JWT_SECRET"), set("JWT_JWKS")) {
            (Some(_), Some(_)) => return Err(ConfigError::Contradiction),
            (Some(secret), None) => vec![secret_key(&secret)?],
            (None, Some(jwks)) => public_keys(&jwks)?,
            (None, None) => return Err(ConfigError::NoKeys),
        };
        Ok(Self { keys, issuer: set("JWT_ISSUER"), audience: set("JWT_AUDIENCE") })
    }

    /// The caller that an `Authorization` header names.
    pub fn caller(&self, authorization: Option<&str>) -> Result<UserId, TokenError> {
        let (scheme, token) = authorization.and_then(|value| value.split_once(' ')).ok_or(TokenError::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(TokenError::Missing);
        }
        let token = token.trim();
        let header = decode_header(token).map_err(|_| TokenError::Invalid)?;
        // A key without an id, or a token without one, may still belong together; the signature decides.
        let candidates = self.keys.iter().filter(|key| {
            key.algorithm == header.alg && (key.id.is_none() || header.kid.is_none() || key.id == header.kid)
        });
        let mut refusal = TokenError::Invalid;
        for key in candidates {
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

fn secret_key(secret: &str) -> Result<Key, ConfigError> {
    if secret.len() < MIN_SECRET {
        return Err(ConfigError::ShortSecret);
    }
    Ok(Key { id: None, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret.as_bytes()) })
}

fn public_keys(jwks: &str) -> Result<Vec<Key>, ConfigError> {
    let set: JwkSet = serde_json::from_str(jwks).map_err(|error| ConfigError::BadJwks(error.to_string()))?;
    let keys: Vec<Key> = set.keys.iter().filter_map(public_key).collect();
    if keys.is_empty() {
        return Err(ConfigError::BadJwks("it holds no RS256, ES256 or EdDSA signature key".to_owned()));
    }
    Ok(keys)
}

/// The key, if it is one for signatures with an algorithm of ours; an issuer may publish others beside.
fn public_key(jwk: &Jwk) -> Option<Key> {
    if matches!(&jwk.common.public_key_use, Some(usage) if *usage != PublicKeyUse::Signature) {
        return None;
    }
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        // A symmetric key has no place in a public document.
        _ => return None,
    };
    if jwk.common.key_algorithm.is_some_and(|declared| declared != named) {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(Key { id: jwk.common.key_id.clone(), algorithm, key })
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
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

    fn check(claims: Value) -> Result<String, TokenError> {
        let verifier = verifier(&[("JWT_SECRET", SECRET)]).expect("a verifier");
        verifier.caller(Some(&hs256(&claims))).map(String::from)
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
        assert!(matches!(refused(&[("JWT_JWKS", symmetric)]), Some(ConfigError::BadJwks(_))));
    }

    #[test]
    fn the_subject_is_the_caller() {
        assert_eq!(check(json!({"sub": "ann", "exp": in_seconds(60)})), Ok("ann".to_owned()));
    }

    #[test]
    fn a_token_expires_after_a_minute_of_leeway() {
        assert!(check(json!({"sub": "ann", "exp": in_seconds(-50)})).is_ok());
        assert_eq!(check(json!({"sub": "ann", "exp": in_seconds(-70)})), Err(TokenError::Expired));
        assert_eq!(check(json!({"sub": "ann"})), Err(TokenError::Invalid));
    }

    #[test]
    fn a_token_is_not_valid_before_its_time() {
        assert!(check(json!({"sub": "ann", "exp": in_seconds(600), "nbf": in_seconds(50)})).is_ok());
        let early = check(json!({"sub": "ann", "exp": in_seconds(600), "nbf": in_seconds(70)}));
        assert_eq!(early, Err(TokenError::Invalid));
    }

    #[test]
    fn a_subject_has_1_to_128_characters() {
        for sub in [json!(""), json!("x".repeat(129)), json!(7), json!(null), json!("a\0b")] {
            assert_eq!(check(json!({"sub": sub, "exp": in_seconds(60)})), Err(TokenError::Invalid));
        }
        assert_eq!(check(json!({"exp": in_seconds(60)})), Err(TokenError::Invalid));
    }

    #[test]
    fn issuer_and_audience_are_required_when_configured_and_ignored_otherwise() {
        let strict = verifier(&[("JWT_SECRET", SECRET), ("JWT_ISSUER", "us"), ("JWT_AUDIENCE", "app")]).expect("ok");
        let exp = in_seconds(60);
        let with = |iss: Value, aud: Value| {
            strict.caller(Some(&hs256(&json!({"sub": "ann", "exp": exp, "iss": iss, "aud": aud})))).is_ok()
        };
        assert!(with(json!("us"), json!("app")) && with(json!("us"), json!(["x", "app"])));
        assert!(!with(json!("them"), json!("app")) && !with(json!("us"), json!("other")));
        assert!(strict.caller(Some(&hs256(&json!({"sub": "ann", "exp": exp})))).is_err());
        assert!(check(json!({"sub": "ann", "exp": exp, "iss": "x", "aud": "y"})).is_ok());
    }

    #[test]
    fn only_a_bearer_header_names_a_caller() {
        let verifier = verifier(&[("JWT_SECRET", SECRET)]).expect("a verifier");
        let header = hs256(&json!({"sub": "ann", "exp": in_seconds(60)}));
        assert_eq!(verifier.caller(None), Err(TokenError::Missing));
        assert_eq!(verifier.caller(Some(header.trim_start_matches("Bearer "))), Err(TokenError::Missing));
        assert_eq!(verifier.caller(Some(&header.replace("Bearer", "Basic"))), Err(TokenError::Missing));
        assert_eq!(verifier.caller(Some("Bearer x.y.z")), Err(TokenError::Invalid));
        assert!(verifier.caller(Some(&header.replace("Bearer", "bearer"))).is_ok());
    }

    // Made for these tests with `openssl genpkey`; they protect nothing.
    const RSA_KEY: &[u8] = include_bytes!("../testdata/rsa.der");
    const EC_KEY: &[u8] = include_bytes!("../testdata/ec.der");
    const ED_KEY: &[u8] = include_bytes!("../testdata/ed.der");
    const JWKS: &str = include_str!("../testdata/jwks.json");

    fn signed(algorithm: Algorithm, kid: Option<&str>, key: &EncodingKey) -> String {
        let mut header = Header::new(algorithm);
        header.kid = kid.map(str::to_owned);
        let claims = json!({"sub": "ann", "exp": in_seconds(60)});
        format!("Bearer {}", encode(&header, &claims, key).expect("a token"))
    }

    #[test]
    fn public_keys_verify_rs256_es256_and_eddsa_with_or_without_a_key_id() {
        let verifier = verifier(&[("JWT_JWKS", JWKS)]).expect("a verifier");
        let keys = [
            (Algorithm::RS256, "rsa", EncodingKey::from_rsa_der(RSA_KEY)),
            (Algorithm::ES256, "ec", EncodingKey::from_ec_der(EC_KEY)),
            (Algorithm::EdDSA, "ed", EncodingKey::from_ed_der(ED_KEY)),
        ];
        for (algorithm, kid, key) in &keys {
            for kid in [Some(*kid), None] {
                assert!(verifier.caller(Some(&signed(*algorithm, kid, key))).is_ok(), "{algorithm:?} {kid:?}");
            }
            let unknown = signed(*algorithm, Some("other"), key);
            assert_eq!(verifier.caller(Some(&unknown)), Err(TokenError::Invalid));
        }
    }

    #[test]
    fn the_algorithm_never_comes_from_the_token() {
        let verifier = verifier(&[("JWT_JWKS", JWKS)]).expect("a verifier");
        // The public document, or a part of it, as the secret of an HMAC.
        let jwks: Value = serde_json::from_str(JWKS).expect("JSON");
        for secret in [JWKS, jwks["keys"][0]["n"].as_str().expect("n")] {
            for kid in [Some("rsa"), None] {
                let forged = signed(Algorithm::HS256, kid, &EncodingKey::from_secret(secret.as_bytes()));
                assert_eq!(verifier.caller(Some(&forged)), Err(TokenError::Invalid));
            }
        }
        // {"alg":"none"}.{"sub":"ann","exp":9999999999}
        let unsigned = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4iLCJleHAiOjk5OTk5OTk5OTl9.";
        assert_eq!(verifier.caller(Some(unsigned)), Err(TokenError::Invalid));
        assert_eq!(
            super::tests::verifier(&[("JWT_SECRET", SECRET)]).expect("ok").caller(Some(unsigned)),
            Err(TokenError::Invalid)
        );
        let rs512 = signed(Algorithm::RS512, Some("rsa"), &EncodingKey::from_rsa_der(RSA_KEY));
        assert_eq!(verifier.caller(Some(&rs512)), Err(TokenError::Invalid));
    }
}
