//! Reads the members of a JSON object and notes every problem on the way, instead of ending at the first as serde does.
//!
//! A problem is named by the JSON pointer of its field. Null counts as absent. Text that was put in for `${env:..}` as a whole
//! may stand for a number or a truth value where one is wanted; [`Notes`] knows which texts those are.

use std::collections::HashSet;
use std::fmt::Display;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde_json::{Map, Number, Value};

use crate::error::FieldProblem;

/// What was found wrong so far, and which texts were put in from outside.
#[derive(Debug, Default)]
pub struct Notes {
    problems: Vec<FieldProblem>,
    expanded: HashSet<String>,
}

impl Notes {
    /// Notes for a document whose texts at these pointers were put in as a whole.
    pub fn with_expanded(expanded: HashSet<String>) -> Self {
        Self {
            problems: Vec::new(),
            expanded,
        }
    }

    /// Notes a problem.
    pub fn refuse(
        &mut self,
        pointer: impl Into<String>,
        code: impl Into<String>,
        detail: impl Into<String>,
    ) {
        self.problems.push(FieldProblem::new(pointer, code, detail));
    }

    /// True if nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// How many problems there are.
    pub fn len(&self) -> usize {
        self.problems.len()
    }

    /// True if the text at this pointer was put in as a whole.
    pub fn is_expanded(&self, pointer: &str) -> bool {
        self.expanded.contains(pointer)
    }

    /// The problems, in the order they were found.
    pub fn into_problems(self) -> Vec<FieldProblem> {
        self.problems
    }
}

/// The members of one object.
#[derive(Debug)]
pub struct Fields<'v> {
    members: &'v Map<String, Value>,
    pointer: String,
    asked: Vec<&'static str>,
}

impl<'v> Fields<'v> {
    /// The members of `value`, which stands at `pointer`; `None` and a note if it is no object.
    pub fn of(value: &'v Value, pointer: impl Into<String>, notes: &mut Notes) -> Option<Self> {
        let pointer = pointer.into();
        let Value::Object(members) = value else {
            notes.refuse(
                pointer,
                "type",
                format!("this must be an object, not {}", kind(value)),
            );
            return None;
        };
        Some(Self {
            members,
            pointer,
            asked: Vec::new(),
        })
    }

    /// The pointer of a member.
    pub fn at(&self, name: &str) -> String {
        format!("{}/{}", self.pointer, escape(name))
    }

    /// A member as it is.
    pub fn value(&mut self, name: &'static str) -> Option<&'v Value> {
        if !self.asked.contains(&name) {
            self.asked.push(name);
        }
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// A text.
    pub fn text(&mut self, name: &'static str, notes: &mut Notes) -> Option<String> {
        match self.value(name)? {
            Value::String(text) => Some(text.clone()),
            other => {
                notes.refuse(
                    self.at(name),
                    "type",
                    format!("{name} must be a text, not {}", kind(other)),
                );
                None
            }
        }
    }

    /// A text that must be there; empty, with a note, if it is not.
    pub fn required_text(&mut self, name: &'static str, notes: &mut Notes) -> String {
        let before = notes.len();
        let text = self.text(name, notes).unwrap_or_default();
        if text.is_empty() && notes.len() == before {
            notes.refuse(self.at(name), "required", format!("{name} is required"));
        }
        text
    }

    /// A list of texts.
    pub fn texts(&mut self, name: &'static str, notes: &mut Notes) -> Option<Vec<String>> {
        let value = self.value(name)?;
        let Value::Array(items) = value else {
            let detail = format!("{name} must be a list of texts, not {}", kind(value));
            notes.refuse(self.at(name), "type", detail);
            return None;
        };
        let mut texts = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match item {
                Value::String(text) => texts.push(text.clone()),
                other => notes.refuse(
                    format!("{}/{index}", self.at(name)),
                    "type",
                    format!("this must be a text, not {}", kind(other)),
                ),
            }
        }
        Some(texts)
    }

    /// True or false.
    pub fn boolean(&mut self, name: &'static str, notes: &mut Notes) -> Option<bool> {
        let value = self.value(name)?;
        let answer = match value {
            Value::Bool(answer) => Some(*answer),
            Value::String(text) if notes.is_expanded(&self.at(name)) => boolean_of(text),
            _ => None,
        };
        if answer.is_none() {
            let detail = format!("{name} must be true or false, not {}", kind(value));
            notes.refuse(self.at(name), "type", detail);
        }
        answer
    }

    /// A whole number within a range.
    pub fn integer(
        &mut self,
        name: &'static str,
        from: i64,
        to: i64,
        notes: &mut Notes,
    ) -> Option<i64> {
        self.within(name, "a whole number", (from, to), Number::as_i64, notes)
    }

    /// A number within a range.
    pub fn number(
        &mut self,
        name: &'static str,
        range: (f64, f64),
        notes: &mut Notes,
    ) -> Option<f64> {
        self.within(name, "a number", range, Number::as_f64, notes)
    }

    fn within<T: PartialOrd + Display + FromStr>(
        &mut self,
        name: &'static str,
        what: &str,
        (from, to): (T, T),
        read: fn(&Number) -> Option<T>,
        notes: &mut Notes,
    ) -> Option<T> {
        let value = self.value(name)?;
        let number = match value {
            Value::Number(number) => read(number),
            Value::String(text) if notes.is_expanded(&self.at(name)) => text.trim().parse().ok(),
            _ => None,
        };
        let within = number.filter(|number| (&from..=&to).contains(&number));
        if within.is_none() {
            let given = match value {
                Value::Number(number) => number.to_string(),
                other => kind(other).to_owned(),
            };
            let detail = format!("{name} must be {what} from {from} to {to}, not {given}");
            notes.refuse(self.at(name), "range", detail);
        }
        within
    }

    /// An instant (RFC 3339).
    pub fn instant(&mut self, name: &'static str, notes: &mut Notes) -> Option<DateTime<Utc>> {
        let text = self.text(name, notes)?;
        let instant = DateTime::parse_from_rfc3339(&text).ok();
        if instant.is_none() {
            let detail = format!("{name} {text:?} is not an instant such as 2026-08-01T00:00:00Z");
            notes.refuse(self.at(name), "instant", detail);
        }
        instant.map(|instant| instant.to_utc())
    }

    /// One of a list of words.
    pub fn word<T: std::str::FromStr<Err = String>>(
        &mut self,
        name: &'static str,
        notes: &mut Notes,
    ) -> Option<T> {
        match self.text(name, notes)?.parse() {
            Ok(word) => Some(word),
            Err(problem) => {
                notes.refuse(self.at(name), "unknown-value", format!("{name} {problem}"));
                None
            }
        }
    }

    /// Notes every member that nobody asked for.
    pub fn finish(self, notes: &mut Notes) {
        for name in self.members.keys() {
            if !self.asked.contains(&name.as_str()) {
                let detail = format!("{name:?} is unknown; allowed: {}", self.asked.join(", "));
                notes.refuse(self.at(name), "unknown-field", detail);
            }
        }
    }
}

/// A truth value as variables hold them.
fn boolean_of(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// A name as a step of a JSON pointer (RFC 6901).
pub fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// What a value is, without showing it: it may be a secret.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_problem_of_an_object_is_noted() {
        let value =
            json!({"key": 7, "enabled": "yes", "every": 0, "streams": ["a", 1], "colour": 1});
        let mut notes = Notes::default();
        let mut fields = Fields::of(&value, "/schedules/0", &mut notes).expect("an object");
        fields.required_text("key", &mut notes);
        fields.required_text("cron", &mut notes);
        fields.boolean("enabled", &mut notes);
        fields.integer("every", 1, 9, &mut notes);
        fields.texts("streams", &mut notes);
        fields.finish(&mut notes);
        let problems = notes.into_problems();
        let found: Vec<_> = problems
            .iter()
            .map(|p| (p.pointer.as_str(), p.code.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("/schedules/0/key", "type"),
                ("/schedules/0/cron", "required"),
                ("/schedules/0/enabled", "type"),
                ("/schedules/0/every", "range"),
                ("/schedules/0/streams/1", "type"),
                ("/schedules/0/colour", "unknown-field"),
            ]
        );
    }

    #[test]
    fn only_text_that_was_put_in_may_stand_for_other_kinds() {
        let value = json!({"enabled": "true", "every": "5"});
        let expanded = HashSet::from(["/enabled".to_owned(), "/every".to_owned()]);
        for (mut notes, expected) in [
            (Notes::with_expanded(expanded), (Some(true), Some(5))),
            (Notes::default(), (None, None)),
        ] {
            let mut fields = Fields::of(&value, "", &mut notes).expect("an object");
            let read = (
                fields.boolean("enabled", &mut notes),
                fields.integer("every", 1, 9, &mut notes),
            );
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn variables_say_yes_and_no_in_many_ways() {
        for (text, expected) in [
            ("True", Some(true)),
            ("1", Some(true)),
            (" off\n", Some(false)),
            ("NO", Some(false)),
            ("", None),
            ("enabled", None),
        ] {
            assert_eq!(boolean_of(text), expected, "{text:?}");
        }
    }

    #[test]
    fn values_are_not_shown() {
        let value = json!({"key": ["hunter2"]});
        let mut notes = Notes::default();
        let mut fields = Fields::of(&value, "", &mut notes).expect("an object");
        fields.text("key", &mut notes);
        assert!(!notes.into_problems()[0].detail.contains("hunter2"));
    }
}
