//! Who may call: accounts by their bearer token, each with a rolling window of calls of its own.

use std::collections::BTreeMap;
use std::fmt;

use crate::clock::Moment;
use crate::limits::{CallLimit, RollingWindow};

/// An account that may call the simulated feed.
#[derive(Clone)]
pub struct FeedAccount {
    /// The referee books its calls under `feed/<name>`.
    pub name: String,
    /// What stands behind `Bearer` in the Authorization header; never shown.
    pub token: String,
}

impl FeedAccount {
    /// The account of demos and tests.
    pub fn demo() -> Self {
        Self {
            name: "demo".to_owned(),
            token: "feed-demo-token-2c7e91".to_owned(),
        }
    }
}

impl fmt::Debug for FeedAccount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("FeedAccount");
        shown.field("name", &self.name).finish_non_exhaustive()
    }
}

/// The accounts and their calls.
pub(super) struct Accounts {
    names_by_token: BTreeMap<String, String>,
    windows: BTreeMap<String, RollingWindow>,
}

impl Accounts {
    pub(super) fn new(accounts: &[FeedAccount]) -> Self {
        Self {
            names_by_token: accounts
                .iter()
                .map(|account| (account.token.clone(), account.name.clone()))
                .collect(),
            windows: BTreeMap::new(),
        }
    }

    /// The account that an Authorization header belongs to.
    pub(super) fn caller(&self, header: Option<&str>) -> Option<String> {
        let token = header?.strip_prefix("Bearer ")?;
        self.names_by_token.get(token).cloned()
    }

    /// Counts a call against the account's limit; false when it is over it.
    pub(super) fn admit(&mut self, account: &str, limit: &CallLimit, at: Moment) -> bool {
        let window = self.windows.entry(account.to_owned()).or_default();
        window.admit(limit, at.monotonic_us)
    }

    /// Empties all windows.
    pub(super) fn forget_calls(&mut self) {
        self.windows.clear();
    }
}
