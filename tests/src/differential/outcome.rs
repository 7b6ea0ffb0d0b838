//! What is compared of a read.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};

/// What a read came to, in a form in which equal things are equal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// The records of each stream, in the order of their texts.
    pub records: BTreeMap<String, Vec<Value>>,
    /// The last state of each stream, as it was printed.
    pub states: BTreeMap<String, Value>,
    /// Whether each stream was read to its end: `COMPLETE` or `INCOMPLETE`.
    pub ends: BTreeMap<String, String>,
    /// The config that the read asks to keep (rotated tokens).
    pub config: Option<Value>,
    /// The requests, in the order of their texts.
    pub requests: Vec<Value>,
}

impl Outcome {
    /// From messages of the protocol, one JSON a line; other lines are passed over.
    pub fn of_messages(text: &str) -> Self {
        let mut outcome = Self::default();
        for line in text.lines() {
            if let Ok(message) = serde_json::from_str(line) {
                outcome.take(&message);
            }
        }
        for records in outcome.records.values_mut() {
            records.sort_by_cached_key(Value::to_string);
        }
        outcome
    }

    fn take(&mut self, message: &Value) {
        let name = |of: &Value| {
            of["stream_descriptor"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        match message["type"].as_str() {
            Some("RECORD") => {
                let record = &message["record"];
                let stream = record["stream"].as_str().unwrap_or_default().to_owned();
                self.records
                    .entry(stream)
                    .or_default()
                    .push(without_nulls(canonical(&record["data"])));
            }
            Some("STATE") => {
                let stream = &message["state"]["stream"];
                self.states
                    .insert(name(stream), stream["stream_state"].clone());
            }
            Some("TRACE") => {
                let status = &message["trace"]["stream_status"];
                let end = status["status"].as_str().unwrap_or_default();
                if end.ends_with("COMPLETE") {
                    self.ends.insert(name(status), end.to_owned());
                }
            }
            Some("CONTROL") => {
                let mut config = canonical(&message["control"]["connectorConfig"]["config"]);
                if let Some(members) = config.as_object_mut() {
                    members.remove("__injected_declarative_manifest");
                }
                self.config = Some(in_whole_seconds(config));
            }
            _ => {}
        }
    }

    /// The requests that the server saw; each once, unless they are counted.
    #[must_use]
    pub fn with_requests(mut self, requests: &[Value], counted: bool) -> Self {
        self.requests = requests.iter().map(canonical).collect();
        self.requests.sort_by_cached_key(Value::to_string);
        if !counted {
            self.requests.dedup();
        }
        self
    }

    /// As it is committed.
    pub fn to_json(&self) -> Value {
        let mut members = Map::new();
        members.insert("records".to_owned(), json!(self.records));
        members.insert("states".to_owned(), canonical(&json!(self.states)));
        members.insert("ends".to_owned(), json!(self.ends));
        if let Some(config) = &self.config {
            members.insert("config".to_owned(), config.clone());
        }
        members.insert("requests".to_owned(), json!(self.requests));
        Value::Object(members)
    }
}

/// The same value with members in order, floats in their shortest form, and without what depends on how long a read took.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&String, &Value> = members.iter().collect();
            let members = sorted.into_iter().map(|(name, value)| {
                let is_time_taken = name == "lookback_window" && value.is_number();
                (
                    name.clone(),
                    if is_time_taken {
                        json!("seconds of the read")
                    } else {
                        canonical(value)
                    },
                )
            });
            Value::Object(members.collect())
        }
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Number(number) if number.to_string().contains(['.', 'e', 'E']) => {
            number.as_f64().map_or(Value::Null, Value::from)
        }
        other => other.clone(),
    }
}

/// A config whose moments have whole seconds: ours counts the time that the read has taken, which stands still for the reference.
fn in_whole_seconds(value: Value) -> Value {
    match value {
        Value::String(text) => match DateTime::parse_from_rfc3339(&text) {
            Ok(moment) => Value::String(moment.to_rfc3339_opts(SecondsFormat::Secs, false)),
            Err(_) => Value::String(text),
        },
        Value::Object(members) => members
            .into_iter()
            .map(|(name, member)| (name, in_whole_seconds(member)))
            .collect(),
        other => other,
    }
}

/// A record without its members that are null, which the reference leaves out when it prints.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let present = members.into_iter().filter(|(_, member)| !member.is_null());
            Value::Object(
                present
                    .map(|(name, member)| (name, without_nulls(member)))
                    .collect(),
            )
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// What one has and the other has not, in lines for people.
pub fn differences(expected: &Value, found: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", expected, found, &mut lines);
    lines
}

fn compare(path: &str, expected: &Value, found: &Value, lines: &mut Vec<String>) {
    match (expected, found) {
        _ if expected == found => {}
        (Value::Object(one), Value::Object(other)) => {
            let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for name in names {
                let of = |members: &Map<String, Value>| {
                    members.get(name).cloned().unwrap_or(json!("(nothing)"))
                };
                compare(&format!("{path}/{name}"), &of(one), &of(other), lines);
            }
        }
        // Steps of a read are compared one by one, records and requests as bags.
        (Value::Array(one), Value::Array(other)) if path.is_empty() && one.len() == other.len() => {
            for (step, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&step.to_string(), one, other, lines);
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            let mut rest = other.clone();
            for item in one {
                match rest.iter().position(|candidate| candidate == item) {
                    Some(index) => drop(rest.swap_remove(index)),
                    None => lines.push(format!("{path}: only the reference: {item}")),
                }
            }
            lines.extend(rest.iter().map(|item| format!("{path}: only ours: {item}")));
        }
        _ => lines.push(format!("{path}: the reference: {expected}; ours: {found}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_what_only_one_side_has() {
        let one = json!({"records": {"a": [{"id": 1}, {"id": 1}, {"id": 2}]}, "states": {"a": 1}});
        let other = json!({"records": {"a": [{"id": 2}, {"id": 1}, {"id": 3}]}});
        let expected = [
            r#"/records/a: only the reference: {"id":1}"#,
            r#"/records/a: only ours: {"id":3}"#,
            r#"/states: the reference: {"a":1}; ours: "(nothing)""#,
        ];
        assert_eq!(differences(&one, &other), expected);
        assert_eq!(differences(&one, &one), Vec::<String>::new());
    }

    #[test]
    fn large_numbers_and_floats_are_compared_as_what_they_are() {
        let text = r#"{"b": 12345678901234567890123, "a": 1.50, "lookback_window": 3}"#;
        let value = canonical(&serde_json::from_str(text).unwrap());
        let expected =
            r#"{"a":1.5,"b":12345678901234567890123,"lookback_window":"seconds of the read"}"#;
        assert_eq!(value.to_string(), expected);
    }
}
