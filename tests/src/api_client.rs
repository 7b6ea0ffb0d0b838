//! The API as a program uses it, with a look-out for secrets in every answer.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::http::{Answer, client, client_that_sends};
use crate::secrets::Secrets;
use crate::wait::{Look, until};

/// A client with a token, or without.
#[derive(Debug, Clone)]
pub struct ApiClient {
    url: String,
    token: Option<String>,
    client: Client,
    secrets: Secrets,
}

/// Statuses that a run does not leave.
const ENDED: [&str; 4] = ["succeeded", "partial", "failed", "cancelled"];

/// True if the run has ended.
pub fn has_ended(run: &Value) -> bool {
    ENDED.iter().any(|status| run["status"] == *status)
}

impl ApiClient {
    /// A client of the API at this address.
    pub fn new(url: impl Into<String>, token: Option<String>, secrets: Secrets) -> Self {
        Self {
            url: url.into(),
            token,
            client: client(),
            secrets,
        }
    }

    /// The same without, or with another, token.
    #[must_use]
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self {
            token: token.map(str::to_owned),
            ..self.clone()
        }
    }

    /// The same for one request that may have to be sent again: it is carried out once, whatever becomes of its answers.
    #[must_use]
    pub fn for_one_request(&self, key: &str) -> Self {
        let key = HeaderValue::from_str(key).unwrap();
        Self {
            client: client_that_sends(HeaderMap::from_iter([(
                HeaderName::from_static("idempotency-key"),
                key,
            )])),
            ..self.clone()
        }
    }

    /// Looks out for another secret.
    pub fn look_out_for(&mut self, what: &str, word: &str) {
        self.secrets.add(what, word);
    }

    /// Sends any request under the server's root.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let url = format!("{}{path}", self.url);
        let answer = Answer::to(&self.client, method, &url, self.token.as_deref(), body).await;
        self.secrets.refuse(&answer.request, &answer.text);
        answer
    }

    /// GET under `/api/v1`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, &format!("/api/v1{path}"), None)
            .await
    }

    /// POST under `/api/v1`.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, &format!("/api/v1{path}"), Some(&body))
            .await
    }

    /// Starts a run of a connection; answers its id.
    pub async fn start_run(&self, connection: &str) -> String {
        let run = self
            .post("/runs", json!({"connection": connection}))
            .await
            .expect(202);
        run["id"]
            .as_str()
            .unwrap_or_else(|| panic!("no id: {run}"))
            .to_owned()
    }

    /// A run with everything that is known of it.
    pub async fn run(&self, id: &str) -> Value {
        self.get(&format!("/runs/{id}")).await.expect(200)
    }

    /// Waits until a run is in a state that a test looks for. Fails when it ends before.
    pub async fn wait_for_run(
        &self,
        id: &str,
        what: &str,
        reached: impl Fn(&Value) -> bool,
    ) -> Value {
        until(what, async || {
            let run = self.run(id).await;
            if reached(&run) {
                return Look::Done(run);
            }
            if has_ended(&run) {
                return Look::Failed(format!("the run ended before: {run:#}"));
            }
            Look::not_yet(&run)
        })
        .await
    }

    /// Waits until a run has ended, and fails unless it succeeded.
    pub async fn wait_for_success(&self, id: &str) -> Value {
        let run = self.wait_for_run(id, "the run's end", has_ended).await;
        assert_eq!(run["status"], "succeeded", "{run:#}");
        run
    }

    /// All entries of a list, over all its pages.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let link = if path.contains('?') { '&' } else { '?' };
            let page = self
                .get(&format!("{path}{link}limit=200{cursor}"))
                .await
                .expect(200);
            all.extend(page["data"].as_array().cloned().unwrap_or_default());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }
}
