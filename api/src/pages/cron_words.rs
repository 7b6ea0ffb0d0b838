//! Cron fields in words, for the common forms only. Whatever is not certain has no words: the page then shows the
//! expression and the next tick, since a sentence that could be wrong is worse than none.

use super::format::{count, list};

const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// The expression in words, if they are certain.
pub(super) fn cron(expression: &str) -> Option<String> {
    match expression.trim() {
        "@hourly" => return cron("0 * * * *"),
        "@daily" => return cron("0 0 * * *"),
        "@weekly" => return cron("0 0 * * 0"),
        "@monthly" => return cron("0 0 1 * *"),
        _ => {}
    }
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let [minute, hour, day, "*", weekday] = fields.as_slice() else {
        return None;
    };
    if *hour == "*" || hour.starts_with("*/") {
        return if (*day, *weekday) == ("*", "*") {
            within_the_day(minute, hour)
        } else {
            None
        };
    }
    let times = times(minute, hour)?;
    let days = match (*day, *weekday) {
        ("*", "*") => "Every day".to_owned(),
        ("*", "1-5") => "Weekdays".to_owned(),
        ("*", "0,6" | "6,0" | "6,7") => "Weekends".to_owned(),
        ("*", days) => format!("Every {}", weekdays(days)?),
        (day, "*") => format!("On the {} of the month", ordinal(number(day, 1, 31)?)),
        _ => return None,
    };
    Some(format!("{days} at {times}"))
}

/// An interval in words.
pub(super) fn interval(seconds: i64) -> String {
    let seconds = seconds.unsigned_abs();
    let (number, unit) = match seconds {
        0..60 => (seconds, "second"),
        _ if seconds.is_multiple_of(3600) => (seconds / 3600, "hour"),
        _ if seconds.is_multiple_of(60) => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    every(number, unit)
}

fn every(number: u64, unit: &str) -> String {
    if number == 1 {
        format!("Every {unit}")
    } else {
        format!("Every {} {unit}s", count(number))
    }
}

fn within_the_day(minute: &str, hour: &str) -> Option<String> {
    let hours = match hour.strip_prefix("*/") {
        // A step that does not divide the day is shorter at midnight.
        Some(step) => number(step, 1, 12).filter(|step| 24_u64.is_multiple_of(*step))?,
        None => 1,
    };
    if hours == 1 && minute == "*" {
        return Some("Every minute".to_owned());
    }
    if let Some(step) = minute.strip_prefix("*/") {
        let step = number(step, 1, 30).filter(|step| 60_u64.is_multiple_of(*step))?;
        return (hours == 1).then(|| every(step, "minute"));
    }
    let at = match number(minute, 0, 59)? {
        0 => "on the hour".to_owned(),
        minute => format!("at {minute} past"),
    };
    Some(format!("{}, {at}", every(hours, "hour")))
}

fn times(minute: &str, hours: &str) -> Option<String> {
    let minute = number(minute, 0, 59)?;
    let mut times = Vec::new();
    let mut before = None;
    for hour in hours.split(',') {
        let hour = number(hour, 0, 23)?;
        // Out of order or twice: it would be read otherwise than it is written.
        if before >= Some(hour) {
            return None;
        }
        before = Some(hour);
        times.push(format!("{hour:02}:{minute:02}"));
    }
    (times.len() <= 4).then(|| list(&times))
}

fn weekdays(days: &str) -> Option<String> {
    let mut names = Vec::new();
    for day in days.split(',') {
        let day = number(day, 0, 7)? % 7;
        let name = usize::try_from(day)
            .ok()
            .and_then(|day| WEEKDAYS.get(day))?;
        if names.contains(&(*name).to_owned()) {
            return None;
        }
        names.push((*name).to_owned());
    }
    Some(list(&names))
}

fn number(text: &str, from: u64, to: u64) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits)?;
    (from..=to).contains(&number).then_some(number)
}

fn ordinal(number: u64) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Utc};
    use syncline_shared::schedule::Trigger;

    /// Expression, words, and the first ticks after Thursday, 1 October 2026, 00:00 UTC, as the words say them.
    const CASES: &[(&str, &str, [&str; 3])] = &[
        (
            "* * * * *",
            "Every minute",
            ["01T00:01", "01T00:02", "01T00:03"],
        ),
        (
            "*/15 * * * *",
            "Every 15 minutes",
            ["01T00:15", "01T00:30", "01T00:45"],
        ),
        (
            "@hourly",
            "Every hour, on the hour",
            ["01T01:00", "01T02:00", "01T03:00"],
        ),
        (
            "5 * * * *",
            "Every hour, at 5 past",
            ["01T00:05", "01T01:05", "01T02:05"],
        ),
        (
            "0 */6 * * *",
            "Every 6 hours, on the hour",
            ["01T06:00", "01T12:00", "01T18:00"],
        ),
        (
            "30 2 * * 1-5",
            "Weekdays at 02:30",
            ["01T02:30", "02T02:30", "05T02:30"],
        ),
        (
            "0 8 * * 6,0",
            "Weekends at 08:00",
            ["03T08:00", "04T08:00", "10T08:00"],
        ),
        (
            "0 9,17 * * *",
            "Every day at 09:00 and 17:00",
            ["01T09:00", "01T17:00", "02T09:00"],
        ),
        (
            "@weekly",
            "Every Sunday at 00:00",
            ["04T00:00", "11T00:00", "18T00:00"],
        ),
        (
            "15 4 * * 1,4",
            "Every Monday and Thursday at 04:15",
            ["01T04:15", "05T04:15", "08T04:15"],
        ),
        (
            "0 0 22 * *",
            "On the 22nd of the month at 00:00",
            ["22T00:00", "", ""],
        ),
    ];

    #[test]
    fn words_and_ticks_agree() {
        let start: DateTime<Utc> = "2026-10-01T00:00:00Z".parse().unwrap();
        for (expression, words, ticks) in CASES {
            assert_eq!(cron(expression).as_deref(), Some(*words), "{expression}");
            let trigger = Trigger::cron(expression, "UTC").unwrap();
            let mut after = start;
            for tick in ticks.iter().filter(|tick| !tick.is_empty()) {
                after = trigger.next_after(after).unwrap();
                assert_eq!(after.format("%dT%H:%M").to_string(), *tick, "{expression}");
            }
        }
    }

    #[test]
    fn what_is_not_certain_has_no_words() {
        for expression in [
            "0 0 1 * 1",
            "*/7 * * * *",
            "0 */5 * * *",
            "0 0 L * *",
            "0 0 * * 1#2",
            "0 0 * 1 *",
            "*/5 * * * * *",
            "0 17,9 * * *",
            "0 0 * * MON",
            "*/5 */2 * * *",
            "* 3 * * *",
            "0 1-5 * * *",
            "@yearly",
            "",
            "nonsense",
            "0 0 * * 0,7",
        ] {
            assert_eq!(cron(expression), None, "{expression}");
        }
    }

    #[test]
    fn intervals_have_the_largest_whole_unit() {
        assert_eq!(interval(1), "Every second");
        assert_eq!(interval(90), "Every 90 seconds");
        assert_eq!(interval(300), "Every 5 minutes");
        assert_eq!(interval(3600), "Every hour");
        assert_eq!(interval(172_800), "Every 48 hours");
    }
}
