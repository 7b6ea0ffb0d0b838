//! The way of one call: booked with the referee and counted against the limits on arrival, delayed, then answered.
//!
//! All of the arrival happens under one lock, so that calls fill the windows in the order in which the referee saw them.
//! Hints of how long to wait are as of the arrival. An admitted call is in flight until it is answered or its client goes
//! away.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::response::{IntoResponse, Response};

use super::errors::ApiError;
use super::limits::first_window;
use super::settings::{FeedSettings, Unavailable};
use super::{Feed, List, usage};
use crate::proxy;
use crate::referee::{Answer, Call};
use crate::wire::Wire;

/// A call as it was received.
struct Received {
    settings: Arc<FeedSettings>,
    /// Headers that tell usage.
    told: HeaderMap,
    verdict: Verdict,
    call: Call,
}

/// What is to become of a call.
enum Verdict {
    /// The platform is down.
    Unavailable(Unavailable),
    /// Nobody knows the caller.
    Unauthenticated,
    /// It is over a limit, and told to wait so many microseconds.
    Refused(u64),
    /// It is answered.
    Admitted(InFlight),
}

/// An admitted call that is not answered yet; leaves its account when it is dropped.
struct InFlight {
    feed: Arc<Feed>,
    account: String,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(granted) = self.feed.changing().accounts.granted(&self.account) {
            granted.leave();
        }
    }
}

/// Answers a call of a list.
pub(super) async fn respond(
    feed: Arc<Feed>,
    list: List,
    wire: Wire,
    query: &str,
    headers: &HeaderMap,
) -> Response {
    let header = headers
        .get(AUTHORIZATION)
        .map(|value| value.to_str().unwrap_or_default());
    // What is named last is dropped first: when the client goes away, the referee hears of it before a place is free.
    let Received {
        settings,
        told,
        verdict,
        call,
    } = receive(&feed, list, header);
    delay(&feed, &settings).await;
    let mut response = match &verdict {
        Verdict::Unavailable(Unavailable::Status) => proxy::unavailable(None),
        Verdict::Unavailable(Unavailable::Reset) => {
            wire.reset();
            call.answer(Answer::Reset);
            // The reset connection never carries this answer.
            return StatusCode::BAD_GATEWAY.into_response();
        }
        Verdict::Unauthenticated => ApiError::Unauthenticated.into_response(),
        Verdict::Refused(wait_us) => {
            let now = call.arrived.wall;
            settings.refusal.answer(*wait_us, now, &call.request_id)
        }
        Verdict::Admitted(_) => match feed.page(list, &settings, query, call.arrived) {
            Ok(page) => Json(page).into_response(),
            Err(error) => error.into_response(),
        },
    };
    for (name, value) in &told {
        // A refusal knows better what it has said itself.
        response.headers_mut().entry(name).or_insert(value.clone());
    }
    call.answer(Answer::Status(response.status().as_u16()));
    if let Verdict::Admitted(in_flight) = verdict {
        // Only now: whoever takes the place is not seen beside this call.
        drop(in_flight);
    }
    response
}

fn receive(feed: &Arc<Feed>, list: List, header: Option<&str>) -> Received {
    let mut changing = feed.changing();
    let settings = Arc::clone(&changing.settings);
    let account = changing.accounts.caller(header);
    let key = match (&account, header) {
        (Some(account), _) => format!("feed/{account}"),
        (None, Some(_)) => "feed/(unknown token)".to_owned(),
        (None, None) => "feed/(no credentials)".to_owned(),
    };
    let points = match list {
        List::Items => settings.points.items,
        List::Changes => settings.points.changes,
    };
    let mut call = feed.referee.arrive(&key, points, None, None);
    let mut told = HeaderMap::new();
    let granted = account
        .as_deref()
        .and_then(|account| changing.accounts.granted(account));
    let verdict = match (settings.unavailable, account.as_ref().zip(granted)) {
        (Some(unavailable), _) => Verdict::Unavailable(unavailable),
        (None, None) => Verdict::Unauthenticated,
        (None, Some((account, granted))) => {
            let limits = settings.all_limits();
            let now_us = call.arrived.monotonic_us;
            let admitted = granted.admit(&limits, points, now_us);
            let used = first_window(&limits).map(|limit| granted.used(limit, points, now_us));
            told = usage::headers(&settings.tell, account, used, call.arrived.wall);
            match admitted {
                Ok(()) => Verdict::Admitted(InFlight {
                    feed: Arc::clone(feed),
                    account: account.clone(),
                }),
                Err(wait_us) => Verdict::Refused(wait_us),
            }
        }
    };
    call.violation = matches!(verdict, Verdict::Refused(_));
    Received {
        settings,
        told,
        verdict,
        call,
    }
}

async fn delay(feed: &Feed, settings: &FeedSettings) {
    let delay_ms = settings.delay_ms.unwrap_or(0);
    if delay_ms == 0 {
        return;
    }
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(delay_ms)) => {}
        () = feed.stopping.cancelled() => {}
    }
}
