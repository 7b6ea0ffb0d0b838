//! A schedule as people write it, checked against the clock's rules and the catalog.

mod document;
mod policy;
mod target;
mod when;

pub use document::{merge, merge_schedule, stored_document, wanted_document};
pub use policy::{CatchUpView, PolicyView};
pub use target::{ResolvedTarget, TargetInput, read_optional_target, read_target, written_target};
pub use when::{AfterInput, WhenInput};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use syncline_engine::{Catalog, Connector};
use syncline_shared::db::schedule::ScheduleDraft;
use syncline_shared::ids::ScheduleId;
use syncline_shared::run::{PRIORITY_SCHEDULED, RetryPolicy, RunKind};
use syncline_shared::schedule::{AfterOutcome, Policy};
use utoipa::ToSchema;

use super::retry::{self, RetryView};
use super::{Fields, Notes, check_streams, read_key, read_name, read_streams, refuse_platform};

/// Longest time limit of runs: 31 days.
const MAX_TIME_LIMIT: i64 = 31 * 24 * 3600;
/// Longest debounce time: a day.
const MAX_DEBOUNCE: i64 = 24 * 3600;

/// A schedule to be saved.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "key": "acme-g2a-daily", "cron": "0 2 * * *", "zone": "Europe/Berlin", "target": {"connection": "acme-g2a"}
}))]
pub struct ScheduleInput {
    /// Your own name for it: 1 to 63 of a-z, 0-9, dot, underscore and hyphen. It stays what it is.
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
    /// `incremental`: from each stream's state; `full`: from the start; `page`: one page of one stream.
    #[schema(required = false, schema_with = crate::docs::kind_schema)]
    pub kind: RunKind,
    /// The page, if that is the kind.
    #[schema(minimum = 0)]
    pub page: Option<i64>,
    /// Priority of its runs, 0 to 100; the smaller, the sooner.
    #[schema(required = false, minimum = 0, maximum = 100, default = 50)]
    pub priority: i16,
    /// What it does about lateness, overlap and failure.
    #[serde(flatten)]
    pub policy: PolicyView,
    /// What its runs do differently after a failure.
    #[schema(required = false)]
    pub retry: RetryView,
    /// Its runs end as failed so many seconds after their first start.
    #[schema(minimum = 1, maximum = 2_678_400)]
    pub time_limit_seconds: Option<i32>,
    /// How it answers its inbound trigger. The trigger's address is made, and removed, by `/schedules/{id}/inbound-trigger`.
    #[schema(required = false)]
    pub inbound_trigger: InboundInput,
    /// False: it is never due.
    #[schema(required = false, default = true)]
    pub enabled: bool,
}

/// How a schedule answers its inbound trigger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = InboundTriggerSettings)]
pub struct InboundInput {
    /// Calls within so many seconds of the first make one tick, at the end of that time.
    #[schema(required = false, minimum = 0, maximum = 86_400, default = 0)]
    pub debounce_seconds: i32,
}

/// What a schedule names, looked up, and its policies in their stored form.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// What it syncs.
    pub target: ResolvedTarget,
    /// The schedule that it follows, and which of its batches.
    pub after: Option<(ScheduleId, AfterOutcome)>,
    /// Its policy.
    pub policy: Policy,
    /// What its runs do differently after a failure.
    pub retry: RetryPolicy,
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
        let (kind, page) = read_kind(&mut fields, notes);
        let priority = fields
            .integer("priority", 0, 100, notes)
            .and_then(|priority| i16::try_from(priority).ok())
            .unwrap_or(PRIORITY_SCHEDULED);
        let policy = PolicyView::read(&mut fields, notes);
        let at_retry = fields.at("retry");
        let retry = fields
            .value("retry")
            .map(|value| retry::read(value, &at_retry, notes).into())
            .unwrap_or_default();
        let time_limit_seconds = fields
            .integer("time_limit_seconds", 1, MAX_TIME_LIMIT, notes)
            .and_then(|seconds| i32::try_from(seconds).ok());
        let inbound_trigger = read_inbound(&mut fields, notes);
        let enabled = fields.boolean("enabled", notes).unwrap_or(true);
        fields.finish(notes);
        Some(Self {
            key,
            name,
            when,
            target: target?,
            streams,
            kind,
            page,
            priority,
            policy,
            retry,
            time_limit_seconds,
            inbound_trigger,
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
        check_streams_of(
            self.streams.as_deref(),
            self.kind,
            platform,
            catalog,
            pointer,
            notes,
        );
    }

    /// What the database is given.
    pub fn draft<'a>(
        &'a self,
        resolved: &'a Resolved,
        anchor: Option<DateTime<Utc>>,
    ) -> ScheduleDraft<'a> {
        ScheduleDraft {
            key: &self.key,
            name: &self.name,
            trigger: self.when.trigger,
            cron: self.when.cron.as_deref(),
            zone: &self.when.zone,
            every_seconds: self.when.every_seconds,
            anchor,
            run_at: self.when.run_at,
            after: resolved.after,
            target: resolved.target.kind,
            connection_id: resolved.target.connection,
            business_id: resolved.target.business,
            platform: resolved.target.platform.as_deref(),
            streams: self.streams.as_deref(),
            kind: self.kind,
            page: self.page,
            priority: self.priority,
            policy: &resolved.policy,
            retry: &resolved.retry,
            time_limit_seconds: self.time_limit_seconds,
            debounce_seconds: self.inbound_trigger.debounce_seconds,
            // Its address is no configuration: who makes it is shown it, and whoever writes the configuration does not know it.
            trigger_secret: None,
            without_trigger: false,
            enabled: self.enabled,
        }
    }
}

/// Reads `kind` and `page`, of which a page needs both or just the latter.
pub(crate) fn read_kind(fields: &mut Fields<'_>, notes: &mut Notes) -> (RunKind, Option<i64>) {
    let page = fields.integer("page", 0, i64::from(i32::MAX), notes);
    let has_page = fields.value("page").is_some();
    let kind: Option<RunKind> = fields.word("kind", notes);
    match kind {
        Some(asked @ (RunKind::Backfill | RunKind::Rebuild)) => {
            let detail = format!(
                "kind {:?} is not for schedules; allowed: incremental, full, page",
                asked.as_str()
            );
            notes.refuse(fields.at("kind"), "unknown-value", detail);
        }
        Some(RunKind::Page) if !has_page => {
            let detail = "the kind is page: say which";
            notes.refuse(fields.at("page"), "required", detail);
        }
        Some(RunKind::Incremental | RunKind::Full) if has_page => {
            let detail = "a page is a kind of its own; leave out kind, or page";
            notes.refuse(fields.at("kind"), "kind", detail);
        }
        _ => {}
    }
    let default = if has_page {
        RunKind::Page
    } else {
        RunKind::Incremental
    };
    (kind.unwrap_or(default), page)
}

fn read_inbound(fields: &mut Fields<'_>, notes: &mut Notes) -> InboundInput {
    let at = fields.at("inbound_trigger");
    let Some(value) = fields.value("inbound_trigger") else {
        return InboundInput::default();
    };
    let Some(mut inner) = Fields::of(value, at, notes) else {
        return InboundInput::default();
    };
    let debounce = inner.integer("debounce_seconds", 0, MAX_DEBOUNCE, notes);
    inner.finish(notes);
    InboundInput {
        debounce_seconds: debounce
            .and_then(|seconds| i32::try_from(seconds).ok())
            .unwrap_or(0),
    }
}

/// Checks the streams of a target: of its platform, if it is of one; else some platform must have each of them.
pub(crate) fn check_streams_of(
    streams: Option<&[String]>,
    kind: RunKind,
    platform: Option<&str>,
    catalog: &Catalog,
    pointer: &str,
    notes: &mut Notes,
) {
    let at = format!("{pointer}/streams");
    let before = notes.len();
    let connector = platform.and_then(|platform| catalog.find(platform));
    match connector {
        Some(connector) => check_streams(streams, connector, &at, notes),
        None if platform.is_some() => {}
        None => {
            for (index, stream) in streams.unwrap_or_default().iter().enumerate() {
                if !catalog
                    .all()
                    .any(|connector| connector.stream(stream).is_some())
                {
                    let detail = format!("no platform has a stream {stream:?}");
                    notes.refuse(format!("{at}/{index}"), "unknown-stream", detail);
                }
            }
        }
    }
    if kind == RunKind::Page && notes.len() == before {
        check_page(streams, connector, catalog, &at, notes);
    }
}

fn check_page(
    streams: Option<&[String]>,
    connector: Option<&Connector>,
    catalog: &Catalog,
    at: &str,
    notes: &mut Notes,
) {
    let has_pages = |stream: &str| {
        let mut connectors = catalog
            .all()
            .filter(|one| connector.is_none_or(|only| only.platform() == one.platform()))
            .filter_map(|connector| connector.stream(stream));
        connectors.any(|found| found.supports_page)
    };
    match streams {
        Some([stream]) if has_pages(stream) => {}
        Some([stream]) => {
            let detail = format!("no single page of {stream:?} can be asked for");
            notes.refuse(format!("{at}/0"), "no-page", detail);
        }
        _ => {
            let detail = "a page belongs to exactly one stream; name it";
            notes.refuse(at, "one-stream", detail);
        }
    }
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
    fn a_page_is_a_kind_of_its_own() {
        let with = |more: Value| {
            let mut value = json!({"key": "a", "every_seconds": 5, "target": "everything"});
            merge(&mut value, &more);
            value
        };
        let read = ScheduleInput::read(&with(json!({"page": 3})), "", &mut Notes::default());
        let read = read.expect("reads");
        assert_eq!((read.kind, read.page), (RunKind::Page, Some(3)));
        for (more, pointer) in [
            (json!({"kind": "page"}), "/page"),
            (json!({"kind": "full", "page": 1}), "/kind"),
            (json!({"kind": "backfill"}), "/kind"),
        ] {
            assert_eq!(problems(&with(more))[0].0, pointer);
        }
    }
}
