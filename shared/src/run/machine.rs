//! The state machine of a run: every move there is, as one pure function.
//!
//! ```text
//!   enqueue --> queued     the first of its connection
//!           --> blocked    behind another one
//!           --> waiting    due later, or paused
//!
//!            promote               claim                finish
//!   blocked ---------> queued ---------------> running -------> ended
//!    |   ^  ^            |  ^    hand back      | | |
//!    |   |  |            |  +-------------------+ | |
//!    |   |  +------------|------- give way -------+ |
//!    |   | due, resume   |                          | limit, backoff, pause
//!    |   |               | pause                    |
//!    +---|---------------+------> waiting <---------+
//!        +----------------------- waiting
//!
//!   queued, blocked, waiting --> ended    cancel, expire
//! ```
//!
//! The statements of `db::run` make these moves; `shared/tests/queue/model.rs` holds them against this function, and the model of
//! the leases is built on it. Each move out of `running` raises the lease token, so whoever held it can write nothing afterwards.

use super::{Outcome, WaitReason};

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Can be claimed now.
    Queued,
    /// Leased by a process.
    Running,
    /// Held back until a time or an event.
    Waiting(WaitReason),
    /// Behind another run of its connection.
    Blocked,
    /// In the history.
    Ended(Outcome),
}

/// What can happen to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Move {
    /// A worker takes it under a new lease.
    Claim,
    /// Its attempt ends it.
    Finish(Outcome),
    /// Its attempt, or the rescue, gives it back to be claimed at once.
    HandBack,
    /// Its attempt gives way to a more urgent run of its connection.
    GiveWay,
    /// Its attempt, or the rescue, gives it back to wait.
    Wait(WaitReason),
    /// Its due time has come.
    Due,
    /// Nothing stands before it on its connection any more.
    Promote,
    /// Something it belongs to was paused.
    Pause,
    /// What was paused is resumed.
    Resume,
    /// A person cancels it. A running attempt is asked to end, and then makes [`Move::Finish`].
    Cancel,
    /// It has reached the longest age.
    Expire,
}

impl Place {
    /// Where a run is after a move; `None`: there is no such move from here.
    pub const fn after(self, change: Move) -> Option<Self> {
        Some(match (self, change) {
            (Self::Queued, Move::Claim) => Self::Running,
            (Self::Running, Move::Finish(outcome)) => Self::Ended(outcome),
            (Self::Running, Move::HandBack) | (Self::Blocked, Move::Promote) => Self::Queued,
            (Self::Running, Move::GiveWay) => Self::Blocked,
            (
                Self::Running,
                Move::Wait(reason @ (WaitReason::Limit | WaitReason::Backoff | WaitReason::Pause)),
            ) => Self::Waiting(reason),
            (
                Self::Waiting(WaitReason::Delay | WaitReason::Limit | WaitReason::Backoff),
                Move::Due,
            )
            | (Self::Waiting(WaitReason::Pause | WaitReason::Dependency), Move::Resume) => {
                Self::Blocked
            }
            (Self::Queued | Self::Blocked, Move::Pause) => Self::Waiting(WaitReason::Pause),
            (Self::Queued | Self::Blocked | Self::Waiting(_), Move::Cancel) => {
                Self::Ended(Outcome::Cancelled)
            }
            (Self::Queued | Self::Blocked | Self::Waiting(_), Move::Expire) => {
                Self::Ended(Outcome::Failed)
            }
            _ => return None,
        })
    }

    /// True if a run here takes its connection's gate: only one run of a connection does.
    pub const fn holds_gate(self) -> bool {
        matches!(self, Self::Queued | Self::Running)
    }

    /// True if a move from here ends the lease of an attempt, so that the token must rise.
    pub const fn is_leased(self) -> bool {
        matches!(self, Self::Running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOVES: [Move; 14] = [
        Move::Claim,
        Move::Finish(Outcome::Succeeded),
        Move::Finish(Outcome::Failed),
        Move::HandBack,
        Move::GiveWay,
        Move::Wait(WaitReason::Limit),
        Move::Wait(WaitReason::Backoff),
        Move::Wait(WaitReason::Pause),
        Move::Due,
        Move::Promote,
        Move::Pause,
        Move::Resume,
        Move::Cancel,
        Move::Expire,
    ];

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        prop::collection::vec(prop::sample::select(MOVES.to_vec()), 0..60)
    }

    proptest! {
        #[test]
        fn nothing_happens_to_a_run_that_has_ended(moves in moves()) {
            let mut place = Place::Queued;
            for change in moves {
                let next = place.after(change);
                if matches!(place, Place::Ended(_)) {
                    prop_assert_eq!(next, None);
                }
                place = next.unwrap_or(place);
            }
        }

        #[test]
        fn a_lease_begins_with_a_claim_only(moves in moves()) {
            let mut place = Place::Blocked;
            for change in moves {
                if let Some(next) = place.after(change) {
                    prop_assert_eq!(next.is_leased(), change == Move::Claim);
                    place = next;
                }
            }
        }

        #[test]
        fn every_unfinished_run_can_still_come_to_an_end(moves in moves()) {
            let mut place = Place::Queued;
            for change in moves {
                place = place.after(change).unwrap_or(place);
            }
            // Breadth first over what is left to happen.
            let mut reached = vec![place];
            for index in 0.. {
                let Some(place) = reached.get(index).copied() else { break };
                for change in MOVES {
                    if let Some(next) = place.after(change) && !reached.contains(&next) {
                        reached.push(next);
                    }
                }
            }
            prop_assert!(reached.iter().any(|place| matches!(place, Place::Ended(_))));
        }
    }

    #[test]
    fn a_pause_never_takes_the_lease_of_a_running_attempt() {
        assert_eq!(Place::Running.after(Move::Pause), None);
        assert_eq!(Place::Running.after(Move::Cancel), None);
        assert_eq!(Place::Running.after(Move::Expire), None);
    }

    #[test]
    fn what_waits_returns_to_the_queue_by_way_of_its_connections_gate() {
        for reason in WaitReason::ALL {
            let place = Place::Waiting(*reason);
            assert_eq!(place.after(Move::Promote), None);
            let back = place.after(Move::Due).or(place.after(Move::Resume));
            assert_eq!(back, Some(Place::Blocked));
        }
    }
}
