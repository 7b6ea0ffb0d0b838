//! The model as `stateright` wants it: where it begins, and what can happen when.

use stateright::{Model, Property};
use syncline_shared::run::Place;

use crate::action::{Action, Reason};
use crate::properties;
use crate::world::{Doing, PAGES, Process, Run, Worker, World};

/// What keeps the data safe; tests take one away at a time.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one rule to take away"
)]
pub(crate) struct Rules {
    /// A write must name the current lease token.
    pub(crate) token: bool,
    /// A checkpoint must follow the one before.
    pub(crate) sequence: bool,
    /// A claim needs the row of a process that was not rescued.
    pub(crate) process: bool,
    /// The checkpoint is read back when an answer was lost.
    pub(crate) read_back: bool,
}

impl Rules {
    pub(crate) const ALL: Self = Self {
        token: true,
        sequence: true,
        process: true,
        read_back: true,
    };
}

/// Two workers and two runs.
#[derive(Debug, Clone)]
pub(crate) struct Leases {
    pub(crate) rules: Rules,
    pub(crate) runs: [Run; 2],
    pub(crate) mishaps: u8,
}

impl Leases {
    /// The second run is the more urgent one, and stands behind the first.
    pub(crate) fn on_one_connection(mishaps: u8) -> Self {
        Self {
            rules: Rules::ALL,
            runs: [
                Run::new(0, 2, Place::Queued),
                Run::new(0, 1, Place::Blocked),
            ],
            mishaps,
        }
    }

    pub(crate) fn on_two_connections(mishaps: u8) -> Self {
        Self {
            rules: Rules::ALL,
            runs: [Run::new(0, 1, Place::Queued), Run::new(1, 1, Place::Queued)],
            mishaps,
        }
    }
}

impl Model for Leases {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let worker = |process| Worker {
            process,
            is_frozen: false,
            held: None,
            unheard: [false; 2],
        };
        vec![World {
            runs: self.runs.to_vec(),
            workers: vec![worker(0), worker(1)],
            processes: vec![Process::NEW; 2],
            under_way: Vec::new(),
            mishaps: self.mishaps,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for worker in 0..world.workers.len() {
            worker_actions(world, worker, actions);
        }
        statement_actions(world, actions);
        process_actions(world, actions);
        for run in 0..world.runs.len() {
            run_actions(world, run, actions);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.happen(self.rules, action);
        next.simplify();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

fn worker_actions(world: &World, index: usize, actions: &mut Vec<Action>) {
    let worker = &world.workers[index];
    let mishap = world.mishaps > 0;
    if mishap {
        actions.push(Action::Kill { worker: index });
    }
    if worker.is_frozen {
        actions.push(Action::Thaw { worker: index });
        return;
    }
    if mishap {
        actions.push(Action::Freeze { worker: index });
    }
    let process = world.processes[worker.process];
    if process.is_rescued || !process.is_heard {
        actions.push(Action::Beat { worker: index });
    }
    let Some(held) = worker.held else {
        for run in (0..2).filter(|run| worker.unheard[*run]) {
            actions.push(Action::Adopt { worker: index, run });
        }
        for (run, row) in world.runs.iter().enumerate() {
            if row.place == Place::Queued {
                actions.push(Action::Claim { worker: index, run });
                if mishap {
                    actions.push(Action::ClaimUnheard { worker: index, run });
                }
            }
        }
        return;
    };
    match held.doing {
        Doing::Working => {
            let mut stop = |reason| {
                actions.push(Action::Stop {
                    worker: index,
                    reason,
                });
            };
            if held.sequence == i64::from(PAGES) {
                stop(Reason::Done);
            }
            // Orders are looked up by id and token.
            let row = &world.runs[held.run];
            if row.is_cancel_asked && row.token == held.token && !row.has_ended() {
                stop(Reason::Cancelled);
            }
            if mishap {
                for reason in [
                    Reason::Failure,
                    Reason::Limit,
                    Reason::Pause,
                    Reason::HandBack,
                ] {
                    stop(reason);
                }
            }
            if held.sequence < i64::from(PAGES) {
                actions.push(Action::Write { worker: index });
            }
        }
        Doing::Writing if mishap => {
            actions.push(Action::Disconnect { worker: index });
            actions.push(Action::GiveUp { worker: index });
        }
        Doing::Ending { .. } if mishap => actions.push(Action::Disconnect { worker: index }),
        Doing::Writing | Doing::Ending { .. } => {}
        Doing::Doubting { .. } => actions.push(Action::ReadBack { worker: index }),
        Doing::Repeating { .. } => actions.push(Action::Repeat { worker: index }),
    }
}

fn statement_actions(world: &World, actions: &mut Vec<Action>) {
    for (statement, sent) in world.under_way.iter().enumerate() {
        let is_frozen = sent
            .awaited_by
            .is_some_and(|worker| world.workers[worker].is_frozen);
        if !is_frozen {
            actions.push(Action::Carry { statement });
        }
        if sent.awaited_by.is_some() && (is_frozen || world.mishaps > 0) {
            actions.push(Action::CarryUnheard { statement });
        }
        if sent.awaited_by.is_none() {
            actions.push(Action::RollBack { statement });
        }
    }
}

fn process_actions(world: &World, actions: &mut Vec<Action>) {
    for (process, row) in world.processes.iter().enumerate() {
        if row.is_rescued {
            continue;
        }
        if !row.is_heard {
            actions.push(Action::Rescue { process });
            continue;
        }
        let is_well = world
            .workers
            .iter()
            .any(|worker| worker.process == process && !worker.is_frozen);
        if !is_well || world.mishaps > 0 {
            actions.push(Action::Silence { process });
        }
    }
}

fn run_actions(world: &World, run: usize, actions: &mut Vec<Action>) {
    let row = &world.runs[run];
    let mishap = world.mishaps > 0;
    if mishap && !row.has_ended() && !row.is_cancel_asked {
        actions.push(Action::Cancel { run });
    }
    match row.place {
        Place::Ended(_) | Place::Running => return,
        Place::Waiting(_) => actions.push(Action::EndWait { run }),
        Place::Blocked => {
            let is_free = world
                .runs
                .iter()
                .all(|other| other.connection != row.connection || !other.place.holds_gate());
            if is_free {
                actions.push(Action::Promote { run });
            }
        }
        Place::Queued => {}
    }
    if row.is_cancel_asked {
        actions.push(Action::SweepCancelled { run });
    }
    if mishap {
        actions.push(Action::Expire { run });
        if row.place.after(syncline_shared::run::Move::Pause).is_some() {
            actions.push(Action::Pause { run });
        }
    }
}
