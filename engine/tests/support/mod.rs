//! A small raw HTTP server and a host that writes everything down.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use syncline_engine::{
    AddressPolicy, Host, HttpClient, HttpSettings, Permit, PermitRequest, ReadLimits, ReadSettings,
    Refused, Reported, ResponseSignals,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// One request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) target: String,
    pub(crate) head: String,
}

/// A server whose answers are whole texts, so that it can also answer wrongly.
pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
}

/// Starts a server; `answer` gets the number of the request (from 0) and its target.
pub(crate) async fn serve(
    answer: impl Fn(usize, &str) -> String + Send + Sync + 'static,
) -> Server {
    serve_bytes(move |index, target| answer(index, target).into_bytes()).await
}

/// As [`serve`], for answers that are no text.
pub(crate) async fn serve_bytes(
    answer: impl Fn(usize, &str) -> Vec<u8> + Send + Sync + 'static,
) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = Vec::new();
            let mut chunk = [0u8; 4096];
            while !is_whole(&head) {
                match socket.read(&mut chunk).await {
                    Ok(read) if read > 0 => head.extend_from_slice(&chunk[..read]),
                    _ => break,
                }
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let index = {
                let mut log = log.lock().unwrap();
                log.push(Seen {
                    target: target.clone(),
                    head,
                });
                log.len() - 1
            };
            let _ = socket.write_all(&answer(index, &target)).await;
            let _ = socket.shutdown().await;
        }
    });
    Server { address, seen }
}

/// Whether a request has arrived with its body.
fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    request.len() >= end + 4 + length
}

impl Server {
    pub(crate) fn targets(&self) -> Vec<String> {
        self.seen
            .lock()
            .unwrap()
            .iter()
            .map(|seen| seen.target.clone())
            .collect()
    }
}

/// A whole answer.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// Grants every permit until it is told otherwise, and keeps what it heard.
#[derive(Default)]
pub(crate) struct Notebook {
    pub(crate) requests: Mutex<Vec<PermitRequest>>,
    pub(crate) signals: Mutex<Vec<ResponseSignals>>,
    pub(crate) refuse_after: Option<usize>,
    /// Nothing may be read ahead.
    pub(crate) nothing_ahead: bool,
}

#[async_trait]
impl Host for Notebook {
    async fn permit(&self, request: &PermitRequest) -> Result<Permit, Refused> {
        let mut requests = self.requests.lock().unwrap();
        if self
            .refuse_after
            .is_some_and(|limit| requests.len() >= limit)
        {
            let until_hint = Duration::from_mins(1);
            return Err(Refused::Wait {
                until_hint,
                reason: "the budget is used up".to_owned(),
            });
        }
        if request.ahead && self.nothing_ahead {
            return Err(Refused::NotAhead);
        }
        requests.push(request.clone());
        Ok(Permit::with(requests.len()))
    }

    async fn report(&self, permit: Permit, signals: &ResponseSignals) -> Reported {
        assert!(permit.payload::<usize>().is_some());
        self.signals.lock().unwrap().push(signals.clone());
        Reported::Noted
    }
}

pub(crate) fn settings(config: Value, base_url: &str, host: Arc<Notebook>) -> ReadSettings {
    let http = HttpClient::new(HttpSettings {
        addresses: AddressPolicy::loopback(),
        ..HttpSettings::default()
    });
    ReadSettings {
        config,
        base_url: Some(base_url.to_owned()),
        http: http.unwrap(),
        host,
        now: chrono::DateTime::UNIX_EPOCH,
        from: None,
        state: None,
        range: None,
        page: None,
        cancel: CancellationToken::new(),
        limits: ReadLimits {
            max_wait_in_slot: Duration::ZERO,
            ..ReadLimits::default()
        },
    }
}
