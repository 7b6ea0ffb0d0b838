//! The check on the standing connection: asked once for each that had to be opened, before anything is written on it.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use syncline_engine::{
    AddressPolicy, Connector, Host, HttpClient, HttpSettings, Outcome, Permit, PermitRequest,
    ReadError, ReadLimits, ReadSettings, Refused, Reported, ResponseSignals, StreamReader,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// What happened, in order.
type Log = Arc<Mutex<Vec<String>>>;

/// A server that keeps its connections open, and reads nothing from a new one until it may.
struct Server {
    address: String,
    /// New connections, to be looked at.
    opened: mpsc::UnboundedReceiver<std::net::TcpStream>,
    may_read: Arc<Notify>,
}

async fn serve(log: Log) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, opened) = mpsc::unbounded_channel();
    let may_read = Arc::new(Notify::new());
    let wait = Arc::clone(&may_read);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let socket = socket.into_std().unwrap();
            sender.send(socket.try_clone().unwrap()).unwrap();
            let mut socket = tokio::net::TcpStream::from_std(socket).unwrap();
            let (log, wait) = (Arc::clone(&log), Arc::clone(&wait));
            tokio::spawn(async move {
                wait.notified().await;
                let mut chunk = [0u8; 4096];
                loop {
                    let read = socket.read(&mut chunk).await.unwrap_or(0);
                    if read == 0 {
                        log.lock().unwrap().push("closed".to_owned());
                        wait.notify_one();
                        return;
                    }
                    log.lock().unwrap().push("request".to_owned());
                    let body = r#"{"rows":[{"id":1},{"id":2}]}"#;
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    socket.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    Server {
        address,
        opened,
        may_read,
    }
}

/// Looks at the connection when it is asked, and answers as it was told.
struct Doorkeeper {
    log: Log,
    opened: tokio::sync::Mutex<mpsc::UnboundedReceiver<std::net::TcpStream>>,
    may_read: Arc<Notify>,
    refusal: Option<Refused>,
    /// How long it takes to answer.
    thinks: Duration,
    outcomes: Mutex<Vec<Outcome>>,
    left_at_once: Mutex<Vec<bool>>,
}

#[async_trait]
impl Host for Doorkeeper {
    async fn permit(&self, request: &PermitRequest) -> Result<Permit, Refused> {
        self.log.lock().unwrap().push("permit".to_owned());
        Ok(Permit::with(request.authority.clone()))
    }

    async fn confirm(&self, permit: &Permit) -> Result<(), Refused> {
        assert!(permit.payload::<String>().is_some());
        let connection = self.opened.lock().await.recv().await.unwrap();
        let nothing = connection.peek(&mut [0]).map_err(|error| error.kind());
        assert_eq!(nothing, Err(ErrorKind::WouldBlock));
        self.log.lock().unwrap().push("confirm".to_owned());
        self.may_read.notify_one();
        tokio::time::sleep(self.thinks).await;
        match &self.refusal {
            None => Ok(()),
            Some(refused) => Err(refused.clone()),
        }
    }

    async fn report(&self, _: Permit, signals: &ResponseSignals) -> Reported {
        self.outcomes.lock().unwrap().push(signals.outcome);
        self.left_at_once.lock().unwrap().push(signals.left_at_once);
        Reported::Noted
    }
}

async fn reader(refusal: Option<Refused>) -> (StreamReader, Arc<Doorkeeper>) {
    reader_by("http", refusal, Duration::ZERO, HttpSettings::default()).await
}

async fn reader_by(
    scheme: &str,
    refusal: Option<Refused>,
    thinks: Duration,
    http: HttpSettings,
) -> (StreamReader, Arc<Doorkeeper>) {
    let log = Log::default();
    let server = serve(Arc::clone(&log)).await;
    let host = Arc::new(Doorkeeper {
        log,
        opened: tokio::sync::Mutex::new(server.opened),
        may_read: server.may_read,
        refusal,
        thinks,
        outcomes: Mutex::default(),
        left_at_once: Mutex::default(),
    });
    let yaml = "
type: DeclarativeSource
check: {type: CheckStream, stream_names: [a]}
streams:
  - name: a
    schema_loader: {type: InlineSchemaLoader, schema: {type: object}}
    retriever:
      requester: {url_base: 'https://h', path: rows}
      record_selector: {extractor: {field_path: [rows]}}
      paginator:
        type: DefaultPaginator
        page_token_option: {type: RequestOption, inject_into: request_parameter, field_name: page}
        pagination_strategy: {type: PageIncrement, page_size: 2}
";
    let http = HttpClient::new(HttpSettings {
        addresses: AddressPolicy::loopback(),
        ..http
    });
    let settings = ReadSettings {
        config: json!({}),
        base_url: Some(format!("{scheme}://{}", server.address)),
        http: http.unwrap(),
        host: Arc::clone(&host) as Arc<dyn Host>,
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
    };
    let connector = Connector::load("demo", yaml).unwrap();
    (connector.reader("a", settings).unwrap(), host)
}

#[tokio::test]
async fn a_new_connection_is_asked_for_once_and_a_kept_one_not_again() {
    let (mut reader, host) = reader(None).await;
    reader.next_page().await.unwrap().unwrap();
    assert_eq!(*host.log.lock().unwrap(), ["permit", "confirm", "request"]);
    // The client's own task puts the connection back.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    reader.next_page().await.unwrap().unwrap();
    assert_eq!(
        *host.log.lock().unwrap(),
        ["permit", "confirm", "request", "permit", "request"]
    );
    assert_eq!(*host.outcomes.lock().unwrap(), [Outcome::Ok, Outcome::Ok]);
    assert_eq!(*host.left_at_once.lock().unwrap(), [false, true]);
}

#[tokio::test]
async fn a_refused_check_sends_nothing_and_ends_the_read_where_it_stands() {
    let until_hint = Duration::from_mins(3);
    let reason = "the budget is used up".to_owned();
    let wait = Refused::Wait {
        until_hint,
        reason: reason.clone(),
    };
    let stop = Refused::Stop {
        reason: reason.clone(),
    };
    let parked = ReadError::Parked {
        until_hint,
        reason: reason.clone(),
    };
    for (refusal, expected) in [(wait, parked), (stop, ReadError::Stopped { reason })] {
        let (mut reader, host) = reader(Some(refusal)).await;
        let error = reader.next_page().await.map(|_| ()).unwrap_err();
        assert_eq!(error, expected);
        // The server says when it has seen the end.
        host.may_read.notified().await;
        assert_eq!(*host.log.lock().unwrap(), ["permit", "confirm", "closed"]);
        assert_eq!(*host.outcomes.lock().unwrap(), [Outcome::Unsent]);
    }
}

#[tokio::test]
async fn what_the_check_takes_is_no_part_of_opening_the_connection() {
    let connect_timeout = Duration::from_millis(500);
    let http = HttpSettings {
        connect_timeout,
        ..HttpSettings::default()
    };
    let (mut reader, host) = reader_by("http", None, connect_timeout * 2, http).await;
    reader.next_page().await.unwrap().unwrap();
    assert_eq!(*host.outcomes.lock().unwrap(), [Outcome::Ok]);
}

#[tokio::test]
async fn a_connection_that_does_not_open_is_not_asked_for() {
    // The server speaks no TLS: the connection is there, but never stands.
    let http = HttpSettings {
        connect_timeout: Duration::from_millis(100),
        ..HttpSettings::default()
    };
    let (mut reader, host) = reader_by("https", None, Duration::ZERO, http).await;
    let error = reader.next_page().await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), "transient");
    let text = error.to_string();
    assert!(text.contains("no connection within 0.1 s"), "{text}");
    let log = host.log.lock().unwrap();
    assert!(log.iter().all(|line| line == "permit"), "{log:?}");
    let outcomes = host.outcomes.lock().unwrap();
    assert!(
        outcomes
            .iter()
            .all(|outcome| *outcome == Outcome::Transport)
    );
}
