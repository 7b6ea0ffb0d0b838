//! The simulator, by its control endpoints: truth, changes, faults, limits, accounts and the referee's books.

use reqwest::{Client, Method};
use serde_json::{Map, Value, json};

use crate::http::{Answer, client};

/// A running simulator.
#[derive(Debug, Clone)]
pub struct Simulator {
    url: String,
    client: Client,
}

impl Simulator {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            client: client(),
        }
    }

    /// What stands in for `https://api.g2a.com/v1`.
    pub fn base_url(&self) -> String {
        format!("{}/g2a/v1", self.url)
    }

    /// Every product, out of stock or not, in id order.
    pub async fn truth(&self) -> Vec<Map<String, Value>> {
        self.lines("/_control/g2a/truth?out_of_stock=true").await
    }

    /// Changes records at the source; answers the ids touched.
    pub async fn change(&self, update: u32, insert: u32, remove: u32) -> Value {
        let change = json!({"update": update, "insert": insert, "remove": remove, "seed": 5});
        self.control(Method::POST, "/_control/g2a/changes", Some(&change))
            .await
    }

    /// Replaces all fault switches.
    pub async fn set_faults(&self, faults: Value) {
        self.control(Method::PUT, "/_control/g2a/faults", Some(&faults))
            .await;
    }

    /// How often a fault has struck.
    pub async fn struck(&self, fault: &str) -> u64 {
        let shown = self
            .control(Method::GET, "/_control/g2a/faults", None)
            .await;
        shown[fault]["struck"]
            .as_u64()
            .unwrap_or_else(|| panic!("no count of {fault}: {shown}"))
    }

    /// Grants every account so many calls in any window of so many milliseconds.
    pub async fn set_limit(&self, calls: u32, window_ms: u32) {
        let limit = json!({"calls": calls, "window_ms": window_ms});
        self.control(Method::PUT, "/_control/g2a/limit", Some(&limit))
            .await;
    }

    /// Lets an account in.
    pub async fn put_account(&self, client_id: &str, email: &str, client_secret: &str) {
        let account =
            json!({"client_id": client_id, "email": email, "client_secret": client_secret});
        self.control(Method::PUT, "/_control/g2a/accounts", Some(&account))
            .await;
    }

    /// Takes an account's access away.
    pub async fn remove_account(&self, client_id: &str) {
        let path = format!("/_control/g2a/accounts/{client_id}");
        self.control(Method::DELETE, &path, None).await;
    }

    /// The referee's books of an account: counts, fullest window of so many milliseconds, timeline.
    pub async fn referee(&self, client_id: &str, window_ms: u32) -> Value {
        let path = format!("/_control/referee?key=g2a/{client_id}&window_ms={window_ms}");
        self.control(Method::GET, &path, None).await
    }

    /// Forgets all calls.
    pub async fn forget_calls(&self) {
        self.control(Method::DELETE, "/_control/referee", None)
            .await;
    }

    /// An answer of JSON lines.
    pub(crate) async fn lines(&self, path: &str) -> Vec<Map<String, Value>> {
        let answer = Answer::to(&self.client, Method::GET, &self.at(path), None, None).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let rows = answer
            .text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        rows.collect()
    }

    pub(crate) async fn control(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        Answer::to(&self.client, method, &self.at(path), None, body)
            .await
            .expect(200)
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}
