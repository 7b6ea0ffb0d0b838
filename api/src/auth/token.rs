//! API tokens: `syn_` and 256 random bits in base64url.
//!
//! Only the SHA-256 of a token is stored. With 256 random bits behind it there is nothing to guess, so a slow hash would
//! only slow down each request.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng;
use sha2::{Digest, Sha256};

/// What a token starts with, so that people and secret scanners know it.
pub(crate) const PREFIX: &str = "syn_";

/// A token that was just made: the only time it is known.
pub struct NewToken {
    /// The token.
    pub text: String,
    /// What is stored of it.
    pub hash: Vec<u8>,
}

impl std::fmt::Debug for NewToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewToken(..)")
    }
}

impl NewToken {
    /// Makes a token from the system's randomness. Fails if the system has none.
    pub fn random() -> anyhow::Result<Self> {
        let mut bits = [0_u8; 32];
        rand::rngs::SysRng.try_fill_bytes(&mut bits)?;
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bits));
        let hash = hash(&text);
        Ok(Self { text, hash })
    }
}

/// What is stored of a token.
pub(crate) fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_hold_256_bits() {
        let (one, other) = (NewToken::random().unwrap(), NewToken::random().unwrap());
        assert_ne!(one.text, other.text);
        assert_eq!(one.text.len(), PREFIX.len() + 43);
        assert_eq!(hash(&one.text), one.hash);
        assert!(!format!("{one:?}").contains(&one.text[PREFIX.len()..]));
    }
}
