//! Limits that people set in place of a manifest's: of a platform, or of a connection.
//!
//! `{"<budget>": {"limit": 100, "per_seconds": 1}}`, or several windows: `{"<budget>": {"windows": [..], "manual_reserve_percent": 10}}`.
//! What is stored is [`Limits`], the form that workers read; here it is checked, with all mistakes at once.

use std::collections::HashMap;

use serde_json::Value;
use syncline_engine::Connector;
use syncline_shared::budget::{CalendarUnit, Limit, LimitWindow, Limits};
use syncline_shared::schedule::parse_zone;

use super::{Fields, Notes};

/// Shortest and longest window in seconds: a millisecond, 366 days.
const SECONDS: (f64, f64) = (0.001, 366.0 * 24.0 * 3600.0);
/// Highest limit: points are counted in 32 bits.
const MAX_LIMIT: i64 = i32::MAX as i64;
/// Windows of one budget at most: each request is counted in all of them.
const MAX_WINDOWS: usize = 8;
/// At most so many percent can be kept for runs that a person started; others would hardly get on.
const MAX_RESERVE: i64 = 90;

/// Reads limits that stand at `pointer`.
pub fn read(value: &Value, pointer: &str, notes: &mut Notes) -> Limits {
    let mut limits = Limits::default();
    let Value::Object(members) = value else {
        let kind = super::fields::kind(value);
        notes.refuse(
            pointer,
            "type",
            format!("limits must be an object, not {kind}"),
        );
        return limits;
    };
    for (name, value) in members {
        let at = format!("{pointer}/{}", super::fields::escape(name));
        if let Some(limit) = read_limit(value, &at, notes) {
            limits.0.insert(name.clone(), limit);
        }
    }
    limits
}

fn read_limit(value: &Value, at: &str, notes: &mut Notes) -> Option<Limit> {
    let mut fields = Fields::of(value, at, notes)?;
    let Some(windows) = fields.value("windows") else {
        if fields.value("manual_reserve_percent").is_some() {
            notes.refuse(
                fields.at("manual_reserve_percent"),
                "windows",
                "manual_reserve_percent stands beside windows; write the limit as one of them: \
                 {\"windows\": [{\"limit\": 100, \"per_seconds\": 1}], \"manual_reserve_percent\": 10}",
            );
        }
        return read_window(fields, at, notes).map(Limit::One);
    };
    let reserve = fields.integer("manual_reserve_percent", 0, MAX_RESERVE, notes);
    let windows = read_windows(windows, &fields.at("windows"), notes);
    fields.finish(notes);
    Some(Limit::Several {
        windows,
        manual_reserve_percent: reserve.and_then(|percent| u8::try_from(percent).ok()),
    })
}

fn read_windows(value: &Value, at: &str, notes: &mut Notes) -> Vec<LimitWindow> {
    let Value::Array(items) = value else {
        let kind = super::fields::kind(value);
        let detail = format!("windows must be a list, not {kind}; [] means no limit");
        notes.refuse(at, "type", detail);
        return Vec::new();
    };
    if items.len() > MAX_WINDOWS {
        let detail = format!(
            "a budget has {} windows; allowed are {MAX_WINDOWS}",
            items.len()
        );
        notes.refuse(at, "length", detail);
    }
    let mut windows = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        let here = format!("{at}/{index}");
        let fields = Fields::of(item, here.clone(), notes);
        let Some(window) = fields.and_then(|fields| read_window(fields, &here, notes)) else {
            continue;
        };
        if let Some(kind) = window.window().map(|window| window.kind) {
            let word = kind.word();
            if let Some(first) = places.get(&word) {
                let detail = format!(
                    "this window is of the kind and length of windows[{first}] ({word}); keep the stricter one"
                );
                notes.refuse(here, "repeated", detail);
            }
            places.entry(word).or_insert(index);
        }
        windows.push(window);
    }
    windows
}

/// Reads a window. `None`, with notes, if it does not say what its limit counts.
fn read_window(mut fields: Fields<'_>, at: &str, notes: &mut Notes) -> Option<LimitWindow> {
    let before = notes.len();
    let limit = fields.integer("limit", 1, MAX_LIMIT, notes);
    if limit.is_none() && notes.len() == before {
        notes.refuse(fields.at("limit"), "required", "limit is required");
    }
    let said: Vec<&str> = ["per_seconds", "per", "at_once"]
        .into_iter()
        .filter(|name| {
            fields
                .value(name)
                .is_some_and(|value| *value != Value::Bool(false))
        })
        .collect();
    match said.as_slice() {
        [] => notes.refuse(
            fields.at("per_seconds"),
            "required",
            "per_seconds is required, or in its place \"per\": \"day\" or \"month\", or \"at_once\": true",
        ),
        [_] => {}
        several => notes.refuse(
            at,
            "choice",
            format!(
                "{} are given; exactly one of per_seconds, per and at_once says what the limit counts",
                several.join(" and ")
            ),
        ),
    }
    let window = LimitWindow {
        limit: limit
            .and_then(|limit| u32::try_from(limit).ok())
            .unwrap_or(1),
        per_seconds: fields.number("per_seconds", SECONDS, notes),
        fixed: read_fixed(&mut fields, notes),
        per: read_unit(&mut fields, notes),
        time_zone: read_zone(&mut fields, notes),
        at_once: fields.boolean("at_once", notes).unwrap_or(false),
    };
    fields.finish(notes);
    (notes.len() == before).then_some(window)
}

fn read_fixed(fields: &mut Fields<'_>, notes: &mut Notes) -> bool {
    let fixed = fields.boolean("fixed", notes).unwrap_or(false);
    if fixed && fields.value("per_seconds").is_none() {
        let detail = "fixed says that the platform begins the count anew every so many seconds; it goes with per_seconds only";
        notes.refuse(fields.at("fixed"), "choice", detail);
    }
    fixed
}

fn read_unit(fields: &mut Fields<'_>, notes: &mut Notes) -> Option<CalendarUnit> {
    match fields.text("per", notes)?.as_str() {
        "day" => Some(CalendarUnit::Day),
        "month" => Some(CalendarUnit::Month),
        other => {
            let detail = format!("per {other:?} is unknown; allowed: day, month");
            notes.refuse(fields.at("per"), "unknown-value", detail);
            None
        }
    }
}

fn read_zone(fields: &mut Fields<'_>, notes: &mut Notes) -> Option<String> {
    let zone = fields.text("time_zone", notes)?;
    if fields.value("per").is_none() {
        let detail = "time_zone is the zone of a calendar; it goes with per only";
        notes.refuse(fields.at("time_zone"), "choice", detail);
    }
    if let Err(error) = parse_zone(&zone) {
        let detail = format!("time_zone {zone:?}: {}", error.problem);
        notes.refuse(fields.at("time_zone"), "zone", detail);
    }
    Some(zone)
}

/// Notes every limit whose budget the connector does not have.
pub fn check(limits: &Limits, connector: &Connector, pointer: &str, notes: &mut Notes) {
    let known: Vec<_> = connector
        .budgets()
        .iter()
        .map(|budget| budget.name.as_str())
        .collect();
    for name in limits.0.keys() {
        if !known.contains(&name.as_str()) {
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            notes.refuse(
                format!("{pointer}/{}", super::fields::escape(name)),
                "unknown-budget",
                format!(
                    "platform {:?} has no budget {name:?}; it has: {known}",
                    connector.platform()
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Pointers and codes of what is wrong with a limit of the budget `a`.
    fn problems(limit: &Value) -> Vec<(String, String)> {
        let mut notes = Notes::default();
        read(&json!({"a": limit}), "", &mut notes);
        let problems = notes.into_problems().into_iter();
        problems
            .map(|problem| (problem.pointer, problem.code))
            .collect()
    }

    #[track_caller]
    fn assert_refused(limit: &Value, expected: &[(&str, &str)]) {
        let found = problems(limit);
        let found: Vec<_> = found
            .iter()
            .map(|(pointer, code)| (pointer.as_str(), code.as_str()))
            .collect();
        assert_eq!(found, expected, "{limit}");
    }

    #[test]
    fn limits_need_both_numbers_of_at_least_one() {
        let mut notes = Notes::default();
        let value = json!({"a": {"limit": 5, "per_seconds": 1}, "b": {"limit": 0}, "c": 5});
        let limits = read(&value, "/limits", &mut notes);
        assert_eq!(
            serde_json::to_value(&limits).unwrap(),
            json!({"a": {"limit": 5, "per_seconds": 1}})
        );
        let pointers: Vec<_> = notes
            .into_problems()
            .into_iter()
            .map(|p| p.pointer)
            .collect();
        assert_eq!(
            pointers,
            ["/limits/b/limit", "/limits/b/per_seconds", "/limits/c"]
        );
    }

    #[test]
    fn what_is_accepted_is_stored_as_it_was_written() {
        let sound = json!({
            "requests": {"limit": 100, "per_seconds": 0.001},
            "daily": {"limit": 15_000, "per": "day"},
            "operations": {"manual_reserve_percent": 90, "windows": [
                {"limit": 10, "per_seconds": 1},
                {"limit": 200, "per_seconds": 3600},
                {"limit": 200, "per_seconds": 3600, "fixed": true},
                {"limit": 1_000, "per": "month", "time_zone": "Europe/Berlin"},
                {"limit": 1_000, "per": "month", "time_zone": "UTC"},
                {"limit": 4, "at_once": true},
            ]},
            "free": {"windows": []},
        });
        let mut notes = Notes::default();
        let limits = read(&sound, "", &mut notes);
        assert_eq!(notes.into_problems(), []);
        assert_eq!(serde_json::to_value(&limits).unwrap(), sound);
        assert_eq!(Limits::read(&sound), limits);
    }

    #[test]
    fn a_window_says_exactly_once_what_its_limit_counts() {
        assert_refused(&json!({"limit": 1}), &[("/a/per_seconds", "required")]);
        assert_refused(
            &json!({"limit": 1, "at_once": false}),
            &[("/a/per_seconds", "required")],
        );
        for two in [
            json!({"limit": 1, "per_seconds": 1, "per": "day"}),
            json!({"limit": 1, "per_seconds": 1, "at_once": true}),
            json!({"limit": 1, "per": "month", "at_once": true}),
        ] {
            assert_refused(&two, &[("/a", "choice")]);
        }
    }

    #[test]
    fn lengths_units_and_zones_are_known_ones() {
        for length in [json!(0), json!(0.000_9), json!(31_622_401), json!("1")] {
            let limit = json!({"limit": 1, "per_seconds": length});
            assert_refused(&limit, &[("/a/per_seconds", "range")]);
        }
        assert_refused(
            &json!({"limit": 1, "per": "week"}),
            &[("/a/per", "unknown-value")],
        );
        assert_refused(
            &json!({"limit": 1, "per": "day", "time_zone": "Mars/Olympus"}),
            &[("/a/time_zone", "zone")],
        );
        assert_refused(
            &json!({"limit": 1, "per_seconds": 1, "time_zone": "UTC"}),
            &[("/a/time_zone", "choice")],
        );
        assert_refused(
            &json!({"limit": 1, "per": "day", "fixed": true}),
            &[("/a/fixed", "choice")],
        );
        assert_refused(
            &json!({"limit": 1, "at_once": "yes"}),
            &[("/a/at_once", "type")],
        );
        assert_refused(
            &json!({"limit": 4_294_967_296_u64, "per_seconds": 1, "per_minute": 1}),
            &[("/a/limit", "range"), ("/a/per_minute", "unknown-field")],
        );
    }

    #[test]
    fn windows_are_few_and_no_two_alike() {
        assert_refused(&json!({"windows": {}}), &[("/a/windows", "type")]);
        let nine: Vec<Value> = (1..=9)
            .map(|n| json!({"limit": 1, "per_seconds": n}))
            .collect();
        assert_refused(&json!({"windows": nine}), &[("/a/windows", "length")]);
        let alike = json!({"windows": [
            {"limit": 5, "per_seconds": 60}, {"limit": 4, "per_seconds": 60.0},
            {"limit": 5, "per": "day"}, {"limit": 4, "per": "day", "time_zone": "UTC"},
            {"limit": 1, "at_once": true}, {"limit": 2, "at_once": true}, 7,
        ]});
        assert_refused(
            &alike,
            &[
                ("/a/windows/1", "repeated"),
                ("/a/windows/3", "repeated"),
                ("/a/windows/5", "repeated"),
                ("/a/windows/6", "type"),
            ],
        );
    }

    #[test]
    fn a_reserve_is_a_part_of_windows() {
        let window = json!([{"limit": 1, "per_seconds": 1}]);
        for percent in [json!(91), json!(-1), json!("10")] {
            let limit = json!({"windows": window, "manual_reserve_percent": percent});
            assert_refused(&limit, &[("/a/manual_reserve_percent", "range")]);
        }
        assert_refused(
            &json!({"limit": 1, "per_seconds": 1, "manual_reserve_percent": 10}),
            &[("/a/manual_reserve_percent", "windows")],
        );
        assert_refused(
            &json!({"windows": window, "limit": 1}),
            &[("/a/limit", "unknown-field")],
        );
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        assert_refused(
            &json!({"manual_reserve_percent": 100, "windows": [{"limit": 0}, {"per": "week", "colour": 1}]}),
            &[
                ("/a/manual_reserve_percent", "range"),
                ("/a/windows/0/limit", "range"),
                ("/a/windows/0/per_seconds", "required"),
                ("/a/windows/1/limit", "required"),
                ("/a/windows/1/per", "unknown-value"),
                ("/a/windows/1/colour", "unknown-field"),
            ],
        );
    }
}
