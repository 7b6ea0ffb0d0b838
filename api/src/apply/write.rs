//! Compares each object of a plan with what is stored, and writes what differs.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use syncline_shared::db::DbConnection;
use syncline_shared::db::business::{self, Business};
use syncline_shared::db::connection::{self, Connection};
use syncline_shared::db::{platform, schedule};
use syncline_shared::secret::Cipher;

use super::plan::Plan;
use super::report::{Change, FieldChange, Kind, ObjectReport};
use super::{ApplyError, place};
use crate::error::ApiError;
use crate::resources::business::BusinessInput;
use crate::resources::connection::CheckedConnection;
use crate::resources::fields::escape;
use crate::resources::lookup::{
    anchor_of, create_connection, create_schedule, replace_schedule, resolve_schedule,
    stored_secrets,
};
use crate::resources::platform::PlatformInput;
use crate::resources::retry::RetryView;
use crate::resources::schedule::{ScheduleInput, stored_document, wanted_document};
use crate::resources::{Notes, accept, secrets};
use syncline_engine::Catalog;

/// Writes a plan: businesses before connections, schedules last, so that whatever is named is there.
pub(super) async fn write(
    db: &mut DbConnection,
    cipher: &Cipher,
    catalog: &Catalog,
    plan: &Plan,
) -> Result<Vec<ObjectReport>, ApplyError> {
    let mut objects = Vec::new();
    for input in &plan.platforms {
        let change = write_platform(db, input).await?;
        objects.push(ObjectReport {
            kind: Kind::Platform,
            key: input.name.clone(),
            change,
        });
    }
    for input in &plan.businesses {
        let change = write_business(db, input).await?;
        objects.push(ObjectReport {
            kind: Kind::Business,
            key: input.key.clone(),
            change,
        });
    }
    for checked in &plan.connections {
        let change = write_connection(db, cipher, checked).await?;
        objects.push(ObjectReport {
            kind: Kind::Connection,
            key: checked.input.key.clone(),
            change,
        });
    }
    for input in &plan.schedules {
        let change = write_schedule(db, catalog, input).await?;
        objects.push(ObjectReport {
            kind: Kind::Schedule,
            key: input.key.clone(),
            change,
        });
    }
    Ok(objects)
}

fn changed(fields: Vec<FieldChange>) -> Change {
    if fields.is_empty() {
        Change::Same
    } else {
        Change::Changed(fields)
    }
}

/// A platform's settings are there as long as its connector is: they are changed, never created.
async fn write_platform(
    db: &mut DbConnection,
    input: &PlatformInput,
) -> Result<Change, ApplyError> {
    let mut fields = Vec::new();
    if let Some(retry) = input.settings.retry {
        let stored = RetryView::from(platform::find_retry(db, &input.name).await?);
        let found = diff(&json!({"retry": stored}), &json!({"retry": retry}));
        if !found.is_empty() {
            platform::set_retry(db, &input.name, &retry.into()).await?;
        }
        fields.extend(found);
    }
    if let Some(limits) = &input.settings.limits {
        let all = platform::list_limits(db).await?;
        let stored = all.into_iter().find(|(name, _)| *name == input.name);
        let stored = stored.map(|(_, limits)| limits);
        let found = diff(&json!({"limits": stored}), &json!({"limits": limits}));
        if !found.is_empty() {
            platform::set_limits(db, &input.name, limits).await?;
        }
        fields.extend(found);
    }
    Ok(changed(fields))
}

async fn write_business(
    db: &mut DbConnection,
    input: &BusinessInput,
) -> Result<Change, ApplyError> {
    let stored = business::find(db, &input.key)
        .await?
        .filter(|found| found.key == input.key);
    let Some(stored) = stored else {
        let made = business::create(db, &input.key, &input.name).await?;
        business::update(db, made.id, None, Some(input.weight)).await?;
        return Ok(Change::Created);
    };
    let fields = diff(
        &json!({"name": stored.name, "weight": stored.weight}),
        &json!({"name": input.name, "weight": input.weight}),
    );
    if !fields.is_empty() {
        business::update(db, stored.id, Some(&input.name), Some(input.weight)).await?;
    }
    Ok(changed(fields))
}

async fn write_connection(
    db: &mut DbConnection,
    cipher: &Cipher,
    checked: &CheckedConnection,
) -> Result<Change, ApplyError> {
    let input = &checked.input;
    let owner = business::find(db, &input.business).await?;
    let owner = owner.ok_or_else(|| ApiError::unknown("business", &input.business))?;
    let stored = connection::find(db, &input.key)
        .await?
        .filter(|found| found.key == input.key);
    let Some(stored) = stored else {
        create_connection(db, cipher, checked, owner.id).await?;
        return Ok(Change::Created);
    };
    let mut fields = diff(
        &stored_connection(&stored),
        &wanted_connection(checked, &owner),
    );
    if !fields.is_empty() {
        connection::update(db, stored.id, &checked.draft(owner.id)).await?;
    }
    let known = stored_secrets(db, cipher, &stored)
        .await
        .map_err(|error| match error {
            ApiError::Internal(error) => ApplyError::Failed(
                error.context(format!("the credentials of connection {:?}", stored.key)),
            ),
            other => other.into(),
        })?;
    let differing = differing_secrets(&known, &checked.secrets);
    if !differing.is_empty() {
        let sealed =
            secrets::seal(cipher, stored.id.0, &checked.secrets).map_err(ApiError::from)?;
        connection::set_credentials(db, stored.id, sealed.as_ref()).await?;
        fields.extend(differing.into_iter().map(FieldChange::secret));
    }
    Ok(changed(fields))
}

fn stored_connection(stored: &Connection) -> Value {
    json!({
        "name": stored.name, "business": stored.business_key, "config": stored.config,
        "base_url": stored.base_url, "streams": stored.streams, "enabled": stored.enabled,
        "limits": stored.limits, "retry": stored.retry,
    })
}

fn wanted_connection(checked: &CheckedConnection, owner: &Business) -> Value {
    let input = &checked.input;
    json!({
        "name": input.name, "business": owner.key, "config": checked.config,
        "base_url": input.base_url, "streams": input.streams, "enabled": input.enabled,
        "limits": checked.limits, "retry": checked.retry,
    })
}

fn differing_secrets(stored: &Map<String, Value>, wanted: &Map<String, Value>) -> Vec<String> {
    let (stored, wanted) = (json!({"config": stored}), json!({"config": wanted}));
    diff(&stored, &wanted)
        .into_iter()
        .map(|change| change.field)
        .collect()
}

async fn write_schedule(
    db: &mut DbConnection,
    catalog: &Catalog,
    input: &ScheduleInput,
) -> Result<Change, ApplyError> {
    // Locked before it is read, so that a tick that fires meanwhile is not undone.
    let stored = schedule::lock(db, &input.key).await?;
    let mut notes = Notes::default();
    let resolved = resolve_schedule(db, input, stored.as_ref(), catalog, "", &mut notes).await?;
    accept(notes)?;
    let Some(resolved) = resolved else {
        return Ok(Change::Same);
    };
    let now = syncline_shared::db::now(db).await?;
    let Some(stored) = stored else {
        create_schedule(db, input, &resolved, now).await?;
        return Ok(Change::Created);
    };
    let anchor = anchor_of(input, &stored, now);
    let fields = diff(
        &stored_document(&stored),
        &wanted_document(input, &resolved, anchor, &stored),
    );
    if fields.is_empty() {
        return Ok(Change::Same);
    }
    replace_schedule(db, &stored, input, &resolved, now).await?;
    Ok(changed(fields))
}

/// The leaves that differ, in the order of their names.
fn diff(old: &Value, new: &Value) -> Vec<FieldChange> {
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    leaves(old, String::new(), &mut before);
    leaves(new, String::new(), &mut after);
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut changes = Vec::new();
    for name in names {
        let value =
            |of: &BTreeMap<String, &Value>| of.get(name).map_or(Value::Null, |v| (*v).clone());
        let (old, new) = (value(&before), value(&after));
        if !equal(&old, &new) {
            changes.push(FieldChange::told(place(name), old, new));
        }
    }
    changes
}

fn leaves<'v>(value: &'v Value, pointer: String, found: &mut BTreeMap<String, &'v Value>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                leaves(member, format!("{pointer}/{}", escape(name)), found);
            }
        }
        // An empty object has nothing to compare.
        Value::Object(_) | Value::Null => {}
        leaf => {
            found.insert(pointer, leaf);
        }
    }
}

/// Numbers are compared by value: the database writes 1e2 as 100.
fn equal(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Number(one), Value::Number(other)) => {
            let whole = |number: &serde_json::Number| number.to_string().parse::<i128>().ok();
            match (whole(one), whole(other)) {
                (Some(one), Some(other)) => one == other,
                _ => one.as_f64().is_some() && one.as_f64() == other.as_f64(),
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        _ => old == new,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_leaves_that_differ_are_changes() {
        let old = json!({"name": "a", "base_url": null, "config": {"x": 1, "y": {"z": [1]}}, "limits": {}});
        let new = json!({"name": "b", "base_url": "http://h", "config": {"y": {"z": [1]}, "w": 2}, "limits": {}});
        let changes: Vec<_> = diff(&old, &new).iter().map(ToString::to_string).collect();
        assert_eq!(
            changes,
            [
                "base_url  unset -> \"http://h\"",
                "config.w  unset -> 2",
                "config.x  1 -> unset",
                "name  \"a\" -> \"b\"",
            ]
        );
    }

    #[test]
    fn numbers_are_the_same_however_they_are_written() {
        let old: Value = serde_json::from_str(r#"{"a": 100, "b": [1.50]}"#).unwrap();
        let new: Value = serde_json::from_str(r#"{"a": 1e2, "b": [1.5]}"#).unwrap();
        assert_eq!(diff(&old, &new), []);
        // Two neighbours that are one as 64-bit floats.
        let (old, new) = (
            json!({"a": 9_007_199_254_740_992_u64}),
            json!({"a": 9_007_199_254_740_993_u64}),
        );
        assert_eq!(diff(&old, &new).len(), 1);
    }

    #[test]
    fn differing_secrets_are_named_without_their_values() {
        let object = |value: Value| value.as_object().cloned().unwrap();
        let names = differing_secrets(
            &object(json!({"a": "1", "deep": {"b": "2"}})),
            &object(json!({"a": "1", "deep": {"b": "3"}, "c": "4"})),
        );
        assert_eq!(names, ["config.c", "config.deep.b"]);
    }
}
