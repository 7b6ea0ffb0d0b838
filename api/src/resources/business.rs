//! A business as people write it.

use serde::Serialize;
use serde_json::Value;
use syncline_shared::db::business::Business;
use utoipa::ToSchema;

use super::{Fields, Notes, read_key, read_name};

/// A business to be saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"key": "acme", "name": "Acme Ltd", "weight": 1}))]
pub struct BusinessInput {
    /// Your own name for it: 1 to 63 of a-z, 0-9, dot, underscore and hyphen.
    pub key: String,
    /// Shown to people; the key, if it is left out.
    #[schema(required = false)]
    pub name: String,
    /// How much of a contended budget its runs get, in relation to other businesses.
    #[schema(required = false, default = 1, minimum = 1, maximum = 100)]
    pub weight: i16,
}

/// What is to be changed of a business. What is left out is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"weight": 3}))]
pub struct BusinessPatch {
    /// Shown to people.
    pub name: Option<String>,
    /// How much of a contended budget its runs get, in relation to other businesses.
    #[schema(minimum = 1, maximum = 100)]
    pub weight: Option<i16>,
}

impl BusinessPatch {
    /// Reads the body of a request that changes `stored`.
    pub fn read(body: &Value, stored: &Business, notes: &mut Notes) -> Option<Self> {
        let mut fields = Fields::of(body, "", notes)?;
        let has_name = fields.value("name").is_some();
        let name = read_name(&mut fields, notes, &stored.key);
        let weight = read_weight(&mut fields, notes);
        fields.finish(notes);
        Some(Self {
            name: has_name.then_some(name),
            weight,
        })
    }
}

/// Reads `weight`, in the range that the database holds to.
fn read_weight(fields: &mut Fields<'_>, notes: &mut Notes) -> Option<i16> {
    let weight = fields.integer("weight", 1, 100, notes)?;
    i16::try_from(weight).ok()
}

impl BusinessInput {
    /// Reads a business that stands at `pointer`.
    pub fn read(value: &Value, pointer: &str, notes: &mut Notes) -> Option<Self> {
        let mut fields = Fields::of(value, pointer, notes)?;
        let key = read_key(&mut fields, notes);
        let name = read_name(&mut fields, notes, &key);
        let weight = read_weight(&mut fields, notes).unwrap_or(1);
        fields.finish(notes);
        Some(Self { key, name, weight })
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
        assert_eq!((read.name.as_str(), read.weight), ("acme", 1));
        assert!(notes.is_empty());
    }

    #[test]
    fn every_bad_field_is_told() {
        let mut notes = Notes::default();
        BusinessInput::read(
            &json!({"key": "Acme!", "name": "x".repeat(201), "weight": 101}),
            "",
            &mut notes,
        );
        let pointers: Vec<_> = notes
            .into_problems()
            .into_iter()
            .map(|p| p.pointer)
            .collect();
        assert_eq!(pointers, ["/key", "/name", "/weight"]);
    }
}
