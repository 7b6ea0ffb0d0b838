//! `FlattenFields` and `DpathFlattenFields`: members of objects become members of the record.

use serde_json::{Map, Value};

use super::glob::Glob;
use crate::expr::{EvalError, Place, Scope, Template};
use crate::load::component::{Component, Problems};
use crate::page::Record;
use crate::request::value::{FieldError, at};

/// All members of objects, however deep, become members of the record. One whose name is taken gets the name of its parent before it,
/// and so does everything from the first list on. The order is the reference's: what is last comes first.
pub(crate) fn flatten(record: &mut Record, lists_too: bool) {
    let mut flat = Map::new();
    let whole = Value::Object(std::mem::take(record));
    let mut waiting = vec![(whole, "_".to_owned())];
    let mut with_parent = false;
    while let Some((value, name)) = waiting.pop() {
        match value {
            Value::Object(members) => {
                for (inner, value) in members {
                    let takes_parent = with_parent || flat.contains_key(&inner);
                    let full = if takes_parent {
                        format!("{name}.{inner}")
                    } else {
                        inner
                    };
                    waiting.push((value, full));
                }
            }
            Value::Array(items) if lists_too => {
                for (index, item) in items.into_iter().enumerate() {
                    with_parent = true;
                    waiting.push((item, format!("{name}.{index}")));
                }
            }
            other => {
                flat.insert(name, other);
            }
        }
    }
    *record = flat;
}

/// `DpathFlattenFields`.
#[derive(Debug, Clone)]
pub(crate) struct FlattenAt {
    path: Vec<Template>,
    /// The path, if it holds no expressions.
    fixed: Option<Glob>,
    removes_origin: bool,
    replaces_record: bool,
    prefix: Option<Template>,
    suffix: Option<Template>,
    /// Where it stands in the manifest.
    place: String,
}

impl FlattenAt {
    pub(crate) fn load(component: &Component<'_>, problems: &mut Problems) -> Option<FlattenAt> {
        let place = component.path_of("field_path");
        let mut path = Vec::new();
        match component.get("field_path") {
            Some(Value::Array(steps)) if !steps.is_empty() => {
                for (index, step) in steps.iter().enumerate() {
                    let place = format!("{place}/{index}");
                    path.push(component.template_of(step, &place, Place::CONFIG, problems)?);
                }
            }
            _ => {
                problems.add(place, "a list of names is needed here");
                return None;
            }
        }
        let constants: Option<Vec<String>> = path
            .iter()
            .map(|step| step.constant().map(str::to_owned))
            .collect();
        let fixed = match constants.map(|steps| Glob::compile(&steps)).transpose() {
            Ok(fixed) => fixed,
            Err(message) => {
                problems.add(place, message);
                return None;
            }
        };
        let change = component.child("key_transformation", &["KeyTransformation"], problems);
        let part = |name: &str, problems: &mut Problems| {
            let change = change.as_ref()?;
            change.template(name, Place::CONFIG, problems)
        };
        Some(FlattenAt {
            fixed,
            path,
            removes_origin: component.boolean("delete_origin_value", problems),
            replaces_record: component.boolean("replace_record", problems),
            prefix: part("prefix", problems),
            suffix: part("suffix", problems),
            place: component.path.clone(),
        })
    }

    pub(crate) fn apply(&self, record: &mut Record, scope: &Scope<'_>) -> Result<(), FieldError> {
        let text = |template: &Template| template.text(scope).map_err(|error| at(template, error));
        let wrong = |message: String| FieldError {
            path: self.place.clone(),
            source: "field_path".to_owned(),
            error: EvalError::Value(message),
        };
        let rendered;
        let (glob, takes_first) = match &self.fixed {
            Some(glob) => {
                let is_star = |step: &Template| step.constant() == Some("*");
                (glob, self.path.iter().any(is_star))
            }
            None => {
                let steps: Vec<String> = self.path.iter().map(text).collect::<Result<_, _>>()?;
                rendered = Glob::compile(&steps).map_err(wrong)?;
                (&rendered, steps.iter().any(|step| step == "*"))
            }
        };
        let found = glob.find(record);
        if found.len() > 1 && !takes_first {
            return Err(wrong("the path leads to several fields".to_owned()));
        }
        let Some(Value::Object(members)) = found.first() else {
            return Ok(());
        };
        let prefix = self
            .prefix
            .as_ref()
            .map(text)
            .transpose()?
            .unwrap_or_default();
        let suffix = self
            .suffix
            .as_ref()
            .map(text)
            .transpose()?
            .unwrap_or_default();
        let flat: Map<String, Value> = members
            .iter()
            .map(|(name, value)| (format!("{prefix}{name}{suffix}"), value.clone()))
            .collect();
        if self.replaces_record && !flat.is_empty() {
            *record = flat;
            return Ok(());
        }
        // A name that is taken leaves the record as it is.
        if flat.keys().any(|name| record.contains_key(name)) {
            return Ok(());
        }
        if self.removes_origin {
            glob.remove(record, &mut |_| Ok::<_, FieldError>(true))?;
        }
        record.extend(flat);
        Ok(())
    }
}
