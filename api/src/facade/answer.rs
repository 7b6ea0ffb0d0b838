//! The answer to a request for a sync, in the words that earlier schedulers had.

use serde::Serialize;
use syncline_shared::db::batch::BatchView;
use syncline_shared::run::{Outcome, StreamCounts};
use utoipa::ToSchema;

use crate::handlers::scheduler::SchedulerStatus;

/// What came of a request for a sync.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SyncAnswer {
    /// In words.
    #[schema(example = "Manual sync completed: 10 new records, 140 updated")]
    pub message: String,
    /// The batch of its runs; see `/api/v1/batches/{id}`.
    pub job_id: uuid::Uuid,
    /// `scheduled` until all of its runs have ended; then `success`, `partial`, `failed` or `cancelled`.
    #[schema(example = "scheduled")]
    pub status: &'static str,
    /// What it did; null until all of its runs have ended.
    pub result: Option<SyncResult>,
    /// The state of the schedulers, where that was asked for as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler_status: Option<SchedulerStatus>,
}

/// What a sync did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SyncResult {
    /// `success`, `partial`, `failed` or `cancelled`.
    #[schema(example = "success")]
    pub status: &'static str,
    /// Records that were read.
    pub total_processed: u64,
    /// Records that were new.
    pub inserted: u64,
    /// Records that had changed.
    pub updated: u64,
    /// Records that were as before.
    pub unchanged: u64,
    /// Records that could not be written.
    pub failed: u64,
    /// From the request to the end.
    pub duration_seconds: f64,
}

/// How something ended, in the words that earlier schedulers had.
pub(crate) fn status_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "success",
        other => other.as_str(),
    }
}

impl SyncAnswer {
    /// Of a batch, ended or not. `what` begins a sentence: "Manual sync".
    pub(crate) fn of(batch: &BatchView, what: &str) -> Self {
        let ended = batch.outcome.zip(batch.ended_at);
        let result = ended.map(|(outcome, ended_at)| {
            let StreamCounts {
                read,
                inserted,
                updated,
                unchanged,
                failed,
                ..
            } = batch.records.as_deref().copied().unwrap_or_default();
            SyncResult {
                status: status_word(outcome),
                total_processed: read,
                inserted,
                updated,
                unchanged,
                failed,
                duration_seconds: (ended_at - batch.created_at).as_seconds_f64(),
            }
        });
        let message = match &result {
            None => format!("{what} started"),
            Some(result) => {
                let verb = match result.status {
                    "success" => "completed",
                    "partial" => "completed in part",
                    other => other,
                };
                format!(
                    "{what} {verb}: {} new records, {} updated",
                    result.inserted, result.updated
                )
            }
        };
        Self {
            message,
            job_id: batch.id.0,
            status: result.as_ref().map_or("scheduled", |result| result.status),
            result,
            scheduler_status: None,
        }
    }
}
