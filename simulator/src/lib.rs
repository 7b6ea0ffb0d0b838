//! An honest stand-in for the platforms' APIs, for demo and tests, and the referee that counts calls.
//!
//! It depends on nothing of the product and shares no code with the engine, or both would make the same mistake.
//! A platform is one module with its limits as data; everything it serves follows from the seed. Faults are
//! switched on at run time, and `GET /_control` lists every endpoint. Memory stays flat: products are rendered when
//! they are asked for, and the referee's timeline is capped while its counts stay exact.
//!
//! ```no_run
//! # async fn demo() -> anyhow::Result<()> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
//! syncline_simulator::run(syncline_simulator::SimulatorConfig::default(), listener, stop).await
//! # }
//! ```

mod clock;
mod control;
mod faults;
mod feed;
mod g2a;
mod limits;
mod proxy;
mod referee;
mod seeded;
mod wire;

use std::future::{Future, IntoFuture};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::clock::{Clock, Moment, SystemClock};
pub use self::faults::{FAULTS, Fault, FaultSettings, Switch, Trigger};
use self::feed::Feed;
pub use self::feed::{
    FeedAccount, FeedConfig, FeedLimit, FeedPoints, FeedSettings, Refusal, Tell, Unavailable,
    WindowLimit,
};
use self::g2a::G2a;
pub use self::g2a::{G2aAccount, G2aConfig};
pub use self::limits::{CallLimit, Counted};
use self::referee::Referee;
use self::wire::{Wire, WireListener};

/// How long open connections may take to finish after the stop.
const GRACE: Duration = Duration::from_secs(5);

/// What the simulator starts with.
#[derive(Clone, Debug)]
pub struct SimulatorConfig {
    /// Decides every record; the same seed serves the same bytes.
    pub seed: u64,
    /// Calls, of all keys together, that the referee's timeline keeps (about 150 bytes each). Counts stay exact
    /// beyond it.
    pub timeline_cap: usize,
    /// The simulated G2A.
    pub g2a: G2aConfig,
    /// The simulated feed.
    pub feed: FeedConfig,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            timeline_cap: 500_000,
            g2a: G2aConfig::default(),
            feed: FeedConfig::default(),
        }
    }
}

/// Serves the platforms on this listener until `stop` completes, then lets running answers finish: delays and
/// dripping bodies are cut short, and 5 s later it returns whatever is still open.
///
/// # Errors
/// When a number of the config is out of its range.
pub async fn run(
    config: SimulatorConfig,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    run_with_clock(config, Arc::new(SystemClock::start()), listener, stop).await
}

/// [`run`] with a clock of the caller's: it stamps calls, fills limit windows and dates changes. Delays are real.
pub async fn run_with_clock(
    config: SimulatorConfig,
    clock: Arc<dyn Clock>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let stopping = CancellationToken::new();
    let address = listener
        .local_addr()
        .context("the simulator's listener has no address")?;
    let routes = routes(&config, clock, &stopping)?;
    tracing::info!(%address, seed = config.seed, "simulator serves on http://{address}");
    let service = routes.into_make_service_with_connect_info::<Wire>();
    let serving = axum::serve(WireListener(listener), service)
        .with_graceful_shutdown(stopping.clone().cancelled_owned())
        .into_future();
    tokio::pin!(serving);
    tokio::select! {
        served = &mut serving => return served.context("the simulator stopped serving"),
        () = stop => {}
    }
    stopping.cancel();
    let Ok(served) = tokio::time::timeout(GRACE, serving).await else {
        tracing::warn!("simulator left connections open that did not end within {GRACE:?}");
        return Ok(());
    };
    served.context("the simulator stopped serving")
}

fn routes(
    config: &SimulatorConfig,
    clock: Arc<dyn Clock>,
    stopping: &CancellationToken,
) -> anyhow::Result<Router> {
    let referee = Arc::new(Referee::new(Arc::clone(&clock), config.timeline_cap));
    let g2a = G2a::new(
        config.seed,
        &config.g2a,
        clock,
        Arc::clone(&referee),
        stopping.clone(),
    )?;
    let g2a = Arc::new(g2a);
    let feed = Feed::new(
        config.seed,
        &config.feed,
        Arc::clone(&referee),
        stopping.clone(),
    )?;
    let feed = Arc::new(feed);
    Ok(control::routes(referee)
        .merge(g2a::control_routes(Arc::clone(&g2a)))
        .merge(g2a::routes(g2a))
        .merge(feed::control_routes(Arc::clone(&feed)))
        .merge(feed::routes(feed))
        .fallback(control::unknown_path)
        .method_not_allowed_fallback(control::wrong_method))
}
