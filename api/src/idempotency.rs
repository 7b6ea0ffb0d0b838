//! `Idempotency-Key`: a POST that is repeated under its key is carried out once.
//!
//! The key is looked up and remembered in the transaction that does the work ([`syncline_shared::db::idempotency`]), so a request
//! that failed is not remembered and may be sent again under the same key. A key belongs to its caller, method and path; what it
//! must agree with is the body, byte by byte, and the query.

use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use serde_json::Value;
use sha2::{Digest, Sha256};
use syncline_shared::db::idempotency::{self, KeyState};
use syncline_shared::db::{DbConnection, Transaction};

use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, FieldProblem};
use crate::extract::{is_json, optional_json, read_bytes};

const HEADER: &str = "idempotency-key";
/// Longest key, in characters.
const MAX_KEY: usize = 255;

/// The JSON body of a request, and how to tell that it is repeated. No body is the same as an empty object.
#[derive(Debug)]
pub(crate) struct KeyedBody {
    /// The body.
    pub value: Value,
    /// How to tell that the request is repeated.
    pub repeat: Repeat,
}

/// The key of a request, if its caller gave one.
#[derive(Debug)]
pub(crate) struct Repeat(Option<Key>);

#[derive(Debug)]
struct Key {
    text: String,
    /// Method and path.
    address: String,
    /// Of body and query.
    hash: [u8; 32],
}

impl KeyedBody {
    /// A body without a key.
    pub(crate) fn without_key(value: Value) -> Self {
        Self {
            value,
            repeat: Repeat(None),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for KeyedBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let text = read_key(request.headers())?;
        let is_json = is_json(request.headers());
        let address = format!("{} {}", request.method(), request.uri().path());
        let query = request.uri().query().unwrap_or_default().to_owned();
        let bytes = read_bytes(request, state).await?;
        let key = text.map(|text| {
            let mut hash = Sha256::new();
            hash.update(query.len().to_le_bytes());
            hash.update(&query);
            hash.update(&bytes);
            Key {
                text,
                address,
                hash: hash.finalize().into(),
            }
        });
        Ok(Self {
            value: optional_json(is_json, &bytes)?,
            repeat: Repeat(key),
        })
    }
}

fn read_key(headers: &HeaderMap) -> ApiResult<Option<String>> {
    let mut given = headers.get_all(HEADER).iter();
    let Some(key) = given.next() else {
        return Ok(None);
    };
    let plain =
        (1..=MAX_KEY).contains(&key.len()) && key.as_bytes().iter().all(u8::is_ascii_graphic);
    match key.to_str() {
        Ok(key) if plain && given.next().is_none() => Ok(Some(key.to_owned())),
        _ => Err(ApiError::BadRequest(format!(
            "the header Idempotency-Key holds one key of 1 to {MAX_KEY} visible ASCII characters"
        ))),
    }
}

impl Key {
    fn scope(&self, caller: &Caller) -> String {
        // An account and a token may share a name. Names may hold spaces, what stands before them does not.
        let kind = if caller.signed_in { "user" } else { "token" };
        format!("{} {kind} {}", self.address, caller.name)
    }
}

impl Repeat {
    /// What the same request made when it was carried out; `None`: this is the first. Keeps others with the same key out until
    /// the transaction ends.
    pub(crate) async fn look_up(
        &self,
        db: &mut DbConnection,
        caller: &Caller,
    ) -> ApiResult<Option<Value>> {
        let Some(key) = &self.0 else {
            return Ok(None);
        };
        match idempotency::look_up(db, &key.scope(caller), &key.text, &key.hash).await? {
            KeyState::New => Ok(None),
            KeyState::Answered(made) => Ok(Some(made)),
            KeyState::InFlight => Err(ApiError::InFlight),
            KeyState::OtherBody => Err(ApiError::Invalid(vec![FieldProblem::new(
                "Idempotency-Key",
                "other-request",
                "another request was carried out under this key within the last 24 hours; choose a new key for a new request",
            )])),
        }
    }

    /// Remembers what the request made, in the transaction that made it.
    pub(crate) async fn remember(
        &self,
        db: &mut DbConnection,
        caller: &Caller,
        made: &Value,
    ) -> ApiResult<()> {
        if let Some(key) = &self.0 {
            idempotency::remember(db, &key.scope(caller), &key.text, &key.hash, made).await?;
        }
        Ok(())
    }
}

/// Ends the transaction of a request, before its caller is answered: with what was done, or without a trace. A transaction that is
/// merely dropped keeps its locks for another moment, and the caller's next request would meet them.
pub(crate) async fn conclude<T>(db: Transaction, done: ApiResult<T>) -> ApiResult<T> {
    match done {
        Ok(_) => db.commit().await?,
        // The first error is the one to tell of.
        Err(_) => db.rollback().await.unwrap_or_default(),
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn read(keys: &[&str]) -> ApiResult<Option<String>> {
        let mut headers = HeaderMap::new();
        for key in keys {
            headers.append(HEADER, HeaderValue::from_bytes(key.as_bytes()).unwrap());
        }
        read_key(&headers)
    }

    #[test]
    fn a_key_is_one_word_of_visible_characters() {
        assert_eq!(read(&[]).unwrap(), None);
        assert_eq!(read(&["k-1"]).unwrap().as_deref(), Some("k-1"));
        assert!(read(&[&"x".repeat(255)]).is_ok());
        for bad in [
            &["", ""][..],
            &[""],
            &["a b"],
            &["ä"],
            &["a", "a"],
            &[&"x".repeat(256)],
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
