//! A server that answers many requests at once, in any order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use syncline_engine::{Page, ReadError, StreamReader};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// It keeps connections open and answers each request after a delay of its own.
pub(crate) struct Shuffled {
    pub(crate) address: String,
    /// The most requests that were under way at once.
    pub(crate) most: Arc<AtomicUsize>,
    pub(crate) targets: Arc<Mutex<Vec<String>>>,
}

/// The number behind this name in a target, or at the end of the text behind it; 0 if there is none.
pub(crate) fn number(target: &str, name: &str) -> u64 {
    let value = target
        .split(['?', '&'])
        .find_map(|part| part.strip_prefix(name));
    value
        .and_then(|value| value.rsplit('-').next()?.parse().ok())
        .unwrap_or(0)
}

/// `answer` gives status and body; a delay of milliseconds comes from `delay`.
pub(crate) async fn shuffled(
    delay: impl Fn(&str) -> u64 + Send + Sync + 'static,
    answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static,
) -> Shuffled {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (most, now): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
    let targets: Arc<Mutex<Vec<String>>> = Arc::default();
    let (seen, asked) = (Arc::clone(&most), Arc::clone(&targets));
    let rule = Arc::new((delay, answer));
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (seen, now, asked) = (Arc::clone(&seen), Arc::clone(&now), Arc::clone(&asked));
            let rule = Arc::clone(&rule);
            tokio::spawn(async move {
                let mut buffer = vec![0; 8192];
                loop {
                    let Ok(read @ 1..) = socket.read(&mut buffer).await else {
                        return;
                    };
                    let head = String::from_utf8_lossy(&buffer[..read]).into_owned();
                    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    asked.lock().unwrap().push(target.clone());
                    seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(rule.0(&target))).await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    let (status, body) = rule.1(&target);
                    let answer = format!(
                        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    if socket.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    Shuffled {
        address,
        most,
        targets,
    }
}

/// All pages of a read that is asked again after each failure which time may heal, and how many of those there were.
pub(crate) async fn all_in_the_end(reader: &mut StreamReader) -> (Vec<Page>, usize) {
    let mut pages = Vec::new();
    let mut failures = 0;
    loop {
        match reader.next_page().await {
            Ok(Some(page)) => pages.push(page),
            Ok(None) => return (pages, failures),
            Err(error) => {
                assert!(matches!(error, ReadError::Transient { .. }), "{error}");
                failures += 1;
            }
        }
    }
}
