//! A simulator on a port of its own, stopped and awaited at the end of the test, and the calls tests make.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::DateTime;
use reqwest::{Client, Method, Response};
use serde_json::Value;
use syncline_simulator::{Clock, G2aAccount, Moment, SimulatorConfig, SystemClock, run_with_clock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) struct Simulator {
    pub(crate) address: SocketAddr,
    pub(crate) client: Client,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Simulator {
    pub(crate) async fn start(config: SimulatorConfig) -> Self {
        Self::start_with_clock(config, Arc::new(SystemClock::start())).await
    }

    async fn start_with_clock(config: SimulatorConfig, clock: Arc<dyn Clock>) -> Self {
        // Fails when another test was first, which is as good.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let running = tokio::spawn(run_with_clock(config, clock, listener, stopped));
        let client = Client::builder().no_proxy().build().unwrap();
        Self {
            address,
            client,
            stop,
            running,
        }
    }

    /// A small catalogue: 95 products in stock on 5 pages, 5 hidden.
    pub(crate) async fn small() -> Self {
        Self::small_with_clock(Arc::new(SystemClock::start())).await
    }

    /// The same with a clock that the test moves.
    pub(crate) async fn small_with_clock(clock: Arc<dyn Clock>) -> Self {
        let mut config = SimulatorConfig::default();
        config.g2a.products = 95;
        config.g2a.out_of_stock = 5;
        Self::start_with_clock(config, clock).await
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
    }

    /// Asks it to stop, without waiting.
    pub(crate) fn begin_stop(&self) {
        self.stop.cancel();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn list(&self, query: &str) -> reqwest::Result<Response> {
        let url = self.url(&format!("/g2a/v1/products?{query}"));
        self.client
            .get(url)
            .header("authorization", authorization())
            .send()
            .await
    }

    pub(crate) async fn page(&self, query: &str) -> Value {
        let response = self.list(query).await.unwrap();
        assert_eq!(response.status(), 200, "{query}");
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    pub(crate) async fn control(&self, method: Method, path: &str, body: &str) -> (u16, Value) {
        let request = self
            .client
            .request(method, self.url(path))
            .body(body.to_owned());
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (
            status,
            serde_json::from_slice(&response.bytes().await.unwrap()).unwrap(),
        )
    }

    pub(crate) async fn faults(&self, body: &str) {
        let (status, answer) = self
            .control(Method::PUT, "/_control/g2a/faults", body)
            .await;
        assert_eq!(status, 200, "{answer}");
    }

    pub(crate) async fn referee(&self) -> Value {
        let key = "g2a%2FqdaiciDiyMaTjxMt";
        let path = format!("/_control/referee?key={key}&window_ms=60000");
        self.control(Method::GET, &path, "").await.1
    }

    pub(crate) async fn truth(&self) -> Vec<String> {
        let url = self.url("/_control/g2a/truth");
        let bytes = self
            .client
            .get(url)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Sends one request over a connection of its own and reads until its end: the bytes, and how it ended.
    pub(crate) async fn raw(&self, query: &str) -> (Vec<u8>, std::io::Result<()>) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "GET /g2a/v1/products?{query} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\nauthorization: {}\r\n\r\n",
            authorization()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut received = Vec::new();
        let ended = stream.read_to_end(&mut received).await;
        (received, ended.map(|_| ()))
    }
}

/// A clock that stands still until a test moves it.
#[derive(Default)]
pub(crate) struct ManualTime(AtomicU64);

impl ManualTime {
    pub(crate) fn advance_ms(&self, ms: u64) {
        self.0.fetch_add(ms * 1_000, Ordering::Relaxed);
    }
}

impl Clock for ManualTime {
    fn now(&self) -> Moment {
        let monotonic_us = self.0.load(Ordering::Relaxed);
        let wall = DateTime::from_timestamp_micros(i64::try_from(monotonic_us).unwrap());
        Moment {
            monotonic_us,
            wall: wall.unwrap(),
        }
    }
}

pub(crate) fn authorization() -> String {
    let account = G2aAccount::sandbox();
    format!("{}, {}", account.client_id, account.api_key())
}

/// The parts of a raw answer: head, announced length, body.
pub(crate) fn split(answer: &[u8]) -> (String, usize, Vec<u8>) {
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(answer[..end].to_vec())
        .unwrap()
        .to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap();
    (
        head.clone(),
        length.parse().unwrap(),
        answer[end + 4..].to_vec(),
    )
}
