//! JSON as Python and Jinja write it.

use std::fmt::Write as _;

use serde_json::Value;

use super::number;
use super::value::{Val, json_is_true};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonStyle {
    /// `json.dumps`: a space after commas and colons, ASCII only.
    Python,
    /// Jinja's `tojson`: keys sorted as well, and what is special in HTML escaped.
    Html,
}

pub(super) fn json_text(value: &Val<'_>, style: JsonStyle) -> String {
    let mut out = String::new();
    write_json(&mut out, &value.clone().into_json(), style);
    out
}

fn write_json(out: &mut String, value: &Value, style: JsonStyle) {
    match value {
        Value::Number(number) => out.push_str(&number::text(number)),
        Value::String(text) => write_json_text(out, text, style),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_json(out, item, style);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut pairs: Vec<(&String, &Value)> = members.iter().collect();
            if style == JsonStyle::Html {
                pairs.sort_by_key(|(key, _)| *key);
            }
            out.push('{');
            for (index, (key, member)) in pairs.into_iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_json_text(out, key, style);
                out.push_str(": ");
                write_json(out, member, style);
            }
            out.push('}');
        }
        other => out.push_str(match (other, json_is_true(other)) {
            (Value::Null, _) => "null",
            (_, true) => "true",
            (_, false) => "false",
        }),
    }
}

fn write_json_text(out: &mut String, text: &str, style: JsonStyle) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\'' if style == JsonStyle::Html => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            ' '..='~' => out.push(c),
            c => {
                let mut units = [0u16; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}
