//! What control can change of the simulated feed, as data.

use anyhow::ensure;
use serde::Serialize;
use serde_json::Value;

use super::limits::{FeedLimit, LONGEST_MS, MOST_CALLS, WindowLimit};
use super::query::MOST_PAGE_SIZE;
use super::refusal::{REFUSALS, Refusal};
use super::usage::{TELLS, Tell};
use crate::control::input::{Fields, InputError};
use crate::limits::{CallLimit, Counted};

/// Bounds the truth, which is rendered in one piece.
const MOST_ITEMS: u32 = 100_000;
const MOST_LIMITS: usize = 16;

/// How much the feed holds, and how hard it is to read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeedSettings {
    /// Items in the list.
    pub items: u32,
    /// Items a page unless the caller asks for another size.
    pub page_size: u32,
    /// Calls granted to each account. A refusal tells to wait for the whole window, rounded up to seconds, unless it says
    /// otherwise.
    pub limit: Option<CallLimit>,
    /// For how many milliseconds a page token works once it was handed out; for ever without.
    pub token_ttl_ms: Option<u64>,
    /// What a call of each list costs.
    #[serde(skip_serializing_if = "is_default")]
    pub points: FeedPoints,
    /// Further limits on each account. A refusal tells to wait until there is room, unless the limit says otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<FeedLimit>,
    /// How a call over a limit is refused.
    #[serde(skip_serializing_if = "is_default")]
    pub refusal: Refusal,
    /// In which headers usage is told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tell: Vec<Tell>,
    /// How many milliseconds each answer takes, refusals included; the call is in flight meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// What happens to every call while the platform is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<Unavailable>,
}

/// What a call of each list costs, in points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FeedPoints {
    /// A call of the list of items.
    pub items: u32,
    /// A call of the list of changes.
    pub changes: u32,
}

impl Default for FeedPoints {
    fn default() -> Self {
        Self {
            items: 1,
            changes: 1,
        }
    }
}

/// How a platform is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unavailable {
    /// A proxy answers 503 with a page for people.
    Status,
    /// The connection is reset before any byte of an answer.
    Reset,
}

const UNAVAILABLE: [(&str, Unavailable); 2] = [
    ("status", Unavailable::Status),
    ("reset", Unavailable::Reset),
];

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for FeedSettings {
    fn default() -> Self {
        Self {
            items: 300,
            page_size: 10,
            limit: None,
            token_ttl_ms: None,
            points: FeedPoints::default(),
            limits: Vec::new(),
            refusal: Refusal::default(),
            tell: Vec::new(),
            delay_ms: None,
            unavailable: None,
        }
    }
}

impl FeedSettings {
    /// Reads all settings; those that may be missing are off then.
    pub(super) fn read(json: &Value) -> Result<Self, InputError> {
        let to_u32 = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let mut fields = Fields::of(json, "")?;
        let items = to_u32(fields.required_number("items", 0..=u64::from(MOST_ITEMS))?);
        let page_size = to_u32(fields.required_number("page_size", 1..=MOST_PAGE_SIZE)?);
        let token_ttl_ms = fields.number("token_ttl_ms", 1..=LONGEST_MS)?;
        let limit = match fields.object("limit")? {
            None => None,
            Some(mut limit) => {
                let calls = to_u32(limit.required_number("calls", 1..=1_000_000)?);
                let window_ms = limit.required_number("window_ms", 1..=LONGEST_MS)?;
                let retry_after_s = limit.number("retry_after_s", 0..=86_400)?.map(to_u32);
                limit.finish()?;
                Some(CallLimit {
                    calls,
                    window_ms,
                    retry_after_s,
                })
            }
        };
        let points = match fields.object("points")? {
            None => FeedPoints::default(),
            Some(mut points) => {
                let items = points.number("items", 0..=MOST_CALLS)?.unwrap_or(1);
                let changes = points.number("changes", 0..=MOST_CALLS)?.unwrap_or(1);
                points.finish()?;
                FeedPoints {
                    items: to_u32(items),
                    changes: to_u32(changes),
                }
            }
        };
        let limits = fields.objects("limits", MOST_LIMITS)?.unwrap_or_default();
        let limits = limits.into_iter().map(FeedLimit::read);
        let limits = limits.collect::<Result<_, _>>()?;
        let refusal = fields.choice("refusal", &REFUSALS)?.unwrap_or_default();
        let tell = fields.choices("tell", &TELLS)?.unwrap_or_default();
        let delay_ms = fields.number("delay_ms", 0..=LONGEST_MS)?;
        let unavailable = fields.choice("unavailable", &UNAVAILABLE)?;
        fields.finish()?;
        Ok(Self {
            items,
            page_size,
            limit,
            token_ttl_ms,
            points,
            limits,
            refusal,
            tell,
            delay_ms,
            unavailable,
        })
    }

    /// The one limit, if there is one, and the further ones.
    pub(super) fn all_limits(&self) -> Vec<FeedLimit> {
        let one = self.limit.map(|limit| {
            let whole_window = u32::try_from(limit.window_ms.div_ceil(1_000)).unwrap_or(u32::MAX);
            FeedLimit::Window(WindowLimit {
                counts: Counted::Calls,
                most: limit.calls,
                window_ms: limit.window_ms,
                retry_after_s: Some(limit.retry_after_s.unwrap_or(whole_window)),
            })
        });
        one.into_iter().chain(self.limits.iter().copied()).collect()
    }

    /// Refuses what [`read`](Self::read) would refuse of the numbers that the simulator relies on.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.items <= MOST_ITEMS,
            "feed.settings.items is {}; allowed: at most {MOST_ITEMS}",
            self.items
        );
        ensure!(
            (1..=MOST_PAGE_SIZE).contains(&u64::from(self.page_size)),
            "feed.settings.page_size is {}; allowed: 1 to {MOST_PAGE_SIZE}",
            self.page_size
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_shown_in_the_form_in_which_they_are_set() {
        let json = json!({
            "items": 7,
            "page_size": 2,
            "limit": {"calls": 3, "window_ms": 1_500},
            "token_ttl_ms": 900,
        });
        let settings = FeedSettings::read(&json).unwrap();
        assert_eq!(serde_json::to_value(&settings).unwrap(), json);
        let json = json!({
            "items": 7,
            "page_size": 2,
            "limit": null,
            "token_ttl_ms": null,
            "points": {"items": 1, "changes": 5},
            "limits": [
                {"calls": 3, "window_ms": 1_500, "retry_after_s": 0},
                {"points": 90, "window_ms": 60_000},
                {"at_once": 4},
            ],
            "refusal": "retry_delay",
            "tell": ["business_usage", "rate_limit", "account_usage", "app_usage"],
            "delay_ms": 20,
            "unavailable": "reset",
        });
        let settings = FeedSettings::read(&json).unwrap();
        assert_eq!(serde_json::to_value(&settings).unwrap(), json);
        for (name, _) in REFUSALS {
            let json = json!({"items": 7, "page_size": 2, "refusal": name});
            let settings = FeedSettings::read(&json).unwrap();
            let shown = serde_json::to_value(&settings).unwrap();
            assert_eq!(FeedSettings::read(&shown), Ok(settings), "{name}");
        }
    }

    #[test]
    fn a_mistake_is_named_by_its_path() {
        let json = json!({"items": 7, "page_size": 2, "limit": {"calls": 0, "window_ms": 1}});
        let error = FeedSettings::read(&json).unwrap_err();
        assert_eq!(error.field, "limit.calls");
        let error = FeedSettings::read(&json!({"items": 7})).unwrap_err();
        assert_eq!(error.field, "page_size");
        let field = |part: Value| {
            let mut json = json!({"items": 7, "page_size": 2});
            json.as_object_mut()
                .unwrap()
                .extend(part.as_object().unwrap().clone());
            FeedSettings::read(&json).unwrap_err().field
        };
        let limits = json!({"limits": [{"at_once": 1}, {"points": 0, "window_ms": 1}]});
        assert_eq!(field(limits), "limits[1].points");
        assert_eq!(field(json!({"limits": {"at_once": 1}})), "limits");
        assert_eq!(field(json!({"points": {"item": 1}})), "points.item");
        assert_eq!(field(json!({"refusal": "politely"})), "refusal");
        assert_eq!(field(json!({"tell": ["app_usage", "all"]})), "tell[1]");
        assert_eq!(field(json!({"unavailable": true})), "unavailable");
        assert_eq!(field(json!({"delay_ms": -1})), "delay_ms");
    }
}
