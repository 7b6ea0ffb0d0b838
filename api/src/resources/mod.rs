//! Businesses, connections and schedules as people write them, checked.
//!
//! One reader for a request's body and for an entry of an `apply` document: the same rules, the same sentences, all problems
//! at once. Reading needs no database; [`connection`] and [`schedule`] then look up what an input names.

pub mod business;
pub mod connection;
pub mod fields;
pub mod limit_view;
pub mod limits;
pub mod lookup;
pub mod platform;
pub mod retry;
pub mod schedule;
pub mod secrets;

pub use fields::{Fields, Notes};

/// Longest name shown to people, in characters.
const MAX_NAME: usize = 200;

/// Reads `key`: required, in the form that the database holds to.
fn read_key(fields: &mut Fields<'_>, notes: &mut Notes) -> String {
    let key = fields.required_text("key", notes);
    if !key.is_empty() && !is_key(&key) {
        notes.refuse(
            fields.at("key"),
            "form",
            format!(
                "{key:?} is no key; allowed: 1 to 63 of a-z, 0-9, dot, underscore and hyphen, the first a letter or digit"
            ),
        );
    }
    key
}

fn is_key(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 63
        && text.bytes().next().is_some_and(plain)
        && text
            .bytes()
            .all(|byte| plain(byte) || b"._-".contains(&byte))
}

/// Reads `name`; the key stands in for a missing one.
fn read_name(fields: &mut Fields<'_>, notes: &mut Notes, key: &str) -> String {
    let Some(name) = fields.text("name", notes) else {
        return key.to_owned();
    };
    let length = name.chars().count();
    if !(1..=MAX_NAME).contains(&length) {
        let detail = format!("the name has {length} characters; allowed are 1 to {MAX_NAME}");
        notes.refuse(fields.at("name"), "length", detail);
    }
    name
}

/// Longest note, in characters.
const MAX_NOTE: usize = 1000;

/// Reads a body that may hold a `note`, and nothing else. A blank note is none.
pub(crate) fn read_note(
    body: &serde_json::Value,
) -> Result<Option<String>, crate::error::ApiError> {
    let mut notes = Notes::default();
    let mut note = None;
    if let Some(mut fields) = Fields::of(body, "", &mut notes) {
        note = take_note(&mut fields, &mut notes);
        fields.finish(&mut notes);
    }
    accept(notes)?;
    Ok(note)
}

/// Reads `note`. A blank one is none.
pub(crate) fn take_note(fields: &mut Fields<'_>, notes: &mut Notes) -> Option<String> {
    let note = fields.text("note", notes);
    let length = note.as_deref().map_or(0, |note| note.chars().count());
    if length > MAX_NOTE {
        let detail = format!("the note has {length} characters; allowed are {MAX_NOTE}");
        notes.refuse(fields.at("note"), "length", detail);
    }
    note.filter(|note| !note.trim().is_empty())
}

/// Reads `streams`: absent, or at least one name, none twice.
pub(crate) fn read_streams(fields: &mut Fields<'_>, notes: &mut Notes) -> Option<Vec<String>> {
    let streams = fields.texts("streams", notes)?;
    let at = fields.at("streams");
    if streams.is_empty() {
        let detail = "the list is empty; name at least one stream, or leave it out for all";
        notes.refuse(at.clone(), "empty", detail);
    }
    for (index, stream) in streams.iter().enumerate() {
        if streams.iter().take(index).any(|earlier| earlier == stream) {
            notes.refuse(
                format!("{at}/{index}"),
                "repeated",
                format!("{stream:?} is named twice"),
            );
        }
    }
    Some(streams)
}

/// Notes every stream that the connector does not have.
pub(crate) fn check_streams(
    streams: Option<&[String]>,
    connector: &syncline_engine::Connector,
    at: &str,
    notes: &mut Notes,
) {
    for (index, stream) in streams.unwrap_or_default().iter().enumerate() {
        if connector.stream(stream).is_none() {
            let known: Vec<_> = connector
                .streams()
                .iter()
                .map(|known| known.name.as_str())
                .collect();
            notes.refuse(
                format!("{at}/{index}"),
                "unknown-stream",
                format!(
                    "platform {:?} has no stream {stream:?}; it has: {}",
                    connector.platform(),
                    known.join(", ")
                ),
            );
        }
    }
}

/// Notes a platform that there is no connector for.
fn refuse_platform(
    platform: &str,
    catalog: &syncline_engine::Catalog,
    at: String,
    notes: &mut Notes,
) {
    notes.refuse(
        at,
        "unknown-platform",
        format!(
            "there is no platform {platform:?}; known: {}",
            catalog.platforms()
        ),
    );
}

/// Turns an empty list of problems into leave to go on.
pub(crate) fn accept(notes: Notes) -> Result<(), crate::error::ApiError> {
    let problems = notes.into_problems();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(crate::error::ApiError::Invalid(problems))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_form_that_the_database_holds_to() {
        for good in ["acme", "a", "9.a_b-c", &"x".repeat(63)] {
            assert!(is_key(good), "{good}");
        }
        for bad in ["", "Acme", "-a", ".a", "a b", "ä", &"x".repeat(64)] {
            assert!(!is_key(bad), "{bad}");
        }
    }
}
