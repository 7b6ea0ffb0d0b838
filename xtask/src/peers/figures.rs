//! What is known of a contestant after a round, and after all of them.

use serde_json::{Map, Value, json};

/// The figures, in the order of [`Measured::figures`]. Rates are jobs a second.
pub(super) const NAMES: [&str; 5] = [
    "enqueue_per_s",
    "drain_1_per_s",
    "drain_2_per_s",
    "pickup_p50_ms",
    "pickup_p99_ms",
];

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) version: String,
    pub(super) settings: String,
    pub(super) keeps_history: Option<bool>,
    /// Jobs of a burn-down, where the contestant was told.
    pub(super) jobs: Option<u64>,
    pub(super) figures: [f64; NAMES.len()],
}

impl Measured {
    /// Each figure's median over the rounds.
    pub(super) fn median(rounds: &[Self]) -> Option<Self> {
        let mut result = rounds.first()?.clone();
        for (at, figure) in result.figures.iter_mut().enumerate() {
            let mut values: Vec<f64> = rounds.iter().map(|round| round.figures[at]).collect();
            values.sort_by(f64::total_cmp);
            *figure = percentile(&values, 0.5);
        }
        Some(result)
    }

    pub(super) fn json(&self, name: &str) -> Value {
        let mut object = Map::new();
        object.insert("peer".to_owned(), json!(name));
        object.insert("version".to_owned(), json!(self.version));
        object.insert("settings".to_owned(), json!(self.settings));
        object.insert("keeps_history".to_owned(), json!(self.keeps_history));
        object.insert("jobs".to_owned(), json!(self.jobs));
        for (name, figure) in NAMES.iter().zip(self.figures) {
            object.insert((*name).to_owned(), json!(rounded(figure)));
        }
        Value::Object(object)
    }
}

/// The smallest value that is not below the given share of the sorted values.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a list of some thousand values"
)]
pub(super) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    let value = sorted.get(rank.saturating_sub(1));
    value.copied().unwrap_or(f64::NAN)
}

/// Two digits behind the point: more would only be noise.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        let near = |share, expected: f64| (percentile(&values, share) - expected).abs() < 1e-9;
        assert!(near(0.5, 50.0) && near(0.99, 99.0) && near(1.0, 100.0) && near(0.0, 1.0));
        assert!(percentile(&[], 0.5).is_nan());
    }

    #[test]
    fn every_figure_has_its_own_median() {
        let round = |figures| Measured {
            version: String::new(),
            settings: String::new(),
            keeps_history: None,
            jobs: None,
            figures,
        };
        let rounds = [
            round([1.0, 9.0, 5.0, 0.0, 0.0]),
            round([2.0, 7.0, 6.0, 0.0, 0.0]),
            round([3.0, 8.0, 4.0, 0.0, 0.0]),
        ];
        let median = Measured::median(&rounds);
        assert_eq!(median, Some(round([2.0, 8.0, 5.0, 0.0, 0.0])));
        assert_eq!(Measured::median(&[]), None);
    }
}
