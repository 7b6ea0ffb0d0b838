//! Opaque page tokens: where the next page begins and until when the token works, under a checksum.
//!
//! A token carries its own end, as the real ones do: a change of the settings does not revive or kill those handed out.

use crate::seeded::Draw;

/// Keeps a token from reading as a number.
const MARK: char = 'F';

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageToken {
    /// Items before the page.
    pub(super) offset: u64,
    /// Monotonic microsecond from which on it is refused.
    dies_us: u64,
}

impl PageToken {
    /// A token handed out at this monotonic microsecond.
    pub(super) fn issue(offset: u64, at_us: u64, ttl_ms: Option<u64>) -> Self {
        let dies_us = ttl_ms.map_or(u64::MAX, |ttl| {
            at_us.saturating_add(ttl.saturating_mul(1_000))
        });
        Self { offset, dies_us }
    }

    pub(super) fn is_dead(self, at_us: u64) -> bool {
        at_us >= self.dies_us
    }

    /// The token as it is sent.
    pub(super) fn write(self, seed: u64) -> String {
        let check = self.check(seed);
        let (offset, dies) = (self.offset ^ check, self.dies_us ^ check.rotate_left(32));
        format!("{MARK}{offset:016x}{dies:016x}{check:016x}")
    }

    /// `None` when this simulator never wrote such a token.
    pub(super) fn read(text: &str, seed: u64) -> Option<Self> {
        let hex = text.strip_prefix(MARK).filter(|hex| hex.len() == 48)?;
        let part = |from: usize| u64::from_str_radix(hex.get(from..from + 16)?, 16).ok();
        let (offset, dies, check) = (part(0)?, part(16)?, part(32)?);
        let token = Self {
            offset: offset ^ check,
            dies_us: dies ^ check.rotate_left(32),
        };
        (token.check(seed) == check).then_some(token)
    }

    fn check(self, seed: u64) -> u64 {
        Draw::keyed(&[seed, self.offset, self.dies_us]).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_until_it_is_altered_or_of_another_seed() {
        let token = PageToken::issue(120, 5_000, Some(2));
        let text = token.write(7);
        assert_eq!(PageToken::read(&text, 7), Some(token));
        assert_eq!(PageToken::read(&text, 8), None);
        for place in 1..text.len() {
            let mut altered = text.clone();
            let other = if &text[place..=place] == "0" {
                "1"
            } else {
                "0"
            };
            altered.replace_range(place..=place, other);
            assert_eq!(PageToken::read(&altered, 7), None, "{altered}");
        }
        for junk in ["", "F", "F00", "Ä", &format!("F{}", "0".repeat(48))] {
            assert_eq!(PageToken::read(junk, 7), None, "{junk}");
        }
    }

    #[test]
    fn a_token_dies_when_its_time_has_passed_and_not_before() {
        let token = PageToken::issue(0, 5_000, Some(2));
        assert!(!token.is_dead(6_999));
        assert!(token.is_dead(7_000));
        assert!(!PageToken::issue(0, 5_000, None).is_dead(u64::MAX - 1));
    }
}
