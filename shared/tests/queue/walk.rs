//! What a random walk through the queue does: picks an operation, carries it out, and tells the model what should have come of it.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::json;
use syncline_shared::db::DbError;
use syncline_shared::db::pause::{self, PauseCause, PauseTarget};
use syncline_shared::db::run::{
    self, Cancelling, Checkpoint, Claim, ClaimedRun, Finish, Heads, Release, ReleaseTo, RunTarget,
};
use syncline_shared::ids::RunId;
use syncline_shared::run::{
    AfterFailure, AttemptOutcome, FailureKind, Move, Outcome, Place, Progress, RetryPolicy,
    SYNC_QUEUE, Spent, WaitReason, after_failure,
};

use crate::clock;
use crate::expected::{Expected, Known, Seen, Snapshot};
use crate::world::World;

const PRIORITIES: [i16; 3] = [10, 50, 90];

/// A walk: the database, the model, and all leases that were ever given out.
pub(crate) struct Walk<'a> {
    pub(crate) world: &'a World,
    pub(crate) targets: &'a [RunTarget],
    pub(crate) expected: Expected,
    pub(crate) before: Snapshot,
    pub(crate) leases: Vec<ClaimedRun>,
    pub(crate) random: StdRng,
    /// What the claimer remembers of the queue.
    pub(crate) heads: Heads,
    /// Runs that went back to their old places since the claimer looked from the beginning.
    pub(crate) went_back: BTreeSet<RunId>,
    /// What was done, for the message of a failure.
    pub(crate) story: Vec<String>,
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.story.join("\n"));
        }
    }
}

impl Walk<'_> {
    /// Does one thing, and compares.
    pub(crate) async fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..20 => self.enqueue().await,
            20..38 => self.claim().await,
            38..50 => self.finish().await,
            50..66 => self.release().await,
            66..71 => self.checkpoint().await,
            71..75 => self.pause().await,
            75..79 => self.hold_or_free().await,
            79..83 => self.cancel().await,
            83..85 => self.sweep_cancelled().await,
            85..87 => self.expire().await,
            87..91 => self.advance().await,
            91..96 => self.move_due().await,
            _ => self.promote_stranded().await,
        }
    }

    fn tell(&mut self, what: String) {
        self.story.push(what);
    }

    /// What the database shows now.
    pub(crate) async fn look(&self) -> Snapshot {
        let rows: Vec<Seen> = sqlx::query_as(
            "select r.*, (select count(*) from syncline.attempt a where a.run_id = r.id) as attempts
             from (
                 select id, state, wait_reason, null as outcome, lease_token as token, fair_turn, due_at, failures,
                        checkpoint_sequence as sequence, null as kept
                 from syncline.run
                 union all
                 select id, null, null, outcome, lease_token, null, null, failures, checkpoint_sequence, md5(h::text)
                 from syncline.run_history h) r",
        )
        .fetch_all(&self.world.pool)
        .await
        .unwrap();
        rows.into_iter().map(|seen| (seen.id, seen)).collect()
    }

    /// A lease that was given out at some time, the latest ones more often; it may have ended long ago.
    fn any_lease(&mut self) -> Option<ClaimedRun> {
        let held: Vec<_> = self
            .leases
            .iter()
            .filter(|lease| self.is_held(lease))
            .cloned()
            .collect();
        let from = if held.is_empty() || self.random.random_bool(0.2) {
            &self.leases
        } else {
            &held
        };
        let index = self.random.random_range(0..from.len().max(1));
        from.get(index).cloned()
    }

    fn is_held(&self, lease: &ClaimedRun) -> bool {
        let run = &self.expected.runs[&lease.id];
        run.place == Place::Running && run.token == lease.token
    }

    fn any_run(&mut self) -> Option<RunId> {
        let unfinished = self
            .expected
            .where_(|run| !matches!(run.place, Place::Ended(_)));
        let all: Vec<_> = self.expected.runs.keys().copied().collect();
        let from = if unfinished.is_empty() || self.random.random_bool(0.1) {
            all
        } else {
            unfinished
        };
        let index = self.random.random_range(0..from.len().max(1));
        from.get(index).copied()
    }

    async fn enqueue(&mut self) {
        let count = self.random.random_range(1..=3);
        let targets: Vec<_> = (0..count)
            .map(|_| self.targets[self.random.random_range(0..self.targets.len())].clone())
            .collect();
        let seconds = if self.random.random_bool(0.3) {
            self.random.random_range(1..60)
        } else {
            0
        };
        let priority = PRIORITIES[self.random.random_range(0..PRIORITIES.len())];
        self.tell(format!(
            "enqueue {count} in {seconds} s, priority {priority}"
        ));
        let delay = Duration::from_secs(seconds);
        let enqueued = self.world.enqueue_at(&targets, delay, priority).await;
        let blocked: BTreeSet<_> = self
            .expected
            .where_(|run| run.place == Place::Blocked)
            .iter()
            .map(|id| self.expected.runs[id].target.connection_id)
            .collect();
        // The answer does not tell which target a run is of, so runs of one connection are taken in the order of the answer: those
        // that are queued come first.
        for run in &enqueued {
            let target = targets
                .iter()
                .find(|target| target.connection_id == run.connection_id);
            let target = target.unwrap().clone();
            let place = if seconds > 0 {
                Place::Waiting(WaitReason::Delay)
            } else if self.expected.is_paused(&target) {
                Place::Waiting(WaitReason::Pause)
            } else if blocked.contains(&run.connection_id)
                || !self.expected.is_gate_free(run.connection_id)
            {
                Place::Blocked
            } else {
                Place::Queued
            };
            let known = Known {
                target,
                priority,
                created_at: self.expected.now,
                place,
                due_at: self.expected.now + delay,
                token: 0,
                failures: 0,
                sequence: 0,
                is_cancel_asked: false,
                ended: std::collections::BTreeMap::new(),
            };
            self.expected.runs.insert(run.id, known);
        }
    }

    async fn claim(&mut self) {
        let limit = self.random.random_range(1..=4);
        let room = self.random.random_range(1..=3);
        let rooms = [("g2a".to_owned(), self.random.random_range(0..=2))];
        if self.random.random_bool(0.3) {
            let turn = run::virtual_turn(&mut *self.world.db().await)
                .await
                .unwrap();
            self.heads = Heads::from_the_beginning(turn);
            self.went_back.clear();
        }
        let heads = self.heads.clone();
        self.tell(format!(
            "claim {limit}, rooms {rooms:?} else {room}, from {heads:?}"
        ));
        let claim = Claim {
            queue: SYNC_QUEUE,
            limit,
            rooms: &rooms,
            room,
            heads: &heads,
            process: self.world.process,
        };
        let claimed = run::claim(&mut *self.world.db().await, &claim)
            .await
            .unwrap();
        self.assert_claimed_in_order(&claim, &claimed);
        self.heads = heads.after(&claim, &claimed);
        for run in claimed {
            self.expected.make(run.id, Move::Claim);
            let known = self.expected.runs.get_mut(&run.id).unwrap();
            known.token += 1;
            assert_eq!((run.token, run.failures), (known.token, known.failures));
            assert_eq!(run.checkpoint_sequence, known.sequence);
            self.leases.push(run);
        }
    }

    /// A claim takes the first of each platform, as many as there is room, and of these the first. What lies before the claimer's heads
    /// has gone back there.
    fn assert_claimed_in_order(&self, claim: &Claim<'_>, claimed: &[ClaimedRun]) {
        let rank = |id: &RunId| (self.before[id].fair_turn, self.before[id].due_at);
        let mut queued = self.expected.where_(|run| run.place == Place::Queued);
        let platform = |id: &RunId| self.expected.runs[id].target.platform.clone();
        let (known, turns) = claim.heads.columns();
        queued.retain(|id| {
            let known = known
                .iter()
                .zip(&turns)
                .find(|(name, _)| **name == platform(id));
            let is_passed_over =
                known.is_some_and(|(_, turn)| self.before[id].fair_turn < Some(*turn));
            assert!(
                !is_passed_over || self.went_back.contains(id),
                "{id} is never found"
            );
            !is_passed_over
        });
        let platforms: BTreeSet<_> = queued.iter().map(platform).collect();
        let limit = usize::try_from(claim.limit).unwrap();
        let mut heads = Vec::new();
        for name in &platforms {
            let room = claim.rooms.iter().find(|(of, _)| of == name);
            let room = room.map_or(claim.room, |(_, room)| *room);
            let room = if platforms.len() > 1 {
                usize::try_from(room).unwrap().min(limit)
            } else {
                limit
            };
            let mut ranks: Vec<_> = queued
                .iter()
                .filter(|id| platform(id) == *name)
                .map(rank)
                .collect();
            ranks.sort_unstable();
            heads.extend(
                ranks
                    .into_iter()
                    .take(room)
                    .map(|rank| (rank, name.clone())),
            );
        }
        heads.sort_unstable();
        heads.truncate(limit);
        let taken: Vec<_> = claimed.iter().map(|run| rank(&run.id)).collect();
        let due: Vec<_> = heads.iter().map(|(rank, _)| *rank).collect();
        assert_eq!(taken, due, "claimed in the order of turns");
    }

    async fn finish(&mut self) {
        let mut ends = Vec::new();
        let mut accepted = BTreeSet::new();
        let mut moves = Vec::new();
        for _ in 0..self.random.random_range(1..=3) {
            let Some(lease) = self.any_lease() else {
                continue;
            };
            if ends.iter().any(|end: &Finish| end.id == lease.id) {
                continue;
            }
            let outcome = Outcome::ALL[self.random.random_range(0..Outcome::ALL.len())];
            let known = &self.expected.runs[&lease.id];
            if self.is_held(&lease) {
                moves.push((lease.id, outcome));
                accepted.insert(lease.id);
            } else if matches!(known.place, Place::Ended(_)) && known.token == lease.token {
                accepted.insert(lease.id);
            }
            ends.push(Finish {
                id: lease.id,
                token: lease.token,
                outcome,
                attempt: outcome.into(),
                failures: known.failures,
                reason: None,
                error: None,
                spent: Some(Spent {
                    calls: 1,
                    ..Spent::default()
                }),
            });
        }
        let told: Vec<_> = ends.iter().map(|end| (end.id, end.token)).collect();
        self.tell(format!("finish {told:?}"));
        let kept = run::finish(&mut *self.world.db().await, &ends, "test:1")
            .await
            .unwrap();
        assert_eq!(BTreeSet::from_iter(kept), accepted, "ends that stand");
        let after = self.look().await;
        for (id, outcome) in moves {
            self.expected.make(id, Move::Finish(outcome));
            let known = self.expected.runs.get_mut(&id).unwrap();
            known.ended.insert(known.token, outcome.into());
            let connection = known.target.connection_id;
            let before = &self.before;
            self.expected
                .promote_first(connection, before, &after, |_, _| true);
        }
    }

    async fn release(&mut self) {
        let Some(lease) = self.any_lease() else {
            return;
        };
        let known = self.expected.runs[&lease.id].clone();
        let wait = self.random.random_range(0..30);
        let wait = Duration::from_secs(wait);
        let mut failures = known.failures;
        let (attempt, to) = match self.random.random_range(0..6) {
            0 => (AttemptOutcome::Drained, ReleaseTo::Front),
            1 => (AttemptOutcome::Yielded, ReleaseTo::Back),
            2 => (
                AttemptOutcome::Limited,
                ReleaseTo::Wait(WaitReason::Limit, wait),
            ),
            3 => (
                AttemptOutcome::Paused,
                ReleaseTo::Wait(WaitReason::Pause, Duration::ZERO),
            ),
            kind => {
                failures += 1;
                let kind = [FailureKind::Transient, FailureKind::Lost][kind % 2];
                let draw = self.random.random();
                let to = match after_failure(&RetryPolicy::default(), kind, failures, None, draw) {
                    AfterFailure::Again => ReleaseTo::Front,
                    // Whole milliseconds, so that both sides round alike.
                    AfterFailure::After(wait) => {
                        let wait = Duration::from_millis(wait.as_millis().try_into().unwrap());
                        ReleaseTo::Wait(WaitReason::Backoff, wait)
                    }
                    // Its worker would finish it.
                    AfterFailure::End => return,
                };
                (AttemptOutcome::Retry, to)
            }
        };
        self.tell(format!("release {} {} to {to:?}", lease.id, lease.token));
        let back = Release {
            id: lease.id,
            token: lease.token,
            attempt,
            to,
            reason: None,
            failures,
            error: None,
            spent: Some(Spent::default()),
            wait_key: None,
        };
        let answer = run::release(&mut *self.world.db().await, &back, "test:1").await;
        if !self.is_held(&lease) {
            let was_made = known.ended.get(&lease.token) == Some(&attempt);
            match answer {
                Ok(()) => assert!(was_made, "a late release was accepted"),
                Err(DbError::Stale) => assert!(!was_made, "a repeated release was refused"),
                Err(error) => panic!("{error}"),
            }
            return;
        }
        answer.unwrap();
        let after = self.look().await;
        let (connection, priority) = (known.target.connection_id, known.priority);
        let urgent = |_: RunId, run: &Known| run.priority < priority;
        let is_urgent_behind = !self
            .expected
            .where_(|run| {
                run.target.connection_id == connection
                    && run.place == Place::Blocked
                    && run.priority < priority
            })
            .is_empty();
        let changed = self.expected.runs.get_mut(&lease.id).unwrap();
        changed.failures = failures;
        changed.ended.insert(lease.token, attempt);
        let before = &self.before;
        match to {
            ReleaseTo::Wait(reason, wait) => {
                changed.due_at = self.expected.now + wait;
                self.expected.make(lease.id, Move::Wait(reason));
                self.expected
                    .promote_first(connection, before, &after, |_, _| true);
            }
            ReleaseTo::Front | ReleaseTo::Back if is_urgent_behind => {
                self.expected.make(lease.id, Move::GiveWay);
                self.expected
                    .promote_first(connection, before, &after, urgent);
            }
            ReleaseTo::Front | ReleaseTo::Back => {
                if matches!(to, ReleaseTo::Front) {
                    self.went_back.insert(lease.id);
                }
                self.expected.make(lease.id, Move::HandBack);
            }
        }
    }

    async fn checkpoint(&mut self) {
        let Some(lease) = self.any_lease() else {
            return;
        };
        let next = self.expected.runs[&lease.id].sequence + i64::from(self.random.random_bool(0.8));
        self.tell(format!("checkpoint {next} of {} {}", lease.id, lease.token));
        let checkpoint = Checkpoint {
            id: lease.id,
            token: lease.token,
            sequence: next,
            position: &json!({}),
            progress: &Progress::default(),
            spent: Spent::default(),
        };
        let answer = run::write_checkpoint(&mut *self.world.db().await, &checkpoint).await;
        let is_held = self.is_held(&lease);
        let known = self.expected.runs.get_mut(&lease.id).unwrap();
        if is_held && next == known.sequence + 1 {
            answer.unwrap();
            (known.sequence, known.failures) = (next, 0);
        } else {
            assert!(matches!(answer, Err(DbError::Stale)), "{answer:?}");
        }
    }

    /// Sets or lifts a pause; what is queued is held, or freed, by later steps.
    async fn pause(&mut self) {
        let target = &self.targets[self.random.random_range(0..self.targets.len())];
        let (scope, name, paused) = match self.random.random_range(0..4) {
            0 => ("everything", String::new(), PauseTarget::Everything),
            1 => {
                let name = target.platform.clone();
                ("platform", name.clone(), PauseTarget::Platform(name))
            }
            2 => {
                let id = target.business_id;
                ("business", id.to_string(), PauseTarget::Business(id))
            }
            _ => {
                let id = target.connection_id;
                ("connection", id.to_string(), PauseTarget::Connection(id))
            }
        };
        let mut db = self.world.db().await;
        let key = (scope, name);
        if self.expected.pauses.remove(&key) {
            self.story.push(format!("resume {key:?}"));
            assert!(pause::resume(&mut db, &paused).await.unwrap());
        } else if self.expected.pauses.is_empty() || self.random.random_bool(0.3) {
            self.story.push(format!("pause {key:?}"));
            let is_new = pause::pause(&mut db, &paused, PauseCause::Person, None, "test");
            assert!(is_new.await.unwrap());
            self.expected.pauses.insert(key);
        }
    }

    async fn hold_or_free(&mut self) {
        let limit = self.random.random_range(1..=20);
        let count = usize::try_from(limit).unwrap();
        let mut db = self.world.db().await;
        if self.random.random_bool(0.5) {
            self.story.push(format!("hold {limit}"));
            let held = run::hold_paused(&mut db, limit).await.unwrap();
            let after = self.look().await;
            let concerned = self.expected.where_(|run| {
                run.place.after(Move::Pause).is_some() && self.expected.is_paused(&run.target)
            });
            assert_eq!(held, concerned.len().min(count) as u64);
            for id in concerned {
                if after[&id].place() == Place::Waiting(WaitReason::Pause) {
                    self.expected.make(id, Move::Pause);
                }
            }
        } else {
            self.story.push(format!("free {limit}"));
            let (freed, _) = run::free_paused(&mut db, limit).await.unwrap();
            let after = self.look().await;
            let mut free = self.expected.where_(|run| {
                run.place == Place::Waiting(WaitReason::Pause)
                    && !self.expected.is_paused(&run.target)
            });
            // Which of them, the database chose.
            free.sort_by_key(|id| after[id].place() == Place::Waiting(WaitReason::Pause));
            free.truncate(count);
            assert_eq!(freed, free.len());
            for id in &free {
                self.expected.make(*id, Move::Resume);
            }
            self.promote_behind(&free, &after);
        }
    }

    fn promote_behind(&mut self, runs: &[RunId], after: &Snapshot) {
        let connections: Vec<_> = runs
            .iter()
            .map(|id| self.expected.runs[id].target.connection_id)
            .collect();
        self.expected.promote_all(connections, &self.before, after);
    }

    async fn cancel(&mut self) {
        let Some(id) = self.any_run() else { return };
        self.tell(format!("cancel {id}"));
        let mut db = self.world.database.begin().await.unwrap();
        let answer = run::cancel(&mut db, id, "test", None).await.unwrap();
        db.commit().await.unwrap();
        let known = self.expected.runs.get_mut(&id).unwrap();
        match known.place {
            Place::Ended(_) => assert_eq!(answer, Cancelling::NotUnfinished),
            Place::Running => {
                assert_eq!(answer, Cancelling::Asked);
                known.is_cancel_asked = true;
            }
            _ => {
                assert_eq!(answer, Cancelling::Done);
                let after = self.look().await;
                self.end_idle(&[id], Move::Cancel, &after);
            }
        }
    }

    async fn sweep_cancelled(&mut self) {
        self.tell("sweep the cancelled".to_owned());
        let mut db = self.world.database.begin().await.unwrap();
        let swept = run::sweep_cancelled(&mut db).await.unwrap();
        db.commit().await.unwrap();
        let after = self.look().await;
        let asked = self
            .expected
            .where_(|run| run.is_cancel_asked && run.place.after(Move::Cancel).is_some());
        assert_eq!(swept, asked.len());
        self.end_idle(&asked, Move::Cancel, &after);
    }

    async fn expire(&mut self) {
        let age = self.random.random_range(10..300);
        self.tell(format!("expire after {age} s"));
        let mut db = self.world.database.begin().await.unwrap();
        let expired = run::expire(&mut db, Duration::from_secs(age))
            .await
            .unwrap();
        db.commit().await.unwrap();
        let after = self.look().await;
        let oldest = self.expected.now - Duration::from_secs(age);
        let old = self
            .expected
            .where_(|run| run.created_at < oldest && run.place.after(Move::Expire).is_some());
        assert_eq!(expired, old.len());
        self.end_idle(&old, Move::Expire, &after);
    }

    /// Ends runs that are not running: those that were queued leave their gate to the next one.
    fn end_idle(&mut self, ids: &[RunId], change: Move, after: &Snapshot) {
        let queued: Vec<_> = ids
            .iter()
            .filter(|id| self.expected.runs[id].place == Place::Queued)
            .copied()
            .collect();
        for id in ids {
            self.expected.make(*id, change);
        }
        self.promote_behind(&queued, after);
    }

    async fn advance(&mut self) {
        let seconds = self.random.random_range(1..40);
        self.tell(format!("{seconds} s pass"));
        self.expected.now = clock::advance(&self.world.pool, seconds).await;
    }

    async fn move_due(&mut self) {
        let limit = self.random.random_range(1..=5);
        self.tell(format!("move {limit} that are due"));
        let mut db = self.world.database.begin().await.unwrap();
        let (moved, _) = run::move_due(&mut db, limit).await.unwrap();
        db.commit().await.unwrap();
        let after = self.look().await;
        let now = self.expected.now;
        let mut due = self
            .expected
            .where_(|run| run.place.after(Move::Due).is_some() && run.due_at <= now);
        // Of those that are due at the same instant, the ones that the database chose.
        due.sort_by_key(|id| {
            let stayed = after[id].place() == self.expected.runs[id].place;
            (self.expected.runs[id].due_at, stayed)
        });
        due.truncate(usize::try_from(limit).unwrap());
        assert_eq!(moved, due.len());
        for id in &due {
            self.expected.make(*id, Move::Due);
            if self.expected.is_paused(&self.expected.runs[id].target) {
                self.expected.make(*id, Move::Pause);
            }
        }
        self.promote_behind(&due, &after);
    }

    async fn promote_stranded(&mut self) {
        self.tell("promote the stranded".to_owned());
        let mut db = self.world.database.begin().await.unwrap();
        run::promote_stranded(&mut db).await.unwrap();
        db.commit().await.unwrap();
        let after = self.look().await;
        let blocked = self.expected.where_(|run| run.place == Place::Blocked);
        self.promote_behind(&blocked, &after);
        for id in self.expected.where_(|run| run.place == Place::Blocked) {
            let connection = self.expected.runs[&id].target.connection_id;
            assert!(!self.expected.is_gate_free(connection), "{id} is stranded");
        }
    }
}
