//! Warnings about the language's known traps: manifests that load, and then do something else than they seem to say.
//!
//! Loading names what is not supported; this names what is supported and surprising. Each theme is a file, and looks at one
//! component of the resolved manifest at a time; `parameters` compares the whole with what was written. A trap is only named where the manifest alone shows it: what depends on the
//! platform is worded as what to check.

#![cfg_attr(
    test,
    expect(
        clippy::needless_pass_by_value,
        reason = "changes of the example read best as json!(...) in place"
    )
)]

mod addresses;
mod booleans;
mod budgets;
mod component;
mod composites;
mod conditions;
mod cursors;
mod errors;
mod jobs;
mod literals;
mod pages;
mod parameters;
mod records;
mod secrets;
mod waits;

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::error::LoadProblem;
use crate::load;
use crate::load::component::Problems;
use component::Part;

/// What there is to say about a manifest before it is run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LintReport {
    /// What keeps it from being loaded: all of it.
    pub problems: Vec<LoadProblem>,
    /// Traps, in the order of the manifest.
    pub warnings: Vec<LintWarning>,
}

/// A trap of the language that a manifest walks into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LintWarning {
    /// The trap's name, such as `filter-or`; stable.
    pub trap: &'static str,
    /// Where it is, as JSON pointers into the manifest after references were resolved: a definition that several streams
    /// refer to is found at each of them.
    pub paths: Vec<String>,
    /// What happens.
    pub happens: String,
    /// What to do about it.
    pub advice: &'static str,
}

/// Looks at a manifest. What cannot be loaded is still searched for traps, as far as its references lead somewhere.
pub fn lint(platform: &str, yaml: &str) -> LintReport {
    let problems = match load::load(platform, yaml) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.problems,
    };
    let mut found = Found::default();
    let mut named = Problems::default();
    if let Some(written) = load::referenced(yaml, &mut named)
        && let Some(manifest) = load::complete(written.members.clone(), &mut named)
    {
        Part::root(&manifest).each(&mut |part| {
            for look in THEMES {
                look(part, &mut found);
            }
        });
        parameters::look(&Value::Object(written.members), &manifest, &mut found);
        parameters::shadowed(&written.shadowed, &mut found);
    }
    LintReport {
        problems,
        warnings: found.0,
    }
}

type Look = fn(&Part<'_>, &mut Found);

const THEMES: &[Look] = &[
    budgets::look,
    secrets::look,
    records::look,
    cursors::look,
    addresses::look,
    literals::look,
    booleans::look,
    errors::look,
    composites::look,
    waits::look,
    pages::look,
    jobs::look,
    conditions::look,
];

/// The warnings so far. The second part says which of them has these words, the third which place is named in it.
#[derive(Default)]
struct Found(
    Vec<LintWarning>,
    HashMap<(&'static str, String), usize>,
    HashSet<(usize, String)>,
);

impl Found {
    /// Adds a warning; the same words about another place become one warning with both.
    fn add(&mut self, trap: &'static str, path: &str, happens: String, advice: &'static str) {
        let Found(warnings, known, places) = self;
        let index = *known
            .entry((trap, happens.clone()))
            .or_insert(warnings.len());
        let is_new = places.insert((index, path.to_owned()));
        match warnings.get_mut(index) {
            Some(warning) if is_new => warning.paths.push(path.to_owned()),
            Some(_) => {}
            None => warnings.push(LintWarning {
                trap,
                paths: vec![path.to_owned()],
                happens,
                advice,
            }),
        }
    }
}

/// A text of the manifest, short enough for a sentence.
fn short(text: &str) -> String {
    const LONGEST: usize = 120;
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.chars().count() <= LONGEST {
        return one_line;
    }
    let cut: String = one_line.chars().take(LONGEST).collect();
    format!("{cut}...")
}

/// Whether a text stands in quotes as a whole, so that it reads as the literal of a text.
fn is_quoted(text: &str) -> bool {
    ['\'', '"'].iter().any(|quote| {
        let inner = text.strip_prefix(*quote);
        inner.is_some_and(|inner| inner.ends_with(*quote))
    })
}

/// Whether a value, or anything within it, holds one of these words as a text or part of one.
fn mentions(value: &Value, words: &[&str]) -> bool {
    match value {
        Value::String(text) => words.iter().any(|word| text.contains(word)),
        Value::Array(items) => items.iter().any(|item| mentions(item, words)),
        Value::Object(members) => members.values().any(|item| mentions(item, words)),
        _ => false,
    }
}

#[cfg(test)]
mod example;

#[cfg(test)]
mod tests {
    use super::example::{manifest, traps};
    use super::*;
    use serde_json::json;

    #[test]
    fn warnings_without_end_are_taken_down_in_good_time() {
        let mut found = Found::default();
        for number in 0..100_000 {
            found.add("one", &format!("/a/{number}"), "same".to_owned(), "none");
            found.add("two", "/a", format!("other {number}"), "none");
            found.add("two", "/a", format!("other {number}"), "none");
        }
        assert_eq!((found.0.len(), found.0[0].paths.len()), (100_001, 100_000));
        assert_eq!(found.0[1].paths, ["/a"]);
    }

    #[test]
    fn a_good_manifest_has_nothing_to_warn_of() {
        assert_eq!(lint("demo", &manifest(json!({}))), LintReport::default());
    }

    #[test]
    fn every_problem_is_named_and_traps_besides() {
        let report = lint(
            "demo",
            &manifest(json!({
                "streams": [{"retriever": {
                    "requester": {
                        "path": "{{ unknown }}",
                        "error_handler": {"type": "CustomErrorHandler"}
                    },
                    "record_selector": {"record_filter": {"type": "RecordFilter", "condition": "{{ record.a | nonsense }}"}},
                }}],
                "api_budget": null,
            })),
        );
        let paths: Vec<&str> = report
            .problems
            .iter()
            .map(|problem| problem.path.as_str())
            .collect();
        for path in [
            "/streams/0/retriever/requester/path",
            "/streams/0/retriever/requester/error_handler",
            "/streams/0/retriever/record_selector/record_filter/condition",
        ] {
            assert!(paths.contains(&path), "{path}: {paths:?}");
        }
        assert_eq!(report.warnings[0].trap, "no-budget");
    }

    #[test]
    fn the_same_words_about_several_places_are_one_warning() {
        let mut whole: Value = serde_json::from_str(&manifest(json!({
            "streams": [{"retriever": {"requester": {"path": "/a//b"}}}],
        })))
        .unwrap();
        let mut second = whole["streams"][0].clone();
        second["name"] = json!("others");
        whole["streams"].as_array_mut().unwrap().push(second);
        let report = lint("demo", &whole.to_string());
        assert_eq!(report.warnings.len(), 1, "{report:?}");
        assert_eq!(
            report.warnings[0].paths,
            [
                "/streams/0/retriever/requester/path",
                "/streams/1/retriever/requester/path"
            ]
        );
    }

    #[test]
    fn no_manifest_is_a_problem_and_no_panic() {
        for text in [
            "",
            "[",
            "streams: 5",
            "type: DeclarativeSource\nstreams: [5, {type: [x]}]",
        ] {
            assert!(!lint("demo", text).problems.is_empty(), "{text:?}");
        }
        assert!(traps(json!({"streams": [{"retriever": {"paginator": 5}}]})).is_empty());
    }
}
