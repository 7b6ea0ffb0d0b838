//! A business as people write it.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Fields, Notes, read_key, read_name};

/// A business to be saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"key": "acme", "name": "Acme Ltd"}))]
pub struct BusinessInput {
    /// Your own name for it: 1 to 63 of a-z, 0-9, dot, underscore and hyphen.
    pub key: String,
    /// Shown to people; the key, if it is left out.
    #[schema(required = false)]
    pub name: String,
}

impl BusinessInput {
    /// Reads a business that stands at `pointer`.
    pub fn read(value: &Value, pointer: &str, notes: &mut Notes) -> Option<Self> {
        let mut fields = Fields::of(value, pointer, notes)?;
        let key = read_key(&mut fields, notes);
        let name = read_name(&mut fields, notes, &key);
        fields.finish(notes);
        Some(Self { key, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_key_stands_in_for_a_missing_name() {
        let mut notes = Notes::default();
        let read = BusinessInput::read(&json!({"key": "acme"}), "", &mut notes).expect("reads");
        assert_eq!((read.name.as_str(), notes.is_empty()), ("acme", true));
    }

    #[test]
    fn a_bad_key_and_a_long_name_are_both_told() {
        let mut notes = Notes::default();
        BusinessInput::read(
            &json!({"key": "Acme!", "name": "x".repeat(201)}),
            "",
            &mut notes,
        );
        let pointers: Vec<_> = notes
            .into_problems()
            .into_iter()
            .map(|p| p.pointer)
            .collect();
        assert_eq!(pointers, ["/key", "/name"]);
    }
}
