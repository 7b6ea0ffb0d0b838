//! Kinds of failure, and what follows from each.

use serde::{Deserialize, Serialize};

use crate::words::words;

words! {
    /// What a failure asks for.
    pub enum FailureKind {
        /// Passes by itself: retried with backoff, counted.
        Transient = "transient",
        /// The platform's limit: waited for, not counted.
        RateLimited = "rate_limited",
        /// A token must be fetched anew, once.
        NeedsToken = "needs_token",
        /// A person must act, for example sign in again: not retried.
        NeedsPerson = "needs_person",
        /// The same request can never succeed: not retried.
        Permanent = "permanent",
        /// The process that ran it fell silent: retried, counted.
        Lost = "lost",
    }
}

/// An error of an attempt, fit to be stored and shown: it holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunError {
    /// What it asks for.
    pub kind: FailureKind,
    /// What happened, and what can be done.
    pub message: String,
    /// The stream it happened in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The platform's HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The platform's own code for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_code: Option<String>,
    /// The start of the platform's answer, redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
}

impl RunError {
    /// An error with nothing but a sentence.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            stream: None,
            http_status: None,
            platform_code: None,
            excerpt: None,
        }
    }
}
