//! The form of a schedule: what was typed, as a schedule's document and back. It checks nothing: whether a document can be accepted
//! is asked of the API's functions, and their answers are shown at the field that they are about.

use chrono::DateTime;
use chrono_tz::Tz;
use serde_json::{Map, Value, json};
use syncline_shared::db::schedule::Schedule;
use syncline_shared::schedule::{
    CatchUpMode, MAX_INTERVAL_SECONDS, Overlap, TargetKind, TriggerKind, parse_zone,
};

use crate::error::{ApiError, FieldProblem};
use crate::handlers::schedules::ticks::read_instant;
use crate::pages::form::Fields;
use crate::pages::problem::sentence;

/// Days of the week, as a preset names them.
pub(super) const DAYS: [(&str, &str); 7] = [
    ("mon", "Mon"),
    ("tue", "Tue"),
    ("wed", "Wed"),
    ("thu", "Thu"),
    ("fri", "Fri"),
    ("sat", "Sat"),
    ("sun", "Sun"),
];
/// Units of an interval, the longest first, with their seconds.
pub(super) const UNITS: [(&str, i64); 4] = [
    ("days", 86_400),
    ("hours", 3600),
    ("minutes", 60),
    ("seconds", 1),
];

/// The form as it was typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Typed {
    pub key: String,
    pub name: String,
    /// `everything`, `platform`, `business` or `connection`.
    pub target_kind: String,
    pub target_name: String,
    /// Which of the following ways it is due.
    pub when: String,
    pub every: String,
    pub unit: String,
    pub minute: String,
    pub daily_at: String,
    pub weekly_at: String,
    pub days: Vec<String>,
    pub from: String,
    pub to: String,
    pub once_at: String,
    pub cron: String,
    pub after: String,
    pub after_when: String,
    pub zone: String,
    pub overlap: String,
    pub catch_up: String,
    pub pause_after: String,
}

/// What is wrong with the form: fields in their order, each with what to enter there.
pub(super) type Wrong = Vec<(&'static str, String)>;

/// The fields that problems are about, in the order of the form.
const ORDER: [&str; 18] = [
    "form",
    "key",
    "name",
    "target_name",
    "when",
    "every",
    "minute",
    "daily_at",
    "days",
    "weekly_at",
    "from",
    "once_at",
    "after",
    "cron",
    "zone",
    "overlap",
    "catch_up",
    "pause_after",
];

impl Typed {
    /// The form of a new schedule.
    pub(super) fn new() -> Self {
        let text = str::to_owned;
        Self {
            target_kind: text("connection"),
            when: text("daily"),
            every: text("30"),
            unit: text("minutes"),
            minute: text("0"),
            daily_at: text("02:00"),
            weekly_at: text("02:00"),
            days: vec![text("mon")],
            from: text("9"),
            to: text("17"),
            after_when: text("succeeded"),
            zone: text("UTC"),
            overlap: Overlap::Skip.to_string(),
            catch_up: CatchUpMode::Latest.to_string(),
            ..Self::default()
        }
    }

    /// What was sent.
    pub(super) fn read(fields: &Fields) -> Self {
        let text = |name: &str| fields.get(name).trim().to_owned();
        Self {
            key: text("key"),
            name: text("name"),
            target_kind: text("target_kind"),
            target_name: text("target_name"),
            when: text("when"),
            every: text("every"),
            unit: text("unit"),
            minute: text("minute"),
            daily_at: text("daily_at"),
            weekly_at: text("weekly_at"),
            days: fields.all("days"),
            from: text("from"),
            to: text("to"),
            once_at: text("once_at"),
            cron: text("cron"),
            after: text("after"),
            after_when: text("after_when"),
            zone: text("zone"),
            overlap: text("overlap"),
            catch_up: text("catch_up"),
            pause_after: text("pause_after"),
        }
    }

    /// The form of a schedule as it is.
    pub(super) fn of(stored: &Schedule) -> Self {
        let policy = stored.policy().unwrap_or_default();
        let mut form = Self {
            key: stored.key.clone(),
            name: stored.name.clone(),
            target_kind: stored.target.to_string(),
            target_name: match stored.target {
                TargetKind::Platform => stored.platform.clone(),
                _ => stored.target_key.clone(),
            }
            .unwrap_or_default(),
            zone: stored.zone.clone(),
            overlap: policy.overlap.to_string(),
            catch_up: policy.catch_up.mode.to_string(),
            pause_after: policy
                .pause_after_failures
                .map(|failures| failures.to_string())
                .unwrap_or_default(),
            ..Self::new()
        };
        match stored.trigger {
            TriggerKind::Cron => form.set_cron(stored.cron.as_deref().unwrap_or_default()),
            TriggerKind::Interval => form.set_interval(stored.every_seconds.unwrap_or(1)),
            TriggerKind::Once => {
                "once".clone_into(&mut form.when);
                form.once_at = stored
                    .run_at
                    .map(|at| written_instant(at, &stored.zone))
                    .unwrap_or_default();
            }
            TriggerKind::After => {
                "after".clone_into(&mut form.when);
                form.after = stored.after_key.clone().unwrap_or_default();
                form.after_when = stored
                    .after_outcome
                    .map(|when| when.to_string())
                    .unwrap_or_default();
            }
            TriggerKind::Manual => "manual".clone_into(&mut form.when),
        }
        form
    }

    fn set_interval(&mut self, seconds: i64) {
        let fits = |(_, length): &&(&str, i64)| seconds % length == 0;
        let (unit, length) = UNITS.iter().find(fits).copied().unwrap_or(("seconds", 1));
        "every".clone_into(&mut self.when);
        self.every = (seconds / length).to_string();
        unit.clone_into(&mut self.unit);
    }

    /// Cron fields are shown as the preset that is written like them, if there is one.
    fn set_cron(&mut self, expression: &str) {
        expression.clone_into(&mut self.cron);
        let number = |text: &str| text.parse::<u8>().ok();
        let fields: Vec<&str> = expression.split(' ').collect();
        let preset = match fields.as_slice() {
            [minute, "*", "*", "*", "*"] if number(minute).is_some() => {
                (*minute).clone_into(&mut self.minute);
                "hourly"
            }
            [minute, hour, "*", "*", "*"] => match number(hour).zip(number(minute)) {
                Some((hour, minute)) => {
                    self.daily_at = format!("{hour:02}:{minute:02}");
                    "daily"
                }
                None => "cron",
            },
            ["0", hours, "*", "*", "1-5" | "1,2,3,4,5"] => match hours.split_once('-') {
                Some((from, to)) if number(from).is_some() && number(to).is_some() => {
                    from.clone_into(&mut self.from);
                    to.clone_into(&mut self.to);
                    "business_hours"
                }
                _ => "cron",
            },
            _ => "cron",
        };
        preset.clone_into(&mut self.when);
    }

    /// The form as a change of a schedule: the fields that the form has, null where one is to be as it is by default.
    pub(super) fn document(&self) -> Value {
        let mut document = Map::new();
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        document.insert("name".to_owned(), json!(text(&self.name)));
        document.insert("target".to_owned(), self.target());
        document.insert("zone".to_owned(), json!(text(&self.zone)));
        document.insert("overlap".to_owned(), json!(text(&self.overlap)));
        let catch_up = text(&self.catch_up).map(|mode| json!({ "mode": mode }));
        document.insert("catch_up".to_owned(), json!(catch_up));
        let failures = text(&self.pause_after).map(|failures| number(&failures));
        document.insert("pause_after_failures".to_owned(), json!(failures));
        if let Some((name, value)) = self.trigger() {
            document.insert(name.to_owned(), value);
        }
        Value::Object(document)
    }

    fn target(&self) -> Value {
        match self.target_kind.as_str() {
            "everything" => json!("everything"),
            kind => json!({ kind: self.target_name }),
        }
    }

    fn trigger(&self) -> Option<(&'static str, Value)> {
        Some(match self.when.as_str() {
            "every" => ("every_seconds", self.every_seconds()),
            "hourly" => ("preset", json!({"hourly": {"minute": self.minute}})),
            "daily" => ("preset", json!({"daily": self.daily_at})),
            "weekly" => (
                "preset",
                json!({"weekly": {"days": self.days, "at": self.weekly_at}}),
            ),
            "business_hours" => (
                "preset",
                json!({"business_hours": {"from": self.from, "to": self.to}}),
            ),
            "once" => (
                "run_at",
                json!(self.run_at().unwrap_or_else(|_| self.once_at.clone())),
            ),
            "cron" => ("cron", json!(self.cron)),
            "after" => (
                "after",
                json!({"schedule": self.after, "when": self.after_when}),
            ),
            "manual" => ("trigger", json!("manual")),
            _ => return None,
        })
    }

    fn every_seconds(&self) -> Value {
        let unit = UNITS.iter().find(|(unit, _)| *unit == self.unit);
        let length = unit.map_or(1, |(_, length)| *length);
        let seconds = self.every.parse::<i64>().ok();
        match seconds.map(|every| every.saturating_mul(length)) {
            Some(seconds) => json!(seconds),
            None => json!(self.every),
        }
    }

    /// The one moment as an instant: it is typed as a time on the zone's clock.
    fn run_at(&self) -> Result<String, ApiError> {
        let zone = parse_zone(&self.zone).unwrap_or(Tz::UTC);
        read_instant(&self.once_at, zone).map(|at| at.to_rfc3339())
    }

    /// True if a browser's own field for times can show what was typed.
    pub(super) fn once_is_local(&self) -> bool {
        let forms = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];
        self.once_at.is_empty()
            || forms
                .iter()
                .any(|form| chrono::NaiveDateTime::parse_from_str(&self.once_at, form).is_ok())
    }

    /// What the API found wrong, each at the field that it is about.
    pub(super) fn explain(&self, problems: &[FieldProblem]) -> Wrong {
        let mut wrong = Wrong::new();
        for problem in problems {
            let (field, text) = self.place(problem);
            if wrong.iter().all(|(told, _)| *told != field) {
                wrong.push((field, text));
            }
        }
        wrong.sort_by_key(|(field, _)| ORDER.iter().position(|known| known == field));
        wrong
    }

    /// The field of a problem, and what to enter there. Where the API speaks of JSON, the form speaks of its fields.
    fn place(&self, problem: &FieldProblem) -> (&'static str, String) {
        let told = || sentence(&problem.detail);
        let enter = str::to_owned;
        let first = problem.pointer.split('/').nth(1).unwrap_or_default();
        match first {
            "key" if self.key.is_empty() => (
                "key",
                enter("Enter a key: 1 to 63 of a-z, 0-9, dot, underscore and hyphen."),
            ),
            "key" => ("key", told()),
            "name" => ("name", told()),
            "target" if self.target_name.is_empty() => (
                "target_name",
                enter("Name what is to be synced, or choose all connections."),
            ),
            "target" => ("target_name", told()),
            "every_seconds" => (
                "every",
                format!(
                    "Enter a whole number; 1 second to {} days are allowed.",
                    MAX_INTERVAL_SECONDS / 86_400
                ),
            ),
            "preset" => match self.when.as_str() {
                "hourly" => ("minute", enter("Enter a minute from 0 to 59.")),
                "daily" => ("daily_at", enter("Enter a time such as 02:00.")),
                "weekly" if self.days.is_empty() => ("days", enter("Tick at least one day.")),
                "weekly" => ("weekly_at", enter("Enter a time such as 02:00.")),
                _ => (
                    "from",
                    enter("Enter hours from 0 to 23, the last not before the first."),
                ),
            },
            "run_at" => (
                "once_at",
                match self.run_at() {
                    Err(ApiError::BadRequest(detail)) if !self.once_at.is_empty() => {
                        sentence(&detail)
                    }
                    Err(_) => enter("Enter a date and a time."),
                    Ok(_) => told(),
                },
            ),
            "cron" if self.when == "cron" && self.cron.is_empty() => {
                ("cron", enter("Enter five fields, such as 30 2 * * 1-5."))
            }
            "cron" if self.when == "cron" => ("cron", told()),
            "cron" | "trigger" => ("when", enter("Choose when it runs.")),
            "after" if self.after.is_empty() => (
                "after",
                enter("Enter the key of the schedule that it follows."),
            ),
            "after" => ("after", told()),
            "zone" => ("zone", told()),
            "overlap" => ("overlap", told()),
            "catch_up" => ("catch_up", told()),
            "pause_after_failures" => (
                "pause_after",
                enter("Enter a whole number from 1, or nothing."),
            ),
            // What the form does not have, such as the streams of a schedule whose target is changed.
            _ => ("form", told()),
        }
    }
}

/// A whole number as a number; anything else as it was typed, for the API to refuse.
fn number(text: &str) -> Value {
    text.parse::<i64>()
        .map_or_else(|_| json!(text), |number| json!(number))
}

/// An instant as it is typed: on the zone's clock if that says which it is.
fn written_instant(at: DateTime<chrono::Utc>, zone: &str) -> String {
    let zone = parse_zone(zone).unwrap_or(Tz::UTC);
    let local = at.with_timezone(&zone);
    ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
        .iter()
        .map(|form| local.format(form).to_string())
        .find(|text| read_instant(text, zone).is_ok_and(|read| read == at))
        .unwrap_or_else(|| at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(cron: &str) -> Typed {
        let mut form = Typed::new();
        form.set_cron(cron);
        form
    }

    /// The cron fields that the form would save.
    fn saved(form: &Typed) -> Option<String> {
        let document = form.document();
        match document.get("preset") {
            Some(preset) => syncline_shared::schedule::Preset::read(preset)
                .unwrap()
                .cron(),
            None => document["cron"].as_str().map(str::to_owned),
        }
    }

    #[test]
    fn cron_fields_that_a_preset_writes_are_shown_as_it_and_mean_the_same() {
        for (cron, when) in [
            ("15 * * * *", "hourly"),
            ("5 2 * * *", "daily"),
            ("0 9-17 * * 1-5", "business_hours"),
            ("*/5 * * * *", "cron"),
            ("0 4 L * *", "cron"),
            ("0 9-17/2 * * 1-5", "cron"),
            ("0 2 1 * *", "cron"),
            ("10 0 2 * * *", "cron"),
            ("@daily", "cron"),
        ] {
            let form = shown(cron);
            assert_eq!(form.when, when, "{cron}");
            let saved = saved(&form).unwrap();
            let same = saved == cron || saved.replace("1,2,3,4,5", "1-5") == cron;
            assert!(same, "{cron} became {saved}");
        }
    }

    #[test]
    fn an_interval_is_shown_in_the_longest_unit_that_fits() {
        let mut form = Typed::new();
        for (seconds, every, unit) in [
            (90, "90", "seconds"),
            (1800, "30", "minutes"),
            (7200, "2", "hours"),
            (86_400, "1", "days"),
        ] {
            form.set_interval(seconds);
            assert_eq!((form.every.as_str(), form.unit.as_str()), (every, unit));
            assert_eq!(form.document()["every_seconds"], seconds);
        }
    }

    #[test]
    fn an_instant_is_typed_on_the_zones_clock_unless_that_says_it_twice() {
        let at = |text: &str| text.parse().unwrap();
        let berlin = "Europe/Berlin";
        let written = |text: &str| written_instant(at(text), berlin);
        assert_eq!(written("2026-08-01T01:00:00Z"), "2026-08-01T03:00");
        assert_eq!(written("2026-08-01T01:00:07Z"), "2026-08-01T03:00:07");
        assert_eq!(written("2026-10-25T00:30:00Z"), "2026-10-25T02:30");
        assert_eq!(written("2026-10-25T01:30:00Z"), "2026-10-25T01:30:00Z");
    }
}
