//! What happens, in which order: a function of the seed alone. Pure.

use std::time::Duration;

use crate::random::Random;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// kill -9 of a worker; another one is started.
    KillWorker,
    /// The same while it stands in the transaction that writes its records.
    KillWorkerInMerge,
    /// A worker stands still for less than a lease.
    FreezeWorkerBriefly,
    /// A worker stands still until its runs have been given away.
    FreezeWorkerBeyondLease,
    /// The same, beginning in the transaction that writes its records.
    FreezeWorkerInMerge,
    /// kill -9 of a scheduler; another one is started.
    KillScheduler,
    /// A scheduler stands still for longer than a lease.
    FreezeScheduler,
    /// Postgres is restarted in an orderly way.
    RestartPostgresFast,
    /// Postgres is restarted as after a crash.
    RestartPostgresImmediately,
    /// Postgres is away for longer than a lease.
    TakePostgresAway,
    /// Every backend is terminated.
    TerminateBackends,
    /// The network between the processes and Postgres is cut.
    CutNetwork,
    /// The network goes silent without an end that anybody could notice.
    HalfOpenNetwork,
    /// The network is slow.
    DelayNetwork,
    /// The destination table is locked for longer than an attempt may stand still.
    HangTasks,
}

/// How many kinds there are.
pub const KINDS: usize = ALL.len();

const ALL: [Fault; 15] = [
    Fault::KillWorker,
    Fault::KillWorkerInMerge,
    Fault::FreezeWorkerBriefly,
    Fault::FreezeWorkerBeyondLease,
    Fault::FreezeWorkerInMerge,
    Fault::KillScheduler,
    Fault::FreezeScheduler,
    Fault::RestartPostgresFast,
    Fault::RestartPostgresImmediately,
    Fault::TakePostgresAway,
    Fault::TerminateBackends,
    Fault::CutNetwork,
    Fault::HalfOpenNetwork,
    Fault::DelayNetwork,
    Fault::HangTasks,
];

/// For how long faults are held.
#[derive(Debug, Clone, Copy)]
pub struct Holds {
    /// Less than a lease.
    pub briefly: Duration,
    /// More than a lease.
    pub beyond_lease: Duration,
    /// Postgres is away.
    pub away: Duration,
    /// The network is cut or slow.
    pub network: Duration,
    /// Attempts hang.
    pub hang: Duration,
}

impl Holds {
    /// For a lease of three seconds and a test of a minute.
    pub const SHORT: Self = Self {
        briefly: Duration::from_secs(1),
        beyond_lease: Duration::from_secs(5),
        away: Duration::from_secs(8),
        network: Duration::from_secs(4),
        hang: Duration::from_secs(9),
    };

    /// For a soak.
    pub const LONG: Self = Self {
        briefly: Duration::from_secs(1),
        beyond_lease: Duration::from_secs(12),
        away: Duration::from_mins(1),
        network: Duration::from_secs(20),
        hang: Duration::from_secs(15),
    };
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Time since the end of the fault before.
    pub pause: Duration,
    /// What happens.
    pub fault: Fault,
    /// To whom, among those it could happen to.
    pub choice: u64,
}

/// The endless sequence of faults of a seed: each kind once in a random order, and so again and again.
#[derive(Debug, Clone)]
pub struct Script {
    random: Random,
    round: Vec<Fault>,
}

impl Script {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            round: Vec::new(),
        }
    }
}

impl Iterator for Script {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.round.is_empty() {
            self.round = ALL.to_vec();
            self.random.shuffle(&mut self.round);
        }
        let fault = self.round.pop()?;
        Some(Step {
            pause: Duration::from_millis(self.random.below(1_000)),
            fault,
            choice: self.random.below(1_000),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_brings_the_same_faults_back_and_every_round_has_each_kind() {
        let steps: Vec<Step> = Script::new(7).take(KINDS * 2).collect();
        assert!(Script::new(7).take(KINDS * 2).eq(steps.iter().copied()));
        assert!(
            !Script::new(8)
                .take(KINDS)
                .eq(steps[..KINDS].iter().copied())
        );
        for round in steps.chunks(KINDS) {
            let mut kinds: Vec<Fault> = round.iter().map(|step| step.fault).collect();
            kinds.sort_unstable();
            assert_eq!(kinds, ALL);
        }
    }
}
