//! The engine's host: leave for each request, and an ear for each answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use syncline_engine::{
    Connector, Host, Outcome, Permit, PermitRequest, Refused, Reported, ResponseSignals,
};
use syncline_shared::ids::ConnectionId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::meter::Meter;
use crate::budgets::{Answer, Draw, Leave, Overrides, Permits, Turn};
use crate::queue::Held;

/// The host of one attempt.
pub(super) struct AttemptHost {
    pub(super) connector: Connector,
    pub(super) connection: ConnectionId,
    pub(super) limits: Overrides,
    pub(super) turn: Turn,
    pub(super) permits: Permits,
    pub(super) held: Held,
    pub(super) draining: CancellationToken,
    pub(super) meter: Arc<Meter>,
    /// What the last refusal was for.
    pub(super) refused_by: Mutex<Option<String>>,
}

impl AttemptHost {
    /// The budget that the attempt was last refused by, or the host that does not answer.
    pub(super) fn refused_by(&self) -> Option<String> {
        lock(&self.refused_by).clone()
    }

    /// Takes leave for one request, and waits for it in the slot if that is not for long.
    async fn obtain(&self, draw: &Draw) -> Result<Leave, Refused> {
        let began = Instant::now();
        let answer = tokio::select! {
            answer = self.ask(draw) => answer,
            () = self.held.interrupted.cancelled() => Err(stop("the attempt was interrupted")),
        };
        self.meter.waited(began.elapsed());
        answer
    }

    async fn ask(&self, draw: &Draw) -> Result<Leave, Refused> {
        loop {
            if self.draining.is_cancelled() {
                return Err(stop("the worker is draining"));
            }
            if self.held.asked().is_some() {
                return Err(stop("the attempt was asked to end"));
            }
            match self.permits.take(draw, self.turn).await {
                Answer::Granted(leave) => {
                    // Last, since the answer may have taken its time: without a trusted lease nothing is sent.
                    let is_trusted = self.held.clone().trusted().await;
                    if is_trusted && leave.is_valid() {
                        return Ok(leave);
                    }
                    self.permits.unused(&leave);
                    if !is_trusted {
                        return Err(stop("the lease was lost"));
                    }
                }
                Answer::Wait { wait, .. } if wait <= self.permits.patience() => {
                    tokio::select! {
                        () = self.permits.rest(draw, self.turn, wait) => {}
                        () = self.draining.cancelled() => {}
                    }
                    // Others are served before: that is no standstill.
                    self.held.progressed();
                }
                Answer::Wait { wait, key, reason } => {
                    *lock(&self.refused_by) = Some(key);
                    return Err(Refused::Wait {
                        until_hint: wait,
                        reason,
                    });
                }
            }
        }
    }
}

#[async_trait]
impl Host for AttemptHost {
    async fn permit(&self, request: &PermitRequest) -> Result<Permit, Refused> {
        let draw = Draw::of(
            self.connector.platform(),
            request,
            self.connector.budgets(),
            &self.limits,
        );
        self.permits.see(self.connection, &request.stream, &draw);
        let leave = self.obtain(&draw).await?;
        self.held.progressed();
        self.meter.sends(draw.points());
        Ok(Permit::with(Mutex::new(leave)))
    }

    async fn confirm(&self, permit: &Permit) -> Result<(), Refused> {
        let Some(leave) = permit.payload::<Mutex<Leave>>() else {
            return Ok(());
        };
        let draw = {
            let leave = lock(leave);
            if leave.is_valid() {
                return Ok(());
            }
            leave.draw().clone()
        };
        let renewed = self.obtain(&draw).await?;
        let lapsed = std::mem::replace(&mut *lock(leave), renewed);
        self.permits.unused(&lapsed);
        Ok(())
    }

    async fn report(&self, permit: Permit, signals: &ResponseSignals) -> Reported {
        self.held.progressed();
        let Some(leave) = permit.payload::<Mutex<Leave>>() else {
            return Reported::Noted;
        };
        // Nobody else has it any more: it is taken out, so that no lock is held while the database is asked.
        let leave = {
            let mut held = lock(leave);
            let spent = held.spent();
            std::mem::replace(&mut *held, spent)
        };
        if signals.outcome == Outcome::Unsent {
            self.permits.unused(&leave);
            self.meter.did_not_send(leave.draw().points());
            return Reported::Noted;
        }
        // It left before this moment, and before the end of its lease.
        let cost = |policy: &str| {
            let mut told = signals.told.iter().filter(|told| told.policy == policy);
            told.find_map(|told| told.cost).map(i64::from)
        };
        self.permits.sent(&leave, cost);
        self.permits
            .hear_of_host(&leave, self.connector.platform(), signals)
            .await;
        if self.permits.hear_answer(&leave, signals).await {
            Reported::AskAgain
        } else {
            Reported::Noted
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stop(reason: &str) -> Refused {
    Refused::Stop {
        reason: reason.to_owned(),
    }
}
