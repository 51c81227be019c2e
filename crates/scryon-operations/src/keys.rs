//! Keys of tenants: `sk_` and 32 random bytes. Only the hash is kept.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The scope of those who operate the installation.
pub const ADMIN: &str = "admin";
/// Scopes a key may have. One without any acts for its service account alone.
pub(crate) const SCOPES: [&str; 1] = [ADMIN];
const PREFIX: &str = "sk_";

/// Whether a bearer token is meant to be a key of ours.
pub fn is_key(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// What is kept of a key.
pub fn key_hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

pub(crate) fn fresh_key() -> String {
    format!("{PREFIX}{}", fresh_secret())
}

/// 64 hex digits nobody has. Each version 4 UUID brings 122 random bits from the system.
pub fn fresh_secret() -> String {
    let random = Sha256::new()
        .chain_update(Uuid::new_v4().as_bytes())
        .chain_update(Uuid::new_v4().as_bytes())
        .chain_update(Uuid::new_v4().as_bytes())
        .finalize();
    hex::encode(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_are_known_as_keys() {
        let (one, other) = (fresh_key(), fresh_key());
        assert!(one != other && is_key(&one) && one.len() == 67, "{one}");
        assert!(!is_key("eyJhbGciOi"));
        assert_ne!(key_hash(&one), key_hash(&other));
    }
}
