//! Python's `strptime` and `strftime`, and the forms that the language adds: `%s`, `%s_as_float`, `%ms`,
//! `%epoch_microseconds`, `%_ms`.
//!
//! Texts are read by a regular expression that is put together from the same alternatives as Python's, so that short and odd
//! forms read alike. Nearly all texts have every field in its full width; those are read without it.

use std::fmt::Write as _;
use std::sync::OnceLock;

use chrono::{DateTime, Datelike as _, Days, FixedOffset, NaiveDate, TimeDelta, Timelike as _};
use regex::Regex;
use serde_json::Value;

use super::Moment;
use crate::expr::float_text;

/// A compiled format.
#[derive(Debug, Clone)]
pub(crate) struct Format {
    source: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Seconds,
    SecondsAsFloat,
    Milliseconds,
    Microseconds,
    Count,
    Fields(Fields),
}

#[derive(Debug, Clone)]
struct Fields {
    items: Vec<Item>,
    /// The pattern of texts; `None` for a format that can be written but not read.
    pattern: Option<String>,
    /// Compiled when the first text asks for it.
    reader: OnceLock<Option<Regex>>,
    /// Whether what is written says its offset.
    has_offset: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Text(String),
    Field(Field),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Year,
    ShortYear,
    Month,
    MonthName,
    MonthShort,
    Day,
    DayOfYear,
    Weekday,
    WeekdayShort,
    WeekdayNumber,
    IsoWeekday,
    Hour,
    Hour12,
    HalfDay,
    Minute,
    Second,
    Fraction,
    Milliseconds,
    Offset,
    ZoneName,
    IsoYear,
    IsoWeek,
    WeekFromSunday,
    WeekFromMonday,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

impl Format {
    /// Compiles a format; `Err` names the directive that is not supported.
    pub(crate) fn compile(source: &str) -> Result<Format, String> {
        let kind = match source {
            "%s" => Kind::Seconds,
            "%s_as_float" => Kind::SecondsAsFloat,
            "%ms" => Kind::Milliseconds,
            "%epoch_microseconds" => Kind::Microseconds,
            _ => Kind::Fields(Fields::compile(source)?),
        };
        let source = source.to_owned();
        Ok(Format { source, kind })
    }

    /// The format of a cursor that counts: whole numbers, which stand for moments so that one kind of cursor does for both. Each is as many
    /// nanoseconds after 1970, so that every number of 64 bits has its own.
    pub(crate) fn count() -> Format {
        Format {
            source: String::new(),
            kind: Kind::Count,
        }
    }

    /// The last moment that a cursor of this format can come to.
    pub(crate) fn last_count() -> Moment {
        DateTime::from_timestamp_nanos(i64::MAX).fixed_offset()
    }

    /// Compiles a format of Python's own, without the forms that the language adds.
    pub(crate) fn python(source: &str) -> Result<Format, String> {
        let kind = match source {
            "%s" => Kind::Seconds,
            _ => Kind::Fields(Fields::compile(source)?),
        };
        let source = source.to_owned();
        Ok(Format { source, kind })
    }

    /// The format as written in the manifest.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Whether texts of this format can be read.
    pub(crate) fn can_read(&self) -> bool {
        match &self.kind {
            Kind::Fields(fields) => fields.pattern.is_some(),
            _ => true,
        }
    }

    /// Reads a value of a record, a state or a config. Without an offset a moment is in UTC.
    pub(crate) fn read(&self, value: &Value) -> Option<Moment> {
        match &self.kind {
            Kind::Seconds => from_micros(integer(value)?.checked_mul(1_000_000)?),
            Kind::Milliseconds => from_micros(integer(value)?.checked_mul(1_000)?),
            Kind::Microseconds => from_micros(integer(value)?),
            Kind::Count => Some(DateTime::from_timestamp_nanos(integer(value)?).fixed_offset()),
            Kind::SecondsAsFloat => {
                let seconds = match value {
                    Value::Number(number) => number.as_f64(),
                    Value::String(text) => text.trim().parse().ok(),
                    _ => None,
                }?;
                let micros = (seconds * 1_000_000.0).round_ties_even();
                if micros.abs() < 1e18 {
                    #[expect(clippy::cast_possible_truncation, reason = "bounded just above")]
                    from_micros(micros as i64)
                } else {
                    None
                }
            }
            Kind::Fields(fields) => match value {
                Value::String(text) => fields.read(text),
                Value::Number(number) => fields.read(&number.to_string()),
                _ => None,
            },
        }
    }

    /// Reads a text, or the digits of a number, as [`read`](Self::read) does.
    pub(crate) fn read_text(&self, text: &str) -> Option<Moment> {
        self.read(&Value::String(text.to_owned()))
    }

    /// A moment as records and states have it.
    pub(crate) fn written(&self, moment: Moment) -> Value {
        match (&self.kind, moment.timestamp_nanos_opt()) {
            (Kind::Count, Some(count)) => Value::from(count),
            _ => Value::String(self.write(moment)),
        }
    }

    /// Writes a moment. A format that does not say its offset is written in UTC, because that is how it would be read; the
    /// reference writes the digits of whatever offset the moment came with.
    pub(crate) fn write(&self, moment: Moment) -> String {
        #[expect(
            clippy::cast_precision_loss,
            reason = "the reference goes through floats too"
        )]
        let seconds = moment.timestamp_micros() as f64 / 1_000_000.0;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a calendar's seconds are far within"
        )]
        let whole = |number: f64| (number as i64).to_string();
        match &self.kind {
            Kind::Seconds => whole(seconds),
            Kind::SecondsAsFloat => float_text(seconds),
            Kind::Milliseconds => whole(seconds * 1000.0),
            Kind::Microseconds => whole(seconds * 1_000_000.0),
            Kind::Count => moment.timestamp_nanos_opt().unwrap_or(i64::MAX).to_string(),
            Kind::Fields(fields) if fields.has_offset => fields.write(moment),
            Kind::Fields(fields) => fields.write(moment.to_utc().fixed_offset()),
        }
    }

    /// Writes the digits of the moment's own offset, as `strftime` does.
    pub(crate) fn write_local(&self, moment: Moment) -> String {
        match &self.kind {
            Kind::Fields(fields) => fields.write(moment),
            _ => self.write(moment),
        }
    }
}

/// Python's `int()`.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64().filter(|float| float.abs() < 1e18)?;
            #[expect(clippy::cast_possible_truncation, reason = "bounded just above")]
            Some(float.trunc() as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn from_micros(micros: i64) -> Option<Moment> {
    let moment = DateTime::from_timestamp_micros(micros)?.fixed_offset();
    (1..=9999).contains(&moment.year()).then_some(moment)
}

impl Fields {
    fn compile(source: &str) -> Result<Fields, String> {
        let mut items: Vec<Item> = Vec::new();
        let mut text = String::new();
        let mut rest = source;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            if c != '%' {
                text.push(c);
                continue;
            }
            if let Some(after) = rest.strip_prefix("_ms") {
                rest = after;
                flush(&mut text, &mut items);
                items.push(Item::Field(Field::Milliseconds));
                continue;
            }
            let Some(directive) = rest.chars().next() else {
                return Err(format!("the datetime format \"{source}\" ends with a %"));
            };
            rest = &rest[directive.len_utf8()..];
            match directive {
                '%' => text.push('%'),
                'F' => items.extend(written(
                    &mut text,
                    &[(Field::Year, "-"), (Field::Month, "-"), (Field::Day, "")],
                )),
                'T' => items.extend(written(
                    &mut text,
                    &[
                        (Field::Hour, ":"),
                        (Field::Minute, ":"),
                        (Field::Second, ""),
                    ],
                )),
                _ => {
                    let Some(field) = field_of(directive) else {
                        return Err(format!(
                            "the datetime format \"{source}\" holds %{directive}, which is not supported; supported: \
                             %Y %y %m %B %b %d %j %A %a %w %u %H %I %p %M %S %f %_ms %z %Z %G %V %U %W %F %T %%, and \
                             as the whole format %s, %s_as_float, %ms, %epoch_microseconds"
                        ));
                    };
                    flush(&mut text, &mut items);
                    items.push(Item::Field(field));
                }
            }
        }
        flush(&mut text, &mut items);
        let has_offset = items
            .iter()
            .any(|item| matches!(item, Item::Field(Field::Offset | Field::ZoneName)));
        let pattern = pattern(source, &items);
        Ok(Fields {
            items,
            pattern,
            reader: OnceLock::new(),
            has_offset,
        })
    }

    fn read(&self, text: &str) -> Option<Moment> {
        let pattern = self.pattern.as_ref()?;
        if let Some(found) = self.read_full_width(text) {
            return found.moment();
        }
        let reader = self.reader.get_or_init(|| Regex::new(pattern).ok());
        let reader = reader.as_ref()?;
        let captures = reader.captures(text)?;
        if captures.get(0)?.end() != text.len() {
            return None;
        }
        let mut found = Found::default();
        let mut group = 1;
        for item in &self.items {
            if let Item::Field(field) = item {
                found.take(*field, captures.get(group)?.as_str())?;
                group += 1;
            }
        }
        found.moment()
    }

    /// Reads a text in which every number has its full width; `None` if it is not of that kind.
    fn read_full_width(&self, text: &str) -> Option<Found> {
        let mut found = Found::default();
        let mut rest = text;
        for item in &self.items {
            let width = match item {
                Item::Text(literal) => {
                    if literal.contains(char::is_whitespace) {
                        return None;
                    }
                    rest = rest.strip_prefix(literal.as_str())?;
                    continue;
                }
                Item::Field(Field::Year) => 4,
                Item::Field(
                    Field::Month | Field::Day | Field::Hour | Field::Minute | Field::Second,
                ) => 2,
                Item::Field(Field::Fraction | Field::Milliseconds) => {
                    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                    if digits == 0 {
                        return None;
                    }
                    digits.min(6)
                }
                Item::Field(Field::Offset) => match rest.bytes().next()? {
                    b'Z' => 1,
                    _ if rest.as_bytes().get(3) == Some(&b':') => 6,
                    _ => 5,
                },
                Item::Field(_) => return None,
            };
            let (part, tail) = rest.split_at_checked(width)?;
            let digits = part.bytes().all(|byte| byte.is_ascii_digit());
            if !digits && *item != Item::Field(Field::Offset) {
                return None;
            }
            let Item::Field(field) = item else {
                return None;
            };
            found.take(*field, part)?;
            rest = tail;
        }
        rest.is_empty().then_some(found)
    }

    fn write(&self, moment: Moment) -> String {
        let mut out = String::with_capacity(32);
        for item in &self.items {
            match item {
                Item::Text(text) => out.push_str(text),
                // Writing to a String cannot fail.
                Item::Field(field) => drop(field.write(&mut out, moment)),
            }
        }
        out
    }
}

fn flush(text: &mut String, items: &mut Vec<Item>) {
    if !text.is_empty() {
        items.push(Item::Text(std::mem::take(text)));
    }
}

/// The fields of a shorthand, with the text that follows each of them.
fn written(text: &mut String, fields: &[(Field, &str)]) -> Vec<Item> {
    let mut items = Vec::with_capacity(fields.len() * 2 + 1);
    flush(text, &mut items);
    for (field, after) in fields {
        items.push(Item::Field(*field));
        if !after.is_empty() {
            items.push(Item::Text((*after).to_owned()));
        }
    }
    items
}

fn field_of(directive: char) -> Option<Field> {
    Some(match directive {
        'Y' => Field::Year,
        'y' => Field::ShortYear,
        'm' => Field::Month,
        'B' => Field::MonthName,
        'b' => Field::MonthShort,
        'd' => Field::Day,
        'j' => Field::DayOfYear,
        'A' => Field::Weekday,
        'a' => Field::WeekdayShort,
        'w' => Field::WeekdayNumber,
        'u' => Field::IsoWeekday,
        'H' => Field::Hour,
        'I' => Field::Hour12,
        'p' => Field::HalfDay,
        'M' => Field::Minute,
        'S' => Field::Second,
        'f' => Field::Fraction,
        'z' => Field::Offset,
        'Z' => Field::ZoneName,
        'G' => Field::IsoYear,
        'V' => Field::IsoWeek,
        'U' => Field::WeekFromSunday,
        'W' => Field::WeekFromMonday,
        _ => return None,
    })
}

/// Python's pattern for reading; `None` where a field can only be written, or comes twice.
fn pattern(source: &str, items: &[Item]) -> Option<String> {
    // Python reads these shorthands nowhere.
    if source.contains("%F") || source.contains("%T") {
        return None;
    }
    let mut pattern = String::from("(?i)\\A");
    let mut seen = Vec::new();
    for item in items {
        match item {
            Item::Text(text) => {
                let mut in_space = false;
                for c in text.chars() {
                    if c.is_whitespace() {
                        if !in_space {
                            pattern.push_str("\\s+");
                        }
                        in_space = true;
                    } else {
                        pattern.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
                        in_space = false;
                    }
                }
            }
            Item::Field(field) => {
                if seen.contains(field) {
                    return None;
                }
                seen.push(*field);
                pattern.push('(');
                pattern.push_str(&field.pattern()?);
                pattern.push(')');
            }
        }
    }
    if seen.contains(&Field::Fraction) && seen.contains(&Field::Milliseconds) {
        return None;
    }
    Some(pattern)
}

impl Field {
    fn pattern(self) -> Option<String> {
        let names = |names: &[&str], length: usize| {
            let cut = |name: &&str| name.chars().take(length).collect::<String>();
            names.iter().map(cut).collect::<Vec<_>>().join("|")
        };
        Some(match self {
            Field::Year => "[0-9]{4}".to_owned(),
            Field::ShortYear => "[0-9]{2}".to_owned(),
            Field::Month | Field::Hour12 => "1[0-2]|0[1-9]|[1-9]".to_owned(),
            Field::MonthName => names(&MONTHS, 12),
            Field::MonthShort => names(&MONTHS, 3),
            Field::Day => "3[0-1]|[1-2][0-9]|0[1-9]|[1-9]| [1-9]".to_owned(),
            Field::DayOfYear => {
                "36[0-6]|3[0-5][0-9]|[1-2][0-9][0-9]|0[1-9][0-9]|00[1-9]|[1-9][0-9]|0[1-9]|[1-9]"
                    .to_owned()
            }
            Field::Weekday => names(&WEEKDAYS, 12),
            Field::WeekdayShort => names(&WEEKDAYS, 3),
            Field::WeekdayNumber => "[0-6]".to_owned(),
            Field::Hour => "2[0-3]|[0-1][0-9]|[0-9]".to_owned(),
            Field::HalfDay => "am|pm".to_owned(),
            Field::Minute => "[0-5][0-9]|[0-9]".to_owned(),
            Field::Second => "6[0-1]|[0-5][0-9]|[0-9]".to_owned(),
            Field::Fraction | Field::Milliseconds => "[0-9]{1,6}".to_owned(),
            Field::Offset => {
                "[+-][0-9]{2}:?[0-5][0-9](?::?[0-5][0-9](?:\\.[0-9]{1,6})?)?|(?-i:Z)".to_owned()
            }
            Field::ZoneName => "utc|gmt".to_owned(),
            // Python reads weeks only together with other fields; no manifest is known to.
            Field::IsoWeekday
            | Field::IsoYear
            | Field::IsoWeek
            | Field::WeekFromSunday
            | Field::WeekFromMonday => return None,
        })
    }

    fn write(self, out: &mut String, moment: Moment) -> std::fmt::Result {
        let name = |names: &[&'static str], place: u32, length: usize| {
            let name = names.get(place as usize).copied().unwrap_or_default();
            name.get(..length.min(name.len())).unwrap_or(name)
        };
        let weekday = moment.weekday();
        let hour12 = (moment.hour() + 11) % 12 + 1;
        let micros = moment.timestamp_subsec_micros();
        let sunday_week = |offset: u32| (moment.ordinal0() + 7 - offset) / 7;
        match self {
            Field::Year => write!(out, "{}", moment.year()),
            Field::ShortYear => write!(out, "{:02}", moment.year().rem_euclid(100)),
            Field::Month => write!(out, "{:02}", moment.month()),
            Field::MonthName => out.write_str(name(&MONTHS, moment.month0(), 12)),
            Field::MonthShort => out.write_str(name(&MONTHS, moment.month0(), 3)),
            Field::Day => write!(out, "{:02}", moment.day()),
            Field::DayOfYear => write!(out, "{:03}", moment.ordinal()),
            Field::Weekday => out.write_str(name(&WEEKDAYS, weekday.num_days_from_monday(), 12)),
            Field::WeekdayShort => {
                out.write_str(name(&WEEKDAYS, weekday.num_days_from_monday(), 3))
            }
            Field::WeekdayNumber => write!(out, "{}", weekday.num_days_from_sunday()),
            Field::IsoWeekday => write!(out, "{}", weekday.number_from_monday()),
            Field::Hour => write!(out, "{:02}", moment.hour()),
            Field::Hour12 => write!(out, "{hour12:02}"),
            Field::HalfDay => out.write_str(if moment.hour() < 12 { "AM" } else { "PM" }),
            Field::Minute => write!(out, "{:02}", moment.minute()),
            Field::Second => write!(out, "{:02}", moment.second()),
            Field::Fraction => write!(out, "{micros:06}"),
            Field::Milliseconds => write!(out, "{:03}", micros / 1_000),
            Field::Offset => {
                let seconds = moment.offset().local_minus_utc();
                let sign = if seconds < 0 { '-' } else { '+' };
                let (minutes, rest) = (seconds.abs() / 60, seconds.abs() % 60);
                write!(out, "{sign}{:02}{:02}", minutes / 60, minutes % 60)?;
                if rest == 0 {
                    Ok(())
                } else {
                    write!(out, "{rest:02}")
                }
            }
            Field::ZoneName => {
                out.write_str("UTC")?;
                if moment.offset().local_minus_utc() == 0 {
                    Ok(())
                } else {
                    write!(out, "{}", moment.offset())
                }
            }
            Field::IsoYear => write!(out, "{}", moment.iso_week().year()),
            Field::IsoWeek => write!(out, "{:02}", moment.iso_week().week()),
            Field::WeekFromSunday => {
                write!(out, "{:02}", sunday_week(weekday.num_days_from_sunday()))
            }
            Field::WeekFromMonday => {
                write!(out, "{:02}", sunday_week(weekday.num_days_from_monday()))
            }
        }
    }
}

/// Fields as they are read.
#[derive(Debug, Default)]
struct Found {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    hour: u32,
    hour12: Option<u32>,
    afternoon: Option<bool>,
    minute: u32,
    second: u32,
    micros: u32,
    offset: Option<FixedOffset>,
}

impl Found {
    fn take(&mut self, field: Field, text: &str) -> Option<()> {
        let number = || text.trim_start().parse::<u32>().ok();
        let place = |names: &[&str]| {
            let same = |name: &str| {
                name.get(..text.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(text))
            };
            names.iter().position(|name| same(name))
        };
        match field {
            Field::Year => self.year = Some(text.parse().ok()?),
            Field::ShortYear => {
                let year: i32 = text.parse().ok()?;
                self.year = Some(year + if year < 69 { 2000 } else { 1900 });
            }
            Field::Month => self.month = Some(number()?),
            Field::MonthName | Field::MonthShort => {
                self.month = u32::try_from(place(&MONTHS)? + 1).ok();
            }
            Field::Day => self.day = Some(number()?),
            Field::DayOfYear => self.day_of_year = Some(number()?),
            Field::Hour => self.hour = number()?,
            Field::Hour12 => self.hour12 = Some(number()?),
            Field::HalfDay => self.afternoon = Some(text.eq_ignore_ascii_case("pm")),
            Field::Minute => self.minute = number()?,
            Field::Second => self.second = number()?,
            Field::Fraction | Field::Milliseconds => {
                let missing = u32::try_from(6usize.checked_sub(text.len())?).ok()?;
                self.micros = number()? * 10u32.pow(missing);
            }
            Field::Offset => self.offset = Some(offset(text)?),
            // A weekday's name does not move the day.
            _ => {}
        }
        Some(())
    }

    fn moment(self) -> Option<Moment> {
        let year = self.year.unwrap_or(1900);
        if !(1..=9999).contains(&year) {
            return None;
        }
        let date = match (self.day_of_year, self.month, self.day) {
            // Day 366 of a short year is the first of the next, as in Python.
            (Some(day), None, None) => NaiveDate::from_yo_opt(year, 1)
                .and_then(|first| first.checked_add_days(Days::new(u64::from(day) - 1))),
            _ => NaiveDate::from_ymd_opt(year, self.month.unwrap_or(1), self.day.unwrap_or(1)),
        }?;
        let hour = match (self.hour12, self.afternoon) {
            (Some(hour), Some(true)) => hour % 12 + 12,
            (Some(hour), _) => hour % 12,
            (None, _) => self.hour,
        };
        let time = date.and_hms_micro_opt(hour, self.minute, self.second, self.micros)?;
        match self.offset {
            None => Some(time.and_utc().fixed_offset()),
            Some(offset) => time.and_local_timezone(offset).single(),
        }
    }
}

/// `Z`, `+0100`, `+01:00`, `+01:00:30`. Fractions of a second are of no place on earth.
fn offset(text: &str) -> Option<FixedOffset> {
    if text == "Z" {
        return FixedOffset::east_opt(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if !text.starts_with(['+', '-']) || digits.len() < 4 || text.contains('.') {
        return None;
    }
    let part = |from: usize| -> Option<i64> {
        match digits.get(from..from + 2) {
            Some(pair) => pair.parse().ok(),
            None => Some(0),
        }
    };
    let seconds =
        TimeDelta::hours(part(0)?) + TimeDelta::minutes(part(2)?) + TimeDelta::seconds(part(4)?);
    FixedOffset::east_opt(i32::try_from(seconds.num_seconds()).ok()? * sign)
}
