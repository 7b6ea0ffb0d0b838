//! The functions of expressions (the language calls them macros).

use std::cmp::Ordering;

use serde_json::Value;

use super::value::{Val, json_compare};

/// A function that the engine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Max,
    Min,
}

/// Functions of the language that read a clock or know calendars; the engine does not have them yet.
const DATE_FUNCTIONS: &[&str] = &[
    "now_utc",
    "today_utc",
    "today_with_timezone",
    "timestamp",
    "day_delta",
    "duration",
    "format_datetime",
    "str_to_datetime",
];

impl Function {
    pub(crate) fn by_name(name: &str, arguments: usize) -> Result<Function, String> {
        let function = match name {
            "max" => Function::Max,
            "min" => Function::Min,
            _ => {
                let what = if DATE_FUNCTIONS.contains(&name) {
                    "date function"
                } else {
                    "function"
                };
                return Err(format!(
                    "the {what} \"{name}\" is not supported; supported: max, min"
                ));
            }
        };
        if arguments == 0 {
            return Err(format!("the function \"{name}\" needs an argument"));
        }
        Ok(function)
    }

    pub(crate) fn call(self, arguments: Vec<Val<'_>>) -> Result<Val<'_>, String> {
        let candidates: Vec<Value> = match arguments.as_slice() {
            [only] => match only.as_items() {
                Some(items) => items.to_vec(),
                None => return Err(format!("{} cannot be searched", only.type_name())),
            },
            _ => arguments.into_iter().map(Val::into_json).collect(),
        };
        let wanted = if self == Function::Max {
            Ordering::Greater
        } else {
            Ordering::Less
        };
        let mut best: Option<Value> = None;
        for candidate in candidates {
            let better = match &best {
                None => true,
                Some(best) => {
                    json_compare(&candidate, best).ok_or("the values have no order")? == wanted
                }
            };
            if better {
                best = Some(candidate);
            }
        }
        best.map(Val::json)
            .ok_or_else(|| "an empty list has no largest or smallest".to_owned())
    }
}
