//! Whether a slice may be read again from its start when the platform refuses the position it was to go on from. Pure.
//!
//! Page tokens that die while a run waits for its limit would otherwise make it read the same pages for ever. A pass is one
//! reading of a slice from its start up to such a refusal, over however many attempts and waits. A pass that comes further than
//! all before it gains ground, and the slice may go on; after [`MOST_RESTARTS`] new starts that gained none it is given up. A
//! stream without a cursor is one slice; the slices of others have their size from the manifest, and are counted one by one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// New starts that a slice may make without getting further.
pub(super) const MOST_RESTARTS: u32 = 2;

/// How far the passes over a slice have come. Stored with the position.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Passes {
    /// Pages that this pass has read and written.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) pages: u64,
    /// Pages that the best of the passes before this one came to.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) furthest: u64,
    /// New starts since a pass last came further than all before it.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) restarts: u32,
}

/// A slice that will never be read to its end in this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stuck {
    /// Calls that the slice needs at least: it has one page more than were ever read.
    needs: u64,
    /// Pages that the best pass came to, with one call a page.
    gives: u64,
}

impl Passes {
    /// Nothing to store.
    pub(super) fn is_new(&self) -> bool {
        *self == Self::default()
    }

    /// The same pass, so many pages further.
    pub(super) fn after(self, pages: u64) -> Self {
        Self {
            pages: self.pages.saturating_add(pages),
            ..self
        }
    }

    /// What follows when the platform refuses the position that this pass stands at: the next pass, at the slice's start.
    pub(super) fn restarted(self) -> Result<Self, Stuck> {
        if self.pages > self.furthest {
            return Ok(Self {
                pages: 0,
                furthest: self.pages,
                restarts: 0,
            });
        }
        let restarts = self.restarts.saturating_add(1);
        if restarts >= MOST_RESTARTS {
            return Err(Stuck {
                needs: self.furthest.saturating_add(1),
                gives: self.furthest,
            });
        }
        Ok(Self {
            pages: 0,
            restarts,
            ..self
        })
    }
}

impl fmt::Display for Stuck {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { needs, gives } = self;
        let calls = if *needs == 1 { "call" } else { "calls" };
        write!(
            formatter,
            "this slice needs at least {needs} {calls}, the budget gives {gives}"
        )
    }
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Passes of so many pages each: the pages of those that were begun, and how it ended if it did.
    fn run(passes: &[u64]) -> (Vec<u64>, Option<Stuck>) {
        let mut now = Passes::default();
        let mut begun = Vec::new();
        for pages in passes {
            begun.push(*pages);
            match now.after(*pages).restarted() {
                Ok(next) => now = next,
                Err(stuck) => return (begun, Some(stuck)),
            }
        }
        (begun, None)
    }

    #[test]
    fn a_slice_is_given_up_after_two_new_starts_that_come_no_further() {
        let (begun, stuck) = run(&[10, 9, 10, 10]);
        assert_eq!(begun, [10, 9, 10]);
        assert_eq!(
            stuck.unwrap().to_string(),
            "this slice needs at least 11 calls, the budget gives 10"
        );
    }

    #[test]
    fn a_slice_that_comes_further_each_time_goes_on() {
        let growing: Vec<u64> = (1..=500).collect();
        assert_eq!(run(&growing), (growing, None));
    }

    #[test]
    fn a_pass_that_comes_further_makes_up_for_one_that_did_not() {
        let passes = [10, 10, 11, 11, 12, 3];
        assert_eq!(run(&passes), (passes.to_vec(), None));
    }

    #[test]
    fn the_pages_of_a_pass_add_up_over_its_waits() {
        let pass = Passes::default().after(10).after(10);
        assert_eq!(pass.restarted().unwrap().furthest, 20);
    }

    #[test]
    fn a_position_without_counts_may_be_refused_once() {
        // Stored before passes were counted, or refused before the first page was written.
        let next = Passes::default().restarted().unwrap();
        assert_eq!((next.furthest, next.restarts), (0, 1));
        let stuck = next.restarted().unwrap_err();
        assert_eq!(
            stuck.to_string(),
            "this slice needs at least 1 call, the budget gives 0"
        );
    }

    proptest! {
        #[test]
        fn new_starts_are_bounded_by_the_ground_gained(passes in prop::collection::vec(0u64..40, 0..400)) {
            let (begun, _) = run(&passes);
            let furthest = begun.iter().max().copied().unwrap_or(0);
            // Every page gained allows its own pass and those that gain nothing before the end.
            let most = (furthest + 1) * u64::from(MOST_RESTARTS);
            prop_assert!(begun.len() as u64 <= most, "{} passes over {furthest} pages", begun.len());
        }

        #[test]
        fn a_slice_is_given_up_only_after_passes_that_gained_nothing(passes in prop::collection::vec(0u64..40, 0..400)) {
            let (begun, stuck) = run(&passes);
            if stuck.is_some() {
                let (before, last) = begun.split_at(begun.len() - MOST_RESTARTS as usize);
                let furthest = before.iter().max().copied().unwrap_or(0);
                prop_assert!(last.iter().all(|pages| *pages <= furthest));
                prop_assert_eq!(stuck, Some(Stuck { needs: furthest + 1, gives: furthest }));
            }
        }
    }
}
