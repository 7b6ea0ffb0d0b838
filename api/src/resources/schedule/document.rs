//! A schedule as a document: what is stored in the form that people write, for changes of a part and for comparing.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use syncline_shared::db::schedule::Schedule;
use syncline_shared::schedule::Policy;

use super::{PolicyView, Resolved, ScheduleInput, written_target};
use crate::resources::retry::RetryView;

/// The fields that choose a trigger: a change that gives one of them replaces what was chosen before.
const TRIGGER: [&str; 6] = [
    "trigger",
    "cron",
    "every_seconds",
    "run_at",
    "after",
    "preset",
];

/// A stored schedule as people write it. It can be read again, as far as what it names still exists.
pub fn stored_document(stored: &Schedule) -> Value {
    let after = stored
        .after_key
        .as_ref()
        .map(|key| json!({"schedule": key, "when": stored.after_outcome}));
    document(
        json!({
            "key": stored.key, "name": stored.name, "trigger": stored.trigger, "cron": stored.cron, "zone": stored.zone,
            "every_seconds": stored.every_seconds, "anchor": stored.anchor, "run_at": stored.run_at, "after": after,
            "target": written_target(stored), "streams": stored.streams, "kind": stored.kind, "page": stored.page,
            "priority": stored.priority, "retry": RetryView::from(stored.retry()),
            "time_limit_seconds": stored.time_limit_seconds,
            "inbound_trigger": {"debounce_seconds": stored.debounce_seconds}, "enabled": stored.enabled,
        }),
        // One that is not understood is replaced by whatever is saved.
        stored.policy().unwrap_or_default(),
    )
}

/// The same of a schedule that is to be saved in its place. What is the same is written the same: an id names the same as a key.
pub fn wanted_document(
    input: &ScheduleInput,
    resolved: &Resolved,
    anchor: Option<DateTime<Utc>>,
    stored: &Schedule,
) -> Value {
    let target = if resolved.target.is_that_of(stored) {
        written_target(stored)
    } else {
        json!(input.target)
    };
    let followed = resolved.after.map(|(id, _)| id);
    let after = input.when.after.as_ref().map(|after| {
        let key = stored
            .after_key
            .as_ref()
            .filter(|_| followed == stored.after_schedule_id);
        json!({"schedule": key.unwrap_or(&after.schedule), "when": after.when})
    });
    document(
        json!({
            "key": input.key, "name": input.name, "trigger": input.when.trigger, "cron": input.when.cron,
            "zone": input.when.zone, "every_seconds": input.when.every_seconds, "anchor": anchor,
            "run_at": input.when.run_at, "after": after, "target": target, "streams": input.streams, "kind": input.kind,
            "page": input.page, "priority": input.priority, "retry": input.retry,
            "time_limit_seconds": input.time_limit_seconds, "inbound_trigger": input.inbound_trigger,
            "enabled": input.enabled,
        }),
        input.policy.into(),
    )
}

fn document(mut fields: Value, policy: Policy) -> Value {
    // Texts and numbers, so this cannot fail.
    let policy = serde_json::to_value(PolicyView::from(policy)).unwrap_or_default();
    merge(&mut fields, &policy);
    fields
}

/// Merges a change into a document (RFC 7396): null takes a member away.
pub fn merge(document: &mut Value, change: &Value) {
    let Value::Object(changes) = change else {
        *document = change.clone();
        return;
    };
    if !document.is_object() {
        *document = json!({});
    }
    let Value::Object(members) = document else {
        return;
    };
    for (name, change) in changes {
        if change.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}

/// Merges a change into a schedule's document. Another trigger or target takes the place of the one before, without it having to be taken
/// away by null.
pub fn merge_schedule(document: &mut Value, change: &Value) {
    let chosen = |name: &&str| change.get(*name).is_some_and(|value| !value.is_null());
    let chosen: Vec<&str> = TRIGGER.iter().copied().filter(chosen).collect();
    if let Value::Object(members) = document
        && !chosen.is_empty()
    {
        let stays_interval = chosen == ["every_seconds"];
        for name in TRIGGER.iter().filter(|name| !chosen.contains(name)) {
            members.remove(*name);
        }
        if !stays_interval {
            members.remove("anchor");
        }
    }
    if let Value::Object(members) = document
        && change.get("target").is_some()
    {
        members.remove("target");
    }
    merge(document, change);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_takes_away_and_objects_are_merged() {
        let mut document = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [1]});
        merge(
            &mut document,
            &json!({"a": null, "b": {"c": 4}, "e": [2], "f": {"g": null}}),
        );
        assert_eq!(document, json!({"b": {"c": 4, "d": 3}, "e": [2], "f": {}}));
    }

    #[test]
    fn another_target_takes_the_place_of_the_one_before() {
        let mut document = json!({"target": {"business": "acme"}, "priority": 3});
        let change = json!({"target": {"connection": "acme-g2a"}});
        merge_schedule(&mut document, &change);
        assert_eq!(
            document,
            json!({"target": {"connection": "acme-g2a"}, "priority": 3})
        );
    }

    #[test]
    fn another_trigger_takes_the_place_of_the_one_before() {
        let stored =
            json!({"trigger": "interval", "every_seconds": 60, "anchor": "x", "zone": "UTC"});
        let merged = |change: Value| {
            let mut document = stored.clone();
            merge_schedule(&mut document, &change);
            document
        };
        assert_eq!(
            merged(json!({"cron": "@daily"})),
            json!({"cron": "@daily", "zone": "UTC"})
        );
        assert_eq!(
            merged(json!({"every_seconds": 30})),
            json!({"every_seconds": 30, "anchor": "x", "zone": "UTC"})
        );
        assert_eq!(merged(json!({"zone": "Asia/Tokyo"}))["every_seconds"], 60);
    }
}
