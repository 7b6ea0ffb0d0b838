//! `DpathExtractor`: the place of the records in an answer.
//!
//! What a place holds, and which patterns lead to one, is said at [`RecordPath`].

use serde_json::Value;

use super::RecordPath;
use crate::expr::{EvalError, Scope, Template};
use crate::load::component::{Component, Problems};
use crate::page::Record;
use crate::request::value::{FieldError, at};

#[derive(Debug, Clone)]
pub(crate) struct Extractor {
    path: Vec<Template>,
    /// `x_scalar_field`: the only field of a record that is made of a text, a number or a boolean.
    scalar_field: Option<String>,
}

impl Extractor {
    pub(crate) fn load(component: &Component<'_>, problems: &mut Problems) -> Option<Extractor> {
        component.refuse(&["record_expander"], &["x_scalar_field"], problems);
        let scalar_field = component.text("x_scalar_field", problems);
        let scalar_field = scalar_field.map(str::to_owned);
        super::super::load::stream::check_decoder(component, problems);
        let place = component.path_of("field_path");
        match component.get("field_path") {
            Some(Value::Array(steps)) => {
                let path = component.steps_of(steps, &place, problems);
                let constant: Option<Vec<String>> = path
                    .iter()
                    .map(|step| step.constant().map(str::to_owned))
                    .collect();
                if let Some(Err(message)) = constant.map(RecordPath::of) {
                    problems.add(place, message);
                }
                Some(Extractor { path, scalar_field })
            }
            Some(_) => {
                problems.add(
                    place,
                    "a list of names is needed here, [] for the whole answer",
                );
                None
            }
            None => {
                component.missing("field_path", problems);
                None
            }
        }
    }

    /// Takes the whole answer.
    pub(crate) fn whole() -> Extractor {
        Extractor {
            path: Vec::new(),
            scalar_field: None,
        }
    }

    /// A record of what is none itself, if the manifest wants that. `Err` gives the value back.
    pub(crate) fn record_of(&self, value: Value) -> Result<Record, Value> {
        match (&self.scalar_field, value) {
            (_, Value::Object(record)) => Ok(record),
            (Some(field), value) if !value.is_null() && !value.is_array() => {
                let mut record = Record::new();
                record.insert(field.clone(), value);
                Ok(record)
            }
            (_, value) => Err(value),
        }
    }

    /// The path for this read.
    pub(crate) fn path(&self, scope: &Scope<'_>) -> Result<RecordPath, FieldError> {
        let text = |step: &Template| step.text(scope).map_err(|error| at(step, error));
        let steps = self.path.iter().map(text).collect::<Result<_, _>>()?;
        let path = RecordPath::of(steps);
        path.map_err(|message| match self.path.first() {
            Some(step) => at(step, EvalError::Value(message)),
            None => FieldError {
                path: String::new(),
                source: String::new(),
                error: EvalError::Value(message),
            },
        })
    }
}
