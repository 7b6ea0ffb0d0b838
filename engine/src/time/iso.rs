//! ISO 8601 moments as `dateutil.parser.isoparse` reads them. Without an offset they are in UTC.

use chrono::{FixedOffset, NaiveDate, TimeDelta, Weekday};

use super::Moment;

/// Reads `2024`, `2024-01`, `20240131`, `2024-01-31T10:20:30.5+02:00`, `2024-W05-3`, `2024-031` and the like.
pub(crate) fn read(text: &str) -> Option<Moment> {
    if !text.is_ascii() {
        return None;
    }
    let (date, rest) = date(text)?;
    let mut moment = date.and_hms_opt(0, 0, 0)?.and_utc().fixed_offset();
    if rest.is_empty() {
        return Some(moment);
    }
    // Any one character may stand between date and time.
    let time = rest.get(1..)?;
    let (clock, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(place) => time.split_at(place),
        None => (time, ""),
    };
    moment += clock_time(clock)?;
    if offset.is_empty() {
        return Some(moment);
    }
    let offset = offset_seconds(offset)?;
    let zone = FixedOffset::east_opt(offset)?;
    moment.naive_utc().and_local_timezone(zone).single()
}

fn date(text: &str) -> Option<(NaiveDate, &str)> {
    let year: i32 = digits(text, 0, 4)?.try_into().ok()?;
    let rest = text.get(4..)?;
    let first = |month: u32| NaiveDate::from_ymd_opt(year, month, 1);
    if rest.is_empty() {
        return Some((first(1)?, rest));
    }
    let (dash, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if let Some(week_text) = rest.strip_prefix('W') {
        let week = digits(week_text, 0, 2)?;
        let after = week_text.get(2..)?;
        let after_dash = if dash {
            after.strip_prefix('-')
        } else {
            Some(after)
        };
        let day = after_dash.and_then(|after| digits(after, 0, 1));
        let (day, after) = match (day, after_dash) {
            (Some(day), Some(after)) => (day, after.get(1..)?),
            _ => (1, after),
        };
        let weekday = Weekday::try_from(u8::try_from(day.checked_sub(1)?).ok()?).ok()?;
        return Some((NaiveDate::from_isoywd_opt(year, week, weekday)?, after));
    }
    let width = rest.bytes().take_while(u8::is_ascii_digit).count();
    if width == 3 {
        let date = NaiveDate::from_yo_opt(year, digits(rest, 0, 3)?)?;
        return Some((date, rest.get(3..)?));
    }
    let month = digits(rest, 0, 2)?;
    let after = rest.get(2..)?;
    if dash {
        let Some(day_text) = after.strip_prefix('-') else {
            return Some((first(month)?, after));
        };
        let day = digits(day_text, 0, 2)?;
        let date = NaiveDate::from_ymd_opt(year, month, day)?;
        return Some((date, day_text.get(2..)?));
    }
    match digits(after, 0, 2) {
        Some(day) => Some((NaiveDate::from_ymd_opt(year, month, day)?, after.get(2..)?)),
        None => Some((first(month)?, after)),
    }
}

fn clock_time(text: &str) -> Option<TimeDelta> {
    let (whole, fraction) = match text.split_once(['.', ',']) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let separated = whole.contains(':');
    let numbers: Vec<&str> = if separated {
        whole.split(':').collect()
    } else {
        let pairs = whole.len() / 2;
        (0..pairs)
            .map(|pair| &whole[pair * 2..pair * 2 + 2])
            .collect()
    };
    let whole_length = if separated {
        numbers.len() * 3 - 1
    } else {
        numbers.len() * 2
    };
    if numbers.is_empty() || numbers.len() > 3 || whole.len() != whole_length {
        return None;
    }
    let part = |place: usize, most: u32| match numbers.get(place) {
        None => Some(0),
        Some(text) => digits(text, 0, 2).filter(|number| *number <= most),
    };
    let (hour, minute, second) = (part(0, 24)?, part(1, 59)?, part(2, 59)?);
    let micros = match fraction {
        None => 0,
        Some(_) if numbers.len() < 3 => return None,
        Some(fraction) => {
            let known = fraction.get(..fraction.len().min(6))?;
            let all_digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
            if fraction.is_empty() || !all_digits {
                return None;
            }
            known.parse::<i64>().ok()? * 10i64.pow(u32::try_from(6 - known.len()).ok()?)
        }
    };
    let time = TimeDelta::hours(hour.into())
        + TimeDelta::minutes(minute.into())
        + TimeDelta::seconds(second.into())
        + TimeDelta::microseconds(micros);
    // 24:00 is the end of the day, and nothing comes after it.
    (time <= TimeDelta::days(1)).then_some(time)
}

fn offset_seconds(text: &str) -> Option<i32> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let rest = text.strip_prefix(['+', '-'])?;
    let hours = digits(rest, 0, 2)?;
    let minutes = match rest.get(2..)? {
        "" => 0,
        more => {
            let more = more.strip_prefix(':').unwrap_or(more);
            (more.len() == 2).then(|| digits(more, 0, 2))??
        }
    };
    let seconds = i32::try_from(hours * 3_600 + minutes * 60).ok()?;
    Some(seconds * sign)
}

fn digits(text: &str, from: usize, to: usize) -> Option<u32> {
    let part = text.get(from..to)?;
    let all = part.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| part.parse().ok()).flatten()
}
