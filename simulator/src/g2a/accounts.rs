//! Who may call: accounts by client id, each with its API key and its own rolling window of calls.
//!
//! Only the key is kept, never the secret it was made from.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::errors::ApiError;
use crate::clock::Moment;
use crate::limits::{CallLimit, RollingWindow};

/// The vendor's public sandbox account: client id, e-mail, and the half of the secret that is written twice.
const SANDBOX: [&str; 3] = [
    "qdaiciDiyMaTjxMt",
    "sandboxapitest@g2a.com",
    "b0d293f6-e1d2-4629-8264-fd63b5af3207",
];
/// Accounts that may be registered; bounds what the referee remembers.
const MOST_ACCOUNTS: usize = 10_000;

/// An account that may call the simulated API.
#[derive(Clone)]
pub struct G2aAccount {
    /// The first half of the Authorization header.
    pub client_id: String,
    /// Enters the API key; matters nowhere else.
    pub email: String,
    /// Enters the API key; never shown.
    pub client_secret: String,
}

impl G2aAccount {
    /// The account that the vendor's documentation gives away for its sandbox.
    pub fn sandbox() -> Self {
        let [client_id, email, half_secret] = SANDBOX;
        Self {
            client_id: client_id.to_owned(),
            email: email.to_owned(),
            client_secret: half_secret.repeat(2),
        }
    }

    /// The second half of the Authorization header: lower hex SHA-256 of client id, e-mail and secret.
    pub fn api_key(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.client_id, &self.email, &self.client_secret] {
            hash.update(part.as_bytes());
        }
        let mut key = String::new();
        for byte in hash.finalize() {
            for nibble in [byte >> 4, byte & 0xF] {
                key.extend(char::from_digit(u32::from(nibble), 16));
            }
        }
        key
    }
}

impl fmt::Debug for G2aAccount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("G2aAccount");
        shown
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

struct Registered {
    api_key: String,
    /// Stands before the platform's limit.
    own_limit: Option<CallLimit>,
    window: RollingWindow,
}

#[derive(Default)]
struct Register {
    accounts: BTreeMap<String, Registered>,
    limit: Option<CallLimit>,
}

/// The registered accounts and the limits on their calls.
pub(crate) struct Accounts(Mutex<Register>);

/// The limits in force, as control shows them.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Limits {
    pub(crate) limit: Option<CallLimit>,
    pub(crate) accounts: BTreeMap<String, CallLimit>,
}

impl Accounts {
    pub(crate) fn new(accounts: &[G2aAccount], limit: Option<CallLimit>) -> Self {
        let this = Self(Mutex::new(Register {
            limit,
            ..Register::default()
        }));
        for account in accounts {
            this.put(account);
        }
        this
    }

    /// Registers an account or replaces its key; false when there are too many already.
    pub(crate) fn put(&self, account: &G2aAccount) -> bool {
        let mut register = self.register();
        let api_key = account.api_key();
        if let Some(known) = register.accounts.get_mut(&account.client_id) {
            known.api_key = api_key;
            return true;
        }
        if register.accounts.len() >= MOST_ACCOUNTS {
            return false;
        }
        let registered = Registered {
            api_key,
            own_limit: None,
            window: RollingWindow::default(),
        };
        register
            .accounts
            .insert(account.client_id.clone(), registered);
        true
    }

    /// Takes an account's access away; false when it was not registered.
    pub(crate) fn remove(&self, client_id: &str) -> bool {
        self.register().accounts.remove(client_id).is_some()
    }

    pub(crate) fn client_ids(&self) -> Vec<String> {
        self.register().accounts.keys().cloned().collect()
    }

    /// Sets or lifts the limit of one account, or the platform's; false when the account is not registered. Windows
    /// begin empty.
    pub(crate) fn limit(&self, client_id: Option<&str>, limit: Option<CallLimit>) -> bool {
        let mut register = self.register();
        if let Some(client_id) = client_id {
            let Some(account) = register.accounts.get_mut(client_id) else {
                return false;
            };
            account.own_limit = limit;
            account.window = RollingWindow::default();
            return true;
        }
        register.limit = limit;
        for account in register.accounts.values_mut() {
            account.window = RollingWindow::default();
        }
        true
    }

    pub(crate) fn limits(&self) -> Limits {
        let register = self.register();
        let own = |(client_id, account): (&String, &Registered)| {
            account.own_limit.map(|limit| (client_id.clone(), limit))
        };
        Limits {
            limit: register.limit,
            accounts: register.accounts.iter().filter_map(own).collect(),
        }
    }

    /// The name under which the referee books a call with this header; unknown clients share one.
    pub(crate) fn referee_key(&self, header: Option<&str>) -> String {
        let Some(header) = header else {
            return "g2a/(no credentials)".to_owned();
        };
        let client_id = header.split(',').next().unwrap_or_default();
        if self.register().accounts.contains_key(client_id) {
            format!("g2a/{client_id}")
        } else {
            "g2a/(unknown client)".to_owned()
        }
    }

    /// Checks the Authorization header and answers with the client id.
    pub(crate) fn authorise(&self, header: Option<&str>) -> Result<String, ApiError> {
        let header = header.ok_or(ApiError::HeaderMissing)?;
        let (client_id, api_key) = header.split_once(", ").ok_or(ApiError::BadCredentials)?;
        let register = self.register();
        let account = register
            .accounts
            .get(client_id)
            .ok_or(ApiError::BadCredentials)?;
        if account.api_key == api_key {
            Ok(client_id.to_owned())
        } else {
            Err(ApiError::BadCredentials)
        }
    }

    /// Counts a call against the account's limit: `Err` is the refusal of a call that is over it.
    pub(crate) fn admit(&self, client_id: &str, arrived: Moment) -> Result<(), ApiError> {
        let mut register = self.register();
        let platform_limit = register.limit;
        let Some(account) = register.accounts.get_mut(client_id) else {
            return Ok(());
        };
        let Some(limit) = account.own_limit.or(platform_limit) else {
            return Ok(());
        };
        if account.window.admit(&limit, arrived.monotonic_us) {
            return Ok(());
        }
        Err(ApiError::TooManyRequests {
            retry_after_s: limit.retry_after_s,
        })
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::clock::testing::ManualClock;

    const SANDBOX_KEY: &str = "74026b3dc2c6db6a30a73e71cdb138b1e1b5eb7a97ced46689e2d28db1050875";

    #[test]
    fn the_api_key_equals_the_vendors_test_vector() {
        assert_eq!(G2aAccount::sandbox().api_key(), SANDBOX_KEY);
    }

    #[test]
    fn the_secret_is_never_shown() {
        let account = G2aAccount::sandbox();
        assert!(!format!("{account:?}").contains(SANDBOX[2]));
    }

    #[test]
    fn only_the_documented_header_lets_a_call_in() {
        let accounts = Accounts::new(&[G2aAccount::sandbox()], None);
        let header = format!("qdaiciDiyMaTjxMt, {SANDBOX_KEY}");
        assert_eq!(
            accounts.authorise(Some(&header)).unwrap(),
            "qdaiciDiyMaTjxMt"
        );
        assert_eq!(accounts.authorise(None), Err(ApiError::HeaderMissing));
        let upper = header.to_uppercase();
        let bearer = format!("Bearer {SANDBOX_KEY}");
        for bad in [
            "",
            "qdaiciDiyMaTjxMt",
            "qdaiciDiyMaTjxMt, 00",
            upper.as_str(),
            bearer.as_str(),
        ] {
            assert_eq!(
                accounts.authorise(Some(bad)),
                Err(ApiError::BadCredentials),
                "{bad}"
            );
        }
        assert!(accounts.remove("qdaiciDiyMaTjxMt"));
        assert_eq!(
            accounts.authorise(Some(&header)),
            Err(ApiError::BadCredentials)
        );
    }

    #[test]
    fn an_accounts_own_limit_stands_before_the_platforms() {
        let other = G2aAccount {
            client_id: "other".to_owned(),
            ..G2aAccount::sandbox()
        };
        let platform = CallLimit {
            calls: 1,
            window_ms: 1_000,
            retry_after_s: None,
        };
        let accounts = Accounts::new(&[G2aAccount::sandbox(), other], Some(platform));
        let own = CallLimit {
            calls: 3,
            window_ms: 1_000,
            retry_after_s: Some(2),
        };
        assert!(accounts.limit(Some("other"), Some(own)));
        assert!(!accounts.limit(Some("nobody"), Some(own)));
        let clock = ManualClock::new();
        let granted = |client: &str| {
            (0..5)
                .filter(|_| accounts.admit(client, clock.now()).is_ok())
                .count()
        };
        assert_eq!((granted("qdaiciDiyMaTjxMt"), granted("other")), (1, 3));
        clock.advance_ms(1_000);
        assert_eq!((granted("qdaiciDiyMaTjxMt"), granted("other")), (1, 3));
        accounts.limit(None, None);
        accounts.limit(Some("other"), None);
        assert_eq!((granted("qdaiciDiyMaTjxMt"), granted("other")), (5, 5));
    }
}
