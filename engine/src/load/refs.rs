//! `$ref` and `#/...`: any text value that begins with `#/` is replaced by what it points at.
//!
//! Under `$ref` the target's members are taken over and the siblings win, one level deep. The path is
//! looked up greedily: the whole rest is tried as one key before it is split at a slash. The result is a
//! plain tree; its size is bounded, because a few refs to refs can grow beyond all memory.

use serde_json::{Map, Value};

use crate::error::LoadProblem;

/// Values of the resolved manifest; the largest public ones stay well below.
const MAX_VALUES: usize = 400_000;
const MAX_DEPTH: usize = 120;
/// Bytes of its texts, names and paths: few values can be large ones.
const MAX_TEXT: usize = 64 * 1024 * 1024;
/// Bytes of a path to a value: paths are kept for messages.
const MAX_PATH: usize = 4 * 1024;

/// A mapping of a reference's target whose place one beside the reference has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shadowed {
    /// Where it is after references were resolved.
    pub(crate) path: String,
    /// The members that only the target's has.
    pub(crate) lost: Vec<String>,
}

/// A manifest with its references written out.
pub(crate) struct Resolved {
    pub(crate) members: Map<String, Value>,
    pub(crate) shadowed: Vec<Shadowed>,
}

pub(crate) fn resolve(root: &Value, fields: &[&str]) -> Result<Resolved, LoadProblem> {
    let mut resolver = Resolver {
        root,
        open: Vec::new(),
        values: 0,
        text: 0,
        shadowed: Vec::new(),
    };
    let mut found = Map::new();
    for field in fields {
        if let Some(value) = root.get(*field) {
            let value = resolver.value(value, &format!("/{field}"), 0)?;
            found.insert((*field).to_owned(), value);
        }
    }
    Ok(Resolved {
        members: found,
        shadowed: resolver.shadowed,
    })
}

struct Resolver<'r> {
    root: &'r Value,
    /// The references that are being resolved, to notice circles.
    open: Vec<&'r str>,
    values: usize,
    text: usize,
    shadowed: Vec<Shadowed>,
}

impl<'r> Resolver<'r> {
    fn value(&mut self, value: &'r Value, path: &str, depth: usize) -> Result<Value, LoadProblem> {
        self.values += 1;
        self.text += path.len() + value.as_str().map_or(0, str::len);
        let limit = match () {
            () if path.len() > MAX_PATH => Some("4 KiB of names on the way to one value"),
            () if depth > MAX_DEPTH => Some("120 levels"),
            () if self.values > MAX_VALUES => Some("400,000 values"),
            () if self.text > MAX_TEXT => Some("64 MiB of text"),
            () => None,
        };
        if let Some(limit) = limit {
            let shown: String = path.chars().take(200).collect();
            let message = format!("with its references the manifest exceeds {limit}");
            return Err(problem(&shown, message));
        }
        match value {
            Value::String(text) if text.starts_with("#/") => self.target(text, path, depth),
            Value::Array(items) => {
                let mut resolved = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    resolved.push(self.value(item, &format!("{path}/{index}"), depth + 1)?);
                }
                Ok(Value::Array(resolved))
            }
            Value::Object(members) => self.object(members, path, depth),
            plain => Ok(plain.clone()),
        }
    }

    fn object(
        &mut self,
        members: &'r Map<String, Value>,
        path: &str,
        depth: usize,
    ) -> Result<Value, LoadProblem> {
        let mut own = Map::new();
        for (key, member) in members {
            if key != "$ref" {
                own.insert(
                    key.clone(),
                    self.value(member, &format!("{path}/{key}"), depth + 1)?,
                );
            }
        }
        let Some(reference) = members.get("$ref") else {
            return Ok(Value::Object(own));
        };
        let target = match reference {
            Value::String(text) if text.starts_with("#/") => self.target(text, path, depth)?,
            Value::String(text) => {
                return Err(problem(
                    path,
                    format!("\"$ref: {text}\" must begin with \"#/\""),
                ));
            }
            _ => {
                return Err(problem(
                    path,
                    "\"$ref\" must be a text that begins with \"#/\"",
                ));
            }
        };
        match target {
            Value::Object(mut merged) => {
                for (key, member) in own {
                    self.note_shadowed(merged.get(&key), &member, path, &key);
                    merged.insert(key, member);
                }
                Ok(Value::Object(merged))
            }
            other if own.is_empty() => Ok(other),
            _ => Err(problem(
                path,
                "\"$ref\" points at no object, but has fields beside it",
            )),
        }
    }

    /// Remembers a plain mapping that another one replaces. One with a type is a component of its own, and an empty one is meant
    /// to leave nothing.
    fn note_shadowed(&mut self, target: Option<&Value>, own: &Value, path: &str, key: &str) {
        let (Some(Value::Object(target)), Value::Object(own)) = (target, own) else {
            return;
        };
        if own.is_empty() || own.contains_key("type") {
            return;
        }
        let lost = target.keys().filter(|name| !own.contains_key(*name));
        let lost: Vec<String> = lost.cloned().collect();
        if !lost.is_empty() {
            let path = format!("{path}/{key}");
            self.shadowed.push(Shadowed { path, lost });
        }
    }

    fn target(&mut self, text: &'r str, path: &str, depth: usize) -> Result<Value, LoadProblem> {
        if self.open.contains(&text) {
            return Err(problem(
                path,
                format!("the reference \"{text}\" leads back to itself"),
            ));
        }
        let Some(target) = look_up(self.root, &text[2..]) else {
            return Err(problem(
                path,
                format!("the reference \"{text}\" points at nothing"),
            ));
        };
        self.open.push(text);
        let resolved = self.value(target, path, depth + 1);
        self.open.pop();
        resolved
    }
}

fn look_up<'r>(value: &'r Value, path: &str) -> Option<&'r Value> {
    match value {
        Value::Object(members) => {
            if let Some(found) = members.get(path) {
                return Some(found);
            }
            let (step, rest) = path.split_once('/')?;
            look_up(members.get(step)?, rest)
        }
        Value::Array(items) => {
            let (step, rest) = path.split_once('/').unwrap_or((path, ""));
            let item = items.get(step.parse::<usize>().ok()?)?;
            if rest.is_empty() {
                Some(item)
            } else {
                look_up(item, rest)
            }
        }
        _ => None,
    }
}

fn problem(path: &str, message: impl Into<String>) -> LoadProblem {
    LoadProblem {
        path: path.to_owned(),
        message: message.into(),
    }
}
