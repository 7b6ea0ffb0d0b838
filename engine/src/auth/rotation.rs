//! `refresh_token_updater`: tokens that live in the config, and a refresh token that each refresh replaces.
//!
//! The config is the truth: a token that it has is used as long as it is good. What a refresh gives is stored by the host before it is
//! used, and the host sees to it that nobody else refreshes meanwhile.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::login::moment_of;
use crate::host::Refreshed;
use crate::load::component::{Component, Problems};
use crate::request::url::text_of;

/// `refresh_token_updater`.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    /// The name of the refresh token in requests and answers.
    pub(super) refresh_token_name: String,
    access_token: Vec<String>,
    refresh_token: Vec<String>,
    expiry: Vec<String>,
    /// Where it stands in the manifest: what tells it from others.
    pub(crate) place: String,
}

impl Rotation {
    pub(super) fn load(component: &Component<'_>, problems: &mut Problems) -> Option<Rotation> {
        let value = component.get("refresh_token_updater")?;
        let place = component.path_of("refresh_token_updater");
        let Value::Object(fields) = value else {
            problems.add(place, "a mapping is needed here");
            return None;
        };
        let mut path = |name: &str, last: &str| match fields.get(name) {
            None | Some(Value::Null) => vec!["credentials".to_owned(), last.to_owned()],
            Some(value) => {
                let names: Option<Vec<String>> = value.as_array().and_then(|names| {
                    let text = |name: &Value| name.as_str().map(str::to_owned);
                    names.iter().map(text).collect()
                });
                names.filter(|names| !names.is_empty()).unwrap_or_else(|| {
                    problems.add(format!("{place}/{name}"), "a list of names is needed here");
                    Vec::new()
                })
            }
        };
        Some(Rotation {
            access_token: path("access_token_config_path", "access_token"),
            refresh_token: path("refresh_token_config_path", "refresh_token"),
            expiry: path("token_expiry_date_config_path", "token_expiry_date"),
            refresh_token_name: fields
                .get("refresh_token_name")
                .and_then(Value::as_str)
                .unwrap_or("refresh_token")
                .to_owned(),
            place: component.path.clone(),
        })
    }

    /// The config's refresh token; empty if it has none.
    pub(super) fn refresh_token(&self, config: &Value) -> String {
        find(config, &self.refresh_token)
            .map(text_of)
            .unwrap_or_default()
    }

    /// The config's access token, if it is good at this moment, and for how long.
    pub(crate) fn stored(
        &self,
        config: &Value,
        now: DateTime<Utc>,
    ) -> Option<(String, std::time::Duration)> {
        let token = find(config, &self.access_token)
            .map(text_of)
            .filter(|token| !token.is_empty())?;
        let until = moment_of(&find(config, &self.expiry).map(text_of)?)?;
        let left = (until - now).to_std().ok().filter(|left| !left.is_zero())?;
        Some((token, left))
    }

    /// Takes the tokens over that another config has by now.
    pub(crate) fn take_over(&self, config: &mut Value, stored: &Value) {
        let Value::Object(members) = config else {
            return;
        };
        for path in [&self.access_token, &self.refresh_token, &self.expiry] {
            if let Some(value) = find(stored, path) {
                // A config that fits its schema has nothing in the way.
                let _ = crate::record::place::set(members, path, value.clone());
            }
        }
    }

    /// What a refresh changes. An answer without a refresh token leaves the old one in place.
    pub(super) fn refreshed(
        &self,
        config: &Value,
        access_token: &str,
        refresh_token: Option<&str>,
        lifetime: TimeDelta,
        now: DateTime<Utc>,
    ) -> Refreshed {
        let until = now.checked_add_signed(lifetime).unwrap_or(now);
        let mut changes = vec![
            (self.access_token.clone(), access_token.into()),
            (self.expiry.clone(), written(until).into()),
        ];
        if let Some(token) = refresh_token {
            changes.push((self.refresh_token.clone(), token.into()));
        }
        Refreshed {
            refresh_token_path: self.refresh_token.clone(),
            used: self.refresh_token(config),
            changes,
        }
    }
}

fn find<'v>(config: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter()
        .try_fold(config, |place, step| place.get(step))
        .filter(|value| !value.is_null())
}

/// A moment as the language stores it: microseconds only if there are some.
fn written(moment: DateTime<Utc>) -> String {
    let has_fraction = moment.timestamp_subsec_micros() != 0;
    let format = if has_fraction {
        "%Y-%m-%dT%H:%M:%S%.6f+00:00"
    } else {
        "%Y-%m-%dT%H:%M:%S+00:00"
    };
    moment.format(format).to_string()
}
