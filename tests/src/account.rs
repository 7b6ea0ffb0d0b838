//! Accounts at the platform, as many as a test asks for.

use crate::Platform;

/// What a connection signs in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Client id.
    pub client_id: String,
    /// E-mail address.
    pub email: String,
    /// Client secret: must appear nowhere.
    pub client_secret: String,
}

impl Account {
    /// The account of a number; 0 is that of [`Platform`].
    pub fn number(number: u32) -> Self {
        if number == 0 {
            return Self {
                client_id: Platform::CLIENT_ID.to_owned(),
                email: Platform::EMAIL.to_owned(),
                client_secret: Platform::CLIENT_SECRET.to_owned(),
            };
        }
        Self {
            client_id: format!("client-{number}"),
            email: format!("client-{number}@example.com"),
            client_secret: format!("secret-of-client-{number}-9d4e7a"),
        }
    }
}
