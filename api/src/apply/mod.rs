//! Config as code: brings platforms' settings, businesses, connections and schedules to what a document says.
//!
//! Everything is matched by key, checked by the rules of the API, and written in one transaction: all of the document or
//! nothing. All problems are told at once, with their place in the document. What is the same already is not written, so a
//! second run of the same document changes nothing. What the document does not name is left alone: removing it (`--prune`)
//! needs a note of who made what, and is refused until there is one.

mod dependencies;
mod document;
mod expand;
mod plan;
mod report;
mod write;

use syncline_shared::db::notify::{self, SCHEDULE_CHANGED};
use syncline_shared::db::{Database, DbError, status};
use syncline_shared::secret::Cipher;

pub use document::{Document, Sources};
pub use report::{Change, FieldChange, Kind, ObjectReport, Report};

use crate::error::{ApiError, FieldProblem};
use syncline_engine::Catalog;

/// How a document is applied.
#[derive(Debug, Clone, Copy, Default)]
pub struct ApplyOptions {
    /// Says what would change, and changes nothing.
    pub dry_run: bool,
    /// Removes what an earlier document made and this one does not name. Not supported yet: refused.
    pub prune: bool,
}

/// Why a document was not applied. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It cannot be read, or is not YAML.
    #[error("{0}")]
    Unreadable(String),
    /// It says things that cannot be accepted: all of them, each with its place.
    #[error("{}", list(.0))]
    Problems(Vec<FieldProblem>),
    /// An option that is not supported yet.
    #[error("{0}")]
    Unsupported(&'static str),
    /// Stored credentials cannot be opened or sealed.
    #[error("{0:#}")]
    Failed(anyhow::Error),
    /// The database did not do its part.
    #[error(transparent)]
    Database(#[from] DbError),
}

impl From<sqlx::Error> for ApplyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<ApiError> for ApplyError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Invalid(problems) => Self::Problems(problems),
            // Somebody created the same key by other means while this transaction ran.
            ApiError::Conflict { detail, .. } => Self::Failed(anyhow::anyhow!(
                "{detail}; it was created just now: apply again"
            )),
            ApiError::Internal(error) => Self::Failed(error),
            other => Self::Failed(other.into()),
        }
    }
}

fn list(problems: &[FieldProblem]) -> String {
    let noun = if problems.len() == 1 {
        "problem"
    } else {
        "problems"
    };
    let mut text = format!(
        "the document has {} {noun}, nothing was applied:",
        problems.len()
    );
    for problem in problems {
        let place = place(&problem.pointer);
        text.push_str(&format!("\n  {place}: {}", problem.detail));
    }
    text
}

/// A JSON pointer as people write it: `connections[0].config.client_id`.
pub(crate) fn place(pointer: &str) -> String {
    let mut place = String::new();
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        if !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()) {
            place.push_str(&format!("[{step}]"));
        } else {
            if !place.is_empty() {
                place.push('.');
            }
            place.push_str(&step);
        }
    }
    if place.is_empty() {
        "document".to_owned()
    } else {
        place
    }
}

/// Applies a document, and wakes the schedulers if that changed a schedule.
pub async fn apply(
    database: &Database,
    cipher: &Cipher,
    catalog: &Catalog,
    document: &Document,
    options: ApplyOptions,
) -> Result<Report, ApplyError> {
    if options.prune {
        return Err(ApplyError::Unsupported(
            "--prune is not supported yet: nothing records which objects a document made; delete them by hand",
        ));
    }
    let mut db = database.begin().await?;
    status::lock_apply(&mut db).await?;
    let plan = plan::make(&mut db, catalog, document).await?;
    let objects = write::write(&mut db, cipher, catalog, &plan).await?;
    let report = Report {
        dry_run: options.dry_run,
        objects,
    };
    if options.dry_run {
        db.rollback().await?;
        return Ok(report);
    }
    db.commit().await?;
    if report.changes_schedules()
        && let Err(error) = notify::send(database, SCHEDULE_CHANGED).await
    {
        // Schedulers look by themselves, too.
        tracing::warn!(%error, "the schedulers could not be woken: {error}");
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_as_people_do() {
        assert_eq!(
            place("/connections/0/config/client_id"),
            "connections[0].config.client_id"
        );
        assert_eq!(place("/limits/a~1b"), "limits.a/b");
        assert_eq!(place(""), "document");
    }

    #[test]
    fn every_problem_is_on_a_line_of_its_own() {
        let problems = vec![
            FieldProblem::new("/schedules/0/cron", "cron", "one"),
            FieldProblem::new("/schedules/1/zone", "zone", "two"),
        ];
        assert_eq!(
            ApplyError::Problems(problems).to_string(),
            "the document has 2 problems, nothing was applied:\n  schedules[0].cron: one\n  schedules[1].zone: two"
        );
    }
}
