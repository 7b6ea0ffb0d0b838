//! Reads cron expressions. croner does it; what it would read otherwise than it is written is refused before, and its errors
//! are told by field.

use croner::CronPattern;
use croner::parser::{CronParser, Seconds, Year};

use super::super::TriggerError;

/// Longest expression: the work of reading grows with it.
const MAX_LENGTH: usize = 256;

const ALIASES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// A field: its name, the names that may stand in it, and what else may.
struct Field {
    name: &'static str,
    names: &'static [&'static str],
    allowed: &'static str,
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const FIELDS: [Field; 6] = [
    Field {
        name: "second",
        names: &[],
        allowed: "0-59, *, lists (0,30), ranges (0-29), steps (*/10)",
    },
    Field {
        name: "minute",
        names: &[],
        allowed: "0-59, *, lists (0,30), ranges (0-29), steps (*/15)",
    },
    Field {
        name: "hour",
        names: &[],
        allowed: "0-23, *, lists (6,18), ranges (9-17), steps (*/2)",
    },
    Field {
        name: "day",
        names: &["L", "W", "LW"],
        allowed: "1-31, *, lists, ranges, steps, L (the last day), LW (the last working day), 15W (the working day nearest to the 15th)",
    },
    Field {
        name: "month",
        names: &MONTHS,
        allowed: "1-12, JAN-DEC, *, lists, ranges, steps",
    },
    Field {
        name: "weekday",
        names: &WEEKDAYS,
        allowed: "0-7 (0 and 7 are Sunday), SUN-SAT, *, lists, ranges, steps, 5L (the last Friday), 1#2 (the second Monday)",
    },
];

/// The refusal of an expression.
pub(super) fn refused(expression: &str, problem: impl Into<String>) -> TriggerError {
    TriggerError {
        field: "cron",
        value: expression.chars().take(MAX_LENGTH).collect(),
        problem: problem.into(),
    }
}

/// Reads an expression.
pub(super) fn parse(expression: &str) -> Result<CronPattern, TriggerError> {
    if expression.len() > MAX_LENGTH {
        return Err(refused(
            expression,
            format!("it is too long; allowed: at most {MAX_LENGTH} characters"),
        ));
    }
    let text = expression.trim().to_ascii_uppercase();
    let text = if text.starts_with('@') {
        alias(&text).ok_or_else(|| {
            let known = ALIASES.map(|(name, _)| name).join(", ");
            refused(
                expression,
                format!("there is no such name; allowed: {known}"),
            )
        })?
    } else {
        &text
    };
    let fields: Vec<&str> = text.split_whitespace().collect();
    let named = match fields.len() {
        5 => FIELDS.get(1..),
        6 => FIELDS.get(..),
        _ => None,
    };
    let Some(named) = named else {
        return Err(refused(
            expression,
            format!(
                "it has {} fields; allowed: five, minute hour day month weekday, for example \"30 2 * * 1-5\", \
                 six with a field for seconds before them, or @hourly, @daily, @weekly, @monthly, @yearly",
                fields.len()
            ),
        ));
    };
    let of_field = |field: &Field, value: &str, problem: String| {
        let problem = format!(
            "its {} {value:?} {problem}; allowed: {}",
            field.name, field.allowed
        );
        refused(expression, problem)
    };
    for (field, value) in named.iter().zip(&fields) {
        if let Some(problem) = problem_of(field, value) {
            return Err(of_field(field, value, problem.to_owned()));
        }
    }
    croner(text).map_err(|error| {
        for (at, (field, value)) in named.iter().zip(&fields).enumerate() {
            if let Some(problem) = problem_alone(&fields, at) {
                return of_field(field, value, problem);
            }
        }
        refused(expression, error)
    })
}

fn alias(name: &str) -> Option<&'static str> {
    let found = ALIASES
        .iter()
        .find(|(alias, _)| alias.eq_ignore_ascii_case(name));
    found.map(|(_, fields)| *fields)
}

fn croner(text: &str) -> Result<CronPattern, String> {
    CronParser::builder()
        .seconds(Seconds::Optional)
        .year(Year::Disallowed)
        .build()
        .parse(text)
        .map(|cron| cron.pattern)
        .map_err(|error| error.to_string())
}

/// What croner says about a field when all others are `*`.
fn problem_alone(fields: &[&str], at: usize) -> Option<String> {
    let alone: Vec<&str> = (0..fields.len())
        .map(|index| match fields.get(index) {
            Some(field) if index == at => field,
            _ => "*",
        })
        .collect();
    let error = croner(&alone.join(" ")).err()?;
    Some(format!("cannot be read ({})", error.trim_end_matches('.')))
}

/// What croner would accept and read otherwise than it is written.
fn problem_of(field: &Field, value: &str) -> Option<&'static str> {
    let items: Vec<&str> = value.split(',').collect();
    if items.iter().any(|item| item.is_empty()) {
        return Some("has an empty place in its list");
    }
    if value.contains(|letter: char| !letter.is_ascii_graphic()) {
        return Some("has a character that is not ASCII");
    }
    // croner replaces names wherever they stand: a JAN among the minutes would be 1, a MON3 would be 13.
    let bytes = value.as_bytes();
    let is_letter = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphabetic);
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        while is_letter(at) {
            at += 1;
        }
        if at == start {
            at += 1;
            continue;
        }
        let word = value.get(start..at).unwrap_or_default();
        if field.name == "weekday" && word == "L" {
            // Of a number: 5L.
            if start == 0 || !is_digit(start - 1) {
                return Some("has an L that belongs to no day");
            }
            continue;
        }
        let name = match word.strip_suffix('L') {
            Some(name) if field.name == "weekday" => name,
            _ => word,
        };
        if !field.names.contains(&name) {
            return Some("has a name that does not belong there");
        }
        let touches_digit = is_digit(at) || (start > 0 && is_digit(start - 1));
        if touches_digit && word != "W" {
            return Some("has a name and a number in one");
        }
    }
    if field.name == "day" && items.contains(&"L") && items.contains(&"LW") {
        return Some("has both L and LW, of which only one can stand");
    }
    None
}
