//! Limits as the API's description shows them. What is read and stored is [`syncline_shared::budget::Limits`].

use serde::Serialize;
use utoipa::ToSchema;

/// The limits of one budget: one window, or several. They replace all windows that the connector's manifest gives it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Limit, example = json!({"limit": 100, "per_seconds": 1}))]
#[serde(untagged)]
pub enum LimitView {
    /// One window.
    One(LimitWindowView),
    /// Several windows, all of which hold.
    Several(LimitWindowsView),
}

/// Several windows, all of which hold.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LimitWindows, example = json!({
    "windows": [{"limit": 10, "per_seconds": 1}, {"limit": 15_000, "per": "day", "time_zone": "Europe/Berlin"}, {"limit": 4, "at_once": true}],
    "manual_reserve_percent": 10
}))]
pub struct LimitWindowsView {
    /// At most 8, no two of one kind and length. An empty list means that the budget has no limit.
    #[schema(max_items = 8)]
    pub windows: Vec<LimitWindowView>,
    /// So many percent of each window are kept for runs that a person started; as the manifest says, if it is left out.
    #[schema(minimum = 0, maximum = 90)]
    pub manual_reserve_percent: Option<u8>,
}

/// At most so many points in a window; a call costs one, unless the manifest gives it another weight. Exactly one of `per_seconds`, `per` and
/// `at_once` says which window.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LimitWindow, example = json!({"limit": 100, "per_seconds": 1}))]
pub struct LimitWindowView {
    /// Points.
    #[schema(minimum = 1, maximum = 2_147_483_647, example = 100)]
    pub limit: u32,
    /// In any so many seconds.
    #[schema(minimum = 0.001, maximum = 31_622_400, example = 1)]
    pub per_seconds: Option<f64>,
    /// True: not in any so many seconds, but between two resets of the platform's counter, that far apart.
    #[schema(required = false, default = false)]
    pub fixed: bool,
    /// In each `day` or `month` of the calendar.
    #[schema(schema_with = crate::docs::calendar_unit_schema)]
    pub per: Option<String>,
    /// The IANA time zone of the calendar; UTC, if it is left out.
    #[schema(example = "Europe/Berlin")]
    pub time_zone: Option<String>,
    /// True: so many requests under way, whatever they cost.
    #[schema(required = false, default = false)]
    pub at_once: bool,
}
