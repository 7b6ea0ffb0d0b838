//! The resolved manifest as the themes see it: typed parts with their paths.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::expr::{Place, Template, Var};

/// Every variable there is: where an expression stands does not matter here.
const ANYWHERE: Place = Place(&[
    Var::Config,
    Var::Parameters,
    Var::NextPageToken,
    Var::StreamSlice,
    Var::Response,
    Var::Headers,
    Var::LastRecord,
    Var::LastPageSize,
    Var::PageSize,
    Var::Record,
    Var::RequestUrl,
    Var::Property,
    Var::FieldValue,
    Var::FieldPath,
    Var::SessionToken,
]);

/// What is read of a manifest's top level; the rest are definitions that references have copied from.
const SECTIONS: &[&str] = &["check", "api_budget", "spec", "streams"];

/// Mappings that a request carries as they are: a member called `type` makes no component of one.
const DATA: &[&str] = &[
    "request_parameters",
    "request_headers",
    "request_body_json",
    "request_body_data",
    "refresh_request_body",
    "refresh_request_headers",
    "jwt_headers",
    "jwt_payload",
    "additional_jwt_headers",
    "additional_jwt_payload",
];

/// Whether a field of a component holds data of requests, and no components.
pub(super) fn is_data(kind: &str, name: &str) -> bool {
    DATA.contains(&name) || (name == "value" && kind.starts_with("RequestBody"))
}

/// A name as a step of a JSON pointer.
pub(super) fn step(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A component with its type.
pub(super) struct Part<'v> {
    pub(super) path: String,
    pub(super) kind: &'v str,
    pub(super) fields: &'v Map<String, Value>,
    /// Whole, for questions about everything within.
    pub(super) value: &'v Value,
}

impl<'v> Part<'v> {
    pub(super) fn root(manifest: &'v Value) -> Part<'v> {
        static NOTHING: std::sync::OnceLock<Map<String, Value>> = std::sync::OnceLock::new();
        Part {
            path: String::new(),
            kind: "DeclarativeSource",
            fields: manifest
                .as_object()
                .unwrap_or_else(|| NOTHING.get_or_init(Map::new)),
            value: manifest,
        }
    }

    fn of(value: &'v Value, path: String) -> Option<Part<'v>> {
        let fields = value.as_object()?;
        let kind = fields.get("type")?.as_str()?;
        Some(Part {
            path,
            kind,
            fields,
            value,
        })
    }

    /// This part and all below, from above, in the manifest's order.
    pub(super) fn each(&self, visit: &mut dyn FnMut(&Part<'_>)) {
        visit(self);
        for (name, value) in self.fields {
            let is_root = self.path.is_empty();
            let skipped = name.starts_with("x_")
                || matches!(
                    name.as_str(),
                    "$parameters" | "schema" | "connection_specification"
                )
                || is_data(self.kind, name)
                || (is_root && !SECTIONS.contains(&name.as_str()));
            if !skipped {
                descend(value, &self.path_of(name), visit);
            }
        }
    }

    /// A field that is present and not null.
    pub(super) fn get(&self, name: &str) -> Option<&'v Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Option<&'v str> {
        self.get(name)?.as_str()
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        self.get(name) == Some(&Value::Bool(true))
    }

    pub(super) fn path_of(&self, name: &str) -> String {
        format!("{}/{}", self.path, step(name))
    }

    pub(super) fn child(&self, name: &str) -> Option<Part<'v>> {
        Part::of(self.get(name)?, self.path_of(name))
    }

    pub(super) fn children(&self, name: &str) -> Vec<Part<'v>> {
        let items = self.get(name).and_then(Value::as_array);
        let items = items.into_iter().flatten().enumerate();
        items
            .filter_map(|(index, item)| Part::of(item, format!("{}/{index}", self.path_of(name))))
            .collect()
    }

    /// The texts of a field, also within lists and mappings, with their paths; not those of components within.
    pub(super) fn texts_of(&self, name: &str) -> Vec<(String, &'v str)> {
        let mut found = Vec::new();
        if let Some(value) = self.get(name) {
            texts(
                value,
                self.path_of(name),
                is_data(self.kind, name),
                &mut found,
            );
        }
        found
    }

    /// Plain values of a field, also within lists and mappings, with their paths.
    pub(super) fn values_of(&self, name: &str) -> Vec<(String, &'v Value)> {
        let mut found = Vec::new();
        if let Some(value) = self.get(name) {
            plain_values(value, self.path_of(name), &mut found);
        }
        found
    }

    /// A text of this part, compiled; `None` for one that loading refuses.
    pub(super) fn template(&self, source: &str, path: &str) -> Option<Template> {
        let none = || Value::Object(Map::new());
        let parameters = self.get("$parameters").cloned().unwrap_or_else(none);
        Template::compile(source, path, &Arc::new(parameters), ANYWHERE).ok()
    }
}

fn descend(value: &Value, path: &str, visit: &mut dyn FnMut(&Part<'_>)) {
    match value {
        Value::Object(members) => match Part::of(value, path.to_owned()) {
            Some(part) => part.each(visit),
            None => {
                for (name, member) in members {
                    descend(member, &format!("{path}/{name}"), visit);
                }
            }
        },
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                descend(item, &format!("{path}/{index}"), visit);
            }
        }
        _ => {}
    }
}

fn plain_values<'v>(value: &'v Value, path: String, found: &mut Vec<(String, &'v Value)>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                plain_values(item, format!("{path}/{index}"), found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members.iter().filter(|(name, _)| *name != "$parameters") {
                plain_values(member, format!("{path}/{}", step(name)), found);
            }
        }
        plain => found.push((path, plain)),
    }
}

fn texts<'v>(value: &'v Value, path: String, is_data: bool, found: &mut Vec<(String, &'v str)>) {
    match value {
        Value::String(text) => found.push((path, text)),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                texts(item, format!("{path}/{index}"), is_data, found);
            }
        }
        Value::Object(members) if is_data || !members.contains_key("type") => {
            // Parameters are handed to what looks like a component; no request carries them.
            for (name, member) in members.iter().filter(|(name, _)| *name != "$parameters") {
                texts(member, format!("{path}/{}", step(name)), is_data, found);
            }
        }
        _ => {}
    }
}
