//! The engine's host: leave for each request, and an ear for each answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use syncline_engine::{Connector, Host, Outcome, Permit, PermitRequest, Refused, ResponseSignals};
use tokio_util::sync::CancellationToken;

use super::end::UNKNOWN_LIMIT_WAIT;
use super::permits::{Answer, Budgets, Permits};
use crate::queue::Held;

/// Waits up to this are spent in the slot: handing a run back and claiming it again costs about as much.
const WAIT_IN_SLOT: Duration = Duration::from_secs(2);

/// The host of one attempt.
pub(super) struct AttemptHost {
    pub(super) connector: Connector,
    pub(super) limits: Value,
    pub(super) permits: Permits,
    pub(super) held: Held,
    pub(super) draining: CancellationToken,
    pub(super) calls: Arc<AtomicI64>,
}

#[async_trait]
impl Host for AttemptHost {
    async fn permit(&self, request: &PermitRequest) -> Result<Permit, Refused> {
        let platform = self.connector.platform();
        let budgets = Budgets::of(
            platform,
            &request.budgets,
            self.connector.budgets(),
            &self.limits,
        );
        let asking = async {
            loop {
                if self.draining.is_cancelled() {
                    return Err(stop("the worker is draining"));
                }
                if self.held.asked().is_some() {
                    return Err(stop("the attempt was asked to end"));
                }
                match self.permits.ask(&budgets).await {
                    Answer::Granted => break,
                    Answer::Wait { wait, .. } if wait <= WAIT_IN_SLOT => {
                        tokio::select! {
                            () = tokio::time::sleep(wait) => {}
                            () = self.draining.cancelled() => {}
                        }
                    }
                    Answer::Wait { wait, reason } => {
                        return Err(Refused::Wait {
                            until_hint: wait,
                            reason,
                        });
                    }
                }
            }
            // Last, since the answers above may have taken their time: without a trusted lease nothing is sent.
            if self.held.clone().trusted().await {
                Ok(())
            } else {
                Err(stop("the lease was lost"))
            }
        };
        tokio::select! {
            answer = asking => answer?,
            () = self.held.interrupted.cancelled() => return Err(stop("the attempt was interrupted")),
        }
        self.held.progressed();
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(Permit::with(budgets))
    }

    async fn report(&self, permit: Permit, signals: &ResponseSignals) {
        self.held.progressed();
        if signals.outcome != Outcome::RateLimited {
            return;
        }
        let Some(budgets) = permit.into_payload::<Budgets>() else {
            return;
        };
        let wait = signals.retry_after.unwrap_or(UNKNOWN_LIMIT_WAIT);
        let status = signals
            .status
            .map_or_else(String::new, |status| format!("HTTP {status}, "));
        let because = format!(
            "{status}the platform asked to wait {:.1} s",
            wait.as_secs_f64()
        );
        self.permits.pause(&budgets, wait, &because).await;
    }
}

fn stop(reason: &str) -> Refused {
    Refused::Stop {
        reason: reason.to_owned(),
    }
}
