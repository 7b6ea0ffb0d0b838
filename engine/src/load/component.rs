//! Reading one component of the manifest: fields by name, problems by path.
//!
//! A field that no version of the language knows is ignored, as the reference does (and `$parameters`
//! put such fields everywhere). A field that the language knows and the engine does not do is refused,
//! because leaving it out would silently change what is read.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::error::LoadProblem;
use crate::expr::{Place, Template};

/// Problems of one manifest that are named; the others are counted.
const MOST_PROBLEMS: usize = 1_000;

/// Collects what is wrong while loading goes on. The second part is the hash of each problem, to know those that come again.
#[derive(Default)]
pub(crate) struct Problems(pub(crate) Vec<LoadProblem>, HashSet<u64>, RandomState);

impl Problems {
    pub(crate) fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        let problem = LoadProblem {
            path: path.into(),
            message: message.into(),
        };
        let is_new = self.1.insert(self.2.hash_one(&problem));
        if is_new && self.0.len() < MOST_PROBLEMS {
            self.0.push(problem);
        }
    }

    /// The problems, the last of which says how many more there are.
    pub(crate) fn told(self) -> Vec<LoadProblem> {
        let Problems(mut told, all, _) = self;
        if all.len() > told.len() {
            told.push(LoadProblem {
                path: String::new(),
                message: format!("and {} more problems", all.len() - told.len()),
            });
        }
        told
    }
}

/// A component: an object with a type.
pub(crate) struct Component<'v> {
    pub(crate) path: String,
    pub(crate) kind: &'v str,
    pub(crate) fields: &'v Map<String, Value>,
    pub(crate) parameters: Arc<Value>,
}

impl<'v> Component<'v> {
    /// Takes an object of one of the supported types; anything else is a problem.
    pub(crate) fn read(
        value: &'v Value,
        path: &str,
        supported: &[&str],
        problems: &mut Problems,
    ) -> Option<Component<'v>> {
        let Value::Object(fields) = value else {
            problems.add(
                path,
                format!(
                    "a component is needed here, one of: {}",
                    supported.join(", ")
                ),
            );
            return None;
        };
        let Some(kind) = fields.get("type").and_then(Value::as_str) else {
            problems.add(
                path,
                format!(
                    "the component has no \"type\"; supported here: {}",
                    supported.join(", ")
                ),
            );
            return None;
        };
        // Two names of the language's first versions, still seen.
        let kind = match kind {
            "ApiKey" => "ApiKeyAuthenticator",
            "Bearer" => "BearerAuthenticator",
            other => other,
        };
        if !supported.contains(&kind) {
            problems.add(
                path,
                format!(
                    "component \"{kind}\" is not supported; supported here: {}",
                    supported.join(", ")
                ),
            );
            return None;
        }
        let parameters = fields.get("$parameters").cloned();
        let parameters = Arc::new(parameters.unwrap_or_else(|| Value::Object(Map::new())));
        Some(Component {
            path: path.to_owned(),
            kind,
            fields,
            parameters,
        })
    }

    /// A field that is present and not null.
    pub(crate) fn get(&self, name: &str) -> Option<&'v Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn path_of(&self, name: &str) -> String {
        format!(
            "{}/{}",
            self.path,
            name.replace('~', "~0").replace('/', "~1")
        )
    }

    pub(crate) fn missing(&self, name: &str, problems: &mut Problems) {
        problems.add(
            self.path_of(name),
            format!("\"{name}\" of {} is required", self.kind),
        );
    }

    /// Refuses fields of the language that the engine does not do, and unknown `x_` extensions.
    pub(crate) fn refuse(&self, names: &[&str], extensions: &[&str], problems: &mut Problems) {
        for name in names {
            let idle = |value: &&Value| !matches!(value, Value::Bool(false));
            if self.get(name).as_ref().is_some_and(idle) {
                let message = format!("the field \"{name}\" of {} is not supported", self.kind);
                problems.add(self.path_of(name), message);
            }
        }
        for name in self.fields.keys() {
            if name.starts_with("x_") && !extensions.contains(&name.as_str()) {
                let known = if extensions.is_empty() {
                    "none is known here".to_owned()
                } else {
                    format!("known here: {}", extensions.join(", "))
                };
                let message = format!(
                    "the extension \"{name}\" is not known on {}; {known}",
                    self.kind
                );
                problems.add(self.path_of(name), message);
            }
        }
    }

    /// A mapping within an extension: it has no type, and no members besides those named.
    pub(crate) fn part(
        &self,
        value: &'v Value,
        path: String,
        kind: &'static str,
        members: &[&str],
        problems: &mut Problems,
    ) -> Option<Component<'v>> {
        let Value::Object(fields) = value else {
            let message = format!("a mapping of {} is needed here", members.join(", "));
            problems.add(path, message);
            return None;
        };
        let part = Component {
            path,
            kind,
            fields,
            parameters: Arc::clone(&self.parameters),
        };
        for name in fields.keys() {
            if !members.contains(&name.as_str()) {
                let message = format!(
                    "\"{name}\" is not known in {kind}; allowed: {}",
                    members.join(", ")
                );
                problems.add(part.path_of(name), message);
            }
        }
        Some(part)
    }

    /// The elements of a list within an extension, with their paths.
    pub(crate) fn elements(&self, name: &str, problems: &mut Problems) -> Vec<(String, &'v Value)> {
        let path = self.path_of(name);
        match self.get(name) {
            None => Vec::new(),
            Some(Value::Array(items)) => items
                .iter()
                .enumerate()
                .map(|(index, item)| (format!("{path}/{index}"), item))
                .collect(),
            Some(_) => {
                problems.add(path, "a list is needed here");
                Vec::new()
            }
        }
    }

    pub(crate) fn child(
        &self,
        name: &str,
        supported: &[&str],
        problems: &mut Problems,
    ) -> Option<Component<'v>> {
        Component::read(self.get(name)?, &self.path_of(name), supported, problems)
    }

    /// A list of components; a single one counts as a list of one.
    pub(crate) fn children(
        &self,
        name: &str,
        supported: &[&str],
        problems: &mut Problems,
    ) -> Vec<Component<'v>> {
        let path = self.path_of(name);
        match self.get(name) {
            None => Vec::new(),
            Some(Value::Array(items)) => {
                let mut children = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    let place = format!("{path}/{index}");
                    children.extend(Component::read(item, &place, supported, problems));
                }
                children
            }
            Some(single) => Component::read(single, &path, supported, problems)
                .into_iter()
                .collect(),
        }
    }

    /// A text, which may hold expressions. Numbers and booleans are taken as their text.
    pub(crate) fn template(
        &self,
        name: &str,
        place: Place,
        problems: &mut Problems,
    ) -> Option<Template> {
        let path = self.path_of(name);
        self.template_of(self.get(name)?, &path, place, problems)
    }

    /// The steps of a path, each a template over the config.
    pub(crate) fn steps_of(
        &self,
        steps: &[Value],
        path: &str,
        problems: &mut Problems,
    ) -> Vec<Template> {
        let steps = steps.iter().enumerate();
        let compiled = steps.filter_map(|(index, step)| {
            self.template_of(step, &format!("{path}/{index}"), Place::CONFIG, problems)
        });
        compiled.collect()
    }

    pub(crate) fn template_of(
        &self,
        value: &Value,
        path: &str,
        place: Place,
        problems: &mut Problems,
    ) -> Option<Template> {
        let source = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(true) => "True".to_owned(),
            Value::Bool(false) => "False".to_owned(),
            _ => {
                problems.add(path, "a text is needed here");
                return None;
            }
        };
        match Template::compile(&source, path, &self.parameters, place) {
            Ok(template) => Some(template),
            Err(message) => {
                problems.add(path, message);
                None
            }
        }
    }

    /// A text without expressions.
    pub(crate) fn text(&self, name: &str, problems: &mut Problems) -> Option<&'v str> {
        if let Value::String(text) = self.get(name)? {
            Some(text)
        } else {
            problems.add(self.path_of(name), "a text is needed here");
            None
        }
    }

    pub(crate) fn boolean(&self, name: &str, problems: &mut Problems) -> bool {
        match self.get(name) {
            None => false,
            Some(Value::Bool(truth)) => *truth,
            Some(_) => {
                problems.add(self.path_of(name), "true or false is needed here");
                false
            }
        }
    }

    /// A whole number of at least 0.
    pub(crate) fn whole_number(&self, name: &str, problems: &mut Problems) -> Option<u64> {
        let value = self.get(name)?;
        let number = value.as_u64();
        if number.is_none() {
            problems.add(
                self.path_of(name),
                "a whole number of at least 0 is needed here",
            );
        }
        number
    }

    /// A list of texts without expressions; empty if it is missing.
    pub(crate) fn texts(&self, name: &str, problems: &mut Problems) -> Vec<String> {
        let mut texts = Vec::new();
        for (path, item) in self.elements(name, problems) {
            match item.as_str() {
                Some(text) => texts.push(text.to_owned()),
                None => problems.add(path, "a text is needed here"),
            }
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_without_end_are_counted() {
        let mut problems = Problems::default();
        for number in 0..200_000 {
            problems.add(format!("/a/{number}"), "no");
            problems.add("/a/0", "no");
        }
        let told = problems.told();
        assert_eq!(told.len(), MOST_PROBLEMS + 1);
        assert_eq!(
            told[MOST_PROBLEMS].to_string(),
            "/: and 199000 more problems"
        );
    }
}
