//! `x_null_words`: texts of a platform that mean that there is no value.

use serde_json::Value;

use crate::page::Record;

/// Replaces each text that is one of these words by null, however deep it is.
pub(crate) fn clear(record: &mut Record, words: &[String]) {
    for value in record.values_mut() {
        clear_value(value, words);
    }
}

fn clear_value(value: &mut Value, words: &[String]) {
    match value {
        Value::String(text) if words.iter().any(|word| word == text) => *value = Value::Null,
        Value::Array(items) => items.iter_mut().for_each(|item| clear_value(item, words)),
        Value::Object(members) => clear(members, words),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whole_texts_become_null_and_nothing_else_does() {
        let mut record = json!({"a": "-", "b": "--", "c": ["-", {"d": "N/A"}], "e": 0, "f": ""});
        if let Value::Object(members) = &mut record {
            clear(members, &["-".to_owned(), "N/A".to_owned()]);
        }
        assert_eq!(
            record,
            json!({"a": null, "b": "--", "c": [null, {"d": null}], "e": 0, "f": ""})
        );
    }
}
