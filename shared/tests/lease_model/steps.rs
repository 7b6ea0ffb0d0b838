//! What each event does. The database's part mirrors `db::run` and `db::process`, the workers' part `worker::attempt` and
//! `worker::queue`.

use syncline_shared::run::{
    AfterFailure, FailureKind, Move, Outcome, Place, ReadBack, RetryPolicy, WaitReason,
    after_failure, read_back,
};

use crate::action::{Action, Reason};
use crate::model::Rules;
use crate::world::{Doing, End, Held, Order, Process, Statement, World};

/// A run ends at its second failure in a row.
const POLICY: RetryPolicy = RetryPolicy {
    base_seconds: None,
    factor: None,
    cap_seconds: None,
    jitter: None,
    max_failures: Some(2),
};

/// How a run goes on after a failure.
fn end_after(kind: FailureKind, failures: i32) -> End {
    match after_failure(&POLICY, kind, failures, None, 0.5) {
        AfterFailure::Again => End::Back,
        AfterFailure::After(_) => End::Wait(WaitReason::Backoff),
        AfterFailure::End => End::Finish(Outcome::Failed),
    }
}

impl World {
    pub(crate) fn happen(&mut self, rules: Rules, action: Action) {
        match action {
            Action::Claim { worker, run } => {
                if self.claim(rules, worker, run) {
                    self.hold(worker, run);
                }
            }
            Action::ClaimUnheard { worker, run } => {
                self.mishaps -= 1;
                if self.claim(rules, worker, run) {
                    self.workers[worker].unheard[run] = true;
                }
            }
            Action::Adopt { worker, run } => {
                self.workers[worker].unheard[run] = false;
                self.hold(worker, run);
            }
            Action::Write { worker } => self.send_write(worker),
            Action::Stop { worker, reason } => self.stop(worker, reason),
            Action::Repeat { worker } => {
                if let Some(Doing::Repeating { end, failures }) = self.doing(worker) {
                    self.send_end(worker, end, failures);
                }
            }
            Action::ReadBack { worker } => self.look_back(rules, worker),
            Action::Carry { statement } => self.carry(rules, statement),
            Action::CarryUnheard { statement } => self.carry_unheard(rules, statement),
            Action::Disconnect { worker } => {
                self.mishaps -= 1;
                self.doubt(worker);
            }
            Action::GiveUp { worker } => {
                self.mishaps -= 1;
                self.forget_answers(worker);
                if let Some(held) = self.workers[worker].held {
                    self.send_end(worker, End::Wait(WaitReason::Backoff), held.failures + 1);
                }
            }
            Action::RollBack { statement } => {
                self.under_way.remove(statement);
            }
            Action::Freeze { worker } => {
                self.mishaps -= 1;
                self.workers[worker].is_frozen = true;
            }
            Action::Thaw { worker } => self.workers[worker].is_frozen = false,
            Action::Kill { worker } => {
                self.mishaps -= 1;
                self.begin_anew(worker);
            }
            Action::Silence { process } => self.fall_silent(process),
            Action::Beat { worker } => self.beat(worker),
            Action::Rescue { process } => self.rescue(rules, process),
            Action::Cancel { run } => {
                self.mishaps -= 1;
                let row = &mut self.runs[run];
                row.is_cancel_asked = true;
                if !row.place.is_leased() {
                    row.make(Move::Cancel);
                }
            }
            Action::SweepCancelled { run } => self.runs[run].make(Move::Cancel),
            Action::Expire { run } => {
                self.mishaps -= 1;
                self.runs[run].make(Move::Expire);
            }
            Action::Pause { run } => {
                self.mishaps -= 1;
                self.runs[run].make(Move::Pause);
            }
            Action::EndWait { run } => {
                let row = &mut self.runs[run];
                let by_event = matches!(
                    row.place,
                    Place::Waiting(WaitReason::Pause | WaitReason::Dependency)
                );
                row.make(if by_event { Move::Resume } else { Move::Due });
            }
            Action::Promote { run } => self.runs[run].make(Move::Promote),
        }
    }

    // The database's part.

    /// Locks the process's row; a rescued process claims nothing.
    fn claim(&mut self, rules: Rules, worker: usize, run: usize) -> bool {
        let process = self.workers[worker].process;
        if rules.process && self.processes[process].is_rescued {
            return false;
        }
        let row = &mut self.runs[run];
        row.make(Move::Claim);
        row.token += 1;
        row.owner = Some(process);
        row.open += 1;
        true
    }

    /// True if it was accepted.
    fn carry_out(&mut self, rules: Rules, statement: Statement) -> bool {
        match statement.order {
            Order::Write { sequence } => {
                let row = &mut self.runs[statement.run];
                let hits = !row.has_ended()
                    && (row.token == statement.token || !rules.token)
                    && (row.sequence == sequence - 1 || !rules.sequence);
                if hits {
                    row.is_late_write_accepted |= row.is_closed(statement.token);
                    if let Some(page) = usize::try_from(sequence - 1)
                        .ok()
                        .and_then(|page| row.written.get_mut(page))
                    {
                        *page += 1;
                    }
                    row.sequence = sequence;
                    row.failures = 0;
                }
                hits
            }
            Order::End { end, failures } => {
                self.end(rules, statement.run, statement.token, end, failures)
            }
        }
    }

    /// True if it was accepted, now or before.
    fn end(&mut self, rules: Rules, run: usize, token: u8, end: End, failures: i32) -> bool {
        let row = &self.runs[run];
        let hits = !row.has_ended() && (row.token == token || !rules.token);
        if !hits {
            return row.closed.contains(&(token, end));
        }
        let is_urgent_behind = self.runs.iter().any(|other| {
            other.connection == row.connection
                && other.place == Place::Blocked
                && other.priority < row.priority
        });
        let row = &mut self.runs[run];
        row.is_late_write_accepted |= row.is_closed(token);
        row.closed.push((token, end));
        row.open -= 1;
        row.failures = failures;
        row.make(match end {
            End::Finish(outcome) => Move::Finish(outcome),
            End::Wait(reason) => Move::Wait(reason),
            End::Back if is_urgent_behind => Move::GiveWay,
            End::Back => Move::HandBack,
        });
        true
    }

    /// One transaction: the mark, and the hand-back of all runs.
    fn rescue(&mut self, rules: Rules, process: usize) {
        self.processes[process].is_rescued = true;
        for run in 0..self.runs.len() {
            let row = &self.runs[run];
            if row.owner == Some(process) {
                let failures = row.failures + 1;
                let (token, end) = (row.token, end_after(FailureKind::Lost, failures));
                self.end(rules, run, token, end, failures);
            }
        }
    }

    fn fall_silent(&mut self, process: usize) {
        let is_well = self
            .workers
            .iter()
            .any(|worker| worker.process == process && !worker.is_frozen);
        self.mishaps -= u8::from(is_well);
        self.processes[process].is_heard = false;
    }

    // The workers' part.

    fn doing(&self, worker: usize) -> Option<Doing> {
        self.workers[worker].held.map(|held| held.doing)
    }

    fn hold(&mut self, worker: usize, run: usize) {
        let row = &self.runs[run];
        self.workers[worker].held = Some(Held {
            run,
            token: row.token,
            sequence: row.sequence,
            failures: row.failures,
            doing: Doing::Working,
        });
    }

    fn send(&mut self, worker: usize, order: Order, doing: Doing) {
        if let Some(held) = &mut self.workers[worker].held {
            held.doing = doing;
            self.under_way.push(Statement {
                run: held.run,
                token: held.token,
                order,
                awaited_by: Some(worker),
            });
        }
    }

    fn send_write(&mut self, worker: usize) {
        if let Some(held) = self.workers[worker].held {
            let sequence = held.sequence + 1;
            self.send(worker, Order::Write { sequence }, Doing::Writing);
        }
    }

    fn send_end(&mut self, worker: usize, end: End, failures: i32) {
        let order = Order::End { end, failures };
        self.send(worker, order, Doing::Ending { end, failures });
    }

    fn stop(&mut self, worker: usize, reason: Reason) {
        let Some(held) = self.workers[worker].held else {
            return;
        };
        let (end, failures) = match reason {
            Reason::Done => (End::Finish(Outcome::Succeeded), held.failures),
            Reason::Cancelled => (End::Finish(Outcome::Cancelled), held.failures),
            Reason::Failure => {
                let failures = held.failures + 1;
                (end_after(FailureKind::Transient, failures), failures)
            }
            Reason::Limit => (End::Wait(WaitReason::Limit), held.failures),
            Reason::Pause => (End::Wait(WaitReason::Pause), held.failures),
            Reason::HandBack => (End::Back, held.failures),
        };
        if !matches!(reason, Reason::Done | Reason::Cancelled) {
            self.mishaps -= 1;
        }
        self.send_end(worker, end, failures);
    }

    fn carry(&mut self, rules: Rules, statement: usize) {
        let statement = self.under_way.remove(statement);
        let accepted = self.carry_out(rules, statement);
        let Some(worker) = statement.awaited_by else {
            return;
        };
        let worker = &mut self.workers[worker];
        match (statement.order, &mut worker.held) {
            (Order::Write { sequence }, Some(held)) if accepted => {
                held.sequence = sequence;
                held.failures = 0;
                held.doing = Doing::Working;
            }
            (Order::Write { .. }, Some(held)) => held.doing = Doing::Doubting { refused: true },
            // Recorded, or known to be somebody else's: nothing is left to do.
            _ => worker.held = None,
        }
    }

    fn carry_unheard(&mut self, rules: Rules, statement: usize) {
        let statement = self.under_way.remove(statement);
        self.carry_out(rules, statement);
        if let Some(worker) = statement.awaited_by {
            self.mishaps -= u8::from(!self.workers[worker].is_frozen);
            self.doubt(worker);
        }
    }

    /// No answer will come to what the worker has sent.
    fn doubt(&mut self, worker: usize) {
        self.forget_answers(worker);
        if let Some(held) = &mut self.workers[worker].held {
            held.doing = match held.doing {
                Doing::Writing => Doing::Doubting { refused: false },
                Doing::Ending { end, failures } => Doing::Repeating { end, failures },
                other => other,
            };
        }
    }

    fn forget_answers(&mut self, worker: usize) {
        for statement in &mut self.under_way {
            if statement.awaited_by == Some(worker) {
                statement.awaited_by = None;
            }
        }
    }

    fn look_back(&mut self, rules: Rules, worker: usize) {
        let taken = &mut self.workers[worker];
        let Some(held) = &mut taken.held else { return };
        let Doing::Doubting { refused } = held.doing else {
            return;
        };
        let row = &self.runs[held.run];
        let found = (!row.has_ended() && row.token == held.token).then_some(row.sequence);
        let known = if rules.read_back {
            read_back(found, held.sequence + 1, refused)
        } else if refused {
            ReadBack::Lost
        } else {
            ReadBack::NotWritten
        };
        match known {
            ReadBack::Written => {
                held.sequence += 1;
                held.failures = 0;
                held.doing = Doing::Working;
            }
            ReadBack::NotWritten => held.doing = Doing::Working,
            ReadBack::Lost => taken.held = None,
        }
    }

    /// A process that hears that it was rescued goes on under a new id.
    fn beat(&mut self, worker: usize) {
        let process = &mut self.processes[self.workers[worker].process];
        if process.is_rescued {
            self.begin_anew(worker);
        } else {
            process.is_heard = true;
        }
    }

    fn begin_anew(&mut self, worker: usize) {
        self.forget_answers(worker);
        self.processes.push(Process::NEW);
        let taken = &mut self.workers[worker];
        taken.process = self.processes.len() - 1;
        taken.is_frozen = false;
        taken.held = None;
        taken.unheard = [false; 2];
    }
}
