//! When a schedule is due: one trigger out of several, as people write it.

use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;
use serde_json::Value;
use syncline_shared::schedule::{
    AfterOutcome, MAX_INTERVAL_SECONDS, Preset, Trigger, TriggerError, TriggerKind, parse_zone,
};
use utoipa::ToSchema;

use super::policy::instant;
use crate::resources::{Fields, Notes};

/// Longest cron expression: the parser's work grows with it.
const MAX_CRON: usize = 256;
/// The fields of which one makes the trigger.
const CHOICES: [&str; 5] = ["cron", "every_seconds", "run_at", "after", "preset"];

/// When a schedule is due: exactly one of `cron`, `every_seconds`, `run_at`, `after`, `preset`, or `"trigger": "manual"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"cron": "30 2 * * 1-5", "zone": "Europe/Berlin"}))]
pub struct WhenInput {
    /// `cron`, `interval`, `once`, `after` or `manual`. `manual`: only on request, or by its inbound trigger. The others follow from the
    /// fields below and need not be written.
    #[schema(required = false, schema_with = crate::docs::trigger_schema)]
    pub trigger: TriggerKind,
    /// Five fields, six with seconds first, or `@hourly` and its kin.
    pub cron: Option<String>,
    /// IANA time zone of the cron fields.
    #[schema(required = false, default = "UTC")]
    pub zone: String,
    /// Seconds between moments.
    #[schema(minimum = 1, maximum = 31_622_400)]
    pub every_seconds: Option<i64>,
    /// A moment that the interval is counted from; the time of creation, if it is left out.
    pub anchor: Option<DateTime<Utc>>,
    /// Its one moment.
    pub run_at: Option<DateTime<Utc>>,
    /// Follows the batches of another schedule.
    pub after: Option<AfterInput>,
    /// Another way to write cron fields or an interval: `{"hourly": {"minute": 15}}`, `{"daily": "02:00"}`,
    /// `{"weekly": {"days": ["mon"], "at": "06:30"}}`, `{"monthly": {"day": "last", "at": "04:00"}}`, `{"every": "30m"}`,
    /// `{"business_hours": {"from": 9, "to": 17}}`. It is stored, and shown, as what it stands for.
    #[schema(value_type = Option<Object>, example = json!({"daily": "02:00"}))]
    #[serde(skip)]
    pub preset: Option<Preset>,
}

/// Which batches a schedule follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = After, example = json!({"schedule": "campaigns", "when": "succeeded"}))]
pub struct AfterInput {
    /// The schedule whose batches it follows: id or key.
    pub schedule: String,
    /// `succeeded`: it follows batches whose runs all succeeded; `ended`: it follows all.
    #[schema(required = false, schema_with = crate::docs::after_schema)]
    pub when: AfterOutcome,
}

impl WhenInput {
    /// Reads the fields of a trigger.
    pub fn read(fields: &mut Fields<'_>, notes: &mut Notes) -> Self {
        let before = notes.len();
        let named: Option<TriggerKind> = fields.word("trigger", notes);
        let mut cron = fields.text("cron", notes);
        let zone = fields.text("zone", notes);
        let mut every_seconds = fields.integer("every_seconds", 1, MAX_INTERVAL_SECONDS, notes);
        let anchor = instant(fields, "anchor", notes);
        let run_at = instant(fields, "run_at", notes);
        let after = read_after(fields, notes);
        let preset = read_preset(fields, notes);
        let given: Vec<&str> = CHOICES
            .into_iter()
            .filter(|name| fields.value(name).is_some())
            .collect();
        if let Some(preset) = &preset {
            cron = cron.or_else(|| preset.cron());
            every_seconds = every_seconds.or_else(|| preset.every_seconds());
        }
        let kind = match given.first().copied() {
            Some("cron") => TriggerKind::Cron,
            Some("every_seconds") => TriggerKind::Interval,
            Some("run_at") => TriggerKind::Once,
            Some("after") => TriggerKind::After,
            Some(_) if every_seconds.is_some() => TriggerKind::Interval,
            Some(_) => TriggerKind::Cron,
            None => TriggerKind::Manual,
        };
        check_choice(fields, &given, named, kind, notes);
        if anchor.is_some()
            && kind != TriggerKind::Interval
            && !given.is_empty()
            && notes.len() == before
        {
            let detail = "an anchor belongs to an interval; leave it out, or give every_seconds";
            notes.refuse(fields.at("anchor"), "anchor", detail);
        }
        if let Some(zone) = &zone
            && let Err(error) = parse_zone(zone)
        {
            refuse_trigger(&error, fields, notes);
        }
        if let Some(cron) = &cron {
            if cron.len() > MAX_CRON {
                let detail = format!("the expression is longer than {MAX_CRON} characters");
                notes.refuse(fields.at("cron"), "length", detail);
            } else if let Err(error) = Trigger::cron(cron, "UTC") {
                refuse_trigger(&error, fields, notes);
            }
        }
        Self {
            trigger: kind,
            cron,
            zone: zone.unwrap_or_else(|| "UTC".to_owned()),
            every_seconds,
            anchor,
            run_at,
            after,
            preset,
        }
    }

    /// The trigger, an interval counted from `anchor` where none was given. One that time does not drive names no moment.
    pub fn trigger(&self, anchor: DateTime<Utc>) -> Result<Trigger, TriggerError> {
        match (&self.cron, self.every_seconds, self.run_at) {
            (Some(cron), _, _) => Trigger::cron(cron, &self.zone),
            (None, Some(every), _) => Trigger::interval(every, self.anchor.unwrap_or(anchor)),
            (None, None, Some(at)) => Ok(Trigger::Once { at }),
            (None, None, None) => Ok(Trigger::Manual),
        }
    }

    /// The moment an interval is counted from: the given one, else this second. `None`: it is no interval.
    pub fn anchor_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.every_seconds
            .map(|_| self.anchor.unwrap_or(now.trunc_subsecs(0)))
    }
}

/// Notes a trigger that is several things, none, or not what it says it is.
fn check_choice(
    fields: &Fields<'_>,
    given: &[&str],
    named: Option<TriggerKind>,
    kind: TriggerKind,
    notes: &mut Notes,
) {
    match (given, named) {
        ([], Some(TriggerKind::Manual)) => {}
        ([], _) => {
            let detail = format!(
                "a schedule is due by one of {}; or say \"trigger\": \"manual\" for one that runs only on request",
                CHOICES.join(", ")
            );
            notes.refuse(fields.at("cron"), "required", detail);
        }
        ([first, others @ ..], _) if !others.is_empty() => {
            for other in others {
                let detail = format!(
                    "{other} stands beside {first}; a schedule has one trigger, leave out the other"
                );
                notes.refuse(fields.at(other), "both", detail);
            }
        }
        (_, Some(named)) if named != kind => {
            let detail = format!(
                "trigger says {named}, but the fields beside it make it {kind}; leave one of them out"
            );
            notes.refuse(fields.at("trigger"), "both", detail);
        }
        _ => {}
    }
}

fn read_after(fields: &mut Fields<'_>, notes: &mut Notes) -> Option<AfterInput> {
    let at = fields.at("after");
    let mut inner = Fields::of(fields.value("after")?, at, notes)?;
    let schedule = inner.required_text("schedule", notes);
    let when = inner.word("when", notes).unwrap_or(AfterOutcome::Succeeded);
    inner.finish(notes);
    Some(AfterInput { schedule, when })
}

fn read_preset(fields: &mut Fields<'_>, notes: &mut Notes) -> Option<Preset> {
    let value: &Value = fields.value("preset")?;
    match Preset::read(value) {
        Ok(preset) => Some(preset),
        Err(error) => {
            refuse_trigger(&error, fields, notes);
            None
        }
    }
}

fn refuse_trigger(error: &TriggerError, fields: &Fields<'_>, notes: &mut Notes) {
    notes.refuse(fields.at(error.field), error.field, error.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: &Value) -> (WhenInput, Vec<(String, String)>) {
        let mut notes = Notes::default();
        let mut fields = Fields::of(value, "", &mut notes).expect("an object");
        let when = WhenInput::read(&mut fields, &mut notes);
        fields.finish(&mut notes);
        let problems = notes.into_problems().into_iter();
        (when, problems.map(|p| (p.pointer, p.code)).collect())
    }

    fn problems(value: &Value) -> Vec<(String, String)> {
        read(value).1
    }

    fn one(pointer: &str, code: &str) -> Vec<(String, String)> {
        vec![(pointer.to_owned(), code.to_owned())]
    }

    #[test]
    fn a_trigger_is_one_thing_or_the_other() {
        let both = json!({"cron": "0 * * * *", "every_seconds": 5});
        assert_eq!(problems(&both), one("/every_seconds", "both"));
        let both = json!({"preset": {"daily": "02:00"}, "run_at": "2030-01-01T00:00:00Z"});
        assert_eq!(problems(&both), one("/preset", "both"));
        assert_eq!(problems(&json!({})), one("/cron", "required"));
        assert_eq!(
            problems(&json!({"trigger": "cron"})),
            one("/cron", "required")
        );
        assert_eq!(
            problems(&json!({"every_seconds": 0})),
            one("/every_seconds", "range")
        );
        let manual = json!({"trigger": "manual", "every_seconds": 60});
        assert_eq!(problems(&manual), one("/trigger", "both"));
        let anchored = json!({"cron": "0 * * * *", "anchor": "2030-01-01T00:00:00Z"});
        assert_eq!(problems(&anchored), one("/anchor", "anchor"));
    }

    #[test]
    fn the_kind_follows_from_the_fields() {
        for (value, kind) in [
            (json!({"cron": "@hourly"}), TriggerKind::Cron),
            (json!({"every_seconds": 60}), TriggerKind::Interval),
            (json!({"run_at": "2030-01-01T00:00:00Z"}), TriggerKind::Once),
            (json!({"after": {"schedule": "a"}}), TriggerKind::After),
            (json!({"trigger": "manual"}), TriggerKind::Manual),
            (json!({"preset": {"daily": "02:00"}}), TriggerKind::Cron),
            (json!({"preset": {"every": "30m"}}), TriggerKind::Interval),
            (
                json!({"trigger": "interval", "every_seconds": 60}),
                TriggerKind::Interval,
            ),
        ] {
            let (when, problems) = read(&value);
            assert_eq!((when.trigger, problems), (kind, vec![]), "{value}");
        }
        let (when, _) = read(&json!({"preset": {"daily": "02:30"}}));
        assert_eq!(when.cron.as_deref(), Some("30 2 * * *"));
    }

    #[test]
    fn a_bad_preset_and_a_bad_dependency_are_told() {
        assert_eq!(
            problems(&json!({"preset": {"daily": "25:00"}})),
            one("/preset", "preset")
        );
        assert_eq!(
            problems(&json!({"after": {"when": "ended"}})),
            one("/after/schedule", "required")
        );
        let odd = json!({"after": {"schedule": "a", "when": "failed"}});
        assert_eq!(problems(&odd), one("/after/when", "unknown-value"));
    }

    #[test]
    fn an_interval_without_anchor_counts_from_this_second() {
        let (when, _) = read(&json!({"every_seconds": 5}));
        let now = "2026-01-01T00:00:00.75Z".parse().expect("an instant");
        let anchor = when.anchor_at(now).expect("an anchor");
        assert_eq!(anchor.to_rfc3339(), "2026-01-01T00:00:00+00:00");
    }
}
