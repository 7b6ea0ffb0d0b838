//! Passwords: Argon2id, a few at a time, and the same work for a name that does not exist.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;

/// Checks that run at once. Each takes 19 MiB and a core for tens of milliseconds, so a flood of sign-ins must queue.
const AT_ONCE: usize = 2;
/// Shortest password of a new account, in characters.
const MIN_CHARS: usize = 12;
/// Longest password, so that nobody can make the hash work on megabytes.
const MAX_CHARS: usize = 256;

/// Why a password cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PasswordError {
    /// Its length.
    #[error("the password has {0} characters; allowed are {MIN_CHARS} to {MAX_CHARS}")]
    Length(usize),
    /// The system has no randomness, or the parameters are refused.
    #[error("the password could not be hashed: {0}")]
    Hash(String),
}

/// Hashes and checks passwords. Cheap to clone.
#[derive(Clone)]
pub struct PasswordHasher {
    permits: Arc<Semaphore>,
    /// The hash of a password that nobody has.
    decoy: Arc<str>,
}

impl PasswordHasher {
    /// Prepares the decoy.
    pub fn new() -> Result<Self, PasswordError> {
        let decoy = hash_blocking("the password of nobody at all")?;
        Ok(Self {
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            decoy: decoy.into(),
        })
    }

    /// The PHC string of a new password. Fails if it is too short or too long.
    pub fn hash(password: &str) -> Result<String, PasswordError> {
        let length = password.chars().count();
        if !(MIN_CHARS..=MAX_CHARS).contains(&length) {
            return Err(PasswordError::Length(length));
        }
        hash_blocking(password)
    }

    /// True if the password belongs to the hash. `None`, for an unknown name, takes as long and is false.
    pub async fn verify(&self, password: String, hash: Option<String>) -> anyhow::Result<bool> {
        let _permit = self.permits.acquire().await?;
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.to_string());
        let fits = tokio::task::spawn_blocking(move || fits(&password, &hash)).await?;
        Ok(fits && known)
    }
}

fn hash_blocking(password: &str) -> Result<String, PasswordError> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| PasswordError::Hash(error.to_string()))
}

fn fits(password: &str, hash: &str) -> bool {
    if password.chars().count() > MAX_CHARS {
        return false;
    }
    PasswordHash::new(hash).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_known_name_fits() {
        let hasher = PasswordHasher::new().unwrap();
        let hash = PasswordHasher::hash("correct horse battery").unwrap();
        assert!(hash.starts_with("$argon2id$"));
        let verify = |password: &str, hash: Option<&String>| {
            hasher.verify(password.to_owned(), hash.cloned())
        };
        assert!(verify("correct horse battery", Some(&hash)).await.unwrap());
        assert!(!verify("wrong horse battery", Some(&hash)).await.unwrap());
        assert!(!verify("the password of nobody at all", None).await.unwrap());
    }

    #[test]
    fn short_passwords_are_refused() {
        assert_eq!(PasswordHasher::hash("short"), Err(PasswordError::Length(5)));
    }
}
