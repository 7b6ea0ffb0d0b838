//! Ends runs that have grown too old: what waits for ever for a limit, a pause or a dependency would otherwise never come to an end.
//! A run that is being executed is left alone; it is met when it waits or is handed back.

use std::time::Duration;

use syncline_shared::db::run::{end_overdue, expire};
use syncline_shared::db::{Database, DbResult};

use super::{Next, Service};

pub(super) struct RunExpirer {
    database: Database,
    longest_age: Duration,
}

impl RunExpirer {
    pub(super) fn new(database: Database, longest_age: Duration) -> Self {
        Self {
            database,
            longest_age,
        }
    }
}

impl Service for RunExpirer {
    const NAME: &'static str = "run-expirer";

    fn next(&self) -> Next {
        Next::After(Duration::from_secs(10).min(self.longest_age))
    }

    async fn pass(&mut self) -> DbResult<Option<String>> {
        let mut db = self.database.begin().await?;
        let expired = expire(&mut db, self.longest_age).await?;
        let overdue = end_overdue(&mut db).await?;
        db.commit().await?;
        if overdue > 0 {
            tracing::info!("{overdue} runs were ended whose time limit was over while they waited");
        }
        Ok((expired > 0).then(|| {
            format!(
                "{expired} runs were ended that did not come to their end within {:.1} days",
                self.longest_age.as_secs_f64() / 86_400.0
            )
        }))
    }
}
