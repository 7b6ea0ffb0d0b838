//! `ConcurrencyLevel`: how much a manifest wants to be read at the same time. It may ask for less than the caller allows, not for more.

use super::component::{Component, Problems};
use crate::expr::{Place, Scope, Template};

/// `ConcurrencyLevel`.
#[derive(Debug, Clone)]
pub(crate) struct Concurrency {
    wanted: Option<Template>,
    most: Option<u64>,
}

impl Concurrency {
    /// The field `concurrency_level` of a source, if there is one.
    pub(crate) fn load(source: &Component<'_>, problems: &mut Problems) -> Option<Concurrency> {
        let level = source.child("concurrency_level", &["ConcurrencyLevel"], problems)?;
        level.refuse(&[], &[], problems);
        Some(Concurrency {
            wanted: level.template("default_concurrency", Place::CONFIG, problems),
            most: level.whole_number("max_concurrency", problems),
        })
    }

    /// How much may be read at once, at least 1, where the caller allows `allowed`. What is no number changes nothing.
    pub(crate) fn at_once(&self, allowed: usize, scope: &Scope<'_>) -> usize {
        let stated = |template: &Template| {
            let value = template.evaluate(scope).ok()??;
            value.as_json().and_then(serde_json::Value::as_u64)
        };
        let wanted = self.wanted.as_ref().and_then(stated);
        let of_both = match (wanted, self.most) {
            (Some(wanted), Some(most)) => Some(wanted.min(most)),
            (wanted, most) => wanted.or(most),
        };
        let least = of_both.and_then(|number| usize::try_from(number).ok());
        least.map_or(allowed, |least| allowed.min(least)).max(1)
    }
}
