//! The connector engine: reads HTTP APIs as manifests in the Airbyte CDK's low-code declarative
//! language describe them.
//!
//! [`Connector::load`] turns YAML into a validated connector, or into the list of all its problems.
//! [`Connector::reader`] gives a [`StreamReader`], from which the caller pulls pages. Before each
//! request the reader asks its [`Host`] for a permit; after it, it reports what came back. The engine
//! knows no database and no clock, keeps no budget and no state: a [`Position`] is all that is needed
//! to go on elsewhere.
//!
//! What is supported, and where the behaviour differs from the CDK on purpose, is written in
//! `docs/connectors.md`.

#![warn(missing_docs)]

mod auth;
mod budget;
mod catalog;
mod config;
mod config_rules;
mod connector;
mod decode;
mod error;
mod errors;
mod expr;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod host;
mod http;
mod incremental;
mod job;
mod lint;
mod load;
mod page;
mod paginate;
mod partition;
mod reader;
mod record;
mod redact;
mod request;
mod signals;
mod time;

pub use budget::{BudgetPolicy, BudgetWindow, RequestMatcher, WindowKind};
pub use catalog::{Catalog, CatalogError};
pub use connector::{Connector, CursorInfo, StreamInfo, UnifiedModel};
pub use error::{ConfigProblem, Failure, LoadErrors, LoadProblem, ReadError};
pub use host::{
    BudgetKey, BudgetTold, Host, Outcome, Permit, PermitRequest, Refreshed, Refused, Reported,
    ResponseSignals,
};
pub use http::{AddressPolicy, AddressPolicyError, HttpClient, HttpSettings, HttpSetupError};
pub use lint::{LintReport, LintWarning, lint};
pub use page::{Page, PageSlice, Position, Record, RejectedRecord};
pub use reader::{DataRange, ReadLimits, ReadSettings, SharedReads, StreamReader};
