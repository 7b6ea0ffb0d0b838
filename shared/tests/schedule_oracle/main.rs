//! Cron triggers against an independent oracle in Python (`oracle.py`; README.md says how they differ in method).
//!
//! The everyday test compares with committed answers; the proof makes a virtual environment and asks for 100,000 new ones.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod python;

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use syncline_shared::schedule::Trigger;

/// One line of the oracle's output.
struct Answer {
    instant: DateTime<Utc>,
    next: Vec<DateTime<Utc>>,
    span: TimeDelta,
    count: u64,
}

fn seconds(text: &str) -> TimeDelta {
    TimeDelta::seconds(text.trim().parse().unwrap())
}

fn read(line: &str) -> Answer {
    let mut columns = line.split('|');
    let mut column = || columns.next().unwrap().trim();
    let instant = DateTime::UNIX_EPOCH + seconds(column());
    let next = column()
        .split_whitespace()
        .map(|delta| instant + seconds(delta))
        .collect();
    Answer {
        instant,
        next,
        span: seconds(column()),
        count: column().parse().unwrap(),
    }
}

/// What the trigger says otherwise than the oracle; empty if they agree.
fn differences(trigger: &Trigger, answer: &Answer) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: &str, ours: String, theirs: String| {
        if ours != theirs {
            found.push(format!("{what}: {ours}, the oracle says {theirs}"));
        }
    };
    let mut before = answer.instant;
    for next in &answer.next {
        let ours = trigger.next_after(before);
        differ(
            &format!("next after {before}"),
            format!("{ours:?}"),
            format!("{:?}", Some(*next)),
        );
        differ(
            "count",
            trigger
                .count_between(before + TimeDelta::nanoseconds(1), *next)
                .to_string(),
            "1".to_owned(),
        );
        let last = trigger.last_at_or_before(*next);
        differ(
            &format!("last until {next}"),
            format!("{last:?}"),
            format!("{:?}", Some(*next)),
        );
        if before != answer.instant {
            let last = trigger.last_before(*next);
            differ(
                &format!("last before {next}"),
                format!("{last:?}"),
                format!("{:?}", Some(before)),
            );
        }
        before = *next;
    }
    let from = answer.instant + TimeDelta::seconds(1);
    let ours = trigger.count_between(from, answer.instant + answer.span);
    differ(
        &format!("count in {} after {}", answer.span, answer.instant),
        ours.to_string(),
        answer.count.to_string(),
    );
    found
}

/// Compares all of an output; returns how many questions it held.
fn compare(output: &str) -> usize {
    let mut questions = 0;
    let mut failures = String::new();
    let mut failed = 0;
    let mut current = None;
    for line in output.lines() {
        if let Some(header) = line.strip_prefix("= ") {
            let (zone, cron) = header.split_once(" | ").unwrap();
            current = Some((header, Trigger::cron(cron, zone).unwrap()));
            continue;
        }
        let (header, trigger) = current.as_ref().unwrap();
        questions += 1;
        let found = differences(trigger, &read(line));
        if !found.is_empty() {
            failed += 1;
            if failed <= 20 {
                writeln!(failures, "{header} at {line}: {}", found[0]).unwrap();
            }
        }
    }
    assert!(
        failed == 0,
        "{failed} of {questions} differ, such as\n{failures}"
    );
    questions
}

#[test]
fn schedules_agree_with_the_committed_answers_of_an_independent_oracle() {
    let questions = compare(include_str!("goldens.txt"));
    assert!(questions > 4000, "{questions}");
}

/// A comparison that cannot fail proves nothing.
#[test]
#[should_panic(expected = "1 of 1 differ")]
fn a_wrong_answer_is_noticed() {
    compare("= Europe/Berlin | 0 0 * * *\n1774699199 | 39602 122401 208801 | 172800 | 2");
}

#[test]
#[ignore = "proof: makes a virtual environment of Python and asks it for minutes"]
fn proof_schedules_agree_with_python_for_100_000_triples() {
    let output = python::ask(&["triples", "110000", "20261122"]);
    let questions = compare(&output);
    println!("{questions} triples of cron, zone and instant agree");
    assert!(questions >= 100_000, "{questions}");
}

/// The committed answers are what the oracle says today.
#[test]
#[ignore = "proof: makes a virtual environment of Python"]
fn proof_the_committed_answers_are_the_oracles() {
    assert!(
        python::ask(&["goldens"]) == include_str!("goldens.txt"),
        "oracle.py goldens > goldens.txt"
    );
}
