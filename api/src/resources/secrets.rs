//! Splits a connection's secrets from its other settings, and puts them together again.
//!
//! The sealed value is a JSON object that holds only the secrets, each where it stands in the config:
//! `{"credentials": {"client_secret": ".."}}` for `/credentials/client_secret`. Merging it into the stored config gives
//! what the connector reads.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use syncline_shared::secret::{Cipher, Sealed, SecretError};
use uuid::Uuid;

use super::fields::escape;

/// Takes the values at these pointers out of a config. Answers the config without them, and an object of only them.
pub fn split(mut config: Value, pointers: &[String]) -> (Value, Map<String, Value>) {
    let mut secrets = Map::new();
    for pointer in pointers {
        let steps = steps(pointer);
        if let Some(value) = take(&mut config, &steps) {
            put(&mut secrets, &steps, value);
        }
    }
    (config, secrets)
}

/// Seals secrets for a connection; `None` if there are none.
pub fn seal(
    cipher: &Cipher,
    connection: Uuid,
    secrets: &Map<String, Value>,
) -> Result<Option<Sealed>, SecretError> {
    if secrets.is_empty() {
        return Ok(None);
    }
    let plain = Value::Object(secrets.clone()).to_string();
    cipher.seal(connection, plain.as_bytes()).map(Some)
}

/// Opens what [`seal`] sealed.
pub fn open(
    cipher: &Cipher,
    connection: Uuid,
    sealed: Option<&Sealed>,
) -> Result<Map<String, Value>, SecretError> {
    let Some(sealed) = sealed else {
        return Ok(Map::new());
    };
    let plain = cipher.open(connection, sealed)?;
    serde_json::from_slice(&plain).map_err(|_| SecretError::Damaged)
}

/// The pointers of the secrets that an object of them holds.
pub fn pointers_of(secrets: &Map<String, Value>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(secrets, "", &mut found);
    found
}

fn collect(object: &Map<String, Value>, pointer: &str, found: &mut BTreeSet<String>) {
    for (name, value) in object {
        let pointer = format!("{pointer}/{}", escape(name));
        match value {
            Value::Object(inner) => collect(inner, &pointer, found),
            _ => {
                found.insert(pointer);
            }
        }
    }
}

/// A config as it may be shown: each secret says only whether it is set, and since when. Of one that holds several values, such
/// as a mapping of free names, not even the names are shown.
pub fn shown(
    config: &Value,
    known: &[String],
    set: &BTreeSet<String>,
    set_at: Option<DateTime<Utc>>,
) -> Value {
    let mut shown = config.as_object().cloned().unwrap_or_default();
    let is_part = |pointer: &str, whole: &str| {
        let rest = pointer.strip_prefix(whole);
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    let unknown = set
        .iter()
        .filter(|pointer| !known.iter().any(|whole| is_part(pointer, whole)));
    let all: BTreeSet<&String> = known.iter().chain(unknown).collect();
    for pointer in all {
        let is_set = set.contains(pointer) || set.iter().any(|part| is_part(part, pointer));
        let note = if is_set {
            json!({"set": true, "set_at": set_at})
        } else {
            json!({"set": false})
        };
        put(&mut shown, &steps(pointer), note);
    }
    Value::Object(shown)
}

fn steps(pointer: &str) -> Vec<String> {
    let steps = pointer.split('/').skip(1);
    steps
        .map(|step| step.replace("~1", "/").replace("~0", "~"))
        .collect()
}

fn take(value: &mut Value, steps: &[String]) -> Option<Value> {
    let object = value.as_object_mut()?;
    match steps {
        [] => None,
        [last] => object.remove(last),
        [first, rest @ ..] => take(object.get_mut(first)?, rest),
    }
}

fn put(object: &mut Map<String, Value>, steps: &[String], value: Value) {
    match steps {
        [] => {}
        [last] => {
            object.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let inner = object.entry(first.clone()).or_insert_with(|| json!({}));
            if !inner.is_object() {
                *inner = json!({});
            }
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers() -> Vec<String> {
        vec![
            "/client_secret".to_owned(),
            "/oauth/token".to_owned(),
            "/oauth/other".to_owned(),
        ]
    }

    #[test]
    fn secrets_are_taken_out_wherever_they_stand() {
        let config =
            json!({"client_id": "a", "client_secret": "b", "oauth": {"token": "c", "user": "d"}});
        let (public, secrets) = split(config, &pointers());
        assert_eq!(public, json!({"client_id": "a", "oauth": {"user": "d"}}));
        assert_eq!(
            Value::Object(secrets.clone()),
            json!({"client_secret": "b", "oauth": {"token": "c"}})
        );
        let held: Vec<_> = pointers_of(&secrets).into_iter().collect();
        assert_eq!(held, ["/client_secret", "/oauth/token"]);
    }

    #[test]
    fn shown_secrets_say_only_whether_they_are_set() {
        let set = BTreeSet::from(["/client_secret".to_owned()]);
        let at = "2026-01-01T00:00:00Z".parse().ok();
        let shown = shown(&json!({"client_id": "a"}), &pointers(), &set, at);
        assert_eq!(
            shown,
            json!({
                "client_id": "a",
                "client_secret": {"set": true, "set_at": "2026-01-01T00:00:00Z"},
                "oauth": {"other": {"set": false}, "token": {"set": false}},
            })
        );
    }

    #[test]
    fn a_secret_of_several_values_is_kept_and_shown_as_one() {
        let pointers = ["/keys".to_owned(), "/extra".to_owned()];
        let config = json!({"a": 1, "keys": [{"name": "n", "key": "k"}], "extra": {"x": "k2"}});
        let (public, secrets) = split(config.clone(), &pointers);
        assert_eq!(public, json!({"a": 1}));
        let set = pointers_of(&secrets);
        let at = "2026-01-01T00:00:00Z".parse().ok();
        let note = json!({"set": true, "set_at": "2026-01-01T00:00:00Z"});
        assert_eq!(
            shown(&public, &pointers, &set, at),
            json!({"a": 1, "keys": note, "extra": note})
        );
    }

    #[test]
    fn sealed_secrets_open_for_their_connection_only() {
        let cipher = Cipher::new(&"k".repeat(40).into()).expect("long enough");
        let (_, secrets) = split(json!({"client_secret": "b"}), &pointers());
        let sealed = seal(&cipher, Uuid::from_u128(1), &secrets).expect("seals");
        assert_eq!(
            open(&cipher, Uuid::from_u128(1), sealed.as_ref()),
            Ok(secrets)
        );
        assert!(open(&cipher, Uuid::from_u128(2), sealed.as_ref()).is_err());
        assert!(
            seal(&cipher, Uuid::from_u128(1), &Map::new())
                .expect("nothing to seal")
                .is_none()
        );
    }
}
