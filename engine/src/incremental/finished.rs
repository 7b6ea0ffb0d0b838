//! States that hold finished slices: `{"state_type": "date-range", "slices": [{"start", "end", "most_recent_cursor_value"}]}`, as some
//! connectors in Python store them.
//!
//! What counts is how far everything is there without a gap. What lies behind the first gap is read again, of which the reference reads
//! the gaps only: records come twice, which does no harm, and a cursor needs to know one place instead of many.

use serde_json::{Map, Value};

use crate::time::{Moment, Span};

/// What finished slices say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Finished {
    /// Where the first of them begins.
    pub(super) start: Moment,
    /// From where to go on.
    pub(super) reached: Moment,
    /// The newest value up to there.
    pub(super) newest: Moment,
    /// Nothing was read behind it.
    pub(super) is_all: bool,
}

const MEMBERS: &[&str] = &["state_type", "slices", "legacy"];

impl Finished {
    /// Takes the slices out of a state. `None`: it is no state of this kind; `Err` says what of it cannot be read.
    pub(super) fn take(
        state: &mut Map<String, Value>,
        moment_of: impl Fn(&Value) -> Option<Moment>,
        granularity: Option<Span>,
    ) -> Result<Option<Finished>, String> {
        if state.get("state_type").and_then(Value::as_str) != Some("date-range") {
            return Ok(None);
        }
        let stored = state.get("slices").cloned().unwrap_or_default();
        for name in MEMBERS {
            state.remove(*name);
        }
        let mut slices = Vec::new();
        for slice in stored.as_array().into_iter().flatten() {
            let moment = |name: &str| match slice.get(name) {
                None | Some(Value::Null) => Ok(None),
                Some(value) => moment_of(value).map(Some).ok_or_else(|| value.to_string()),
            };
            let needed = |name: &str| moment(name)?.ok_or_else(|| slice.to_string());
            let newest = moment("most_recent_cursor_value")?;
            slices.push((needed("start")?, needed("end")?, newest));
        }
        slices.sort_by_key(|(start, end, _)| (*start, *end));
        let mut slices = slices.into_iter();
        let Some((start, mut end, mut newest)) = slices.next() else {
            return Ok(None);
        };
        let unit = granularity.or_else(|| Span::parse("PT0.001S"));
        let follows = |end: Moment| unit.and_then(|unit| unit.after(end)).unwrap_or(end);
        let mut is_all = true;
        for (next, until, seen) in slices {
            if next > follows(end) {
                is_all = false;
                break;
            }
            end = end.max(until);
            newest = newest.max(seen);
        }
        let reached = match granularity {
            Some(_) if !is_all => follows(end),
            _ => end,
        };
        Ok(Some(Finished {
            start,
            reached,
            newest: newest.unwrap_or(start),
            is_all,
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::time::Format;

    fn taken(state: &Value, granularity: Option<&str>) -> (Option<Finished>, Value) {
        let format = Format::compile("%Y-%m-%d").unwrap();
        let mut state = state.as_object().cloned().unwrap();
        let unit = granularity.and_then(Span::parse);
        let finished = Finished::take(&mut state, |value| format.read(value), unit);
        (finished.unwrap(), Value::Object(state))
    }

    fn day(day: u32) -> Moment {
        let text = format!("2024-01-{day:02}T00:00:00+00:00");
        Moment::parse_from_rfc3339(&text).unwrap()
    }

    #[test]
    fn what_is_there_without_a_gap_counts_whatever_the_order() {
        let slice = |start: u32, end: u32, newest: Option<u32>| {
            let text = |day: u32| format!("2024-01-{day:02}");
            json!({"start": text(start), "end": text(end), "most_recent_cursor_value": newest.map(text)})
        };
        let state =
            |slices: Vec<Value>| json!({"state_type": "date-range", "slices": slices, "mine": 1});
        let found = |slices, granularity| {
            let (finished, rest) = taken(&state(slices), granularity);
            assert_eq!(rest, json!({"mine": 1}));
            let finished = finished.unwrap();
            (
                finished.start,
                finished.reached,
                finished.newest,
                finished.is_all,
            )
        };
        assert_eq!(
            found(vec![slice(1, 5, Some(4))], Some("P1D")),
            (day(1), day(5), day(4), true)
        );
        assert_eq!(
            found(vec![slice(6, 9, None), slice(1, 5, Some(4))], Some("P1D")),
            (day(1), day(9), day(4), true)
        );
        let gap = || vec![slice(1, 5, None), slice(7, 9, Some(8))];
        assert_eq!(found(gap(), Some("P1D")), (day(1), day(6), day(1), false));
        assert_eq!(found(gap(), None), (day(1), day(5), day(1), false));
    }

    #[test]
    fn other_states_stay_and_unreadable_slices_are_named() {
        for other in [
            json!({"at": "2024"}),
            json!({"slices": []}),
            json!({"state_type": "x"}),
        ] {
            assert_eq!(taken(&other, None), (None, other));
        }
        let mut wrong = json!({"state_type": "date-range", "slices": [{"start": "x", "end": "y"}]});
        let wrong = wrong.as_object_mut().unwrap();
        let format = Format::compile("%Y-%m-%d").unwrap();
        let error = Finished::take(wrong, |value| format.read(value), None).unwrap_err();
        assert_eq!(error, "\"x\"");
    }
}
