//! `config_normalization_rules`: what becomes of a config before anything else looks at it, and what it must be like then.
//!
//! Migrations and transformations are applied to a copy, anew for each read; the stored config stays as people wrote it. The reference
//! writes migrated configs back.

use jsonschema::Validator;
use serde_json::{Map, Value};

use crate::error::ConfigProblem;
use crate::expr::{Place, Scope, Template};
use crate::load::component::{Component, Problems};
use crate::record::{AddedField, Glob, globs, place};
use crate::request::value::{Field, FieldError, at, load_mapping, mapping};

const TRANSFORMATIONS: &[&str] = &["ConfigAddFields", "ConfigRemapField", "ConfigRemoveFields"];

/// The rules of a manifest, in their order.
#[derive(Debug, Default)]
pub(crate) struct ConfigRules {
    rules: Vec<Rule>,
    checks: Vec<ConfigCheck>,
}

#[derive(Debug)]
enum Rule {
    Add {
        fields: Vec<AddedField>,
        condition: Option<Template>,
    },
    Remap {
        path: Vec<Template>,
        map: Vec<(Template, Field)>,
    },
    Remove {
        paths: Vec<Glob>,
        condition: Option<Template>,
    },
}

/// `DpathValidator` with `ValidateAdheresToSchema`.
#[derive(Debug)]
struct ConfigCheck {
    path: Glob,
    /// For people: the path as it is written.
    place: String,
    validator: Validator,
}

impl ConfigRules {
    pub(crate) fn load(spec: &Component<'_>, problems: &mut Problems) -> ConfigRules {
        let mut loaded = ConfigRules::default();
        let rules = match spec.get("config_normalization_rules") {
            None => return loaded,
            Some(rules @ Value::Object(_)) => rules,
            Some(_) => {
                let path = spec.path_of("config_normalization_rules");
                problems.add(path, "a mapping is needed here");
                return loaded;
            }
        };
        let path = spec.path_of("config_normalization_rules");
        let members = [
            "type",
            "config_migrations",
            "transformations",
            "validations",
            "$parameters",
        ];
        let Some(rules) = spec.part(
            rules,
            path,
            "config_normalization_rules",
            &members,
            problems,
        ) else {
            return loaded;
        };
        for migration in rules.children("config_migrations", &["ConfigMigration"], problems) {
            for rule in migration.children("transformations", TRANSFORMATIONS, problems) {
                loaded.rules.extend(Rule::load(&rule, problems));
            }
        }
        for rule in rules.children("transformations", TRANSFORMATIONS, problems) {
            loaded.rules.extend(Rule::load(&rule, problems));
        }
        for check in rules.children("validations", &["DpathValidator"], problems) {
            loaded.checks.extend(ConfigCheck::load(&check, problems));
        }
        loaded
    }

    /// The config as the manifest wants it.
    pub(crate) fn apply(&self, config: &Value) -> Result<Value, ConfigProblem> {
        let mut normalised = config.clone();
        if let Value::Object(members) = &mut normalised
            && !members.is_empty()
        {
            for rule in &self.rules {
                rule.apply(members).map_err(|error| ConfigProblem {
                    pointer: String::new(),
                    message: format!(
                        "the rule at {} cannot be applied to the config: {}",
                        error.path, error.error
                    ),
                })?;
            }
        }
        Ok(normalised)
    }

    /// What is wrong with a config that has been normalised. Never shows a value.
    pub(crate) fn problems(&self, config: &Value) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        let Value::Object(members) = config else {
            return problems;
        };
        for check in &self.checks {
            let is_wrong = check.path.find(members).into_iter().any(|value| {
                // JSON within a text is meant as such.
                match value.as_str().map(serde_json::from_str::<Value>) {
                    Some(Ok(inner)) => !check.validator.is_valid(&inner),
                    Some(Err(_)) => true,
                    None => !check.validator.is_valid(value),
                }
            });
            if is_wrong {
                problems.push(ConfigProblem {
                    pointer: check.place.clone(),
                    message: "the value does not fit the schema that the connector checks it by"
                        .to_owned(),
                });
            }
        }
        problems
    }
}

impl Rule {
    fn load(component: &Component<'_>, problems: &mut Problems) -> Option<Rule> {
        component.refuse(&[], &[], problems);
        let condition = |place: Place, problems: &mut Problems| {
            component
                .template("condition", place, problems)
                .filter(|condition| condition.constant() != Some(""))
        };
        match component.kind {
            "ConfigAddFields" => Some(Rule::Add {
                fields: AddedField::load_all(component, Place::CONFIG, problems),
                condition: condition(Place::CONFIG_FIELD_CONDITION, problems),
            }),
            "ConfigRemapField" => {
                let place = component.path_of("field_path");
                let mut path = Vec::new();
                match component.get("field_path") {
                    Some(Value::Array(steps)) if !steps.is_empty() => {
                        path = component.steps_of(steps, &place, problems);
                    }
                    _ => problems.add(place, "a list of names is needed here"),
                }
                if component.get("map").is_none() {
                    component.missing("map", problems);
                }
                Some(Rule::Remap {
                    path,
                    map: load_mapping(component, "map", Place::CONFIG, problems),
                })
            }
            _ => Some(Rule::Remove {
                paths: globs(component, "field_pointers", problems)?,
                condition: condition(Place::CONFIG, problems),
            }),
        }
    }

    fn apply(&self, config: &mut Map<String, Value>) -> Result<(), FieldError> {
        match self {
            Rule::Add { fields, condition } => {
                for field in fields {
                    let whole = Value::Object(config.clone());
                    let scope = Scope::of_config(&whole);
                    if let Some(value) = field.value_in(&scope, condition.as_ref())? {
                        place::set(config, field.path(), value)
                            .map_err(|message| field.failed(message))?;
                    }
                }
                Ok(())
            }
            Rule::Remap { path, map } => {
                let whole = Value::Object(config.clone());
                let scope = Scope::of_config(&whole);
                let text = |step: &Template| step.text(&scope).map_err(|error| at(step, error));
                let path: Vec<String> = path.iter().map(text).collect::<Result<_, _>>()?;
                let map = mapping(map, &scope)?;
                let Some((last, parents)) = path.split_last() else {
                    return Ok(());
                };
                let mut members = config;
                for parent in parents {
                    match members.get_mut(parent) {
                        Some(Value::Object(inner)) => members = inner,
                        _ => return Ok(()),
                    }
                }
                if let Some(value) = members.get_mut(last)
                    && let Some(mapped) = value.as_str().and_then(|text| map.get(text))
                {
                    *value = mapped.clone();
                }
                Ok(())
            }
            Rule::Remove { paths, condition } => {
                let applies = match condition {
                    None => true,
                    Some(condition) => {
                        let whole = Value::Object(config.clone());
                        condition
                            .condition(&Scope::of_config(&whole))
                            .map_err(|error| at(condition, error))?
                    }
                };
                if applies {
                    for path in paths {
                        path.remove(config, &mut |_| Ok::<_, FieldError>(true))?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl ConfigCheck {
    fn load(component: &Component<'_>, problems: &mut Problems) -> Option<ConfigCheck> {
        component.refuse(&[], &[], problems);
        let place = component.path_of("field_path");
        let steps: Option<Vec<String>> = component
            .get("field_path")
            .and_then(Value::as_array)
            .and_then(|steps| {
                let text = |step: &Value| step.as_str().map(str::to_owned);
                steps.iter().map(text).collect()
            });
        let Some(steps) = steps.filter(|steps| !steps.is_empty()) else {
            problems.add(place, "a list of names is needed here");
            return None;
        };
        if steps.iter().any(|step| step.contains("{{")) {
            problems.add(place, "expressions are not supported here");
            return None;
        }
        let path = match Glob::compile(&steps) {
            Ok(path) => path,
            Err(message) => {
                problems.add(place, message);
                return None;
            }
        };
        let strategy = component.child(
            "validation_strategy",
            &["ValidateAdheresToSchema"],
            problems,
        )?;
        let place = strategy.path_of("base_schema");
        let schema = match strategy.get("base_schema") {
            Some(schema @ Value::Object(_)) => Some(schema.clone()),
            // Some manifests put quotes around it once more.
            Some(Value::String(text)) => serde_json::from_str(text.trim().trim_matches('\'')).ok(),
            _ => None,
        };
        let validator = schema.and_then(|schema| jsonschema::draft7::new(&schema).ok());
        let Some(validator) = validator else {
            problems.add(place, "a JSON schema is needed here, without expressions");
            return None;
        };
        Some(ConfigCheck {
            path,
            place: format!("/{}", steps.join("/")),
            validator,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn load(rules: &Value) -> (ConfigRules, Problems) {
        let spec = json!({"type": "Spec", "config_normalization_rules": rules});
        let mut problems = Problems::default();
        let spec = Component::read(&spec, "", &["Spec"], &mut problems).unwrap();
        let rules = ConfigRules::load(&spec, &mut problems);
        (rules, problems)
    }

    #[test]
    fn configs_become_what_the_reference_makes_of_them() {
        let cases: Value =
            serde_json::from_str(include_str!("../tests/golden/config_rules.json")).unwrap();
        let mut wrong = Vec::new();
        for case in cases.as_array().unwrap() {
            let (rules, problems) = load(&case["rules"]);
            assert!(problems.0.is_empty(), "{case}: {:?}", problems.0);
            let found = rules
                .apply(&case["config"])
                .map_err(|problem| vec![problem]);
            let found = found.and_then(|config| match rules.problems(&config) {
                problems if problems.is_empty() => Ok(config),
                problems => Err(problems),
            });
            let is_same = match &found {
                Ok(found) => case.get("ok") == Some(found),
                Err(_) => case.get("error").is_some(),
            };
            if !is_same {
                wrong.push(format!("{case}: {found:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn rules_that_cannot_work_are_refused_with_their_place() {
        for (rules, path) in [
            (
                json!({"validations": [{"type": "PredicateValidator"}]}),
                "/validations/0",
            ),
            (
                json!({"transformations": [{"type": "ConfigRemapField", "field_path": ["a"]}]}),
                "/transformations/0/map",
            ),
            (
                json!({"transformations": [{"type": "ConfigRemoveFields"}]}),
                "/transformations/0/field_pointers",
            ),
            (json!({"other": 1}), "/other"),
        ] {
            let (_, problems) = load(&rules);
            assert_eq!(
                problems.0[0].path,
                format!("/config_normalization_rules{path}"),
                "{rules}"
            );
        }
    }
}
