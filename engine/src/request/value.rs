//! Mappings with expressions in them: parameters, headers, bodies.
//!
//! A member whose value is missing or empty is left out; that is how manifests make a parameter optional. So is None, but for
//! parameters of the query and fields of forms: there only texts and lists are read as Python literals, and everything else stays
//! the text that it is, `1.10`, `1,2` and `None` too.

use serde_json::{Map, Value};

use crate::expr::{EvalError, Place, Scope, Template, Val};
use crate::load::component::{Component, Problems};

/// A value of the manifest with its texts compiled.
#[derive(Debug, Clone)]
pub(crate) enum Field {
    Plain(Value),
    Template(Template),
    List(Vec<Field>),
    Mapping(Vec<(Template, Field)>),
}

impl Field {
    pub(crate) fn load(
        value: &Value,
        path: &str,
        component: &Component<'_>,
        place: Place,
        problems: &mut Problems,
    ) -> Option<Field> {
        match value {
            Value::String(_) => component
                .template_of(value, path, place, problems)
                .map(Field::Template),
            Value::Array(items) => {
                let mut fields = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{path}/{index}");
                    fields.extend(Field::load(item, &path, component, place, problems));
                }
                Some(Field::List(fields))
            }
            Value::Object(members) if members.contains_key("type") && is_component(members) => {
                let kind = members
                    .get("type")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                problems.add(path, format!("component \"{kind}\" is not supported here"));
                None
            }
            Value::Object(members) => {
                let mut fields = Vec::with_capacity(members.len());
                for (name, member) in members {
                    if name == "$parameters" {
                        continue;
                    }
                    let path = format!("{path}/{name}");
                    let key = Value::String(name.clone());
                    let key = component.template_of(&key, &path, place, problems);
                    let field = Field::load(member, &path, component, place, problems);
                    fields.extend(key.zip(field));
                }
                Some(Field::Mapping(fields))
            }
            plain => Some(Field::Plain(plain.clone())),
        }
    }

    /// The value; `None` where it is missing.
    pub(crate) fn value(&self, scope: &Scope<'_>) -> Result<Option<Value>, FieldError> {
        Ok(match self {
            Field::Plain(Value::Null) => None,
            Field::Plain(value) => Some(value.clone()),
            Field::Template(template) => {
                let value = template.value(scope).map_err(|error| at(template, error))?;
                value.map(Val::into_json).filter(|value| !value.is_null())
            }
            Field::List(items) => {
                let mut values = Vec::with_capacity(items.len());
                for item in items {
                    values.push(item.value(scope)?.unwrap_or(Value::Null));
                }
                Some(Value::Array(values))
            }
            Field::Mapping(members) => Some(Value::Object(mapping(members, scope)?)),
        })
    }
}

/// An expression that failed, with its place in the manifest.
#[derive(Debug)]
pub(crate) struct FieldError {
    pub(crate) path: String,
    pub(crate) source: String,
    pub(crate) error: EvalError,
}

pub(crate) fn at(template: &Template, error: EvalError) -> FieldError {
    FieldError {
        path: template.path.clone(),
        source: template.source().to_owned(),
        error,
    }
}

pub(crate) fn mapping(
    members: &[(Template, Field)],
    scope: &Scope<'_>,
) -> Result<Map<String, Value>, FieldError> {
    mapping_of(members, scope, Field::value)
}

/// What goes into the query or a form: only texts and lists are read from a rendered text, everything else stays as it is rendered
/// (`1.10`, `1,2`, `None`). What is missing or empty is left out.
pub(crate) fn parameters(
    members: &[(Template, Field)],
    scope: &Scope<'_>,
) -> Result<Map<String, Value>, FieldError> {
    mapping_of(members, scope, |field, scope| {
        let Field::Template(template) = field else {
            return field.value(scope);
        };
        let failed = |error| at(template, error);
        Ok(match template.value(scope).map_err(failed)? {
            None => None,
            Some(Val::Json(value)) if value.is_string() || value.is_array() => {
                Some(value.into_owned())
            }
            Some(_) => Some(Value::String(template.render(scope).map_err(failed)?)),
        })
    })
}

/// Values of headers, as Python writes them. What is missing, empty or None is left out.
pub(crate) fn headers(
    members: &[(Template, Field)],
    scope: &Scope<'_>,
) -> Result<Map<String, Value>, FieldError> {
    mapping_of(members, scope, |field, scope| {
        let Field::Template(template) = field else {
            return field.value(scope);
        };
        let value = template.value(scope).map_err(|error| at(template, error))?;
        let value = value.filter(|value| value.as_json() != Some(&Value::Null));
        Ok(value.map(|value| Value::String(value.to_text().into_owned())))
    })
}

/// The members of a mapping that have a value.
fn mapping_of(
    members: &[(Template, Field)],
    scope: &Scope<'_>,
    value_of: impl Fn(&Field, &Scope<'_>) -> Result<Option<Value>, FieldError>,
) -> Result<Map<String, Value>, FieldError> {
    let mut values = Map::new();
    for (key, field) in members {
        let key = key.text(scope).map_err(|error| at(key, error))?;
        if let Some(value) = value_of(field, scope)? {
            values.insert(key, value);
        }
    }
    Ok(values)
}

/// A mapping, or a text that gives one.
#[derive(Debug, Clone)]
pub(crate) enum Mapped {
    Members(Vec<(Template, Field)>),
    Text(Template),
}

/// How the members of a mapping become values.
pub(crate) type Reading =
    fn(&[(Template, Field)], &Scope<'_>) -> Result<Map<String, Value>, FieldError>;

impl Mapped {
    pub(crate) fn load(
        component: &Component<'_>,
        name: &str,
        place: Place,
        problems: &mut Problems,
    ) -> Option<Mapped> {
        match component.get(name) {
            Some(Value::String(_)) => component.template(name, place, problems).map(Mapped::Text),
            _ => Some(Mapped::Members(load_mapping(
                component, name, place, problems,
            ))),
        }
    }

    pub(crate) fn values(
        &self,
        scope: &Scope<'_>,
        reading: Reading,
    ) -> Result<Map<String, Value>, FieldError> {
        match self {
            Mapped::Members(members) => reading(members, scope),
            Mapped::Text(template) => {
                let value = template.value(scope).map_err(|error| at(template, error))?;
                match value.map(Val::into_json) {
                    None => Ok(Map::new()),
                    Some(Value::Object(mut members)) => {
                        members.retain(|_, value| !value.is_null());
                        Ok(members)
                    }
                    Some(_) => {
                        let message = "a text must give a mapping here".to_owned();
                        Err(at(template, EvalError::Type(message)))
                    }
                }
            }
        }
    }
}

/// A mapping field of a component; a text or a list in its place is refused.
pub(crate) fn load_mapping(
    component: &Component<'_>,
    name: &str,
    place: Place,
    problems: &mut Problems,
) -> Vec<(Template, Field)> {
    let path = component.path_of(name);
    match component.get(name) {
        None => Vec::new(),
        Some(value @ Value::Object(_)) => {
            match Field::load(value, &path, component, place, problems) {
                Some(Field::Mapping(members)) => members,
                _ => Vec::new(),
            }
        }
        Some(_) => {
            problems.add(
                path,
                "a mapping of names to values is needed here; other forms are not supported",
            );
            Vec::new()
        }
    }
}

/// Component types are written in capitals; `type: text` in a body is data.
fn is_component(members: &Map<String, Value>) -> bool {
    const IN_REQUESTS: &[&str] = &[
        "QueryProperties",
        "PropertyChunking",
        "PropertiesFromEndpoint",
    ];
    members
        .get("type")
        .and_then(Value::as_str)
        .is_some_and(|kind| IN_REQUESTS.contains(&kind))
}
