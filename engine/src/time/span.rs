//! ISO 8601 durations: a part in calendar months and a part of fixed length, added one after the other.

use std::time::Duration;

use chrono::{Months, TimeDelta};

use super::Moment;

/// A span of time. Months differ in length, so it is not ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    months: i32,
    fixed: TimeDelta,
}

/// A day in microseconds.
const DAY: f64 = 86_400_000_000.0;
/// Three thousand years are enough for anybody, and keep every sum within bounds.
const MOST: f64 = 3_000.0 * 366.0 * DAY;

/// What to write, for messages.
pub(crate) const SPAN_NEEDED: &str = "an ISO 8601 duration such as PT1S, P7D or P1M is needed here";

impl Span {
    /// Reads `P1Y2M3DT4H5M6.7S`, `P2W` and the like, with an optional sign before it. Years and months must be whole.
    pub(crate) fn parse(text: &str) -> Option<Span> {
        let (sign, text) = match text.strip_prefix(['-', '+']) {
            Some(rest) if text.starts_with('-') => (-1, rest),
            Some(rest) => (1, rest),
            None => (1, text),
        };
        let rest = text.strip_prefix('P')?;
        let (days, time) = match rest.split_once('T') {
            Some((_, "")) => return None,
            Some((days, time)) => (days, Some(time)),
            None => (rest, None),
        };
        if days.is_empty() && time.is_none() {
            return None;
        }
        let mut span = Span::default();
        let mut months = 0i64;
        let mut micros = 0f64;
        for (number, unit) in parts(days, "YMWD")? {
            match unit {
                'Y' | 'M' => {
                    let number: i64 = number.parse().ok()?;
                    let factor = if unit == 'Y' { 12 } else { 1 };
                    months = months.checked_add(number.checked_mul(factor)?)?;
                }
                'W' => micros += number.parse::<f64>().ok()? * 7.0 * DAY,
                _ => micros += number.parse::<f64>().ok()? * DAY,
            }
        }
        for (number, unit) in parts(time.unwrap_or_default(), "HMS")? {
            let factor = match unit {
                'H' => 3_600_000_000.0,
                'M' => 60_000_000.0,
                _ => 1_000_000.0,
            };
            micros += number.parse::<f64>().ok()? * factor;
        }
        if !micros.is_finite() || micros > MOST || months > 36_000 {
            return None;
        }
        span.months = i32::try_from(months * sign).ok()?;
        #[expect(clippy::cast_possible_truncation, reason = "bounded just above")]
        let micros = micros.round() as i64;
        span.fixed = TimeDelta::microseconds(micros * sign);
        Some(span)
    }

    /// A span of days, which may be parts of days and negative.
    pub(crate) fn from_days(days: f64) -> Option<Span> {
        let micros = (days * 86_400_000_000.0).round();
        if !micros.is_finite() || micros.abs() > 3e17 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "bounded just above")]
        let fixed = TimeDelta::microseconds(micros as i64);
        Some(Span { months: 0, fixed })
    }

    /// Both spans, one after the other.
    pub(crate) fn and(self, other: Span) -> Option<Span> {
        Some(Span {
            months: self.months.checked_add(other.months)?,
            fixed: self.fixed.checked_add(&other.fixed)?,
        })
    }

    /// So many times the span.
    pub(crate) fn times(self, times: i64) -> Option<Span> {
        let times = i32::try_from(times).ok()?;
        Some(Span {
            months: self.months.checked_mul(times)?,
            fixed: self.fixed.checked_mul(times)?,
        })
    }

    /// The span without its parts of a day.
    pub(crate) fn in_days(self) -> Span {
        let days = self.fixed.num_seconds().div_euclid(86_400);
        Span {
            months: self.months,
            fixed: TimeDelta::days(days),
        }
    }

    /// The span between two moments.
    pub(crate) fn between(from: Moment, to: Moment) -> Span {
        Span {
            months: 0,
            fixed: to - from,
        }
    }

    /// Its length, if it has no months in it and is not negative.
    pub(crate) fn fixed_length(self) -> Option<Duration> {
        if self.months == 0 {
            self.fixed.to_std().ok()
        } else {
            None
        }
    }

    /// Whether it leads on from every moment.
    pub(crate) fn is_positive(self) -> bool {
        let (months, fixed) = self.parts();
        months >= 0 && fixed >= TimeDelta::zero() && self != Span::default()
    }

    /// The part in months, and the part of fixed length.
    pub(crate) fn parts(self) -> (i32, TimeDelta) {
        (self.months, self.fixed)
    }

    /// The same span in the other direction.
    pub(crate) fn negative(self) -> Span {
        Span {
            months: -self.months,
            fixed: -self.fixed,
        }
    }

    /// The moment that is this much later; `None` beyond the years 1 to 9999. A day that the month does not have becomes its
    /// last one.
    pub(crate) fn after(self, moment: Moment) -> Option<Moment> {
        let moved = match self.months {
            0 => Some(moment),
            months if months > 0 => moment.checked_add_months(Months::new(months.unsigned_abs())),
            months => moment.checked_sub_months(Months::new(months.unsigned_abs())),
        }?;
        moved.checked_add_signed(self.fixed).filter(is_in_calendar)
    }

    /// The moment that is this much earlier.
    pub(crate) fn before(self, moment: Moment) -> Option<Moment> {
        self.negative().after(moment)
    }
}

fn is_in_calendar(moment: &Moment) -> bool {
    use chrono::Datelike as _;
    (1..=9999).contains(&moment.year())
}

/// Numbers with their units, which come in the given order.
fn parts<'t>(text: &'t str, units: &str) -> Option<Vec<(&'t str, char)>> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut allowed = units;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let unit = tail.chars().next()?;
        let place = allowed.find(unit)?;
        allowed = allowed.get(place + 1..).unwrap_or_default();
        if number.is_empty() {
            return None;
        }
        found.push((number, unit));
        rest = tail.get(1..).unwrap_or_default();
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Moment {
        Moment::parse_from_rfc3339(text).unwrap()
    }

    #[test]
    fn spans_beyond_all_bounds_are_none() {
        for text in [
            "P9223372036854775807Y",
            "P9223372036854775807M1Y",
            "P9223372036854775807Y9223372036854775807M",
            "P1Y9223372036854775807M",
            "P99999999999999999999Y",
            "P3001Y",
            "P9999999999D",
        ] {
            assert_eq!(Span::parse(text), None, "{text}");
            assert_eq!(Span::parse(&format!("-{text}")), None, "{text}");
        }
    }

    #[test]
    fn spans_move_moments_as_pythons_isodate_does() {
        for (span, from, to) in [
            ("P1D", "2024-02-28T00:00:00Z", "2024-02-29T00:00:00Z"),
            ("P1M", "2024-01-31T10:00:00Z", "2024-02-29T10:00:00Z"),
            ("P1Y", "2024-02-29T00:00:00Z", "2025-02-28T00:00:00Z"),
            ("P1M1D", "2024-01-31T00:00:00Z", "2024-03-01T00:00:00Z"),
            (
                "PT0.000001S",
                "2024-01-01T00:00:00Z",
                "2024-01-01T00:00:00.000001Z",
            ),
            (
                "P2W",
                "2024-01-01T00:00:00+02:00",
                "2024-01-15T00:00:00+02:00",
            ),
            ("PT1H30M", "2024-01-01T00:00:00Z", "2024-01-01T01:30:00Z"),
            ("-P1D", "2024-01-01T00:00:00Z", "2023-12-31T00:00:00Z"),
            ("P0.5D", "2024-01-01T00:00:00Z", "2024-01-01T12:00:00Z"),
        ] {
            let span = Span::parse(span).unwrap();
            assert_eq!(span.after(moment(from)), Some(moment(to)));
        }
        assert_eq!(
            Span::parse("P1M")
                .unwrap()
                .before(moment("2024-03-31T00:00:00Z")),
            Some(moment("2024-02-29T00:00:00Z"))
        );
        assert_eq!(Span::parse("P9000Y"), None);
        let far = Span::parse("P3000Y").unwrap();
        assert_eq!(far.after(moment("9000-01-01T00:00:00Z")), None);
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "", "P", "PT", "1D", "P1", "P1H", "PT1D", "P1D1M", "P0.5M", "PxD", "P1DT",
        ] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }
}
