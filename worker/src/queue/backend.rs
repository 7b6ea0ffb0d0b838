//! Syncline's queue as an apalis backend.
//!
//! [`RunSource`] only pops the buffer that the claim task fills, so its error is [`Infallible`] and the apalis worker cannot
//! end because of the database. [`OutcomeLayer`] is the backend's middleware and therefore the outermost layer: it sees the
//! end of every attempt, a panic included, and hands it to the recorder. Waiting for room in the recorder's channel holds
//! the slot, which is the back-pressure wanted.

use std::convert::Infallible;
use std::task::{Context, Poll};

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::error::BoxDynError;
use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::worker::context::WorkerContext;
use futures::future::BoxFuture;
use syncline_shared::db::run::ClaimedRun;
use tokio::sync::mpsc;
use tower::{Layer, Service};
use uuid::Uuid;

use super::AttemptEnd;
use super::buffer::Buffer;
use crate::attempt::abnormal_end;

/// Yields claimed runs.
#[derive(Debug, Clone)]
pub(super) struct RunSource {
    pub(super) buffer: Buffer,
    pub(super) ends: mpsc::Sender<AttemptEnd>,
}

impl Backend for RunSource {
    type Task = Task<ClaimedRun>;
    type Error = Infallible;

    fn poll_ready(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        self.buffer
            .poll_pop(context)
            .map(|run| Some(Ok(TaskBuilder::new(run).build())))
    }

    /// Nothing to close: the claim task hands back what was not begun.
    fn poll_close(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for RunSource {
    type Args = ClaimedRun;
    type Id = Uuid;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = OutcomeLayer;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> OutcomeLayer {
        OutcomeLayer {
            ends: self.ends.clone(),
        }
    }
}

/// Hands the end of each attempt to the recorder.
#[derive(Debug, Clone)]
pub(super) struct OutcomeLayer {
    ends: mpsc::Sender<AttemptEnd>,
}

impl<S> Layer<S> for OutcomeLayer {
    type Service = OutcomeService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OutcomeService {
            inner,
            ends: self.ends.clone(),
        }
    }
}

/// See [`OutcomeLayer`].
#[derive(Debug, Clone)]
pub(super) struct OutcomeService<S> {
    inner: S,
    ends: mpsc::Sender<AttemptEnd>,
}

impl<S> Service<Task<ClaimedRun>> for OutcomeService<S>
where
    S: Service<Task<ClaimedRun>, Response = AttemptEnd, Error = BoxDynError>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = BoxDynError;
    type Future = BoxFuture<'static, Result<(), BoxDynError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, task: Task<ClaimedRun>) -> Self::Future {
        let run = task.args.clone();
        let attempt = self.inner.call(task);
        let ends = self.ends.clone();
        Box::pin(async move {
            let end = attempt
                .await
                .unwrap_or_else(|error| abnormal_end(&run, &error.to_string()));
            // The recorder outlives the worker; were it gone, the lease would lapse and the run be rescued.
            ends.send(end)
                .await
                .map_err(|_| "the recorder has ended".into())
        })
    }
}
