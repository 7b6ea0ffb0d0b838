//! What the model remembers: the database's rows, what workers believe, and statements under way.
//!
//! Worlds that differ in names only count as one: [`World::simplify`] forgets what can make no difference any more, numbers tokens
//! and processes anew, and brings the workers into an order.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use syncline_shared::run::{Move, Outcome, Place, WaitReason};

/// Pages that a run reads, each written with a checkpoint.
pub(crate) const PAGES: u8 = 2;

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) runs: Vec<Run>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) processes: Vec<Process>,
    pub(crate) under_way: Vec<Statement>,
    /// How many more times something unusual may happen; what is usual is free.
    pub(crate) mishaps: u8,
}

impl World {
    pub(crate) fn simplify(&mut self) {
        self.renumber_tokens();
        for worker in &mut self.workers {
            for (unheard, run) in worker.unheard.iter_mut().zip(&self.runs) {
                *unheard &= run.owner == Some(worker.process);
            }
        }
        self.sort_workers();
        self.renumber_processes();
        self.under_way.sort_by_key(|sent| digest(&sent));
    }

    /// Only which tokens are the same, and which came first, makes a difference.
    fn renumber_tokens(&mut self) {
        for (index, run) in self.runs.iter_mut().enumerate() {
            if run.has_ended() {
                (run.failures, run.is_cancel_asked) = (0, false);
            }
            let held = self
                .workers
                .iter_mut()
                .filter_map(|worker| worker.held.as_mut());
            let held = held
                .filter(|held| held.run == index)
                .map(|held| &mut held.token);
            let sent = self.under_way.iter_mut().filter(|sent| sent.run == index);
            let mut named: Vec<&mut u8> = held.chain(sent.map(|sent| &mut sent.token)).collect();
            named.push(&mut run.token);
            let known: BTreeSet<u8> = named.iter().map(|token| **token).collect();
            let number = |token: u8| u8::try_from(known.range(..token).count()).unwrap();
            for token in named {
                *token = number(*token);
            }
            run.closed.retain(|(token, _)| known.contains(token));
            for (token, _) in &mut run.closed {
                *token = number(*token);
            }
            run.closed.sort_by_key(|(token, end)| (*token, digest(end)));
        }
    }

    fn sort_workers(&mut self) {
        let order = |worker: &Worker| {
            let owned: Vec<_> = self
                .runs
                .iter()
                .map(|run| run.owner == Some(worker.process))
                .collect();
            let seen = (worker.is_frozen, worker.held, worker.unheard);
            digest(&(seen, self.processes[worker.process], owned))
        };
        let mut numbers: Vec<usize> = (0..self.workers.len()).collect();
        numbers.sort_by_key(|number| order(&self.workers[*number]));
        self.workers = numbers.iter().map(|number| self.workers[*number]).collect();
        for sent in &mut self.under_way {
            sent.awaited_by = sent
                .awaited_by
                .and_then(|worker| numbers.iter().position(|number| *number == worker));
        }
    }

    /// A process that is no worker's any more and holds no run is gone.
    fn renumber_processes(&mut self) {
        let workers = self.workers.iter().map(|worker| worker.process);
        let owners = self.runs.iter().filter_map(|run| run.owner);
        let mut kept: Vec<usize> = Vec::new();
        for process in workers.chain(owners) {
            if !kept.contains(&process) {
                kept.push(process);
            }
        }
        let number = |process: usize| kept.iter().position(|kept| *kept == process);
        for worker in &mut self.workers {
            worker.process = number(worker.process).unwrap();
        }
        for run in &mut self.runs {
            run.owner = run.owner.and_then(number);
        }
        self.processes = kept
            .iter()
            .map(|process| self.processes[*process])
            .collect();
    }
}

fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A run's row, and what the model notes about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    pub(crate) connection: u8,
    /// The smaller, the sooner.
    pub(crate) priority: u8,
    pub(crate) place: Place,
    pub(crate) token: u8,
    pub(crate) owner: Option<usize>,
    pub(crate) sequence: i64,
    pub(crate) failures: i32,
    pub(crate) is_cancel_asked: bool,
    /// The attempts' rows: token, and how it ended. Those that nobody can name any more are forgotten.
    pub(crate) closed: Vec<(u8, End)>,
    /// Noted: how many more attempts have begun than have a row.
    pub(crate) open: i8,
    /// Noted: how often each page was committed.
    pub(crate) written: [u8; PAGES as usize],
    /// Noted: something was accepted on behalf of an attempt that had ended.
    pub(crate) is_late_write_accepted: bool,
    /// Noted: a statement made a move that a run cannot make.
    pub(crate) has_moved_wrongly: bool,
}

impl Run {
    pub(crate) fn new(connection: u8, priority: u8, place: Place) -> Self {
        Self {
            connection,
            priority,
            place,
            token: 0,
            owner: None,
            sequence: 0,
            failures: 0,
            is_cancel_asked: false,
            closed: Vec::new(),
            open: 0,
            written: [0; PAGES as usize],
            is_late_write_accepted: false,
            has_moved_wrongly: false,
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.place, Place::Ended(_))
    }

    /// Makes a move, which ends the lease if there was one.
    pub(crate) fn make(&mut self, change: Move) {
        let Some(next) = self.place.after(change) else {
            self.has_moved_wrongly = true;
            return;
        };
        if self.place.is_leased() {
            self.owner = None;
            if !matches!(next, Place::Ended(_)) {
                self.token += 1;
            }
        }
        self.place = next;
    }

    pub(crate) fn is_closed(&self, token: u8) -> bool {
        self.closed.iter().any(|(closed, _)| *closed == token)
    }
}

/// A process's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) is_heard: bool,
    pub(crate) is_rescued: bool,
}

impl Process {
    pub(crate) const NEW: Self = Self {
        is_heard: true,
        is_rescued: false,
    };
}

/// A worker with one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Worker {
    pub(crate) process: usize,
    pub(crate) is_frozen: bool,
    pub(crate) held: Option<Held>,
    /// Runs that it has claimed without hearing of them.
    pub(crate) unheard: [bool; 2],
}

/// What an attempt believes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub(crate) run: usize,
    pub(crate) token: u8,
    pub(crate) sequence: i64,
    pub(crate) failures: i32,
    pub(crate) doing: Doing,
}

/// What an attempt is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Doing {
    /// Reads.
    Working,
    /// Waits for the answer to a write.
    Writing,
    /// Does not know whether its write took place; `refused`: it was told that it missed.
    Doubting { refused: bool },
    /// Waits for the answer to its end; `failures` as they stand then.
    Ending { end: End, failures: i32 },
    /// The answer to its end was lost.
    Repeating { end: End, failures: i32 },
}

/// How an attempt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum End {
    Finish(Outcome),
    Back,
    Wait(WaitReason),
}

/// Something that the database is asked to do for an attempt, in one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Statement {
    pub(crate) run: usize,
    pub(crate) token: u8,
    pub(crate) order: Order,
    /// Who waits for the answer; `None`: nobody any more.
    pub(crate) awaited_by: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Order {
    /// Records, checkpoint of this number, and proof of the lease.
    Write { sequence: i64 },
    /// Finish or release.
    End { end: End, failures: i32 },
}
