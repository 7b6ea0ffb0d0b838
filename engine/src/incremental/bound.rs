//! `MinMaxDatetime`, or a text in its place: one end of what a stream reads.

use serde_json::Value;

use crate::expr::{EvalError, Place, Scope, Template};
use crate::load::component::{Component, Problems};
use crate::request::value::{FieldError, at};
use crate::time::{Format, Moment};

#[derive(Debug, Clone)]
pub(crate) struct Bound {
    value: Template,
    least: Option<Template>,
    most: Option<Template>,
    format: Format,
}

impl Bound {
    /// The field `name` of a cursor, whose format it takes unless it has one of its own.
    pub(crate) fn load(
        cursor: &Component<'_>,
        name: &str,
        cursor_format: &Format,
        problems: &mut Problems,
    ) -> Option<Bound> {
        let path = cursor.path_of(name);
        let plain = |value| Bound {
            value,
            least: None,
            most: None,
            format: cursor_format.clone(),
        };
        match cursor.get(name)? {
            Value::Object(_) => {
                let component = cursor.child(name, &["MinMaxDatetime"], problems)?;
                component.refuse(&[], &[], problems);
                if component.get("datetime").is_none() {
                    component.missing("datetime", problems);
                }
                let format = match component.text("datetime_format", problems) {
                    None | Some("") => cursor_format.clone(),
                    Some(source) => {
                        compile(source, &component.path_of("datetime_format"), problems)?
                    }
                };
                Some(Bound {
                    value: component.template("datetime", Place::CONFIG, problems)?,
                    least: component.template("min_datetime", Place::CONFIG, problems),
                    most: component.template("max_datetime", Place::CONFIG, problems),
                    format,
                })
            }
            value => cursor
                .template_of(value, &path, Place::CONFIG, problems)
                .map(plain),
        }
    }

    /// `start_value` of a cursor that counts; 0 if it has none.
    pub(crate) fn count(cursor: &Component<'_>, problems: &mut Problems) -> Option<Bound> {
        let zero = Value::from(0);
        let value = cursor.get("start_value").unwrap_or(&zero);
        let path = cursor.path_of("start_value");
        let value = cursor.template_of(value, &path, Place::CONFIG, problems)?;
        let format = Format::count();
        if value
            .constant()
            .is_some_and(|text| format.read_text(text).is_none())
        {
            problems.add(path, "a whole number is needed here");
        }
        Some(Bound {
            value,
            least: None,
            most: None,
            format,
        })
    }

    /// The moment, for this config.
    pub(crate) fn moment(&self, scope: &Scope<'_>) -> Result<Moment, FieldError> {
        let read = |template: &Template| -> Result<Option<Moment>, FieldError> {
            let text = template.text(scope).map_err(|error| at(template, error))?;
            if text.is_empty() {
                return Ok(None);
            }
            let moment = self.format.read_text(&text);
            let mismatch = || {
                let format = self.format.source();
                let message = match format {
                    "" => format!("\"{text}\" is no whole number"),
                    _ => format!("\"{text}\" is no datetime of the format \"{format}\""),
                };
                at(template, EvalError::Value(message))
            };
            moment.map(Some).ok_or_else(mismatch)
        };
        let Some(mut moment) = read(&self.value)? else {
            let message = "a datetime is needed, and there is nothing".to_owned();
            return Err(at(&self.value, EvalError::Value(message)));
        };
        if let Some(least) = self.least.as_ref().map(read).transpose()?.flatten() {
            moment = moment.max(least);
        }
        if let Some(most) = self.most.as_ref().map(read).transpose()?.flatten() {
            moment = moment.min(most);
        }
        Ok(moment)
    }
}

/// Compiles a format that values are read by.
pub(crate) fn compile(source: &str, path: &str, problems: &mut Problems) -> Option<Format> {
    match Format::compile(source) {
        Ok(format) if format.can_read() => Some(format),
        Ok(_) => {
            let message =
                format!("a value of the datetime format \"{source}\" cannot be read back");
            problems.add(path, message);
            None
        }
        Err(message) => {
            problems.add(path, message);
            None
        }
    }
}
