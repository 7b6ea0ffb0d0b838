//! The one HTTP client: time-outs, no system proxy, gzip, no redirects of its own, checked targets,
//! capped bodies.
//!
//! Redirects are followed by the sender above, because each hop is a request that needs a permit, and
//! because a credential in a custom header must not follow to another host (reqwest only removes the
//! standard ones).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use thiserror::Error;
use url::{Host, Url};

use super::address_policy::{AddressPolicy, AddressRefused};
use super::gate::{Check, GateLayer, Unsent};
use crate::host::Refused;

/// How the client behaves. The defaults suit platforms on the public internet.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Longest time to open a connection, TLS included. Default 10 s.
    pub connect_timeout: Duration,
    /// Longest silence while an answer is read. Default 60 s.
    pub read_timeout: Duration,
    /// Longest time for a whole request, body included. Default 300 s.
    pub total_timeout: Duration,
    /// Which addresses may be reached besides public ones.
    pub addresses: AddressPolicy,
    /// The `User-Agent` header. Default `syncline/<version>`.
    pub user_agent: String,
}

impl Default for HttpSettings {
    fn default() -> HttpSettings {
        HttpSettings {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_mins(1),
            total_timeout: Duration::from_mins(5),
            addresses: AddressPolicy::default(),
            user_agent: concat!("syncline/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// The client could not be built, for example because the system has no certificate store.
#[derive(Debug, Error)]
#[error("the HTTP client could not be built: {0}")]
pub struct HttpSetupError(String);

/// The HTTP client of all readers; cheap to clone, shares its connections.
#[derive(Debug, Clone)]
pub struct HttpClient {
    inner: reqwest::Client,
    addresses: Arc<AddressPolicy>,
}

/// One request, ready to send.
pub(crate) struct HttpRequest {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Option<Bytes>,
    pub(crate) max_body_bytes: usize,
    /// The longest silence, where it is to be shorter than the client's.
    pub(crate) read_timeout: Option<Duration>,
    /// In place of the client's.
    pub(crate) total_timeout: Option<Duration>,
}

/// One whole answer.
pub(crate) struct HttpAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// An answer whose body is still to be read.
pub(crate) struct OpenAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    response: reqwest::Response,
    silence: Option<Duration>,
}

impl OpenAnswer {
    /// The next piece of the body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, HttpFailure> {
        let chunk = within(self.silence, self.response.chunk()).await;
        let chunk = chunk.ok_or_else(|| silent(self.silence, Some(self.head())))?;
        chunk.map_err(|error| failure_of(error, Some(self.head())))
    }

    /// The whole body, if it is not larger than this.
    pub(crate) async fn whole(mut self, limit: usize) -> Result<HttpAnswer, HttpFailure> {
        let announced = self.response.content_length().unwrap_or(0);
        if announced > limit as u64 {
            let head = self.head();
            return Err(Unanswered::TooLarge { limit, head }.into());
        }
        let mut body = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > limit {
                let head = self.head();
                return Err(Unanswered::TooLarge { limit, head }.into());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(HttpAnswer {
            status: self.status,
            headers: self.headers,
            body,
        })
    }

    #[expect(clippy::unnecessary_box_returns, reason = "failures hold it boxed")]
    fn head(&self) -> Box<AnswerHead> {
        Box::new(AnswerHead {
            status: self.status,
            headers: self.headers.clone(),
        })
    }
}

/// Waits no longer than this, if it says how long.
async fn within<T>(longest: Option<Duration>, waiting: impl Future<Output = T>) -> Option<T> {
    match longest {
        Some(longest) => tokio::time::timeout(longest, waiting).await.ok(),
        None => Some(waiting.await),
    }
}

fn silent(longest: Option<Duration>, head: Option<Box<AnswerHead>>) -> HttpFailure {
    let seconds = longest.unwrap_or_default().as_secs_f64();
    let message = format!("nothing came for {seconds} s, the manifest's read_timeout_in_seconds");
    Unanswered::Transport { message, head }.into()
}

/// The head of an answer whose body did not arrive.
pub(crate) struct AnswerHead {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

/// Why there is no whole answer.
pub(crate) enum HttpFailure {
    /// The check on the standing connection refused it: nothing was sent.
    Unsent(Refused),
    /// It was sent, or could not be.
    Unanswered(Unanswered),
}

/// Why a request that might be sent has no whole answer. The messages hold no address with a query.
pub(crate) enum Unanswered {
    /// Connecting, sending or reading failed; with the head of the answer if it arrived.
    Transport {
        message: String,
        head: Option<Box<AnswerHead>>,
    },
    /// The target is refused by the address policy, or cannot be reached by HTTP at all.
    Refused { message: String },
    /// The body is larger than allowed.
    TooLarge { limit: usize, head: Box<AnswerHead> },
}

impl From<Unanswered> for HttpFailure {
    fn from(failure: Unanswered) -> HttpFailure {
        HttpFailure::Unanswered(failure)
    }
}

struct CheckedResolver {
    addresses: Arc<AddressPolicy>,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.addresses);
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let mut refusal = None;
            let mut allowed = Vec::with_capacity(found.len());
            for address in found {
                match policy.check(&host, address.ip()) {
                    Ok(()) => allowed.push(address),
                    Err(refused) => refusal = Some(refused),
                }
            }
            match refusal {
                Some(refused) if allowed.is_empty() => Err(refused.into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

impl HttpClient {
    /// Builds the client. Sets ring as the process's default TLS provider if none is set yet.
    pub fn new(settings: HttpSettings) -> Result<HttpClient, HttpSetupError> {
        // An error only says that a provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let addresses = Arc::new(settings.addresses);
        let resolver = CheckedResolver {
            addresses: Arc::clone(&addresses),
        };
        let inner = reqwest::Client::builder()
            .user_agent(settings.user_agent)
            .read_timeout(settings.read_timeout)
            .timeout(settings.total_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .gzip(true)
            .dns_resolver(Arc::new(resolver))
            // Its time-out is that of a connection alone: reqwest's own would count the check's time, too.
            .connector_layer(GateLayer::new(settings.connect_timeout))
            .build()
            .map_err(|error| HttpSetupError(chain(&error)))?;
        Ok(HttpClient { inner, addresses })
    }

    /// Sends one request and reads its whole body.
    pub(crate) async fn send(
        &self,
        request: HttpRequest,
        check: Check,
    ) -> Result<HttpAnswer, HttpFailure> {
        let limit = request.max_body_bytes;
        self.open(request, check).await?.whole(limit).await
    }

    /// Sends one request and reads the head of its answer.
    pub(crate) async fn open(
        &self,
        request: HttpRequest,
        check: Check,
    ) -> Result<OpenAnswer, HttpFailure> {
        self.check_literal_address(&request.url)?;
        let mut builder = self.inner.request(request.method, request.url);
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        if let Some(longest) = request.total_timeout {
            builder = builder.timeout(longest);
        }
        let silence = request.read_timeout;
        let sending = check.guard(builder.send());
        let response = within(silence, sending)
            .await
            .ok_or_else(|| silent(silence, None))?
            .map_err(|error| failure_of(error, None))?;
        Ok(OpenAnswer {
            status: response.status(),
            headers: response.headers().clone(),
            response,
            silence,
        })
    }

    /// Names are checked by the resolver; a literal address never reaches it.
    fn check_literal_address(&self, url: &Url) -> Result<(), Unanswered> {
        let scheme = url.scheme();
        if scheme != "http" && scheme != "https" {
            let message = format!("the scheme \"{scheme}\" is not allowed; use https or http");
            return Err(Unanswered::Refused { message });
        }
        let address = match url.host() {
            Some(Host::Ipv4(v4)) => IpAddr::V4(v4),
            Some(Host::Ipv6(v6)) => IpAddr::V6(v6),
            Some(Host::Domain(_)) => return Ok(()),
            None => {
                let message = "the address names no host".to_owned();
                return Err(Unanswered::Refused { message });
            }
        };
        let host = url.host_str().unwrap_or_default();
        self.addresses
            .check(host, address)
            .map_err(|refused| Unanswered::Refused {
                message: refused.to_string(),
            })
    }
}

fn failure_of(error: reqwest::Error, head: Option<Box<AnswerHead>>) -> HttpFailure {
    // The address may carry an api key in its query.
    let error = error.without_url();
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(cause) = source {
        if let Some(refused) = cause.downcast_ref::<AddressRefused>() {
            let message = refused.to_string();
            return Unanswered::Refused { message }.into();
        }
        if let Some(Unsent(refused)) = cause.downcast_ref::<Unsent>() {
            return HttpFailure::Unsent(refused.clone());
        }
        source = cause.source();
    }
    let message = chain(&error);
    Unanswered::Transport { message, head }.into()
}

/// An error with its causes, outermost first, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
