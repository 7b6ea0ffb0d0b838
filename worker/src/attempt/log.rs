//! The log lines of an attempt: kept until the next checkpoint, a bounded number.

use std::sync::Arc;

use syncline_shared::clock::Clock;
use syncline_shared::db::run::{LogLevel, LogLine};

/// Lines that an attempt writes at most.
const MAX_LINES: i32 = 500;
/// Characters of a line at most.
const MAX_CHARS: usize = 2_000;

/// The log of an attempt.
pub(super) struct AttemptLog {
    clock: Arc<dyn Clock>,
    written: i32,
    pending: Vec<LogLine>,
}

impl AttemptLog {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            written: 0,
            pending: Vec::new(),
        }
    }

    /// Adds a line. The last one that fits says that more were left out.
    pub(super) fn add(
        &mut self,
        level: LogLevel,
        stream: Option<&str>,
        message: impl Into<String>,
    ) {
        let count = self.written + i32::try_from(self.pending.len()).unwrap_or(MAX_LINES);
        if count >= MAX_LINES {
            return;
        }
        let mut message = message.into();
        if count == MAX_LINES - 1 {
            message =
                format!("{MAX_LINES} lines are kept of an attempt; further ones are left out");
        } else if message.chars().count() > MAX_CHARS {
            message = message.chars().take(MAX_CHARS).chain(['…']).collect();
        }
        // Postgres' text cannot hold NUL.
        message.retain(|character| character != '\0');
        self.pending.push(LogLine {
            at: self.clock.now(),
            level,
            stream: stream.map(str::to_owned),
            message,
        });
    }

    /// The lines to write next, and the number of the first one.
    pub(super) fn pending(&self) -> (i32, &[LogLine]) {
        (self.written + 1, &self.pending)
    }

    /// Notes that the pending lines were written.
    pub(super) fn written(&mut self) {
        self.written += i32::try_from(self.pending.len()).unwrap_or(0);
        self.pending.clear();
    }
}
