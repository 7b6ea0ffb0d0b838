//! A schedule as people write it, checked against the clock's rules and the catalog.

use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;
use serde_json::Value;
use syncline_shared::db::schedule::ScheduleDraft;
use syncline_shared::ids::{BusinessId, ConnectionId};
use syncline_shared::run::{PRIORITY_SCHEDULED, RetryPolicy, RunKind};
use syncline_shared::schedule::{
    MAX_INTERVAL_SECONDS, Policy, TargetKind, Trigger, TriggerError, TriggerKind, parse_zone,
};
use utoipa::ToSchema;

use super::{Fields, Notes, check_streams, read_key, read_name, read_streams, refuse_platform};
use syncline_engine::Catalog;

/// Longest cron expression: the parser's work grows with it.
const MAX_CRON: usize = 256;

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

/// When a schedule is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"cron": "30 2 * * 1-5", "zone": "Europe/Berlin"}))]
pub struct WhenInput {
    /// Five fields, six with seconds first, or `@hourly` and its kin. Either this or `every_seconds`.
    pub cron: Option<String>,
    /// IANA time zone of the cron fields.
    #[schema(required = false, default = "UTC")]
    pub zone: String,
    /// Seconds between moments.
    #[schema(minimum = 1)]
    pub every_seconds: Option<i64>,
    /// A moment that the interval is counted from; the time of creation, if it is left out.
    pub anchor: Option<DateTime<Utc>>,
}

/// A schedule to be saved.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "key": "acme-g2a-daily", "cron": "0 2 * * *", "zone": "Europe/Berlin", "target": {"connection": "acme-g2a"}
}))]
pub struct ScheduleInput {
    /// Your own name for it: 1 to 63 of a-z, 0-9, dot, underscore and hyphen.
    pub key: String,
    /// Shown to people; the key, if it is left out.
    #[schema(required = false)]
    pub name: String,
    /// When it is due.
    #[serde(flatten)]
    pub when: WhenInput,
    /// What it syncs: `{"connection": key}`, `{"business": key}`, `{"platform": name}` or `"everything"`.
    #[schema(schema_with = crate::docs::target_schema)]
    pub target: TargetInput,
    /// Only these streams; those that the connection has chosen, if it is left out.
    pub streams: Option<Vec<String>>,
    /// `incremental`: from each stream's state; `full`: from the start.
    #[schema(required = false, schema_with = crate::docs::kind_schema)]
    pub kind: RunKind,
    /// Priority of its runs, 0 to 100; the smaller, the sooner.
    #[schema(required = false, minimum = 0, maximum = 100, default = 50)]
    pub priority: i16,
    /// What it does about lateness, overlap and failure.
    #[schema(required = false, value_type = Object)]
    pub policy: Policy,
    /// What its runs do differently after a failure.
    #[schema(required = false, value_type = Object)]
    pub retry: RetryPolicy,
    /// False: it is never due.
    #[schema(required = false, default = true)]
    pub enabled: bool,
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

impl WhenInput {
    /// Reads the fields of a trigger.
    pub fn read(fields: &mut Fields<'_>, notes: &mut Notes) -> Self {
        let cron = fields.text("cron", notes);
        let zone = fields.text("zone", notes);
        let every_seconds = fields.integer("every_seconds", 1, MAX_INTERVAL_SECONDS, notes);
        // The database keeps microseconds; what is compared with it must do the same.
        let anchor = fields
            .instant("anchor", notes)
            .map(|anchor| anchor.trunc_subsecs(6));
        let has_every = fields.value("every_seconds").is_some();
        if cron.is_some() && has_every {
            let detail = "a schedule has either cron or every_seconds, not both";
            notes.refuse(fields.at("every_seconds"), "both", detail);
        } else if cron.is_none() && !has_every {
            let detail =
                "cron is required, or every_seconds in its place; example: \"30 2 * * 1-5\"";
            notes.refuse(fields.at("cron"), "required", detail);
        }
        if cron.is_some() && anchor.is_some() {
            let detail = "an anchor belongs to every_seconds; cron fields need none";
            notes.refuse(fields.at("anchor"), "unknown-field", detail);
        }
        if let Some(zone) = &zone
            && let Err(error) = parse_zone(zone)
        {
            refuse_trigger(&error, fields, notes);
        }
        // The zone's own problem is told above.
        if let Some(cron) = &cron {
            if cron.len() > MAX_CRON {
                let detail = format!("the expression is longer than {MAX_CRON} characters");
                notes.refuse(fields.at("cron"), "length", detail);
            } else if let Err(error) = Trigger::cron(cron, "UTC") {
                refuse_trigger(&error, fields, notes);
            }
        }
        Self {
            cron,
            zone: zone.unwrap_or_else(|| "UTC".to_owned()),
            every_seconds,
            anchor,
        }
    }

    /// The trigger, counted from `anchor` where none was given.
    pub fn trigger(&self, anchor: DateTime<Utc>) -> Result<Trigger, TriggerError> {
        match (&self.cron, self.every_seconds) {
            (Some(cron), _) => Trigger::cron(cron, &self.zone),
            (None, every) => Trigger::interval(every.unwrap_or(0), self.anchor.unwrap_or(anchor)),
        }
    }

    /// The moment an interval is counted from: the given one, else this second. `None` for cron fields.
    pub fn anchor_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.every_seconds
            .map(|_| self.anchor.unwrap_or(now.trunc_subsecs(0)))
    }
}

fn refuse_trigger(error: &TriggerError, fields: &Fields<'_>, notes: &mut Notes) {
    notes.refuse(fields.at(error.field), error.field, error.to_string());
}

impl ScheduleInput {
    /// Reads a schedule that stands at `pointer`.
    pub fn read(value: &Value, pointer: &str, notes: &mut Notes) -> Option<Self> {
        let mut fields = Fields::of(value, pointer, notes)?;
        let key = read_key(&mut fields, notes);
        let name = read_name(&mut fields, notes, &key);
        let when = WhenInput::read(&mut fields, notes);
        let target = read_target(&mut fields, notes);
        let streams = read_streams(&mut fields, notes);
        let kind = fields.word("kind", notes).unwrap_or(RunKind::Incremental);
        if matches!(kind, RunKind::Page | RunKind::Backfill) {
            let detail = "a schedule reads incremental or full; a single page is for manual runs";
            notes.refuse(fields.at("kind"), "unknown-value", detail);
        }
        let priority = fields
            .integer("priority", 0, 100, notes)
            .and_then(|priority| i16::try_from(priority).ok())
            .unwrap_or(PRIORITY_SCHEDULED);
        let enabled = fields.boolean("enabled", notes).unwrap_or(true);
        fields.finish(notes);
        Some(Self {
            key,
            name,
            when,
            target: target?,
            streams,
            kind,
            priority,
            policy: Policy::default(),
            retry: RetryPolicy::default(),
            enabled,
        })
    }

    /// Checks platform and streams, as far as the target says whose streams they are.
    pub fn check(
        &self,
        platform: Option<&str>,
        catalog: &Catalog,
        pointer: &str,
        notes: &mut Notes,
    ) {
        if let TargetInput::Platform(named) = &self.target
            && catalog.find(named).is_none()
        {
            refuse_platform(named, catalog, format!("{pointer}/target/platform"), notes);
            return;
        }
        let at = format!("{pointer}/streams");
        if let Some(connector) = platform.and_then(|platform| catalog.find(platform)) {
            check_streams(self.streams.as_deref(), connector, &at, notes);
            return;
        }
        if platform.is_some() {
            return;
        }
        for (index, stream) in self.streams.iter().flatten().enumerate() {
            if !catalog
                .all()
                .any(|connector| connector.stream(stream).is_some())
            {
                let detail = format!("no platform has a stream {stream:?}");
                notes.refuse(format!("{at}/{index}"), "unknown-stream", detail);
            }
        }
    }

    /// What the database is given.
    pub fn draft<'a>(
        &'a self,
        target: &'a ResolvedTarget,
        anchor: Option<DateTime<Utc>>,
    ) -> ScheduleDraft<'a> {
        ScheduleDraft {
            key: &self.key,
            name: &self.name,
            trigger: if self.when.cron.is_some() {
                TriggerKind::Cron
            } else {
                TriggerKind::Interval
            },
            cron: self.when.cron.as_deref(),
            zone: &self.when.zone,
            every_seconds: self.when.every_seconds,
            anchor,
            run_at: None,
            after: None,
            target: target.kind,
            connection_id: target.connection,
            business_id: target.business,
            platform: target.platform.as_deref(),
            streams: self.streams.as_deref(),
            kind: self.kind,
            page: None,
            priority: self.priority,
            policy: &self.policy,
            retry: &self.retry,
            time_limit_seconds: None,
            debounce_seconds: 0,
            trigger_secret: None,
            without_trigger: false,
            enabled: self.enabled,
        }
    }
}

fn read_target(fields: &mut Fields<'_>, notes: &mut Notes) -> Option<TargetInput> {
    const ALLOWED: &str =
        "{\"connection\": key}, {\"business\": key}, {\"platform\": name} or \"everything\"";
    let at = fields.at("target");
    let Some(value) = fields.value("target") else {
        notes.refuse(
            at,
            "required",
            format!("target is required; allowed: {ALLOWED}"),
        );
        return None;
    };
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problems(value: &Value) -> Vec<(String, String)> {
        let mut notes = Notes::default();
        ScheduleInput::read(value, "", &mut notes);
        notes
            .into_problems()
            .into_iter()
            .map(|p| (p.pointer, p.code))
            .collect()
    }

    #[test]
    fn a_bad_cron_and_a_bad_zone_are_told_together() {
        let value = json!({"key": "a", "cron": "61 * * * *", "zone": "Mars/Olympus", "target": "everything"});
        let expected =
            [("/zone", "zone"), ("/cron", "cron")].map(|(p, c)| (p.to_owned(), c.to_owned()));
        assert_eq!(problems(&value), expected);
    }

    #[test]
    fn a_trigger_is_one_thing_or_the_other() {
        let both =
            json!({"key": "a", "cron": "0 * * * *", "every_seconds": 5, "target": "everything"});
        assert_eq!(
            problems(&both),
            [("/every_seconds".to_owned(), "both".to_owned())]
        );
        let none = json!({"key": "a", "target": "everything"});
        assert_eq!(
            problems(&none),
            [("/cron".to_owned(), "required".to_owned())]
        );
        let zero = json!({"key": "a", "every_seconds": 0, "target": "everything"});
        assert_eq!(
            problems(&zero),
            [("/every_seconds".to_owned(), "range".to_owned())]
        );
    }

    #[test]
    fn targets_name_exactly_one_thing() {
        for bad in [
            json!("all"),
            json!({"connection": "a", "business": "b"}),
            json!({"connection": ""}),
            json!({"group": "a"}),
            json!({}),
            json!(7),
        ] {
            let value = json!({"key": "a", "every_seconds": 5, "target": bad});
            assert_eq!(
                problems(&value),
                [("/target".to_owned(), "target".to_owned())],
                "{bad}"
            );
        }
        let value = json!({"key": "a", "every_seconds": 5, "target": {"platform": "g2a"}});
        let read = ScheduleInput::read(&value, "", &mut Notes::default()).expect("reads");
        assert_eq!(read.target, TargetInput::Platform("g2a".to_owned()));
        assert_eq!(
            (read.priority, read.enabled, read.kind),
            (50, true, RunKind::Incremental)
        );
    }

    #[test]
    fn an_interval_without_anchor_counts_from_this_second() {
        let value = json!({"key": "a", "every_seconds": 5, "target": "everything"});
        let read = ScheduleInput::read(&value, "", &mut Notes::default()).expect("reads");
        let now = "2026-01-01T00:00:00.75Z".parse().expect("an instant");
        let anchor = read.when.anchor_at(now).expect("an anchor");
        assert_eq!(anchor.to_rfc3339(), "2026-01-01T00:00:00+00:00");
    }
}
