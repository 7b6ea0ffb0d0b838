//! Where the queue begins, as a claimer remembers it.
//!
//! A claim reads each platform's queue from its first run on. While a snapshot is held open, or vacuum is behind, the index entries of
//! runs that were claimed long ago lie in front of that run, and each claim would step over all of them. So a claimer looks from the
//! very beginning only now and then, and in between from where the run with the smallest turn can be.
//!
//! A run becomes ready with a turn above the virtual turn of that moment (see [`super::claim()`]). What was ready before has either been
//! claimed, or its platform was not read to its end: then the next look begins at the last run that was claimed. What this misses (a run
//! whose transaction took long to commit, or that went back to its old place) is found by the next look from the beginning.

use std::collections::BTreeMap;

use super::{Claim, ClaimedRun};

/// A run of a transaction that reads the virtual turn and commits when others have moved it on is still found if it moved by less.
const MARGIN: i64 = 100;

/// The smallest turn of each platform at which a run may be ready.
#[derive(Debug, Clone, Default)]
pub struct Heads {
    /// New runs have turns from here on.
    newest: i64,
    turns: BTreeMap<String, i64>,
}

impl Heads {
    /// From the very beginning; `virtual_turn` was read before the claim.
    pub fn from_the_beginning(virtual_turn: i64) -> Self {
        Self {
            newest: virtual_turn.saturating_sub(MARGIN),
            turns: BTreeMap::new(),
        }
    }

    /// The platforms, and the turn of each.
    pub fn columns(&self) -> (Vec<String>, Vec<i64>) {
        self.turns
            .iter()
            .map(|(name, turn)| (name.clone(), *turn))
            .unzip()
    }

    /// Where to begin after a claim that began here and took these runs.
    #[must_use]
    pub fn after(&self, claim: &Claim<'_>, claimed: &[ClaimedRun]) -> Self {
        let mut found: BTreeMap<&str, (i64, i64)> = self
            .turns
            .keys()
            .map(|name| (name.as_str(), (0, 0)))
            .collect();
        for run in claimed {
            let (count, last) = found.entry(&run.platform).or_default();
            *count += 1;
            *last = run.fair_turn;
        }
        let is_full = i64::try_from(claimed.len()).unwrap_or(i64::MAX) >= claim.limit;
        let mut turns = self.turns.clone();
        for (platform, (count, last)) in found {
            let room = claim.rooms.iter().find(|(name, _)| name == platform);
            let room = room.map_or(claim.room, |(_, room)| *room);
            if count == 0 && (is_full || room <= 0) {
                continue;
            }
            let was_read_to_its_end = !is_full && count < room;
            let next = if was_read_to_its_end {
                self.newest
            } else {
                last.min(self.newest)
            };
            turns.insert(platform.to_owned(), next);
        }
        Self {
            newest: self.newest,
            turns,
        }
    }
}
