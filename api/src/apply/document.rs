//! A document, read: YAML with variables put in, not yet checked.

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;

use super::ApplyError;
use super::expand::Expansion;

/// Where variables and files come from.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The value of a variable.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Files are relative to this folder: the document's.
    pub folder: &'a Path,
}

impl std::fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// What people wrote, with variables put in. It may hold secrets and is never shown.
pub struct Document {
    pub(super) root: Value,
    /// Pointers of texts that were put in as a whole.
    pub(super) expanded: HashSet<String>,
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Document(..)")
    }
}

impl Document {
    /// Reads a file; variables are the process's own, files are relative to the document's folder.
    pub fn load(path: &Path) -> Result<Self, ApplyError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            ApplyError::Unreadable(format!("{} cannot be read: {error}", path.display()))
        })?;
        let env = |name: &str| std::env::var(name).ok();
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, Sources { env: &env, folder }).map_err(|error| match error {
            ApplyError::Unreadable(problem) => {
                ApplyError::Unreadable(format!("{}: {problem}", path.display()))
            }
            other => other,
        })
    }

    /// Reads YAML. A key that is written twice is refused.
    pub fn parse(text: &str, sources: Sources<'_>) -> Result<Self, ApplyError> {
        let options = serde_saphyr::options! {
            // A snippet of the document could show a secret.
            with_snippet: false,
            // "0755" and "1_000" are more likely ids than numbers.
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
            strict_booleans: true,
        };
        let mut root: Value = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| ApplyError::Unreadable(format!("this is not valid YAML: {error}")))?;
        if root.is_null() {
            let problem =
                "the document is empty; it holds platforms, businesses, connections and schedules";
            return Err(ApplyError::Unreadable(problem.to_owned()));
        }
        let mut expansion = Expansion::default();
        expansion.run(&mut root, "", &sources);
        if !expansion.problems.is_empty() {
            return Err(ApplyError::Problems(expansion.problems));
        }
        Ok(Self {
            root,
            expanded: expansion.whole,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Document, ApplyError> {
        Document::parse(
            text,
            Sources {
                env: &|_| None,
                folder: Path::new(""),
            },
        )
    }

    #[test]
    fn keys_written_twice_are_refused_with_their_line() {
        let error = parse("businesses: []\nbusinesses: []\n")
            .expect_err("refused")
            .to_string();
        assert!(
            error.contains("businesses") && error.contains('2'),
            "{error}"
        );
    }

    #[test]
    fn what_is_not_yaml_is_refused_without_showing_it() {
        let error = parse("businesses: [\n  {secret: hunter2")
            .expect_err("refused")
            .to_string();
        assert!(
            error.starts_with("this is not valid YAML") && !error.contains("hunter2"),
            "{error}"
        );
    }

    #[test]
    fn an_empty_document_is_refused() {
        for text in ["", "\n# nothing\n", "---\n", "null"] {
            assert!(
                matches!(parse(text), Err(ApplyError::Unreadable(_))),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Document::load(Path::new("no-such.yaml")).expect_err("refused");
        assert!(error.to_string().contains("no-such.yaml"));
    }
}
