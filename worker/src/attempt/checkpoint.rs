//! What a run's checkpoint holds, stream by stream.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use syncline_engine::Position;

use super::restart::Passes;

/// Where a run stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct RunPosition(BTreeMap<String, StreamPosition>);

/// Where a stream of a run stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct StreamPosition {
    /// Read to its end, or given up for good.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) done: bool,
    /// From where the next attempt goes on; `None`: from the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) position: Option<Position>,
    /// How far this reading and those before it came.
    #[serde(skip_serializing_if = "Passes::is_new")]
    pub(super) passes: Passes,
}

impl RunPosition {
    /// Reads a stored checkpoint. One that a later release wrote, and that is not understood, means: from the start.
    pub(super) fn read(stored: &Value) -> Self {
        serde_json::from_value(stored.clone()).unwrap_or_default()
    }

    /// As stored.
    pub(super) fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Where a stream stands.
    pub(super) fn stream(&mut self, name: &str) -> &mut StreamPosition {
        self.0.entry(name.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_checkpoint_reads_back_as_it_was_stored() {
        let mut run = RunPosition::default();
        run.stream("products").position = Some(Position(json!({"page": 17})));
        run.stream("orders").done = true;
        let stored = run.to_json();
        assert_eq!(
            stored,
            json!({"orders": {"done": true}, "products": {"position": {"page": 17}}})
        );
        assert_eq!(RunPosition::read(&stored), run);
        assert_eq!(RunPosition::read(&json!([1])), RunPosition::default());
    }

    #[test]
    fn passes_are_stored_once_there_is_something_to_tell() {
        let mut run = RunPosition::default();
        run.stream("items").passes = Passes {
            pages: 7,
            furthest: 10,
            restarts: 1,
        };
        let stored = run.to_json();
        assert_eq!(
            stored,
            json!({"items": {"passes": {"pages": 7, "furthest": 10, "restarts": 1}}})
        );
        assert_eq!(RunPosition::read(&stored), run);
    }
}
