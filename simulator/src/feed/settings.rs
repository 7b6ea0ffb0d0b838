//! What control can change of the simulated feed, as data.

use anyhow::ensure;
use serde::Serialize;
use serde_json::Value;

use super::query::MOST_PAGE_SIZE;
use crate::control::input::{Fields, InputError};
use crate::limits::CallLimit;

/// Bounds the truth, which is rendered in one piece.
const MOST_ITEMS: u32 = 100_000;
const LONGEST_MS: u64 = 86_400_000;

/// How much the feed holds, and how hard it is to read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeedSettings {
    /// Items in the list.
    pub items: u32,
    /// Items a page unless the caller asks for another size.
    pub page_size: u32,
    /// Calls granted to each account. Retry-After is the whole window, rounded up to seconds, unless it says otherwise.
    pub limit: Option<CallLimit>,
    /// For how long a page token works once it was handed out; for ever without.
    pub token_ttl_ms: Option<u64>,
}

impl Default for FeedSettings {
    fn default() -> Self {
        Self {
            items: 300,
            page_size: 10,
            limit: None,
            token_ttl_ms: None,
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
        fields.finish()?;
        Ok(Self {
            items,
            page_size,
            limit,
            token_ttl_ms,
        })
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
    }

    #[test]
    fn a_mistake_is_named_by_its_path() {
        let json = json!({"items": 7, "page_size": 2, "limit": {"calls": 0, "window_ms": 1}});
        let error = FeedSettings::read(&json).unwrap_err();
        assert_eq!(error.field, "limit.calls");
        let error = FeedSettings::read(&json!({"items": 7})).unwrap_err();
        assert_eq!(error.field, "page_size");
    }
}
