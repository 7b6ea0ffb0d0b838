//! HTTP as a plain client speaks it: no redirects, no proxy, answers kept whole.

use std::sync::Once;

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Method};
use serde_json::Value;

/// A client without a system proxy.
pub fn client() -> Client {
    client_that_sends(HeaderMap::new())
}

/// A client that sends these headers with each request.
pub fn client_that_sends(headers: HeaderMap) -> Client {
    static TLS: Once = Once::new();
    TLS.call_once(|| {
        // An error only says that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    Client::builder()
        .no_proxy()
        .default_headers(headers)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(std::time::Duration::from_secs(90))
        .build()
        .unwrap()
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The request, for messages.
    pub request: String,
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Answer {
    /// Sends a request; panics when there is no answer.
    pub async fn to(
        client: &Client,
        method: Method,
        url: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Self {
        match Self::try_to(client, method.clone(), url, token, body).await {
            Ok(answer) => answer,
            Err(error) => panic!("{method} {url}: no answer: {error:?}"),
        }
    }

    /// Sends a request; the error says why there is no answer.
    pub async fn try_to(
        client: &Client,
        method: Method,
        url: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> reqwest::Result<Self> {
        let mut request = client.request(method.clone(), url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_string());
        }
        let response = request.send().await?;
        Ok(Self {
            request: format!("{method} {url}"),
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await?,
        })
    }

    /// A header's value, empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The body as JSON; numbers keep their digits.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_str(&self.text) {
            Ok(json) => json,
            Err(error) => panic!("{} answers no JSON ({error}): {}", self.request, self.text),
        }
    }

    /// The body as JSON, if the status is the expected one.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(
            self.status, status,
            "{} answers {}: {}",
            self.request, self.status, self.text
        );
        self.json()
    }

    /// The body of a refusal, which must be problem+json of this status.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        let problem = self.expect(status);
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{}",
            self.request
        );
        assert_eq!(
            problem["status"].as_u64(),
            Some(u64::from(status)),
            "{problem}"
        );
        for member in ["type", "title", "detail", "instance", "request_id"] {
            let text = problem[member].as_str().unwrap_or_default();
            assert!(
                !text.is_empty(),
                "{} has no {member}: {problem}",
                self.request
            );
        }
        problem
    }
}
