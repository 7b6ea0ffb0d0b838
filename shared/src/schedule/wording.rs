//! Triggers in words for people. What is not certain has no words: the reader is then shown the expression and the next
//! ticks, since a sentence that could be wrong is worse than none.
//!
//! The words are made of what the fields mean, not of how they are written: `0 0 * * *`, `@daily` and `0 0 * * 0-6`
//! say the same.

use chrono::{DateTime, SecondsFormat, Utc};
use croner::CronPattern;

use super::Trigger;
use super::cron::CronTrigger;

const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
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
const ORDINALS: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];
/// Longer lists are not read by anybody.
const MOST_LISTED: usize = 4;

impl Trigger {
    /// The trigger in words, without its zone, if they are certain: `Every day at 02:00`.
    pub fn words(&self) -> Option<String> {
        match self {
            Self::Cron(cron) => cron_words(cron),
            Self::Interval { every_seconds, .. } => Some(every_words(*every_seconds)),
            Self::Once { at } => Some(once_words(*at)),
            Self::Manual => Some("Only when asked for".to_owned()),
        }
    }

    /// The trigger for a reader who sees nothing else: `Every day at 02:00, Europe/Berlin`, or the cron fields if there are no words.
    pub fn describe(&self) -> String {
        match self {
            Self::Cron(cron) => {
                let words =
                    cron_words(cron).unwrap_or_else(|| format!("cron {}", cron.expression()));
                format!("{words}, {}", cron.zone())
            }
            other => other.words().unwrap_or_default(),
        }
    }
}

fn once_words(at: DateTime<Utc>) -> String {
    format!(
        "Once, at {}",
        at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
    )
}

/// The distance of an interval in words: `Every 2 hours`.
pub(super) fn every_words(seconds: i64) -> String {
    let seconds = seconds.unsigned_abs();
    match seconds {
        0..60 => every(seconds, "second"),
        _ if seconds.is_multiple_of(3600) => every(seconds / 3600, "hour"),
        _ if seconds.is_multiple_of(60) => every(seconds / 60, "minute"),
        _ => every(seconds, "second"),
    }
}

fn every(number: u64, unit: &str) -> String {
    match number {
        1 => format!("Every {unit}"),
        _ => format!("Every {number} {unit}s"),
    }
}

fn cron_words(cron: &CronTrigger) -> Option<String> {
    let pattern = cron.pattern();
    let months = months(pattern)?;
    let days = days(cron)?;
    let times = times(pattern)?;
    let sentence = match (times, days) {
        // "Every 15 minutes" says "every day" already.
        (Times::Rhythm(rhythm), Days::All) => rhythm,
        (Times::Rhythm(rhythm), Days::Weekdays) => format!("{rhythm}, on weekdays"),
        (Times::Rhythm(rhythm), Days::Weekends) => format!("{rhythm}, at weekends"),
        (Times::Rhythm(rhythm), Days::Of(days)) => format!("{rhythm}, {}", lower_first(&days)),
        (Times::OfDay(times), Days::All) => format!("Every day at {times}"),
        (Times::OfDay(times), Days::Weekdays) => format!("Weekdays at {times}"),
        (Times::OfDay(times), Days::Weekends) => format!("Weekends at {times}"),
        (Times::OfDay(times), Days::Of(days)) => format!("{days} at {times}"),
    };
    Some(sentence + &months)
}

enum Times {
    /// `Every 15 minutes`.
    Rhythm(String),
    /// `02:00 and 14:00`.
    OfDay(String),
}

fn times(pattern: &CronPattern) -> Option<Times> {
    let seconds = pattern.seconds.values();
    let minutes = pattern.minutes.values();
    let hours = pattern.hours.values();
    let [second] = seconds.as_slice() else {
        let is_all = minutes.len() == 60 && hours.len() == 24;
        return is_all
            .then(|| step_of(&seconds, 60))?
            .map(|step| Times::Rhythm(every(step, "second")));
    };
    let clock = |hour: u16, minute: u16| match second {
        0 => format!("{hour:02}:{minute:02}"),
        second => format!("{hour:02}:{minute:02}:{second:02}"),
    };
    let (first_hour, last_hour) = (*hours.first()?, *hours.last()?);
    let (first_minute, last_minute) = (*minutes.first()?, *minutes.last()?);
    let is_range = hours.len() == usize::from(last_hour - first_hour) + 1;
    let from_to = format!(
        "from {} to {}",
        clock(first_hour, first_minute),
        clock(last_hour, last_minute)
    );

    if hours.len() * minutes.len() <= MOST_LISTED && !(is_range && hours.len() > 2) {
        let times: Vec<String> = hours
            .iter()
            .flat_map(|hour| minutes.iter().map(|minute| clock(*hour, *minute)))
            .collect();
        // Four hours that are evenly spaced are a rhythm.
        if minutes.len() > 1 || hours.len() < 3 || step_of(&hours, 24).is_none() {
            return Some(Times::OfDay(list(&times)));
        }
    }
    let past_the_hour = |second: u16| match (first_minute, second) {
        (0, 0) => "on the hour".to_owned(),
        (minute, 0) => format!("at {minute} past"),
        (minute, second) => format!("at {minute}:{second:02} past"),
    };
    if *second != 0 && minutes.len() == 60 && hours.len() == 24 {
        return Some(Times::Rhythm(format!("Every minute, at second {second}")));
    }
    let minutely = step_of(&minutes, 60)
        .filter(|_| *second == 0)
        .map(|step| every(step, "minute"));
    let rhythm = match (minutely, minutes.len(), hours.len()) {
        (Some(minutely), _, 24) => minutely,
        (Some(minutely), _, _) if is_range => format!("{minutely} {from_to}"),
        (None, 1, 24) => format!("Every hour, {}", past_the_hour(*second)),
        (None, 1, _) if is_range => format!("Every hour {from_to}"),
        (None, 1, _) => format!(
            "{}, {}",
            every(step_of(&hours, 24)?, "hour"),
            past_the_hour(*second)
        ),
        (None, 2..=MOST_LISTED, 24) if *second == 0 => {
            let minutes: Vec<String> = minutes.iter().map(u16::to_string).collect();
            format!("Every hour, at {} past", list(&minutes))
        }
        _ => return None,
    };
    Some(Times::Rhythm(rhythm))
}

/// The step, if the values are evenly spaced over a whole round of `round`, from 0 on, and several.
fn step_of(values: &[u16], round: u16) -> Option<u64> {
    let count = u16::try_from(values.len()).ok()?;
    if count < 2 || !round.is_multiple_of(count) {
        return None;
    }
    let step = round / count;
    let is_even = (0..count)
        .zip(values)
        .all(|(at, value)| at * step == *value);
    is_even.then_some(u64::from(step))
}

enum Days {
    All,
    Weekdays,
    Weekends,
    /// `Every Monday and Thursday`, `On the 1st of the month`.
    Of(String),
}

fn days(cron: &CronTrigger) -> Option<Days> {
    let pattern = cron.pattern();
    let all_days = pattern.days.values().len() == 31;
    let weekdays = pattern.days_of_week.values();
    let all_weekdays = weekdays.len() == 7;
    // With both, either is enough, and a field that names all days without being `*` makes every day match.
    let (day, weekday) = (pattern.is_dom_wildcard(), pattern.is_dow_wildcard());
    if !day && !weekday {
        let is_all = (all_days || all_weekdays) && !pattern.matches_dom_and_dow();
        return is_all.then_some(Days::All);
    }
    if pattern.days.has_modifiers() || pattern.days_of_week.has_modifiers() {
        return special_day(cron.expression()).map(Days::Of);
    }
    if all_days && all_weekdays {
        return Some(Days::All);
    }
    Some(match weekdays.as_slice() {
        _ if all_weekdays => Days::Of(format!("On the {} of the month", days_of_month(pattern)?)),
        [1, 2, 3, 4, 5] => Days::Weekdays,
        [0, 6] => Days::Weekends,
        weekdays => {
            let names = weekdays.iter().map(|day| name(&WEEKDAYS, *day));
            Days::Of(format!(
                "Every {}",
                list(&names.collect::<Option<Vec<_>>>()?)
            ))
        }
    })
}

fn days_of_month(pattern: &CronPattern) -> Option<String> {
    let days = pattern.days.values();
    let days: Vec<String> = days.into_iter().map(ordinal).collect();
    (days.len() <= MOST_LISTED).then(|| list(&days))
}

/// `L`, `LW`, `5L`, `1#2`, alone in their field.
fn special_day(expression: &str) -> Option<String> {
    let expression = expression.to_ascii_uppercase();
    let mut fields = expression.split_whitespace().rev();
    let (weekday, _month, day) = (fields.next()?, fields.next()?, fields.next()?);
    let named = |day: &str| name(&WEEKDAYS, day.parse::<u16>().ok()? % 7);
    let special = match (day, weekday) {
        ("L", _) => "last day".to_owned(),
        ("LW", _) => "last working day".to_owned(),
        (_, weekday) => match (weekday.strip_suffix('L'), weekday.split_once('#')) {
            (Some(day), _) => format!("last {}", named(day)?),
            (None, Some((day, nth))) => {
                let nth = ORDINALS.get(nth.parse::<usize>().ok()?.checked_sub(1)?)?;
                format!("{nth} {}", named(day)?)
            }
            (None, None) => return None,
        },
    };
    Some(format!("On the {special} of the month"))
}

/// `, in March and October`, or nothing for all of them.
fn months(pattern: &CronPattern) -> Option<String> {
    let months = pattern.months.values();
    if months.len() == 12 {
        return Some(String::new());
    }
    let names = months
        .iter()
        .map(|month| name(&MONTHS, month - 1))
        .collect::<Option<Vec<_>>>()?;
    (names.len() <= MOST_LISTED).then(|| format!(", in {}", list(&names)))
}

fn name(names: &[&str], at: u16) -> Option<String> {
    names.get(usize::from(at)).map(|name| (*name).to_owned())
}

fn ordinal(number: u16) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// `a`, `a and b`, `a, b and c`.
fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The text with a small letter at its beginning, for the middle of a sentence.
pub(super) fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(expression: &str) -> Trigger {
        Trigger::cron(expression, "UTC").expect("a trigger")
    }

    /// Expression, words, and the first ticks after Thursday, 1 October 2026, 00:00 UTC, as the words say them.
    const CASES: &[(&str, &str, [&str; 3])] = &[
        (
            "* * * * *",
            "Every minute",
            ["01T00:01:00", "01T00:02:00", "01T00:03:00"],
        ),
        (
            "*/10 * * * * *",
            "Every 10 seconds",
            ["01T00:00:10", "01T00:00:20", "01T00:00:30"],
        ),
        (
            "30 * * * * *",
            "Every minute, at second 30",
            ["01T00:00:30", "01T00:01:30", "01T00:02:30"],
        ),
        (
            "*/15 * * * *",
            "Every 15 minutes",
            ["01T00:15:00", "01T00:30:00", "01T00:45:00"],
        ),
        (
            "@hourly",
            "Every hour, on the hour",
            ["01T01:00:00", "01T02:00:00", "01T03:00:00"],
        ),
        (
            "5 * * * *",
            "Every hour, at 5 past",
            ["01T00:05:00", "01T01:05:00", "01T02:05:00"],
        ),
        (
            "15,45 * * * *",
            "Every hour, at 15 and 45 past",
            ["01T00:15:00", "01T00:45:00", "01T01:15:00"],
        ),
        (
            "0 */6 * * *",
            "Every 6 hours, on the hour",
            ["01T06:00:00", "01T12:00:00", "01T18:00:00"],
        ),
        (
            "0 */12 * * *",
            "Every day at 00:00 and 12:00",
            ["01T12:00:00", "02T00:00:00", "02T12:00:00"],
        ),
        (
            "0 9-17 * * 1-5",
            "Every hour from 09:00 to 17:00, on weekdays",
            ["01T09:00:00", "01T10:00:00", "01T11:00:00"],
        ),
        (
            "*/20 8-9 * * *",
            "Every 20 minutes from 08:00 to 09:40",
            ["01T08:00:00", "01T08:20:00", "01T08:40:00"],
        ),
        (
            "30 2 * * 1-5",
            "Weekdays at 02:30",
            ["01T02:30:00", "02T02:30:00", "05T02:30:00"],
        ),
        (
            "15 30 2 * * *",
            "Every day at 02:30:15",
            ["01T02:30:15", "02T02:30:15", "03T02:30:15"],
        ),
        (
            "0 8 * * 6,0",
            "Weekends at 08:00",
            ["03T08:00:00", "04T08:00:00", "10T08:00:00"],
        ),
        (
            "0 17,9 * * *",
            "Every day at 09:00 and 17:00",
            ["01T09:00:00", "01T17:00:00", "02T09:00:00"],
        ),
        (
            "@weekly",
            "Every Sunday at 00:00",
            ["04T00:00:00", "11T00:00:00", "18T00:00:00"],
        ),
        (
            "15 4 * * MON,THU",
            "Every Monday and Thursday at 04:15",
            ["01T04:15:00", "05T04:15:00", "08T04:15:00"],
        ),
        (
            "*/30 * * * 1",
            "Every 30 minutes, every Monday",
            ["05T00:00:00", "05T00:30:00", "05T01:00:00"],
        ),
        (
            "0 0 22 * *",
            "On the 22nd of the month at 00:00",
            ["22T00:00:00", "", ""],
        ),
        (
            "0 6 1,15 * *",
            "On the 1st and 15th of the month at 06:00",
            ["01T06:00:00", "15T06:00:00", "01T06:00:00"],
        ),
        (
            "0 0 L * *",
            "On the last day of the month at 00:00",
            ["31T00:00:00", "30T00:00:00", "31T00:00:00"],
        ),
        (
            "0 0 LW * *",
            "On the last working day of the month at 00:00",
            ["30T00:00:00", "30T00:00:00", "31T00:00:00"],
        ),
        (
            "0 0 * * 5L",
            "On the last Friday of the month at 00:00",
            ["30T00:00:00", "27T00:00:00", "25T00:00:00"],
        ),
        (
            "0 0 * * 1#2",
            "On the second Monday of the month at 00:00",
            ["12T00:00:00", "09T00:00:00", "14T00:00:00"],
        ),
        (
            "@yearly",
            "On the 1st of the month at 00:00, in January",
            ["01T00:00:00", "01T00:00:00", "01T00:00:00"],
        ),
        (
            "0 0 * * 0-6",
            "Every day at 00:00",
            ["02T00:00:00", "03T00:00:00", "04T00:00:00"],
        ),
    ];

    #[test]
    fn words_and_ticks_agree() {
        let start: DateTime<Utc> = "2026-10-01T00:00:00Z".parse().expect("an instant");
        for (expression, words, ticks) in CASES {
            let trigger = trigger(expression);
            assert_eq!(trigger.words().as_deref(), Some(*words), "{expression}");
            let mut after = start;
            for tick in ticks.iter().filter(|tick| !tick.is_empty()) {
                after = trigger.next_after(after).expect("a tick");
                assert_eq!(
                    after.format("%dT%H:%M:%S").to_string(),
                    *tick,
                    "{expression}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_certain_has_no_words() {
        for expression in [
            "0 0 1 * 1",
            "0 0 1 * +1",
            "*/7 * * * *",
            "0 */5 * * *",
            "0 0 15W * *",
            "0 0 * * MON#1",
            "0 0 * * 1#1,5L",
            "*/5 */2 * * *",
            "*/7 * * * * *",
            "30 */5 * * * *",
            "0 0 1-10 * *",
            "0 0 * 1-6 *",
        ] {
            assert_eq!(trigger(expression).words(), None, "{expression}");
        }
    }

    #[test]
    fn intervals_have_the_largest_whole_unit() {
        assert_eq!(every_words(1), "Every second");
        assert_eq!(every_words(90), "Every 90 seconds");
        assert_eq!(every_words(300), "Every 5 minutes");
        assert_eq!(every_words(3600), "Every hour");
        assert_eq!(every_words(172_800), "Every 48 hours");
    }

    #[test]
    fn a_description_stands_alone() {
        let berlin = |expression| {
            Trigger::cron(expression, "Europe/Berlin")
                .expect("a trigger")
                .describe()
        };
        assert_eq!(berlin("0 2 * * *"), "Every day at 02:00, Europe/Berlin");
        assert_eq!(berlin("*/7 * * * *"), "cron */7 * * * *, Europe/Berlin");
        let at = "2026-10-01T12:30:00Z".parse().expect("an instant");
        assert_eq!(
            Trigger::Once { at }.describe(),
            "Once, at 2026-10-01T12:30:00Z"
        );
        assert_eq!(Trigger::Manual.describe(), "Only when asked for");
    }
}
