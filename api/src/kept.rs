//! What is costly to read, and may be a little old.

use chrono::{DateTime, TimeDelta, Utc};
use syncline_shared::db::DbResult;
use tokio::sync::Mutex;

/// For so many seconds what was read is shown again.
const KEPT_SECONDS: i64 = 10;

/// What was read last. Whoever asks while it is being read waits for that instead of reading it, too.
#[derive(Debug)]
pub struct Kept<T>(Mutex<Option<(DateTime<Utc>, T)>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> Kept<T> {
    /// What was read last, unless it is too old; then `read` does it.
    pub(crate) async fn get(
        &self,
        now: DateTime<Utc>,
        read: impl Future<Output = DbResult<T>>,
    ) -> DbResult<T> {
        let mut last = self.0.lock().await;
        if let Some((at, found)) = last.as_ref()
            && (TimeDelta::zero()..TimeDelta::seconds(KEPT_SECONDS)).contains(&(now - at))
        {
            return Ok(found.clone());
        }
        let found = read.await?;
        *last = Some((now, found.clone()));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_read_again_when_it_is_too_old_or_the_clock_was_set_back() {
        let kept = Kept::default();
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let get = async |seconds, found: u8| kept.get(at(seconds), async { Ok(found) }).await;
        assert_eq!(get(100, 1).await.unwrap(), 1);
        assert_eq!(get(109, 2).await.unwrap(), 1);
        assert_eq!(get(110, 3).await.unwrap(), 3);
        assert_eq!(get(50, 4).await.unwrap(), 4);
    }
}
