//! A connection as people write it, checked against its connector.

use serde::Serialize;
use serde_json::{Map, Value};
use syncline_engine::Connector;
use syncline_shared::budget::Limits;
use syncline_shared::db::connection::ConnectionDraft;
use syncline_shared::ids::BusinessId;
use url::Url;
use utoipa::ToSchema;

use super::limit_view::LimitView;
use super::limits;
use super::retry::{self, RetryView};
use super::{
    Fields, Notes, check_streams, read_key, read_name, read_streams, refuse_platform, secrets,
};
use syncline_engine::Catalog;

/// A connection to be saved.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "key": "acme-g2a", "name": "Acme on G2A", "business": "acme", "platform": "g2a",
    "config": {"client_id": "abc", "email": "ops@acme.example", "client_secret": "..."},
    "streams": ["products"], "limits": {"requests": {"limit": 100, "per_seconds": 1}}
}))]
pub struct ConnectionInput {
    /// Your own name for it: 1 to 63 of a-z, 0-9, dot, underscore and hyphen.
    pub key: String,
    /// Shown to people; the key, if it is left out.
    #[schema(required = false)]
    pub name: String,
    /// The business it belongs to: id or key.
    pub business: String,
    /// The platform: the name of a connector.
    pub platform: String,
    /// All settings that the connector asks for, secrets included. Secrets are encrypted and never shown again.
    #[schema(required = false, value_type = Object)]
    pub config: Value,
    /// Stands in for the platform's own address, for example a test server's.
    pub base_url: Option<String>,
    /// Only these streams; all, if it is left out.
    pub streams: Option<Vec<String>>,
    /// False: nothing is enqueued for it.
    #[schema(required = false, default = true)]
    pub enabled: bool,
    /// In place of the limits that the platform's budgets have, by the name of the budget.
    #[schema(required = false, value_type = BTreeMap<String, LimitView>)]
    pub limits: Limits,
    /// Overrides of the platform's retry policy.
    #[schema(required = false)]
    pub retry: RetryView,
}

/// A connection that fits its connector, with its secrets apart.
#[derive(Clone)]
pub struct CheckedConnection {
    /// As written, without the settings.
    pub input: ConnectionInput,
    /// The settings that are no secrets.
    pub config: Value,
    /// Only the secrets, each where it stands in the settings.
    pub secrets: Map<String, Value>,
    /// The limits in their stored form.
    pub limits: Value,
    /// The retry policy in its stored form.
    pub retry: Value,
}

impl std::fmt::Debug for CheckedConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckedConnection")
            .field("key", &self.input.key)
            .finish_non_exhaustive()
    }
}

impl ConnectionInput {
    /// Reads a connection that stands at `pointer`.
    pub fn read(value: &Value, pointer: &str, notes: &mut Notes) -> Option<Self> {
        let mut fields = Fields::of(value, pointer, notes)?;
        let key = read_key(&mut fields, notes);
        let name = read_name(&mut fields, notes, &key);
        let business = fields.required_text("business", notes);
        let platform = fields.required_text("platform", notes);
        let config = fields
            .value("config")
            .cloned()
            .unwrap_or_else(|| Value::Object(Map::new()));
        let base_url = fields.text("base_url", notes);
        if let Some(url) = &base_url
            && let Err(problem) = check_url(url)
        {
            notes.refuse(fields.at("base_url"), "url", problem);
        }
        let streams = read_streams(&mut fields, notes);
        let enabled = fields.boolean("enabled", notes).unwrap_or(true);
        let at_limits = fields.at("limits");
        let limits = fields
            .value("limits")
            .map(|value| limits::read(value, &at_limits, notes))
            .unwrap_or_default();
        let at_retry = fields.at("retry");
        let retry = fields
            .value("retry")
            .map(|value| retry::read(value, &at_retry, notes).into())
            .unwrap_or_default();
        fields.finish(notes);
        Some(Self {
            key,
            name,
            business,
            platform,
            config,
            base_url,
            streams,
            enabled,
            limits,
            retry,
        })
    }

    /// Checks it against its connector, and sets its secrets apart. `None`, with notes, if it does not fit.
    pub fn check(
        mut self,
        catalog: &Catalog,
        pointer: &str,
        notes: &mut Notes,
    ) -> Option<CheckedConnection> {
        let before = notes.len();
        if self.platform.is_empty() {
            return None;
        }
        let Some(connector) = catalog.find(&self.platform) else {
            refuse_platform(
                &self.platform,
                catalog,
                format!("{pointer}/platform"),
                notes,
            );
            return None;
        };
        let at_config = format!("{pointer}/config");
        let mut config = std::mem::take(&mut self.config);
        fit_expanded(&mut config, connector.config_schema(), &at_config, notes);
        if let Err(problems) = connector.check_config(&config) {
            for problem in problems {
                notes.refuse(
                    format!("{at_config}{}", problem.pointer),
                    "config",
                    problem.message,
                );
            }
        }
        refuse_notes_about_secrets(&config, connector, &at_config, notes);
        check_streams(
            self.streams.as_deref(),
            connector,
            &format!("{pointer}/streams"),
            notes,
        );
        limits::check(&self.limits, connector, &format!("{pointer}/limits"), notes);
        let (config, secrets) = secrets::split(config, &connector.secret_fields());
        let limits = serde_json::to_value(&self.limits).unwrap_or_default();
        let retry = serde_json::to_value(self.retry).unwrap_or_default();
        (notes.len() == before).then_some(CheckedConnection {
            input: self,
            config,
            secrets,
            limits,
            retry,
        })
    }
}

impl CheckedConnection {
    /// What the database is given.
    pub fn draft(&self, business_id: BusinessId) -> ConnectionDraft<'_> {
        ConnectionDraft {
            key: &self.input.key,
            name: &self.input.name,
            business_id,
            platform: &self.input.platform,
            config: &self.config,
            base_url: self.input.base_url.as_deref(),
            streams: self.input.streams.as_deref(),
            enabled: self.input.enabled,
            limits: &self.limits,
            retry: &self.retry,
        }
    }
}

fn check_url(text: &str) -> Result<(), String> {
    let url = Url::parse(text).map_err(|error| {
        format!("{text:?} is no address ({error}); allowed: http:// or https:// and a host")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "the scheme of {text:?} is {}; allowed: http, https",
            url.scheme()
        ));
    }
    // The address is stored in the clear and shown, so it must hold no secret.
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the address holds a user or a password; put them into the config".to_owned());
    }
    Ok(())
}

/// A secret that was read back says `{"set": true}`. Written as it was read, that would become the secret.
fn refuse_notes_about_secrets(config: &Value, connector: &Connector, at: &str, notes: &mut Notes) {
    for pointer in connector.secret_fields() {
        if config
            .pointer(&pointer)
            .is_some_and(|value| value.get("set").is_some_and(Value::is_boolean))
        {
            let detail = "this is what is shown in place of the secret; write the secret itself";
            notes.refuse(format!("{at}{pointer}"), "secret", detail);
        }
    }
}

/// Gives text that was put in as a whole the kind that the connector wants at its place.
fn fit_expanded(value: &mut Value, schema: &Value, pointer: &str, notes: &Notes) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let step = super::fields::escape(name);
                if let Some(schema) = schema.get("properties").and_then(|all| all.get(name)) {
                    fit_expanded(value, schema, &format!("{pointer}/{step}"), notes);
                }
            }
        }
        Value::String(text) if notes.is_expanded(pointer) => {
            let wanted = |kind: &str| match schema.get("type") {
                Some(Value::String(found)) => found == kind,
                Some(Value::Array(all)) => all.iter().any(|found| found == kind),
                _ => false,
            };
            let number = wanted("integer") || wanted("number");
            if wanted("string") || !(number || wanted("boolean")) {
                return;
            }
            match serde_json::from_str(text.trim()) {
                Ok(Value::Number(read)) if number => *value = Value::Number(read),
                Ok(Value::Bool(read)) if wanted("boolean") => *value = Value::Bool(read),
                _ => {}
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::HashSet;

    #[test]
    fn addresses_must_be_http_and_hold_no_password() {
        assert!(check_url("http://127.0.0.1:8081/v1").is_ok());
        assert!(check_url("https://api.example.com").is_ok());
        for bad in [
            "ftp://host/",
            "host:80",
            "/v1",
            "http://",
            "http://user:pass@host/",
        ] {
            let problem = check_url(bad).expect_err(bad);
            assert!(!problem.contains("user:pass"), "{problem}");
        }
    }

    #[test]
    fn reading_names_every_missing_field() {
        let mut notes = Notes::default();
        ConnectionInput::read(
            &json!({"base_url": "nowhere", "colour": 1}),
            "/c",
            &mut notes,
        );
        let pointers: Vec<_> = notes
            .into_problems()
            .into_iter()
            .map(|p| p.pointer)
            .collect();
        assert_eq!(
            pointers,
            [
                "/c/key",
                "/c/business",
                "/c/platform",
                "/c/base_url",
                "/c/colour"
            ]
        );
    }

    #[test]
    fn put_in_text_takes_the_kind_that_is_wanted() {
        let schema = json!({"properties": {
            "port": {"type": "integer"}, "id": {"type": "string"}, "deep": {"properties": {"on": {"type": "boolean"}}}
        }});
        let mut config = json!({"port": "80", "id": "80", "deep": {"on": "true"}, "plain": "1"});
        let all = ["/config/port", "/config/id", "/config/deep/on"].map(str::to_owned);
        let notes = Notes::with_expanded(HashSet::from(all));
        fit_expanded(&mut config, &schema, "/config", &notes);
        assert_eq!(
            config,
            json!({"port": 80, "id": "80", "deep": {"on": true}, "plain": "1"})
        );
    }
}
