//! The text of a manifest, read as the reference's YAML reader reads it.
//!
//! `yes`, `no`, `on` and `off` are booleans to both. A `y` or `n` is one to ours and a text to the reference's, and so is a word in
//! mixed case, such as `yEs`. Our reader does not say how a boolean was written, so a text that may hold such a word is read a
//! second time, with `true` and `false` as the only booleans.

use serde_json::Value;

/// The words that are booleans.
const BOOLEANS: &[&str] = &["yes", "no", "true", "false", "on", "off"];

/// Reads a text of YAML.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let mut root: Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    if has_doubtful_word(text) {
        let options = serde_saphyr::options! { strict_booleans: true };
        let written: Value = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| error.to_string())?;
        restore(&mut root, &written);
    }
    Ok(root)
}

/// Whether a word of the text is a boolean to our reader only.
fn has_doubtful_word(text: &str) -> bool {
    let is_apart = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    text.split(is_apart).any(is_doubtful)
}

fn is_doubtful(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    matches!(lower.as_str(), "y" | "n") || (BOOLEANS.contains(&lower.as_str()) && !is_boolean(word))
}

/// Words count in lower case, in capitals, and with a capital at their beginning.
fn is_boolean(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let after_first = word.get(1..).unwrap_or_default();
    let is_even = word == lower
        || word == lower.to_ascii_uppercase()
        || (word.starts_with(|c: char| c.is_ascii_uppercase())
            && after_first == after_first.to_ascii_lowercase());
    BOOLEANS.contains(&lower.as_str()) && is_even
}

/// Puts texts back in the place of booleans that are none.
fn restore(value: &mut Value, written: &Value) {
    match (value, written) {
        (value @ Value::Bool(_), Value::String(word)) if !is_boolean(word.trim()) => {
            *value = Value::String(word.clone());
        }
        (Value::Array(items), Value::Array(written)) => {
            for (item, written) in items.iter_mut().zip(written) {
                restore(item, written);
            }
        }
        (Value::Object(members), Value::Object(written)) => {
            for (name, member) in members {
                if let Some(written) = written.get(name) {
                    restore(member, written);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What `PyYAML` makes of them.
    #[test]
    fn booleans_are_those_of_the_reference() {
        for word in [
            "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE",
        ] {
            assert_eq!(
                read(&format!("a: {word}")),
                Ok(json!({"a": true})),
                "{word}"
            );
        }
        for word in [
            "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE",
        ] {
            assert_eq!(
                read(&format!("a: [{word}]")),
                Ok(json!({"a": [false]})),
                "{word}"
            );
        }
        for word in ["y", "Y", "n", "N", "yEs", "tRUE", "oN", "nO"] {
            assert_eq!(
                read(&format!("a: {word}")),
                Ok(json!({"a": word})),
                "{word}"
            );
            assert_eq!(read(&format!("a: \"{word}\"")), Ok(json!({"a": word})));
        }
    }

    #[test]
    fn everything_else_stays_as_it_is_read() {
        let text = "x: &x [n, 1, yes, 1.5, ~, 'no', \"n\"]\ny: *x\nn: {on: y, z: 'y'}\n";
        let list = json!(["n", 1, true, 1.5, null, "no", "n"]);
        let expected = json!({"x": list, "y": list, "n": {"on": "y", "z": "y"}});
        assert_eq!(read(text), Ok(expected));
        assert!(read("a: [y").is_err());
        // The reference reads 10 and 90.
        assert_eq!(read("[012, 1:30]"), Ok(json!([12.0, "1:30"])));
    }
}
