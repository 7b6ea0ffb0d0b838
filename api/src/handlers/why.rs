//! Why a run is not running, and until when, in a sentence.
//!
//! A list tells what the run's own row says. Of a single run more is told, from what is around it: which run stands in front,
//! and whether any worker is up and has a slot.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use syncline_shared::db::history::{self, RunView};
use syncline_shared::db::process::{self, Slots};
use syncline_shared::db::{DbConnection, DbResult};
use syncline_shared::ids::RunId;
use syncline_shared::run::{RunStatus, SYNC_QUEUE};
use utoipa::ToSchema;

/// Why a run is not running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Why {
    /// `ready`, `delay`, `limit`, `backoff`, `overlap`, `dependency`, `pause`; `cancelling`, also of a run that still runs.
    #[schema(example = "limit")]
    pub code: String,
    /// In words.
    #[schema(example = "waiting for g2a budget requests until 12:04:10 UTC")]
    pub text: String,
    /// Until when, where that is known.
    pub until: Option<DateTime<Utc>>,
}

/// What was found around a run; nothing, where nobody looked.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// The run that stands in front of it on its connection.
    in_front: Option<(RunId, RunStatus)>,
    /// The slots of the fleet.
    slots: Option<Slots>,
}

impl Surroundings {
    /// Looks at what may explain this run. A process that was heard of within `lease` is up.
    pub(crate) async fn look(
        db: &mut DbConnection,
        run: &RunView,
        lease: Duration,
    ) -> DbResult<Self> {
        let mut found = Self::default();
        if run.waiting_for.as_deref() == Some("overlap") {
            found.in_front = history::find_in_front(db, run.connection_id).await?;
        } else if run.status == RunStatus::Queued {
            let slots = process::count_slots(db, lease, SYNC_QUEUE, &run.platform).await?;
            found.slots = Some(slots);
        }
        Ok(found)
    }
}

/// Why a run is not running; `None` while it runs undisturbed and once it has ended.
pub(super) fn why(run: &RunView, around: &Surroundings) -> Option<Why> {
    if run.status.is_terminal() {
        return None;
    }
    if run.cancel_requested_at.is_some() {
        return Some(Why {
            code: "cancelling".to_owned(),
            text: cancelling(run),
            until: None,
        });
    }
    if run.status == RunStatus::Running {
        return None;
    }
    let until = run.waiting_until;
    let code = run.waiting_for.as_deref().unwrap_or("ready");
    let detail = run.wait_detail.as_deref();
    let text = match code {
        "ready" => ready(around.slots, &run.platform),
        "overlap" => match around.in_front {
            Some((id, status)) => {
                format!("waits for another run of this connection: {id}, which is {status}")
            }
            None => "waits for another run of this connection".to_owned(),
        },
        "pause" => detail.unwrap_or("paused").to_owned(),
        "dependency" => detail
            .unwrap_or("waits for another batch to end")
            .to_owned(),
        "delay" => sentence("asked for later: due", " at ", until),
        "backoff" => {
            let error = run.last_error.as_ref().map(|error| error.message.as_str());
            let failed = match error.or(detail) {
                Some(error) => format!("failed ({error}), tried again"),
                None => "failed, tried again".to_owned(),
            };
            sentence(&failed, " at ", until)
        }
        _ => sentence(
            detail.unwrap_or("waiting for the platform's limit"),
            " until ",
            until,
        ),
    };
    Some(Why {
        code: code.to_owned(),
        text,
        until,
    })
}

fn ready(slots: Option<Slots>, platform: &str) -> String {
    match slots {
        Some(Slots { workers: 0, .. }) => {
            "ready, but no worker is up; start one: syncline worker".to_owned()
        }
        // The next free slot goes to another platform.
        Some(slots)
            if slots.taken >= slots.total
                && slots.others_are_ready
                && slots.taken_by_platform >= slots.share =>
        {
            format!(
                "ready: {platform} holds its share of the slots, {} of {}, while runs of other platforms are ready; it is taken in its \
                 turn when a run of {platform} ends, or none of the others is left",
                slots.taken_by_platform, slots.total
            )
        }
        Some(slots) if slots.taken >= slots.total => {
            let all = match slots.total {
                1 => "the only slot".to_owned(),
                total => format!("all {total} slots"),
            };
            let (workers, are) = match (slots.workers, slots.total) {
                (1, 1) => ("1 worker".to_owned(), "is"),
                (1, _) => ("1 worker".to_owned(), "are"),
                (workers, _) => (format!("{workers} workers"), "are"),
            };
            format!("ready: {all} of {workers} {are} taken, the next free one takes it in its turn")
        }
        _ => "ready: the next free worker slot takes it".to_owned(),
    }
}

fn cancelling(run: &RunView) -> String {
    let by = run.cancelled_by.as_deref().unwrap_or("somebody");
    match &run.cancel_note {
        Some(note) => format!("cancelling: asked by {by}: {note}"),
        None => format!("cancelling: asked by {by}"),
    }
}

fn sentence(start: &str, link: &str, until: Option<DateTime<Utc>>) -> String {
    match until {
        // A worker's own detail may name the moment already.
        Some(until) if !start.contains(link) => {
            let until = until.to_rfc3339_opts(SecondsFormat::Secs, true);
            format!("{start}{link}{until}")
        }
        _ => start.to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::Value;
    use syncline_shared::ids::{BatchId, BusinessId, ConnectionId};
    use syncline_shared::run::{FailureKind, Progress, RunError, RunKind, RunOrigin};
    use uuid::Uuid;

    pub(crate) fn run(status: RunStatus, waiting_for: Option<&str>) -> RunView {
        let at = "2026-01-01T12:00:00Z".parse().unwrap();
        RunView {
            id: RunId(Uuid::nil()),
            status,
            batch_id: BatchId(Uuid::nil()),
            schedule_id: None,
            schedule_key: None,
            connection_id: ConnectionId(Uuid::nil()),
            connection_key: Some("acme-g2a".to_owned()),
            business_id: BusinessId(Uuid::nil()),
            business_key: None,
            platform: "g2a".to_owned(),
            origin: RunOrigin::Manual,
            requested_by: None,
            kind: RunKind::Full,
            streams: None,
            page: None,
            range_from: None,
            range_to: None,
            priority: 10,
            attempt: 1,
            failures: 1,
            waiting_for: waiting_for.map(str::to_owned),
            wait_detail: None,
            waiting_until: waiting_for
                .filter(|reason| *reason != "overlap")
                .map(|_| "2026-01-01T12:04:10Z".parse().unwrap()),
            created_at: at,
            started_at: Some(at),
            finished_at: None,
            checkpoint_sequence: 0,
            checkpoint: Value::Null,
            progress: sqlx::types::Json(Progress::default()),
            last_error: None,
            retry_of: None,
            retried_by: None,
            cancel_requested_at: None,
            cancelled_by: None,
            cancel_note: None,
        }
    }

    fn text(run: &RunView) -> String {
        why(run, &Surroundings::default()).expect("a reason").text
    }

    #[test]
    fn every_run_that_is_not_running_says_why() {
        for status in RunStatus::ALL {
            let expected = *status != RunStatus::Running && !status.is_terminal();
            assert_eq!(
                why(&run(*status, None), &Surroundings::default()).is_some(),
                expected,
                "{status}"
            );
        }
    }

    #[test]
    fn reasons_are_sentences_with_their_moment() {
        assert!(text(&run(RunStatus::Queued, None)).starts_with("ready: "));
        assert_eq!(
            text(&run(RunStatus::Waiting, Some("overlap"))),
            "waits for another run of this connection"
        );
        assert_eq!(
            text(&run(RunStatus::Waiting, Some("delay"))),
            "asked for later: due at 2026-01-01T12:04:10Z"
        );
        let mut limited = run(RunStatus::Waiting, Some("limit"));
        limited.wait_detail = Some("waiting for g2a budget requests".to_owned());
        assert_eq!(
            text(&limited),
            "waiting for g2a budget requests until 2026-01-01T12:04:10Z"
        );
        let mut retrying = run(RunStatus::Retrying, Some("backoff"));
        let error = RunError::new(FailureKind::Transient, "HTTP 503");
        retrying.last_error = Some(sqlx::types::Json(error));
        assert_eq!(
            text(&retrying),
            "failed (HTTP 503), tried again at 2026-01-01T12:04:10Z"
        );
    }

    #[test]
    fn a_single_run_is_explained_by_what_is_around_it() {
        let around = |workers, total, taken| Slots {
            workers,
            total,
            taken,
            share: 4,
            taken_by_platform: 3,
            others_are_ready: true,
        };
        let slots = |workers, total, taken| ready(Some(around(workers, total, taken)), "g2a");
        assert_eq!(
            slots(0, 0, 0),
            "ready, but no worker is up; start one: syncline worker"
        );
        assert_eq!(
            slots(2, 8, 8),
            "ready: all 8 slots of 2 workers are taken, the next free one takes it in its turn"
        );
        assert_eq!(
            slots(1, 1, 1),
            "ready: the only slot of 1 worker is taken, the next free one takes it in its turn"
        );
        assert_eq!(slots(2, 8, 7), "ready: the next free worker slot takes it");
        let full = Slots {
            taken_by_platform: 4,
            ..around(2, 8, 8)
        };
        assert_eq!(
            ready(Some(full), "g2a"),
            "ready: g2a holds its share of the slots, 4 of 8, while runs of other platforms are ready; it is taken in its turn when a \
             run of g2a ends, or none of the others is left"
        );
        let alone = Slots {
            others_are_ready: false,
            ..full
        };
        assert!(ready(Some(alone), "g2a").starts_with("ready: all 8 slots"));
        let around = Surroundings {
            in_front: Some((RunId(Uuid::nil()), RunStatus::Running)),
            slots: None,
        };
        assert_eq!(
            why(&run(RunStatus::Waiting, Some("overlap")), &around)
                .unwrap()
                .text,
            "waits for another run of this connection: 00000000-0000-0000-0000-000000000000, which is running"
        );
    }

    #[test]
    fn who_paused_or_cancels_a_run_is_told() {
        let mut paused = run(RunStatus::Waiting, Some("pause"));
        paused.wait_detail = Some("its connection is paused by anna: the shop moves".to_owned());
        paused.waiting_until = None;
        assert_eq!(
            text(&paused),
            "its connection is paused by anna: the shop moves"
        );
        let mut asked = run(RunStatus::Running, None);
        asked.cancel_requested_at = Some(asked.created_at);
        asked.cancelled_by = Some("anna".to_owned());
        assert_eq!(text(&asked), "cancelling: asked by anna");
        asked.cancel_note = Some("wrong shop".to_owned());
        assert_eq!(text(&asked), "cancelling: asked by anna: wrong shop");
        asked.status = RunStatus::Cancelled;
        assert_eq!(why(&asked, &Surroundings::default()), None);
    }
}
