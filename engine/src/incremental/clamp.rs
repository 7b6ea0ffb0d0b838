//! `clamping`: slices that begin and end with whole days, weeks or months.

use chrono::{Datelike as _, Days, NaiveDate, NaiveDateTime, Weekday};
use serde_json::Value;

use crate::expr::{EvalError, Place, Scope, Template};
use crate::load::component::{Component, Problems};
use crate::request::value::{FieldError, at};
use crate::time::{Moment, Span};

/// `clamping` of a cursor.
#[derive(Debug, Clone)]
pub(crate) struct Clamping {
    target: Template,
    weekday: Option<Weekday>,
}

/// What moments are clamped to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clamp {
    Day,
    /// Weeks that begin with this day.
    Week(Weekday),
    Month,
}

const TARGETS: &str = "one of DAY, WEEK and MONTH is needed here";
const WEEKDAYS: &[(&str, Weekday)] = &[
    ("MONDAY", Weekday::Mon),
    ("TUESDAY", Weekday::Tue),
    ("WEDNESDAY", Weekday::Wed),
    ("THURSDAY", Weekday::Thu),
    ("FRIDAY", Weekday::Fri),
    ("SATURDAY", Weekday::Sat),
    ("SUNDAY", Weekday::Sun),
];

impl Clamping {
    /// The field `clamping` of a cursor, if it has one.
    pub(super) fn load(cursor: &Component<'_>, problems: &mut Problems) -> Option<Clamping> {
        let value = cursor.get("clamping")?;
        let path = cursor.path_of("clamping");
        let place = format!("{path}/target");
        let Some(target) = value.get("target") else {
            problems.add(place, TARGETS);
            return None;
        };
        let target = cursor.template_of(target, &place, Place::CONFIG, problems)?;
        let named = value
            .get("target_details")
            .and_then(|details| details.get("weekday"))
            .filter(|weekday| !weekday.is_null());
        let weekday = named.and_then(Value::as_str).and_then(|name| {
            let known = WEEKDAYS.iter().find(|(known, _)| *known == name);
            known.map(|(_, weekday)| *weekday)
        });
        let details = format!("{path}/target_details/weekday");
        let needs_weekday = target.constant() == Some("WEEK");
        if weekday.is_none() && (named.is_some() || needs_weekday) {
            problems.add(details, "a day of the week such as MONDAY is needed here");
        }
        if target
            .constant()
            .is_some_and(|target| !matches!(target, "DAY" | "WEEK" | "MONTH"))
        {
            problems.add(place, TARGETS);
        }
        Some(Clamping { target, weekday })
    }

    pub(super) fn evaluate(&self, scope: &Scope<'_>) -> Result<Clamp, FieldError> {
        let failed = |error| at(&self.target, error);
        let target = self.target.text(scope).map_err(failed)?;
        match (target.as_str(), self.weekday) {
            ("DAY", _) => Ok(Clamp::Day),
            ("WEEK", Some(weekday)) => Ok(Clamp::Week(weekday)),
            ("MONTH", _) => Ok(Clamp::Month),
            ("WEEK", None) => {
                let message = "weeks need target_details with a weekday".to_owned();
                Err(failed(EvalError::Value(message)))
            }
            _ => Err(failed(EvalError::Value(format!("\"{target}\": {TARGETS}")))),
        }
    }
}

impl Clamp {
    /// The beginning of the period that comes next. A moment on the first day of a week or month stays with that day's beginning.
    pub(crate) fn up(self, moment: Moment) -> Moment {
        let day = moment.date_naive();
        let up = match self {
            Clamp::Day if begins(moment) => Some(day),
            Clamp::Day => day.succ_opt(),
            Clamp::Week(first) => {
                let missing = first.days_since(day.weekday());
                day.checked_add_days(Days::new(u64::from(missing)))
            }
            Clamp::Month if day.day() == 1 => Some(day),
            Clamp::Month => first_of_next_month(day),
        };
        up.map_or(moment, |day| at_midnight(moment, day))
    }

    /// The beginning of the period that a moment lies in.
    pub(crate) fn down(self, moment: Moment) -> Moment {
        let day = moment.date_naive();
        let down = match self {
            Clamp::Day => Some(day),
            Clamp::Week(first) => {
                let passed = day.weekday().days_since(first);
                day.checked_sub_days(Days::new(u64::from(passed)))
            }
            Clamp::Month => day.with_day(1),
        };
        down.map_or(moment, |day| at_midnight(moment, day))
    }

    /// The last moment of the last whole period before an end.
    pub(crate) fn last_before(self, end: Moment, granularity: Option<Span>) -> Moment {
        let unit = granularity.or_else(|| {
            Span::parse(match self {
                Clamp::Day => "PT1S",
                Clamp::Week(_) | Clamp::Month => "P1D",
            })
        });
        let down = self.down(end);
        unit.and_then(|unit| unit.before(down)).unwrap_or(down)
    }
}

fn begins(moment: Moment) -> bool {
    at_midnight(moment, moment.date_naive()) == moment
}

fn first_of_next_month(day: NaiveDate) -> Option<NaiveDate> {
    match day.month() {
        12 => NaiveDate::from_ymd_opt(day.year() + 1, 1, 1),
        month => NaiveDate::from_ymd_opt(day.year(), month + 1, 1),
    }
}

/// The beginning of a day, with the offset of a moment.
fn at_midnight(moment: Moment, day: NaiveDate) -> Moment {
    let midnight = NaiveDateTime::from(day);
    midnight
        .and_local_timezone(*moment.offset())
        .single()
        .unwrap_or(moment)
}
