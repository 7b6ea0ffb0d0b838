//! Sessions: a signed JWT (HS256), 12 hours long, in a cookie that scripts cannot read.
//!
//! Nothing is stored, so a session ends by time, by a new password (its fingerprint is in the token), by a new
//! `SYNCLINE_JWT_SECRET`, or with the account. The role is not in the token: it is read from the account each time.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Duration, Utc};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};

use super::hs256;

/// How long a session lasts.
pub const SESSION_HOURS: i64 = 12;
/// The cookie's name.
pub const SESSION_COOKIE: &str = "syncline_session";

/// Signs and checks sessions. Cheap to clone.
#[derive(Clone)]
pub struct SessionKeys {
    sign: EncodingKey,
    check: DecodingKey,
    forms: Hmac<Sha256>,
}

/// What a session says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The account's name.
    #[serde(rename = "sub")]
    pub user: String,
    /// Fingerprint of the password it was opened with.
    #[serde(rename = "pwd")]
    pub password: String,
    /// When it ends, in seconds since 1970.
    #[serde(rename = "exp")]
    pub ends_at: i64,
}

impl Session {
    /// A session of this account from now on.
    pub fn open(user: &str, password_hash: &str, now: DateTime<Utc>) -> Self {
        let ends = now + Duration::hours(SESSION_HOURS);
        Self {
            user: user.to_owned(),
            password: fingerprint(password_hash),
            ends_at: ends.timestamp(),
        }
    }

    /// True if the account still has the password that the session was opened with.
    pub fn fits(&self, password_hash: &str) -> bool {
        self.password == fingerprint(password_hash)
    }
}

fn fingerprint(password_hash: &str) -> String {
    let digest = Sha256::digest(password_hash);
    digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

impl SessionKeys {
    /// Takes the operator's secret.
    pub fn new(secret: &SecretString) -> Self {
        hs256::install();
        let secret = secret.expose_secret().as_bytes();
        // A key of its own for forms, so that no form token can ever serve as a signature of a session.
        let form_key = Sha512::new()
            .chain_update(b"syncline forms\0")
            .chain_update(secret)
            .finalize();
        Self {
            sign: EncodingKey::from_secret(secret),
            check: DecodingKey::from_secret(secret),
            forms: Hmac::new(&form_key),
        }
    }

    /// What every form of a page carries, so that no other site can make one that counts: bound to the cookie that is sent
    /// with the form, which other sites can neither read nor set.
    pub fn form_token(&self, cookie: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.form_mac(cookie).finalize().into_bytes())
    }

    /// True if the token was made for this cookie. Takes as long whichever byte differs.
    pub fn check_form_token(&self, cookie: &str, token: &str) -> bool {
        let token = URL_SAFE_NO_PAD.decode(token).unwrap_or_default();
        self.form_mac(cookie).verify_slice(&token).is_ok()
    }

    fn form_mac(&self, cookie: &str) -> Hmac<Sha256> {
        self.forms.clone().chain_update(cookie)
    }

    /// The token of a session.
    pub fn sign(&self, session: &Session) -> anyhow::Result<String> {
        Ok(jsonwebtoken::encode(
            &Header::new(Algorithm::HS256),
            session,
            &self.sign,
        )?)
    }

    /// The session of a token, if it is ours and has not ended.
    pub fn check(&self, token: &str, now: DateTime<Utc>) -> Option<Session> {
        let mut rules = Validation::new(Algorithm::HS256);
        // The library reads the machine's clock; ours is handed in.
        rules.validate_exp = false;
        rules.set_required_spec_claims(&["sub", "exp"]);
        let session: Session = jsonwebtoken::decode(token, &self.check, &rules)
            .ok()?
            .claims;
        (session.ends_at > now.timestamp()).then_some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(letter: &str) -> SessionKeys {
        SessionKeys::new(&SecretString::from(letter.repeat(40)))
    }

    fn noon() -> DateTime<Utc> {
        "2026-01-01T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_session_lasts_twelve_hours() {
        let session = Session::open("ana", "$argon2id$x", noon());
        let token = keys("a").sign(&session).unwrap();
        let almost = noon() + Duration::hours(SESSION_HOURS) - Duration::seconds(1);
        assert_eq!(keys("a").check(&token, almost), Some(session));
        assert_eq!(keys("a").check(&token, almost + Duration::seconds(1)), None);
    }

    #[test]
    fn a_session_under_another_key_or_changed_is_nobodys() {
        let session = Session::open("ana", "$argon2id$x", noon());
        let token = keys("a").sign(&session).unwrap();
        assert_eq!(keys("b").check(&token, noon()), None);
        let parts: Vec<&str> = token.split('.').collect();
        let other = keys("a")
            .sign(&Session {
                user: "bob".to_owned(),
                ..session
            })
            .unwrap();
        let forged = format!(
            "{}.{}.{}",
            parts[0],
            other.split('.').nth(1).unwrap(),
            parts[2]
        );
        assert_eq!(keys("a").check(&forged, noon()), None);
        let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", parts[1]);
        assert_eq!(keys("a").check(&unsigned, noon()), None);
    }

    #[test]
    fn a_form_token_counts_with_its_cookie_only() {
        let token = keys("a").form_token("cookie-1");
        assert!(keys("a").check_form_token("cookie-1", &token));
        assert!(!keys("a").check_form_token("cookie-2", &token));
        assert!(!keys("b").check_form_token("cookie-1", &token));
        for wrong in ["", "!", &token[1..]] {
            assert!(!keys("a").check_form_token("cookie-1", wrong), "{wrong}");
        }
    }

    #[test]
    fn a_new_password_ends_sessions() {
        let session = Session::open("ana", "$argon2id$old", noon());
        assert!(session.fits("$argon2id$old") && !session.fits("$argon2id$new"));
    }
}
