//! Feed: a made-up platform whose lists are paged by opaque tokens that die. One list has all items, the other one their
//! changes, which can be asked for by time.
//!
//! Many vendors page like this, with tokens that live for minutes, and limits that make a client wait for longer. The base
//! URL is `http://host:port/feed/v1`. A call is booked with the referee and counted against its account's limits on
//! arrival; credentials are looked at first, then the limits, then the query. How limits are told, in refusals and in
//! good answers, is a setting: vendors agree on nothing there.

mod accounts;
mod call;
mod changes;
mod control;
mod errors;
mod item;
mod limits;
mod page_token;
mod query;
mod refusal;
mod settings;
mod usage;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use self::accounts::Accounts;
pub use self::accounts::FeedAccount;
use self::call::respond;
use self::changes::{Call, Change, Changes};
pub(crate) use self::control::{ENDPOINTS, control_routes};
use self::errors::ApiError;
use self::item::Item;
pub use self::limits::{FeedLimit, WindowLimit};
use self::page_token::PageToken;
use self::query::ListQuery;
pub use self::refusal::Refusal;
pub use self::settings::{FeedPoints, FeedSettings, Unavailable};
pub use self::usage::Tell;
use crate::clock::Moment;
use crate::referee::Referee;
use crate::wire::Wire;

/// What the simulated feed starts with.
#[derive(Clone, Debug)]
pub struct FeedConfig {
    /// Who may call, for as long as the simulator runs.
    pub accounts: Vec<FeedAccount>,
    /// What control can change later.
    pub settings: FeedSettings,
}

impl Default for FeedConfig {
    fn default() -> Self {
        Self {
            accounts: vec![FeedAccount::demo()],
            settings: FeedSettings::default(),
        }
    }
}

/// The simulated platform.
pub(crate) struct Feed {
    seed: u64,
    referee: Arc<Referee>,
    stopping: CancellationToken,
    changing: Mutex<Changing>,
}

/// What calls and control change.
struct Changing {
    settings: Arc<FeedSettings>,
    accounts: Accounts,
    changes: Changes,
}

/// Which list a call is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Items,
    Changes,
}

/// A record of either list.
#[derive(Serialize)]
#[serde(untagged)]
enum Record {
    Item(Item),
    Change(Change),
}

/// A page as the vendor would send it; the last one names no further page.
#[derive(Serialize)]
struct Page {
    items: Vec<Record>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

impl Feed {
    pub(crate) fn new(
        seed: u64,
        config: &FeedConfig,
        referee: Arc<Referee>,
        stopping: CancellationToken,
    ) -> anyhow::Result<Self> {
        config.settings.check()?;
        let changing = Changing {
            settings: Arc::new(config.settings.clone()),
            accounts: Accounts::new(&config.accounts),
            changes: Changes::default(),
        };
        Ok(Self {
            seed,
            referee,
            stopping,
            changing: Mutex::new(changing),
        })
    }

    fn settings(&self) -> Arc<FeedSettings> {
        Arc::clone(&self.changing().settings)
    }

    /// Replaces the settings. Windows keep their calls as long as a limit has their length, whatever its number. Page
    /// tokens keep the life that they were given.
    fn replace(&self, settings: FeedSettings) {
        let mut changing = self.changing();
        changing.accounts.keep(&settings.all_limits());
        changing.settings = Arc::new(settings);
    }

    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page that a call asks for.
    fn page(
        &self,
        list: List,
        settings: &FeedSettings,
        query: &str,
        at: Moment,
    ) -> Result<Page, ApiError> {
        let query = query::parse(query)?;
        let offset = match &query.page_token {
            None => 0,
            Some(token) => {
                let token = PageToken::read(token, self.seed).ok_or(ApiError::InvalidPageToken)?;
                if token.is_dead(at.monotonic_us) {
                    return Err(ApiError::InvalidPageToken);
                }
                token.offset
            }
        };
        let size = u64::from(query.page_size.unwrap_or(settings.page_size));
        let (items, all) = match list {
            List::Items => {
                let all = u64::from(settings.items);
                let places = offset..offset.saturating_add(size).min(all);
                let item = |index| Record::Item(Item::at(self.seed, index));
                (places.map(item).collect::<Vec<_>>(), all)
            }
            List::Changes => self.changes(&query, settings.items, offset, size),
        };
        let end = offset.saturating_add(size).min(all);
        let next_page_token = (end < all).then(|| {
            PageToken::issue(end, at.monotonic_us, settings.token_ttl_ms).write(self.seed)
        });
        Ok(Page {
            items,
            next_page_token,
        })
    }

    /// A page of the list of changes, and how many records all pages hold.
    fn changes(&self, query: &ListQuery, items: u32, offset: u64, size: u64) -> (Vec<Record>, u64) {
        let mut changing = self.changing();
        let (since, until) = (query.since.as_deref(), query.until.as_deref());
        let list = changing.changes.list(self.seed, items, since, until);
        let all = list.len() as u64;
        let page: Vec<Record> = list
            .into_iter()
            .skip(usize::try_from(offset).unwrap_or(usize::MAX))
            .take(usize::try_from(size).unwrap_or(usize::MAX))
            .map(Record::Change)
            .collect();
        changing.changes.note(Call {
            since: query.since.clone(),
            until: query.until.clone(),
            offset,
            records: page.len(),
        });
        (page, all)
    }
}

/// The routes that stand for the vendor's.
pub(crate) fn routes(feed: Arc<Feed>) -> Router {
    Router::new()
        .route("/feed/v1/items", get(list_items))
        .route("/feed/v1/changes", get(list_changes))
        .with_state(feed)
}

async fn list_items(
    State(feed): State<Arc<Feed>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    respond(feed, List::Items, wire, &query, &headers).await
}

async fn list_changes(
    State(feed): State<Arc<Feed>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    respond(feed, List::Changes, wire, &query, &headers).await
}
