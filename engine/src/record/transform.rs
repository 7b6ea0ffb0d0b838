//! `AddFields` and `RemoveFields`: the two transformations of records that the engine does.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::expr::{Place, Scope, Template, Val};
use crate::load::component::{Component, Problems};
use crate::page::Record;
use crate::request::value::{FieldError, at};

/// One transformation.
#[derive(Debug, Clone)]
pub(crate) enum Transformation {
    Add {
        fields: Vec<AddedField>,
        condition: Option<Template>,
    },
    Remove {
        paths: Vec<Vec<String>>,
        condition: Option<Template>,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct AddedField {
    path: Vec<Template>,
    value: Template,
    value_type: Option<ValueType>,
}

/// The only type that a rendered text may be read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ValueType {
    String,
    Number,
    Integer,
    Boolean,
}

impl Transformation {
    pub(crate) fn load(
        component: &Component<'_>,
        problems: &mut Problems,
    ) -> Option<Transformation> {
        component.refuse(&[], &[], problems);
        if component.kind == "RemoveFields" {
            let condition = component.template("condition", Place::REMOVED_FIELD, problems);
            let paths = text_paths(component, "field_pointers", problems)?;
            return Some(Transformation::Remove { paths, condition });
        }
        let condition = component.template("condition", Place::ADDED_FIELD_CONDITION, problems);
        let mut fields = Vec::new();
        for field in component.children("fields", &["AddedFieldDefinition"], problems) {
            field.refuse(&[], &[], problems);
            let path_place = field.path_of("path");
            let mut path = Vec::new();
            match field.get("path") {
                Some(Value::Array(steps)) if !steps.is_empty() => {
                    for (index, step) in steps.iter().enumerate() {
                        let place = format!("{path_place}/{index}");
                        path.extend(field.template_of(step, &place, Place::CONFIG, problems));
                    }
                }
                _ => problems.add(path_place, "a list of names is needed here"),
            }
            let value_type = match field.text("value_type", problems) {
                None => None,
                Some("string") => Some(ValueType::String),
                Some("number") => Some(ValueType::Number),
                Some("integer") => Some(ValueType::Integer),
                Some("boolean") => Some(ValueType::Boolean),
                Some(other) => {
                    let message = format!(
                        "\"{other}\" is not allowed; allowed: string, number, integer, boolean"
                    );
                    problems.add(field.path_of("value_type"), message);
                    None
                }
            };
            match field.template("value", Place::ADDED_FIELD, problems) {
                Some(value) => fields.push(AddedField {
                    path,
                    value,
                    value_type,
                }),
                None if field.get("value").is_none() => field.missing("value", problems),
                None => {}
            }
        }
        Some(Transformation::Add { fields, condition })
    }

    pub(crate) fn apply(&self, record: &mut Record, slice: &Scope<'_>) -> Result<(), FieldError> {
        match self {
            Transformation::Add { fields, condition } => {
                for field in fields {
                    field.add(record, condition.as_ref(), slice)?;
                }
                Ok(())
            }
            Transformation::Remove { paths, condition } => {
                for path in paths {
                    remove(record, path, condition.as_ref(), slice)?;
                }
                Ok(())
            }
        }
    }
}

impl AddedField {
    fn add(
        &self,
        record: &mut Record,
        condition: Option<&Template>,
        slice: &Scope<'_>,
    ) -> Result<(), FieldError> {
        let whole = Value::Object(std::mem::take(record));
        let outcome = self.value_for(&whole, condition, slice);
        if let Value::Object(members) = whole {
            *record = members;
        }
        if let Some((path, value)) = outcome? {
            set(record, &path, value);
        }
        Ok(())
    }

    fn value_for<'a>(
        &'a self,
        record: &Value,
        condition: Option<&Template>,
        slice: &Scope<'_>,
    ) -> Result<Option<(Vec<Cow<'a, str>>, Value)>, FieldError> {
        let scope = Scope {
            record: Some(record),
            ..*slice
        };
        let text = |step: &'a Template| step.text_once(&scope).map_err(|error| at(step, error));
        let path: Vec<Cow<'a, str>> = self.path.iter().map(text).collect::<Result<_, _>>()?;
        let failed = |error| at(&self.value, error);
        let typed = self
            .value
            .value(&scope)
            .map_err(failed)?
            .map(Val::into_json);
        let value = match (self.value_type, typed) {
            (Some(wanted), Some(typed)) if !wanted.fits(&typed) => {
                Value::String(self.value.render(&scope).map_err(failed)?)
            }
            (_, Some(typed)) => typed,
            // What is missing or empty becomes an empty text.
            (_, None) => Value::String(String::new()),
        };
        if let Some(condition) = condition {
            let path_value: Value = path.iter().map(|step| Value::from(step.as_ref())).collect();
            let scope = Scope {
                field_value: Some(&value),
                field_path: Some(&path_value),
                ..scope
            };
            if !condition
                .condition(&scope)
                .map_err(|error| at(condition, error))?
            {
                return Ok(None);
            }
        }
        Ok(Some((path, value)))
    }
}

impl ValueType {
    fn fits(self, value: &Value) -> bool {
        match self {
            ValueType::String => value.is_string(),
            ValueType::Number => value
                .as_number()
                .is_some_and(|number| !crate::expr::is_integer(number)),
            ValueType::Integer => value.as_number().is_some_and(crate::expr::is_integer),
            ValueType::Boolean => value.is_boolean(),
        }
    }
}

fn set(record: &mut Record, path: &[Cow<'_, str>], value: Value) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    let mut place: &mut Map<String, Value> = record;
    for parent in parents {
        let member = place
            .entry(parent.as_ref())
            .or_insert_with(|| Value::Object(Map::new()));
        if !member.is_object() {
            *member = Value::Object(Map::new());
        }
        match member {
            Value::Object(members) => place = members,
            _ => return,
        }
    }
    match place.get_mut(last.as_ref()) {
        Some(member) => *member = value,
        None => drop(place.insert(last.clone().into_owned(), value)),
    }
}

fn remove(
    record: &mut Record,
    path: &[String],
    condition: Option<&Template>,
    slice: &Scope<'_>,
) -> Result<(), FieldError> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(());
    };
    if first != "*" {
        return remove_member(record, first, rest, condition, slice);
    }
    let names: Vec<String> = record.keys().cloned().collect();
    for name in names {
        remove_member(record, &name, rest, condition, slice)?;
    }
    Ok(())
}

fn remove_member(
    record: &mut Record,
    name: &str,
    rest: &[String],
    condition: Option<&Template>,
    slice: &Scope<'_>,
) -> Result<(), FieldError> {
    if !rest.is_empty() {
        if let Some(Value::Object(members)) = record.get_mut(name) {
            remove(members, rest, condition, slice)?;
        }
        return Ok(());
    }
    let Some(property) = record.get(name) else {
        return Ok(());
    };
    let applies = match condition {
        None => true,
        Some(condition) => {
            let scope = Scope {
                property: Some(property),
                ..*slice
            };
            condition
                .condition(&scope)
                .map_err(|error| at(condition, error))?
        }
    };
    if applies {
        record.shift_remove(name);
    }
    Ok(())
}

fn text_paths(
    component: &Component<'_>,
    name: &str,
    problems: &mut Problems,
) -> Option<Vec<Vec<String>>> {
    let texts = |value: &Value| -> Option<Vec<String>> {
        value
            .as_array()?
            .iter()
            .map(|step| step.as_str().map(str::to_owned))
            .collect()
    };
    let paths = component
        .get(name)
        .and_then(Value::as_array)
        .and_then(|paths| paths.iter().map(texts).collect::<Option<Vec<_>>>());
    let Some(paths) = paths else {
        problems.add(
            component.path_of(name),
            "a list of lists of names is needed here",
        );
        return None;
    };
    let is_pattern = |step: &String| {
        step.as_str() != "*" && step.contains(['*', '?', '[']) || step.as_str() == "**"
    };
    if paths.iter().flatten().any(is_pattern) {
        let message = "patterns other than a whole \"*\" are not supported in field_pointers";
        problems.add(component.path_of(name), message);
        return None;
    }
    Some(paths)
}
