//! Python's datetimes, dates and durations within expressions.

use std::cmp::Ordering;

use chrono::{DateTime, Datelike as _, NaiveDate, TimeDelta, Timelike as _, Utc};
use serde_json::Value;

use super::kept::Kept;
use super::number::{self, Arithmetic};
use super::value::Val;
use crate::time::{Format, Moment, Span, in_utc, iso};

/// Formats of Python's own, and of the language: those of all connectors that are read at the same time.
static PYTHON_FORMATS: Kept<Format> = Kept::new(256);
static FORMATS: Kept<Format> = Kept::new(256);

/// A value that is neither JSON nor a collection of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Dated {
    Moment(Moment),
    Date(NaiveDate),
    Span(Span),
}

impl Dated {
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Dated::Moment(_) => "datetime",
            Dated::Date(_) => "date",
            Dated::Span(_) => "timedelta",
        }
    }

    /// Only a duration of no length is false.
    pub(crate) fn is_true(&self) -> bool {
        *self != Dated::Span(Span::default())
    }

    /// Python's `str()`.
    pub(crate) fn to_text(&self) -> String {
        match self {
            Dated::Moment(moment) if moment.timestamp_subsec_micros() == 0 => {
                moment.format("%Y-%m-%d %H:%M:%S%:z").to_string()
            }
            Dated::Moment(moment) => moment.format("%Y-%m-%d %H:%M:%S%.6f%:z").to_string(),
            Dated::Date(date) => date.format("%Y-%m-%d").to_string(),
            Dated::Span(span) => span_text(*span),
        }
    }

    /// Python's order; values of different kinds have none.
    pub(crate) fn compare(&self, other: &Dated) -> Option<Ordering> {
        match (self, other) {
            (Dated::Moment(left), Dated::Moment(right)) => Some(left.cmp(right)),
            (Dated::Date(left), Dated::Date(right)) => Some(left.cmp(right)),
            (Dated::Span(left), Dated::Span(right)) => match (left.parts(), right.parts()) {
                ((0, left), (0, right)) => Some(left.cmp(&right)),
                _ => None,
            },
            _ => None,
        }
    }

    /// A member such as `.year`.
    pub(crate) fn attribute(&self, name: &str) -> Option<Value> {
        let date = match self {
            Dated::Moment(moment) => moment.date_naive(),
            Dated::Date(date) => *date,
            Dated::Span(span) => {
                let days = span.parts().1.num_seconds().div_euclid(86_400);
                return (name == "days").then(|| Value::from(days));
            }
        };
        let of_day = |name: &str| {
            let Dated::Moment(moment) = self else {
                return None;
            };
            Some(match name {
                "hour" => moment.hour(),
                "minute" => moment.minute(),
                "second" => moment.second(),
                "microsecond" => moment.timestamp_subsec_micros(),
                _ => return None,
            })
        };
        Some(match name {
            "year" => Value::from(date.year()),
            "month" => Value::from(date.month()),
            "day" => Value::from(date.day()),
            _ => Value::from(of_day(name)?),
        })
    }

    /// A method; `None` if this kind of value does not have it.
    pub(crate) fn call<'a>(
        &self,
        method: &str,
        argument: Option<&Val<'a>>,
    ) -> Option<Result<Val<'a>, String>> {
        let date = match self {
            Dated::Moment(moment) => moment.date_naive(),
            Dated::Date(date) => *date,
            Dated::Span(span) => {
                let (months, fixed) = span.parts();
                let total = method == "total_seconds" && months == 0;
                return total.then(|| float(seconds(fixed)));
            }
        };
        Some(match (method, self) {
            ("strftime", _) => match argument.and_then(Val::as_str) {
                Some(format) => self.strftime(format).map(Val::text),
                None => Err("strftime() needs a format".to_owned()),
            },
            ("isoformat", Dated::Moment(_)) => Ok(Val::text(self.to_text().replacen(' ', "T", 1))),
            ("isoformat", _) => Ok(Val::text(self.to_text())),
            ("date", Dated::Moment(_)) => Ok(Val::Dated(Dated::Date(date))),
            ("weekday", _) => Ok(Val::json(Value::from(
                date.weekday().num_days_from_monday(),
            ))),
            ("isoweekday", _) => Ok(Val::json(Value::from(date.weekday().number_from_monday()))),
            ("timestamp", Dated::Moment(moment)) => float(timestamp(*moment)),
            _ => return None,
        })
    }

    fn strftime(&self, format: &str) -> Result<String, String> {
        let moment = match self {
            Dated::Moment(moment) => *moment,
            Dated::Date(date) => midnight(*date).ok_or("a date beyond the calendar")?,
            Dated::Span(_) => return Err("a duration has no strftime()".to_owned()),
        };
        Ok(PYTHON_FORMATS
            .get(format, Format::python)?
            .write_local(moment))
    }

    /// `left operator right`, where at least one of them is dated; `None` if Python does not have it.
    pub(crate) fn arithmetic(
        operator: Arithmetic,
        left: &Val<'_>,
        right: &Val<'_>,
    ) -> Option<Dated> {
        use Arithmetic::{Add, Multiply, Subtract};
        match (operator, left, right) {
            (
                Add,
                Val::Dated(Dated::Span(span)),
                Val::Dated(of @ (Dated::Moment(_) | Dated::Date(_))),
            )
            | (Add, Val::Dated(of), Val::Dated(Dated::Span(span))) => of.moved(*span),
            // The days of a duration are counted before it is turned around.
            (Subtract, Val::Dated(of @ Dated::Date(_)), Val::Dated(Dated::Span(span))) => {
                of.moved(span.in_days().negative())
            }
            (Subtract, Val::Dated(of), Val::Dated(Dated::Span(span))) => of.moved(span.negative()),
            (Subtract, Val::Dated(Dated::Moment(left)), Val::Dated(Dated::Moment(right))) => {
                Some(Dated::Span(Span::between(*right, *left)))
            }
            (Subtract, Val::Dated(Dated::Date(left)), Val::Dated(Dated::Date(right))) => {
                let span = Span::between(midnight(*right)?, midnight(*left)?);
                Some(Dated::Span(span))
            }
            (Multiply, Val::Dated(Dated::Span(span)), Val::Json(times))
            | (Multiply, Val::Json(times), Val::Dated(Dated::Span(span))) => {
                span.times(times.as_i64()?).map(Dated::Span)
            }
            _ => None,
        }
    }

    fn moved(&self, span: Span) -> Option<Dated> {
        Some(match self {
            Dated::Moment(moment) => Dated::Moment(span.after(*moment)?),
            // A date takes the whole days of a duration.
            Dated::Date(date) => Dated::Date(span.in_days().after(midnight(*date)?)?.date_naive()),
            Dated::Span(other) => Dated::Span(other.and(span)?),
        })
    }
}

fn midnight(date: NaiveDate) -> Option<Moment> {
    Some(date.and_hms_opt(0, 0, 0)?.and_utc().fixed_offset())
}

#[expect(clippy::cast_precision_loss, reason = "Python's floats, too")]
fn seconds(fixed: TimeDelta) -> f64 {
    fixed.num_microseconds().unwrap_or(i64::MAX) as f64 / 1_000_000.0
}

#[expect(clippy::cast_precision_loss, reason = "Python's floats, too")]
fn timestamp(moment: Moment) -> f64 {
    moment.timestamp_micros() as f64 / 1_000_000.0
}

fn float<'a>(float: f64) -> Result<Val<'a>, String> {
    number::from_float(float)
        .map(Val::json)
        .ok_or_else(|| "a number beyond all bounds".to_owned())
}

/// `7 days, 1:00:00`, and with months as the language's library writes them.
fn span_text(span: Span) -> String {
    let (months, fixed) = span.parts();
    let micros = fixed.num_microseconds().unwrap_or(i64::MAX);
    let days = micros.div_euclid(86_400_000_000);
    let rest = micros.rem_euclid(86_400_000_000);
    let mut parts = Vec::new();
    let plural = |count: i64, unit: &str| {
        let s = if count.abs() == 1 { "" } else { "s" };
        format!("{count} {unit}{s}")
    };
    let (years, months) = (i64::from(months / 12), i64::from(months % 12));
    // The library does not count its years.
    if years != 0 {
        parts.push(format!("{years} years"));
    }
    if months != 0 {
        parts.push(plural(months, "month"));
    }
    if days != 0 {
        parts.push(plural(days, "day"));
    }
    let (whole, fraction) = (rest / 1_000_000, rest % 1_000_000);
    let mut clock = format!("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
    if fraction != 0 {
        clock.push_str(&format!(".{fraction:06}"));
    }
    parts.push(clock);
    parts.join(", ")
}

/// `now_utc()`.
pub(crate) fn now(now: DateTime<Utc>) -> Dated {
    Dated::Moment(in_utc(now))
}

/// `today_utc()`.
pub(crate) fn today(now: DateTime<Utc>) -> Dated {
    Dated::Date(now.date_naive())
}

/// `today_with_timezone()`.
pub(crate) fn today_in(now: DateTime<Utc>, zone: chrono_tz::Tz) -> Dated {
    Dated::Date(now.with_timezone(&zone).date_naive())
}

/// `day_delta(days, format)`.
pub(crate) fn day_delta(
    now: DateTime<Utc>,
    days: &Val<'_>,
    format: Option<&Val<'_>>,
) -> Result<String, String> {
    let days = days.as_json().and_then(Value::as_f64);
    let days = days.ok_or("day_delta() needs a number of days")?;
    let span = Span::from_days(days).ok_or("day_delta() leads beyond the calendar")?;
    let moment = span
        .after(in_utc(now))
        .ok_or("day_delta() leads beyond the calendar")?;
    let format = format
        .and_then(Val::as_str)
        .unwrap_or("%Y-%m-%dT%H:%M:%S.%f%z");
    Ok(PYTHON_FORMATS
        .get(format, Format::python)?
        .write_local(moment))
}

/// `duration(text)`.
pub(crate) fn duration(text: &Val<'_>) -> Result<Dated, String> {
    let span = text.as_str().and_then(Span::parse).map(Dated::Span);
    span.ok_or_else(|| format!("\"{}\": {}", text.to_text(), crate::time::SPAN_NEEDED))
}

/// `str_to_datetime(text)`.
pub(crate) fn str_to_datetime(text: &Val<'_>) -> Result<Moment, String> {
    let moment = text.as_str().and_then(iso::read);
    let moment = moment.ok_or_else(|| format!("\"{}\" is no ISO 8601 datetime", text.to_text()))?;
    Ok(moment.to_utc().fixed_offset())
}

/// `timestamp(value)`: whole seconds of a number, a float of a text.
pub(crate) fn to_timestamp<'a>(value: &Val<'a>) -> Result<Val<'a>, String> {
    let number = value.as_json().and_then(Value::as_number);
    match number {
        Some(number) => match number::as_integer(number) {
            Some(integer) => Ok(Val::json(number::from_integer(integer))),
            #[expect(clippy::cast_possible_truncation, reason = "Python's int() of a float")]
            None => Ok(Val::json(number::from_integer(
                number::as_float(number).trunc() as i128,
            ))),
        },
        None => float(timestamp(str_to_datetime(value)?)),
    }
}

/// `format_datetime(value, format, input_format)`.
pub(crate) fn format_datetime(
    value: &Val<'_>,
    format: &Val<'_>,
    input_format: Option<&Val<'_>>,
) -> Result<String, String> {
    let format = format.as_str().ok_or("format_datetime() needs a format")?;
    let input_format = input_format
        .and_then(Val::as_str)
        .filter(|format| !format.is_empty());
    if let Val::Dated(dated @ Dated::Moment(_)) = value {
        return dated.strftime(format);
    }
    let unreadable = |format: &str| {
        format!(
            "\"{}\" is no datetime of the format \"{format}\"",
            value.to_text()
        )
    };
    let is_number = value.as_json().is_some_and(Value::is_number);
    let moment = match (is_number, input_format) {
        (true, input_format) => {
            let input_format = input_format.unwrap_or("%s");
            let number = value.as_json().and_then(|number| {
                FORMATS
                    .get(input_format, Format::compile)
                    .ok()?
                    .read(number)
            });
            number.ok_or_else(|| unreadable(input_format))?
        }
        (false, Some(input_format)) => {
            let text = value.as_str().unwrap_or_default();
            PYTHON_FORMATS
                .get(input_format, Format::python)?
                .read_text(text)
                .ok_or_else(|| unreadable(input_format))?
        }
        (false, None) => str_to_datetime(value)?,
    };
    Ok(FORMATS.get(format, Format::compile)?.write_local(moment))
}
