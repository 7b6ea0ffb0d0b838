//! What a schedule, or a request for runs, syncs.

use serde::Serialize;
use serde_json::{Value, json};
use syncline_shared::db::batch::Target;
use syncline_shared::db::schedule::Schedule;
use syncline_shared::ids::{BusinessId, ConnectionId};
use syncline_shared::schedule::TargetKind;

use crate::resources::{Fields, Notes};

/// What a schedule, or a run, syncs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetInput {
    /// One connection: id or key.
    Connection(String),
    /// All connections of a business: id or key.
    Business(String),
    /// All connections of a platform.
    Platform(String),
    /// All connections.
    Everything,
}

/// A target whose names were looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedTarget {
    /// Its kind.
    pub kind: TargetKind,
    /// The connection, if that is the kind.
    pub connection: Option<ConnectionId>,
    /// The business, if that is the kind.
    pub business: Option<BusinessId>,
    /// The platform, if that is the kind.
    pub platform: Option<String>,
}

impl ResolvedTarget {
    /// True if that is what a schedule syncs already.
    pub fn is_that_of(&self, stored: &Schedule) -> bool {
        self.kind == stored.target
            && self.connection == stored.connection_id
            && self.business == stored.business_id
            && self.platform == stored.platform
    }

    /// The same, as a batch wants to know it.
    pub fn for_batch(self) -> Target {
        Target {
            kind: self.kind,
            connection_id: self.connection,
            business_id: self.business,
            platform: self.platform,
        }
    }
}

/// What a stored schedule syncs, as people write it. The key of what was deleted is null.
pub fn written_target(stored: &Schedule) -> Value {
    match stored.target {
        TargetKind::Connection => json!({"connection": stored.target_key}),
        TargetKind::Business => json!({"business": stored.target_key}),
        TargetKind::Platform => json!({"platform": stored.platform}),
        TargetKind::Everything => json!("everything"),
    }
}

const ALLOWED: &str =
    "{\"connection\": key}, {\"business\": key}, {\"platform\": name} or \"everything\"";

/// Reads `target`, which must be there.
pub fn read_target(fields: &mut Fields<'_>, notes: &mut Notes) -> Option<TargetInput> {
    let at = fields.at("target");
    if fields.value("target").is_none() {
        notes.refuse(
            at,
            "required",
            format!("target is required; allowed: {ALLOWED}"),
        );
        return None;
    }
    read_optional_target(fields, notes)
}

/// Reads `target`, which may be missing.
pub fn read_optional_target(fields: &mut Fields<'_>, notes: &mut Notes) -> Option<TargetInput> {
    let at = fields.at("target");
    let value = fields.value("target")?;
    let named = value
        .as_object()
        .filter(|members| members.len() == 1)
        .and_then(|members| {
            let (kind, name) = members.iter().next()?;
            let name = name.as_str().filter(|name| !name.is_empty())?.to_owned();
            match kind.as_str() {
                "connection" => Some(TargetInput::Connection(name)),
                "business" => Some(TargetInput::Business(name)),
                "platform" => Some(TargetInput::Platform(name)),
                _ => None,
            }
        });
    let target = named.or_else(|| (value == "everything").then_some(TargetInput::Everything));
    if target.is_none() {
        notes.refuse(
            at,
            "target",
            format!("this is no target; allowed: {ALLOWED}"),
        );
    }
    target
}
