//! Budgets under chaos: many processes draw on one budget while some of them are killed and frozen, and the simulator counts what
//! arrives.
//!
//! What a frozen process was about to send when it was stopped, it sends when it wakes: at most a request for each of its slots. That
//! is the stated residue, and the only one.

use std::ops::Range;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::arrivals::{Breach, Window, breaches, time_of_points};
use crate::database::count;
use crate::random::Random;
use crate::{Cluster, ClusterBuilder, Feed, program, story};

/// Processes.
pub const WORKERS: usize = 8;
/// Runs of each at once.
pub const SLOTS: u16 = 3;
const BUSINESSES: u32 = 4;
/// One for each slot.
const CONNECTIONS: usize = WORKERS * SLOTS as usize;
/// So many of them at least have work left when the calm ends: a few use up any of these budgets.
const UNFINISHED: u64 = 6;
/// Milliseconds that each answer takes.
const DELAY_MS: u32 = 20;
/// Shorter than a lease, and longer: then the process has lost its runs when it wakes.
const FREEZES_MS: [u64; 2] = [1_200, 4_500];

/// A strike takes no longer than this: the longer freeze, and its watch.
const STRIKE_US: u64 = 7_000_000;
/// What was killed is given back and goes on within the lease and a little.
const RECOVERY_US: u64 = 6_000_000;

/// A budget, and how much is drawn from it.
#[derive(Debug, Clone)]
pub struct Shape {
    /// All of them hold.
    pub windows: Vec<Window>,
    /// Pages of each connection.
    pub pages: u32,
    /// Also the list of changes, whose calls cost three points.
    pub weighted: bool,
    /// So often is a process killed or frozen.
    pub strikes: u32,
    /// In the calm after the strikes it is measured how long it takes until so many times the tightest window's points are used.
    pub measured: u64,
}

impl Shape {
    fn limits(&self) -> Value {
        let window = |window: &Window| match window {
            Window::Rolling { limit, ms } => {
                json!({"limit": limit, "per_seconds": ms / 1_000})
            }
            Window::AtOnce { limit } => json!({"limit": limit, "at_once": true}),
        };
        let windows: Vec<_> = self.windows.iter().map(window).collect();
        json!({"points": {"windows": windows}})
    }

    /// Points of a connection's calls.
    fn points_of_a_connection(&self) -> u64 {
        u64::from(self.pages) * if self.weighted { 4 } else { 1 }
    }

    /// The window that gives least in a long time: its points, and its length in microseconds.
    fn tightest(&self) -> (u64, u64) {
        let rolling = self.windows.iter().filter_map(|window| match window {
            Window::Rolling { limit, ms } => Some((*limit, ms * 1_000)),
            Window::AtOnce { .. } => None,
        });
        rolling
            .min_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)))
            .unwrap()
    }

    /// No more points than these can be used within so many microseconds.
    fn most_within(&self, us: u64) -> u64 {
        let (limit, length) = self.tightest();
        limit * (us.div_ceil(length) + 1)
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Played {
    /// Windows that held more than they may, and more than the residue explains.
    pub breaches: Vec<Breach>,
    /// Of the tightest window, how many thousandths were used in the calm, while work waited.
    pub used_permille: u64,
    /// Calls of all connections.
    pub calls: usize,
    /// How many processes were killed.
    pub kills: u32,
    /// How many were frozen.
    pub freezes: u32,
    /// Questions for permits that were refused.
    pub refused: i64,
}

/// A cluster whose workers all draw on one account's budget.
pub fn cluster() -> ClusterBuilder {
    Cluster::builder()
        .workers(WORKERS)
        .slots(SLOTS)
        .connectors(program::checkout().join("tests/connectors"))
}

/// Has all connections synced while processes are killed and frozen.
pub async fn play(cluster: &mut Cluster, shape: &Shape, seed: u64) -> Played {
    let settings = json!({
        "items": shape.pages * Feed::PAGE_SIZE,
        "page_size": Feed::PAGE_SIZE,
        "delay_ms": DELAY_MS,
        "points": {"items": 1, "changes": 3},
    });
    cluster.simulator.set_feed(settings).await;
    for number in 1..=BUSINESSES {
        let business = json!({"key": format!("business-{number}"), "name": "Metered"});
        cluster.api.post("/businesses", business).await.expect(201);
    }
    let mut begun = Begun::default();
    for _ in 1..=CONNECTIONS {
        begun.another(cluster, shape).await;
    }

    let mut chaos = Chaos {
        random: Random::new(seed),
        awake: Vec::new(),
        kills: 0,
        freezes: 0,
    };
    while chaos.kills + chaos.freezes < shape.strikes {
        begun.work_for(cluster, shape, STRIKE_US).await;
        chaos.strike(cluster).await;
    }
    let (_, length) = shape.tightest();
    let rests = RECOVERY_US + length;
    let calm_from = cluster.simulator.feed_now_us().await + rests;
    let needed = rests + shape.measured * length;
    begun.work_for(cluster, shape, needed).await;
    story::wait_until_all_have_ended(cluster, Duration::from_mins(10)).await;
    let stories = story::read_all(cluster).await;
    let problems = story::not_succeeded(&stories);
    assert!(problems.is_empty(), "{problems:#?}");
    judge(cluster, shape, &chaos, calm_from).await
}

/// The connections whose runs have begun.
#[derive(Debug, Default)]
struct Begun {
    connections: u32,
}

impl Begun {
    /// Starts runs until work is left after so many microseconds.
    async fn work_for(&mut self, cluster: &Cluster, shape: &Shape, us: u64) {
        let arrivals = cluster.simulator.feed_arrivals().await;
        let used: u64 = arrivals.iter().map(|arrival| arrival.points).sum();
        let wanted = used + shape.most_within(us) + UNFINISHED * shape.points_of_a_connection();
        while u64::from(self.connections) * shape.points_of_a_connection() < wanted {
            self.another(cluster, shape).await;
        }
    }

    async fn another(&mut self, cluster: &Cluster, shape: &Shape) {
        self.connections += 1;
        let key = format!("metered-{}", self.connections);
        let streams = if shape.weighted {
            json!(["items", "changes"])
        } else {
            json!(["items"])
        };
        let connection = json!({
            "key": key,
            "business": format!("business-{}", self.connections % BUSINESSES + 1),
            "platform": "metered",
            "config": Feed::config(),
            "base_url": cluster.simulator.feed_base_url(),
            "streams": streams,
            "limits": shape.limits(),
        });
        cluster
            .api
            .post("/connections", connection)
            .await
            .expect(201);
        cluster.api.start_run(&key).await;
    }
}

struct Chaos {
    random: Random,
    /// When frozen processes woke, by the simulator's clock: from a little before to a little after.
    awake: Vec<Range<u64>>,
    kills: u32,
    freezes: u32,
}

impl Chaos {
    fn one_of<'l, T>(&mut self, list: &'l [T]) -> &'l T {
        let index = self.random.below(list.len() as u64);
        &list[usize::try_from(index).unwrap()]
    }

    async fn strike(&mut self, cluster: &mut Cluster) {
        let living = cluster.living("worker");
        let victim = self.one_of(&living).clone();
        let kills = if self.kills + self.freezes < 2 {
            self.kills == 0
        } else {
            self.random.below(2) == 0
        };
        if kills {
            cluster.process(&victim).kill_9();
            cluster.begin_another("worker");
            self.kills += 1;
        } else {
            let ms = *self.one_of(&FREEZES_MS);
            cluster.process(&victim).freeze();
            sleep(Duration::from_millis(ms)).await;
            let before = cluster.simulator.feed_now_us().await;
            cluster.process(&victim).thaw();
            let woken = Instant::now();
            while woken.elapsed() < Duration::from_millis(500) {
                sleep(Duration::from_millis(50)).await;
            }
            self.awake
                .push(before..cluster.simulator.feed_now_us().await + 200_000);
            self.freezes += 1;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

async fn judge(cluster: &Cluster, shape: &Shape, chaos: &Chaos, calm_from: u64) -> Played {
    let arrivals = cluster.simulator.feed_arrivals().await;
    let mut found: Vec<Breach> = shape
        .windows
        .iter()
        .flat_map(|window| breaches(&arrivals, *window))
        .collect();
    found.retain(|breach| !is_explained(breach, chaos, shape.weighted));

    let (limit, length) = shape.tightest();
    let took = time_of_points(&arrivals, calm_from, shape.measured * limit);
    let took = took.expect("work is left until the calm is over");
    let used = shape.measured * length * 1_000 / took;
    Played {
        breaches: found,
        used_permille: used,
        calls: arrivals.len(),
        kills: chaos.kills,
        freezes: chaos.freezes,
        refused: count(
            &cluster.pool,
            "select sum(refused)::bigint from syncline.budget",
        )
        .await,
    }
}

/// True if processes that woke within the window sent no more than they were about to send when they were frozen.
fn is_explained(breach: &Breach, chaos: &Chaos, weighted: bool) -> bool {
    let woke = chaos
        .awake
        .iter()
        .filter(|woke| woke.start <= breach.at.end && breach.at.start <= woke.end)
        .count() as u64;
    let (Window::Rolling { limit, .. } | Window::AtOnce { limit }) = breach.window;
    let dearest = if weighted { 3 } else { 1 };
    breach.held <= limit + woke * u64::from(SLOTS) * dearest
}
