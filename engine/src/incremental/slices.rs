//! How a range of time is cut into slices.
//!
//! Slices follow each other: each begins a step after the one before. With a granularity a slice ends one unit before the next
//! one begins, because both ends belong to it; without one, two slices touch. The last slice ends with the range, which belongs
//! to it.

use super::clamp::Clamp;
use crate::time::{Moment, Span};

/// A range that is cut into slices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    /// Where the first slice begins.
    pub(crate) from: Moment,
    /// Where the last slice ends.
    pub(crate) until: Moment,
    /// The distance of two slices; `None` makes a single one.
    pub(crate) step: Option<Span>,
    /// The smallest difference of two cursor values.
    pub(crate) granularity: Option<Span>,
    /// What slices begin with, if that is not any moment.
    pub(crate) clamp: Option<Clamp>,
}

/// One slice; both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Slice {
    pub(crate) since: Moment,
    pub(crate) end: Moment,
    /// Where the next slice begins; `None` for the last one.
    pub(crate) next: Option<Moment>,
}

impl Range {
    /// The slice that begins here; `None` if the step does not lead on.
    pub(crate) fn starting(&self, since: Moment) -> Option<Slice> {
        if let Some(clamp) = self.clamp {
            return self.clamped(clamp, clamp.up(since));
        }
        let last = Slice {
            since,
            end: self.until,
            next: None,
        };
        let Some(next) = self.step.and_then(|step| step.after(since)) else {
            return Some(last);
        };
        if next >= self.until {
            return Some(last);
        }
        // A step that does not lead on would be cut for ever.
        if next <= since {
            return None;
        }
        let end = self.granularity.and_then(|unit| unit.before(next));
        Some(Slice {
            since,
            end: end.unwrap_or(next),
            next: Some(next),
        })
    }
    /// The slice that begins with a period. The range ends with a whole one.
    fn clamped(&self, clamp: Clamp, since: Moment) -> Option<Slice> {
        let last = |end| Slice {
            since,
            end,
            next: None,
        };
        let Some(next) = self.step.and_then(|step| step.after(since)) else {
            let end = match self.granularity {
                Some(_) => self.until,
                None => clamp.up(self.until),
            };
            return Some(last(end));
        };
        if next >= self.until {
            return Some(last(self.until));
        }
        let next = clamp.up(next);
        if next == self.until {
            return Some(last(next));
        }
        if next <= since {
            return None;
        }
        let end = self.granularity.and_then(|unit| unit.before(next));
        Some(Slice {
            since,
            end: end.unwrap_or(next),
            next: (next < self.until).then_some(next),
        })
    }
}
