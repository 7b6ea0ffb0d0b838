//! The tests of `is`: `x is none`, `x is defined`, ...

use serde_json::Value;

use super::eval::{EvalError, contains, equal};
use super::fuel::Fuel;
use super::number;
use super::value::{Val, json_compare};

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
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    DivisibleBy,
    Lower,
    Upper,
    In,
    SameAs,
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
    ("ne", Test::NotEqual, 1),
    ("!=", Test::NotEqual, 1),
    ("lt", Test::Less, 1),
    ("lessthan", Test::Less, 1),
    ("<", Test::Less, 1),
    ("le", Test::LessOrEqual, 1),
    ("<=", Test::LessOrEqual, 1),
    ("gt", Test::Greater, 1),
    ("greaterthan", Test::Greater, 1),
    (">", Test::Greater, 1),
    ("ge", Test::GreaterOrEqual, 1),
    (">=", Test::GreaterOrEqual, 1),
    ("divisibleby", Test::DivisibleBy, 1),
    ("lower", Test::Lower, 0),
    ("upper", Test::Upper, 0),
    ("in", Test::In, 1),
    ("sameas", Test::SameAs, 1),
];

/// Of other values Python has many that are equal.
pub(crate) const SINGLE: &str = "\"sameas\" asks for true, false and none only; use \"eq\"";

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

    pub(crate) fn holds(
        self,
        value: &Val<'_>,
        argument: Option<&Val<'_>>,
        fuel: &Fuel,
    ) -> Result<bool, EvalError> {
        let wrong = |message: &str| EvalError::Type(message.to_owned());
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
                    let message = format!("{} is neither odd nor even", value.type_name());
                    return Err(EvalError::Type(message));
                };
                (integer.rem_euclid(2) == 1) == (self == Test::Odd)
            }
            Test::Equal | Test::NotEqual => {
                let equal = match argument {
                    Some(other) => equal(value, other, fuel)?,
                    None => false,
                };
                equal == (self == Test::Equal)
            }
            Test::Less | Test::LessOrEqual | Test::Greater | Test::GreaterOrEqual => {
                if json.is_some_and(Value::is_array) {
                    fuel.reads(value)?;
                }
                let order = json
                    .zip(argument.and_then(Val::as_json))
                    .and_then(|(left, right)| json_compare(left, right));
                let order = order.ok_or_else(|| wrong("the values have no order"))?;
                match self {
                    Test::Less => order.is_lt(),
                    Test::LessOrEqual => order.is_le(),
                    Test::Greater => order.is_gt(),
                    _ => order.is_ge(),
                }
            }
            Test::DivisibleBy => {
                let by = argument.and_then(Val::as_json).and_then(Value::as_number);
                let by = by.and_then(number::as_integer).filter(|by| *by != 0);
                let own = number.and_then(number::as_integer);
                let (own, by) = own
                    .zip(by)
                    .ok_or_else(|| wrong("only whole numbers divide each other"))?;
                own.wrapping_rem(by) == 0
            }
            Test::Lower | Test::Upper => {
                let text = fuel.text_of(value)?;
                fuel.burn(text.len())?;
                let letters = || {
                    text.chars()
                        .filter(|c| c.is_lowercase() || c.is_uppercase())
                };
                let wanted = |c: char| match self {
                    Test::Lower => c.is_lowercase(),
                    _ => c.is_uppercase(),
                };
                letters().next().is_some() && letters().all(wanted)
            }
            Test::In => match argument {
                Some(container) => contains(container, value, fuel)?,
                None => false,
            },
            Test::SameAs => match argument.and_then(Val::as_json) {
                Some(other @ (Value::Null | Value::Bool(_))) => json == Some(other),
                _ => return Err(wrong(SINGLE)),
            },
        })
    }
}
