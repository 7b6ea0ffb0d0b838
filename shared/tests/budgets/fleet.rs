//! Processes that draw on one budget, and what can happen to them.

use rand::RngExt;
use rand::rngs::StdRng;
use syncline_shared::budget::BudgetDefinition;
use syncline_shared::db::budget::{Charge, Cost, Settled};

use crate::referee::{Referee, Sent};
use crate::world::{ANSWER_MS, World, asker};

const PROCESSES: usize = 3;

/// Permits that a process may use from `first` until `last`, in true time.
#[derive(Debug, Clone)]
struct Lease {
    charge: Charge,
    points: i64,
    left: u32,
    first: i64,
    last: i64,
    /// By how much the process dates its requests too late: it counts from before it asked.
    late: i64,
    /// What the database's clock said in true time 0.
    clock: i64,
}

/// A request that is under way.
#[derive(Debug, Clone)]
struct Request {
    lease: Lease,
    /// Its place at the referee's.
    number: usize,
}

#[derive(Debug, Clone, Default)]
struct Process {
    leases: Vec<Lease>,
    requests: Vec<Request>,
    settled: Vec<Cost>,
}

pub(crate) struct Fleet<'a> {
    world: &'a World,
    budget: BudgetDefinition,
    processes: Vec<Process>,
    random: StdRng,
    /// True time.
    now: i64,
    pub(crate) referee: Referee,
    /// How often permits were asked for in `work_for`.
    pub(crate) asks: usize,
    loses_answers: bool,
    /// Requests cost up to so much.
    dearest: u32,
}

impl<'a> Fleet<'a> {
    pub(crate) fn new(world: &'a World, budget: BudgetDefinition, random: StdRng) -> Self {
        Self {
            world,
            budget,
            processes: vec![Process::default(); PROCESSES],
            random,
            now: 0,
            referee: Referee::default(),
            asks: 0,
            loses_answers: true,
            dearest: 3,
        }
    }

    pub(crate) fn with_requests_up_to(self, points: u32) -> Self {
        Self {
            dearest: points,
            ..self
        }
    }

    fn shortest_ms(&self) -> i64 {
        i64::try_from(self.budget.shortest().unwrap().as_millis()).unwrap()
    }

    /// Lets something happen.
    pub(crate) async fn step(&mut self) {
        let process = self.random.random_range(0..PROCESSES);
        match self.random.random_range(0..100) {
            0..25 => {
                let ms = self.random.random_range(0..=self.shortest_ms() / 12);
                self.pass(ms).await;
            }
            25..42 => self.ask(process).await,
            42..72 => {
                for process in 0..PROCESSES {
                    self.send(process);
                }
            }
            72..86 => {
                self.answer(process);
            }
            86..94 => self.give_back(process),
            94..96 => self.die(process),
            96..97 => self.world.advance(-self.random.random_range(0..200)).await,
            _ => {
                let ms = self.shortest_ms();
                self.pass(ms).await;
            }
        }
    }

    /// Everybody asks and sends as much as the budget gives, and comes back when he was told to.
    pub(crate) async fn work_for(&mut self, ms: i64) {
        self.loses_answers = false;
        let mut wakes_at = [0; PROCESSES];
        while self.now < ms {
            let process = (0..PROCESSES)
                .min_by_key(|process| wakes_at[*process])
                .unwrap();
            self.pass((wakes_at[process] - self.now).max(0)).await;
            let early = self.shortest_ms() / 20;
            let lease = self
                .ask_for(process, 3, self.shortest_ms() / 20, early, 1)
                .await;
            self.asks += 1;
            if let Some(wait) = lease {
                let ahead = if wait > early { early / 2 } else { 0 };
                wakes_at[process] = self.now + wait - ahead;
                continue;
            }
            self.pass_until_begun(process).await;
            while self.processes[process]
                .leases
                .iter()
                .any(|lease| lease.left > 0)
            {
                self.send(process);
                self.answer(process);
            }
        }
    }

    /// Takes all that there is, again and again, and sends it at once or at the last moment.
    pub(crate) async fn press(&mut self, times: usize) {
        for _ in 0..times {
            let process = self.random.random_range(0..PROCESSES);
            let lease = self.shortest_ms() / 10;
            let early = self.random.random_range(0..=lease / 2);
            let weight = self.random.random_range(1..=self.dearest);
            let wait = self.ask_for(process, 1_000, lease, early, weight).await;
            if let Some(wait) = wait {
                // Some come when they are told, some later.
                let times = self.random.random_range(1..8);
                self.pass(wait * times).await;
                continue;
            }
            let last = self.processes[process]
                .leases
                .iter()
                .map(|lease| lease.last)
                .max();
            if self.random.random_bool(0.5) {
                self.pass((last.unwrap_or(0) - self.now).max(0)).await;
            } else {
                self.pass_until_begun(process).await;
            }
            while self.send(process) {}
            match self.random.random_range(0..10) {
                0..7 => while self.answer(process) {},
                7 => self.die(process),
                _ => {}
            }
        }
    }

    async fn pass(&mut self, ms: i64) {
        self.now += ms;
        self.world.advance(ms).await;
        for process in &mut self.processes {
            process.requests.retain(|request| {
                let given_up = request.lease.last + ANSWER_MS;
                if given_up <= self.now {
                    self.referee.sent[request.number].until = given_up;
                }
                given_up > self.now
            });
        }
    }

    async fn ask(&mut self, process: usize) {
        let want = self.random.random_range(1..=6);
        let lease = self.random.random_range(0..=self.shortest_ms() / 10);
        let early = self.random.random_range(0..=self.shortest_ms() / 20);
        let weight = self.random.random_range(1..=self.dearest);
        self.ask_for(process, want, lease, early, weight).await;
    }

    /// Lets the time pass until all permits of a process have begun.
    async fn pass_until_begun(&mut self, process: usize) {
        let leases = &self.processes[process].leases;
        let first = leases.iter().map(|lease| lease.first).max();
        self.pass((first.unwrap_or(0) - self.now).max(0)).await;
    }

    /// Answers the wait, if there is one.
    async fn ask_for(
        &mut self,
        process: usize,
        want: u32,
        lease_ms: i64,
        early_ms: i64,
        weight: u32,
    ) -> Option<i64> {
        let settled = std::mem::take(&mut self.processes[process].settled);
        let budgets = [(self.budget.clone(), weight)];
        let number = u128::try_from(process).unwrap();
        let given = self
            .world
            .ask_early(
                asker(number, 1 + i32::try_from(process).unwrap()),
                &budgets,
                want,
                lease_ms.unsigned_abs(),
                early_ms.unsigned_abs(),
                &settled,
            )
            .await;
        // An answer that is lost: neither are the permits known, nor is anything settled again.
        if self.loses_answers && self.random.random_bool(0.05) {
            return None;
        }
        if given.begins().is_empty() {
            return Some(given.wait_ms());
        }
        // The process looked at its own clock a little before the statement began.
        let late = self.random.random_range(0..=5.min(lease_ms));
        for granted in given.begins() {
            let begins_in = i64::try_from(granted.begins_in.as_millis()).unwrap();
            self.processes[process].leases.push(Lease {
                charge: granted.charge,
                points: i64::from(weight),
                left: granted.permits,
                first: self.now + begins_in,
                last: self.now - late + begins_in + lease_ms,
                late,
                clock: granted.charge.at - lease_ms - begins_in - self.now,
            });
        }
        None
    }

    fn send(&mut self, process: usize) -> bool {
        let now = self.now;
        let Some(lease) = self.processes[process]
            .leases
            .iter_mut()
            .find(|lease| lease.left > 0 && (lease.first..=lease.last).contains(&now))
        else {
            return false;
        };
        lease.left -= 1;
        let request = Request {
            lease: lease.clone(),
            number: self.referee.sent.len(),
        };
        self.referee.sent.push(Sent {
            at: now,
            points: lease.points,
            until: i64::MAX,
        });
        self.processes[process].requests.push(request);
        true
    }

    fn answer(&mut self, process: usize) -> bool {
        if self.processes[process].requests.is_empty() {
            return false;
        }
        let index = self
            .random
            .random_range(0..self.processes[process].requests.len());
        let Request { lease, number } = self.processes[process].requests.swap_remove(index);
        let sent = &mut self.referee.sent[number];
        sent.until = self.now;
        let settled = Cost {
            key: self.budget.key(),
            charge: lease.charge,
            permits: 1,
            points: lease.points,
            settled: Settled::Sent {
                at: (sent.at + lease.late + lease.clock).min(lease.charge.at),
                cost: lease.points,
            },
        };
        self.processes[process].settled.push(settled);
        true
    }

    fn give_back(&mut self, process: usize) {
        if self.processes[process].leases.is_empty() {
            return;
        }
        let lease = self.processes[process].leases.swap_remove(0);
        let settled = Cost {
            key: self.budget.key(),
            charge: lease.charge,
            permits: i64::from(lease.left),
            points: lease.points * i64::from(lease.left),
            settled: Settled::Unused,
        };
        self.processes[process].settled.push(settled);
    }

    fn die(&mut self, process: usize) {
        let dead = std::mem::take(&mut self.processes[process]);
        for request in dead.requests {
            self.referee.sent[request.number].until = self.now;
        }
    }
}
