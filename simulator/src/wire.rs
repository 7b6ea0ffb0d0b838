//! The connections, and answers that go wrong below HTTP.
//!
//! A handler cannot reset a TCP connection through axum, so the listener hands every connection a switch: once
//! thrown, the next write fails, and the socket closes without linger, which the peer sees as a reset. Bodies that
//! end early are streams that fail after a pause for the flush: hyper then closes the connection.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::connect_info::Connected;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::serve::{IncomingStream, Listener};
use futures::stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::faults::BodyFaults;
use crate::seeded::Draw;

/// The switch that resets one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire(Arc<AtomicBool>);

impl Wire {
    /// Makes the next write fail and the connection end in a reset.
    pub(crate) fn reset(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Connected<IncomingStream<'_, WireListener>> for Wire {
    fn connect_info(stream: IncomingStream<'_, WireListener>) -> Self {
        stream.io().wire.clone()
    }
}

/// A TCP listener whose connections carry a [`Wire`].
pub(crate) struct WireListener(pub(crate) TcpListener);

impl Listener for WireListener {
    type Io = WireStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (WireStream, SocketAddr) {
        // axum's own implementation waits out a lack of file descriptors and skips aborted connections.
        let (stream, peer) = Listener::accept(&mut self.0).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "TCP_NODELAY refused for {peer}: answers may lag");
        }
        (
            WireStream {
                stream,
                wire: Wire::default(),
            },
            peer,
        )
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection that can be reset from a handler.
pub(crate) struct WireStream {
    stream: TcpStream,
    wire: Wire,
}

impl WireStream {
    fn is_reset(&self) -> bool {
        self.wire.0.load(Ordering::Acquire)
    }

    fn check(&self) -> io::Result<()> {
        if self.is_reset() {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionReset,
                "reset by a fault switch",
            ));
        }
        Ok(())
    }
}

impl Drop for WireStream {
    fn drop(&mut self) {
        // Without linger the kernel discards what is unsent and closes by RST instead of FIN.
        if self.is_reset()
            && let Err(error) = self.stream.set_zero_linger()
        {
            tracing::warn!(%error, "a fault switch could not reset its connection: {error}");
        }
    }
}

impl AsyncRead for WireStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for WireStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// How a body ends before its announced length.
#[derive(Clone, Copy)]
enum EarlyEnd {
    Close,
    Reset,
}

struct Drip {
    body: Bytes,
    sent: usize,
    chunk: usize,
    pause: Duration,
    early_end: Option<(usize, EarlyEnd)>,
    wire: Wire,
    stopping: CancellationToken,
}

/// Sends a JSON answer, damaged as the faults say.
pub(crate) fn send_json(
    json: Vec<u8>,
    faults: &BodyFaults,
    wire: &Wire,
    stopping: &CancellationToken,
) -> Response {
    let body = match faults.broken {
        Some(draw) => break_json(json, draw),
        None => json,
    };
    let content_type = faults.content_type.as_deref().unwrap_or("application/json");
    let content_type = HeaderValue::from_str(content_type)
        .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"));
    let length = body.len();
    let early_end = match faults.reset_after {
        Some(after) => Some((after.min(length), EarlyEnd::Reset)),
        None => faults.truncated.then_some((length / 2, EarlyEnd::Close)),
    };
    let body = if early_end.is_none() && faults.slow.is_none() {
        Body::from(body)
    } else {
        let (chunk, pause) = faults.slow.unwrap_or((length.max(1), Duration::ZERO));
        let body = Bytes::from(body);
        let (wire, stopping) = (wire.clone(), stopping.clone());
        drip(Drip {
            body,
            sent: 0,
            chunk,
            pause,
            early_end,
            wire,
            stopping,
        })
    };
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_LENGTH, HeaderValue::from(length)),
    ];
    (StatusCode::OK, headers, body).into_response()
}

fn drip(drip: Drip) -> Body {
    Body::from_stream(stream::unfold(drip, |mut drip| async move {
        let piece = drip.next_piece().await?;
        Some((piece, drip))
    }))
}

impl Drip {
    async fn next_piece(&mut self) -> Option<io::Result<Bytes>> {
        if self.sent > 0 && !self.pause.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(self.pause) => {}
                () = self.stopping.cancelled() => {
                    return Some(Err(io::Error::other("the simulator is stopping")));
                }
            }
        }
        let end = self.early_end.map_or(self.body.len(), |(at, _)| at);
        if self.sent < end {
            let upto = self.sent.saturating_add(self.chunk).min(end);
            let piece = self.body.slice(self.sent..upto);
            self.sent = upto;
            return Some(Ok(piece));
        }
        let (_, how) = self.early_end?;
        // hyper flushes what it has when the body is not ready; without this the first part might never leave.
        tokio::task::yield_now().await;
        if let EarlyEnd::Reset = how {
            self.wire.reset();
        }
        Some(Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "cut off by a fault switch",
        )))
    }
}

/// Makes valid JSON invalid: cut off, or mixed with the warning of a careless server.
fn break_json(mut json: Vec<u8>, draw: u64) -> Vec<u8> {
    let mut draw = Draw::keyed(&[draw]);
    let at = 1 + draw.index(json.len().saturating_sub(2));
    if draw.percent(50) {
        json.truncate(at);
        return json;
    }
    let mut mixed =
        b"<br />\n<b>Warning</b>: undefined index in product.php on line 214<br />\n".to_vec();
    mixed.append(&mut json);
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_json_never_parses() {
        for draw in 0..500 {
            let broken = break_json(br#"{"total":1,"docs":[{"id":"7"}]}"#.to_vec(), draw);
            assert!(
                serde_json::from_slice::<serde_json::Value>(&broken).is_err(),
                "{broken:?}"
            );
        }
    }
}
