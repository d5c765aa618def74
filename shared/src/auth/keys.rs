//! The keys that verify tokens.

use jsonwebtoken::jwk::{AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use serde_json::Value;

use super::algorithm;
use crate::domain::json;

/// A key and the one algorithm that it is used with.
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

impl Key {
    /// The key of HS256.
    pub(super) fn secret(secret: &[u8]) -> Self {
        Self { id: None, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) }
    }

    /// Whether this key can have signed a token with this key id. If the key or the token has no id, the signature decides.
    pub(super) fn may_be(&self, id: Option<&str>) -> bool {
        id.is_none() || self.id.is_none() || self.id.as_deref() == id
    }
}

/// The members of a key that are read. Others can have any form and are ignored.
const MEMBERS: [&str; 10] = ["kty", "crv", "n", "e", "x", "y", "use", "key_ops", "alg", "kid"];

/// The signature keys of a JSON Web Key Set, possibly none. The error says why the text is not a key set.
///
/// Keys of unknown kinds are skipped: an issuer may publish them too.
pub(super) fn public_keys(document: &[u8]) -> Result<Vec<Key>, String> {
    let document = json::object(document).map_err(|error| error.to_string())?;
    let Some(Value::Array(keys)) = document.and_then(|mut document| document.remove("keys")) else {
        return Err("it has no array `keys`".to_owned());
    };
    Ok(keys.into_iter().filter_map(public_key).collect())
}

fn public_key(key: Value) -> Option<Key> {
    let Value::Object(mut members) = key else { return None };
    members.retain(|name, _| MEMBERS.contains(&name.as_str()));
    for name in ["n", "e", "x", "y"] {
        // Some issuers pad their Base64, although RFC 7515 (2) forbids that.
        if let Some(Value::String(number)) = members.get_mut(name) {
            number.truncate(number.trim_end_matches('=').len());
        }
    }
    // This code knows more names of algorithms than the library does.
    let declared = members.remove("alg").filter(|name| !name.is_null());
    let jwk: Jwk = serde_json::from_value(Value::Object(members)).ok()?;
    if !may_verify(&jwk.common) {
        return None;
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        // A symmetric key has no place in a public document.
        _ => return None,
    };
    if declared.is_some_and(|name| name.as_str().and_then(algorithm::named) != Some(algorithm)) {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    let key = match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, e } => rsa_key(n, e)?,
        DecodingKeyKind::SecretOrDer(_) => key,
    };
    Some(Key { id: jwk.common.key_id, algorithm, key })
}

/// Whether the key's `use` and `key_ops` allow it to verify signatures.
fn may_verify(key: &CommonParameters) -> bool {
    key.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
        && key.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify))
}

/// An RSA key that verifies signatures. ring accepts no key below 2,048 bits, and none with leading zeros. Some issuers publish
/// those although RFC 7518 (6.3.1.1) forbids them.
fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Option<DecodingKey> {
    let without_zeros = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
    let modulus = without_zeros(modulus);
    let is_long_enough = match modulus.len() {
        ..256 => false,
        256 => modulus[0] & 0x80 != 0,
        _ => true,
    };
    is_long_enough.then(|| DecodingKey::from_rsa_raw_components(&modulus, &without_zeros(exponent)))
}
