//! A network that can break: a TCP proxy between the processes and Postgres whose behaviour a test changes while it runs.
//!
//! A connection that was silent once stays silent for ever, as behind a firewall that has forgotten it: that is the kind that no
//! end of a connection ever tells of. Those that are made after [`Proxy::pass`] are sound.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// Chunks under way in one direction of one connection.
const UNDER_WAY: usize = 64;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Bytes come through this much later, in each direction.
    Pass(Duration),
    /// Connections are closed, new ones refused.
    Cut,
    /// Connections stay open, new ones are accepted, and not a byte comes through.
    HalfOpen,
}

/// State of the network, and the connections that fell silent one by one.
#[derive(Debug, Clone)]
struct Weather {
    mode: Mode,
    silenced: Vec<u16>,
}

/// A proxy on a port of its own. It ends, with its connections, when the value is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port, and passes on to this port of the machine. Must be called within a runtime.
    pub fn start(upstream: u16) -> Self {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let weather = watch::Sender::new(Weather {
            mode: Mode::Pass(Duration::ZERO),
            silenced: Vec::new(),
        });
        let upstream = (Ipv4Addr::LOCALHOST, upstream).into();
        let task = tokio::spawn(accept_on(listener, address, upstream, weather.subscribe()));
        Self {
            address,
            weather,
            task,
        }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// A sound network again.
    pub fn pass(&self) {
        self.set(Mode::Pass(Duration::ZERO));
    }

    /// Every byte takes this much longer, in each direction.
    pub fn delay(&self, by: Duration) {
        self.set(Mode::Pass(by));
    }

    /// Closes all connections and refuses new ones.
    pub fn cut(&self) {
        self.set(Mode::Cut);
    }

    /// Keeps all connections, accepts new ones, and lets nothing through.
    pub fn half_open(&self) {
        self.set(Mode::HalfOpen);
    }

    /// Makes one connection silent: the one whose client, as the server sees it, has this port.
    pub fn silence(&self, client_port: u16) {
        self.weather
            .send_modify(|weather| weather.silenced.push(client_port));
    }

    fn set(&self, mode: Mode) {
        self.weather.send_modify(|weather| weather.mode = mode);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens on an address that another socket may keep, as long as that one does not listen.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

/// Keeps a port from being given to somebody else; whoever connects is refused.
fn keep(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn accept_on(
    mut listener: TcpListener,
    address: SocketAddr,
    upstream: SocketAddr,
    mut weather: watch::Receiver<Weather>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                connections.spawn(carry(client, upstream, weather.clone()));
            },
            ended = until(&mut weather, |weather| weather.mode == Mode::Cut) => {
                if ended.is_none() {
                    return;
                }
                drop(listener);
                connections.shutdown().await;
                let kept = keep(address).unwrap();
                if until(&mut weather, |weather| weather.mode != Mode::Cut).await.is_none() {
                    return;
                }
                listener = listen(address).unwrap();
                drop(kept);
            }
            // What has ended is let go.
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Returns when the weather is so; `None` when there will be none any more.
async fn until(
    weather: &mut watch::Receiver<Weather>,
    is: impl FnMut(&Weather) -> bool,
) -> Option<()> {
    weather.wait_for(is).await.ok().map(drop)
}

/// One connection, until both sides have ended it or its task is aborted.
async fn carry(client: TcpStream, upstream: SocketAddr, weather: watch::Receiver<Weather>) {
    if weather.borrow().mode == Mode::HalfOpen {
        // Held, and never looked at.
        stay_silent(&client).await;
    }
    let Ok(server) = TcpStream::connect(upstream).await else {
        return;
    };
    let Ok(own) = server.local_addr() else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut watched = weather.clone();
    let mut both = pin!(async {
        tokio::try_join!(
            pump(from_client, to_server, weather.clone()),
            pump(from_server, to_client, weather.clone()),
        )
    });
    let fallen_silent = |weather: &Weather| {
        weather.mode == Mode::HalfOpen || weather.silenced.contains(&own.port())
    };
    tokio::select! {
        _ = &mut both => {}
        _ = until(&mut watched, fallen_silent) => stay_silent(&both).await,
    }
}

/// Keeps something, and does nothing with it.
async fn stay_silent<T>(_kept: &T) {
    std::future::pending::<()>().await;
}

/// Copies one direction to its end. Each chunk is passed on as late as the weather had it when it came.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    weather: watch::Receiver<Weather>,
) -> io::Result<()> {
    let (sender, mut chunks) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let read = async move {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = from.read(&mut buffer).await?;
            let delay = match weather.borrow().mode {
                Mode::Pass(delay) => delay,
                Mode::Cut | Mode::HalfOpen => Duration::ZERO,
            };
            let chunk = buffer[..length].to_vec();
            if length == 0 || sender.send((Instant::now() + delay, chunk)).await.is_err() {
                return io::Result::Ok(());
            }
        }
    };
    let write = async move {
        while let Some((due, chunk)) = chunks.recv().await {
            sleep_until(due).await;
            to.write_all(&chunk).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(read, write).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(5);
    const SILENCE: Duration = Duration::from_millis(200);

    /// A server that sends everything back.
    fn echo() -> u16 {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        port
    }

    async fn connect(proxy: &Proxy) -> io::Result<TcpStream> {
        TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).await
    }

    /// What comes back of a word: itself, nothing because it was closed, or `None`: nothing at all for a while.
    async fn say(stream: &mut TcpStream, word: &str) -> Option<String> {
        let _ = stream.write_all(word.as_bytes()).await;
        let mut answer = vec![0; word.len()];
        let heard = timeout(SILENCE, stream.read_exact(&mut answer)).await;
        heard.ok().map(|heard| match heard {
            Ok(_) => String::from_utf8(answer).unwrap(),
            Err(_) => String::new(),
        })
    }

    #[tokio::test]
    async fn a_sound_network_passes_everything_on_and_closes_as_the_client_does() {
        let proxy = Proxy::start(echo());
        let mut stream = connect(&proxy).await.unwrap();
        let sent = vec![7; 3_000_000];
        let (mut read, mut write) = stream.split();
        let write = async {
            write.write_all(&sent).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let mut received = Vec::new();
        let ((), length) = tokio::join!(write, read.read_to_end(&mut received));
        assert_eq!((length.unwrap(), received == sent), (sent.len(), true));
    }

    #[tokio::test]
    async fn a_cut_ends_every_connection_and_refuses_new_ones_until_it_is_mended() {
        let proxy = Proxy::start(echo());
        let mut stream = connect(&proxy).await.unwrap();
        assert_eq!(say(&mut stream, "one").await.as_deref(), Some("one"));
        proxy.cut();
        let mut rest = Vec::new();
        let ended = timeout(SOON, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok() && rest.is_empty(), "it stayed open");
        let refused = timeout(SOON, async { while connect(&proxy).await.is_ok() {} });
        refused.await.unwrap();
        proxy.pass();
        let mended = timeout(SOON, async {
            loop {
                if let Ok(stream) = connect(&proxy).await {
                    return stream;
                }
            }
        });
        let mut stream = mended.await.unwrap();
        assert_eq!(say(&mut stream, "two").await.as_deref(), Some("two"));
    }

    #[tokio::test]
    async fn what_was_half_open_stays_silent_and_what_comes_after_it_is_sound() {
        let proxy = Proxy::start(echo());
        let mut old = connect(&proxy).await.unwrap();
        assert_eq!(say(&mut old, "one").await.as_deref(), Some("one"));
        proxy.half_open();
        let mut new = connect(&proxy).await.unwrap();
        assert_eq!(say(&mut old, "two").await, None);
        assert_eq!(say(&mut new, "three").await, None);
        proxy.pass();
        let mut sound = connect(&proxy).await.unwrap();
        assert_eq!(say(&mut sound, "four").await.as_deref(), Some("four"));
        assert_eq!(say(&mut old, "five").await, None);
        assert_eq!(say(&mut new, "six").await, None);
    }

    #[tokio::test]
    async fn one_connection_of_several_can_be_made_silent() {
        // The server tells each client the port that it sees of it.
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap().port());
        let mut first = connect(&proxy).await.unwrap();
        let (mut first_server, seen) = listener.accept().await.unwrap();
        let mut second = connect(&proxy).await.unwrap();
        let (mut second_server, _) = listener.accept().await.unwrap();
        proxy.silence(seen.port());
        // Silence comes with the next turn of the proxy.
        tokio::time::sleep(SILENCE).await;
        let _ = first_server.write_all(b"x").await;
        second_server.write_all(b"x").await.unwrap();
        let mut byte = [0; 1];
        assert!(timeout(SILENCE, first.read(&mut byte)).await.is_err());
        let heard = timeout(SOON, second.read(&mut byte)).await.unwrap();
        assert_eq!(heard.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_delay_is_felt_in_both_directions() {
        let proxy = Proxy::start(echo());
        let mut stream = connect(&proxy).await.unwrap();
        proxy.delay(Duration::from_millis(50));
        let began = Instant::now();
        assert_eq!(say(&mut stream, "slow").await.as_deref(), Some("slow"));
        assert!(began.elapsed() >= Duration::from_millis(100));
        proxy.pass();
        assert_eq!(say(&mut stream, "fast").await.as_deref(), Some("fast"));
    }
}
