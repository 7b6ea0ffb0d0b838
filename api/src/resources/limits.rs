//! A connection's overrides of its platform's budgets: `{"<budget>": {"limit": 100, "per_seconds": 1}}`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use syncline_engine::Connector;
use utoipa::ToSchema;

use super::{Fields, Notes};

/// Longest window of a limit: 366 days.
const MAX_SECONDS: i64 = 366 * 24 * 3600;
/// The database counts calls in 32 bits.
const MAX_CALLS: i64 = i32::MAX as i64;

/// At most so many calls within so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Limit {
    /// Calls, at least 1.
    #[schema(minimum = 1, example = 100)]
    pub limit: i64,
    /// Length of the window in seconds, at least 1.
    #[schema(minimum = 1, example = 1)]
    pub per_seconds: i64,
}

/// Limits by the name of the budget.
pub type Limits = BTreeMap<String, Limit>;

/// Reads limits that stand at `pointer`.
pub fn read(value: &Value, pointer: &str, notes: &mut Notes) -> Limits {
    let mut limits = Limits::new();
    let Value::Object(members) = value else {
        let kind = super::fields::kind(value);
        notes.refuse(
            pointer,
            "type",
            format!("limits must be an object, not {kind}"),
        );
        return limits;
    };
    for (name, value) in members {
        let at = format!("{pointer}/{}", super::fields::escape(name));
        let Some(mut fields) = Fields::of(value, at, notes) else {
            continue;
        };
        let limit = required(&mut fields, "limit", MAX_CALLS, notes);
        let per_seconds = required(&mut fields, "per_seconds", MAX_SECONDS, notes);
        fields.finish(notes);
        limits.insert(name.clone(), Limit { limit, per_seconds });
    }
    limits
}

fn required(fields: &mut Fields<'_>, name: &'static str, to: i64, notes: &mut Notes) -> i64 {
    let before = notes.len();
    let number = fields.integer(name, 1, to, notes);
    if number.is_none() && notes.len() == before {
        notes.refuse(fields.at(name), "required", format!("{name} is required"));
    }
    number.unwrap_or(1)
}

/// Notes every limit whose budget the connector does not have.
pub fn check(limits: &Limits, connector: &Connector, pointer: &str, notes: &mut Notes) {
    let known: Vec<_> = connector
        .budgets()
        .iter()
        .map(|budget| budget.name.as_str())
        .collect();
    for name in limits.keys() {
        if !known.contains(&name.as_str()) {
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            notes.refuse(
                format!("{pointer}/{}", super::fields::escape(name)),
                "unknown-budget",
                format!(
                    "platform {:?} has no budget {name:?}; it has: {known}",
                    connector.platform()
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn limits_need_both_numbers_of_at_least_one() {
        let mut notes = Notes::default();
        let value = json!({"a": {"limit": 5, "per_seconds": 1}, "b": {"limit": 0}, "c": 5});
        let limits = read(&value, "/limits", &mut notes);
        assert_eq!(
            limits.get("a"),
            Some(&Limit {
                limit: 5,
                per_seconds: 1
            })
        );
        let pointers: Vec<_> = notes
            .into_problems()
            .into_iter()
            .map(|p| p.pointer)
            .collect();
        assert_eq!(
            pointers,
            ["/limits/b/limit", "/limits/b/per_seconds", "/limits/c"]
        );
    }
}
