use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use crate::schedule::Trigger;

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

/// The moments in `from..to`, on the zone's clock with its offset.
fn moments(cron: &str, zone: &str, from: &str, to: &str) -> Vec<String> {
    let trigger = Trigger::cron(cron, zone).expect("a trigger");
    let zone: chrono_tz::Tz = zone.parse().expect("a zone");
    let (from, to) = (utc(from), utc(to));
    let found: Vec<_> =
        std::iter::successors(trigger.next_from(from), |at| trigger.next_after(*at))
            .take_while(|at| *at < to)
            .collect();
    let last = to - TimeDelta::nanoseconds(1);
    assert_eq!(
        trigger.count_between(from, last),
        found.len() as u64,
        "{cron}"
    );
    assert_eq!(
        trigger.last_before(to).filter(|at| *at >= from),
        found.last().copied(),
        "{cron}"
    );
    found
        .iter()
        .map(|at| at.with_timezone(&zone).format("%d %H:%M%z").to_string())
        .collect()
}

/// Berlin, 29 March 2026: 02:00 CET becomes 03:00 CEST at 01:00 UTC.
fn spring(cron: &str) -> Vec<String> {
    moments(
        cron,
        "Europe/Berlin",
        "2026-03-28T22:00:00Z",
        "2026-03-29T04:00:00Z",
    )
}

/// Berlin, 25 October 2026: 03:00 CEST becomes 02:00 CET at 01:00 UTC.
fn autumn(cron: &str) -> Vec<String> {
    moments(
        cron,
        "Europe/Berlin",
        "2026-10-24T22:00:00Z",
        "2026-10-25T04:00:00Z",
    )
}

#[test]
fn fields_are_read_in_their_zone() {
    let next = |cron, zone, after| {
        let trigger = Trigger::cron(cron, zone).expect("a trigger");
        trigger
            .next_after(utc(after))
            .expect("a next moment")
            .to_rfc3339()
    };
    assert_eq!(
        next("0 2 * * *", "UTC", "2026-07-01T02:00:00Z"),
        "2026-07-02T02:00:00+00:00"
    );
    assert_eq!(
        next("0 2 * * *", "Europe/Berlin", "2026-07-01T02:00:00Z"),
        "2026-07-02T00:00:00+00:00"
    );
    assert_eq!(
        next("*/5 * * * * *", "UTC", "2026-07-01T02:00:01Z"),
        "2026-07-01T02:00:05+00:00"
    );
    assert_eq!(
        next("@hourly", "UTC", "2026-07-01T02:00:01Z"),
        "2026-07-01T03:00:00+00:00"
    );
    assert_eq!(
        next("@midnight", "UTC", "2026-07-01T02:00:01Z"),
        "2026-07-02T00:00:00+00:00"
    );
    assert_eq!(
        next("@annually", "UTC", "2026-07-01T02:00:01Z"),
        "2027-01-01T00:00:00+00:00"
    );
    assert_eq!(
        next("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z"),
        "2104-02-29T00:00:00+00:00"
    );
}

#[test]
fn a_skipped_time_runs_at_the_first_valid_instant() {
    assert_eq!(spring("30 2 * * *"), ["29 03:00+0200"]);
    assert_eq!(spring("*/10 2 * * *"), ["29 03:00+0200"], "several are one");
    assert_eq!(spring("30 2,3 * * *"), ["29 03:00+0200", "29 03:30+0200"]);
    assert_eq!(
        spring("0 2,3 * * *"),
        ["29 03:00+0200"],
        "a skipped and a regular one are one"
    );
    assert_eq!(spring("30 2 * * 1"), [""; 0], "another day's is none");
    // Lord Howe moves by half an hour: 02:00 becomes 02:30.
    let lord_howe = moments(
        "15 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-03T12:00:00Z",
        "2026-10-03T20:00:00Z",
    );
    assert_eq!(lord_howe, ["04 02:30+1100"]);
    // Midnight was skipped in Sao Paulo.
    let sao_paulo = moments(
        "0 0 * * 0",
        "America/Sao_Paulo",
        "2018-11-03T12:00:00Z",
        "2018-11-04T12:00:00Z",
    );
    assert_eq!(sao_paulo, ["04 01:00-0200"]);
    // Samoa skipped the whole of 30 December 2011.
    let samoa = moments(
        "0 12 30 * *",
        "Pacific/Apia",
        "2011-12-29T12:00:00Z",
        "2012-01-02T00:00:00Z",
    );
    assert_eq!(samoa, ["31 00:00+1400"]);
}

#[test]
fn a_repeated_time_runs_once() {
    assert_eq!(autumn("30 2 * * *"), ["25 02:30+0200"]);
    assert_eq!(
        autumn("0 */2 * * *"),
        ["25 00:00+0200", "25 02:00+0200", "25 04:00+0100"]
    );
    assert_eq!(autumn("30 1-2 * * *"), ["25 01:30+0200", "25 02:30+0200"]);
    // Sao Paulo repeated the hour before midnight.
    let sao_paulo = moments(
        "30 23 * * *",
        "America/Sao_Paulo",
        "2018-02-17T12:00:00Z",
        "2018-02-18T12:00:00Z",
    );
    assert_eq!(sao_paulo, ["17 23:30-0200"]);
}

#[test]
fn a_cron_that_runs_on_through_the_change_keeps_its_rhythm() {
    for hours in ["*", "0-23", "*/1", "1-3", "0-6"] {
        let all = autumn(&format!("5 {hours} * * *"));
        let night: Vec<_> = all
            .iter()
            .filter(|at| at.as_str() >= "25 01" && at.as_str() < "25 04")
            .collect();
        assert_eq!(
            night,
            [
                "25 01:05+0200",
                "25 02:05+0200",
                "25 02:05+0100",
                "25 03:05+0100"
            ],
            "{hours}"
        );
        let all = spring(&format!("5 {hours} * * *"));
        let night: Vec<_> = all
            .iter()
            .filter(|at| at.as_str() >= "29 01" && at.as_str() < "29 04")
            .collect();
        assert_eq!(night, ["29 01:05+0100", "29 03:05+0200"], "{hours}");
    }
    assert_eq!(autumn("*/15 * * * *").len(), 24);
    assert_eq!(spring("*/15 * * * *").len(), 24);
    assert_eq!(autumn("*/10 * * * * *").len(), 6 * 360);
    assert_eq!(spring("*/10 * * * * *").len(), 6 * 360);
}

#[test]
fn every_fifteen_minutes_is_every_fifteen_minutes_all_year() {
    let from = utc("2026-01-01T00:00:00Z");
    for zone in [
        "Europe/Berlin",
        "America/New_York",
        "America/Sao_Paulo",
        "Asia/Kathmandu",
        "UTC",
    ] {
        let trigger = Trigger::cron("*/15 * * * *", zone).expect("a trigger");
        assert_eq!(
            trigger.count_between(from, from + TimeDelta::days(365)),
            365 * 96 + 1,
            "{zone}"
        );
    }
}

#[test]
fn day_and_weekday_are_either_unless_joined() {
    let first_or_monday = moments(
        "0 0 1 * 1",
        "UTC",
        "2026-09-01T00:00:00Z",
        "2026-09-15T00:00:00Z",
    );
    assert_eq!(
        first_or_monday,
        ["01 00:00+0000", "07 00:00+0000", "14 00:00+0000"]
    );
    let both = moments(
        "0 0 1-7 * +1",
        "UTC",
        "2026-09-01T00:00:00Z",
        "2026-10-01T00:00:00Z",
    );
    assert_eq!(both, ["07 00:00+0000"]);
}

#[test]
fn any_span_is_counted() {
    let trigger = Trigger::cron("* * * * * *", "Europe/Berlin").expect("a trigger");
    let (from, to) = (utc("1970-01-02T00:00:00Z"), utc("9999-12-30T00:00:00Z"));
    let seconds = (to - from).num_seconds().unsigned_abs();
    assert_eq!(trigger.count_between(from, to), seconds + 1);
    assert_eq!(trigger.count_between(to, from), 0);
}

#[test]
fn instants_beyond_the_calendar_have_no_moments() {
    let trigger = Trigger::cron("* * * * *", "Pacific/Apia").expect("a trigger");
    let (first, last) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    assert_eq!(trigger.next_after(last), None);
    assert_eq!(trigger.last_at_or_before(first), None);
    let earliest = trigger.next_after(first).expect("a moment");
    let latest = trigger.last_at_or_before(last).expect("a moment");
    assert_eq!(earliest.format("%Y").to_string(), "1970");
    assert_eq!(latest.format("%Y").to_string(), "9999");
    assert!(trigger.count_between(first, last) > 4_000_000_000);
}

/// Expression, problem, and what is allowed.
const REFUSED: &[(&str, &str, &str)] = &[
    ("61 * * * *", "its minute \"61\" cannot be read", "0-59"),
    ("0 24 * * *", "its hour \"24\" cannot be read", "0-23"),
    ("0 0 0 * *", "its day \"0\" cannot be read", "1-31"),
    ("0 0 * 13 *", "its month \"13\" cannot be read", "1-12"),
    ("0 0 * * 8", "its weekday \"8\" cannot be read", "0-7"),
    ("60 0 0 * * *", "its second \"60\" cannot be read", "0-59"),
    ("*/0 * * * *", "its minute \"*/0\" cannot be read", "steps"),
    ("5-1 * * * *", "its minute \"5-1\" cannot be read", "ranges"),
    ("0/5 * * * *", "its minute \"0/5\" cannot be read", "steps"),
    (
        "1,,2 * * * *",
        "its minute \"1,,2\" has an empty place in its list",
        "lists",
    ),
    (
        ", * * * *",
        "its minute \",\" has an empty place in its list",
        "lists",
    ),
    (
        "JAN * * * *",
        "its minute \"JAN\" has a name that does not belong there",
        "0-59",
    ),
    (
        "0 0 MON * *",
        "its day \"MON\" has a name that does not belong there",
        "1-31",
    ),
    (
        "0 0 * MON *",
        "its month \"MON\" has a name that does not belong there",
        "JAN-DEC",
    ),
    (
        "0 0 * 1JAN *",
        "its month \"1JAN\" has a name and a number in one",
        "JAN-DEC",
    ),
    (
        "0 0 * * MON3",
        "its weekday \"MON3\" has a name and a number in one",
        "SUN-SAT",
    ),
    (
        "0 0 * * MONDAY",
        "its weekday \"MONDAY\" has a name that does not belong there",
        "SUN-SAT",
    ),
    (
        "0 0 1 * L",
        "its weekday \"L\" has an L that belongs to no day",
        "5L",
    ),
    ("0 0 * * 1#6", "its weekday \"1#6\" cannot be read", "1#2"),
    ("0 0 L,LW * *", "its day \"L,LW\" has both L and LW", "LW"),
    ("0 0 W * *", "its day \"W\" cannot be read", "15W"),
    (
        "0 0 * * fr\u{131}",
        "its weekday \"FR\u{131}\" has a character that is not ASCII",
        "SUN-SAT",
    ),
    ("* * * *", "it has 4 fields", "five"),
    ("* * * * * * *", "it has 7 fields", "six"),
    ("", "it has 0 fields", "five"),
    ("@reboot", "there is no such name", "@midnight"),
    (
        "0 0 30 2 *",
        "it never matches",
        "a day that some month has",
    ),
    (
        "0 0 31 4,6,9,11 *",
        "it never matches",
        "a day that some month has",
    ),
];

#[test]
fn refusals_name_the_field_the_value_and_what_is_allowed() {
    for (expression, problem, allowed) in REFUSED {
        let error = Trigger::cron(expression, "UTC").expect_err(expression);
        assert_eq!((error.field, error.value.as_str()), ("cron", *expression));
        assert!(
            error.problem.contains(problem),
            "{expression}: {}",
            error.problem
        );
        assert!(error.problem.contains("allowed:"), "{}", error.problem);
        assert!(
            error.problem.contains(allowed),
            "{expression}: {}",
            error.problem
        );
    }
    let long = format!("{} * * * *", "1,".repeat(200));
    let error = Trigger::cron(&long, "UTC").expect_err("refused");
    assert!(error.problem.contains("at most 256 characters"));
    let error = Trigger::cron("0 0 * * *", "Mars/Olympus").expect_err("refused");
    assert_eq!(
        (error.field, error.value.as_str()),
        ("zone", "Mars/Olympus")
    );
}

fn any_cron() -> impl Strategy<Value = String> {
    let of = |values: &'static [&'static str]| prop::sample::select(values);
    let seconds = of(&["", "", "0 ", "*/10 ", "7,31 ", "* "]);
    let minutes = of(&["0", "*", "*/15", "*/7", "5-20", "59"]);
    let hours = of(&["*", "*/2", "0-6", "2", "1,3", "23", "9-17"]);
    let days = of(&["*", "*", "1", "L", "15W", "*/4", "31"]);
    let months = of(&["*", "*", "3,10", "*/2"]);
    let weekdays = of(&["*", "*", "1-5", "0", "5L", "2#1"]);
    (seconds, minutes, hours, days, months, weekdays)
        .prop_map(|(s, m, h, d, mo, w)| format!("{s}{m} {h} {d} {mo} {w}"))
}

fn any_zone() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "America/Sao_Paulo",
        "Asia/Kathmandu",
        "Pacific/Apia",
        "Africa/Casablanca",
        "Antarctica/Troll",
    ])
}

proptest! {
    #[test]
    fn moments_increase_and_all_questions_agree(
        cron in any_cron(), zone in any_zone(), start in 0_i64..4_000_000_000, nanos in 0_u32..1_000_000_000,
    ) {
        let trigger = Trigger::cron(&cron, zone).expect("a trigger");
        let start = DateTime::from_timestamp(start, nanos).expect("an instant");
        let mut before = start;
        for number in 1..=40 {
            let next = trigger.next_after(before).expect("a next moment");
            prop_assert!(next > before);
            prop_assert_eq!(trigger.next_from(next), Some(next));
            prop_assert_eq!(trigger.last_at_or_before(next), Some(next));
            prop_assert!(trigger.last_before(next) < Some(next));
            prop_assert_eq!(trigger.count_between(start + TimeDelta::nanoseconds(1), next), number);
            if number > 1 {
                prop_assert_eq!(trigger.last_before(next), Some(before));
            }
            before = next;
        }
    }

    #[test]
    fn no_text_and_no_instant_makes_it_panic(
        text in prop_oneof![
            ".{0,40}",
            "[0-9*,/LW#?+@ -]{1,24}",
            "[0-9*]{1,2}( [0-9*,/LW#?+-]{1,5}){4,5}",
            "[0-9] [0-9] ([A-Z]{3}|[0-9LW]{1,3}) ([A-Za-z]{3}|\\*) ([A-Z]{3}[-#,]?[A-Z0-9]{1,3}|\\*)",
            any_cron(),
        ],
        zone in any_zone(),
        seconds in any::<i64>(),
        near in -10_i64..400_000_000_000,
    ) {
        if let Ok(trigger) = Trigger::cron(&text, zone) {
            for seconds in [seconds, near] {
                let Some(instant) = DateTime::from_timestamp(seconds, 0) else { continue };
                let next = trigger.next_after(instant);
                prop_assert!(next.is_none_or(|next| next > instant));
                let last = trigger.last_at_or_before(instant);
                prop_assert!(last.is_none_or(|last| last <= instant));
                let until = instant.checked_add_signed(TimeDelta::days(400)).unwrap_or(instant);
                trigger.count_between(instant, until);
            }
            prop_assert!(trigger.next_after(DateTime::UNIX_EPOCH).is_some());
            trigger.describe();
        }
    }
}
