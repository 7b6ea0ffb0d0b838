//! A server with canned answers: whole texts, chosen by the request's target.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The server. Its thread ends with the test's process.
#[derive(Debug)]
pub struct Canned {
    address: SocketAddr,
    targets: Arc<Mutex<Vec<String>>>,
}

impl Canned {
    /// Starts a server; `answer` gets the request's target and how often that was asked for before, and gives status, headers
    /// (each with its line end) and body.
    pub fn start(
        answer: impl Fn(&str, usize) -> (u16, &'static str, String) + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let targets: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&targets);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                serve(socket, &log, &answer);
            }
        });
        Self { address, targets }
    }

    /// Where it listens: `http://127.0.0.1:...`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The targets that were asked for, in order.
    pub fn targets(&self) -> Vec<String> {
        self.targets.lock().unwrap().clone()
    }
}

fn serve(
    mut socket: TcpStream,
    log: &Mutex<Vec<String>>,
    answer: &impl Fn(&str, usize) -> (u16, &'static str, String),
) {
    let mut head = Vec::new();
    let mut chunk = [0u8; 4096];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match socket.read(&mut chunk) {
            Ok(read) if read > 0 => head.extend_from_slice(&chunk[..read]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let before = {
        let mut log = log.lock().unwrap();
        let before = log.iter().filter(|known| **known == target).count();
        log.push(target.clone());
        before
    };
    let (status, headers, body) = answer(&target, before);
    let text = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    // A client that has gone away needs no answer.
    let _ = socket.write_all(text.as_bytes());
}
