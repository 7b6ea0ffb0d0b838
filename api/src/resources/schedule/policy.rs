//! The policies of a schedule, as people write and read them: flat among its other fields.

use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;
use serde_json::Value;
use syncline_shared::schedule::{
    CatchUp, CatchUpMode, MAX_CATCH_UP_CAP, MAX_CATCH_UP_WINDOW, MAX_COUNT, MAX_DELAY_SECONDS,
    MIN_CATCH_UP_WINDOW, Overlap, Policy,
};
use utoipa::ToSchema;

use crate::resources::{Fields, Notes};

/// What a schedule does about lateness, overlap and failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SchedulePolicy)]
pub struct PolicyView {
    /// What becomes of moments that passed while no scheduler was up. A bare word stands for its `mode`.
    #[schema(required = false)]
    pub catch_up: CatchUpView,
    /// What a tick does on a connection whose run of the same schedule is unfinished. `skip`: no run; `queue_one`: one that waits, unless
    /// one is waiting already; `queue_all`: one that waits; `cancel_running`: the unfinished run is cancelled for it.
    #[schema(required = false, schema_with = crate::docs::overlap_schema)]
    pub overlap: Overlap,
    /// Each tick is due up to so many seconds after its moment, always the same number for the same moment.
    #[schema(required = false, minimum = 0, maximum = 86_400, default = 0)]
    pub jitter_seconds: u32,
    /// The runs of a tick begin spread over so many seconds.
    #[schema(required = false, minimum = 0, maximum = 86_400, default = 0)]
    pub spread_seconds: u32,
    /// No moment is before this instant.
    pub start_at: Option<DateTime<Utc>>,
    /// No moment is after this instant.
    pub end_at: Option<DateTime<Utc>>,
    /// After so many fired ticks it has ended.
    #[schema(minimum = 1)]
    pub max_runs: Option<u32>,
    /// After so many failed batches in a row it pauses itself.
    #[schema(minimum = 1)]
    pub pause_after_failures: Option<u32>,
}

/// What becomes of moments that passed while no scheduler was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CatchUp)]
pub struct CatchUpView {
    /// Of several moments inside the window `latest` fires the last one, `all` fires each up to the cap, and `none` only one that is at
    /// most a minute late.
    #[schema(required = false, schema_with = crate::docs::catch_up_schema)]
    pub mode: CatchUpMode,
    /// Moments that are late by more than so many seconds are missed.
    #[schema(
        required = false,
        minimum = 10,
        maximum = 316_224_000,
        default = 31_536_000
    )]
    pub window_seconds: i64,
    /// With `all`, how many moments fire after one outage, the newest of them.
    #[schema(required = false, minimum = 1, maximum = 1000, default = 100)]
    pub cap: u32,
}

impl From<Policy> for PolicyView {
    fn from(policy: Policy) -> Self {
        let Policy {
            catch_up,
            overlap,
            jitter_seconds,
            spread_seconds,
            start_at,
            end_at,
            max_runs,
            pause_after_failures,
        } = policy;
        Self {
            catch_up: CatchUpView {
                mode: catch_up.mode,
                window_seconds: catch_up.window_seconds,
                cap: catch_up.cap,
            },
            overlap,
            jitter_seconds,
            spread_seconds,
            start_at,
            end_at,
            max_runs,
            pause_after_failures,
        }
    }
}

impl From<PolicyView> for Policy {
    fn from(view: PolicyView) -> Self {
        let PolicyView {
            catch_up,
            overlap,
            jitter_seconds,
            spread_seconds,
            start_at,
            end_at,
            max_runs,
            pause_after_failures,
        } = view;
        Self {
            catch_up: CatchUp {
                window_seconds: catch_up.window_seconds,
                mode: catch_up.mode,
                cap: catch_up.cap,
            },
            overlap,
            jitter_seconds,
            spread_seconds,
            start_at,
            end_at,
            max_runs,
            pause_after_failures,
        }
    }
}

impl PolicyView {
    /// Reads the fields of a policy. What is left out is as it is by default.
    pub fn read(fields: &mut Fields<'_>, notes: &mut Notes) -> Self {
        let before = notes.len();
        let default = Policy::default();
        let policy = Policy {
            catch_up: read_catch_up(fields, notes),
            overlap: fields.word("overlap", notes).unwrap_or(default.overlap),
            jitter_seconds: count(fields, "jitter_seconds", 0, MAX_DELAY_SECONDS, notes)
                .unwrap_or(default.jitter_seconds),
            spread_seconds: count(fields, "spread_seconds", 0, MAX_DELAY_SECONDS, notes)
                .unwrap_or(default.spread_seconds),
            start_at: instant(fields, "start_at", notes),
            end_at: instant(fields, "end_at", notes),
            max_runs: count(fields, "max_runs", 1, MAX_COUNT, notes),
            pause_after_failures: count(fields, "pause_after_failures", 1, MAX_COUNT, notes),
        };
        // What is wrong with a field alone was told above.
        if notes.len() == before {
            for problem in policy.problems() {
                let at = fields.at(problem.field);
                notes.refuse(at, problem.field, problem.to_string());
            }
        }
        policy.into()
    }
}

fn read_catch_up(fields: &mut Fields<'_>, notes: &mut Notes) -> CatchUp {
    let default = CatchUp::default();
    let at = fields.at("catch_up");
    let Some(value) = fields.value("catch_up") else {
        return default;
    };
    if let Value::String(_) = value {
        let mode = fields.word("catch_up", notes).unwrap_or(default.mode);
        return CatchUp { mode, ..default };
    }
    let Some(mut inner) = Fields::of(value, at, notes) else {
        return default;
    };
    let read = CatchUp {
        mode: inner.word("mode", notes).unwrap_or(default.mode),
        window_seconds: inner
            .integer(
                "window_seconds",
                MIN_CATCH_UP_WINDOW,
                MAX_CATCH_UP_WINDOW,
                notes,
            )
            .unwrap_or(default.window_seconds),
        cap: count(&mut inner, "cap", 1, MAX_CATCH_UP_CAP, notes).unwrap_or(default.cap),
    };
    inner.finish(notes);
    read
}

fn count(
    fields: &mut Fields<'_>,
    name: &'static str,
    from: u32,
    to: u32,
    notes: &mut Notes,
) -> Option<u32> {
    fields
        .integer(name, from.into(), to.into(), notes)
        .and_then(|number| u32::try_from(number).ok())
}

/// The database keeps microseconds; what is compared with it must do the same.
pub(super) fn instant(
    fields: &mut Fields<'_>,
    name: &'static str,
    notes: &mut Notes,
) -> Option<DateTime<Utc>> {
    fields
        .instant(name, notes)
        .map(|instant| instant.trunc_subsecs(6))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: &Value) -> (PolicyView, Vec<String>) {
        let mut notes = Notes::default();
        let mut fields = Fields::of(value, "", &mut notes).expect("an object");
        let policy = PolicyView::read(&mut fields, &mut notes);
        fields.finish(&mut notes);
        let pointers = notes.into_problems().into_iter().map(|p| p.pointer);
        (policy, pointers.collect())
    }

    #[test]
    fn nothing_is_the_default_and_a_word_is_a_mode() {
        assert_eq!(
            read(&json!({})),
            (PolicyView::from(Policy::default()), vec![])
        );
        let (word, problems) = read(&json!({"catch_up": "none"}));
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(word, read(&json!({"catch_up": {"mode": "none"}})).0);
        assert_eq!(word.catch_up.mode, CatchUpMode::Skip);
    }

    #[test]
    fn what_is_shown_can_be_written_again() {
        let (policy, _) = read(&json!({
            "catch_up": {"mode": "all", "cap": 3, "window_seconds": 60}, "overlap": "queue_one", "jitter_seconds": 5,
            "spread_seconds": 6, "start_at": "2026-01-01T00:00:00Z", "end_at": "2026-02-01T00:00:00Z", "max_runs": 7,
            "pause_after_failures": 8,
        }));
        let shown = serde_json::to_value(policy).expect("JSON");
        assert_eq!(read(&shown), (policy, vec![]));
        assert_eq!(PolicyView::from(Policy::from(policy)), policy);
    }

    #[test]
    fn every_problem_is_told_with_its_place() {
        let (_, problems) = read(&json!({
            "catch_up": {"mode": "some", "window_seconds": 9, "cap": 0, "colour": 1}, "overlap": "both",
            "jitter_seconds": 86_401, "max_runs": 0, "end_at": "soon",
        }));
        assert_eq!(
            problems,
            [
                "/catch_up/mode",
                "/catch_up/window_seconds",
                "/catch_up/cap",
                "/catch_up/colour",
                "/overlap",
                "/jitter_seconds",
                "/end_at",
                "/max_runs",
            ]
        );
        let (_, problems) =
            read(&json!({"start_at": "2026-02-01T00:00:00Z", "end_at": "2026-01-01T00:00:00Z"}));
        assert_eq!(problems, ["/end_at"]);
    }
}
