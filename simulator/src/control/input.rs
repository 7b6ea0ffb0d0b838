//! Reads control input so that a mistake is told by field, value and what is allowed.
//!
//! serde's own messages name neither the path nor the range, so fields are taken one by one from the parsed JSON;
//! the names asked for are remembered, and whatever else stands there is refused with that list.

use std::ops::RangeInclusive;

use axum::Json;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

/// Control input that cannot be used.
#[derive(Debug, PartialEq)]
pub(crate) struct InputError {
    status: StatusCode,
    /// Path of the field, such as `rate_limited.rate`.
    pub(crate) field: String,
    /// What stood there; `None` when it was missing or is a secret.
    pub(crate) value: Option<Box<Value>>,
    /// What may stand there.
    pub(crate) allowed: String,
}

#[derive(Serialize)]
struct InputErrorBody<'a> {
    error: String,
    field: &'a str,
    value: Option<&'a Value>,
    allowed: &'a str,
}

impl InputError {
    /// A value that is understood but not allowed (422).
    pub(crate) fn not_allowed(
        field: impl Into<String>,
        value: impl Into<Option<Value>>,
        allowed: impl Into<String>,
    ) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            field: field.into(),
            value: value.into().map(Box::new),
            allowed: allowed.into(),
        }
    }

    fn unreadable(reason: &serde_json::Error) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            field: "(body)".to_owned(),
            value: None,
            allowed: format!("a JSON object ({reason})"),
        }
    }
}

impl IntoResponse for InputError {
    fn into_response(self) -> Response {
        let value = self.value.as_deref();
        let found = value.map_or("missing or unusable".to_owned(), Value::to_string);
        let body = InputErrorBody {
            error: format!("{} is {found}; allowed: {}", self.field, self.allowed),
            field: &self.field,
            value,
            allowed: &self.allowed,
        };
        (self.status, Json(body)).into_response()
    }
}

/// Parses a control body; an empty one stands for `{}`.
pub(crate) fn parse_body(body: &[u8]) -> Result<Value, InputError> {
    if body.trim_ascii().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    serde_json::from_slice(body).map_err(|error| InputError::unreadable(&error))
}

/// The fields of one JSON object, taken one by one. `null` counts as not set.
pub(crate) struct Fields<'a> {
    prefix: String,
    object: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Begins reading an object that stands at this path; the root's path is empty.
    pub(crate) fn of(json: &'a Value, path: &str) -> Result<Self, InputError> {
        let Value::Object(object) = json else {
            let field = if path.is_empty() { "(body)" } else { path };
            return Err(InputError::not_allowed(
                field,
                json.clone(),
                "a JSON object",
            ));
        };
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("{path}.")
        };
        Ok(Self {
            prefix,
            object,
            known: Vec::new(),
        })
    }

    /// A whole number in this range.
    pub(crate) fn number(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, InputError> {
        let path = self.path(name);
        self.take(name)
            .map(|value| whole_number(value, path, &range))
            .transpose()
    }

    /// A whole number in this range that must be given.
    pub(crate) fn required_number(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<u64, InputError> {
        let allowed = allowed_numbers(&range);
        let missing = InputError::not_allowed(self.path(name), None, allowed);
        self.number(name, range)?.ok_or(missing)
    }

    /// A number from 0 to 1.
    pub(crate) fn fraction(&mut self, name: &'static str) -> Result<Option<f64>, InputError> {
        let path = self.path(name);
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        match value.as_f64() {
            Some(fraction) if (0.0..=1.0).contains(&fraction) => Ok(Some(fraction)),
            _ => Err(InputError::not_allowed(
                path,
                value.clone(),
                "a number from 0 to 1",
            )),
        }
    }

    /// A list of whole numbers in this range.
    pub(crate) fn numbers(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
        most: usize,
    ) -> Result<Option<Vec<u64>>, InputError> {
        let path = self.path(name);
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let Value::Array(items) = value else {
            let allowed = format!("a list of numbers, each {}", allowed_numbers(&range));
            return Err(InputError::not_allowed(path, value.clone(), allowed));
        };
        if items.is_empty() || items.len() > most {
            let found = Value::from(format!("{} numbers", items.len()));
            return Err(InputError::not_allowed(
                path,
                found,
                format!("1 to {most} numbers"),
            ));
        }
        let mut numbers = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            numbers.push(whole_number(item, format!("{path}[{index}]"), &range)?);
        }
        Ok(Some(numbers))
    }

    /// A text that may be sent as a header's value.
    pub(crate) fn header_value(
        &mut self,
        name: &'static str,
    ) -> Result<Option<String>, InputError> {
        let path = self.path(name);
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        match value.as_str() {
            Some(text) if HeaderValue::from_str(text).is_ok() && !text.is_empty() => {
                Ok(Some(text.to_owned()))
            }
            _ => Err(InputError::not_allowed(
                path,
                value.clone(),
                "a text that fits a header",
            )),
        }
    }

    /// Any text.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<Option<String>, InputError> {
        let path = self.path(name);
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        match value.as_str() {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(InputError::not_allowed(path, value.clone(), "a text")),
        }
    }

    /// A text of 1 to 200 visible ASCII characters without comma.
    pub(crate) fn word(&mut self, name: &'static str) -> Result<Option<String>, InputError> {
        let path = self.path(name);
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        match value.as_str().and_then(visible_word) {
            Some(word) => Ok(Some(word)),
            None => Err(InputError::not_allowed(path, value.clone(), WORD)),
        }
    }

    /// A [`word`](Self::word) that must be given and is never shown again.
    pub(crate) fn required_secret(&mut self, name: &'static str) -> Result<String, InputError> {
        let path = self.path(name);
        let secret = self
            .take(name)
            .and_then(Value::as_str)
            .and_then(visible_word);
        secret.ok_or_else(|| InputError::not_allowed(path, None, WORD))
    }

    /// A [`word`](Self::word) that must be given.
    pub(crate) fn required_word(&mut self, name: &'static str) -> Result<String, InputError> {
        let missing = InputError::not_allowed(self.path(name), None, WORD);
        self.word(name)?.ok_or(missing)
    }

    /// A nested object.
    pub(crate) fn object(&mut self, name: &'static str) -> Result<Option<Fields<'a>>, InputError> {
        let path = self.path(name);
        self.take(name)
            .map(|value| Fields::of(value, &path))
            .transpose()
    }

    /// A list of objects.
    pub(crate) fn objects(
        &mut self,
        name: &'static str,
        most: usize,
    ) -> Result<Option<Vec<Fields<'a>>>, InputError> {
        let path = self.path(name);
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let items = list_of_up_to(value, &path, most, "JSON objects")?;
        let objects = items
            .iter()
            .enumerate()
            .map(|(index, item)| Fields::of(item, &format!("{path}[{index}]")));
        objects.collect::<Result<_, _>>().map(Some)
    }

    /// One of these choices, by its name.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&'static str, T)],
    ) -> Result<Option<T>, InputError> {
        let path = self.path(name);
        self.take(name)
            .map(|value| chosen(value, path, choices))
            .transpose()
    }

    /// A list of these choices, by their names, none of them twice.
    pub(crate) fn choices<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&'static str, T)],
    ) -> Result<Option<Vec<T>>, InputError> {
        let path = self.path(name);
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let items = list_of_up_to(value, &path, choices.len(), &one_of(choices))?;
        let mut all = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if items.iter().take(index).any(|earlier| earlier == item) {
                let allowed = "each of them only once";
                return Err(InputError::not_allowed(path, item.clone(), allowed));
            }
            all.push(chosen(item, path, choices)?);
        }
        Ok(Some(all))
    }

    /// Refuses this object as a whole.
    pub(crate) fn refused(&self, allowed: &str) -> InputError {
        let path = self.prefix.trim_end_matches('.');
        let field = if path.is_empty() { "(body)" } else { path };
        InputError::not_allowed(field, Value::Object(self.object.clone()), allowed)
    }

    /// Refuses whatever was not asked for.
    pub(crate) fn finish(self) -> Result<(), InputError> {
        for (name, value) in self.object {
            if !self.known.contains(&name.as_str()) {
                let allowed = format!("no such field; known here: {}", self.known.join(", "));
                let field = format!("{}{name}", self.prefix);
                return Err(InputError::not_allowed(field, value.clone(), allowed));
            }
        }
        Ok(())
    }

    fn take(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.object.get(name).filter(|value| !value.is_null())
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

const WORD: &str = "1 to 200 visible ASCII characters without comma";

fn visible_word(text: &str) -> Option<String> {
    let fits = (1..=200).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b',');
    fits.then(|| text.to_owned())
}

fn list_of_up_to<'a>(
    value: &'a Value,
    path: &str,
    most: usize,
    what: &str,
) -> Result<&'a [Value], InputError> {
    match value.as_array() {
        Some(items) if items.len() <= most => Ok(items),
        _ => Err(InputError::not_allowed(
            path,
            value.clone(),
            format!("a list of up to {most} of: {what}"),
        )),
    }
}

fn chosen<T: Copy>(
    value: &Value,
    path: String,
    choices: &[(&'static str, T)],
) -> Result<T, InputError> {
    let found = choices
        .iter()
        .find(|(name, _)| value.as_str() == Some(*name));
    match found {
        Some((_, choice)) => Ok(*choice),
        None => Err(InputError::not_allowed(
            path,
            value.clone(),
            one_of(choices),
        )),
    }
}

fn one_of<T>(choices: &[(&'static str, T)]) -> String {
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

fn whole_number(
    value: &Value,
    path: String,
    range: &RangeInclusive<u64>,
) -> Result<u64, InputError> {
    match value.as_u64() {
        Some(number) if range.contains(&number) => Ok(number),
        _ => Err(InputError::not_allowed(
            path,
            value.clone(),
            allowed_numbers(range),
        )),
    }
}

fn allowed_numbers(range: &RangeInclusive<u64>) -> String {
    match *range.end() {
        u64::MAX => format!("a whole number, at least {}", range.start()),
        end => format!("a whole number from {} to {end}", range.start()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_that_is_refused_is_not_repeated() {
        let json = json!({"client_secret": "top secret, with a comma"});
        let error = Fields::of(&json, "")
            .unwrap()
            .required_secret("client_secret")
            .unwrap_err();
        assert_eq!((error.field.as_str(), error.value), ("client_secret", None));
    }

    #[test]
    fn broken_json_is_told_apart_from_wrong_values() {
        assert_eq!(
            parse_body(b"{\"a\":").unwrap_err().status,
            StatusCode::BAD_REQUEST
        );
        assert_eq!(parse_body(b"  ").unwrap(), json!({}));
        let json = json!({"calls": "5"});
        let error = Fields::of(&json, "")
            .unwrap()
            .required_number("calls", 1..=10)
            .unwrap_err();
        assert_eq!(error.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(error.value.as_deref(), Some(&json!("5")));
    }

    #[test]
    fn a_choice_is_refused_with_all_choices() {
        const COLOURS: [(&str, u8); 2] = [("red", 1), ("blue", 2)];
        let json = json!({"one": "blue", "many": ["red", "green"], "twice": ["red", "red"]});
        let mut fields = Fields::of(&json, "").unwrap();
        assert_eq!(fields.choice("one", &COLOURS), Ok(Some(2)));
        let error = fields.choices("many", &COLOURS).unwrap_err();
        assert_eq!(
            (error.field.as_str(), error.allowed.as_str()),
            ("many[1]", "red, blue")
        );
        let error = fields.choices("twice", &COLOURS).unwrap_err();
        assert_eq!(error.field, "twice[1]");
        assert_eq!(fields.choices("none", &COLOURS), Ok(None));
    }
}
