//! Numbers and durations as people read them.

/// A count: `1,204`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 page`, `1,204 pages`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// A length of time in milliseconds: `0.4 s`, `42 s`, `2m 14s`, `3h 05m`, `2d 4h`. Nothing is below zero.
pub(super) fn duration(milliseconds: i64) -> String {
    let milliseconds = milliseconds.max(0);
    let seconds = milliseconds / 1000;
    match seconds {
        0..10 => format!("{seconds}.{} s", milliseconds % 1000 / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Words of a list: `a`, `a and b`, `a, b and c`.
pub(super) fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_separators() {
        let shown = [0, 7, 999, 1_000, 1_204, 15_420, 1_000_000, u64::MAX].map(count);
        assert_eq!(
            shown,
            [
                "0",
                "7",
                "999",
                "1,000",
                "1,204",
                "15,420",
                "1,000,000",
                "18,446,744,073,709,551,615"
            ]
        );
        assert_eq!(counted(1, "page"), "1 page");
        assert_eq!(counted(0, "page"), "0 pages");
        assert_eq!(counted(1_204, "record"), "1,204 records");
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let cases = [
            (-5, "0.0 s"),
            (449, "0.4 s"),
            (9_999, "9.9 s"),
            (42_900, "42 s"),
            (134_000, "2m 14s"),
            (3_599_999, "59m 59s"),
            (11_100_000, "3h 05m"),
            (187_200_000, "2d 4h"),
        ];
        for (milliseconds, expected) in cases {
            assert_eq!(duration(milliseconds), expected, "{milliseconds}");
        }
    }

    #[test]
    fn lists_read_as_sentences() {
        let words = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(list(&words[..0]), "");
        assert_eq!(list(&words[..1]), "a");
        assert_eq!(list(&words[..2]), "a and b");
        assert_eq!(list(&words), "a, b and c");
    }
}
