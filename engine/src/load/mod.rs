//! Loading a manifest: YAML, references, types and `$parameters`, then one component after the other.

mod budget;
pub(crate) mod component;
pub(crate) mod concurrency;
pub(crate) mod model;
mod parameters;
pub(crate) mod refs;
mod retriever;
pub(crate) mod stream;
mod unified;
mod yaml;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::config_rules::ConfigRules;
use crate::error::{LoadErrors, LoadProblem};
use crate::expr::{Place, Template};
use crate::job::MOST_AT_A_TIME;
use component::{Component, Problems};
use concurrency::Concurrency;
use model::Source;
use refs::Resolved;

/// The largest public manifest has 1.25 MB.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// What may stand at the top of a manifest, and is read.
const READ: &[&str] = &[
    "type",
    "check",
    "streams",
    "spec",
    "concurrency_level",
    "api_budget",
    "max_concurrent_async_job_count",
];
/// What may stand there and changes nothing.
const IDLE: &[&str] = &[
    "version",
    "schemas",
    "definitions",
    "metadata",
    "description",
];
/// What the language has there and the engine does not do.
const REFUSED: &[&str] = &["dynamic_streams", "stream_groups"];

pub(crate) fn load(platform: &str, yaml: &str) -> Result<Source, LoadErrors> {
    let mut problems = Problems::default();
    let source = build(platform, yaml, &mut problems);
    match source {
        Some(source) if problems.0.is_empty() => Ok(source),
        _ => Err(LoadErrors {
            platform: platform.to_owned(),
            problems: problems.told(),
        }),
    }
}

fn build(platform: &str, yaml: &str, problems: &mut Problems) -> Option<Source> {
    let resolved = resolved(yaml, problems)?;
    let component = Component::read(&resolved, "", &["DeclarativeSource"], problems)?;
    load_source(platform, &component, problems)
}

/// The manifest with its references, types and parameters written out.
pub(crate) fn resolved(yaml: &str, problems: &mut Problems) -> Option<Value> {
    let written = referenced(yaml, problems)?;
    complete(written.members, problems)
}

/// The manifest with its references written out, and nothing else.
pub(crate) fn referenced(yaml: &str, problems: &mut Problems) -> Option<Resolved> {
    if yaml.len() > MAX_BYTES {
        problems.add(
            "",
            format!("the manifest has more than {MAX_BYTES} bytes, which is the limit"),
        );
        return None;
    }
    let root = match yaml::read(yaml) {
        Ok(root) => root,
        Err(error) => {
            problems.add("", format!("the manifest is no readable YAML: {error}"));
            return None;
        }
    };
    let Value::Object(members) = &root else {
        problems.add(
            "",
            "a manifest is a mapping that begins with \"type: DeclarativeSource\"",
        );
        return None;
    };
    check_top_level(members, problems);
    match refs::resolve(&root, READ) {
        Ok(resolved) => Some(resolved),
        Err(LoadProblem { path, message }) => {
            problems.add(path, message);
            None
        }
    }
}

/// Adds the types that were left out, and hands parameters down.
pub(crate) fn complete(mut members: Map<String, Value>, problems: &mut Problems) -> Option<Value> {
    if let Err(LoadProblem { path, message }) = parameters::propagate(&mut members) {
        problems.add(path, message);
        return None;
    }
    Some(Value::Object(members))
}

fn check_top_level(members: &Map<String, Value>, problems: &mut Problems) {
    for (name, value) in members {
        let name = name.as_str();
        let idle = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if REFUSED.contains(&name) {
            if !idle {
                problems.add(
                    format!("/{name}"),
                    format!("the field \"{name}\" is not supported"),
                );
            }
        } else if !READ.contains(&name) && !IDLE.contains(&name) {
            let allowed = [READ, IDLE].concat().join(", ");
            problems.add(
                format!("/{name}"),
                format!("the field \"{name}\" is not known at the top; allowed: {allowed}"),
            );
        }
    }
}

fn load_source(
    platform: &str,
    component: &Component<'_>,
    problems: &mut Problems,
) -> Option<Source> {
    let mut infos = Vec::new();
    let mut streams = Vec::new();
    let jobs_at_a_time = load_job_count(component, problems);
    let components = component.children("streams", &["DeclarativeStream"], problems);
    if component
        .get("streams")
        .and_then(Value::as_array)
        .is_none_or(Vec::is_empty)
    {
        problems.add(
            "/streams",
            "a list of at least one DeclarativeStream is needed here",
        );
    }
    for stream in &components {
        if let Some((info, loaded)) = stream::load(stream, problems) {
            if infos
                .iter()
                .any(|known: &crate::connector::StreamInfo| known.name == info.name)
            {
                let message = format!("two streams have the name \"{}\"", info.name);
                problems.add(stream.path_of("name"), message);
            }
            infos.push(info);
            let mut loaded = loaded;
            if let Some(job) = &mut loaded.job {
                job.limit(jobs_at_a_time.clone());
            }
            streams.push(Arc::new(loaded));
        }
    }
    let check_streams = load_check(component, &components, problems);
    let concurrency = Concurrency::load(component, problems);
    let policies = match component.child("api_budget", &["HTTPAPIBudget"], problems) {
        Some(budget) => budget::load(&budget, problems),
        None => Vec::new(),
    };
    let (config_schema, config_rules) = load_spec(component, problems);
    let validator = jsonschema::draft7::new(&config_schema);
    let config_validator = match validator {
        Ok(validator) => validator,
        Err(error) => {
            let message = format!("this is no usable JSON schema: {error}");
            problems.add("/spec/connection_specification", message);
            return None;
        }
    };
    let mut source = Source {
        platform: platform.to_owned(),
        infos,
        streams,
        check_streams,
        config_schema,
        documentation_url: documentation_url(component),
        config_validator,
        config_rules,
        concurrency,
        budgets: Vec::with_capacity(policies.len()),
        policies: Vec::with_capacity(policies.len()),
        budget_scopes: Vec::with_capacity(policies.len()),
        budget_headers: Vec::new(),
    };
    for loaded in policies {
        for name in loaded.compiled.signals.headers() {
            if !source.budget_headers.contains(name) {
                source.budget_headers.push(name.clone());
            }
        }
        source.budgets.push(loaded.policy);
        source.policies.push(loaded.compiled);
        source.budget_scopes.push(loaded.scope);
    }
    Some(source)
}

/// How many jobs of a stream may run at a time: a number, or an expression over the config.
fn load_job_count(component: &Component<'_>, problems: &mut Problems) -> Option<Template> {
    let name = "max_concurrent_async_job_count";
    let template = component.template(name, Place::CONFIG, problems)?;
    let fits = |text: &str| {
        let number = text.trim().parse::<u64>();
        number.is_ok_and(|number| (1..=MOST_AT_A_TIME).contains(&number))
    };
    if template.constant().is_some_and(|text| !fits(text)) {
        let message = format!("a whole number from 1 to {MOST_AT_A_TIME} is needed here");
        problems.add(component.path_of(name), message);
    }
    Some(template)
}

fn load_check(
    component: &Component<'_>,
    streams: &[Component<'_>],
    problems: &mut Problems,
) -> Vec<String> {
    if component.get("check").is_none() {
        component.missing("check", problems);
    }
    let Some(check) = component.child("check", &["CheckStream"], problems) else {
        return Vec::new();
    };
    check.refuse(&["dynamic_streams_check_configs"], &[], problems);
    let path = check.path_of("stream_names");
    let Some(names) = check.get("stream_names").and_then(Value::as_array) else {
        problems.add(path, "a list of stream names is needed here");
        return Vec::new();
    };
    let known: Vec<&str> = streams
        .iter()
        .filter_map(|stream| stream.get("name").and_then(Value::as_str))
        .collect();
    let mut found = Vec::new();
    for (index, name) in names.iter().enumerate() {
        match name.as_str() {
            Some(name) if known.contains(&name) => found.push(name.to_owned()),
            _ => problems.add(
                format!("{path}/{index}"),
                format!(
                    "{name} is no stream of this manifest; it has: {}",
                    known.join(", ")
                ),
            ),
        }
    }
    found
}

fn documentation_url(component: &Component<'_>) -> Option<String> {
    let url = component.get("spec")?.get("documentation_url")?;
    url.as_str().map(str::to_owned)
}

fn load_spec(component: &Component<'_>, problems: &mut Problems) -> (Value, ConfigRules) {
    let open = json!({ "type": "object", "properties": {} });
    let Some(spec) = component.child("spec", &["Spec"], problems) else {
        return (open, ConfigRules::default());
    };
    spec.refuse(&[], &[], problems);
    let rules = ConfigRules::load(&spec, problems);
    let schema = match spec.get("connection_specification") {
        Some(schema @ Value::Object(_)) => schema.clone(),
        Some(_) => {
            problems.add(
                spec.path_of("connection_specification"),
                "a JSON schema is needed here",
            );
            open
        }
        None => {
            spec.missing("connection_specification", problems);
            open
        }
    };
    if crate::config::has_secret_without_property(&schema) {
        problems.add(
            spec.path_of("connection_specification"),
            "airbyte_secret on the config as a whole, or on members of it without a name (additionalProperties, \
             patternProperties), cannot be kept apart from its other settings; name the property that is secret",
        );
    }
    (schema, rules)
}

#[cfg(test)]
mod golden;
