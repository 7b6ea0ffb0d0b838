//! Who may call: accounts by their bearer token, each with what it was granted of the limits.

use std::collections::BTreeMap;
use std::fmt;

use super::limits::{FeedLimit, Granted};

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
    granted: BTreeMap<String, Granted>,
}

impl Accounts {
    pub(super) fn new(accounts: &[FeedAccount]) -> Self {
        Self {
            names_by_token: accounts
                .iter()
                .map(|account| (account.token.clone(), account.name.clone()))
                .collect(),
            granted: accounts
                .iter()
                .map(|account| (account.name.clone(), Granted::default()))
                .collect(),
        }
    }

    /// The account that an Authorization header belongs to.
    pub(super) fn caller(&self, header: Option<&str>) -> Option<String> {
        let token = header?.strip_prefix("Bearer ")?;
        self.names_by_token.get(token).cloned()
    }

    /// What an account was granted; `None` when there is no such account.
    pub(super) fn granted(&mut self, account: &str) -> Option<&mut Granted> {
        self.granted.get_mut(account)
    }

    /// The names of all accounts.
    pub(super) fn names(&self) -> Vec<&str> {
        self.granted.keys().map(String::as_str).collect()
    }

    /// Forgets the windows of lengths that no limit has.
    pub(super) fn keep(&mut self, limits: &[FeedLimit]) {
        for granted in self.granted.values_mut() {
            granted.keep(limits);
        }
    }
}
