//! Cron fields as sets, and what they match on a local clock that never changes.
//!
//! A local time is a count of seconds since 1970-01-01 00:00:00 of that clock. Which days of a month match depends on two
//! things only: how long the month is and on which weekday it begins. So the days are 28 sets, asked of croner once, and a
//! span of any length is counted month by month without looking at a single day.

use chrono::{DateTime, Datelike, NaiveDate};
use croner::{CronPattern, Weekday};

use super::bits;

/// Local time in seconds since 1970-01-01 00:00:00 of the same clock.
pub(super) type Local = i64;

/// The last local time that is considered: 9999-12-31 23:59:59.
pub(super) const LAST_LOCAL: Local = 253_402_300_799;

const DAY: i64 = 86_400;
/// The Gregorian calendar repeats itself after 400 years.
const CYCLE_MONTHS: usize = 4800;

/// The sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    seconds: u64,
    minutes: u64,
    hours: u64,
    months: u64,
    /// Days of the month, by its length less 28 and the weekday of its first day (0 is Sunday).
    days: [[u64; 7]; 4],
}

/// A day, as the months see it.
struct Day {
    month: Month,
    day: u32,
}

#[derive(Clone, Copy)]
struct Month {
    year: i32,
    month: u32,
}

impl Fields {
    /// Takes the sets from a parsed expression.
    pub(super) fn of(pattern: &CronPattern) -> Self {
        Self {
            seconds: bits::of(pattern.seconds.values()),
            minutes: bits::of(pattern.minutes.values()),
            hours: bits::of(pattern.hours.values()),
            months: bits::of(pattern.months.values()),
            days: days_of(pattern),
        }
    }

    /// True if some day in 400 years matches.
    pub(super) fn can_match(&self) -> bool {
        self.next(0).is_some()
    }

    /// True if `hour`, 0 to 23, is in the hour field.
    pub(super) fn has_hour(&self, hour: i64) -> bool {
        u32::try_from(hour).is_ok_and(|hour| bits::has(self.hours, hour))
    }

    /// True if the fields match this local time.
    pub(super) fn matches(&self, local: Local) -> bool {
        self.next(local) == Some(local)
    }

    /// The first match that is not before `from`.
    pub(super) fn next(&self, from: Local) -> Option<Local> {
        let from = from.max(0);
        let (day, second) = split(from)?;
        let mut month = day.month;
        let mut first_day = day.day;
        if self.has_day(&day) {
            if let Some(second) = self.next_second(second) {
                return Some(day.start()? + i64::from(second));
            }
            first_day += 1;
        }
        for _ in 0..=CYCLE_MONTHS {
            if let Some(day) = bits::next(self.days_in(month), first_day) {
                let found = Day { month, day }.start()? + i64::from(self.next_second(0)?);
                return (found <= LAST_LOCAL).then_some(found);
            }
            month = month.next();
            first_day = 1;
        }
        None
    }

    /// The last match that is not after `to`.
    pub(super) fn previous(&self, to: Local) -> Option<Local> {
        let (day, second) = split(to.min(LAST_LOCAL))?;
        if to < 0 {
            return None;
        }
        let mut month = day.month;
        let mut last_day = day.day;
        if self.has_day(&day) {
            if let Some(second) = self.previous_second(second) {
                return Some(day.start()? + i64::from(second));
            }
            last_day -= 1;
        }
        for _ in 0..=CYCLE_MONTHS {
            if let Some(day) = bits::previous(self.days_in(month), last_day) {
                let last_second = self.previous_second(86_399)?;
                return Some(Day { month, day }.start()? + i64::from(last_second));
            }
            month = month.previous();
            last_day = 31;
            if month.year < 1970 {
                return None;
            }
        }
        None
    }

    /// How many matches lie in `from..=to`.
    pub(super) fn count(&self, from: Local, to: Local) -> u64 {
        let (from, to) = (from.max(0), to.min(LAST_LOCAL));
        let (Some((first, first_second)), Some((last, last_second))) = (split(from), split(to))
        else {
            return 0;
        };
        if from > to {
            return 0;
        }
        // Whole days up to the day of `to`, without that day; then the parts of the first and the last day.
        let mut days = -bits::count_below(self.days_in(first.month), first.day);
        let mut month = first.month;
        while !month.is(last.month) {
            days += bits::count_below(self.days_in(month), 64);
            month = month.next();
        }
        days += bits::count_below(self.days_in(last.month), last.day);
        let mut matches = days * self.seconds_below(86_400);
        if self.has_day(&first) {
            matches -= self.seconds_below(first_second);
        }
        if self.has_day(&last) {
            matches += self.seconds_below(last_second + 1);
        }
        u64::try_from(matches).unwrap_or(0)
    }

    fn days_in(&self, month: Month) -> u64 {
        if !bits::has(self.months, month.month) {
            return 0;
        }
        let Some(first) = NaiveDate::from_ymd_opt(month.year, month.month, 1) else {
            return 0;
        };
        let row = month.length() as usize - 28;
        let weekday = first.weekday().num_days_from_sunday() as usize;
        self.days
            .get(row)
            .and_then(|sets| sets.get(weekday))
            .copied()
            .unwrap_or(0)
    }

    fn has_day(&self, day: &Day) -> bool {
        bits::has(self.days_in(day.month), day.day)
    }

    /// The first matching second of a day that is not before `from`.
    fn next_second(&self, from: u32) -> Option<u32> {
        let (hour, minute, second) = (from / 3600, from / 60 % 60, from % 60);
        if bits::has(self.hours, hour) {
            if bits::has(self.minutes, minute)
                && let Some(second) = bits::next(self.seconds, second)
            {
                return Some(hour * 3600 + minute * 60 + second);
            }
            if let Some(minute) = bits::next(self.minutes, minute + 1) {
                return Some(hour * 3600 + minute * 60 + bits::next(self.seconds, 0)?);
            }
        }
        let hour = bits::next(self.hours, hour + 1)?;
        Some(hour * 3600 + bits::next(self.minutes, 0)? * 60 + bits::next(self.seconds, 0)?)
    }

    /// The last matching second of a day that is not after `to`.
    fn previous_second(&self, to: u32) -> Option<u32> {
        let (hour, minute, second) = (to / 3600, to / 60 % 60, to % 60);
        let last_second = bits::previous(self.seconds, 59)?;
        if bits::has(self.hours, hour) {
            if bits::has(self.minutes, minute)
                && let Some(second) = bits::previous(self.seconds, second)
            {
                return Some(hour * 3600 + minute * 60 + second);
            }
            let earlier = minute
                .checked_sub(1)
                .and_then(|to| bits::previous(self.minutes, to));
            if let Some(minute) = earlier {
                return Some(hour * 3600 + minute * 60 + last_second);
            }
        }
        let hour = hour
            .checked_sub(1)
            .and_then(|to| bits::previous(self.hours, to))?;
        Some(hour * 3600 + bits::previous(self.minutes, 59)? * 60 + last_second)
    }

    /// How many seconds of a matching day match before the second `limit`, which is at most 86,400.
    fn seconds_below(&self, limit: u32) -> i64 {
        let (hour, minute, second) = (limit / 3600, limit / 60 % 60, limit % 60);
        let a_minute = bits::count_below(self.seconds, 60);
        let an_hour = bits::count_below(self.minutes, 60) * a_minute;
        let mut count = bits::count_below(self.hours, hour) * an_hour;
        if bits::has(self.hours, hour) {
            count += bits::count_below(self.minutes, minute) * a_minute;
            if bits::has(self.minutes, minute) {
                count += bits::count_below(self.seconds, second);
            }
        }
        count
    }
}

impl Day {
    fn start(&self) -> Option<Local> {
        let date = NaiveDate::from_ymd_opt(self.month.year, self.month.month, self.day)?;
        Some((date - NaiveDate::default()).num_days() * DAY)
    }
}

impl Month {
    fn is(self, other: Self) -> bool {
        (self.year, self.month) == (other.year, other.month)
    }

    fn next(self) -> Self {
        match self.month {
            12 => Self {
                year: self.year + 1,
                month: 1,
            },
            month => Self {
                year: self.year,
                month: month + 1,
            },
        }
    }

    fn previous(self) -> Self {
        match self.month {
            1 => Self {
                year: self.year - 1,
                month: 12,
            },
            month => Self {
                year: self.year,
                month: month - 1,
            },
        }
    }

    fn length(self) -> u32 {
        croner::time::days_in_month(self.year, self.month)
    }
}

/// The day of a local time, and the second of that day.
fn split(local: Local) -> Option<(Day, u32)> {
    let date = DateTime::from_timestamp(local, 0)?.date_naive();
    let month = Month {
        year: date.year(),
        month: date.month(),
    };
    let second = u32::try_from(local.rem_euclid(DAY)).ok()?;
    Some((
        Day {
            month,
            day: date.day(),
        },
        second,
    ))
}

/// Asks croner about one month of each length, on each weekday it may begin with: its answer depends on nothing else.
fn days_of(pattern: &CronPattern) -> [[u64; 7]; 4] {
    const OF_LENGTH: [Month; 4] = [
        Month {
            year: 2001,
            month: 2,
        },
        Month {
            year: 2000,
            month: 2,
        },
        Month {
            year: 2001,
            month: 4,
        },
        Month {
            year: 2001,
            month: 1,
        },
    ];
    let mut days = [[0; 7]; 4];
    for (row, month) in days.iter_mut().zip(OF_LENGTH) {
        for (first_weekday, set) in (0_u32..).zip(row.iter_mut()) {
            *set = (1..=month.length())
                .filter(|day| {
                    let weekday = Weekday::from_days_from_sunday(first_weekday + day - 1);
                    pattern
                        .day_match(month.year, month.month, *day, weekday)
                        .unwrap_or(false)
                })
                .fold(0, |set, day| set | 1 << day);
        }
    }
    days
}
