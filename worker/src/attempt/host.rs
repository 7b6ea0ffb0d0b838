//! The engine's host: leave for each request, and an ear for each answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use syncline_engine::{
    Connector, Host, Outcome, Permit, PermitRequest, Refreshed, Refused, Reported, ResponseSignals,
};
use syncline_shared::ids::ConnectionId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::meter::Meter;
use super::tokens::{Kept, Tokens, Turn as RefreshTurn};
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
    /// The connection's tokens, where each refresh replaces them.
    pub(super) tokens: Tokens,
}

/// How often an attempt looks whether it may refresh.
const NEXT_LOOK: Duration = Duration::from_millis(200);
/// A database that does not answer for so long ends the wait for a refresh's turn.
const TURN_WITHIN: Duration = Duration::from_secs(10);
/// Tokens that could not be stored for so long are given up, and with them the connection: the platform has replaced the old ones.
const STORED_WITHIN: Duration = Duration::from_mins(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a permit carries: the leave, until it is reported what became of it.
type Handed = Mutex<Option<Leave>>;

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

    /// Takes leave for a request that reads ahead, if nobody has to wait for that.
    async fn obtain_ahead(&self, draw: &Draw) -> Result<Leave, Refused> {
        if self.draining.is_cancelled() || self.held.asked().is_some() {
            return Err(Refused::NotAhead);
        }
        let taken = self.permits.take_ahead(draw, self.turn).await;
        let mut leave = taken.ok_or(Refused::NotAhead)?;
        // Dropped, it is given back.
        let may_leave = self.held.clone().trusted().await && leave.look();
        may_leave
            .then(|| leave.handed_out())
            .ok_or(Refused::NotAhead)
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
                Answer::Granted(mut leave) => {
                    // Last, since the answer may have taken its time: without a trusted lease nothing is sent.
                    let is_trusted = self.held.clone().trusted().await;
                    if is_trusted && leave.look() {
                        return Ok(leave.handed_out());
                    }
                    self.permits.unused(&mut leave);
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
        let leave = if request.ahead {
            self.obtain_ahead(&draw).await?
        } else {
            self.obtain(&draw).await?
        };
        self.held.progressed();
        self.meter.sends(draw.points());
        Ok(Permit::with(Handed::new(Some(leave))))
    }

    async fn confirm(&self, permit: &Permit) -> Result<(), Refused> {
        let Some(handed) = permit.payload::<Handed>() else {
            return Ok(());
        };
        let draw = {
            let mut held = lock(handed);
            let Some(leave) = held.as_mut() else {
                return Err(stop("the request was given up"));
            };
            if leave.look() {
                return Ok(());
            }
            // Nothing has left by it: where requests under way are counted, the next one would wait for this one's end.
            if leave.draw().counts_concurrency() {
                self.permits.unused(leave);
            }
            leave.draw().clone()
        };
        let renewed = self.obtain(&draw).await?;
        let lapsed = lock(handed).replace(renewed);
        if let Some(mut lapsed) = lapsed {
            self.permits.unused(&mut lapsed);
        }
        Ok(())
    }

    async fn report(&self, permit: Permit, signals: &ResponseSignals) -> Reported {
        self.held.progressed();
        // Taken out, so that no lock is held while the database is asked.
        let leave = permit
            .payload::<Handed>()
            .and_then(|handed| lock(handed).take());
        let Some(mut leave) = leave else {
            return Reported::Noted;
        };
        if signals.outcome == Outcome::Unsent {
            self.permits.unused(&mut leave);
            self.meter.did_not_send(leave.draw().points());
            return Reported::Noted;
        }
        let cost = |policy: &str| {
            let mut told = signals.told.iter().filter(|told| told.policy == policy);
            told.find_map(|told| told.cost).map(i64::from)
        };
        let points = leave.draw().points();
        self.meter.cost(points, leave.draw().settled_points(cost));
        self.permits.sent(&mut leave, signals.left_at_once, cost);
        self.permits
            .hear_of_host(&leave, self.connector.platform(), signals)
            .await;
        if self.permits.hear_answer(&leave, signals).await {
            Reported::AskAgain
        } else {
            Reported::Noted
        }
    }

    fn random_bits(&self) -> Option<u128> {
        Some(rand::random())
    }

    async fn begin_refresh(&self) -> Result<Option<Value>, Refused> {
        let began = Instant::now();
        loop {
            if self.draining.is_cancelled() {
                return Err(stop("the worker is draining"));
            }
            if self.held.asked().is_some() || self.held.interrupted.is_cancelled() {
                return Err(stop("the attempt was asked to end"));
            }
            let (patience, reason) = match self.tokens.take_turn().await {
                Ok(RefreshTurn::Ours(config)) => return Ok(Some(config)),
                Ok(RefreshTurn::Taken) => (
                    self.permits.patience(),
                    "another run refreshes the connection's token".to_owned(),
                ),
                Err(error) if error.is_transient() => (TURN_WITHIN, error.to_string()),
                Err(error) => (Duration::ZERO, error.to_string()),
            };
            if began.elapsed() >= patience {
                return Err(Refused::Wait {
                    until_hint: TURN_WITHIN,
                    reason,
                });
            }
            tokio::select! {
                () = tokio::time::sleep(NEXT_LOOK) => {}
                () = self.held.interrupted.cancelled() => {}
            }
            self.held.progressed();
        }
    }

    async fn end_refresh(&self, refreshed: Option<&Refreshed>) -> Result<(), String> {
        let Some(refreshed) = refreshed else {
            if let Err(error) = self.tokens.give_back().await {
                tracing::warn!(
                    "the turn to refresh a token was not given back, it ends by itself: {error}"
                );
            }
            return Ok(());
        };
        // The platform has replaced the old tokens: whatever becomes of the attempt, the new ones are stored.
        let began = Instant::now();
        let mut pause = NEXT_LOOK;
        loop {
            let error = match self.tokens.store(refreshed).await {
                Ok(Kept::Stored) => return Ok(()),
                Ok(Kept::Superseded) => {
                    return Err(
                        "the connection's credentials were changed while its token was refreshed"
                            .to_owned(),
                    );
                }
                Err(error) => error,
            };
            if !error.is_transient() || began.elapsed() >= STORED_WITHIN {
                tracing::error!(
                    connection.id = %self.connection,
                    "the refreshed tokens of connection {} could not be stored and are lost: {error}; set its credentials anew",
                    self.connection
                );
                return Err(format!("the refreshed tokens could not be stored: {error}"));
            }
            self.held.progressed();
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
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

#[cfg(test)]
mod tests;
