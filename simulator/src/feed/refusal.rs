//! How a call over a limit is refused: each vendor has words of its own for "come back later".

use axum::Json;
use axum::http::header::{DATE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

/// How a refusal is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refusal {
    /// 429 with Retry-After in seconds.
    #[default]
    RetryAfter,
    /// 429 with Retry-After as a date, and the simulator's own date beside it.
    RetryDate,
    /// 429 with `x-rate-limit-remaining: 0` and `x-rate-limit-reset` in unix seconds, as X does.
    Reset,
    /// 429 without any hint.
    Bare,
    /// 200 with code 40100 in the body and no hint, as TikTok does.
    Code,
    /// 429 with `retryDelay` deep in the body, as Google Ads does.
    RetryDelay,
}

/// The names in the control language.
pub(super) const REFUSALS: [(&str, Refusal); 6] = [
    ("retry_after", Refusal::RetryAfter),
    ("retry_date", Refusal::RetryDate),
    ("reset", Refusal::Reset),
    ("bare", Refusal::Bare),
    ("code", Refusal::Code),
    ("retry_delay", Refusal::RetryDelay),
];

impl Serialize for Refusal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let name = REFUSALS.iter().find(|(_, refusal)| refusal == self);
        serializer.serialize_str(name.map_or("", |(name, _)| name))
    }
}

impl Refusal {
    /// The answer to a call that came in at `now` and should wait so many microseconds.
    pub(super) fn answer(self, wait_us: u64, now: DateTime<Utc>, request_id: &str) -> Response {
        let seconds = wait_us.div_ceil(1_000_000);
        let status = match self {
            Self::Code => StatusCode::OK,
            _ => StatusCode::TOO_MANY_REQUESTS,
        };
        let body = match self {
            Self::Code => tiktok_body(request_id),
            Self::RetryDelay => google_body(seconds, request_id),
            _ => json!({"error": {"code": "RATE_LIMITED", "message": "Too many calls."}}),
        };
        let mut headers = HeaderMap::new();
        match self {
            Self::RetryAfter => {
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            Self::RetryDate => {
                let until = DateTime::from_timestamp(unix_seconds_in(now, wait_us), 0);
                insert(&mut headers, DATE, &http_date(now));
                insert(&mut headers, RETRY_AFTER, &http_date(until.unwrap_or(now)));
            }
            Self::Reset => {
                let reset = HeaderValue::from(unix_seconds_in(now, wait_us));
                headers.insert("x-rate-limit-remaining", HeaderValue::from(0));
                headers.insert("x-rate-limit-reset", reset);
            }
            Self::Bare | Self::Code | Self::RetryDelay => {}
        }
        (status, headers, Json(body)).into_response()
    }
}

/// The first whole unix second that is not before the moment so many microseconds from now.
pub(super) fn unix_seconds_in(now: DateTime<Utc>, wait_us: u64) -> i64 {
    let wait = TimeDelta::microseconds(i64::try_from(wait_us).unwrap_or(i64::MAX));
    let until = now.checked_add_signed(wait).unwrap_or(now);
    until.timestamp() + i64::from(until.timestamp_subsec_nanos() > 0)
}

fn http_date(moment: DateTime<Utc>) -> String {
    moment.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn tiktok_body(request_id: &str) -> Value {
    json!({
        "code": 40100,
        "message": "Too many requests. Please retry in some time.",
        "request_id": request_id,
        "data": {},
    })
}

fn google_body(seconds: u64, request_id: &str) -> Value {
    json!({"error": {
        "code": 429,
        "message": "Resource has been exhausted (e.g. check quota).",
        "status": "RESOURCE_EXHAUSTED",
        "details": [{
            "@type": "type.googleapis.com/google.ads.googleads.v25.errors.GoogleAdsFailure",
            "errors": [{
                "errorCode": {"quotaError": "RESOURCE_TEMPORARILY_EXHAUSTED"},
                "message": format!("Too many requests. Retry in {seconds} seconds."),
                "details": {"quotaErrorDetails": {
                    "rateScope": "ACCOUNT",
                    "rateName": "Number of requests",
                    "retryDelay": format!("{seconds}s"),
                }},
            }],
            "requestId": request_id,
        }],
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(refusal: Refusal) -> (u16, Vec<(String, String)>) {
        let now = DateTime::from_timestamp(1_790_000_000, 400_000_000).unwrap();
        let response = refusal.answer(1_500_000, now, "one");
        let headers = response.headers().iter();
        let hints = headers
            .filter(|(name, _)| *name != "content-type")
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        (response.status().as_u16(), hints)
    }

    #[test]
    fn each_way_has_its_own_hints_and_none_tells_to_come_back_too_early() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            hints(Refusal::RetryAfter),
            (429, vec![pair("retry-after", "2")])
        );
        let dates = vec![
            pair("date", "Mon, 21 Sep 2026 14:13:20 GMT"),
            pair("retry-after", "Mon, 21 Sep 2026 14:13:22 GMT"),
        ];
        assert_eq!(hints(Refusal::RetryDate), (429, dates));
        let reset = vec![
            pair("x-rate-limit-remaining", "0"),
            pair("x-rate-limit-reset", "1790000002"),
        ];
        assert_eq!(hints(Refusal::Reset), (429, reset));
        assert_eq!(hints(Refusal::Bare), (429, Vec::new()));
        assert_eq!(hints(Refusal::Code), (200, Vec::new()));
        assert_eq!(hints(Refusal::RetryDelay), (429, Vec::new()));
    }

    #[test]
    fn bodies_are_those_of_the_vendors() {
        let delay = google_body(2, "one");
        let path = "/error/details/0/errors/0/details/quotaErrorDetails/retryDelay";
        assert_eq!(delay.pointer(path), Some(&json!("2s")));
        assert_eq!(tiktok_body("one")["request_id"], "one");
    }
}
