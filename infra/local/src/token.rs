//! Tokens for the local stack.

use jsonwebtoken::errors::Result;
use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use serde_json::json;
use shared::auth::use_ring;

/// The secret of a stack that is given none. Everybody knows it: it is for 127.0.0.1.
pub const LOCAL_SECRET: &str = "local-stack-secret-that-everyone-knows";

const THIRTY_DAYS: u64 = 30 * 24 * 60 * 60;

/// A token for a user, good for 30 days.
pub fn sign(secret: &str, user: &str) -> Result<String> {
    Ok(sign_until(secret, user)?.0)
}

/// The same, and when it expires, in seconds since 1970.
pub fn sign_until(secret: &str, user: &str) -> Result<(String, u64)> {
    use_ring();
    let expires_at = get_current_timestamp() + THIRTY_DAYS;
    let claims = json!({"sub": user, "exp": expires_at});
    Ok((encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes()))?, expires_at))
}
