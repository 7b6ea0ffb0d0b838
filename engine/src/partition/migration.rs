//! `LegacyToPerPartitionStateMigration`: a state of older connectors, by the parent's id, becomes one of the language.
//!
//! The entries are those of parents that have no partitions themselves, so each partition goes on from where the older connector stopped.
//! In the reference they lack the `parent_slice`, so no partition starts from them: all is read from the start once more. The older state
//! knows ids as texts; a partition whose id is a number finds its entry all the same
//! ([`PartitionStates`](super::PartitionStates)).

use serde_json::{Map, Value, json};

use super::Routers;
use crate::expr::{Scope, Template};
use crate::load::component::{Component, Problems};
use crate::request::value::{FieldError, at};

/// The migration of a stream's state.
#[derive(Debug, Clone)]
pub(crate) struct LegacyState {
    partition_field: Template,
}

impl LegacyState {
    /// The field `state_migrations` of a stream.
    pub(crate) fn load(
        stream: &Component<'_>,
        routers: Option<&Routers>,
        problems: &mut Problems,
    ) -> Option<LegacyState> {
        let kinds = &["LegacyToPerPartitionStateMigration"];
        let migrations = stream.children("state_migrations", kinds, problems);
        let migration = migrations.first()?;
        let field = routers.and_then(Routers::field_of_only_parent);
        if field.is_none() || stream.get("incremental_sync").is_none() {
            let message = "the migration needs an incremental_sync, and a SubstreamPartitionRouter with one parent";
            problems.add(&migration.path, message);
        }
        Some(LegacyState {
            partition_field: field?.clone(),
        })
    }

    /// The state in the language's form; `None` if it is no state of the older kind.
    pub(crate) fn migrated(
        &self,
        state: &Map<String, Value>,
        cursor_field: &str,
        scope: &Scope<'_>,
    ) -> Result<Option<Value>, FieldError> {
        let is_legacy = !state.is_empty()
            && !state.contains_key("states")
            && state.values().all(|value| {
                let members = value.as_object();
                members.is_some_and(|of| of.len() == 1 && of.contains_key(cursor_field))
            });
        if !is_legacy {
            return Ok(None);
        }
        let field = &self.partition_field;
        let field = field.text(scope).map_err(|error| at(field, error))?;
        let entry = |(id, cursor): (&String, &Value)| json!({ "partition": { field.as_str(): id, "parent_slice": {} }, "cursor": cursor });
        let states: Vec<Value> = state.iter().map(entry).collect();
        Ok(Some(json!({ "states": states })))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::expr::Place;

    #[test]
    fn a_state_by_ids_becomes_one_by_partitions_and_others_stay() {
        let parameters = Arc::new(json!({}));
        let field = Template::compile("{{ config.field }}", "", &parameters, Place::CONFIG);
        let legacy = LegacyState {
            partition_field: field.unwrap(),
        };
        let config = json!({"field": "id"});
        let scope = Scope::of_config(&config);
        let migrated = |state: Value| {
            let state = state.as_object().cloned().unwrap();
            legacy.migrated(&state, "at", &scope).unwrap()
        };
        assert_eq!(
            migrated(json!({"7": {"at": "2024"}, "8": {"at": "2025"}})),
            Some(json!({"states": [
                {"partition": {"id": "7", "parent_slice": {}}, "cursor": {"at": "2024"}},
                {"partition": {"id": "8", "parent_slice": {}}, "cursor": {"at": "2025"}},
            ]}))
        );
        for other in [
            json!({}),
            json!({"at": "2024"}),
            json!({"states": []}),
            json!({"7": {"at": "2024", "more": 1}}),
            json!({"7": {"other": "2024"}}),
        ] {
            assert_eq!(migrated(other.clone()), None, "{other}");
        }
    }
}
