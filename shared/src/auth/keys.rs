//! The keys that tokens are checked with.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use serde::Deserialize;
use serde_json::Value;

/// A key, with the one algorithm that it is used with.
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

    /// May it have signed a token that names this key? A key without an id, or a token without one, may still belong
    /// together; the signature decides.
    pub(super) fn may_be(&self, id: Option<&str>) -> bool {
        id.is_none() || self.id.is_none() || self.id.as_deref() == id
    }
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

/// The signature keys of a JSON Web Key Set; the error says why there is none.
///
/// An issuer may publish others beside, of kinds that this library has never heard of: they are passed over.
pub(super) fn public_keys(document: &[u8]) -> Result<Vec<Key>, String> {
    let document: Document = serde_json::from_slice(document).map_err(|error| error.to_string())?;
    let keys: Vec<Key> =
        document.keys.into_iter().filter_map(|key| public_key(serde_json::from_value(key).ok()?)).collect();
    if keys.is_empty() {
        return Err("it holds no signature key for RS256 (from 2,048 bits on), ES256 or EdDSA".to_owned());
    }
    Ok(keys)
}

fn public_key(jwk: Jwk) -> Option<Key> {
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
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    let key = match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, e } => rsa_key(n, e)?,
        DecodingKeyKind::SecretOrDer(_) => key,
    };
    Some(Key { id: jwk.common.key_id, algorithm, key })
}

/// An RSA key that signatures are checked with: ring takes none below 2,048 bits, nor zeros in front, which some issuers publish
/// although RFC 7518 (6.3.1.1) forbids them.
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
