//! Errors by what happens next: a manifest that cannot be loaded, a config that does not fit, a read
//! that ended early.
//!
//! No message, excerpt or address in here holds a secret: whatever comes from outside passes the
//! redactor of the read first.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// Why a manifest was not loaded: every problem that was found, not only the first.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct LoadErrors {
    /// The platform whose manifest it is.
    pub platform: String,
    /// The problems, in the order of the manifest. Beyond a thousand the last one says how many more there are.
    pub problems: Vec<LoadProblem>,
}

impl fmt::Display for LoadErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        write!(
            formatter,
            "connector \"{}\" was not loaded, {count} {noun}:",
            self.platform
        )?;
        for problem in &self.problems {
            write!(formatter, "\n  {problem}")?;
        }
        Ok(())
    }
}

/// One problem of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LoadProblem {
    /// Where it is, as a JSON pointer into the manifest after references were resolved; empty for
    /// the file as a whole.
    pub path: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl fmt::Display for LoadProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() {
            "/"
        } else {
            &self.path
        };
        write!(formatter, "{path}: {}", self.message)
    }
}

/// One reason why a config does not fit the connector. The value of a secret is never named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// JSON pointer into the config, such as `/client_secret`.
    pub pointer: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pointer = if self.pointer.is_empty() {
            "/"
        } else {
            &self.pointer
        };
        write!(formatter, "{pointer}: {}", self.message)
    }
}

/// What is known about a failure, fit to be stored and shown: secrets are removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// A sentence for people.
    pub message: String,
    /// The HTTP status, if an answer came.
    pub http_status: Option<u16>,
    /// The platform's own code, such as `BR03`, if the body names one.
    pub platform_code: Option<String>,
    /// The beginning of the body, at most 2 kB.
    pub body_excerpt: Option<String>,
    /// The address without its query.
    pub url: Option<String>,
    /// The member of [`ReadLimits`](crate::ReadLimits) that ended the read.
    pub limit: Option<&'static str>,
    /// How often the manifest has the request sent again, if it came to a request.
    pub max_retries: Option<u64>,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        let details: Vec<String> = [
            self.http_status.map(|status| format!("HTTP {status}")),
            self.platform_code
                .as_ref()
                .map(|code| format!("code {code}")),
            self.url.clone(),
        ]
        .into_iter()
        .flatten()
        .collect();
        if details.is_empty() {
            Ok(())
        } else {
            write!(formatter, " ({})", details.join(", "))
        }
    }
}

/// Why a read ended before the stream did. The last [`Position`](crate::Position) that was handed
/// out stands: a new reader can go on from it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The platform's limit is reached. Not a failure of the run: come again later.
    #[error("rate limited: {failure}")]
    RateLimited {
        /// The wait that the platform asked for, if it did.
        retry_after: Option<Duration>,
        /// What is known.
        failure: Box<Failure>,
    },
    /// It may work when tried again.
    #[error("{failure}")]
    Transient {
        /// The wait that the manifest's backoff asks for, when it is too long to be spent in a slot.
        retry_after: Option<Duration>,
        /// What is known.
        failure: Box<Failure>,
    },
    /// The access token has expired: refresh it once, then read again.
    #[error("{failure}")]
    NeedsToken {
        /// What is known.
        failure: Box<Failure>,
    },
    /// A person must act (wrong credentials, missing rights): pause the connection and say so.
    #[error("{failure}")]
    NeedsPerson {
        /// What is known.
        failure: Box<Failure>,
    },
    /// Trying again gives the same answer.
    #[error("{failure}")]
    Permanent {
        /// What is known.
        failure: Box<Failure>,
    },
    /// The platform (or the manifest's paginator) does not accept the position that the read was
    /// to go on from: start the stream again.
    #[error("the position is no longer accepted: {failure}")]
    PositionRefused {
        /// What is known.
        failure: Box<Failure>,
    },
    /// There is nothing to be done for now: the host refused the permit, or the platform still works at a job.
    #[error("waiting: {reason}")]
    Parked {
        /// How long to stay away, as far as is known.
        until_hint: Duration,
        /// The host's sentence, or one of the job.
        reason: String,
    },
    /// The host ended the read.
    #[error("stopped: {reason}")]
    Stopped {
        /// The host's sentence.
        reason: String,
    },
    /// The cancellation token was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl ReadError {
    /// What is known about the failure; `None` for parked, stopped and cancelled reads.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            ReadError::RateLimited { failure, .. }
            | ReadError::Transient { failure, .. }
            | ReadError::NeedsToken { failure }
            | ReadError::NeedsPerson { failure }
            | ReadError::Permanent { failure }
            | ReadError::PositionRefused { failure } => Some(failure),
            ReadError::Parked { .. } | ReadError::Stopped { .. } | ReadError::Cancelled => None,
        }
    }

    /// A stable word for the kind, fit for a database column or a metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            ReadError::RateLimited { .. } => "rate_limited",
            ReadError::Transient { .. } => "transient",
            ReadError::NeedsToken { .. } => "needs_token",
            ReadError::NeedsPerson { .. } => "needs_person",
            ReadError::Permanent { .. } => "permanent",
            ReadError::PositionRefused { .. } => "position_refused",
            ReadError::Parked { .. } => "parked",
            ReadError::Stopped { .. } => "stopped",
            ReadError::Cancelled => "cancelled",
        }
    }

    /// How long to wait before the next try, if anybody said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            ReadError::RateLimited { retry_after, .. }
            | ReadError::Transient { retry_after, .. } => *retry_after,
            ReadError::Parked { until_hint, .. } => Some(*until_hint),
            _ => None,
        }
    }
}
