//! What a run has done so far, stream by stream. Written with each checkpoint, so the numbers are exact.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::words::words;

words! {
    /// How far a stream of a run has come.
    pub enum StreamStatus {
        /// Not begun.
        Pending = "pending",
        /// Begun, not finished.
        Reading = "reading",
        /// Read to its end.
        Done = "done",
        /// Given up; the run's other streams go on.
        Failed = "failed",
    }
}

/// Records of a stream, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamCounts {
    /// Records that the platform sent.
    pub read: u64,
    /// Records that were new.
    pub inserted: u64,
    /// Records that differed from the stored row.
    pub updated: u64,
    /// Records equal to the stored row, which was left alone.
    pub unchanged: u64,
    /// Rows marked deleted, because a complete read did not meet their key.
    pub deleted: u64,
    /// Records that could not be written, for example for want of a key.
    pub failed: u64,
    /// Records that came twice in one batch; the later one was kept.
    pub duplicates: u64,
}

impl StreamCounts {
    /// Adds another count to this one.
    pub fn add(&mut self, more: Self) {
        self.read += more.read;
        self.inserted += more.inserted;
        self.updated += more.updated;
        self.unchanged += more.unchanged;
        self.deleted += more.deleted;
        self.failed += more.failed;
        self.duplicates += more.duplicates;
    }
}

/// A stream's part of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamProgress {
    /// How far it has come.
    pub status: StreamStatus,
    /// Pages read.
    #[serde(default)]
    pub pages: u64,
    /// Records.
    #[serde(flatten)]
    pub counts: StreamCounts,
    /// Why it was given up, or the first reason a record was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Default for StreamProgress {
    fn default() -> Self {
        Self {
            status: StreamStatus::Pending,
            pages: 0,
            counts: StreamCounts::default(),
            problem: None,
        }
    }
}

/// All streams of a run, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Progress(pub BTreeMap<String, StreamProgress>);

impl Progress {
    /// The streams' counts added up.
    pub fn total(&self) -> StreamCounts {
        let mut total = StreamCounts::default();
        for stream in self.0.values() {
            total.add(stream.counts);
        }
        total
    }

    /// Pages read, all streams together.
    pub fn pages(&self) -> u64 {
        self.0.values().map(|stream| stream.pages).sum()
    }

    /// The entry of a stream, made if it is missing.
    pub fn stream(&mut self, name: &str) -> &mut StreamProgress {
        self.0.entry(name.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_reads_back_as_it_was_written() {
        let mut progress = Progress::default();
        progress.stream("products").counts.read = 20;
        progress.stream("products").pages = 1;
        let text = serde_json::to_string(&progress).expect("serialises");
        assert_eq!(
            text,
            r#"{"products":{"status":"pending","pages":1,"read":20,"inserted":0,"updated":0,"unchanged":0,"deleted":0,"failed":0,"duplicates":0}}"#
        );
        assert_eq!(
            serde_json::from_str::<Progress>(&text).expect("reads"),
            progress
        );
    }

    #[test]
    fn the_total_adds_all_streams() {
        let mut progress = Progress::default();
        progress.stream("a").counts.inserted = 2;
        progress.stream("b").counts.inserted = 3;
        assert_eq!(progress.total().inserted, 5);
    }
}
