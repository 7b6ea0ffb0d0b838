//! Extraction, filters, transformations and addresses against the tables that the reference implementation wrote.

use chrono::DateTime;
use reqwest::Url;
use serde_json::{Value, json};

use super::{RecordPath, Transformation};
use crate::expr::{EvalError, Place, Scope, Template};
use crate::load::component::{Component, Problems};
use crate::request::url::{add_parameters, join};

fn table() -> Value {
    serde_json::from_str(include_str!("../../tests/golden/reading.json")).unwrap()
}

/// Compares every case; `different` says why a case may differ, and has to be right about it.
fn all_right(
    table: &Value,
    name: &str,
    least: usize,
    check: impl Fn(&Value) -> Result<(), String>,
    different: impl Fn(&Value) -> Option<&'static str>,
) {
    let cases = table[name].as_array().unwrap();
    let mut wrong = Vec::new();
    for case in cases {
        match (check(case), different(case)) {
            (Ok(()), None) | (Err(_), Some(_)) => {}
            (Err(problem), None) => wrong.push(format!("{problem} of {case}")),
            (Ok(()), Some(reason)) => wrong.push(format!("no difference ({reason}): {case}")),
        }
    }
    assert!(cases.len() >= least, "{} cases", cases.len());
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn is(found: &Value, expected: &Value) -> Result<(), String> {
    if crate::expr::json_equals(found, expected) {
        Ok(())
    } else {
        Err(format!("{found}"))
    }
}

fn template(source: &str, place: Place) -> Template {
    Template::compile(source, "", &std::sync::Arc::new(json!({})), place).unwrap()
}

#[test]
fn records_are_found_as_the_reference_finds_them() {
    let table = table();
    let check = |case: &Value| {
        let scope = Scope::of_config(&table["config"]);
        let steps = case["path"].as_array().unwrap().iter();
        let steps: Vec<String> = steps
            .map(|step| {
                template(step.as_str().unwrap(), Place::CONFIG)
                    .text(&scope)
                    .unwrap()
            })
            .collect();
        let found = RecordPath::of(steps)?.take(case["body"].clone());
        match found {
            // Where a pattern leads to several places, ours ends, and so does the reference.
            Err(_) if case["records"].is_string() => Ok(()),
            found => is(&Value::Array(found?), &case["records"]),
        }
    };
    let different = |case: &Value| {
        if case["path"] == json!(["**", "**"]) {
            return Some("a path with two `**` is refused when it is loaded");
        }
        let last = case["path"].as_array()?.last()?.as_str()?;
        let is_other = last == "0" && case["body"].get("0").is_some();
        (is_other && check(case).is_err()).then_some("a number is a name of a member, too")
    };
    all_right(&table, "extracted", 700, check, different);
}

#[test]
fn filters_keep_what_the_reference_keeps() {
    let table = table();
    let slice = json!({"start": "2024-01-03"});
    let check = |case: &Value| {
        let condition = template(case["condition"].as_str().unwrap(), Place::RECORD_FILTER);
        let records = table["records"].as_array().unwrap().iter();
        for (record, kept) in records.zip(case["kept"].as_array().unwrap()) {
            let scope = Scope {
                record: Some(record),
                stream_slice: Some(&slice),
                ..Scope::of_read(&table["config"], DateTime::UNIX_EPOCH)
            };
            let found = match condition.condition(&scope) {
                // The reference takes the template's own text, which is true.
                Err(EvalError::Type(_)) if kept == &json!(true) => continue,
                Err(_) if kept.is_string() => continue,
                other => other.map_err(|error| format!("{error:?} for {record}"))?,
            };
            is(&json!(found), kept).map_err(|found| format!("{found} for {record}"))?;
        }
        Ok(())
    };
    let different = |case: &Value| {
        let is_text_of_nothing = case["condition"] == "{{ record.id | string | length == 1 }}";
        is_text_of_nothing.then_some("what is missing has a text, the reference fails")
    };
    all_right(&table, "kept", 30, check, different);
}

fn transformed(manifest: &Value, record: &Value, config: &Value) -> Result<Value, String> {
    let mut problems = Problems::default();
    let kinds = ["AddFields", "RemoveFields"];
    let component = Component::read(manifest, "", &kinds, &mut problems).unwrap();
    let transformation = Transformation::load(&component, &mut problems);
    let Some(transformation) = transformation.filter(|_| problems.0.is_empty()) else {
        return Err(format!("refused: {:?}", problems.0));
    };
    let slice = json!({"p": 1, "start": "2024-01-03"});
    let scope = Scope {
        stream_slice: Some(&slice),
        ..Scope::of_read(config, DateTime::UNIX_EPOCH)
    };
    let mut record = record.as_object().unwrap().clone();
    transformation
        .apply(&mut record, &scope)
        .map_err(|error| format!("{error:?}"))?;
    Ok(Value::Object(record))
}

/// The reference's own errors are errors of ours; so are wrong types, where the reference adds the template's text.
fn compare_change(found: Result<Value, String>, case: &Value) -> Result<(), String> {
    let after = &case["after"];
    match found {
        Err(_) if after.is_string() => Ok(()),
        Err(error) => Err(error),
        Ok(found) => is(&found, after),
    }
}

#[test]
fn fields_are_added_as_the_reference_adds_them() {
    let table = table();
    let check = |case: &Value| {
        let mut field =
            json!({"type": "AddedFieldDefinition", "path": case["path"], "value": case["value"]});
        if !case["value_type"].is_null() {
            field["value_type"] = case["value_type"].clone();
        }
        let manifest = json!({"type": "AddFields", "fields": [field]});
        compare_change(
            transformed(&manifest, &case["record"], &table["config"]),
            case,
        )
    };
    let different = |case: &Value| {
        if case["after"] == "UndefinedError" {
            return Some("a member of what is missing is empty, the reference fails");
        }
        let is_truth = case["value_type"] == "integer" && case["after"]["new"].is_boolean();
        is_truth.then_some("truth values are no integers")
    };
    all_right(&table, "added", 2_000, check, different);
}

#[test]
fn fields_are_removed_as_the_reference_removes_them() {
    let table = table();
    let check = |case: &Value| {
        let manifest = json!({"type": "RemoveFields", "field_pointers": case["pointers"]});
        compare_change(
            transformed(&manifest, &case["record"], &table["config"]),
            case,
        )
    };
    all_right(&table, "removed", 150, check, |_| None);
}

#[test]
fn addresses_are_joined_as_the_reference_joins_them() {
    let check = |case: &Value| {
        let found = join(
            case["base"].as_str().unwrap(),
            case["path"].as_str().unwrap(),
        )?;
        is(&json!(found.as_str()), &case["address"])
    };
    let different = |case: &Value| {
        let is_doubled = case["path"] == "a//b"
            || (case["base"] == "http://x.example/v1//" && case["path"] == "?a=1");
        is_doubled
            .then_some("double slashes within a path are kept, those between base and path are one")
    };
    all_right(&table(), "joined", 150, check, different);
}

#[test]
fn parameters_are_written_as_the_reference_writes_them() {
    let check = |case: &Value| {
        let mut url = Url::parse(case["url"].as_str().unwrap()).unwrap();
        // A missing value never gets here.
        let mut parameters = case["parameters"].as_object().unwrap().clone();
        parameters.retain(|_, value| !value.is_null());
        add_parameters(&mut url, &parameters);
        is(&json!(url.as_str()), &case["address"])
    };
    let different = |case: &Value| {
        let is_second =
            case["url"] == "https://x.example/i?x=1&x=2" && case["parameters"] == json!({"x": "2"});
        is_second.then_some("a parameter that the address has is left out, wherever it stands")
    };
    all_right(&table(), "queries", 150, check, different);
}
