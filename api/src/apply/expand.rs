//! Puts variables and files into the texts of a document: `${env:NAME}`, `${env:NAME:-default}`, `${file:PATH}`; `$${`
//! stands for `${` itself.
//!
//! This comes after YAML was parsed and looks at each text alone, so that a value cannot add keys or lines to the document.
//! What was put in is not looked at again. A problem names variable or file and the place, never a value.

use std::collections::HashSet;

use serde_json::Value;

use super::document::Sources;
use crate::error::FieldProblem;
use crate::resources::fields::escape;

/// Texts that were replaced as a whole, by pointer, and what was wrong.
#[derive(Debug, Default)]
pub(super) struct Expansion {
    pub(super) whole: HashSet<String>,
    pub(super) problems: Vec<FieldProblem>,
}

impl Expansion {
    /// Expands every text of `value`, which stands at `pointer`.
    pub(super) fn run(&mut self, value: &mut Value, pointer: &str, sources: &Sources<'_>) {
        match value {
            Value::String(text) if text.contains("${") => {
                if let Some(expanded) = self.text(text, pointer, sources) {
                    *text = expanded;
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.run(item, &format!("{pointer}/{index}"), sources);
                }
            }
            Value::Object(members) => {
                for (name, member) in members.iter_mut() {
                    self.run(member, &format!("{pointer}/{}", escape(name)), sources);
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str, pointer: &str, sources: &Sources<'_>) -> Option<String> {
        let mut expanded = String::new();
        let mut rest = text;
        let mut sound = true;
        while let Some(start) = rest.find("${") {
            let (before, from) = rest.split_at(start);
            if let Some(before) = before.strip_suffix('$') {
                expanded.push_str(before);
                expanded.push_str("${");
                rest = from.get(2..).unwrap_or_default();
                continue;
            }
            expanded.push_str(before);
            let Some(end) = from.find('}') else {
                let detail = "a ${ is not closed by }; write $${ for the characters themselves";
                self.problems
                    .push(FieldProblem::new(pointer, "expansion", detail));
                return None;
            };
            let inner = from.get(2..end).unwrap_or_default();
            match resolve(inner, sources) {
                Ok(value) => expanded.push_str(&value),
                Err(detail) => {
                    sound = false;
                    self.problems
                        .push(FieldProblem::new(pointer, "expansion", detail));
                }
            }
            rest = from.get(end + 1..).unwrap_or_default();
            if before.is_empty() && rest.is_empty() && expanded_once(text) {
                self.whole.insert(pointer.to_owned());
            }
        }
        expanded.push_str(rest);
        sound.then_some(expanded)
    }
}

/// True of a text that is one `${..}` and nothing else.
fn expanded_once(text: &str) -> bool {
    text.starts_with("${") && text.find('}').is_some_and(|end| end + 1 == text.len())
}

fn resolve(inner: &str, sources: &Sources<'_>) -> Result<String, String> {
    if let Some(variable) = inner.strip_prefix("env:") {
        let (name, default) = match variable.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (variable, None),
        };
        if name.is_empty() {
            return Err("${env:} names no variable; write ${env:NAME}".to_owned());
        }
        return match ((sources.env)(name), default) {
            (Some(value), None) => Ok(value),
            // As in a shell, `:-` also stands in for an empty value.
            (Some(value), Some(_)) if !value.is_empty() => Ok(value),
            (_, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err(format!(
                "the variable {name} is not set; set it, or give a default: ${{env:{name}:-...}}"
            )),
        };
    }
    if let Some(path) = inner.strip_prefix("file:") {
        let path = sources.folder.join(path);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("the file {} cannot be read: {error}", path.display()))?;
        // Editors end files with a line feed that is no part of a secret.
        let text = text.strip_suffix('\n').unwrap_or(&text);
        return Ok(text.strip_suffix('\r').unwrap_or(text).to_owned());
    }
    let word = inner.split(':').next().unwrap_or_default();
    Err(format!(
        "${{{word}..}} is unknown; allowed: ${{env:NAME}}, ${{env:NAME:-default}}, ${{file:PATH}}; \
         write $${{ for the characters themselves"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::Path;

    fn env(name: &str) -> Option<String> {
        match name {
            "SECRET" => Some("s3: [x]\n# ${env:OTHER}".to_owned()),
            "PORT" => Some("80".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn expand(mut value: Value, folder: &Path) -> (Value, Expansion) {
        let mut expansion = Expansion::default();
        expansion.run(&mut value, "", &Sources { env: &env, folder });
        (value, expansion)
    }

    #[test]
    fn variables_are_put_in_as_text_and_not_looked_at_again() {
        let (value, expansion) = expand(
            json!({"a": "${env:SECRET}", "b": ["x-${env:PORT}-${env:PORT}"], "c": "$${env:PORT}", "d": "$5 {}"}),
            Path::new(""),
        );
        assert_eq!(
            value,
            json!({"a": "s3: [x]\n# ${env:OTHER}", "b": ["x-80-80"], "c": "${env:PORT}", "d": "$5 {}"})
        );
        assert!(expansion.problems.is_empty());
        assert_eq!(expansion.whole, HashSet::from(["/a".to_owned()]));
    }

    #[test]
    fn two_variables_side_by_side_are_no_whole() {
        let (value, expansion) = expand(json!("${env:PORT}${env:PORT}"), Path::new(""));
        assert_eq!(value, json!("8080"));
        assert!(expansion.whole.is_empty());
    }

    #[test]
    fn defaults_stand_in_for_what_is_unset_or_empty() {
        let (value, expansion) = expand(
            json!([
                "${env:NOPE:-a:-b}",
                "${env:EMPTY:-x}",
                "${env:EMPTY}",
                "${env:PORT:-1}"
            ]),
            Path::new(""),
        );
        assert_eq!(value, json!(["a:-b", "x", "", "80"]));
        assert!(expansion.problems.is_empty());
    }

    #[test]
    fn every_problem_names_what_is_missing_and_where() {
        let (_, expansion) = expand(
            json!({"connections": [{"a": "${env:NOPE}", "b": "${file:none}", "c": "${vault:x}", "d": "${env:X"}]}),
            Path::new("no-such-folder"),
        );
        let found: Vec<_> = expansion
            .problems
            .iter()
            .map(|p| (p.pointer.as_str(), &p.detail))
            .collect();
        assert_eq!(found.len(), 4);
        assert!(found[0].0 == "/connections/0/a" && found[0].1.contains("NOPE"));
        assert!(found[1].0 == "/connections/0/b" && found[1].1.contains("no-such-folder/none"));
        assert!(found[2].1.contains("allowed: ${env:NAME}"));
        assert!(found[3].1.contains("not closed"));
    }

    #[test]
    fn files_are_relative_to_the_document_and_lose_their_last_line_feed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "two\nlines\n").unwrap();
        let (value, _) = expand(json!("${file:secret}"), folder.path());
        assert_eq!(value, json!("two\nlines"));
    }
}
