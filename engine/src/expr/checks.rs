//! The tests of `is`: `x is none`, `x is defined`, ...

use serde_json::Value;

use super::number;
use super::value::Val;

/// A test that the engine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    Defined,
    Undefined,
    None,
    True,
    False,
    Boolean,
    Integer,
    Float,
    Number,
    String,
    Mapping,
    Sequence,
    Iterable,
    Odd,
    Even,
    Equal,
    In,
}

const NAMES: &[(&str, Test, usize)] = &[
    ("defined", Test::Defined, 0),
    ("undefined", Test::Undefined, 0),
    ("none", Test::None, 0),
    ("true", Test::True, 0),
    ("false", Test::False, 0),
    ("boolean", Test::Boolean, 0),
    ("integer", Test::Integer, 0),
    ("float", Test::Float, 0),
    ("number", Test::Number, 0),
    ("string", Test::String, 0),
    ("mapping", Test::Mapping, 0),
    ("sequence", Test::Sequence, 0),
    ("iterable", Test::Iterable, 0),
    ("odd", Test::Odd, 0),
    ("even", Test::Even, 0),
    ("eq", Test::Equal, 1),
    ("equalto", Test::Equal, 1),
    ("==", Test::Equal, 1),
    ("in", Test::In, 1),
];

impl Test {
    pub(crate) fn by_name(name: &str, arguments: usize) -> Result<Test, String> {
        match NAMES.iter().find(|(known, _, _)| *known == name) {
            Some((_, test, wanted)) if *wanted == arguments => Ok(*test),
            Some((_, _, wanted)) => Err(format!(
                "the test \"{name}\" takes {wanted} arguments, not {arguments}"
            )),
            None => {
                let names: Vec<&str> = NAMES.iter().map(|(known, _, _)| *known).collect();
                Err(format!(
                    "the test \"is {name}\" is not supported; supported: {}",
                    names.join(", ")
                ))
            }
        }
    }

    pub(crate) fn holds(self, value: &Val<'_>, argument: Option<&Val<'_>>) -> Result<bool, String> {
        let json = value.as_json();
        let number = json.and_then(Value::as_number);
        Ok(match self {
            Test::Defined => !matches!(value, Val::Undefined),
            Test::Undefined => matches!(value, Val::Undefined),
            Test::None => json == Some(&Value::Null),
            Test::True => json == Some(&Value::Bool(true)),
            Test::False => json == Some(&Value::Bool(false)),
            Test::Boolean => json.is_some_and(Value::is_boolean),
            Test::Integer => number.is_some_and(number::is_integer),
            Test::Float => number.is_some_and(|number| !number::is_integer(number)),
            // Python counts booleans as numbers.
            Test::Number => number.is_some() || json.is_some_and(Value::is_boolean),
            Test::String => value.as_str().is_some(),
            Test::Mapping => json.is_some_and(Value::is_object),
            Test::Sequence | Test::Iterable => {
                let iterable_json =
                    json.is_some_and(|j| j.is_string() || j.is_array() || j.is_object());
                iterable_json || !matches!(value, Val::Json(_) | Val::Ellipsis | Val::Dated(_))
            }
            Test::Odd | Test::Even => {
                let Some(integer) = number.and_then(number::as_integer) else {
                    return Err(format!("{} is neither odd nor even", value.type_name()));
                };
                (integer.rem_euclid(2) == 1) == (self == Test::Odd)
            }
            Test::Equal => argument.is_some_and(|other| value.equals(other)),
            Test::In => match argument {
                Some(container) => super::eval::contains(container, value)?,
                None => false,
            },
        })
    }
}
