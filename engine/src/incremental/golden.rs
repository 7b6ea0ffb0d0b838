//! Formats, spans and slices against the tables that the reference implementation wrote.

use chrono::{DateTime, FixedOffset, Utc};
use serde_json::{Value, json};

use super::cursor::DatetimeCursor;
use super::read::{CursorRead, Start};
use crate::expr::Scope;
use crate::load::component::{Component, Problems};
use crate::time::{Format, Moment, Span};

fn table() -> Value {
    serde_json::from_str(include_str!("../../tests/golden/datetimes.json")).unwrap()
}

fn moment(pair: &Value) -> Moment {
    let offset = i32::try_from(pair[1].as_i64().unwrap()).unwrap();
    DateTime::<Utc>::from_timestamp_micros(pair[0].as_i64().unwrap())
        .unwrap()
        .with_timezone(&FixedOffset::east_opt(offset).unwrap())
}

fn same(found: Option<Moment>, expected: &Value) -> bool {
    match found {
        None => expected.is_null(),
        Some(found) => {
            !expected.is_null() && {
                let expected = moment(expected);
                found == expected && found.offset() == expected.offset()
            }
        }
    }
}

fn all_right(cases: usize, least: usize, wrong: &[String]) {
    assert!(cases >= least, "{cases} cases");
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn texts_are_read_as_the_reference_reads_them() {
    let table = table();
    let cases = table["reads"].as_array().unwrap();
    let mut wrong = Vec::new();
    for case in cases {
        let format = Format::compile(case["format"].as_str().unwrap()).unwrap();
        let found = format.read(&case["value"]);
        if !same(found, &case["moment"]) {
            wrong.push(format!("{found:?} for {case}"));
        }
    }
    all_right(cases.len(), 2_000, &wrong);
}

#[test]
fn moments_are_written_as_the_reference_writes_them() {
    let table = table();
    let cases = table["writes"].as_array().unwrap();
    let mut wrong = Vec::new();
    for case in cases {
        let format = Format::compile(case["format"].as_str().unwrap()).unwrap();
        let found = format.write_local(moment(&case["moment"]));
        if found != case["text"] {
            wrong.push(format!("{found:?} for {case}"));
        }
    }
    all_right(cases.len(), 300, &wrong);
}

#[test]
fn a_format_without_an_offset_is_written_in_utc() {
    let moment = Moment::parse_from_rfc3339("2024-01-01T01:00:00+02:00").unwrap();
    let plain = Format::compile("%Y-%m-%dT%H:%M:%SZ").unwrap();
    assert_eq!(plain.write(moment), "2023-12-31T23:00:00Z");
    let with_offset = Format::compile("%Y-%m-%dT%H:%M:%S%z").unwrap();
    assert_eq!(with_offset.write(moment), "2024-01-01T01:00:00+0200");
}

#[test]
fn spans_move_moments_as_the_reference_moves_them() {
    let table = table();
    let cases = table["moves"].as_array().unwrap();
    let mut wrong = Vec::new();
    for case in cases {
        let span = Span::parse(case["duration"].as_str().unwrap()).unwrap();
        let from = moment(&case["moment"]);
        if !same(span.after(from), &case["after"]) || !same(span.before(from), &case["before"]) {
            wrong.push(case.to_string());
        }
    }
    all_right(cases.len(), 100, &wrong);
}

fn cursor(case: &Value) -> DatetimeCursor {
    let stream = json!({
        "type": "DeclarativeStream",
        "incremental_sync": {
            "type": "DatetimeBasedCursor",
            "cursor_field": "at",
            "datetime_format": case["format"],
            "start_datetime": case["start"],
            "end_datetime": case["end"],
            "step": case["step"],
            "cursor_granularity": case["granularity"],
            "lookback_window": case["lookback"],
            "is_compare_strictly": case["strict"],
            "clamping": case["clamping"],
        }
    });
    let mut problems = Problems::default();
    let component = Component::read(&stream, "", &["DeclarativeStream"], &mut problems).unwrap();
    let cursor = DatetimeCursor::load(&component, &mut problems);
    assert_eq!(problems.0, Vec::new(), "{case}");
    cursor.unwrap()
}

/// Slices, the records that are kept, and the state after each slice; and again from the position of each slice.
#[test]
fn ranges_are_cut_and_states_move_as_in_the_reference() {
    let table = table();
    let cases = table["cursors"].as_array().unwrap();
    let config = json!({});
    let scope = Scope::of_config(&config);
    let now = DateTime::<Utc>::from_timestamp_micros(1_800_000_000_000_000).unwrap();
    let mut slices = 0;
    for case in cases {
        let cursor = cursor(case);
        let start = Start::State(Some(&case["state"]));
        let mut read = CursorRead::new(&cursor, &scope, now, start, false).unwrap();
        for expected in case["slices"].as_array().unwrap() {
            slices += 1;
            assert_eq!(read.slice().as_ref(), Some(&expected["slice"]), "{case}");
            let position = read.position().unwrap();
            let start = Start::Position(&position, Some(&case["state"]));
            read = CursorRead::new(&cursor, &scope, now, start, false).unwrap();
            assert_eq!(read.slice().as_ref(), Some(&expected["slice"]), "{case}");
            let kept = expected["kept"].as_array().unwrap();
            for (record, kept) in expected["records"].as_array().unwrap().iter().zip(kept) {
                let record = record.as_object().unwrap();
                assert_eq!(&json!(read.wants(record)), kept, "{record:?} of {case}");
                read.observe(record);
            }
            read.close();
            assert_eq!(read.state().as_ref(), Some(&expected["state"]), "{case}");
        }
        // The table holds the first 60 slices.
        let cut = case["slices"].as_array().unwrap().len() == 60;
        assert!(
            cut || !read.is_open(),
            "a slice too many: {:?} of {case}",
            read.slice()
        );
        assert_eq!(read.state().as_ref(), Some(&case["final"]), "{case}");
    }
    assert!(cases.len() >= 500 && slices > 1_000, "{slices}");
}

#[test]
fn slices_are_whole_days_weeks_and_months_as_in_the_reference() {
    let cases: Value =
        serde_json::from_str(include_str!("../../tests/golden/clamping.json")).unwrap();
    let cases = cases.as_array().unwrap();
    let config = json!({});
    let scope = Scope::of_config(&config);
    let now = DateTime::<Utc>::from_timestamp_micros(1_800_000_000_000_000).unwrap();
    let mut wrong = Vec::new();
    for case in cases {
        let cursor = cursor(case);
        let start = Start::State(Some(&case["state"]));
        let mut read = CursorRead::new(&cursor, &scope, now, start, false).unwrap();
        let mut found = Vec::new();
        while let Some(slice) = read.slice().filter(|_| found.len() < 40) {
            found.push(slice);
            let position = read.position().unwrap();
            let start = Start::Position(&position, Some(&case["state"]));
            read = CursorRead::new(&cursor, &scope, now, start, false).unwrap();
            read.close();
        }
        if Value::Array(found.clone()) != case["slices"] {
            wrong.push(format!("{case}: {found:?}"));
        }
    }
    all_right(cases.len(), 400, &wrong);
}

#[test]
fn a_data_range_is_covered_exactly_and_keeps_no_state() {
    let moment = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().to_utc();
    let case = json!({
        "format": "%Y-%m-%d", "start": "2024-06-01", "end": "2024-07-01", "step": "P3D", "granularity": "P1D",
        "lookback": "P5D", "strict": false,
    });
    let config = json!({});
    let scope = Scope::of_config(&config);
    let cursor = cursor(&case);
    let (from, to) = (
        moment("2024-01-01T00:00:00Z"),
        moment("2024-01-08T00:00:00Z"),
    );
    let start = Start::Range(from, to);
    let mut read = CursorRead::new(&cursor, &scope, to, start, false).unwrap();
    let mut found = Vec::new();
    while let Some(slice) = read.slice() {
        found.push(slice);
        let position = read.position().unwrap();
        read =
            CursorRead::new(&cursor, &scope, to, Start::Position(&position, None), false).unwrap();
        read.close();
    }
    let expected = [
        json!({"start_time": "2024-01-01", "end_time": "2024-01-03"}),
        json!({"start_time": "2024-01-04", "end_time": "2024-01-07"}),
    ];
    assert_eq!(found, expected);
    assert_eq!(read.state(), None);
    for (day, wanted) in [
        ("2023-12-31", false),
        ("2024-01-01", true),
        ("2024-01-07", true),
        ("2024-01-08", false),
    ] {
        let record = json!({"at": day});
        assert_eq!(read.wants(record.as_object().unwrap()), wanted, "{day}");
    }
    let empty = CursorRead::new(&cursor, &scope, to, Start::Range(to, to), false).unwrap();
    assert!(!empty.is_open());
}
