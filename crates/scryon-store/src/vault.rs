//! Encryption at rest of what must not be readable in a copy of the database: AES-256-GCM, a fresh nonce each
//! time, bound to the row it belongs to.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

/// What is in front of a key when its name is made, so that the name is no hash of anything else.
const NAMED: &[u8] = b"scryon data key";

/// Keys by their names; the first one encrypts.
#[derive(Clone)]
pub struct Vault {
    keys: std::sync::Arc<Vec<(String, LessSafeKey)>>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({} keys)", self.keys.len())
    }
}

/// An encrypted value and the name of its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Nonce, then the encrypted bytes and their tag.
    pub bytes: Vec<u8>,
    pub key_id: String,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// Why a value stays closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    #[error("its key is not among SCRYON_DATA_KEY")]
    UnknownKey,
    #[error("it was changed, or belongs to another row")]
    Broken,
    #[error("no key is set, or no random number could be had")]
    CannotSeal,
}

impl Vault {
    /// Of keys of 32 bytes.
    pub fn new(keys: &[[u8; 32]]) -> Self {
        let named = |key: &[u8; 32]| {
            let name = digest(&SHA256, &[NAMED, key].concat());
            let unbound = UnboundKey::new(&AES_256_GCM, key).ok()?;
            Some((hex::encode(&name.as_ref()[..4]), LessSafeKey::new(unbound)))
        };
        Self { keys: std::sync::Arc::new(keys.iter().filter_map(named).collect()) }
    }

    /// Encrypts; `place` says where the value belongs, and it opens nowhere else.
    pub fn seal(&self, content: &[u8], place: &str) -> Result<Sealed, VaultError> {
        let (key_id, key) = self.keys.first().ok_or(VaultError::CannotSeal)?;
        let mut nonce = [0u8; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_e| VaultError::CannotSeal)?;
        let mut body = content.to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut body)
            .map_err(|_e| VaultError::CannotSeal)?;
        Ok(Sealed { bytes: [nonce.as_slice(), &body].concat(), key_id: key_id.clone() })
    }

    /// Decrypts.
    pub fn open(&self, sealed: &Sealed, place: &str) -> Result<Vec<u8>, VaultError> {
        let (_, key) = self.keys.iter().find(|(id, _)| *id == sealed.key_id).ok_or(VaultError::UnknownKey)?;
        let (nonce, body) = sealed.bytes.split_at_checked(NONCE_LEN).ok_or(VaultError::Broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_e| VaultError::Broken)?;
        let mut body = body.to_vec();
        let content =
            key.open_in_place(nonce, Aad::from(place), &mut body).map_err(|_e| VaultError::Broken)?;
        Ok(content.to_vec())
    }

    /// Whether a value would be under another key if it were encrypted now.
    pub fn is_old(&self, sealed: &Sealed) -> bool {
        self.keys.first().is_some_and(|(id, _)| *id != sealed.key_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: [u8; 32] = [1; 32];
    const NEW: [u8; 32] = [2; 32];

    #[test]
    fn what_was_sealed_opens_in_its_place_only() {
        let vault = Vault::new(&[OLD]);
        let sealed = vault.seal(b"a voice", "row 1").unwrap();
        assert_eq!(vault.open(&sealed, "row 1").unwrap(), b"a voice");
        assert_eq!(vault.open(&sealed, "row 2"), Err(VaultError::Broken));
        for at in 0..sealed.bytes.len() {
            let mut changed = sealed.clone();
            changed.bytes[at] ^= 1;
            assert_eq!(vault.open(&changed, "row 1"), Err(VaultError::Broken), "{at}");
        }
        for length in [0, 5, NONCE_LEN, NONCE_LEN + 3] {
            let cut = Sealed { bytes: sealed.bytes[..length].to_vec(), ..sealed.clone() };
            assert_eq!(vault.open(&cut, "row 1"), Err(VaultError::Broken), "{length}");
        }
    }

    #[test]
    fn the_same_value_never_looks_the_same() {
        let vault = Vault::new(&[OLD]);
        let sealed = vault.seal(b"a voice", "row").unwrap();
        assert_ne!(sealed, vault.seal(b"a voice", "row").unwrap());
        assert!(!sealed.bytes.windows(7).any(|w| w == b"a voice"));
        assert!(!format!("{sealed:?} {vault:?}").contains(&hex::encode(&sealed.bytes)));
    }

    #[test]
    fn keys_roll_over() {
        let (before, during, after) = (Vault::new(&[OLD]), Vault::new(&[NEW, OLD]), Vault::new(&[NEW]));
        let old = before.seal(b"a voice", "row").unwrap();
        assert_eq!(during.open(&old, "row").unwrap(), b"a voice");
        assert!(during.is_old(&old) && !before.is_old(&old));
        assert_eq!(after.open(&old, "row"), Err(VaultError::UnknownKey));
        let new = during.seal(b"a voice", "row").unwrap();
        assert_ne!(new.key_id, old.key_id);
        assert_eq!(after.open(&new, "row").unwrap(), b"a voice");
        assert_eq!(Vault::new(&[]).seal(b"", ""), Err(VaultError::CannotSeal));
    }
}
