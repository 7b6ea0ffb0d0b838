//! What became of runs and attempts, and the rules that must hold whatever happened meanwhile.
//!
//! The rules are functions of what was read, and answer every breach, so that one failure shows all of them.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::Cluster;
use crate::database::count;
use crate::wait::{Look, until_within};

/// A time is that of the beginning of a transaction, which is a little before the transaction sees the data it acts on: on a
/// busy machine a claim may so seem to come just before the end that made it possible.
const CLOCK_GAP: TimeDelta = TimeDelta::milliseconds(250);

/// A run that has ended.
#[derive(Debug, Clone)]
pub struct RunStory {
    /// Its id.
    pub id: String,
    /// Its connection's id.
    pub connection: String,
    /// How it ended.
    pub status: String,
    /// Failures that counted at its end.
    pub failures: u64,
    /// Counts over all streams.
    pub progress: Value,
    /// Its last error.
    pub error: Value,
    /// Its attempts, in order.
    pub attempts: Vec<AttemptStory>,
}

/// An attempt.
#[derive(Debug, Clone)]
pub struct AttemptStory {
    /// When it was claimed.
    pub started: DateTime<Utc>,
    /// When its lease ended; `None`: it is still open.
    pub ended: Option<DateTime<Utc>>,
    /// How it ended.
    pub outcome: String,
    /// Its error.
    pub error: Value,
}

fn instant(value: &Value) -> Option<DateTime<Utc>> {
    value.as_str().and_then(|text| text.parse().ok())
}

impl RunStory {
    /// Reads the API's answer about a run.
    pub fn of(run: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let attempts = run["attempts"].as_array().into_iter().flatten();
        Self {
            id: text(&run["id"]),
            connection: text(&run["connection"]["id"]),
            status: text(&run["status"]),
            failures: run["failures"].as_u64().unwrap_or_default(),
            progress: run["progress"].clone(),
            error: run["error"].clone(),
            attempts: attempts
                .map(|attempt| AttemptStory {
                    started: instant(&attempt["started_at"])
                        .unwrap_or_else(|| panic!("an attempt without a start: {run}")),
                    ended: instant(&attempt["ended_at"]),
                    outcome: text(&attempt["outcome"]),
                    error: attempt["error"].clone(),
                })
                .collect(),
        }
    }

    fn count(&self, name: &str) -> u64 {
        self.progress[name].as_u64().unwrap_or_default()
    }
}

/// Waits until no run is unfinished, for as long as that may take.
pub async fn wait_until_all_have_ended(cluster: &Cluster, longest: std::time::Duration) {
    let query = "select id::text || ' ' || status || ' ' || coalesce(wait_detail, '') \
                 from syncline.runs where finished_at is null order by id limit 5";
    until_within("the end of all runs", longest, async || {
        let left: sqlx::Result<Vec<String>> =
            sqlx::query_scalar(query).fetch_all(&cluster.pool).await;
        match left {
            Ok(left) => Look::is(left.is_empty(), left.join("; ")),
            Err(error) => Look::not_yet(error),
        }
    })
    .await;
}

/// All runs there are, through the API.
pub async fn read_all(cluster: &Cluster) -> Vec<RunStory> {
    let mut stories = Vec::new();
    for run in cluster.api.list("/runs").await {
        let id = run["id"].as_str().unwrap();
        stories.push(RunStory::of(&cluster.api.run(id).await));
    }
    let counted = count(&cluster.pool, "select count(*) from syncline.runs").await;
    assert_eq!(
        i64::try_from(stories.len()).ok(),
        Some(counted),
        "the API does not list all runs"
    );
    stories
}

/// Runs that did not succeed.
pub fn not_succeeded(stories: &[RunStory]) -> Vec<String> {
    let unlucky = stories.iter().filter(|run| run.status != "succeeded");
    unlucky
        .map(|run| format!("run {} ended as {}: {}", run.id, run.status, run.error))
        .collect()
}

/// Attempts that overlap: those of one run, and those of one connection.
pub fn overlaps(stories: &[RunStory]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut of_connection: BTreeMap<&str, Vec<(&str, &AttemptStory)>> = BTreeMap::new();
    for run in stories {
        for pair in run.attempts.windows(2) {
            if overlap(&pair[0], &pair[1]) {
                problems.push(format!("attempts of run {} overlap: {pair:?}", run.id));
            }
        }
        for attempt in &run.attempts {
            if attempt.ended.is_none() {
                problems.push(format!(
                    "run {} has ended, its attempt has not: {attempt:?}",
                    run.id
                ));
            }
            let all = of_connection.entry(&run.connection).or_default();
            all.push((&run.id, attempt));
        }
    }
    for (connection, mut attempts) in of_connection {
        attempts.sort_by_key(|(_, attempt)| attempt.started);
        for pair in attempts.windows(2) {
            if overlap(pair[0].1, pair[1].1) {
                problems.push(format!(
                    "two attempts ran at once for connection {connection}: {pair:?}"
                ));
            }
        }
    }
    problems
}

fn overlap(earlier: &AttemptStory, later: &AttemptStory) -> bool {
    earlier
        .ended
        .is_none_or(|ended| ended > later.started + CLOCK_GAP)
}

/// Attempts with this outcome.
pub fn attempts_with<'a>(
    stories: &'a [RunStory],
    outcome: &'a str,
) -> impl Iterator<Item = (&'a RunStory, &'a AttemptStory)> {
    stories.iter().flat_map(move |run| {
        let attempts = run.attempts.iter();
        attempts
            .filter(move |attempt| attempt.outcome == outcome)
            .map(move |attempt| (run, attempt))
    })
}

/// Counts that are not what a source without changes allows: each record is inserted once per connection, whichever attempts
/// were repeated, and nothing is ever updated, deleted or refused.
pub fn miscounts(stories: &[RunStory], records: u64) -> Vec<String> {
    let mut problems = Vec::new();
    let mut inserted: BTreeMap<&str, u64> = BTreeMap::new();
    for run in stories {
        *inserted.entry(&run.connection).or_default() += run.count("inserted");
        for name in ["updated", "deleted", "failed"] {
            if run.count(name) > 0 {
                problems.push(format!(
                    "run {} counts {} {name}, and nothing has changed at the source",
                    run.id,
                    run.count(name)
                ));
            }
        }
        if run.status == "succeeded" && run.count("read") < records {
            problems.push(format!(
                "run {} succeeded and read {} of {records} records",
                run.id,
                run.count("read")
            ));
        }
    }
    for (connection, inserted) in inserted {
        if inserted != records {
            problems.push(format!(
                "the runs of connection {connection} count {inserted} insertions of {records} records"
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn attempt(from: u32, to: Option<u32>, outcome: &str) -> Value {
        let at = |second: u32| format!("2026-01-01T00:00:{second:02}Z");
        json!({"started_at": at(from), "ended_at": to.map(at), "outcome": outcome})
    }

    fn run(id: &str, connection: &str, attempts: &[Value]) -> RunStory {
        RunStory::of(&json!({
            "id": id, "status": "succeeded", "connection": {"id": connection}, "attempts": attempts,
            "progress": {"read": 5, "inserted": 5, "updated": 0, "deleted": 0, "failed": 0},
        }))
    }

    #[test]
    fn attempts_one_after_the_other_break_no_rule() {
        let attempts = [
            attempt(1, Some(4), "lost"),
            attempt(4, Some(6), "succeeded"),
        ];
        let stories = [
            run("a", "x", &attempts),
            run("b", "x", &[attempt(6, Some(8), "succeeded")]),
        ];
        assert!(overlaps(&stories).is_empty());
        assert_eq!(attempts_with(&stories, "lost").count(), 1);
        assert_eq!(miscounts(&stories[..1], 5), Vec::<String>::new());
    }

    #[test]
    fn attempts_at_once_are_told_of_a_run_and_of_a_connection() {
        let doubled = [
            attempt(1, Some(4), "lost"),
            attempt(3, Some(6), "succeeded"),
        ];
        assert!(
            overlaps(&[run("a", "x", &doubled)])
                .join(";")
                .contains("run a")
        );
        let stories = [
            run("a", "x", &[attempt(1, Some(5), "succeeded")]),
            run("b", "x", &[attempt(2, Some(3), "succeeded")]),
        ];
        assert!(overlaps(&stories).join(";").contains("connection x"));
        let open = [run("a", "x", &[attempt(1, None, "")])];
        assert!(overlaps(&open).join(";").contains("has not"));
    }

    #[test]
    fn a_record_that_is_counted_twice_or_too_few_reads_are_told() {
        let stories = [run("a", "x", &[]), run("b", "x", &[])];
        let problems = miscounts(&stories, 6).join("; ");
        assert!(problems.contains("10 insertions of 6"), "{problems}");
        assert!(problems.contains("read 5 of 6"), "{problems}");
    }
}
