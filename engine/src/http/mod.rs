//! The way out: one HTTP client for all connectors, which refuses private targets.

mod address_policy;
mod client;
mod gate;

pub use address_policy::{AddressPolicy, AddressPolicyError};
pub(crate) use client::{AnswerHead, HttpAnswer, HttpFailure, HttpRequest, OpenAnswer, Unanswered};
pub use client::{HttpClient, HttpSettings, HttpSetupError};
pub(crate) use gate::Check;
