//! An instant on a page: for machines in RFC 3339, for people in UTC. The script shows the viewer's zone instead.

use chrono::{DateTime, Datelike, SecondsFormat, Utc};

/// An instant, ready to be shown by the template macros `time` and `sentence`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    /// For the attribute `datetime`.
    pub machine: String,
    /// In UTC, as short as the day allows.
    pub text: String,
}

impl Moment {
    /// `at`, as seen at `now`.
    pub(super) fn new(at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        let form = if at.date_naive() == now.date_naive() {
            "%H:%M:%S UTC"
        } else if at.year() == now.year() {
            "%-d %b %H:%M UTC"
        } else {
            "%-d %b %Y %H:%M UTC"
        };
        Self {
            machine: at.to_rfc3339_opts(SecondsFormat::Secs, true),
            text: at.format(form).to_string(),
        }
    }
}

/// A sentence that may hold an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sentence {
    /// What comes before the instant, or all of it.
    pub before: String,
    /// The instant.
    pub moment: Option<Moment>,
    /// What comes after it.
    pub after: String,
}

impl Sentence {
    /// Finds `at` where the text names it in RFC 3339.
    pub(super) fn new(text: &str, at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Self {
        let found = at.and_then(|at| {
            let moment = Moment::new(at, now);
            let (before, after) = text.split_once(&moment.machine)?;
            Some((before.to_owned(), moment, after.to_owned()))
        });
        match found {
            Some((before, moment, after)) => Self {
                before,
                moment: Some(moment),
                after,
            },
            None => Self {
                before: text.to_owned(),
                moment: None,
                after: String::new(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn instants_are_as_short_as_their_day_allows() {
        let now = utc("2026-11-23T12:00:00Z");
        let text = |at| Moment::new(utc(at), now).text;
        assert_eq!(text("2026-11-23T09:05:07Z"), "09:05:07 UTC");
        assert_eq!(text("2026-11-22T23:59:59Z"), "22 Nov 23:59 UTC");
        assert_eq!(text("2025-01-01T00:00:00Z"), "1 Jan 2025 00:00 UTC");
        let machine = Moment::new(utc("2026-11-23T09:05:07.25Z"), now).machine;
        assert_eq!(machine, "2026-11-23T09:05:07Z");
    }

    #[test]
    fn the_instant_of_a_sentence_is_found() {
        let now = utc("2026-11-23T12:00:00Z");
        let until = utc("2026-11-23T12:04:10Z");
        let text = "waiting for g2a budget export until 2026-11-23T12:04:10Z, then on";
        let sentence = Sentence::new(text, Some(until), now);
        assert_eq!(sentence.before, "waiting for g2a budget export until ");
        assert_eq!(sentence.moment.unwrap().text, "12:04:10 UTC");
        assert_eq!(sentence.after, ", then on");
        assert_eq!(Sentence::new(text, None, now).before, text);
        assert_eq!(Sentence::new("soon", Some(until), now).before, "soon");
    }
}
