//! G2A's product list: 20 products a page, SHA-256 credentials in a header, errors in the vendor's words.
//!
//! The base URL is `http://host:port/g2a`, which stands for the vendor's `https://api.g2a.com`. A call is booked
//! with the referee and counted against the account's limit on arrival, then delayed; what a proxy would answer
//! (reset, 5xx) comes before the credentials are looked at, 429 after them.

mod accounts;
mod catalogue;
mod control;
mod errors;
mod product;
mod query;
mod words;

use std::sync::{Arc, PoisonError, RwLock};

use anyhow::ensure;
use axum::Router;
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use self::accounts::Accounts;
pub use self::accounts::G2aAccount;
use self::catalogue::{Catalogue, MOST_PRODUCTS};
pub(crate) use self::control::{ENDPOINTS, control_routes};
use self::errors::ApiError;
use crate::clock::Clock;
use crate::faults::{FaultSettings, Faults, Plan, Refusal};
use crate::limits::CallLimit;
use crate::proxy;
use crate::referee::{Answer, Call, Referee};
use crate::wire::{Wire, send_json};

/// What the simulated G2A starts with; everything but the numbers of products can be changed by control.
#[derive(Clone, Debug)]
pub struct G2aConfig {
    /// Products in stock: what a read without filters sees. The default fills 771 pages of 20.
    pub products: u32,
    /// Products besides these that only `includeOutOfStock` shows; none by default, so that both reads see the same.
    pub out_of_stock: u32,
    /// Rows a page; clients cannot choose it.
    pub page_size: u32,
    /// Who may call; the default is the vendor's public sandbox account.
    pub accounts: Vec<G2aAccount>,
    /// Calls granted to each account; off by default, since the vendor publishes none.
    pub limit: Option<CallLimit>,
    /// Faults that are on from the start.
    pub faults: FaultSettings,
}

impl Default for G2aConfig {
    fn default() -> Self {
        Self {
            products: 15_420,
            out_of_stock: 0,
            page_size: 20,
            accounts: vec![G2aAccount::sandbox()],
            limit: None,
            faults: FaultSettings::default(),
        }
    }
}

/// The simulated platform.
pub(crate) struct G2a {
    accounts: Accounts,
    catalogue: RwLock<Arc<Catalogue>>,
    clock: Arc<dyn Clock>,
    faults: Faults,
    page_size: usize,
    referee: Arc<Referee>,
    stopping: CancellationToken,
}

impl G2a {
    pub(crate) fn new(
        seed: u64,
        config: &G2aConfig,
        clock: Arc<dyn Clock>,
        referee: Arc<Referee>,
        stopping: CancellationToken,
    ) -> anyhow::Result<Self> {
        let page_size = usize::try_from(config.page_size)?;
        ensure!(
            (1..=10_000).contains(&page_size),
            "g2a.page_size is {page_size}; allowed: 1 to 10000"
        );
        let (in_stock, hidden) = (
            usize::try_from(config.products)?,
            usize::try_from(config.out_of_stock)?,
        );
        let count = in_stock.saturating_add(hidden);
        ensure!(
            count <= MOST_PRODUCTS,
            "g2a.products + g2a.out_of_stock is {count}; allowed: at most {MOST_PRODUCTS}"
        );
        Ok(Self {
            accounts: Accounts::new(&config.accounts, config.limit),
            catalogue: RwLock::new(Arc::new(Catalogue::generate(seed, in_stock, hidden))),
            clock,
            faults: Faults::new(config.faults.clone()),
            page_size,
            referee,
            stopping,
        })
    }

    /// The catalogue of this moment.
    fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(
            &self
                .catalogue
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    async fn delay(&self, plan: &Plan) {
        if plan.delay.is_zero() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(plan.delay) => {}
            () = self.stopping.cancelled() => {}
        }
    }

    /// The JSON of one page.
    fn page(&self, query: &str, plan: &Plan) -> Result<Vec<u8>, ApiError> {
        let query = query::parse(query)?;
        let catalogue = self.catalogue();
        let pages_before = usize::try_from(query.page - 1).unwrap_or(usize::MAX);
        let position = pages_before.saturating_mul(self.page_size);
        let repeated = plan.duplicated_rows.min(position);
        let selection = catalogue.select(
            &query.filter,
            position - repeated,
            self.page_size.saturating_add(repeated),
        );
        // Beyond the end there is nothing to repeat rows in front of.
        let rows = if selection.rows.len() > repeated {
            selection.rows
        } else {
            Vec::new()
        };
        let total = (selection.total as u64).saturating_add_signed(plan.total_shift);
        let mut json =
            format!("{{\"total\":{total},\"page\":{},\"docs\":[", query.page).into_bytes();
        for (index, product) in rows.into_iter().enumerate() {
            if index > 0 {
                json.push(b',');
            }
            product.render(catalogue.seed, &mut json).map_err(|error| {
                tracing::error!(%error, "product {} cannot be rendered: {error}", product.id);
                ApiError::Internal
            })?;
        }
        json.extend_from_slice(b"]}");
        Ok(json)
    }
}

/// The routes that stand for the vendor's.
pub(crate) fn routes(g2a: Arc<G2a>) -> Router {
    Router::new()
        .route("/g2a/v1/products", get(list_products))
        .with_state(g2a)
}

async fn list_products(
    State(g2a): State<Arc<G2a>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let page = query::page_asked(&query);
    let header = headers
        .get(AUTHORIZATION)
        .map(|value| value.to_str().unwrap_or_default());
    let key = g2a.accounts.referee_key(header);
    let mut call = g2a
        .referee
        .arrive(&key, 1, page, client_request_id(&headers));
    let caller = g2a.accounts.authorise(header);
    let admission = match &caller {
        Ok(client_id) => g2a.accounts.admit(client_id, call.arrived),
        Err(_) => Ok(()),
    };
    call.violation = admission.is_err();
    let plan = g2a.faults.plan(page.unwrap_or(0));
    call.faults = plan.struck;
    g2a.delay(&plan).await;
    let mut response = match refused_by_proxy(&plan) {
        Some(refusal) => refusal,
        None => match caller
            .and(admission)
            .and_then(|()| rate_limited_by_fault(&plan))
        {
            Ok(()) => match g2a.page(&query, &plan) {
                Ok(json) => send_json(json, &plan.body, &wire, &g2a.stopping),
                Err(error) => error.into_response(),
            },
            Err(error) => error.into_response(),
        },
    };
    if let Ok(request_id) = HeaderValue::from_str(&call.request_id) {
        response.headers_mut().insert("x-request-id", request_id);
    }
    book(call, &plan, &wire, &response);
    response
}

fn book(call: Call, plan: &Plan, wire: &Wire, response: &Response) {
    if plan.refusal == Some(Refusal::Reset) {
        wire.reset();
        call.answer(Answer::Reset);
    } else {
        call.answer(Answer::Status(response.status().as_u16()));
    }
}

/// What something in front of the API answers, before credentials matter.
fn refused_by_proxy(plan: &Plan) -> Option<Response> {
    match plan.refusal? {
        // The reset connection never carries this answer.
        Refusal::Reset | Refusal::BadGateway => Some(StatusCode::BAD_GATEWAY.into_response()),
        Refusal::ServerError => Some(ApiError::Internal.into_response()),
        Refusal::Unavailable { retry_after_s } => Some(proxy::unavailable(retry_after_s)),
        Refusal::RateLimited { .. } => None,
    }
}

fn rate_limited_by_fault(plan: &Plan) -> Result<(), ApiError> {
    match plan.refusal {
        Some(Refusal::RateLimited { retry_after_s }) => {
            Err(ApiError::TooManyRequests { retry_after_s })
        }
        _ => Ok(()),
    }
}

/// The client's own name for the call, when it is short enough to keep.
fn client_request_id(headers: &HeaderMap) -> Option<String> {
    let name = headers.get("x-request-id")?.to_str().ok()?;
    (1..=64).contains(&name.len()).then(|| name.to_owned())
}
