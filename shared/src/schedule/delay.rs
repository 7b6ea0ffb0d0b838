//! Jitter and spread: delays that are a hash of what they belong to.
//!
//! Every scheduler, on every machine and in every release, and the preview come to the same delay, so nothing has to be
//! stored and a tick that is decided again is due at the same time. SHA-256 is slow for a hash and quick enough here; its
//! result will never change.

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use crate::ids::{ConnectionId, ScheduleId};

/// When a tick is due: its moment and a delay in `[0, jitter)`, in whole milliseconds, uniformly distributed.
pub fn due_at(schedule: ScheduleId, nominal: DateTime<Utc>, jitter: TimeDelta) -> DateTime<Utc> {
    nominal + delay("jitter", schedule, nominal, &[], jitter)
}

/// How long the run of one connection is held back after its tick: in `[0, spread)`, in whole milliseconds, uniformly
/// distributed. Of a late tick it counts from when it is decided, or all runs would start at once.
pub fn spread_delay(
    schedule: ScheduleId,
    nominal: DateTime<Utc>,
    connection: ConnectionId,
    spread: TimeDelta,
) -> TimeDelta {
    delay("spread", schedule, nominal, connection.0.as_bytes(), spread)
}

/// When the run of one connection is due, of a tick without jitter that is on time.
pub fn spread_at(
    schedule: ScheduleId,
    nominal: DateTime<Utc>,
    connection: ConnectionId,
    spread: TimeDelta,
) -> DateTime<Utc> {
    nominal + spread_delay(schedule, nominal, connection, spread)
}

fn delay(
    purpose: &str,
    schedule: ScheduleId,
    nominal: DateTime<Utc>,
    detail: &[u8],
    below: TimeDelta,
) -> TimeDelta {
    let milliseconds = u128::try_from(below.num_milliseconds()).unwrap_or(0);
    let mut hash = Sha256::new();
    hash.update(purpose);
    hash.update(schedule.0.as_bytes());
    // The database keeps microseconds.
    hash.update(nominal.timestamp_micros().to_be_bytes());
    hash.update(detail);
    let hash: [u8; 32] = hash.finalize().into();
    let random = hash
        .into_iter()
        .take(8)
        .fold(0_u128, |number, byte| number << 8 | u128::from(byte));
    let delay = i64::try_from((random * milliseconds) >> 64).unwrap_or(0);
    TimeDelta::milliseconds(delay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const SCHEDULE: ScheduleId = ScheduleId(Uuid::from_u128(7));

    fn nominal(hour: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + hour * 3600, 0).expect("an instant")
    }

    /// Computed with Python's hashlib; a change of these would move every due time of every installation.
    #[test]
    fn delays_never_change() {
        let hour = TimeDelta::hours(1);
        let due = due_at(SCHEDULE, nominal(0), hour);
        assert_eq!((due - nominal(0)).num_milliseconds(), 1_726_119);
        let connection = ConnectionId(Uuid::from_u128(9));
        let spread = spread_delay(SCHEDULE, nominal(0), connection, hour);
        assert_eq!(spread.num_milliseconds(), 1_034_246);
        assert_eq!(
            spread_at(SCHEDULE, nominal(0), connection, hour),
            nominal(0) + spread
        );
    }

    #[test]
    fn delays_are_uniform_and_below_their_bound() {
        let jitter = TimeDelta::seconds(10);
        let mut buckets = [0_u32; 10];
        for hour in 0..10_000 {
            let delay = due_at(SCHEDULE, nominal(hour), jitter) - nominal(hour);
            assert!(delay >= TimeDelta::zero() && delay < jitter);
            buckets[usize::try_from(delay.num_seconds()).expect("a bucket")] += 1;
        }
        // Each bucket has 1,000 on average with a standard deviation of 30.
        assert!(
            buckets.iter().all(|count| (850..1150).contains(count)),
            "{buckets:?}"
        );
    }

    #[test]
    fn no_jitter_is_no_delay() {
        assert_eq!(due_at(SCHEDULE, nominal(0), TimeDelta::zero()), nominal(0));
        assert_eq!(
            due_at(SCHEDULE, nominal(0), TimeDelta::seconds(-5)),
            nominal(0)
        );
    }

    #[test]
    fn connections_and_schedules_differ() {
        let spread = TimeDelta::hours(1);
        let of = |schedule, connection| {
            let ids = (
                ScheduleId(Uuid::from_u128(schedule)),
                ConnectionId(Uuid::from_u128(connection)),
            );
            spread_delay(ids.0, nominal(0), ids.1, spread)
        };
        assert_ne!(of(1, 1), of(1, 2));
        assert_ne!(of(1, 1), of(2, 1));
    }
}
