//! Transformations of records, one after the other: `AddFields`, `RemoveFields`, and those of the modules beside this one.

use serde_json::Value;

use super::flatten::{self, FlattenAt};
use super::glob::Glob;
use super::{keys, place};
use crate::expr::{EvalError, Place, Scope, Template, Val};
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
        paths: Vec<Glob>,
        condition: Option<Template>,
    },
    KeysToLower,
    KeysToSnakeCase,
    KeysReplace {
        old: Template,
        new: Template,
    },
    Flatten {
        lists_too: bool,
    },
    FlattenAt(Box<FlattenAt>),
}

/// The transformations that the engine knows.
pub(crate) const KINDS: &[&str] = &[
    "AddFields",
    "RemoveFields",
    "KeysToLower",
    "KeysToSnakeCase",
    "KeysReplace",
    "FlattenFields",
    "DpathFlattenFields",
];

#[derive(Debug, Clone)]
pub(crate) struct AddedField {
    /// Names as they are written: the language has no expressions here.
    path: Vec<String>,
    value: Template,
    value_type: Option<ValueType>,
    /// `x_types: strict` of the stream: without a `value_type` the value has the type that its expression gives.
    is_strict: bool,
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
        match component.kind {
            "RemoveFields" => {
                let condition = component
                    .template("condition", Place::REMOVED_FIELD, problems)
                    .filter(|condition| condition.constant() != Some(""));
                let paths = globs(component, "field_pointers", problems)?;
                Some(Transformation::Remove { paths, condition })
            }
            "KeysToLower" => Some(Transformation::KeysToLower),
            "KeysToSnakeCase" => Some(Transformation::KeysToSnakeCase),
            "KeysReplace" => {
                let part = |name: &str, problems: &mut Problems| {
                    if component.get(name).is_none() {
                        component.missing(name, problems);
                    }
                    component.template(name, Place::ADDED_FIELD, problems)
                };
                let (old, new) = (part("old", problems), part("new", problems));
                Some(Transformation::KeysReplace {
                    old: old?,
                    new: new?,
                })
            }
            "FlattenFields" => Some(Transformation::Flatten {
                lists_too: component.get("flatten_lists").is_none()
                    || component.boolean("flatten_lists", problems),
            }),
            "DpathFlattenFields" => FlattenAt::load(component, problems)
                .map(|flatten| Transformation::FlattenAt(Box::new(flatten))),
            _ => Some(Transformation::load_added(component, problems)),
        }
    }

    fn load_added(component: &Component<'_>, problems: &mut Problems) -> Transformation {
        let condition = component.template("condition", Place::ADDED_FIELD_CONDITION, problems);
        let fields = AddedField::load_all(component, Place::ADDED_FIELD, problems);
        Transformation::Add { fields, condition }
    }

    /// `x_types: strict`: added values are not read as literals.
    pub(crate) fn keep_types(&mut self) {
        if let Transformation::Add { fields, .. } = self {
            for field in fields {
                field.is_strict = true;
            }
        }
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
                let mut choice = |property: &Value| match condition {
                    None => Ok(true),
                    // Conditions are asked of single values only.
                    Some(_) if property.is_object() || property.is_array() => Ok(false),
                    Some(condition) => {
                        let scope = Scope {
                            property: Some(property),
                            ..*slice
                        };
                        condition
                            .condition(&scope)
                            .map_err(|error| at(condition, error))
                    }
                };
                for path in paths {
                    path.remove(record, &mut choice)?;
                }
                Ok(())
            }
            Transformation::KeysToLower => {
                keys::to_lower(record);
                Ok(())
            }
            Transformation::KeysToSnakeCase => {
                keys::to_snake_case(record);
                Ok(())
            }
            Transformation::KeysReplace { old, new } => {
                let whole = Value::Object(std::mem::take(record));
                let scope = Scope {
                    record: Some(&whole),
                    ..*slice
                };
                let text = |part: &Template| part.text(&scope).map_err(|error| at(part, error));
                let parts = text(old).and_then(|old| Ok((old, text(new)?)));
                if let Value::Object(members) = whole {
                    *record = members;
                }
                let (old, new) = parts?;
                keys::replace(record, &old, &new);
                Ok(())
            }
            Transformation::Flatten { lists_too } => {
                flatten::flatten(record, *lists_too);
                Ok(())
            }
            Transformation::FlattenAt(flatten) => flatten.apply(record, slice),
        }
    }
}

impl AddedField {
    /// The `fields` of a transformation; their values see what is there at `place`.
    pub(crate) fn load_all(
        component: &Component<'_>,
        place: Place,
        problems: &mut Problems,
    ) -> Vec<AddedField> {
        let mut fields = Vec::new();
        for field in component.children("fields", &["AddedFieldDefinition"], problems) {
            field.refuse(&[], &[], problems);
            let path_place = field.path_of("path");
            let mut path = Vec::new();
            match field.get("path") {
                Some(Value::Array(steps)) if !steps.is_empty() => {
                    for (index, step) in steps.iter().enumerate() {
                        let place = format!("{path_place}/{index}");
                        match step {
                            Value::String(name) => path.push(name.clone()),
                            Value::Number(number) => path.push(number.to_string()),
                            _ => problems.add(place, "a name is needed here"),
                        }
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
            match field.template("value", place, problems) {
                Some(value) => fields.push(AddedField {
                    path,
                    value,
                    value_type,
                    is_strict: false,
                }),
                None if field.get("value").is_none() => field.missing("value", problems),
                None => {}
            }
        }
        fields
    }

    pub(crate) fn path(&self) -> &[String] {
        &self.path
    }

    /// A value that cannot be set.
    pub(crate) fn failed(&self, message: String) -> FieldError {
        at(&self.value, EvalError::Value(message))
    }

    fn add(
        &self,
        record: &mut Record,
        condition: Option<&Template>,
        slice: &Scope<'_>,
    ) -> Result<(), FieldError> {
        let whole = Value::Object(std::mem::take(record));
        let scope = Scope {
            record: Some(&whole),
            ..*slice
        };
        let outcome = self.value_in(&scope, condition);
        if let Value::Object(members) = whole {
            *record = members;
        }
        let Some(value) = outcome? else {
            return Ok(());
        };
        place::set(record, &self.path, value).map_err(|message| self.failed(message))
    }

    /// The value; `None` if the condition does not hold.
    pub(crate) fn value_in(
        &self,
        scope: &Scope<'_>,
        condition: Option<&Template>,
    ) -> Result<Option<Value>, FieldError> {
        let failed = |error| at(&self.value, error);
        let typed = if self.is_strict && self.value_type.is_none() {
            self.value.untyped(scope)
        } else {
            self.value.value(scope)
        };
        let typed = typed.map_err(failed)?.map(Val::into_json);
        let value = match (self.value_type, typed) {
            (Some(wanted), Some(typed)) if !wanted.fits(&typed) => {
                Value::String(self.value.render(scope).map_err(failed)?)
            }
            (_, Some(typed)) => typed,
            // What is missing or empty becomes an empty text.
            (_, None) => Value::String(String::new()),
        };
        if let Some(condition) = condition {
            let path_value: Value = self.path.iter().cloned().map(Value::String).collect();
            let scope = Scope {
                field_value: Some(&value),
                field_path: Some(&path_value),
                ..*scope
            };
            if !condition
                .condition(&scope)
                .map_err(|error| at(condition, error))?
            {
                return Ok(None);
            }
        }
        Ok(Some(value))
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

/// A list of paths with patterns.
pub(crate) fn globs(
    component: &Component<'_>,
    name: &str,
    problems: &mut Problems,
) -> Option<Vec<Glob>> {
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
    let mut globs = Vec::with_capacity(paths.len());
    for (index, path) in paths.iter().enumerate() {
        match Glob::compile(path) {
            Ok(glob) => globs.push(glob),
            Err(message) => {
                problems.add(format!("{}/{index}", component.path_of(name)), message);
            }
        }
    }
    Some(globs)
}
