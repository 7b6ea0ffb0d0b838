//! Waiting on facts: a short interval, and a maximum so long that reaching it means a fault.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Time between two looks.
const EVERY: Duration = Duration::from_millis(40);
/// Longest wait. Nothing that a test waits for takes nearly as long on a busy machine.
pub const LONGEST: Duration = Duration::from_mins(1);

/// What a look has found.
#[derive(Debug)]
pub enum Look<T> {
    /// What was waited for.
    Done(T),
    /// Not yet; the status is shown if the time runs out.
    NotYet(String),
    /// It will never come.
    Failed(String),
}

impl<T> Look<T> {
    /// Not yet, with this status.
    pub fn not_yet(status: impl Display) -> Self {
        Self::NotYet(status.to_string())
    }

    /// Done when there is something.
    pub fn some(found: Option<T>, status: impl Display) -> Self {
        found.map_or_else(|| Self::not_yet(status), Self::Done)
    }
}

impl Look<()> {
    /// Done when it is true.
    pub fn is(reached: bool, status: impl Display) -> Self {
        if reached {
            Self::Done(())
        } else {
            Self::not_yet(status)
        }
    }
}

/// Looks again and again until the condition is done. Panics when it fails, or after [`LONGEST`], with the last status.
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Look<T>) -> T {
    until_within(what, LONGEST, look).await
}

/// The same with another longest wait, for what takes its time or must not.
pub async fn until_within<T>(
    what: &str,
    longest: Duration,
    mut look: impl AsyncFnMut() -> Look<T>,
) -> T {
    let began = Instant::now();
    loop {
        let status = match look().await {
            Look::Done(found) => return found,
            Look::NotYet(status) => status,
            Look::Failed(reason) => panic!("waiting for {what}: {reason}"),
        };
        assert!(
            began.elapsed() < longest,
            "waiting for {what}: not reached within {} s; last: {status}",
            longest.as_secs()
        );
        sleep(EVERY).await;
    }
}
