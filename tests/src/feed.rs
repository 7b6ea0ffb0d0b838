//! The simulator's feed: its account, its settings and its books.

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::Simulator;

/// The account through which tests sync the feed.
#[derive(Debug, Clone, Copy)]
pub struct Feed;

impl Feed {
    /// The account's name.
    pub const ACCOUNT: &str = "demo";
    /// Its bearer token: must appear nowhere.
    pub const TOKEN: &str = "feed-demo-token-2c7e91";
    /// Items a page.
    pub const PAGE_SIZE: u32 = 10;

    /// What a connection to the feed is configured with.
    pub fn config() -> Value {
        json!({"account": Self::ACCOUNT, "token": Self::TOKEN})
    }
}

impl Simulator {
    /// What stands in for the feed's address.
    pub fn feed_base_url(&self) -> String {
        self.at("/feed/v1")
    }

    /// Replaces all settings of the feed.
    pub async fn set_feed(&self, settings: Value) {
        self.control(Method::PUT, "/_control/feed/settings", Some(&settings))
            .await;
    }

    /// Every item of the feed, in list order.
    pub async fn feed_truth(&self) -> Vec<Map<String, Value>> {
        self.lines("/_control/feed/truth").await
    }

    /// The referee's books of the feed's account, with the fullest window of so many milliseconds.
    pub async fn feed_referee(&self, window_ms: u32) -> Value {
        let key = Feed::ACCOUNT;
        let path = format!("/_control/referee?key=feed/{key}&window_ms={window_ms}");
        self.control(Method::GET, &path, None).await
    }
}

/// A call of the feed's account, as the referee saw it. Moments are microseconds on the simulator's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// When it came in.
    pub at_us: u64,
    /// What it cost.
    pub points: u64,
    /// An HTTP status, `reset`, `abandoned` or `in_flight`.
    pub answer: String,
    /// When it was answered, or its client was seen to be gone.
    pub answered_us: Option<u64>,
}

impl Simulator {
    /// The referee's counts of the feed's account, with the fullest windows of these lengths in milliseconds (`windows`,
    /// in that order) and without a timeline.
    pub async fn feed_windows(&self, windows_ms: &[u32]) -> Value {
        let key = Feed::ACCOUNT;
        let mut path = format!("/_control/referee?key=feed/{key}&timeline=0");
        for window_ms in windows_ms {
            path.push_str(&format!("&window_ms={window_ms}"));
        }
        self.control(Method::GET, &path, None).await
    }

    /// Every call of the feed's account since the books were last emptied, in the order of arrival; panics when the
    /// referee has lost some.
    pub async fn feed_arrivals(&self) -> Vec<Arrival> {
        let answer = self.feed_arrivals_since(0).await;
        assert_eq!(answer["exact"], true, "the timeline is too short");
        let calls = answer["arrivals"].as_array().unwrap();
        calls
            .iter()
            .map(|call| Arrival {
                at_us: call[0].as_u64().unwrap(),
                points: call[1].as_u64().unwrap(),
                answer: call[2]
                    .as_str()
                    .map_or_else(|| call[2].to_string(), str::to_owned),
                answered_us: call[3].as_u64(),
            })
            .collect()
    }

    /// The present microsecond on the clock of the arrivals.
    pub async fn feed_now_us(&self) -> u64 {
        let answer = self.feed_arrivals_since(u64::MAX).await;
        answer["now_us"].as_u64().unwrap()
    }

    async fn feed_arrivals_since(&self, from_us: u64) -> Value {
        let key = Feed::ACCOUNT;
        let path = format!("/_control/referee/arrivals?key=feed/{key}&from_us={from_us}");
        self.control(Method::GET, &path, None).await
    }

    /// Fills the account's windows with calls of somebody else, a point each, which the referee does not count.
    pub async fn call_from_outside(&self, calls: u32) {
        let outside = json!({"account": Feed::ACCOUNT, "calls": calls});
        self.control(Method::POST, "/_control/feed/outside", Some(&outside))
            .await;
    }
}

/// A call of the feed's list of changes, as it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesCall {
    /// The first moment asked for.
    pub since: String,
    /// The last moment asked for.
    pub until: String,
    /// Records before the page.
    pub offset: u64,
    /// Records that it was given.
    pub records: u64,
}

impl Simulator {
    /// Every item as the list of changes has it.
    pub async fn changes_truth(&self) -> Vec<Map<String, Value>> {
        self.lines("/_control/feed/changes").await
    }

    /// Changes `count` items from `first` on at this moment.
    pub async fn touch(&self, first: u32, count: u32, at: &str) {
        let touch = json!({"first": first, "count": count, "at": at});
        self.control(Method::POST, "/_control/feed/changes", Some(&touch))
            .await;
    }

    /// The calls of the list of changes since this was last asked.
    pub async fn take_changes_calls(&self) -> Vec<ChangesCall> {
        let answer = self
            .control(Method::GET, "/_control/feed/changes/calls", None)
            .await;
        let calls = answer["calls"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        calls
            .iter()
            .map(|call| ChangesCall {
                since: text(&call["since"]),
                until: text(&call["until"]),
                offset: call["offset"].as_u64().unwrap(),
                records: call["records"].as_u64().unwrap(),
            })
            .collect()
    }
}
