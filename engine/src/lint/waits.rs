//! Backoff strategies whose waits are not what they look like.

use serde_json::Value;

use super::component::Part;
use super::{Found, short};

pub(super) fn look(part: &Part<'_>, found: &mut Found) {
    if part.kind != "DefaultErrorHandler" {
        return;
    }
    // The strategies of a composite's handlers are one list.
    if !part.path.contains("/error_handlers/") {
        unreachable_waits(std::slice::from_ref(part), found);
    }
    each_wait(part, found);
}

/// Whether a strategy gives a wait whatever the answer is.
fn always_waits(strategy: &Part<'_>) -> bool {
    matches!(
        strategy.kind,
        "ConstantBackoffStrategy" | "ExponentialBackoffStrategy"
    )
}

/// The first strategy that gives a wait counts: what stands behind one that always does is never asked.
pub(super) fn unreachable_waits(handlers: &[Part<'_>], found: &mut Found) {
    let strategies = handlers
        .iter()
        .flat_map(|handler| handler.children("backoff_strategies"));
    let mut certain: Option<&str> = None;
    for strategy in strategies {
        if let Some(earlier) = certain {
            found.add(
                "wait-never-used",
                &strategy.path,
                format!(
                    "the first strategy that gives a wait counts, and the {earlier} before this {} always gives one",
                    strategy.kind
                ),
                "put strategies that read a header first",
            );
        } else if always_waits(&strategy) {
            certain = Some(strategy.kind);
        }
    }
}

/// Waits that are not what they look like.
fn each_wait(handler: &Part<'_>, found: &mut Found) {
    let tries = match handler.get("max_retries") {
        None => Some(5),
        Some(stated) => stated.as_u64(),
    };
    for strategy in handler.children("backoff_strategies") {
        match strategy.kind {
            "ExponentialBackoffStrategy" => exponential(&strategy, tries, found),
            "WaitTimeFromHeader" => never_a_number(&strategy, found),
            "WaitUntilTimeFromHeader" => {
                never_a_number(&strategy, found);
                if strategy.get("min_wait").is_none() {
                    found.add(
                        "no-least-wait",
                        &strategy.path,
                        "a moment that has passed, by some milliseconds or by a clock that is wrong, gives no wait: the next try \
                         follows as if there were no such strategy"
                            .to_owned(),
                        "give min_wait, in seconds",
                    );
                }
            }
            _ => {}
        }
    }
}

/// The most seconds that the reference goes on trying.
const LONGEST: f64 = 600.0;

/// The wait is the factor times 2, 4, 8, ...
fn exponential(strategy: &Part<'_>, tries: Option<u64>, found: &mut Found) {
    let factor = strategy.get("factor");
    let factor = factor.and_then(|factor| match factor {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_f64(),
    });
    let (Some(factor), Some(tries)) = (factor, tries.and_then(|tries| i32::try_from(tries).ok()))
    else {
        return;
    };
    let longest: f64 = factor * 2_f64.powi(tries.min(60));
    if tries > 0 && longest > LONGEST {
        found.add(
            "waits-grow-long",
            &strategy.path,
            format!(
                "the waits are the factor times 2, 4, 8, ..., so they begin with {} seconds, and the one of try {tries} is {longest} \
                 seconds; the reference adds one second to each, and gives up with the first failure after 10 minutes",
                factor * 2.0
            ),
            "give a smaller factor (half of the first wait that is meant), or fewer max_retries",
        );
    }
}

/// The whole match is read as a number, not a group of it.
fn never_a_number(strategy: &Part<'_>, found: &mut Found) {
    let Some(pattern) = strategy.text("regex") else {
        return;
    };
    if let Some(letter) = not_of_a_number(pattern) {
        found.add(
            "wait-is-no-number",
            &strategy.path_of("regex"),
            format!(
                "the whole match is read as a number, and no group of it: what \"{}\" matches has \"{letter}\" in it, so there \
                 never is a wait",
                short(pattern)
            ),
            "match the digits alone, such as \\d+",
        );
    }
}

/// A character that each match of a pattern has, and no number. `None` also where the pattern is not simple enough to tell.
fn not_of_a_number(pattern: &str) -> Option<char> {
    if pattern.contains('|') {
        return None;
    }
    let mut characters = pattern.chars().peekable();
    let mut depth = 0_usize;
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                characters.next();
            }
            '[' => {
                let mut is_first = true;
                while let Some(inner) = characters.next() {
                    match inner {
                        '\\' => {
                            characters.next();
                        }
                        ']' if !is_first => break,
                        _ => {}
                    }
                    is_first = inner == '^' && is_first;
                }
            }
            '{' => while characters.next().is_some_and(|inner| inner != '}') {},
            '(' => {
                depth += 1;
                if characters.next_if_eq(&'?').is_some() {
                    // Flags, a name, or what is only looked at.
                    let is_plain = characters.next_if_eq(&':').is_some();
                    let is_named = !is_plain && characters.next_if_eq(&'P').is_some();
                    if is_named || characters.peek() == Some(&'<') {
                        while characters.next().is_some_and(|inner| inner != '>') {}
                    } else if !is_plain {
                        return None;
                    }
                }
            }
            ')' => depth = depth.saturating_sub(1),
            '^' | '$' | '.' | '*' | '+' | '?' | '-' | '_' | 'e' | 'E' | '0'..='9' => {}
            other if other.is_whitespace() => {}
            other => {
                let is_optional = matches!(characters.peek(), Some('*' | '?' | '{'));
                // A group may be left out as a whole.
                if !is_optional && depth == 0 {
                    return Some(other);
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::example::{assert_fine, assert_trap, requester};
    use serde_json::{Value, json};

    const HANDLER: &str = "/streams/0/retriever/requester/error_handler";

    fn strategies(strategies: Value) -> Value {
        requester(
            json!({"error_handler": {"type": "DefaultErrorHandler", "backoff_strategies": strategies}}),
        )
    }

    #[test]
    fn a_strategy_behind_one_that_always_waits() {
        let told = json!({"type": "WaitTimeFromHeader", "header": "wait"});
        let doubling = json!({"type": "ExponentialBackoffStrategy"});
        assert_trap(
            strategies(json!([doubling, told])),
            "wait-never-used",
            &format!("{HANDLER}/backoff_strategies/1"),
        );
        assert_fine(strategies(json!([told, doubling])));
    }

    #[test]
    fn a_wait_whose_match_is_no_number() {
        let matching = |kind: &str, regex: &str| {
            strategies(json!([{"type": kind, "header": "wait", "regex": regex, "min_wait": 1}]))
        };
        for regex in [
            "reset=(\\d+)",
            "wait (\\d+) s",
            "\\d+s",
            "\\d+,",
            "^in: \\d{1,3}$",
            "a[b-d]?\\d",
        ] {
            for kind in ["WaitTimeFromHeader", "WaitUntilTimeFromHeader"] {
                assert_trap(
                    matching(kind, regex),
                    "wait-is-no-number",
                    &format!("{HANDLER}/backoff_strategies/0/regex"),
                );
            }
        }
        for regex in [
            "\\d+",
            "([.0-9]+)",
            "[-+]?[0-9]*\\.?[0-9]+",
            "(?P<seconds>\\d+)",
            "\\d+(?:s)?",
            "s?\\d+",
            "a|\\d+",
            "(?i)x\\d",
        ] {
            assert_fine(matching("WaitTimeFromHeader", regex));
        }
    }

    #[test]
    fn a_moment_without_a_least_wait() {
        assert_trap(
            strategies(json!([{"type": "WaitUntilTimeFromHeader", "header": "reset"}])),
            "no-least-wait",
            &format!("{HANDLER}/backoff_strategies/0"),
        );
        assert_fine(strategies(
            json!([{"type": "WaitUntilTimeFromHeader", "header": "reset", "min_wait": 5}]),
        ));
    }

    #[test]
    fn waits_that_grow_beyond_ten_minutes() {
        let factor = |factor: Value| {
            strategies(json!([{"type": "ExponentialBackoffStrategy", "factor": factor}]))
        };
        for long in [json!(30), json!("30")] {
            assert_trap(
                factor(long),
                "waits-grow-long",
                &format!("{HANDLER}/backoff_strategies/0"),
            );
        }
        assert_fine(factor(json!(5)));
        assert_fine(factor(json!("{{ config['factor'] }}")));
        assert_fine(strategies(json!([{"type": "ExponentialBackoffStrategy"}])));
    }
}
