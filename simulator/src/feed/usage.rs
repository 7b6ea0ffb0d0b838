//! Headers in which a platform tells how much of its first window limit is used. They come with every answer to a known
//! account, refusals included, and speak of the moment after the call was counted.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use serde_json::{Number, Value, json};

use super::limits::Usage;
use super::refusal::unix_seconds_in;

/// Somebody else's usage: who reads it as one's own stops calling.
const ANOTHER_ACCOUNT: &str = "another-account";

/// A way to tell usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// `x-rate-limit-limit`, `-remaining` and `-reset` (unix seconds), as X does.
    RateLimit,
    /// `X-App-Usage`, in percent, as Meta does.
    AppUsage,
    /// `X-Business-Use-Case-Usage`, in percent and minutes, as Meta does, with an entry of another account.
    BusinessUsage,
    /// `X-Ad-Account-Usage`, in percent and seconds, as Meta does.
    AccountUsage,
}

/// The names in the control language.
pub(super) const TELLS: [(&str, Tell); 4] = [
    ("rate_limit", Tell::RateLimit),
    ("app_usage", Tell::AppUsage),
    ("business_usage", Tell::BusinessUsage),
    ("account_usage", Tell::AccountUsage),
];

impl Serialize for Tell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let name = TELLS.iter().find(|(_, tell)| tell == self);
        serializer.serialize_str(name.map_or("", |(name, _)| name))
    }
}

/// The headers; without a window limit there is no usage, and only the other account's is told.
pub(super) fn headers(
    tells: &[Tell],
    account: &str,
    used: Option<Usage>,
    now: DateTime<Utc>,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for tell in tells {
        match (tell, used) {
            (Tell::BusinessUsage, used) => {
                let value = business_usage(account, used);
                insert(&mut headers, "x-business-use-case-usage", &value);
            }
            (_, None) => {}
            (Tell::RateLimit, Some(used)) => {
                let remaining = used.limit.saturating_sub(used.used);
                let reset = unix_seconds_in(now, used.resets_in_us);
                headers.insert("x-rate-limit-limit", HeaderValue::from(used.limit));
                headers.insert("x-rate-limit-remaining", HeaderValue::from(remaining));
                headers.insert("x-rate-limit-reset", HeaderValue::from(reset));
            }
            (Tell::AppUsage, Some(used)) => {
                let value = json!({
                    "call_count": used.percent(),
                    "total_time": used.percent() / 2,
                    "total_cputime": used.percent() / 2,
                });
                insert(&mut headers, "x-app-usage", &value);
            }
            (Tell::AccountUsage, Some(used)) => {
                let value = json!({
                    "acc_id_util_pct": used.exact_percent(),
                    "reset_time_duration": used.resets_in_us.div_ceil(1_000_000),
                    "ads_api_access_tier": "standard_access",
                });
                insert(&mut headers, "x-ad-account-usage", &value);
            }
        }
    }
    headers
}

impl Usage {
    /// More than 100 when somebody else, or a greater limit of before, has filled the window further.
    fn percent(self) -> u64 {
        self.used.saturating_mul(100) / self.limit.max(1)
    }

    /// With two digits behind the point.
    fn exact_percent(self) -> Option<Number> {
        let hundredths = self.used.saturating_mul(10_000) / self.limit.max(1);
        let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
        text.parse().ok()
    }
}

fn business_usage(account: &str, used: Option<Usage>) -> Value {
    let entry = |percent: u64, minutes: u64| {
        json!([{
            "type": "ads_insights",
            "call_count": percent,
            "total_cputime": percent / 2,
            "total_time": percent / 2,
            "estimated_time_to_regain_access": minutes,
            "ads_api_access_tier": "standard_access",
        }])
    };
    let mut all = json!({ ANOTHER_ACCOUNT: entry(100, 55) });
    if let Some(used) = used {
        all[account] = entry(used.percent(), used.room_in_us.div_ceil(60_000_000));
    }
    all
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &Value) {
    if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Tell; 4] = [
        Tell::RateLimit,
        Tell::AppUsage,
        Tell::BusinessUsage,
        Tell::AccountUsage,
    ];

    fn told(used: Option<Usage>) -> HeaderMap {
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        headers(&ALL, "demo", used, now)
    }

    fn json_of(headers: &HeaderMap, name: &str) -> Value {
        serde_json::from_slice(headers[name].as_bytes()).unwrap()
    }

    #[test]
    fn usage_is_told_in_each_vendors_unit() {
        let told = told(Some(Usage {
            used: 29,
            limit: 300,
            room_in_us: 61_000_000,
            resets_in_us: 61_500_000,
        }));
        assert_eq!(told["x-rate-limit-limit"], "300");
        assert_eq!(told["x-rate-limit-remaining"], "271");
        assert_eq!(told["x-rate-limit-reset"], "1790000062");
        assert_eq!(json_of(&told, "x-app-usage")["call_count"], 9);
        let business = json_of(&told, "x-business-use-case-usage");
        assert_eq!(business["demo"][0]["call_count"], 9);
        assert_eq!(business["demo"][0]["estimated_time_to_regain_access"], 2);
        assert_eq!(business[ANOTHER_ACCOUNT][0]["call_count"], 100);
        let account = json_of(&told, "x-ad-account-usage");
        assert_eq!(account["acc_id_util_pct"].to_string(), "9.66");
        assert_eq!(account["reset_time_duration"], 62);
    }

    #[test]
    fn without_a_window_only_the_other_account_is_told_of() {
        let told = told(None);
        assert_eq!(told.len(), 1);
        let business = json_of(&told, "x-business-use-case-usage");
        assert_eq!(business.as_object().unwrap().len(), 1);
    }
}
