//! Gives back permits that nobody uses, and tells the database what became of the others while nobody asks for more.

use std::time::Duration;

use syncline_shared::lifecycle::Lifecycle;

use super::Permits;

/// How often.
const EVERY: Duration = Duration::from_millis(200);
/// Permits of which none was used for so long are given back.
const IDLE: Duration = Duration::from_secs(2);

/// Tidies up until the process ends.
pub(crate) async fn keep(permits: Permits, life: Lifecycle) -> anyhow::Result<()> {
    loop {
        let ends = tokio::select! {
            () = tokio::time::sleep(EVERY) => false,
            () = life.stopping().cancelled() => true,
        };
        permits.pass_on().await;
        permits.tidy(IDLE, ends).await;
        if ends {
            return Ok(());
        }
    }
}
