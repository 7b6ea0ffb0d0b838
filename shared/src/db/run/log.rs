//! Log lines of runs.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::db::{DbConnection, DbResult};
use crate::ids::RunId;
use crate::words::words;

words! {
    /// How serious a line is.
    pub enum LogLevel {
        /// Course of events.
        Info = "info",
        /// Recovered, or degraded.
        Warn = "warn",
        /// Somebody should look.
        Error = "error",
    }
}

/// A log line.
#[derive(Debug, Clone, Serialize)]
pub struct LogLine {
    /// When, by the worker's clock.
    pub at: DateTime<Utc>,
    /// How serious it is.
    pub level: LogLevel,
    /// The stream it speaks of.
    pub stream: Option<String>,
    /// The sentence.
    pub message: String,
}

/// Appends lines of an attempt, numbered from `first`. Lines that are there already are left alone.
pub async fn append_log(
    db: &mut DbConnection,
    id: RunId,
    token: i64,
    first: i32,
    lines: &[LogLine],
) -> DbResult<()> {
    let at: Vec<_> = lines.iter().map(|line| line.at).collect();
    let levels: Vec<_> = lines
        .iter()
        .map(|line| line.level.as_str().to_owned())
        .collect();
    let streams: Vec<_> = lines.iter().map(|line| line.stream.clone()).collect();
    let messages: Vec<_> = lines.iter().map(|line| line.message.clone()).collect();
    sqlx::query!(
        "insert into syncline.run_log (run_id, token, line, at, level, stream, message)
         select $1, $2, $3::integer + l.ordinal - 1, l.at, l.level, l.stream, l.message
         from unnest($4::timestamptz[], $5::text[], $6::text[], $7::text[])
              with ordinality as l (at, level, stream, message, ordinal)
         on conflict do nothing",
        id.0,
        token,
        first,
        &at,
        &levels,
        &streams as &[Option<String>],
        &messages
    )
    .execute(db)
    .await?;
    Ok(())
}
