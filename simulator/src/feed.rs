//! Feed: a made-up platform whose list is paged by opaque tokens that die.
//!
//! Many vendors page like this, with tokens that live for minutes, and limits that make a client wait for longer. The base
//! URL is `http://host:port/feed/v1`. A call is booked with the referee and counted against its account's limit on arrival;
//! credentials are looked at first, then the limit, then the query.

mod accounts;
mod control;
mod errors;
mod item;
mod page_token;
mod query;
mod settings;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use self::accounts::Accounts;
pub use self::accounts::FeedAccount;
pub(crate) use self::control::{ENDPOINTS, control_routes};
use self::errors::ApiError;
use self::item::Item;
use self::page_token::PageToken;
pub use self::settings::FeedSettings;
use crate::clock::Moment;
use crate::referee::{Answer, Referee};

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
    changing: Mutex<Changing>,
}

/// What calls and control change.
struct Changing {
    settings: FeedSettings,
    accounts: Accounts,
}

/// A page as the vendor would send it; the last one names no further page.
#[derive(Serialize)]
struct Page {
    items: Vec<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

impl Feed {
    pub(crate) fn new(
        seed: u64,
        config: &FeedConfig,
        referee: Arc<Referee>,
    ) -> anyhow::Result<Self> {
        config.settings.check()?;
        let changing = Changing {
            settings: config.settings.clone(),
            accounts: Accounts::new(&config.accounts),
        };
        Ok(Self {
            seed,
            referee,
            changing: Mutex::new(changing),
        })
    }

    fn settings(&self) -> FeedSettings {
        self.changing().settings.clone()
    }

    /// Replaces the settings; windows begin empty when the limit is another one. Page tokens keep the life that they were
    /// given.
    fn replace(&self, settings: FeedSettings) {
        let mut changing = self.changing();
        if changing.settings.limit != settings.limit {
            changing.accounts.forget_calls();
        }
        changing.settings = settings;
    }

    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a call of an account; `None` is a caller whom nobody knows.
    fn answer(&self, account: Option<&str>, query: &str, at: Moment) -> Result<Page, ApiError> {
        let account = account.ok_or(ApiError::Unauthenticated)?;
        let settings = {
            let mut changing = self.changing();
            let settings = changing.settings.clone();
            if let Some(limit) = &settings.limit
                && !changing.accounts.admit(account, limit, at)
            {
                let whole_window = limit.window_ms.div_ceil(1_000);
                let retry_after_s = limit
                    .retry_after_s
                    .unwrap_or_else(|| u32::try_from(whole_window).unwrap_or(u32::MAX));
                return Err(ApiError::RateLimited { retry_after_s });
            }
            settings
        };
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
        let end = offset
            .saturating_add(u64::from(query.page_size.unwrap_or(settings.page_size)))
            .min(u64::from(settings.items));
        let next_page_token = (end < u64::from(settings.items)).then(|| {
            PageToken::issue(end, at.monotonic_us, settings.token_ttl_ms).write(self.seed)
        });
        Ok(Page {
            items: (offset..end)
                .map(|index| Item::at(self.seed, index))
                .collect(),
            next_page_token,
        })
    }
}

/// The routes that stand for the vendor's.
pub(crate) fn routes(feed: Arc<Feed>) -> Router {
    Router::new()
        .route("/feed/v1/items", get(list_items))
        .with_state(feed)
}

async fn list_items(
    State(feed): State<Arc<Feed>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let header = headers
        .get(AUTHORIZATION)
        .map(|value| value.to_str().unwrap_or_default());
    let account = feed.changing().accounts.caller(header);
    let key = match (&account, header) {
        (Some(account), _) => format!("feed/{account}"),
        (None, Some(_)) => "feed/(unknown token)".to_owned(),
        (None, None) => "feed/(no credentials)".to_owned(),
    };
    let mut call = feed.referee.arrive(&key, None, None);
    let answer = feed.answer(
        account.as_deref(),
        query.as_deref().unwrap_or_default(),
        call.arrived,
    );
    call.violation = matches!(answer, Err(ApiError::RateLimited { .. }));
    let response = match answer {
        Ok(page) => Json(page).into_response(),
        Err(error) => error.into_response(),
    };
    call.answer(Answer::Status(response.status().as_u16()));
    response
}
