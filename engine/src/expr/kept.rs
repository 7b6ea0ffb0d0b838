//! What expressions compile while they run (regular expressions, datetime formats), kept for the next record.
//!
//! The texts come from constants of manifests nearly always, so a few places are enough; a text that changes with each record only
//! pushes others out. Few, because a compiled regular expression may take a megabyte.

use std::sync::{Arc, Mutex, PoisonError};

const PLACES: usize = 16;
/// Longer texts are data rather than formats, and not kept.
const MAX_TEXT: usize = 4096;

/// The things compiled last, by their text.
pub(crate) struct Kept<T> {
    things: Mutex<Vec<(String, Arc<T>)>>,
}

impl<T> Kept<T> {
    pub(crate) const fn new() -> Kept<T> {
        Kept {
            things: Mutex::new(Vec::new()),
        }
    }

    /// The thing of this text, made if it is not there. What cannot be made is not kept.
    pub(crate) fn get<E>(
        &self,
        text: &str,
        make: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        {
            // A panic elsewhere leaves the list as whole as it was.
            let mut things = self.things.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(place) = things.iter().position(|(known, _)| known == text) {
                let found = Arc::clone(&things[place].1);
                // What is used stays in front; what is at the end is dropped first.
                things[..=place].rotate_right(1);
                return Ok(found);
            }
        }
        let thing = Arc::new(make(text)?);
        if text.len() > MAX_TEXT {
            return Ok(thing);
        }
        let mut things = self.things.lock().unwrap_or_else(PoisonError::into_inner);
        things.truncate(PLACES - 1);
        things.insert(0, (text.to_owned(), Arc::clone(&thing)));
        Ok(thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_is_kept() {
        let kept = Kept::new();
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
        get("number 0");
        assert_eq!(made.iter().filter(|text| *text == "first").count(), 1);
        assert_eq!(made.iter().filter(|text| *text == "number 0").count(), 2);
    }

    #[test]
    fn what_cannot_be_made_is_tried_again() {
        let kept = Kept::new();
        assert!(kept.get("a", |_| Err::<u8, _>("no")).is_err());
        assert_eq!(*kept.get("a", |_| Ok::<_, &str>(1)).unwrap(), 1);
    }
}
