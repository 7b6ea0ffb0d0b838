//! Presets: the schedules that most people want, as they would say them.
//!
//! ```yaml
//! hourly: {minute: 15}
//! daily: "02:00"
//! weekly: {days: [mon, fri], at: "06:30"}
//! monthly: {day: 1, at: "04:00"}          # or day: last
//! every: 30m                              # s, m, h or d
//! business_hours: {from: 9, to: 17}       # on the hour, the first and the last run included, Monday to Friday
//! ```
//!
//! A preset is another way to write a trigger, no other kind of it: `every` is an interval, all others are cron fields.
//! Numbers may be written as text, and times without leading zeros, since both may come from a variable:
//! `daily: "${env:HOUR}:${env:MINUTE}"`.

use chrono::{DateTime, Utc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{MAX_INTERVAL_SECONDS, Trigger, TriggerError};
use crate::words::words;

/// A schedule as people say it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Once an hour.
    Hourly(Hourly),
    /// Once a day: `"02:00"`.
    Daily(TimeOfDay),
    /// Once on some days of the week.
    Weekly(Weekly),
    /// Once a month.
    Monthly(Monthly),
    /// Again and again after the same time: `30m`.
    Every(Span),
    /// Hourly while people work.
    BusinessHours(BusinessHours),
}

/// Once an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hourly {
    /// The minute, 0 to 59.
    #[serde(default, deserialize_with = "minute")]
    pub minute: u8,
}

/// Once on some days of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weekly {
    /// The days, at least one.
    #[serde(deserialize_with = "some_days")]
    pub days: Vec<Weekday>,
    /// The time.
    pub at: TimeOfDay,
}

/// Once a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Monthly {
    /// The day.
    pub day: DayOfMonth,
    /// The time.
    pub at: TimeOfDay,
}

/// Hourly while people work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "BusinessHoursText")]
pub struct BusinessHours {
    /// The hour of the first run, 0 to 23.
    pub from: u8,
    /// The hour of the last run, 0 to 23, not before the first.
    pub to: u8,
    /// The days; Monday to Friday, if they are left out.
    pub days: Vec<Weekday>,
}

words! {
    /// A day of the week.
    pub enum Weekday {
        /// Monday.
        Monday = "mon",
        /// Tuesday.
        Tuesday = "tue",
        /// Wednesday.
        Wednesday = "wed",
        /// Thursday.
        Thursday = "thu",
        /// Friday.
        Friday = "fri",
        /// Saturday.
        Saturday = "sat",
        /// Sunday.
        Sunday = "sun",
    }
}

/// A time of day on the zone's clock: `"02:00"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay {
    hour: u8,
    minute: u8,
}

/// A length of time in whole seconds, as a number and `s`, `m`, `h` or `d`: `30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    seconds: i64,
}

/// A day that every month has: 1 to 28, or `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayOfMonth {
    /// 1 to 28.
    Day(u8),
    /// The last one.
    Last,
}

impl Preset {
    /// Reads a preset from the API's JSON or from YAML that was read as JSON.
    pub fn read(value: &serde_json::Value) -> Result<Self, TriggerError> {
        serde_json::from_value(value.clone()).map_err(|error| TriggerError {
            field: "preset",
            value: value.to_string(),
            problem: format!(
                "{error}; allowed: {{\"hourly\": {{\"minute\": 15}}}}, {{\"daily\": \"02:00\"}}, \
                 {{\"weekly\": {{\"days\": [\"mon\"], \"at\": \"06:30\"}}}}, \
                 {{\"monthly\": {{\"day\": 1, \"at\": \"04:00\"}}}}, {{\"every\": \"30m\"}}, \
                 {{\"business_hours\": {{\"from\": 9, \"to\": 17}}}}"
            ),
        })
    }

    /// The cron fields it stands for; `None`: it is an interval.
    pub fn cron(&self) -> Option<String> {
        Some(match self {
            Self::Hourly(Hourly { minute }) => format!("{minute} * * * *"),
            Self::Daily(at) => format!("{} * * *", at.fields()),
            Self::Weekly(weekly) => {
                format!("{} * * {}", weekly.at.fields(), day_numbers(&weekly.days))
            }
            Self::Monthly(Monthly { day, at }) => format!("{} {} * *", at.fields(), day.field()),
            Self::BusinessHours(hours) => {
                format!(
                    "0 {}-{} * * {}",
                    hours.from,
                    hours.to,
                    day_numbers(&hours.days)
                )
            }
            Self::Every(_) => return None,
        })
    }

    /// The length of the interval it stands for; `None`: it is cron fields.
    pub fn every_seconds(&self) -> Option<i64> {
        match self {
            Self::Every(span) => Some(span.seconds),
            _ => None,
        }
    }

    /// The trigger it stands for: cron fields in the zone, an interval from the anchor.
    pub fn trigger(&self, zone: &str, anchor: DateTime<Utc>) -> Result<Trigger, TriggerError> {
        match (self.cron(), self.every_seconds()) {
            (Some(cron), _) => Trigger::cron(&cron, zone),
            (None, seconds) => Trigger::interval(seconds.unwrap_or(0), anchor),
        }
    }
}

impl TimeOfDay {
    /// A time of day; `None` if there is no such time.
    pub fn new(hour: u8, minute: u8) -> Option<Self> {
        (hour < 24 && minute < 60).then_some(Self { hour, minute })
    }

    /// Its hour, 0 to 23.
    pub fn hour(self) -> u8 {
        self.hour
    }

    /// Its minute, 0 to 59.
    pub fn minute(self) -> u8 {
        self.minute
    }

    fn fields(self) -> String {
        format!("{} {}", self.minute, self.hour)
    }
}

impl Span {
    /// A length of 1 second to 366 days; `None` if it is none of these.
    pub fn of_seconds(seconds: i64) -> Option<Self> {
        (1..=MAX_INTERVAL_SECONDS)
            .contains(&seconds)
            .then_some(Self { seconds })
    }

    /// Its seconds.
    pub fn seconds(self) -> i64 {
        self.seconds
    }
}

impl DayOfMonth {
    fn field(self) -> String {
        match self {
            Self::Day(day) => day.to_string(),
            Self::Last => "L".to_owned(),
        }
    }
}

impl Weekday {
    /// Its number among cron's weekdays.
    fn number(self) -> u8 {
        match self {
            Self::Sunday => 0,
            Self::Monday => 1,
            Self::Tuesday => 2,
            Self::Wednesday => 3,
            Self::Thursday => 4,
            Self::Friday => 5,
            Self::Saturday => 6,
        }
    }
}

fn day_numbers(days: &[Weekday]) -> String {
    let mut numbers: Vec<u8> = days.iter().map(|day| day.number()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    match numbers.as_slice() {
        [1, 2, 3, 4, 5] => "1-5".to_owned(),
        [0, 1, 2, 3, 4, 5, 6] => "*".to_owned(),
        numbers => numbers
            .iter()
            .map(u8::to_string)
            .collect::<Vec<_>>()
            .join(","),
    }
}

/// Digits only: `parse` alone would take a sign.
fn number(text: &str, allowed: std::ops::RangeInclusive<i64>) -> Option<i64> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_digits)?;
    allowed.contains(&number).then_some(number)
}

fn small(text: &str, allowed: std::ops::RangeInclusive<i64>) -> Option<u8> {
    number(text, allowed).and_then(|number| u8::try_from(number).ok())
}

/// A number, or the same as text. By way of a JSON value, since that alone knows every form a number may come in.
struct NumberText(String);

impl<'de> Deserialize<'de> for NumberText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(from)? {
            serde_json::Value::Number(number) => Ok(Self(number.to_string())),
            serde_json::Value::String(text) => Ok(Self(text)),
            other => Err(D::Error::custom(format!("{other} is not a number"))),
        }
    }
}

fn minute<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    let text = NumberText::deserialize(from)?.0;
    small(&text, 0..=59).ok_or_else(|| D::Error::custom(format!("minute {text:?} is not 0 to 59")))
}

fn some_days<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Weekday>, D::Error> {
    let days = Vec::deserialize(from)?;
    if days.is_empty() {
        return Err(D::Error::custom(
            "days is empty; name at least one of mon to sun",
        ));
    }
    Ok(days)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BusinessHoursText {
    from: NumberText,
    to: NumberText,
    days: Option<Vec<Weekday>>,
}

impl TryFrom<BusinessHoursText> for BusinessHours {
    type Error = String;

    fn try_from(text: BusinessHoursText) -> Result<Self, String> {
        let hour = |name: &str, NumberText(text): NumberText| {
            small(&text, 0..=23).ok_or_else(|| format!("{name} {text:?} is not an hour, 0 to 23"))
        };
        let (from, to) = (hour("from", text.from)?, hour("to", text.to)?);
        if from > to {
            return Err(format!(
                "from {from} is after to {to}; hours over midnight take cron fields"
            ));
        }
        let days = text
            .days
            .unwrap_or_else(|| Weekday::ALL.iter().take(5).copied().collect());
        if days.is_empty() {
            return Err("days is empty; name at least one of mon to sun".to_owned());
        }
        Ok(Self { from, to, days })
    }
}

impl std::fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

impl std::str::FromStr for TimeOfDay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once(':')
            .filter(|(hour, minute)| hour.len() <= 2 && minute.len() <= 2);
        parts
            .and_then(|(hour, minute)| Self::new(small(hour, 0..=23)?, small(minute, 0..=59)?))
            .ok_or_else(|| format!("{text:?} is not a time of day, \"00:00\" to \"23:59\""))
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (number, unit) = match self.seconds {
            seconds if seconds % 86_400 == 0 => (seconds / 86_400, 'd'),
            seconds if seconds % 3600 == 0 => (seconds / 3600, 'h'),
            seconds if seconds % 60 == 0 => (seconds / 60, 'm'),
            seconds => (seconds, 's'),
        };
        write!(f, "{number}{unit}")
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
        let found = units.iter().find_map(|(unit, seconds)| {
            number(text.strip_suffix(*unit)?, 1..=MAX_INTERVAL_SECONDS)?.checked_mul(*seconds)
        });
        found.and_then(Self::of_seconds).ok_or_else(|| {
            format!("{text:?} is not a length of time: a number and s, m, h or d, 1s to 366d, for example 30m")
        })
    }
}

impl std::fmt::Display for DayOfMonth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Day(day) => day.fmt(f),
            Self::Last => f.write_str("last"),
        }
    }
}

impl std::str::FromStr for DayOfMonth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "last" {
            return Ok(Self::Last);
        }
        small(text, 1..=28).map(Self::Day).ok_or_else(|| {
            format!("day {text:?} is not 1 to 28, or \"last\": some months have no later day")
        })
    }
}

impl Serialize for DayOfMonth {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Day(day) => to.serialize_u8(*day),
            Self::Last => to.serialize_str("last"),
        }
    }
}

impl<'de> Deserialize<'de> for DayOfMonth {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        NumberText::deserialize(from)?
            .0
            .parse()
            .map_err(D::Error::custom)
    }
}

macro_rules! written_as_text {
    ($($name:ident),+) => { $(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(D::Error::custom)
            }
        }
    )+ };
}

written_as_text!(TimeOfDay, Span);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn anchor() -> DateTime<Utc> {
        "2026-01-01T00:00:00Z".parse().expect("an instant")
    }

    #[test]
    fn presets_are_triggers_and_say_the_same() {
        let cases = [
            (
                json!({"hourly": {"minute": 15}}),
                "15 * * * *",
                "Every hour, at 15 past, UTC",
            ),
            (
                json!({"hourly": {}}),
                "0 * * * *",
                "Every hour, on the hour, UTC",
            ),
            (
                json!({"daily": "02:00"}),
                "0 2 * * *",
                "Every day at 02:00, UTC",
            ),
            (
                json!({"weekly": {"days": ["fri", "mon"], "at": "06:30"}}),
                "30 6 * * 1,5",
                "Every Monday and Friday at 06:30, UTC",
            ),
            (
                json!({"weekly": {"days": ["mon", "tue", "wed", "thu", "fri"], "at": "06:30"}}),
                "30 6 * * 1-5",
                "Weekdays at 06:30, UTC",
            ),
            (
                json!({"monthly": {"day": 1, "at": "04:00"}}),
                "0 4 1 * *",
                "On the 1st of the month at 04:00, UTC",
            ),
            (
                json!({"monthly": {"day": "last", "at": "23:59"}}),
                "59 23 L * *",
                "On the last day of the month at 23:59, UTC",
            ),
            (
                json!({"business_hours": {"from": 9, "to": 17}}),
                "0 9-17 * * 1-5",
                "Every hour from 09:00 to 17:00, on weekdays, UTC",
            ),
            (
                json!({"business_hours": {"from": 8, "to": 10, "days": ["sat"]}}),
                "0 8-10 * * 6",
                "Every hour from 08:00 to 10:00, every Saturday, UTC",
            ),
        ];
        for (value, cron, words) in cases {
            let preset = Preset::read(&value).expect("a preset");
            assert_eq!(preset.cron().as_deref(), Some(cron), "{value}");
            assert_eq!(preset.every_seconds(), None);
            let trigger = preset.trigger("UTC", anchor()).expect("a trigger");
            assert_eq!(trigger.describe(), words, "{value}");
        }
        for (text, seconds, words) in [
            ("45s", 45, "Every 45 seconds"),
            ("30m", 1800, "Every 30 minutes"),
            ("2h", 7200, "Every 2 hours"),
            ("1d", 86_400, "Every 24 hours"),
        ] {
            let preset = Preset::read(&json!({"every": text})).expect("a preset");
            assert_eq!(
                (preset.cron(), preset.every_seconds()),
                (None, Some(seconds))
            );
            let trigger = preset.trigger("UTC", anchor()).expect("a trigger");
            assert_eq!(trigger.words().as_deref(), Some(words));
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for value in [
            json!({"hourly": {"minute": 15}}),
            json!({"daily": "02:00"}),
            json!({"weekly": {"days": ["mon", "fri"], "at": "06:30"}}),
            json!({"monthly": {"day": 1, "at": "04:00"}}),
            json!({"monthly": {"day": "last", "at": "04:00"}}),
            json!({"every": "30m"}),
            json!({"business_hours": {"from": 9, "to": 17, "days": ["mon", "sun"]}}),
        ] {
            let preset = Preset::read(&value).expect("a preset");
            assert_eq!(serde_json::to_value(&preset).expect("JSON"), value);
        }
    }

    #[test]
    fn variables_put_text_where_numbers_stand() {
        let same = [
            (
                json!({"hourly": {"minute": "5"}}),
                json!({"hourly": {"minute": 5}}),
            ),
            (json!({"daily": "2:0"}), json!({"daily": "02:00"})),
            (json!({"every": "3600s"}), json!({"every": "1h"})),
            (
                json!({"monthly": {"day": "3", "at": "4:05"}}),
                json!({"monthly": {"day": 3, "at": "04:05"}}),
            ),
            (
                json!({"business_hours": {"from": "09", "to": "17"}}),
                json!({"business_hours": {"from": 9, "to": 17}}),
            ),
        ];
        for (written, meant) in same {
            assert_eq!(Preset::read(&written), Preset::read(&meant), "{written}");
            assert!(Preset::read(&written).is_ok(), "{written}");
        }
    }

    #[test]
    fn bad_presets_are_refused_by_value_with_what_is_allowed() {
        let cases: [(Value, &str); 21] = [
            (
                json!({"hourly": {"minute": 60}}),
                "minute \"60\" is not 0 to 59",
            ),
            (
                json!({"hourly": {"minute": -1}}),
                "minute \"-1\" is not 0 to 59",
            ),
            (json!({"hourly": {"minutes": 5}}), "unknown field `minutes`"),
            (json!({"hourly": 5}), "invalid type"),
            (json!({"daily": "24:00"}), "\"24:00\" is not a time of day"),
            (json!({"daily": "02:60"}), "\"02:60\" is not a time of day"),
            (json!({"daily": "+2:00"}), "\"+2:00\" is not a time of day"),
            (
                json!({"daily": "002:00"}),
                "\"002:00\" is not a time of day",
            ),
            (json!({"daily": 2}), "invalid type"),
            (
                json!({"weekly": {"days": [], "at": "06:30"}}),
                "days is empty",
            ),
            (
                json!({"weekly": {"days": ["monday"], "at": "06:30"}}),
                "unknown variant `monday`",
            ),
            (json!({"weekly": {"at": "06:30"}}), "missing field `days`"),
            (
                json!({"monthly": {"day": 31, "at": "04:00"}}),
                "day \"31\" is not 1 to 28, or \"last\"",
            ),
            (
                json!({"monthly": {"day": 0, "at": "04:00"}}),
                "day \"0\" is not 1 to 28, or \"last\"",
            ),
            (json!({"every": "0s"}), "\"0s\" is not a length of time"),
            (json!({"every": "367d"}), "\"367d\" is not a length of time"),
            (
                json!({"every": "9999999999999999999d"}),
                "is not a length of time",
            ),
            (json!({"every": "30"}), "\"30\" is not a length of time"),
            (
                json!({"business_hours": {"from": 17, "to": 9}}),
                "from 17 is after to 9",
            ),
            (
                json!({"business_hours": {"from": 9, "to": 24}}),
                "to \"24\" is not an hour",
            ),
            (json!({"yearly": {}}), "unknown variant `yearly`"),
        ];
        for (value, problem) in cases {
            let error = Preset::read(&value).expect_err("refused");
            assert_eq!((error.field, error.value), ("preset", value.to_string()));
            assert!(
                error.problem.contains(problem),
                "{value}: {}",
                error.problem
            );
            assert!(error.problem.contains("allowed:"), "{}", error.problem);
        }
    }
}
