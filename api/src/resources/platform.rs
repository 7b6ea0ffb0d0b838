//! Settings of a platform as people write them: the body of a request, and an entry of an `apply` document.

use serde::Serialize;
use serde_json::Value;
use syncline_engine::{Catalog, Connector};
use syncline_shared::budget::Limits;
use utoipa::ToSchema;

use super::limit_view::LimitView;
use super::retry::{self, RetryView};
use super::{Fields, Notes, limits, refuse_platform};

/// Settings of a platform.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = PlatformInput, example = json!({
    "retry": {"base_seconds": 60, "max_failures": 3}, "limits": {"requests": {"limit": 100, "per_seconds": 1}}
}))]
pub struct PlatformSettings {
    /// Its retry policy, whole. What is left out of it is as it is by default; `{}` sets the defaults.
    #[schema(value_type = RetryView)]
    pub retry: Option<RetryView>,
    /// In place of the limits that its manifest gives its budgets, by the name of the budget. Kept, if they are left out; `{}` removes them.
    #[schema(value_type = Option<BTreeMap<String, LimitView>>)]
    pub limits: Option<Limits>,
}

/// A platform of a document. What is left out of its settings is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct PlatformInput {
    /// The name of a connector.
    pub name: String,
    /// Its settings.
    pub settings: PlatformSettings,
}

impl PlatformSettings {
    /// Reads the settings of a platform from the body of a request, where the retry policy must be given.
    pub fn read(body: &Value, connector: &Connector, notes: &mut Notes) -> Self {
        let Some(mut fields) = Fields::of(body, "", notes) else {
            return Self {
                retry: None,
                limits: None,
            };
        };
        let settings = Self::of(&mut fields, Some(connector), notes);
        if settings.retry.is_none() {
            notes.refuse(
                "/retry",
                "required",
                "retry is required; {} sets the defaults",
            );
        }
        fields.finish(notes);
        settings
    }

    fn of(fields: &mut Fields<'_>, connector: Option<&Connector>, notes: &mut Notes) -> Self {
        let at = fields.at("retry");
        let retry = fields
            .value("retry")
            .map(|value| retry::read(value, &at, notes).into());
        let at = fields.at("limits");
        let limits = fields
            .value("limits")
            .map(|value| limits::read(value, &at, notes));
        if let (Some(limits), Some(connector)) = (&limits, connector) {
            limits::check(limits, connector, &at, notes);
        }
        Self { retry, limits }
    }
}

impl PlatformInput {
    /// Reads a platform that stands at `pointer` of a document.
    pub fn read(
        value: &Value,
        pointer: &str,
        catalog: &Catalog,
        notes: &mut Notes,
    ) -> Option<Self> {
        let mut fields = Fields::of(value, pointer, notes)?;
        let name = fields.required_text("name", notes);
        let connector = catalog.find(&name);
        if connector.is_none() && !name.is_empty() {
            refuse_platform(&name, catalog, fields.at("name"), notes);
        }
        let settings = PlatformSettings::of(&mut fields, connector, notes);
        fields.finish(notes);
        Some(Self { name, settings })
    }
}
