//! Checks a whole document: every entry by itself, then what entries name, in the document or in the database.

use std::collections::HashMap;

use serde_json::Value;
use syncline_shared::db::{DbConnection, business, connection};

use super::{ApplyError, Document, dependencies};
use crate::resources::business::BusinessInput;
use crate::resources::connection::{CheckedConnection, ConnectionInput};
use crate::resources::lookup::{refuse_unknown, resolve_target};
use crate::resources::platform::PlatformInput;
use crate::resources::schedule::{ScheduleInput, TargetInput};
use crate::resources::{Fields, Notes};
use syncline_engine::Catalog;

/// A document without problems.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) platforms: Vec<PlatformInput>,
    pub(super) businesses: Vec<BusinessInput>,
    pub(super) connections: Vec<CheckedConnection>,
    pub(super) schedules: Vec<ScheduleInput>,
}

/// What the document declares, whether or not it is sound: entries may name it.
struct Declared {
    businesses: Vec<String>,
    /// Platforms by the connection's key.
    connections: HashMap<String, String>,
}

/// Checks a document. Fails with all of its problems.
pub(super) async fn make(
    db: &mut DbConnection,
    catalog: &Catalog,
    document: &Document,
) -> Result<Plan, ApplyError> {
    let mut notes = Notes::with_expanded(document.expanded.clone());
    let lists = read_lists(&document.root, &mut notes);
    let declared = Declared {
        businesses: texts_of(&lists.businesses, "key"),
        connections: platforms_of(&lists.connections),
    };
    let mut plan = Plan {
        platforms: Vec::new(),
        businesses: Vec::new(),
        connections: Vec::new(),
        schedules: Vec::new(),
    };
    for (at, value) in &lists.platforms {
        plan.platforms
            .extend(PlatformInput::read(value, at, catalog, &mut notes));
    }
    for (at, value) in &lists.businesses {
        plan.businesses
            .extend(BusinessInput::read(value, at, &mut notes));
    }
    for (at, value) in &lists.connections {
        if let Some(input) = ConnectionInput::read(value, at, &mut notes) {
            check_business(db, &input, at, &declared, &mut notes).await?;
            check_platform_stays(db, &input, at, &mut notes).await?;
            plan.connections
                .extend(input.check(catalog, at, &mut notes));
        }
    }
    let mut schedules = Vec::new();
    for (at, value) in &lists.schedules {
        if let Some(input) = ScheduleInput::read(value, at, &mut notes) {
            check_target(db, catalog, &input, at, &declared, &mut notes).await?;
            schedules.push((at.clone(), input));
        }
    }
    plan.schedules = dependencies::in_order(db, schedules, &mut notes).await?;
    let problems = notes.into_problems();
    if problems.is_empty() {
        Ok(plan)
    } else {
        Err(ApplyError::Problems(problems))
    }
}

type Entries<'v> = Vec<(String, &'v Value)>;

#[derive(Default)]
struct Lists<'v> {
    platforms: Entries<'v>,
    businesses: Entries<'v>,
    connections: Entries<'v>,
    schedules: Entries<'v>,
}

fn read_lists<'v>(root: &'v Value, notes: &mut Notes) -> Lists<'v> {
    let Some(mut fields) = Fields::of(root, "", notes) else {
        return Lists::default();
    };
    let lists = Lists {
        platforms: entries(&mut fields, "platforms", "name", notes),
        businesses: entries(&mut fields, "businesses", "key", notes),
        connections: entries(&mut fields, "connections", "key", notes),
        schedules: entries(&mut fields, "schedules", "key", notes),
    };
    fields.finish(notes);
    lists
}

/// The entries of a list, of which no two have the same `key`.
fn entries<'v>(
    fields: &mut Fields<'v>,
    name: &'static str,
    key: &str,
    notes: &mut Notes,
) -> Entries<'v> {
    let at = fields.at(name);
    let Some(value) = fields.value(name) else {
        return Vec::new();
    };
    let Value::Array(items) = value else {
        notes.refuse(at, "type", format!("{name} must be a list"));
        return Vec::new();
    };
    let entries: Entries<'v> = items
        .iter()
        .enumerate()
        .map(|(index, item)| (format!("{at}/{index}"), item))
        .collect();
    for (index, (at, value)) in entries.iter().enumerate() {
        let Some(text) = value.get(key).and_then(Value::as_str) else {
            continue;
        };
        let earlier = entries.iter().take(index);
        let first = earlier
            .filter(|(_, earlier)| earlier.get(key).and_then(Value::as_str) == Some(text))
            .map(|(at, _)| super::place(at))
            .next();
        if let Some(first) = first {
            notes.refuse(
                format!("{at}/{key}"),
                "repeated",
                format!("{text:?} is the {key} of {first}, too"),
            );
        }
    }
    entries
}

fn texts_of(entries: &Entries<'_>, field: &str) -> Vec<String> {
    let texts = entries
        .iter()
        .filter_map(|(_, value)| value.get(field)?.as_str());
    texts.map(str::to_owned).collect()
}

fn platforms_of(entries: &Entries<'_>) -> HashMap<String, String> {
    let text =
        |value: &Value, field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
    let pairs = entries.iter().filter_map(|(_, value)| {
        Some((
            text(value, "key")?,
            text(value, "platform").unwrap_or_default(),
        ))
    });
    pairs.collect()
}

async fn check_business(
    db: &mut DbConnection,
    input: &ConnectionInput,
    at: &str,
    declared: &Declared,
    notes: &mut Notes,
) -> Result<(), ApplyError> {
    let name = &input.business;
    if name.is_empty() || declared.businesses.contains(name) {
        return Ok(());
    }
    if business::find(db, name).await?.is_none() {
        refuse_unknown("business", name, format!("{at}/business"), notes);
    }
    Ok(())
}

/// Tables, state and credentials of a connection belong to its platform.
async fn check_platform_stays(
    db: &mut DbConnection,
    input: &ConnectionInput,
    at: &str,
    notes: &mut Notes,
) -> Result<(), ApplyError> {
    let Some(stored) = connection::find(db, &input.key).await? else {
        return Ok(());
    };
    if stored.key == input.key && !input.platform.is_empty() && stored.platform != input.platform {
        notes.refuse(
            format!("{at}/platform"),
            "platform",
            format!(
                "the connection {:?} is one of platform {:?}, which cannot change; give {:?} another key",
                input.key, stored.platform, input.platform
            ),
        );
    }
    Ok(())
}

async fn check_target(
    db: &mut DbConnection,
    catalog: &Catalog,
    input: &ScheduleInput,
    at: &str,
    declared: &Declared,
    notes: &mut Notes,
) -> Result<(), ApplyError> {
    match &input.target {
        TargetInput::Connection(name) if declared.connections.contains_key(name) => {
            let platform = declared.connections.get(name).map(String::as_str);
            input.check(platform, catalog, at, notes);
        }
        TargetInput::Business(name) if declared.businesses.contains(name) => {
            input.check(None, catalog, at, notes);
        }
        target => {
            if let Some((_, platform)) = resolve_target(db, target, at, notes).await? {
                input.check(platform.as_deref(), catalog, at, notes);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_used_twice_is_told_with_both_places() {
        let root = json!({"businesses": [{"key": "a"}, {"key": "b"}, {"key": "a"}], "colours": []});
        let mut notes = Notes::default();
        read_lists(&root, &mut notes);
        let problems = notes.into_problems();
        assert_eq!(problems[0].pointer, "/businesses/2/key");
        assert!(
            problems[0].detail.contains("businesses[0]"),
            "{}",
            problems[0].detail
        );
        assert_eq!(problems[1].pointer, "/colours");
    }

    #[test]
    fn a_document_that_is_no_mapping_is_refused() {
        let mut notes = Notes::default();
        read_lists(&json!(["a"]), &mut notes);
        assert_eq!(notes.into_problems()[0].code, "type");
    }
}
