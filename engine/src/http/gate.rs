//! The last look before a request leaves, once its connection stands.
//!
//! A permit is good for a short time, and to open a connection may take longer. Requests that find an open connection are sent at once;
//! those that do not ask again when theirs stands, and are written right after the answer. A request that is opening a connection when
//! another's becomes free takes that one and does not ask, because the client's pool has no place for it: such a wait is no longer than the
//! connect time-out.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use thiserror::Error;
use tower_layer::Layer;
use tower_service::Service;

use crate::host::Refused;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Asks whether the request may still leave.
#[derive(Clone)]
pub(crate) struct Check {
    ask: Arc<dyn Fn() -> BoxFuture<Result<(), Refused>> + Send + Sync>,
    waited: Waited,
}

/// Whether the request found no open connection, and had to wait for one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Waited(Arc<AtomicBool>);

impl Waited {
    pub(crate) fn for_a_connection(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Check {
    pub(crate) fn new<F>(ask: impl Fn() -> F + Send + Sync + 'static) -> Check
    where
        F: Future<Output = Result<(), Refused>> + Send + 'static,
    {
        Check {
            ask: Arc::new(move || Box::pin(ask())),
            waited: Waited::default(),
        }
    }

    /// Tells once the request has been sent.
    pub(crate) fn waited(&self) -> Waited {
        self.waited.clone()
    }

    /// Sends something under this check.
    pub(crate) async fn guard<T>(self, sending: impl Future<Output = T>) -> T {
        CHECK.scope(self, sending).await
    }
}

tokio::task_local! {
    static CHECK: Check;
}

/// The request did not leave.
#[derive(Debug, Clone, Error)]
#[error("the request was not sent: its permit had run out, and there was no other")]
pub(crate) struct Unsent(pub(crate) Refused);

/// No connection within its time.
#[derive(Debug, Clone, Error)]
#[error("no connection within {} s", .0.as_secs_f64())]
struct NotOpened(Duration);

/// Puts the check behind the opening of connections. A connection that nobody waits for any more, because another became free first, is
/// opened without.
#[derive(Debug, Clone)]
pub(crate) struct GateLayer {
    connect_timeout: Duration,
}

#[derive(Debug, Clone)]
pub(crate) struct Gate<S> {
    inner: S,
    connect_timeout: Duration,
}

impl GateLayer {
    /// Connections must open within this time; what the check takes does not count.
    pub(crate) fn new(connect_timeout: Duration) -> GateLayer {
        GateLayer { connect_timeout }
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate {
            inner,
            connect_timeout: self.connect_timeout,
        }
    }
}

impl<S, R> Service<R> for Gate<S>
where
    S: Service<R, Error = BoxError>,
    S::Response: Send,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, target: R) -> Self::Future {
        // Without this the pool had an open connection, which took the request at once.
        let _ = CHECK.try_with(|check| check.waited.0.store(true, Ordering::Relaxed));
        let opening = self.inner.call(target);
        let longest = self.connect_timeout;
        Box::pin(async move {
            let connection = tokio::time::timeout(longest, opening)
                .await
                .map_err(|_| NotOpened(longest))??;
            let asking = CHECK.try_with(|check| (check.ask)());
            if let Ok(asking) = asking {
                asking.await.map_err(Unsent)?;
            }
            Ok(connection)
        })
    }
}
