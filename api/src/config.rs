//! What the API is configured with.

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use syncline_shared::config::{ConnectorsConfig, LeaseConfig, SecretConfig};

/// Shortest secret that signs sessions, in characters.
const MIN_JWT_SECRET_CHARS: usize = 32;

/// Everything the API needs besides a database and an address.
#[derive(Debug, Clone, Args)]
pub struct ApiConfig {
    /// Where the manifests are.
    #[command(flatten)]
    pub connectors: ConnectorsConfig,
    /// The key of stored credentials.
    #[command(flatten)]
    pub secret: SecretConfig,
    /// The key of sessions.
    #[command(flatten)]
    pub sessions: SessionConfig,
    /// How long a process counts as up without a heartbeat.
    #[command(flatten)]
    pub lease: LeaseConfig,
}

/// The key that signs sessions of people who signed in.
#[derive(Debug, Clone, Args)]
pub struct SessionConfig {
    /// Signs the sessions of the web page: at least 32 random characters, the same for all API processes. A new value
    /// signs everybody out.
    #[arg(long, env = "SYNCLINE_JWT_SECRET", hide_env_values = true)]
    pub jwt_secret: SecretString,
}

impl SessionConfig {
    /// The secret, if it is long enough; else a sentence that says what to set.
    pub fn checked(&self) -> anyhow::Result<&SecretString> {
        let length = self.jwt_secret.expose_secret().chars().count();
        anyhow::ensure!(
            length >= MIN_JWT_SECRET_CHARS,
            "SYNCLINE_JWT_SECRET has {length} characters; it needs at least {MIN_JWT_SECRET_CHARS} random ones, \
             for example the output of: openssl rand -base64 32"
        );
        Ok(&self.jwt_secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_session_secret_is_refused_with_advice() {
        let config = SessionConfig {
            jwt_secret: SecretString::from("short"),
        };
        let error = config.checked().expect_err("refused").to_string();
        assert!(error.contains("SYNCLINE_JWT_SECRET") && error.contains("openssl rand"));
        assert!(!error.contains("short"));
    }
}
