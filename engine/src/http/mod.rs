//! The way out: one HTTP client for all connectors, which refuses private targets.

mod address_policy;
mod client;

pub use address_policy::{AddressPolicy, AddressPolicyError};
pub(crate) use client::{HttpAnswer, HttpFailure, HttpRequest};
pub use client::{HttpClient, HttpSettings, HttpSetupError};
