//! Values of expressions: JSON, borrowed where it can be, plus the few Python values that JSON lacks.
//!
//! A tuple inside a list or dict becomes a list: only the outermost value can be a tuple. Its text
//! differs from Python's then (`[1, 2]` for `(1, 2)`), its value does not once it is JSON.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write as _;

use serde_json::Value;

use super::dates::Dated;
use super::number;

/// The value of an expression.
#[derive(Debug, Clone)]
pub(crate) enum Val<'a> {
    /// Jinja's undefined: a missing variable, member or item.
    Undefined,
    /// A JSON value: `null` is None, an object is a dict.
    Json(Cow<'a, Value>),
    Tuple(Vec<Value>),
    Set(Vec<Value>),
    Bytes(Vec<u8>),
    Ellipsis,
    Dated(Dated),
}

pub(crate) const NULL: Val<'static> = Val::Json(Cow::Owned(Value::Null));

impl<'a> Val<'a> {
    pub(crate) fn json(value: Value) -> Val<'a> {
        Val::Json(Cow::Owned(value))
    }

    pub(crate) fn text(text: impl Into<String>) -> Val<'a> {
        Val::json(Value::String(text.into()))
    }

    pub(crate) fn boolean(truth: bool) -> Val<'a> {
        Val::json(Value::Bool(truth))
    }

    pub(crate) fn integer(integer: usize) -> Val<'a> {
        Val::json(Value::from(integer))
    }

    /// The same value, lent where it is JSON.
    pub(crate) fn borrowed(&self) -> Val<'_> {
        match self {
            Val::Json(value) => Val::Json(Cow::Borrowed(value)),
            other => other.clone(),
        }
    }

    pub(crate) fn as_json(&self) -> Option<&Value> {
        match self {
            Val::Json(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        self.as_json().and_then(Value::as_str)
    }

    /// The members of a list, tuple or set.
    pub(crate) fn as_items(&self) -> Option<&[Value]> {
        match self {
            Val::Json(value) => value.as_array().map(Vec::as_slice),
            Val::Tuple(items) | Val::Set(items) => Some(items),
            _ => None,
        }
    }

    /// The value as JSON: tuples and sets become lists, bytes become text, undefined becomes null.
    pub(crate) fn into_json(self) -> Value {
        match self {
            Val::Undefined => Value::Null,
            Val::Json(value) => value.into_owned(),
            Val::Tuple(items) | Val::Set(items) => Value::Array(items),
            Val::Bytes(bytes) => Value::String(String::from_utf8_lossy(&bytes).into_owned()),
            Val::Ellipsis => Value::String("...".to_owned()),
            Val::Dated(dated) => Value::String(dated.to_text()),
        }
    }

    /// Python's truth.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Val::Undefined => false,
            Val::Json(value) => json_is_true(value),
            Val::Tuple(items) | Val::Set(items) => !items.is_empty(),
            Val::Bytes(bytes) => !bytes.is_empty(),
            Val::Ellipsis => true,
            Val::Dated(dated) => dated.is_true(),
        }
    }

    /// Python's `str()`; undefined is empty.
    pub(crate) fn to_text(&self) -> Cow<'_, str> {
        match self {
            Val::Undefined => Cow::Borrowed(""),
            Val::Json(value) => match value.as_ref() {
                Value::String(text) => Cow::Borrowed(text),
                other => {
                    let mut out = String::new();
                    write_repr(&mut out, other);
                    Cow::Owned(out)
                }
            },
            Val::Tuple(items) => {
                let mut out = String::from("(");
                write_items(&mut out, items);
                if items.len() == 1 {
                    out.push(',');
                }
                out.push(')');
                Cow::Owned(out)
            }
            Val::Set(items) if items.is_empty() => Cow::Borrowed("set()"),
            Val::Set(items) => {
                let mut out = String::from("{");
                write_items(&mut out, items);
                out.push('}');
                Cow::Owned(out)
            }
            Val::Bytes(bytes) => Cow::Owned(bytes_repr(bytes)),
            Val::Ellipsis => Cow::Borrowed("Ellipsis"),
            Val::Dated(dated) => Cow::Owned(dated.to_text()),
        }
    }

    /// A word for error messages, in Python's terms.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Val::Undefined => "undefined",
            Val::Json(value) => match value.as_ref() {
                Value::Null => "None",
                Value::Bool(_) => "bool",
                Value::Number(number) if number::is_integer(number) => "int",
                Value::Number(_) => "float",
                Value::String(_) => "str",
                Value::Array(_) => "list",
                Value::Object(_) => "dict",
            },
            Val::Tuple(_) => "tuple",
            Val::Set(_) => "set",
            Val::Bytes(_) => "bytes",
            Val::Ellipsis => "Ellipsis",
            Val::Dated(dated) => dated.type_name(),
        }
    }

    /// Python's `==`.
    pub(crate) fn equals(&self, other: &Val<'_>) -> bool {
        match (self, other) {
            (Val::Undefined, Val::Undefined) | (Val::Ellipsis, Val::Ellipsis) => true,
            (Val::Json(left), Val::Json(right)) => json_equals(left, right),
            (Val::Tuple(left), Val::Tuple(right)) => lists_equal(left, right),
            (Val::Set(left), Val::Set(right)) => {
                let within = |item: &Value, all: &[Value]| all.iter().any(|x| json_equals(x, item));
                left.len() == right.len() && left.iter().all(|item| within(item, right))
            }
            (Val::Bytes(left), Val::Bytes(right)) => left == right,
            (Val::Dated(left), Val::Dated(right)) => left == right,
            _ => false,
        }
    }
}

pub(crate) fn json_is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number::as_float(number) != 0.0,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// Python's `==` between JSON values: `1 == 1.0 == True`, dicts without order.
pub(crate) fn json_equals(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::String(left), Value::String(right)) => left == right,
        (Value::Array(left), Value::Array(right)) => lists_equal(left, right),
        (Value::Object(left), Value::Object(right)) => {
            let same = |(key, value): (&String, &Value)| {
                right
                    .get(key)
                    .is_some_and(|other| json_equals(value, other))
            };
            left.len() == right.len() && left.iter().all(same)
        }
        _ => json_compare(left, right) == Some(Ordering::Equal),
    }
}

fn lists_equal(left: &[Value], right: &[Value]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|(left, right)| json_equals(left, right))
}

/// Python's order, where it has one: numbers and booleans, texts, lists.
pub(crate) fn json_compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Array(left), Value::Array(right)) => {
            for (left, right) in left.iter().zip(right) {
                if !json_equals(left, right) {
                    return json_compare(left, right);
                }
            }
            Some(left.len().cmp(&right.len()))
        }
        _ => {
            let left = as_number(left)?;
            let right = as_number(right)?;
            number::compare(&left, &right)
        }
    }
}

/// A text that is the same for values that are equal in Python's eyes, and for no others.
pub(crate) fn equality_key(value: &Value) -> String {
    let mut key = String::new();
    write_key(&mut key, value);
    key
}

fn write_key(key: &mut String, value: &Value) {
    match value {
        Value::Null => key.push('n'),
        Value::Bool(truth) => key.push_str(if *truth { "#1" } else { "#0" }),
        Value::Number(number) => {
            key.push('#');
            key.push_str(&number::exact(number));
        }
        Value::String(text) => {
            key.push_str(&format!("'{}:", text.len()));
            key.push_str(text);
        }
        Value::Array(items) => {
            key.push_str(&format!("[{}:", items.len()));
            for item in items {
                write_key(key, item);
            }
        }
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            key.push_str(&format!("{{{}:", members.len()));
            for (name, member) in members {
                key.push_str(&format!("{}:{name}", name.len()));
                write_key(key, member);
            }
        }
    }
}

/// A number, or a boolean as 0 or 1.
pub(crate) fn as_number(value: &Value) -> Option<Cow<'_, serde_json::Number>> {
    match value {
        Value::Number(number) => Some(Cow::Borrowed(number)),
        Value::Bool(truth) => Some(Cow::Owned(u8::from(*truth).into())),
        _ => None,
    }
}

/// Python's `repr` of a JSON value.
pub(crate) fn write_repr(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => out.push_str(&number::text(number)),
        Value::String(text) => write_text_repr(out, text),
        Value::Array(items) => {
            out.push('[');
            write_items(out, items);
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (index, (key, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_text_repr(out, key);
                out.push_str(": ");
                write_repr(out, member);
            }
            out.push('}');
        }
    }
}

fn write_items(out: &mut String, items: &[Value]) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_repr(out, item);
    }
}

/// Python's `repr` of a text: single quotes unless it holds those and no double ones.
fn write_text_repr(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if is_printable(c) => out.push(c),
            // Writing to a String cannot fail.
            c if (c as u32) < 0x100 => drop(write!(out, "\\x{:02x}", c as u32)),
            c if (c as u32) < 0x1_0000 => drop(write!(out, "\\u{:04x}", c as u32)),
            c => drop(write!(out, "\\U{:08x}", c as u32)),
        }
    }
    out.push(quote);
}

/// Python's `str.isprintable` for the characters that occur: controls, format characters, separators
/// other than the space, and private use are not printable.
fn is_printable(c: char) -> bool {
    !matches!(c as u32,
        0..=0x1f | 0x7f..=0xa0 | 0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x1680 | 0x180e
        | 0x2000..=0x200f | 0x2028..=0x202f | 0x205f..=0x206f | 0x3000 | 0xe000..=0xf8ff
        | 0xfeff | 0xfff9..=0xfffb | 0xfffe | 0xffff | 0xe0000..=0xe0fff | 0xf0000..=0x10_ffff)
}

fn bytes_repr(bytes: &[u8]) -> String {
    let mut out = String::from("b'");
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\'' => out.push_str("\\'"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x20..=0x7e => out.push(char::from(*byte)),
            other => drop(write!(out, "\\x{other:02x}")),
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_written_as_python_writes_them() {
        for (value, expected) in [
            (json!(null), "None"),
            (json!(true), "True"),
            (json!([1, "a", null, 2.0]), "[1, 'a', None, 2.0]"),
            (json!({"a": {"b": false}}), "{'a': {'b': False}}"),
            (json!(["it's"]), "[\"it's\"]"),
            (json!(["it's \"x\""]), "['it\\'s \"x\"']"),
            (json!(["a\n\u{7}é\u{200b}"]), "['a\\n\\x07é\\u200b']"),
            (json!("plain 'text'"), "plain 'text'"),
        ] {
            assert_eq!(Val::json(value).to_text(), expected);
        }
        assert_eq!(Val::Tuple(vec![json!(1)]).to_text(), "(1,)");
        assert_eq!(Val::Set(Vec::new()).to_text(), "set()");
        assert_eq!(Val::Bytes(b"a'\x00".to_vec()).to_text(), "b'a\\'\\x00'");
    }

    #[test]
    fn equality_and_order_are_pythons() {
        assert!(json_equals(&json!(1), &json!(1.0)));
        assert!(json_equals(&json!(true), &json!(1)));
        assert!(!json_equals(&json!("1"), &json!(1)));
        assert!(json_equals(
            &json!({"a": 1, "b": 2}),
            &json!({"b": 2.0, "a": 1})
        ));
        assert_eq!(
            json_compare(&json!([1, 2]), &json!([1, 3])),
            Some(Ordering::Less)
        );
        assert_eq!(json_compare(&json!(1), &json!("1")), None);
        assert_eq!(json_compare(&json!(null), &json!(1)), None);
    }
}
