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
    /// kill -9 of one scheduler after the other, several times in a row; another one is started each time.
    KillSchedulersInARow,
    /// kill -9 of all schedulers at once; as many others are started a moment later.
    KillAllSchedulers,
    /// kill -9 of a scheduler in the transaction that records its ticks.
    KillSchedulerInTick,
    /// A scheduler stands still for longer than a lease.
    FreezeScheduler,
    /// The same, beginning in the transaction that records its ticks.
    FreezeSchedulerInTick,
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

/// What a cluster must survive.
pub const TO_CLUSTERS: &[Fault] = &[
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

/// What schedulers must survive.
pub const TO_SCHEDULERS: &[Fault] = &[
    Fault::KillScheduler,
    Fault::KillSchedulersInARow,
    Fault::KillAllSchedulers,
    Fault::KillSchedulerInTick,
    Fault::FreezeScheduler,
    Fault::FreezeSchedulerInTick,
    Fault::RestartPostgresFast,
    Fault::RestartPostgresImmediately,
    Fault::TakePostgresAway,
    Fault::TerminateBackends,
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
    kinds: &'static [Fault],
    random: Random,
    round: Vec<Fault>,
}

impl Script {
    /// The sequence of a seed, of faults of these kinds.
    pub fn new(seed: u64, kinds: &'static [Fault]) -> Self {
        Self {
            kinds,
            random: Random::new(seed),
            round: Vec::new(),
        }
    }

    /// How many steps have every kind once.
    pub fn round(&self) -> usize {
        self.kinds.len()
    }
}

impl Iterator for Script {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.round.is_empty() {
            self.round = self.kinds.to_vec();
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
        for kinds in [TO_CLUSTERS, TO_SCHEDULERS] {
            let script = |seed| Script::new(seed, kinds);
            let round = script(7).round();
            let steps: Vec<Step> = script(7).take(round * 2).collect();
            assert!(script(7).take(round * 2).eq(steps.iter().copied()));
            assert!(!script(8).take(round).eq(steps[..round].iter().copied()));
            for round in steps.chunks(round) {
                let mut found: Vec<Fault> = round.iter().map(|step| step.fault).collect();
                found.sort_unstable();
                assert_eq!(found, kinds);
            }
        }
    }
}
