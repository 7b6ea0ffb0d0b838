//! Deterministic draws: the same seed gives the same bytes in every build, on every machine.
//!
//! `SplitMix64` is written out here because the generators of the `rand` crate that are quick to seed promise no
//! stable values between versions, and the catalogue of a seed is part of what tests compare against.

/// A sequence of draws that depends on nothing but the numbers it was keyed with.
#[derive(Clone, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    /// Starts the sequence that belongs to these keys; order matters.
    pub(crate) fn keyed(keys: &[u64]) -> Self {
        let mut state = 0x5EED_0F5C_A1AB_1E00;
        for key in keys {
            state = scramble(state ^ scramble(key.wrapping_add(0x9E37_79B9_7F4A_7C15)));
        }
        Self(state)
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        scramble(self.0)
    }

    /// A number in `0..bound`; 0 when the bound is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// [`below`](Self::below) for 32-bit numbers.
    pub(crate) fn below_u32(&mut self, bound: u32) -> u32 {
        u32::try_from(self.below(u64::from(bound))).unwrap_or(0)
    }

    /// An index into a list of this length.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// True in `percent` of 100 draws.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A number in `0.0..1.0` with 32 bits of resolution.
    pub(crate) fn fraction(&mut self) -> f64 {
        let top = u32::try_from(self.next() >> 32).unwrap_or(u32::MAX);
        f64::from(top) / 4_294_967_296.0
    }

    /// One entry of a list; an empty text when the list is empty.
    pub(crate) fn pick(&mut self, list: &[&'static str]) -> &'static str {
        let index = self.index(list.len());
        list.get(index).copied().unwrap_or_default()
    }

    /// `count` different indexes below `length`, in drawn order; all of them when there are fewer.
    pub(crate) fn sample(&mut self, length: usize, count: usize) -> Vec<usize> {
        let mut indexes: Vec<usize> = (0..length).collect();
        let count = count.min(length);
        for position in 0..count {
            let other = position + self.index(length - position);
            indexes.swap(position, other);
        }
        indexes.truncate(count);
        indexes
    }
}

fn scramble(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn equal_keys_draw_equal_sequences_and_other_keys_do_not() {
        let draws = |keys: &[u64]| {
            let mut draw = Draw::keyed(keys);
            [draw.next(), draw.next(), draw.next()]
        };
        assert_eq!(draws(&[1, 2]), draws(&[1, 2]));
        assert_ne!(draws(&[1, 2]), draws(&[2, 1]));
        assert_ne!(draws(&[1, 2]), draws(&[1, 3]));
    }

    #[test]
    fn a_sample_holds_different_indexes_and_no_more_than_there_are() {
        let sample = Draw::keyed(&[7]).sample(50, 20);
        let different: BTreeSet<_> = sample.iter().collect();
        assert_eq!((sample.len(), different.len()), (20, 20));
        assert!(sample.iter().all(|index| *index < 50));
        assert_eq!(Draw::keyed(&[7]).sample(3, 10).len(), 3);
    }

    #[test]
    fn fractions_spread_over_the_unit_interval() {
        let mut draw = Draw::keyed(&[9]);
        let below_a_quarter = (0..10_000).filter(|_| draw.fraction() < 0.25).count();
        assert!(
            (2_300..2_700).contains(&below_a_quarter),
            "{below_a_quarter}"
        );
    }
}
