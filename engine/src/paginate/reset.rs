//! `PaginationReset`: when the pages of a slice are begun anew, and from where.
//!
//! Platforms that give no more than so many records for one question ask for this: what is left of the slice behind the newest record is
//! asked for by a question of its own. A slice that would be begun anew from where it was begun before ends the read, or it would never
//! end.

use serde_json::{Map, Value, json};

use crate::load::component::{Component, Problems};

/// `PaginationReset`.
#[derive(Debug, Clone, Default)]
pub(crate) struct ResetPlan {
    /// `SPLIT_USING_CURSOR`: the slice is begun from the newest value that was seen in it.
    pub(crate) splits: bool,
    /// Records after which it is begun anew, whatever the platform says.
    limit: Option<u64>,
}

/// Resets of the open slice.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Resets {
    /// Records since the last one.
    counted: u64,
    /// Those that began the whole slice anew.
    whole: u64,
}

impl ResetPlan {
    /// The field `pagination_reset` of a retriever, if there is one.
    pub(crate) fn load(retriever: &Component<'_>, problems: &mut Problems) -> Option<ResetPlan> {
        let component = retriever.child("pagination_reset", &["PaginationReset"], problems)?;
        component.refuse(&[], &[], problems);
        let splits = match component.get("action").and_then(Value::as_str) {
            Some("SPLIT_USING_CURSOR") => true,
            Some("RESET") => false,
            _ => {
                let message = "one of SPLIT_USING_CURSOR and RESET is needed here";
                problems.add(component.path_of("action"), message);
                false
            }
        };
        let limits = component.child("limits", &["PaginationResetLimits"], problems);
        let limit = limits.and_then(|limits| {
            limits.refuse(&[], &[], problems);
            limits.whole_number("number_of_records", problems)
        });
        let filter = retriever
            .get("record_selector")
            .and_then(|selector| selector.get("record_filter"));
        if component.get("limits").is_some() && filter.is_some_and(|filter| !filter.is_null()) {
            let message = "limits count what is left of the records, so there can be no record_filter beside them";
            problems.add(component.path_of("limits"), message);
        }
        Some(ResetPlan { splits, limit })
    }

    /// Counts the records of a page; true if the slice is to be begun anew after it.
    pub(crate) fn count(&self, resets: &mut Resets, records: usize) -> bool {
        let Some(limit) = self.limit else {
            return false;
        };
        resets.counted = resets.counted.saturating_add(records as u64);
        resets.counted >= limit
    }
}

impl Resets {
    /// Another one, which leaves something of the slice out.
    pub(crate) fn after_split(self) -> Resets {
        Resets { counted: 0, ..self }
    }

    /// Another one of the whole slice; `None` if there was one already.
    pub(crate) fn again(self) -> Option<Resets> {
        (self.whole == 0).then_some(Resets {
            counted: 0,
            whole: 1,
        })
    }

    /// Adds what a position has to hold of it.
    pub(crate) fn note(self, members: &mut Map<String, Value>) {
        for (name, number) in [("counted", self.counted), ("resets", self.whole)] {
            if number > 0 {
                members.insert(name.to_owned(), json!(number));
            }
        }
    }

    pub(crate) fn of_position(position: &Value) -> Resets {
        let number = |name: &str| position.get(name).and_then(Value::as_u64).unwrap_or(0);
        Resets {
            counted: number("counted"),
            whole: number("resets"),
        }
    }
}
