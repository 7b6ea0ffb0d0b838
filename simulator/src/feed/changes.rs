//! The list of changes: every item as it is now, by the moment of its last change, filtered by `since` and `until`.
//!
//! Control changes items ("touches" them) at moments that it names, so that what has changed since when is known to the
//! caller. Each call is written down with its window and with how many records it was given.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::errors::ApiError;
use super::item::Item;
use crate::control::input::{Fields, InputError};

/// Calls that are remembered.
const MOST_CALLS: usize = 10_000;

/// One record of the list.
#[derive(Debug, Serialize)]
pub(super) struct Change {
    #[serde(flatten)]
    item: Item,
    /// How often the item was touched.
    revision: u32,
    updated_at: String,
}

impl Change {
    /// Moments are written alike, so that their texts are in their order.
    fn order(&self) -> (&str, &str) {
        (&self.updated_at, self.item.id())
    }
}

/// One call, as it was answered.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Call {
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
    pub(super) offset: u64,
    pub(super) records: usize,
}

/// What control has touched, and who has asked.
#[derive(Default)]
pub(super) struct Changes {
    touched: BTreeMap<u64, (u32, String)>,
    calls: Vec<Call>,
}

impl Changes {
    /// Touches `count` items from `first` on: `{first, count, at}`.
    pub(super) fn touch(&mut self, json: &Value) -> Result<Value, InputError> {
        let mut fields = Fields::of(json, "")?;
        let first = fields.required_number("first", 0..=u64::from(u32::MAX))?;
        let count = fields.required_number("count", 1..=u64::from(u32::MAX))?;
        let at = fields.required_word("at")?;
        fields.finish()?;
        let Some(at) = moment(&at) else {
            let allowed = "a moment such as 2026-01-31T10:20:30Z";
            return Err(InputError::not_allowed("at", Value::String(at), allowed));
        };
        for index in first..first + count {
            let entry = self.touched.entry(index).or_default();
            *entry = (entry.0 + 1, at.clone());
        }
        Ok(json!({"first": first, "count": count, "at": at}))
    }

    /// The calls since they were last forgotten.
    pub(super) fn calls(&self) -> &[Call] {
        &self.calls
    }

    pub(super) fn forget_calls(&mut self) {
        self.calls.clear();
    }

    pub(super) fn note(&mut self, call: Call) {
        if self.calls.len() < MOST_CALLS {
            self.calls.push(call);
        }
    }

    /// All records whose last change lies between two moments, both included, in the order of their changes.
    pub(super) fn list(
        &self,
        seed: u64,
        items: u32,
        since: Option<&str>,
        until: Option<&str>,
    ) -> Vec<Change> {
        let mut found: Vec<Change> = (0..u64::from(items))
            .map(|index| self.change(seed, index))
            .filter(|change| {
                let at = change.updated_at.as_str();
                since.is_none_or(|since| since <= at) && until.is_none_or(|until| at <= until)
            })
            .collect();
        found.sort_by(|left, right| left.order().cmp(&right.order()));
        found
    }

    fn change(&self, seed: u64, index: u64) -> Change {
        let item = Item::at(seed, index);
        let (revision, updated_at) = match self.touched.get(&index) {
            Some((revision, at)) => (*revision, at.clone()),
            // A year before it was published, so that nothing untouched is ever in the future.
            None => (0, item.published_at().replacen("2026-", "2025-", 1)),
        };
        Change {
            item,
            revision,
            updated_at,
        }
    }
}

/// A moment in the one form in which the list writes them.
pub(super) fn moment(text: &str) -> Option<String> {
    let moment = DateTime::parse_from_rfc3339(text).ok()?;
    let whole = DateTime::<Utc>::from_timestamp(moment.timestamp(), 0)?;
    Some(whole.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// A parameter of the query that holds a moment.
pub(super) fn moment_parameter(name: &str, value: &str) -> Result<String, ApiError> {
    moment(value).ok_or_else(|| {
        ApiError::InvalidArgument(format!(
            "{name} must be a moment such as 2026-01-31T10:20:30Z"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_touched_moves_to_its_moment_and_counts_its_revisions() {
        let mut changes = Changes::default();
        let touch = json!({"first": 3, "count": 2, "at": "2026-10-01T12:00:00.5+02:00"});
        changes.touch(&touch).unwrap();
        changes.touch(&touch).unwrap();
        let all = changes.list(1, 20, None, None);
        assert_eq!(all.len(), 20);
        let orders: Vec<_> = all.iter().map(Change::order).collect();
        assert!(orders.is_sorted());
        let touched = changes.list(
            1,
            20,
            Some("2026-10-01T10:00:00Z"),
            Some("2026-10-01T10:00:00Z"),
        );
        let ids: Vec<_> = touched.iter().map(|change| change.item.id()).collect();
        assert_eq!(ids, ["item-000004", "item-000005"]);
        assert!(touched.iter().all(|change| change.revision == 2));
        assert_eq!(
            changes
                .list(1, 20, Some("2026-10-01T10:00:01Z"), None)
                .len(),
            0
        );
        let refused = changes.touch(&json!({"first": 0, "count": 1, "at": "today"}));
        assert_eq!(refused.unwrap_err().field, "at");
    }
}
