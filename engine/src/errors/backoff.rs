//! Waits between tries, by the manifest's strategies.

use std::time::Duration;

use chrono::{DateTime, Utc};
use regex::Regex;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::expr::{Place, Scope, Template, Val, compile_regex};
use crate::load::component::{Component, Problems};
use crate::request::value::{FieldError, at};
use crate::signals::capped;

/// One strategy.
#[derive(Debug, Clone)]
pub(crate) enum Backoff {
    Constant {
        seconds: Template,
    },
    Exponential {
        factor: Template,
    },
    Header {
        header: Template,
        regex: Option<Regex>,
        longest: Option<f64>,
    },
    /// The header holds the moment at which to try again, in seconds since 1970.
    Until {
        header: Template,
        regex: Option<Regex>,
        least: Option<Template>,
    },
}

/// What the strategies say about the next try.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Wait {
    /// No strategy gives a wait.
    Unstated,
    /// Stated by the manifest alone.
    Stated(Duration),
    /// Read from the answer: the platform's own wish.
    Told(Duration),
    /// The platform asks for a longer wait than the manifest accepts.
    TooLong(Duration),
}

impl Backoff {
    pub(crate) const SUPPORTED: &[&str] = &[
        "ConstantBackoffStrategy",
        "ExponentialBackoffStrategy",
        "WaitTimeFromHeader",
        "WaitUntilTimeFromHeader",
    ];

    pub(crate) fn load(component: &Component<'_>, problems: &mut Problems) -> Option<Backoff> {
        // A jitter spreads tries that come together; here the host spreads them.
        component.refuse(&[], &[], problems);
        let required = |name: &str, problems: &mut Problems| {
            if component.get(name).is_none() {
                component.missing(name, problems);
            }
            component.template(name, Place::CONFIG, problems)
        };
        match component.kind {
            "ConstantBackoffStrategy" => {
                let seconds = required("backoff_time_in_seconds", problems)?;
                Some(Backoff::Constant { seconds })
            }
            "ExponentialBackoffStrategy" => {
                let parameters = std::sync::Arc::clone(&component.parameters);
                let factor = if component.get("factor").is_some() {
                    component.template("factor", Place::CONFIG, problems)?
                } else {
                    let path = component.path_of("factor");
                    Template::compile("5", &path, &parameters, Place::CONFIG).ok()?
                };
                Some(Backoff::Exponential { factor })
            }
            _ => {
                let header = required("header", problems)?;
                let regex = match component.text("regex", problems) {
                    None => None,
                    Some(pattern) => match compile_regex(pattern) {
                        Ok(regex) => Some(regex),
                        Err(message) => {
                            problems.add(component.path_of("regex"), message);
                            None
                        }
                    },
                };
                if component.kind == "WaitUntilTimeFromHeader" {
                    let least = component.template("min_wait", Place::CONFIG, problems);
                    return Some(Backoff::Until {
                        header,
                        regex,
                        least,
                    });
                }
                let longest = component.get("max_waiting_time_in_seconds");
                let limit = longest.and_then(Value::as_f64);
                if longest.is_some() && limit.is_none() {
                    let path = component.path_of("max_waiting_time_in_seconds");
                    problems.add(path, "a number of seconds is needed here");
                }
                Some(Backoff::Header {
                    header,
                    regex,
                    longest: limit,
                })
            }
        }
    }

    fn wait(
        &self,
        attempt: u32,
        headers: &HeaderMap,
        answered_at: DateTime<Utc>,
        scope: &Scope<'_>,
    ) -> Result<Wait, FieldError> {
        let number = |template: &Template| -> Result<f64, FieldError> {
            let value = template
                .evaluate(scope)
                .map_err(|error| at(template, error))?;
            let number = value
                .as_ref()
                .and_then(Val::as_json)
                .and_then(Value::as_f64);
            Ok(number.unwrap_or(0.0))
        };
        Ok(match self {
            Backoff::Constant { seconds } => stated(number(seconds)?),
            Backoff::Exponential { factor } => {
                let exponent = i32::try_from(attempt.min(30)).unwrap_or(30);
                stated(number(factor)? * 2f64.powi(exponent))
            }
            Backoff::Header {
                header,
                regex,
                longest,
            } => {
                let seconds = header_number(header, regex.as_ref(), headers, scope)?;
                match seconds.and_then(duration) {
                    None => Wait::Unstated,
                    Some(wait) if longest.is_some_and(|most| wait.as_secs_f64() >= most) => {
                        Wait::TooLong(wait)
                    }
                    Some(wait) => Wait::Told(wait),
                }
            }
            Backoff::Until {
                header,
                regex,
                least,
            } => {
                let least = least.as_ref().map(number).transpose()?;
                let until = header_number(header, regex.as_ref(), headers, scope)?;
                #[expect(clippy::cast_precision_loss, reason = "a calendar's seconds are exact")]
                let now = answered_at.timestamp() as f64;
                let wait = until.filter(|until| *until != 0.0).map(|until| until - now);
                let seconds = match (wait, least) {
                    (Some(wait), Some(least)) => Some(wait.max(least)),
                    (wait, least) => wait.or(least),
                };
                seconds
                    .and_then(duration)
                    .map_or(Wait::Unstated, Wait::Told)
            }
        })
    }
}

/// The number that a header holds.
fn header_number(
    header: &Template,
    regex: Option<&Regex>,
    headers: &HeaderMap,
    scope: &Scope<'_>,
) -> Result<Option<f64>, FieldError> {
    let name = header.text(scope).map_err(|error| at(header, error))?;
    let value = headers.get(name.as_str());
    let value = value.and_then(|value| value.to_str().ok());
    Ok(value.and_then(|value| number_in(value, regex)))
}

/// A text as a number: of it what the pattern matches at its beginning; all of it, if that is nothing.
fn number_in(text: &str, regex: Option<&Regex>) -> Option<f64> {
    let matched = regex.and_then(|regex| regex.find(text).filter(|found| found.start() == 0));
    let text = matched.map_or(text, |found| found.as_str());
    text.trim().parse().ok()
}

fn stated(seconds: f64) -> Wait {
    duration(seconds).map_or(Wait::Unstated, Wait::Stated)
}

/// Seconds above 0 and up to a year.
fn duration(seconds: f64) -> Option<Duration> {
    let sensible = seconds.is_finite() && seconds > 0.0;
    sensible.then(|| capped(seconds))
}

pub(crate) fn first_wait(
    strategies: &[Backoff],
    attempt: u32,
    headers: &HeaderMap,
    answered_at: DateTime<Utc>,
    scope: &Scope<'_>,
) -> Result<Wait, FieldError> {
    for strategy in strategies {
        let wait = strategy.wait(attempt, headers, answered_at, scope)?;
        if wait != Wait::Unstated {
            return Ok(wait);
        }
    }
    Ok(Wait::Unstated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_at_the_beginning_of_a_header() {
        let seconds = Regex::new("[.\\d]+").ok();
        let number = |text| number_in(text, seconds.as_ref());
        assert_eq!(number("1.5 s"), Some(1.5));
        assert_eq!(number("wait 7"), None);
        // What the pattern does not match is tried as a whole.
        assert_eq!(number("-3"), Some(-3.0));
        assert_eq!(number_in(" 12 ", None), Some(12.0));
    }
}
