//! What the engine asks of the program around it: leave to send, and an ear for what came back.
//!
//! The engine calls [`Host::permit`] before every single HTTP request (retries and redirect hops
//! included) and [`Host::report`] after it, whatever happened. Budgets are kept by the host, so that
//! they can be shared by a fleet; the engine only says which budgets a request concerns. Rejected:
//! a limiter inside the engine, because two processes would not see each other.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

/// The program that runs the engine: it keeps the budgets and hears every answer.
#[async_trait]
pub trait Host: Send + Sync {
    /// Asks for leave to send one request. The call may wait for a short time; a long wait is
    /// better answered by [`Refused::Wait`], because the run can then give its slot back.
    async fn permit(&self, request: &PermitRequest) -> Result<Permit, Refused>;

    /// Asks again, once a connection stands that had to be opened first, right before the request is written on it: the permit may
    /// have run out meanwhile, and be renewed.
    async fn confirm(&self, _permit: &Permit) -> Result<(), Refused> {
        Ok(())
    }

    /// Tells what became of the request that `permit` allowed. Called exactly once for each permit,
    /// also after transport errors and cancellation.
    async fn report(&self, permit: Permit, signals: &ResponseSignals) -> Reported;

    /// Asked before a token is refreshed whose refresh replaces the refresh token itself. Answers when nobody else refreshes it, with the
    /// connection's config as it is stored by now; `None` stands for the config that the read was given. [`Host::end_refresh`]
    /// follows, unless the read is dropped.
    ///
    /// A host that keeps no tokens refuses: whoever lets a refresh go on and loses its result locks the connection out.
    async fn begin_refresh(&self) -> Result<Option<Value>, Refused> {
        Err(Refused::Stop {
            reason: "each refresh replaces this connection's refresh token, and this program has no place to keep \
                     the new one"
                .to_owned(),
        })
    }

    /// Random bits, for `generate_uuid()`. `None`: there are none, and the function fails.
    fn random_bits(&self) -> Option<u128> {
        None
    }

    /// The refresh is over. What it gave must be stored for good when this answers: nothing is sent with it before. `None`: the
    /// refresh did not take place, or failed. `Err` says why it could not be stored, and ends the read.
    async fn end_refresh(&self, _refreshed: Option<&Refreshed>) -> Result<(), String> {
        Ok(())
    }
}

/// What a refresh put in place of the config's tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Refreshed {
    /// Where the config has the refresh token: names of members, from the outside in.
    pub refresh_token_path: Vec<String>,
    /// The refresh token that was used. What is stored is to be replaced only while it is still this one.
    pub used: String,
    /// The new values, each with its place in the config.
    pub changes: Vec<(Vec<String>, Value)>,
}

impl Refreshed {
    /// Puts the new values into a config. `Err` says what stands in the way.
    pub fn apply(&self, config: &mut Value) -> Result<(), String> {
        let Value::Object(members) = config else {
            return Err("the config is no mapping".to_owned());
        };
        for (path, value) in &self.changes {
            crate::record::place::set(members, path, value.clone())?;
        }
        Ok(())
    }

    /// The new tokens, without the date of their expiry.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &str> {
        let texts = self.changes.iter().filter_map(|(_, value)| value.as_str());
        texts.filter(|text| crate::time::iso::read(text).is_none())
    }
}

impl std::fmt::Debug for Refreshed {
    /// Leaves the tokens out.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let paths: Vec<&Vec<String>> = self.changes.iter().map(|(path, _)| path).collect();
        formatter
            .debug_struct("Refreshed")
            .field("changes", &paths)
            .finish_non_exhaustive()
    }
}

/// What a host makes of a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reported {
    /// Nothing that the engine need know.
    #[default]
    Noted,
    /// Of a request that was refused since a limit is reached: the budget knows now for how long to wait. The request may be sent
    /// again under a new permit, which waits as long as need be, or is refused.
    AskAgain,
}

/// One request that is about to be sent.
#[derive(Debug, Clone)]
pub struct PermitRequest {
    /// The stream that is being read.
    pub stream: String,
    /// The HTTP method, in upper case.
    pub method: String,
    /// The address without its query, secrets removed.
    pub url: String,
    /// Host and port of the address: what answers, or does not.
    pub authority: String,
    /// The budgets that concern this request: the governing policy's, then those of the additional ones. Empty if the manifest states none.
    pub budgets: Vec<BudgetKey>,
    /// Nobody waits for it yet: it reads ahead, and may be refused by [`Refused::NotAhead`].
    pub ahead: bool,
}

/// One budget that a request draws on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BudgetKey {
    /// Name of the policy: its `x_name`, otherwise `policy-<index>`. Unique within the connector.
    pub policy: String,
    /// The account part of the key, rendered from `x_scope`; empty if the manifest gives none.
    /// A value that holds a secret is replaced by its SHA-256, so that it can be stored.
    pub scope: String,
    /// How many calls this request counts for; at least 1.
    pub weight: u32,
}

/// Leave to send one request. It carries whatever the host wants to see again in its report.
#[derive(Clone, Default)]
pub struct Permit(Option<Arc<dyn Any + Send + Sync>>);

impl Permit {
    /// A permit that carries nothing.
    pub fn empty() -> Permit {
        Permit(None)
    }

    /// A permit that carries `payload` back to [`Host::report`].
    pub fn with<T: Any + Send + Sync>(payload: T) -> Permit {
        Permit(Some(Arc::new(payload)))
    }

    /// The payload, if there is one of this type.
    pub fn payload<T: Any>(&self) -> Option<&T> {
        self.0
            .as_ref()
            .and_then(|payload| payload.downcast_ref::<T>())
    }
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Permit")
    }
}

/// Why a request may not be sent now. Nothing was sent, and the position stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The budget is used up: come again later. The read ends as
    /// [`ReadError::Parked`](crate::ReadError::Parked).
    Wait {
        /// How long to stay away, as far as the host knows.
        until_hint: Duration,
        /// A sentence for people, such as "g2a budget of client abc is used up".
        reason: String,
    },
    /// The run must end here: drain, yield, lost lease. The read ends as
    /// [`ReadError::Stopped`](crate::ReadError::Stopped).
    Stop {
        /// A sentence for people.
        reason: String,
    },
    /// Of a request that reads ahead: not before somebody waits for it. It is asked for again then.
    NotAhead,
}

/// How a request ended, in the words by which a budget is corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The answer is usable, or the manifest says to ignore it.
    Ok,
    /// The platform said that a limit is reached.
    RateLimited,
    /// The platform failed, or its answer could not be read.
    Transient,
    /// The platform refused the request for good, or until a person or a new token helps.
    Refused,
    /// No answer: the connection failed, broke, or timed out.
    Transport,
    /// The run was cancelled while the request was on its way.
    Cancelled,
    /// The request was not sent: [`Host::confirm`] refused it, or its address is none that may be asked.
    Unsent,
}

/// What is known after a request.
#[derive(Debug, Clone)]
pub struct ResponseSignals {
    /// The HTTP status; `None` if no answer came.
    pub status: Option<u16>,
    /// How the request ended.
    pub outcome: Outcome,
    /// True: an open connection took the request right after its permit was there. False: it waited for one, and left at any time before
    /// its answer.
    pub left_at_once: bool,
    /// The wait that the platform asked for, read by the manifest's rules or from `Retry-After`.
    pub retry_after: Option<Duration>,
    /// Headers about limits, names in lower case: `date`, `retry-after`, every name that holds
    /// `ratelimit`, `rate-limit`, `usage` or `quota`, and those the manifest's budget names.
    pub headers: Vec<(String, String)>,
    /// From sending until the body was read, failed, or was given up.
    pub duration: Duration,
    /// Bytes of the body that were read, after decompression.
    pub bytes: u64,
    /// What the platform told of its budgets, in the order of the request's budgets.
    pub told: Vec<BudgetTold>,
}

/// What an answer says of one budget. What is not said is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetTold {
    /// Name of the policy whose budget it speaks of.
    pub policy: String,
    /// Where it was read, for people: `x-app-usage`, `/error/details/0/retryDelay`.
    pub source: String,
    /// No request within this time from now.
    pub wait: Option<Duration>,
    /// Points that the platform's window still gives.
    pub remaining: Option<u64>,
    /// Points that the platform's window gives in all.
    pub limit: Option<u64>,
    /// How much of the platform's window is used: 1.0 is all of it.
    pub used: Option<f64>,
    /// The platform's window begins anew after this time from now.
    pub resets_in: Option<Duration>,
    /// What this request cost in truth, in points.
    pub cost: Option<u32>,
}
