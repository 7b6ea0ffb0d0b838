//! What one evaluation of a text may cost.
//!
//! Expressions have no loops, but filters go through what an answer holds, and each may feed the next. So an evaluation has a number
//! of steps, which bounds its time and its memory together: a byte of text that is made or looked through is one, a value that is
//! made is [`VALUE`]. Names, members and comparisons of single values cost nothing: the tree bounds them.

use std::borrow::Cow;
use std::cell::Cell;

use serde_json::Value;

use super::eval::EvalError;
use super::value::Val;

/// The steps of an evaluation.
pub(crate) const MOST: usize = 100_000_000;
/// The steps of a value that is made, about its bytes.
pub(crate) const VALUE: usize = 64;
/// The steps of an item that is passed by.
pub(crate) const ITEM: usize = 8;
/// The longest text that an expression may build.
const MAX_TEXT: usize = 4 * 1024 * 1024;

/// The steps that are left.
pub(crate) struct Fuel(Cell<usize>);

impl Fuel {
    pub(crate) const fn full() -> Fuel {
        Fuel(Cell::new(MOST))
    }

    /// Takes steps before they are done.
    pub(crate) fn burn(&self, steps: usize) -> Result<(), EvalError> {
        match self.0.get().checked_sub(steps) {
            Some(left) => {
                self.0.set(left);
                Ok(())
            }
            None => Err(exhausted()),
        }
    }

    /// Takes so many times so many steps.
    pub(crate) fn burn_each(&self, count: usize, steps: usize) -> Result<(), EvalError> {
        self.burn(count.saturating_mul(steps))
    }

    /// For a text of this length that is made.
    pub(crate) fn text(&self, length: usize) -> Result<(), EvalError> {
        limited(length)?;
        self.burn(length)
    }

    /// For a value that is copied, compared or written, with all that is in it.
    pub(crate) fn json(&self, value: &Value) -> Result<(), EvalError> {
        match value {
            Value::Null | Value::Bool(_) => self.burn(VALUE),
            Value::Number(number) => self.burn(VALUE + number.as_str().len()),
            Value::String(text) => self.burn(VALUE + text.len()),
            Value::Array(items) => {
                self.burn(VALUE)?;
                items.iter().try_for_each(|item| self.json(item))
            }
            Value::Object(members) => {
                self.burn(VALUE)?;
                members.iter().try_for_each(|(key, member)| {
                    self.burn(VALUE + key.len())?;
                    self.json(member)
                })
            }
        }
    }

    /// For a value that is looked through; a single one costs what its text is long.
    pub(crate) fn reads(&self, value: &Val<'_>) -> Result<(), EvalError> {
        match value {
            Val::Json(json) => match json.as_ref() {
                Value::String(text) => self.burn(text.len()),
                Value::Array(_) | Value::Object(_) => self.json(json),
                _ => Ok(()),
            },
            Val::Tuple(items) | Val::Set(items) => {
                items.iter().try_for_each(|item| self.json(item))
            }
            Val::Bytes(bytes) => self.burn(bytes.len()),
            Val::Undefined | Val::Ellipsis | Val::Dated(_) => Ok(()),
        }
    }

    /// A copy of a value.
    pub(crate) fn copy(&self, value: &Value) -> Result<Value, EvalError> {
        self.json(value)?;
        Ok(value.clone())
    }

    /// A value as JSON of its own.
    pub(crate) fn own(&self, value: Val<'_>) -> Result<Value, EvalError> {
        match &value {
            Val::Json(Cow::Borrowed(json)) => self.json(json)?,
            _ => self.burn(VALUE)?,
        }
        Ok(value.into_json())
    }

    /// A value's text.
    pub(crate) fn text_of<'v>(&self, value: &'v Val<'_>) -> Result<Cow<'v, str>, EvalError> {
        if value.as_str().is_none() {
            self.reads(value)?;
        }
        Ok(value.to_text())
    }
}

/// Refuses texts beyond the limit.
pub(crate) fn limited(length: usize) -> Result<(), EvalError> {
    if length > MAX_TEXT {
        return Err(EvalError::Value(format!(
            "a text of more than {MAX_TEXT} bytes was built"
        )));
    }
    Ok(())
}

fn exhausted() -> EvalError {
    EvalError::Value(format!(
        "the expression takes more than {MOST} steps (one for each byte of text, {VALUE} for each value that it makes or looks \
         through); have it take less of the data"
    ))
}
