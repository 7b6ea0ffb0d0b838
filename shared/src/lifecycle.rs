//! Start and stop, the same way for every role.
//!
//! Two tokens: `draining` asks to take on nothing new, reach a checkpoint and hand back the rest; `stopping` ends what is
//! left. The first signal starts the drain; a second one, or the end of the grace time, stops. Every task is tracked, and
//! a process ends when all of them have. A task that fails drains the whole process, which then exits non-zero.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The life of a process, shared by all its tasks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    draining: CancellationToken,
    stopping: CancellationToken,
    tasks: TaskTracker,
    failure: Arc<Mutex<Option<anyhow::Error>>>,
    grace: Duration,
}

impl Lifecycle {
    /// A life whose drain may take `grace`.
    pub fn new(grace: Duration) -> Self {
        let stopping = CancellationToken::new();
        Self {
            draining: stopping.child_token(),
            stopping,
            tasks: TaskTracker::new(),
            failure: Arc::default(),
            grace,
        }
    }

    /// A life within this one: it drains and stops with this one, or before it. Its failure drains both.
    #[must_use]
    pub fn child(&self) -> Self {
        let stopping = self.stopping.child_token();
        let draining = stopping.child_token();
        let parent_draining = self.draining.clone();
        let child = Self {
            draining: draining.clone(),
            stopping,
            tasks: TaskTracker::new(),
            failure: self.failure.clone(),
            grace: self.grace,
        };
        self.tasks.spawn(async move {
            tokio::select! {
                () = parent_draining.cancelled() => draining.cancel(),
                () = draining.cancelled() => {}
            }
        });
        child
    }

    /// Cancelled when the process should take on nothing new.
    pub fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Cancelled when the process should end at once.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Starts a task that belongs to this life. Its error, or its panic, drains the process.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let life = self.clone();
        let work = tokio::spawn(task);
        self.tasks.spawn(async move {
            let problem = match work.await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.context(format!("the {name} task failed")),
                Err(join) => anyhow::anyhow!("the {name} task ended abnormally: {join}"),
            };
            tracing::error!(
                task = name,
                error = format!("{problem:#}"),
                "{problem:#}; draining"
            );
            life.fail(problem);
        });
    }

    /// Starts the drain.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Records why the process cannot go on, and starts the drain.
    pub fn fail(&self, problem: anyhow::Error) {
        if let Ok(mut failure) = self.failure.lock() {
            failure.get_or_insert(problem);
        }
        self.drain();
    }

    /// Waits until the drain has begun and all tasks have ended; stops them when the grace time is over.
    pub async fn finished(&self) -> anyhow::Result<()> {
        self.draining.cancelled().await;
        self.tasks.close();
        tokio::select! {
            () = self.tasks.wait() => {}
            () = self.stopping.cancelled() => {}
            () = tokio::time::sleep(self.grace) => {
                tracing::warn!("tasks are still running {} s into the drain; stopping", self.grace.as_secs());
                self.stopping.cancel();
            }
        }
        // Whoever heeds `stopping` ends within moments; whoever does not is left behind.
        if tokio::time::timeout(Duration::from_secs(5), self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("{} tasks did not stop", self.tasks.len());
        }
        let failure = self
            .failure
            .lock()
            .ok()
            .and_then(|mut failure| failure.take());
        failure.map_or(Ok(()), Err)
    }

    /// Drains at the first SIGTERM or SIGINT and stops at the second.
    pub fn heed_signals(&self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let life = self.clone();
        tokio::spawn(async move {
            for seen in 0..2_u8 {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if seen == 0 {
                    tracing::info!("signal received: draining; a second signal stops at once");
                    life.draining.cancel();
                } else {
                    tracing::warn!("second signal received: stopping at once");
                    life.stopping.cancel();
                }
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failing_task_drains_the_process_and_is_reported() {
        let life = Lifecycle::new(Duration::from_secs(5));
        life.spawn("broken", async { anyhow::bail!("no luck") });
        let error = life.finished().await.expect_err("the failure is reported");
        assert_eq!(format!("{error:#}"), "the broken task failed: no luck");
    }

    #[tokio::test]
    async fn a_child_drains_with_its_parent_but_not_the_other_way_round() {
        let parent = Lifecycle::new(Duration::from_secs(5));
        let child = parent.child();
        let sibling = parent.child();
        child.drain();
        assert!(!parent.draining().is_cancelled());
        assert!(!sibling.draining().is_cancelled());
        parent.drain();
        sibling.draining().cancelled().await;
        parent.finished().await.expect("nothing failed");
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_that_outlast_the_grace_time_are_stopped() {
        let life = Lifecycle::new(Duration::from_secs(30));
        let stopping = life.stopping().clone();
        life.spawn("long", async move {
            stopping.cancelled().await;
            Ok(())
        });
        life.drain();
        life.finished().await.expect("it heeded the stop");
        assert!(life.stopping().is_cancelled());
    }
}
