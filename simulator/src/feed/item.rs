//! Items: each follows from the seed and its place in the list.

use serde::Serialize;
use serde_json::Number;

use crate::seeded::Draw;

const KINDS: [&str; 4] = ["article", "clip", "gallery", "note"];
const SUBJECTS: [&str; 8] = [
    "Harbour", "Orchard", "Lantern", "Meadow", "Quarry", "Station", "Tide", "Workshop",
];
const TAGS: [&str; 6] = ["archive", "città", "featured", "new", "日本", "weekly"];

/// One item as it is served.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Item {
    id: String,
    kind: &'static str,
    title: String,
    /// With two digits behind the point, whatever they are.
    score: Option<Number>,
    views: u64,
    published_at: String,
    tags: Vec<&'static str>,
}

impl Item {
    /// The item at this place, counted from 0.
    pub(super) fn at(seed: u64, index: u64) -> Self {
        let mut draw = Draw::keyed(&[seed, index]);
        let score = format!("{}.{:02}", draw.below(100), draw.below(100));
        // An item in ten has no score.
        let score = (!draw.percent(10)).then(|| score.parse().ok()).flatten();
        let (day, second) = (1 + draw.below(28), draw.below(86_400));
        let tag_count = draw.index(3);
        Self {
            id: format!("item-{:06}", index + 1),
            kind: draw.pick(&KINDS),
            title: format!("{} no. {}", draw.pick(&SUBJECTS), index + 1),
            score,
            views: draw.below(5_000_000),
            published_at: format!(
                "2026-{:02}-{day:02}T{:02}:{:02}:{:02}Z",
                1 + draw.below(9),
                second / 3_600,
                second / 60 % 60,
                second % 60
            ),
            tags: draw
                .sample(TAGS.len(), tag_count)
                .into_iter()
                .filter_map(|index| TAGS.get(index).copied())
                .collect(),
        }
    }
}

impl Item {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn published_at(&self) -> &str {
        &self.published_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_follow_from_the_seed_and_keep_their_digits() {
        assert_eq!(Item::at(1, 41), Item::at(1, 41));
        assert_ne!(Item::at(1, 41), Item::at(2, 41));
        let scores: Vec<_> = (0..200).map(|index| Item::at(1, index).score).collect();
        assert!(scores.contains(&None));
        for score in scores.iter().flatten() {
            let text = score.to_string();
            let digits = text.split('.').nth(1).map(str::len);
            assert_eq!(digits, Some(2), "{text}");
        }
    }
}
