//! `RequestOption`: where a value of the paginator or the authenticator goes.

use serde_json::{Map, Value};

use super::value::{FieldError, at};
use crate::expr::{Place, Scope, Template};
use crate::load::component::{Component, Problems};

/// A place in a request.
#[derive(Debug, Clone)]
pub(crate) struct RequestOption {
    target: Target,
    path: Vec<Template>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Parameter,
    Header,
    BodyData,
    BodyJson,
}

/// Values that go into a request, by place.
#[derive(Debug, Default)]
pub(crate) struct Injected {
    pub(crate) parameters: Map<String, Value>,
    pub(crate) headers: Map<String, Value>,
    pub(crate) body_data: Map<String, Value>,
    pub(crate) body_json: Map<String, Value>,
}

impl RequestOption {
    pub(crate) fn load(
        component: &Component<'_>,
        problems: &mut Problems,
    ) -> Option<RequestOption> {
        component.refuse(&[], &[], problems);
        let target = match component.text("inject_into", problems) {
            Some("request_parameter") => Target::Parameter,
            Some("header") => Target::Header,
            Some("body_data") => Target::BodyData,
            Some("body_json") => Target::BodyJson,
            Some(other) => {
                problems.add(
                    component.path_of("inject_into"),
                    format!(
                        "\"{other}\" is not allowed; allowed: request_parameter, header, body_data, \
                         body_json"
                    ),
                );
                return None;
            }
            None => {
                component.missing("inject_into", problems);
                return None;
            }
        };
        let name = component.template("field_name", Place::CONFIG, problems);
        let path = match component.get("field_path") {
            None => Vec::new(),
            Some(Value::Array(steps)) => {
                let place = component.path_of("field_path");
                component.steps_of(steps, &place, problems)
            }
            Some(_) => {
                problems.add(
                    component.path_of("field_path"),
                    "a list of texts is needed here",
                );
                return None;
            }
        };
        match (name, path.is_empty()) {
            (Some(name), true) if name.constant() == Some("") => {
                problems.add(component.path_of("field_name"), "a name is needed here");
                None
            }
            (Some(name), true) => Some(RequestOption {
                target,
                path: vec![name],
            }),
            (None, false) if target == Target::BodyJson => Some(RequestOption { target, path }),
            (None, false) => {
                let message = "\"field_path\" works with body_json only; use field_name";
                problems.add(component.path_of("field_path"), message);
                None
            }
            _ => {
                let message = "a RequestOption needs either field_name or field_path";
                problems.add(&component.path, message);
                None
            }
        }
    }

    /// Whether both lead to the same place, or one to a place within the other's.
    pub(crate) fn meets(&self, other: &RequestOption) -> bool {
        let mut steps = self.path.iter().zip(&other.path);
        self.target == other.target && steps.all(|(one, other)| one.source() == other.source())
    }

    pub(crate) fn inject(
        &self,
        value: Value,
        scope: &Scope<'_>,
        into: &mut Injected,
    ) -> Result<(), FieldError> {
        let mut names = Vec::with_capacity(self.path.len());
        for step in &self.path {
            names.push(step.text(scope).map_err(|error| at(step, error))?);
        }
        let Some((last, parents)) = names.split_last() else {
            return Ok(());
        };
        let mut place = match self.target {
            Target::Parameter => &mut into.parameters,
            Target::Header => &mut into.headers,
            Target::BodyData => &mut into.body_data,
            Target::BodyJson => &mut into.body_json,
        };
        for parent in parents {
            let member = place
                .entry(parent.clone())
                .or_insert_with(|| Value::Object(Map::new()));
            if !member.is_object() {
                *member = Value::Object(Map::new());
            }
            match member {
                Value::Object(members) => place = members,
                _ => return Ok(()),
            }
        }
        place.insert(last.clone(), value);
        Ok(())
    }
}
