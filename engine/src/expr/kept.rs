//! What expressions compile while they run (regular expressions, datetime formats), kept for the next record.
//!
//! The texts come from constants of manifests nearly always, so some places are enough; a text that changes with each record only
//! pushes out others that are used as seldom.

use std::sync::{Arc, OnceLock};

use quick_cache::sync::Cache;

/// Longer texts are data rather than formats, and not kept.
const MAX_TEXT: usize = 4096;

/// The things that are in use, by their text. All threads share them.
pub(crate) struct Kept<T> {
    places: usize,
    things: OnceLock<Cache<String, Arc<T>>>,
}

impl<T> Kept<T> {
    /// At most so many things.
    pub(crate) const fn new(places: usize) -> Kept<T> {
        Kept {
            places,
            things: OnceLock::new(),
        }
    }

    /// The thing of this text, made if it is not there. What cannot be made is not kept.
    pub(crate) fn get<E>(
        &self,
        text: &str,
        make: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        if text.len() > MAX_TEXT {
            return make(text).map(Arc::new);
        }
        self.things
            .get_or_init(|| Cache::new(self.places))
            .get_or_insert_with(text, || make(text).map(Arc::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_again_and_again_is_kept() {
        const PLACES: usize = 16;
        let kept = Kept::new(PLACES);
        let mut made = Vec::new();
        let mut get = |text: &str| {
            let found = kept.get(text, |text| {
                made.push(text.to_owned());
                Ok::<_, ()>(text.len())
            });
            assert_eq!(*found.unwrap(), text.len());
        };
        get("first");
        for index in 0..2 * PLACES {
            get(&format!("number {index}"));
            get("first");
        }
        assert_eq!(made.iter().filter(|text| *text == "first").count(), 1);
        let things = kept.things.get().unwrap();
        assert!(things.len() <= PLACES, "{}", things.len());
    }

    #[test]
    fn long_texts_are_not_kept() {
        let kept = Kept::new(4);
        let text = "x".repeat(MAX_TEXT + 1);
        let mut made = 0;
        for _ in 0..2 {
            let found = kept.get(&text, |_| {
                made += 1;
                Ok::<_, ()>(made)
            });
            assert_eq!(*found.unwrap(), made);
        }
        assert_eq!(made, 2);
    }

    #[test]
    fn what_cannot_be_made_is_tried_again() {
        let kept = Kept::new(4);
        assert!(kept.get("a", |_| Err::<u8, _>("no")).is_err());
        assert_eq!(*kept.get("a", |_| Ok::<_, &str>(1)).unwrap(), 1);
    }
}
