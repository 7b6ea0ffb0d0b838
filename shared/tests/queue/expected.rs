//! Where every run should be: a model of the queue in which each move of a run is [`Place::after`].
//!
//! Where the queue is free to choose between runs that are equal before its order, the model follows what the database chose.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use syncline_shared::db::run::RunTarget;
use syncline_shared::ids::{ConnectionId, RunId};
use syncline_shared::run::{AttemptOutcome, Move, Outcome, Place, RunState, WaitReason};

/// A run, as the model knows it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) target: RunTarget,
    pub(crate) priority: i16,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) place: Place,
    pub(crate) due_at: DateTime<Utc>,
    pub(crate) token: i64,
    pub(crate) failures: i32,
    pub(crate) sequence: i64,
    pub(crate) is_cancel_asked: bool,
    /// Ended attempts by token.
    pub(crate) ended: BTreeMap<i64, AttemptOutcome>,
}

/// A run, as the database shows it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Seen {
    pub(crate) id: RunId,
    pub(crate) state: Option<RunState>,
    pub(crate) wait_reason: Option<WaitReason>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) token: i64,
    pub(crate) fair_turn: Option<i64>,
    pub(crate) due_at: Option<DateTime<Utc>>,
    pub(crate) failures: i32,
    pub(crate) sequence: i64,
    pub(crate) attempts: i64,
    /// A digest of its row in the history.
    pub(crate) kept: Option<String>,
}

impl Seen {
    pub(crate) fn place(&self) -> Place {
        match (self.state, self.wait_reason, self.outcome) {
            (Some(RunState::Queued), None, None) => Place::Queued,
            (Some(RunState::Running), None, None) => Place::Running,
            (Some(RunState::Blocked), None, None) => Place::Blocked,
            (Some(RunState::Waiting), Some(reason), None) => Place::Waiting(reason),
            (None, None, Some(outcome)) => Place::Ended(outcome),
            other => panic!("no place: {other:?}"),
        }
    }
}

pub(crate) type Snapshot = BTreeMap<RunId, Seen>;

/// All runs, what rests, and what time it is.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) now: DateTime<Utc>,
    pub(crate) runs: BTreeMap<RunId, Known>,
    /// Scope and target of each pause.
    pub(crate) pauses: BTreeSet<(&'static str, String)>,
    /// Moves that were made.
    pub(crate) made: HashSet<Move>,
}

impl Expected {
    pub(crate) fn make(&mut self, id: RunId, change: Move) {
        let run = self.runs.get_mut(&id).unwrap();
        let next = run.place.after(change);
        let next = next.unwrap_or_else(|| panic!("{id}: no {change:?} from {:?}", run.place));
        if run.place.is_leased() && !matches!(next, Place::Ended(_)) {
            run.token += 1;
        }
        run.place = next;
        self.made.insert(change);
    }

    pub(crate) fn is_paused(&self, target: &RunTarget) -> bool {
        self.pauses.iter().any(|(scope, name)| match *scope {
            "everything" => true,
            "platform" => *name == target.platform,
            "business" => *name == target.business_id.to_string(),
            _ => *name == target.connection_id.to_string(),
        })
    }

    /// Runs of which something holds, in the order of their ids.
    pub(crate) fn where_(&self, holds: impl Fn(&Known) -> bool) -> Vec<RunId> {
        let found = self.runs.iter().filter(|(_, run)| holds(run));
        found.map(|(id, _)| *id).collect()
    }

    pub(crate) fn is_gate_free(&self, connection: ConnectionId) -> bool {
        self.where_(|run| run.target.connection_id == connection && run.place.holds_gate())
            .is_empty()
    }

    /// Promotes the blocked run of a connection that is first in the order of turns; of several with the same turn the one that the
    /// database chose. `only` narrows the choice.
    pub(crate) fn promote_first(
        &mut self,
        connection: ConnectionId,
        before: &Snapshot,
        after: &Snapshot,
        only: impl Fn(RunId, &Known) -> bool,
    ) {
        let turn = |id: &RunId| before.get(id).and_then(|seen| seen.fair_turn);
        let blocked: Vec<RunId> = self
            .where_(|run| run.target.connection_id == connection && run.place == Place::Blocked)
            .into_iter()
            .filter(|id| only(*id, &self.runs[id]))
            .collect();
        let Some(first) = blocked.iter().map(turn).min() else {
            return;
        };
        let equals = blocked.into_iter().filter(|id| turn(id) == first);
        let mut equals: Vec<_> = equals.collect();
        equals.sort_by_key(|id| after[id].place() != Place::Queued);
        self.make(equals[0], Move::Promote);
    }

    /// Promotes on each of these connections whose gate is free.
    pub(crate) fn promote_all(
        &mut self,
        connections: impl IntoIterator<Item = ConnectionId>,
        before: &Snapshot,
        after: &Snapshot,
    ) {
        let connections: BTreeSet<_> = connections.into_iter().collect();
        for connection in connections {
            if self.is_gate_free(connection) {
                self.promote_first(connection, before, after, |_, _| true);
            }
        }
    }

    /// Compares with the database.
    pub(crate) fn assert_matches(&self, after: &Snapshot) {
        let known: Vec<_> = self.runs.keys().collect();
        let seen: Vec<_> = after.keys().collect();
        assert_eq!(known, seen, "the same runs");
        for (id, run) in &self.runs {
            let seen = &after[id];
            assert_eq!(seen.place(), run.place, "place of {id}: {run:?}");
            assert_eq!(seen.token, run.token, "token of {id}: {run:?}");
            assert_eq!(seen.failures, run.failures, "failures of {id}");
            assert_eq!(seen.sequence, run.sequence, "checkpoints of {id}");
            let ended = i64::try_from(run.ended.len()).unwrap();
            assert_eq!(seen.attempts, ended, "ended attempts of {id}: {run:?}");
            if matches!(
                run.place,
                Place::Waiting(WaitReason::Delay | WaitReason::Limit | WaitReason::Backoff)
            ) {
                assert_eq!(seen.due_at, Some(run.due_at), "due time of {id}");
            }
        }
    }
}

/// What must hold whatever was done: tokens only grow, finished runs stay as they are, no connection has two runs at its gate.
pub(crate) fn assert_invariants(before: &Snapshot, after: &Snapshot, expected: &Expected) {
    let mut gates = BTreeSet::new();
    for (id, seen) in after {
        if seen.place().holds_gate() {
            let connection = expected.runs[id].target.connection_id;
            assert!(gates.insert(connection), "two at the gate of {connection}");
        }
        let Some(earlier) = before.get(id) else {
            continue;
        };
        assert!(seen.token >= earlier.token, "the token of {id} fell");
        if let Place::Ended(_) = earlier.place() {
            assert_eq!(seen, earlier, "a finished run changed");
        }
    }
}
