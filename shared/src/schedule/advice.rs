//! Advice on how often a schedule should run, from what its runs have been like. It changes nothing by itself.
//!
//! Each piece of advice names what was measured, what it would change, and what that would save. There is none before
//! [`FEWEST_RUNS`] runs have been seen: less says more about a day than about a schedule.

use chrono::{DateTime, Timelike, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};

use super::trigger::Trigger;
use super::wording::{every_words, lower_first};
use crate::words::words;

/// Runs that are looked at, at the least.
pub const FEWEST_RUNS: i64 = 20;
/// Moments that tell whether a trigger is even.
const MOMENTS_LOOKED_AT: usize = 50;
/// Distances that are proposed, in seconds: each divides an hour or a day, so that cron fields can say it as well.
const STEPS: [i64; 16] = [
    60, 120, 300, 600, 900, 1_200, 1_800, 3_600, 7_200, 10_800, 14_400, 21_600, 28_800, 43_200,
    86_400, 172_800,
];
/// The longest distance that cron fields are proposed for.
const DAY: i64 = 86_400;
const HOUR: i64 = 3_600;
/// Part of the budget that advice to run more often leaves alone.
const BUDGET_LEFT: f64 = 0.5;

words! {
    /// What is advised.
    pub enum AdviceKind {
        /// The data changes less often than it is asked for.
        LessOften = "less_often",
        /// The runs take longer than the time between them.
        MoreTime = "more_time",
        /// Nearly every run brings something, and there is room for more.
        MoreOften = "more_often",
        /// The runs of a tick start together and wait for the platform's limit.
        Spread = "spread",
    }
}

/// What the finished runs of a schedule were like.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// How many were looked at: the latest ones that succeeded, at least partly.
    pub runs: i64,
    /// Those that inserted, updated or deleted anything.
    pub changed: i64,
    /// HTTP requests of all of them.
    pub calls: i64,
    /// HTTP requests of those that changed nothing.
    pub idle_calls: i64,
    /// Seconds from start to end that half of them took at most.
    pub median_seconds: f64,
    /// Seconds from start to end that 95 of 100 took at most.
    pub p95_seconds: f64,
    /// Those that were not finished when the next ones were due.
    pub overlapping: i64,
    /// Those that gave way to a limit of the platform.
    pub limited: i64,
    /// How many runs one tick made, on average.
    pub runs_per_tick: f64,
    /// HTTP requests a day that the connection's budgets allow, if that is known.
    pub calls_a_day: Option<f64>,
}

/// A proposal.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    /// What is advised.
    pub kind: AdviceKind,
    /// What was measured and what is proposed, in a sentence or two.
    pub words: String,
    /// The fields of the schedule that would change, as a merge patch. `None`: its trigger says more than a distance, so a person
    /// has to decide.
    pub patch: Option<Value>,
    /// Calls saved, in per cent.
    pub saves_percent: Option<i64>,
}

/// The seconds between a trigger's moments after `now`, if they are always the same.
pub fn distance(trigger: &Trigger, now: DateTime<Utc>) -> Option<i64> {
    if let Trigger::Interval { every_seconds, .. } = trigger {
        return Some(*every_seconds);
    }
    let first = trigger.next_after(now)?;
    let second = trigger.next_after(first)?;
    let gap = (second - first).num_seconds();
    let mut last = second;
    for _ in 0..MOMENTS_LOOKED_AT {
        let next = trigger.next_after(last)?;
        // Across a change of the clock a distance is an hour longer or shorter; then there is no advice for some days.
        if (next - last).num_seconds() != gap {
            return None;
        }
        last = next;
    }
    Some(gap)
}

/// What can be said of a schedule with this trigger. `spreads`: it spreads its runs already.
pub fn advise(
    trigger: &Trigger,
    zone: Tz,
    spreads: bool,
    observed: &Observed,
    now: DateTime<Utc>,
) -> Vec<Advice> {
    let Some(gap) = distance(trigger, now) else {
        return Vec::new();
    };
    if observed.runs < FEWEST_RUNS {
        return Vec::new();
    }
    let retimed = Retiming {
        trigger,
        zone,
        gap,
        now,
    };
    // Of two that contradict each other the first holds: too little time comes before too few changes, both before more.
    let often = more_time(&retimed, observed)
        .or_else(|| less_often(&retimed, observed))
        .or_else(|| more_often(&retimed, observed));
    let spread = (!spreads).then(|| spread(gap, observed)).flatten();
    often.into_iter().chain(spread).collect()
}

/// A trigger that might get another distance.
struct Retiming<'a> {
    trigger: &'a Trigger,
    zone: Tz,
    gap: i64,
    now: DateTime<Utc>,
}

impl Retiming<'_> {
    /// The fields that give it another distance. Cron fields keep the minute, and for a day the hour, of the next moment.
    fn patch(&self, seconds: i64) -> Option<Value> {
        match self.trigger {
            Trigger::Interval { .. } => Some(json!({"every_seconds": seconds})),
            Trigger::Cron(_) if seconds <= DAY => {
                let next = self.trigger.next_after(self.now)?.with_timezone(&self.zone);
                let minute = if self.gap < HOUR { 0 } else { next.minute() };
                let fields = match seconds {
                    DAY => format!("{minute} {} * * *", next.hour()),
                    HOUR => format!("{minute} * * * *"),
                    _ if seconds > HOUR => format!("{minute} */{} * * *", seconds / HOUR),
                    _ => format!("*/{} * * * *", seconds / 60),
                };
                Some(json!({"cron": fields}))
            }
            _ => None,
        }
    }

    fn often(&self) -> String {
        every_words(self.gap)
    }
}

fn less_often(retimed: &Retiming<'_>, observed: &Observed) -> Option<Advice> {
    let idle = observed.runs - observed.changed;
    if observed.changed * 2 > observed.runs {
        return None;
    }
    // With no change at all the distance is not known, only that it is longer than all that was seen.
    let runs_a_change = observed.runs / observed.changed.max(1);
    let wanted = retimed.gap.checked_mul(runs_a_change)?;
    let seconds = STEPS
        .into_iter()
        .rfind(|step| *step <= wanted && *step > retimed.gap)?;
    let kept = observed.runs * retimed.gap / seconds;
    let dropped_idle = (observed.runs - kept).min(idle);
    let saves_percent = (observed.calls > 0 && idle > 0)
        .then(|| observed.idle_calls * dropped_idle * 100 / (idle * observed.calls));
    let saving = saves_percent.map_or(String::new(), |percent| {
        format!(" saves about {percent} % of its calls")
    });
    let found = match observed.changed {
        0 => "none brought anything new".to_owned(),
        changed => format!("{changed} brought anything new"),
    };
    Some(Advice {
        kind: AdviceKind::LessOften,
        words: format!(
            "{} is more often than the data changes: of {} runs {found}. {}{}.",
            retimed.often(),
            observed.runs,
            every_words(seconds),
            if saving.is_empty() {
                " is enough".to_owned()
            } else {
                saving
            }
        ),
        patch: retimed.patch(seconds),
        saves_percent,
    })
}

fn more_time(retimed: &Retiming<'_>, observed: &Observed) -> Option<Advice> {
    let gap = as_f64(retimed.gap);
    if observed.overlapping * 10 < observed.runs && observed.p95_seconds <= gap {
        return None;
    }
    let needed = observed.p95_seconds * 1.25;
    let seconds = STEPS
        .into_iter()
        .find(|step| as_f64(*step) >= needed && *step > retimed.gap)?;
    Some(Advice {
        kind: AdviceKind::MoreTime,
        words: format!(
            "{} is too often: {} of {} runs were not finished when the next were due, and one in twenty takes longer than {}. {} leaves room.",
            retimed.often(),
            observed.overlapping,
            observed.runs,
            span(observed.p95_seconds),
            every_words(seconds)
        ),
        patch: retimed.patch(seconds),
        saves_percent: None,
    })
}

fn more_often(retimed: &Retiming<'_>, observed: &Observed) -> Option<Advice> {
    let allowed = observed.calls_a_day?;
    let has_room = observed.p95_seconds * 4.0 < as_f64(retimed.gap) && observed.limited == 0;
    if observed.changed * 10 < observed.runs * 9 || !has_room {
        return None;
    }
    let seconds = STEPS.into_iter().rfind(|step| *step * 2 <= retimed.gap)?;
    let calls_a_run = as_f64(observed.calls) / as_f64(observed.runs);
    let used = |seconds: i64| {
        calls_a_run * observed.runs_per_tick * as_f64(DAY) / as_f64(seconds) / allowed
    };
    if used(seconds) > BUDGET_LEFT {
        return None;
    }
    Some(Advice {
        kind: AdviceKind::MoreOften,
        words: format!(
            "Of {} runs {} brought something new. {} instead of {} would make the data fresher, and use {} of the platform's limit instead of {}.",
            observed.runs,
            observed.changed,
            every_words(seconds),
            lower_first(&retimed.often()),
            percent(used(seconds)),
            percent(used(retimed.gap))
        ),
        patch: retimed.patch(seconds),
        saves_percent: None,
    })
}

fn spread(gap: i64, observed: &Observed) -> Option<Advice> {
    if observed.limited * 5 < observed.runs || observed.runs_per_tick < 1.5 {
        return None;
    }
    let seconds = gap / 2;
    (seconds > 0).then(|| Advice {
        kind: AdviceKind::Spread,
        words: format!(
            "The runs of a tick start together, and {} of {} gave way to the platform's limit. Spread over {} they would ask one after the other.",
            observed.limited,
            observed.runs,
            span(as_f64(seconds))
        ),
        patch: Some(json!({"spread_seconds": seconds})),
        saves_percent: None,
    })
}

/// A length of time in the unit that suits it.
fn span(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.0} s"),
        ..7_200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3_600.0),
    }
}

fn percent(part: f64) -> String {
    match part * 100.0 {
        ..1.0 => "less than 1 %".to_owned(),
        percent => format!("{percent:.0} %"),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and spans far below 2^52"
)]
fn as_f64(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-02T10:20:00Z".parse().unwrap()
    }

    fn hourly() -> Trigger {
        Trigger::interval(HOUR, now()).unwrap()
    }

    /// 100 quick runs of ten calls, each of which brought something.
    fn usual() -> Observed {
        Observed {
            runs: 100,
            changed: 100,
            calls: 1_000,
            idle_calls: 0,
            median_seconds: 20.0,
            p95_seconds: 60.0,
            overlapping: 0,
            limited: 0,
            runs_per_tick: 1.0,
            calls_a_day: None,
        }
    }

    fn only(trigger: &Trigger, observed: &Observed) -> Option<Advice> {
        let mut advice = advise(trigger, Tz::UTC, false, observed, now());
        assert!(advice.len() <= 1, "{advice:?}");
        advice.pop()
    }

    #[test]
    fn a_schedule_that_suits_its_data_gets_none() {
        assert_eq!(only(&hourly(), &usual()), None);
        let mostly = Observed {
            changed: 60,
            idle_calls: 40,
            ..usual()
        };
        assert_eq!(only(&hourly(), &mostly), None);
    }

    #[test]
    fn data_that_changes_half_as_often_is_asked_for_half_as_often() {
        let half = Observed {
            changed: 45,
            calls: 500,
            idle_calls: 440,
            ..usual()
        };
        let advice = only(&hourly(), &half).unwrap();
        assert_eq!(advice.kind, AdviceKind::LessOften);
        assert_eq!(advice.patch, Some(json!({"every_seconds": 7_200})));
        // 50 of 55 idle runs of eight calls each.
        assert_eq!(advice.saves_percent, Some(80));
        assert_eq!(
            advice.words,
            "Every hour is more often than the data changes: of 100 runs 45 brought anything new. Every 2 hours saves about 80 % of its calls."
        );
    }

    #[test]
    fn data_that_never_changes_is_asked_for_every_two_days_at_the_least() {
        let never = Observed {
            changed: 0,
            idle_calls: 1_000,
            ..usual()
        };
        let advice = only(&hourly(), &never).unwrap();
        assert_eq!(advice.patch, Some(json!({"every_seconds": 172_800})));
        assert!(advice.saves_percent.unwrap() >= 97, "{advice:?}");
    }

    #[test]
    fn runs_that_overlap_get_more_time() {
        let slow = Observed {
            p95_seconds: 4_000.0,
            overlapping: 12,
            changed: 10,
            ..usual()
        };
        let advice = only(&hourly(), &slow).unwrap();
        assert_eq!(advice.kind, AdviceKind::MoreTime);
        assert_eq!(advice.patch, Some(json!({"every_seconds": 7_200})));
        assert!(advice.words.contains("12 of 100 runs"), "{}", advice.words);
    }

    #[test]
    fn more_often_only_where_the_budget_has_room() {
        let room = Observed {
            calls_a_day: Some(10_000.0),
            ..usual()
        };
        let advice = only(&hourly(), &room).unwrap();
        assert_eq!(advice.kind, AdviceKind::MoreOften);
        assert_eq!(advice.patch, Some(json!({"every_seconds": 1_800})));
        assert!(
            advice
                .words
                .contains("use 5 % of the platform's limit instead of 2 %"),
            "{}",
            advice.words
        );
        let tight = Observed {
            calls_a_day: Some(900.0),
            ..usual()
        };
        assert_eq!(only(&hourly(), &tight), None);
        let limited = Observed { limited: 1, ..room };
        assert_eq!(only(&hourly(), &limited), None);
    }

    #[test]
    fn runs_that_wait_for_a_limit_together_are_spread() {
        let crowded = Observed {
            limited: 30,
            runs_per_tick: 10.0,
            ..usual()
        };
        let advice = only(&hourly(), &crowded).unwrap();
        assert_eq!(advice.patch, Some(json!({"spread_seconds": 1_800})));
        assert_eq!(advise(&hourly(), Tz::UTC, true, &crowded, now()), []);
        let alone = Observed {
            runs_per_tick: 1.0,
            ..crowded
        };
        assert_eq!(only(&hourly(), &alone), None);
    }

    #[test]
    fn cron_fields_keep_their_minute_and_the_hour_of_a_daily_one() {
        let idle = |changed| Observed {
            changed,
            idle_calls: 100,
            ..usual()
        };
        let advised = |fields: &str, changed| {
            let trigger = Trigger::cron(fields, "UTC").unwrap();
            only(&trigger, &idle(changed)).unwrap().patch.unwrap()["cron"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(advised("17 * * * *", 50), "17 */2 * * *");
        assert_eq!(advised("17 * * * *", 4), "17 11 * * *");
        assert_eq!(advised("*/15 * * * *", 25), "0 * * * *");
        assert_eq!(advised("3-59/5 * * * *", 50), "*/10 * * * *");
    }

    #[test]
    fn the_proposed_fields_have_the_proposed_distance() {
        let trigger = Trigger::cron("7 * * * *", "Europe/Berlin").unwrap();
        let retiming = Retiming {
            trigger: &trigger,
            zone: Tz::Europe__Berlin,
            gap: HOUR,
            now: now(),
        };
        for seconds in STEPS.into_iter().filter(|step| *step <= DAY) {
            let patch = retiming.patch(seconds).unwrap();
            let proposed = Trigger::cron(patch["cron"].as_str().unwrap(), "Europe/Berlin").unwrap();
            assert_eq!(distance(&proposed, now()), Some(seconds), "{patch}");
        }
    }

    #[test]
    fn a_trigger_of_uneven_moments_gets_no_advice() {
        for fields in ["0 9 * * mon-fri", "0 9,17 * * *", "0 0 1 * *"] {
            let trigger = Trigger::cron(fields, "UTC").unwrap();
            let idle = Observed {
                changed: 1,
                ..usual()
            };
            assert_eq!(only(&trigger, &idle), None, "{fields}");
        }
        assert_eq!(only(&Trigger::Manual, &usual()), None);
    }

    #[test]
    fn a_few_runs_say_nothing() {
        let few = Observed {
            runs: FEWEST_RUNS - 1,
            changed: 0,
            ..usual()
        };
        assert_eq!(only(&hourly(), &few), None);
    }
}
