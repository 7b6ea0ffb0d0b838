//! Ends runs that have grown too old: what waits for ever for a limit, a pause or a dependency would otherwise never come to an end.
//! A run that is being executed is left alone; it is met when it waits or is handed back.

use std::time::Duration;

use syncline_shared::db::run::expire;
use syncline_shared::db::{Database, DbResult};

use super::Service;

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

    fn every(&self) -> Duration {
        Duration::from_mins(1).min(self.longest_age)
    }

    async fn pass(&mut self) -> DbResult<Option<String>> {
        let mut db = self.database.begin().await?;
        let expired = expire(&mut db, self.longest_age).await?;
        db.commit().await?;
        Ok((expired > 0).then(|| {
            format!(
                "{expired} runs were ended that did not come to their end within {:.1} days",
                self.longest_age.as_secs_f64() / 86_400.0
            )
        }))
    }
}
