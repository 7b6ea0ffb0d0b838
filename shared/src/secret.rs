//! Encryption of credentials at rest.
//!
//! AES-256-GCM with a fresh random nonce for each value; the key is derived from `SYNCLINE_SECRET_KEY` by HKDF-SHA-256
//! (RFC 5869). The id of the row a ciphertext belongs to is authenticated with it, so a ciphertext copied to another row
//! does not open. A key id goes with each ciphertext, so that a wrong key is told apart from a damaged value.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use hkdf::Hkdf;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

const NONCE_BYTES: usize = 12;
const MIN_SECRET_CHARS: usize = 32;

/// Encrypts and decrypts credentials.
#[derive(Clone)]
pub struct Cipher {
    aead: Aes256Gcm,
    key_id: String,
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cipher")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// An encrypted value, as stored.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// Nonce, then ciphertext with its tag.
    pub bytes: Vec<u8>,
    /// Names the key.
    pub key_id: String,
}

/// Why credentials could not be encrypted or decrypted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SecretError {
    /// The key is too short to be safe.
    #[error(
        "SYNCLINE_SECRET_KEY has {0} characters; it needs at least {MIN_SECRET_CHARS} random ones, \
         for example the output of: openssl rand -base64 32"
    )]
    KeyTooShort(usize),
    /// The value was encrypted with another key.
    #[error(
        "the credentials were encrypted with key {stored}, but SYNCLINE_SECRET_KEY is key {current}; \
         start with the key they were saved with, or set the credentials again"
    )]
    OtherKey {
        /// Key id stored with the value.
        stored: String,
        /// Key id of the key at hand.
        current: String,
    },
    /// The value or its binding is damaged.
    #[error("the stored credentials are damaged or belong to another row; set them again")]
    Damaged,
}

impl Cipher {
    /// Derives the key from the operator's secret.
    pub fn new(secret: &SecretString) -> Result<Self, SecretError> {
        let secret = secret.expose_secret();
        let length = secret.chars().count();
        if length < MIN_SECRET_CHARS {
            return Err(SecretError::KeyTooShort(length));
        }
        let mut key = [0_u8; 32];
        Hkdf::<Sha256>::new(None, secret.as_bytes())
            .expand(b"syncline credentials v1", &mut key)
            .map_err(|_| SecretError::Damaged)?;
        let digest = Sha256::digest(key);
        let key_id = digest
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(Self {
            aead: Aes256Gcm::new(&key.into()),
            key_id,
        })
    }

    /// Encrypts a value for the row `owner`.
    pub fn seal(&self, owner: Uuid, plain: &[u8]) -> Result<Sealed, SecretError> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload {
            msg: plain,
            aad: owner.as_bytes(),
        };
        let ciphertext = self
            .aead
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| SecretError::Damaged)?;
        let mut bytes = nonce.to_vec();
        bytes.extend(ciphertext);
        Ok(Sealed {
            bytes,
            key_id: self.key_id.clone(),
        })
    }

    /// Decrypts a value of the row `owner`.
    pub fn open(&self, owner: Uuid, sealed: &Sealed) -> Result<Vec<u8>, SecretError> {
        if sealed.key_id != self.key_id {
            return Err(SecretError::OtherKey {
                stored: sealed.key_id.clone(),
                current: self.key_id.clone(),
            });
        }
        let (nonce, ciphertext) = sealed
            .bytes
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(SecretError::Damaged)?;
        let payload = Payload {
            msg: ciphertext,
            aad: owner.as_bytes(),
        };
        self.aead
            .decrypt(&Nonce::from(*nonce), payload)
            .map_err(|_| SecretError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cipher(letter: &str) -> Cipher {
        Cipher::new(&SecretString::from(letter.repeat(40))).expect("long enough")
    }

    #[test]
    fn what_was_sealed_opens_again() {
        let owner = Uuid::from_u128(7);
        let sealed = cipher("a").seal(owner, b"token").expect("seals");
        assert!(!sealed.bytes.windows(5).any(|window| window == b"token"));
        assert_eq!(cipher("a").open(owner, &sealed).expect("opens"), b"token");
    }

    #[test]
    fn a_ciphertext_moved_to_another_row_does_not_open() {
        let sealed = cipher("a")
            .seal(Uuid::from_u128(7), b"token")
            .expect("seals");
        assert_eq!(
            cipher("a").open(Uuid::from_u128(8), &sealed),
            Err(SecretError::Damaged)
        );
    }

    #[test]
    fn another_key_is_named_not_mistaken_for_damage() {
        let owner = Uuid::from_u128(7);
        let sealed = cipher("a").seal(owner, b"token").expect("seals");
        assert!(matches!(
            cipher("b").open(owner, &sealed),
            Err(SecretError::OtherKey { .. })
        ));
    }

    #[test]
    fn a_short_key_is_refused_with_advice() {
        let error = Cipher::new(&SecretString::from("short")).expect_err("refused");
        assert!(error.to_string().contains("openssl rand"));
    }
}
