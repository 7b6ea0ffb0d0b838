//! What can happen next.

/// An event. Those marked so are mishaps, of which there is a bounded number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A worker claims a run.
    Claim {
        worker: usize,
        run: usize,
    },
    /// Mishap: it does so, and the answer is lost.
    ClaimUnheard {
        worker: usize,
        run: usize,
    },
    /// It finds such a run among those that its process holds.
    Adopt {
        worker: usize,
        run: usize,
    },
    /// It sends the next page with its checkpoint.
    Write {
        worker: usize,
    },
    /// It sends the end of its attempt; some reasons are mishaps.
    Stop {
        worker: usize,
        reason: Reason,
    },
    /// It sends an end again whose answer was lost.
    Repeat {
        worker: usize,
    },
    /// It reads the checkpoint back.
    ReadBack {
        worker: usize,
    },
    /// The database carries out what is under way, and whoever waits hears of it.
    Carry {
        statement: usize,
    },
    /// Mishap, unless the worker is frozen: it does so, and the answer is lost.
    CarryUnheard {
        statement: usize,
    },
    /// Mishap: the worker loses its connection while a statement is under way, which may still be carried out.
    Disconnect {
        worker: usize,
    },
    /// Mishap: an attempt that waits for an answer is given up as standing still; its write may still be carried out.
    GiveUp {
        worker: usize,
    },
    /// What nobody waits for is rolled back.
    RollBack {
        statement: usize,
    },
    /// Mishap.
    Freeze {
        worker: usize,
    },
    Thaw {
        worker: usize,
    },
    /// Mishap: killed, and started anew at once.
    Kill {
        worker: usize,
    },
    /// A process is not heard of for a whole lease. Mishap, if nothing is the matter with it.
    Silence {
        process: usize,
    },
    Beat {
        worker: usize,
    },
    /// A silent process's runs are given away.
    Rescue {
        process: usize,
    },
    /// Mishap: a person cancels a run.
    Cancel {
        run: usize,
    },
    /// A cancelled run that nobody executes is ended.
    SweepCancelled {
        run: usize,
    },
    /// Mishap: a run has grown too old.
    Expire {
        run: usize,
    },
    /// Mishap: a pause takes a run out of the queue.
    Pause {
        run: usize,
    },
    /// A wait ends, by its time or by an event.
    EndWait {
        run: usize,
    },
    /// The first blocked run of a connection whose gate is free is queued.
    Promote {
        run: usize,
    },
}

/// Why an attempt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    /// All pages are written.
    Done,
    /// Its run was cancelled.
    Cancelled,
    /// Mishap: a failure that may pass.
    Failure,
    /// Mishap: the platform's limit.
    Limit,
    /// Mishap: a pause.
    Pause,
    /// Mishap: the worker drains, its slice is over, or it is to give way.
    HandBack,
}
