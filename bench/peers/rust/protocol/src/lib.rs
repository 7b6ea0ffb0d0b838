//! The driver's side of the conversation with `cargo xtask bench-peers`, the same for all peers written in Rust:
//! one command a line on standard input, one JSON object a line on standard output. See bench/README.md.

mod latency;
mod seen;

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

pub use seen::seen;

/// What a peer is and how it is set.
pub struct About {
    /// The version of its library.
    pub version: &'static str,
    /// Whatever was changed from its defaults.
    pub settings: &'static str,
    /// Do finished jobs stay in the database?
    pub keeps_history: bool,
}

/// A job queue under test. Its jobs carry one number, their handlers do nothing but call [`seen`].
pub trait Peer: Sized + Send + Sync + 'static {
    /// Connects to the database at `url`. A peer may be measured in more than one setting, its variants.
    fn connect(url: &str, variant: &str) -> impl Future<Output = anyhow::Result<Self>> + Send;
    fn about(&self) -> About;
    /// Makes the peer's schema in an empty database.
    fn set_up(&self) -> impl Future<Output = anyhow::Result<()>> + Send;
    /// Inserts jobs with the numbers from 0 to `jobs` by the fastest way there is.
    fn enqueue(&self, jobs: u64) -> impl Future<Output = anyhow::Result<()>> + Send;
    /// Inserts one job, as an application does.
    fn send(&self, number: u64) -> impl Future<Output = anyhow::Result<()>> + Send;
    /// Works on jobs until the process ends.
    fn work(&self) -> impl Future<Output = anyhow::Result<()>> + Send;
    /// Is there a job that is not yet durably finished? Asked when all handlers have run.
    fn is_unfinished(&self) -> impl Future<Output = anyhow::Result<bool>> + Send;
}

/// Obeys commands until standard input ends.
pub async fn run<P: Peer>() -> anyhow::Result<()> {
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    let variant = std::env::args().nth(1).unwrap_or_default();
    let peer: &'static P = Box::leak(Box::new(P::connect(&url, &variant).await?));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        answer(&obey(peer, &line).await?);
    }
    // Not by returning, which would wait for the peer's own tasks.
    std::process::exit(0)
}

async fn obey<P: Peer>(peer: &'static P, line: &str) -> anyhow::Result<Value> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["about"] => {
            let about = peer.about();
            Ok(json!({
                "version": about.version,
                "settings": about.settings,
                "keeps_history": about.keeps_history,
            }))
        }
        ["set-up"] => {
            peer.set_up().await?;
            Ok(json!({}))
        }
        ["enqueue", jobs] => {
            let jobs = jobs.parse()?;
            let begun = Instant::now();
            peer.enqueue(jobs).await?;
            Ok(json!({ "seconds": begun.elapsed().as_secs_f64() }))
        }
        ["work"] => {
            work(peer);
            tokio::spawn(seen::report());
            Ok(json!({}))
        }
        ["finish"] => {
            while peer.is_unfinished().await? {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Ok(json!({ "finished_at": seen::now() }))
        }
        ["latency", jobs, per_second] => {
            let jobs = jobs.parse()?;
            latency::prepare(jobs);
            work(peer);
            let samples = latency::measure(peer, jobs, per_second.parse()?).await?;
            Ok(json!({ "samples_ms": samples }))
        }
        _ => bail!("unknown command {line:?}"),
    }
}

/// Works in the background; a worker that ends takes the process with it, since the run would never end.
fn work<P: Peer>(peer: &'static P) {
    tokio::spawn(async {
        let result = peer.work().await;
        eprintln!("the worker ended: {result:?}");
        std::process::exit(1);
    });
}

fn answer(value: &Value) {
    println!("{value}");
}
