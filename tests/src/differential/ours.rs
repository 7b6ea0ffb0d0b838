//! Our side: `syncline connector read`.

use tokio::process::Command;

use super::outcome::Outcome;
use super::run;
use super::scenario::Scenario;
use crate::program;

/// Reads a scenario by the program under test.
pub async fn read(scenario: &Scenario) -> Result<(Vec<Outcome>, String), String> {
    let command = || {
        let mut command = Command::new(program::binary());
        command
            .args(["connector", "read", "--json"])
            .env("SYNCLINE_ALLOW_HOSTS", "127.0.0.1");
        command
    };
    run::read(scenario, command).await
}
