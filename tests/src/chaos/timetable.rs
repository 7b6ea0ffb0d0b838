//! Many schedules of a few seconds that all end at the same instant, and what must be true of their ticks afterwards.
//!
//! The moments are computed here from what the schedules say: a fixed instant plus whole intervals. What became of them is asked in
//! SQL, over all schedules at once; every question answers its breaches as sentences, at most a few of them.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::wait::{Look, until_within};
use crate::{Cluster, Fleet};

/// Breaches that a question answers at most.
const SHOWN: i64 = 5;
/// Moments are this instant plus whole intervals. At a full minute, so that it holds for cron, too.
const ANCHOR: &str = "2026-01-01T00:00:00Z";
/// Longest interval. All intervals divide a minute, as cron's do.
const LONGEST_SECONDS: usize = 5;

/// How large a timetable is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Schedules.
    pub schedules: usize,
    /// Each so many-th schedule fires every moment, however late, beside unfinished runs. The others pass moments over.
    pub one_unforgiving_in: usize,
}

/// Schedules, and until when.
#[derive(Debug)]
pub struct Timetable {
    entries: Vec<Entry>,
    end: DateTime<Utc>,
}

#[derive(Debug)]
struct Entry {
    key: String,
    anchor: DateTime<Utc>,
    seconds: i64,
    must_fire: bool,
}

impl Timetable {
    /// Makes the schedules in one transaction, and so at one instant. None has a moment after `length` from now.
    pub async fn write(cluster: &Cluster, fleet: &Fleet, size: Size, length: Duration) -> Self {
        let now: DateTime<Utc> = sqlx::query_scalar("select now()")
            .fetch_one(&cluster.pool)
            .await
            .unwrap();
        let end = now + TimeDelta::from_std(length).unwrap();
        let mut document = "schedules:\n".to_owned();
        let mut entries = Vec::new();
        for number in 0..size.schedules {
            let must_fire = number % size.one_unforgiving_in == 0;
            let seconds = 2 + number % (LONGEST_SECONDS - 1);
            // Half of them share their moments to the microsecond.
            let within_second = if number % 2 == 0 {
                0
            } else {
                number * 7 % 1_000
            };
            let mut anchor: DateTime<Utc> = ANCHOR.parse().unwrap();
            let (trigger, policy) = match number % 5 {
                0 => (None, "jitter_seconds: 1"),
                1 => (None, "catch_up: {mode: latest, window_seconds: 10}"),
                2 => (None, "catch_up: none"),
                3 => (
                    Some(format!("cron: \"*/{seconds} * * * * *\"")),
                    "overlap: queue_one",
                ),
                _ => (None, "overlap: skip"),
            };
            let policy = if must_fire {
                "catch_up: all, overlap: queue_all, priority: 10"
            } else {
                policy
            };
            let trigger = trigger.unwrap_or_else(|| {
                anchor += TimeDelta::milliseconds(i64::try_from(within_second).unwrap());
                format!(
                    "every_seconds: {seconds}, anchor: \"{}\"",
                    anchor.to_rfc3339()
                )
            });
            let target = if number == 0 {
                format!("business: {}", fleet.businesses[0])
            } else {
                format!(
                    "connection: {}",
                    fleet.members[number % fleet.members.len()].key
                )
            };
            let key = format!("often-{number}");
            let end = end.to_rfc3339();
            writeln!(
                document,
                "  - {{key: {key}, {trigger}, {policy}, end_at: \"{end}\", target: {{{target}}}}}"
            )
            .unwrap();
            entries.push(Entry {
                key,
                anchor,
                seconds: i64::try_from(seconds).unwrap(),
                must_fire,
            });
        }
        let file = cluster.write("timetable.yaml", &document);
        let applied = cluster.run(&["apply", "-f", &file]);
        assert!(applied.status.success(), "{applied:?}");
        Self { entries, end }
    }

    /// Waits until every schedule has ended, and every run and batch with them.
    pub async fn wait_until_over(&self, cluster: &Cluster, longest: Duration) {
        let left = "select (select count(*) from syncline.schedule where due_at is not null) as schedules, \
                           (select count(*) from syncline.runs where finished_at is null) as runs, \
                           (select count(*) from syncline.batch where ended_at is null) as batches";
        until_within(
            "the end of all schedules, runs and batches",
            longest,
            async || {
                let left: sqlx::Result<(i64, i64, i64)> =
                    sqlx::query_as(left).fetch_one(&cluster.pool).await;
                match left {
                    Ok(left) => Look::is(left == (0, 0, 0), format!("{left:?} are left")),
                    Err(error) => Look::not_yet(error),
                }
            },
        )
        .await;
    }

    /// Every breach of what must hold of ticks, batches and runs. All schedules must have ended.
    pub async fn judge(&self, cluster: &Cluster) -> Vec<String> {
        self.judge_on(&mut cluster.connect_to_database().await)
            .await
    }

    /// The same, as a session sees it that has not been asked before.
    pub async fn judge_on(&self, db: &mut PgConnection) -> Vec<String> {
        self.tell_moments(db).await;
        let mut problems = Vec::new();
        for question in QUESTIONS {
            let breaches: Vec<String> = sqlx::query_scalar(question)
                .bind(SHOWN)
                .fetch_all(&mut *db)
                .await
                .unwrap();
            problems.extend(breaches);
        }
        problems
    }

    /// How many moments each outcome stands for, in words; and whether some were passed over together, as after an outage.
    pub async fn count(&self, cluster: &Cluster) -> (String, bool) {
        let mut db = cluster.connect_to_database().await;
        let outcomes: Vec<(String, i64, i64)> = sqlx::query_as(
            "select outcome, count(*), sum(moments)::bigint from syncline.tick group by outcome order by outcome",
        )
        .fetch_all(&mut db)
        .await
        .unwrap();
        let words: Vec<String> = outcomes
            .iter()
            .map(|(outcome, rows, moments)| format!("{moments} {outcome} in {rows} rows"))
            .collect();
        let late: (f64, f64) = sqlx::query_as(
            "select percentile_cont(0.5) within group (order by late), percentile_cont(0.99) within group (order by late)
             from (select extract(epoch from decided_at - nominal_at)::float8 as late from syncline.tick
                   where outcome = 'fired') t",
        )
        .fetch_one(&mut db)
        .await
        .unwrap();
        let mut words = words.join(", ");
        write!(
            words,
            "; fired at the median {:.2} s after their moments, at the 99th percentile {:.2} s",
            late.0, late.1
        )
        .unwrap();
        let has_gaps = outcomes.iter().any(|(_, rows, moments)| moments > rows);
        (words, has_gaps)
    }

    /// The table of all moments there should be, for this session: from each schedule's creation to its end, both included.
    async fn tell_moments(&self, db: &mut PgConnection) {
        let keys: Vec<_> = self.entries.iter().map(|one| one.key.clone()).collect();
        let anchors: Vec<_> = self.entries.iter().map(|one| one.anchor).collect();
        let seconds: Vec<_> = self.entries.iter().map(|one| one.seconds).collect();
        let must_fire: Vec<_> = self.entries.iter().map(|one| one.must_fire).collect();
        sqlx::raw_sql(
            "create temporary table entry (schedule_id uuid primary key, key text, must_fire bool);
             create temporary table moment (schedule_id uuid, at timestamptz, primary key (schedule_id, at))",
        )
        .execute(&mut *db)
        .await
        .unwrap();
        let found = sqlx::query(
            "with wanted as materialized (
                 select s.id, e.*, s.created_at
                 from unnest($1::text[], $2::timestamptz[], $3::bigint[], $4::bool[]) as e (key, anchor, seconds, must_fire)
                 join syncline.schedule s on s.key = e.key
             ),
             moments as (
                 insert into moment
                 select id, m.at from wanted
                 cross join lateral generate_series(
                     anchor + ceil(extract(epoch from created_at - anchor) / seconds) * make_interval(secs => seconds),
                     $5, make_interval(secs => seconds)) as m (at)
             )
             insert into entry select id, key, must_fire from wanted",
        )
        .bind(keys)
        .bind(anchors)
        .bind(seconds)
        .bind(must_fire)
        .bind(self.end)
        .execute(&mut *db)
        .await
        .unwrap();
        assert_eq!(found.rows_affected(), self.entries.len() as u64);
        sqlx::raw_sql("analyze entry; analyze moment")
            .execute(db)
            .await
            .unwrap();
    }
}

/// What must hold; each answers sentences about what does not.
const QUESTIONS: [&str; 9] = [
    // Every moment is covered by exactly one row.
    "select format('moment %s of %s is in %s ticks', m.at, e.key, count(t.id))
     from moment m join entry e using (schedule_id)
     left join syncline.tick t
         on t.schedule_id = m.schedule_id and t.nominal_at <= m.at and t.last_nominal_at >= m.at
     group by e.key, m.at having count(t.id) <> 1 limit $1",
    // And no row covers anything else.
    "select format('the ticks of %s stand for %s moments, it had %s', e.key, coalesce(t.moments, 0), m.moments)
     from entry e
     join (select schedule_id, count(*) as moments from moment group by 1) m using (schedule_id)
     left join (select schedule_id, sum(moments) as moments from syncline.tick where cause = 'time' group by 1) t
         using (schedule_id)
     where m.moments is distinct from t.moments limit $1",
    "select format('tick %s of %s stands for %s moments, from there to %s are %s', t.nominal_at, e.key, t.moments,
                   t.last_nominal_at, count(m.at))
     from syncline.tick t join entry e using (schedule_id)
     left join moment m on m.schedule_id = t.schedule_id and m.at between t.nominal_at and t.last_nominal_at
     group by t.id, e.key having count(m.at) <> t.moments limit $1",
    "select format('tick %s of %s was %s (%s), and all of its ticks have to fire', t.nominal_at, e.key, t.outcome, t.reason)
     from syncline.tick t join entry e using (schedule_id)
     where e.must_fire and t.outcome not in ('fired', 'late') limit $1",
    // A fired tick and its batch.
    "select format('tick %s of %s was %s, its batch is %s, and %s batches name it', t.nominal_at, e.key, t.outcome, t.batch_id,
                   count(b.id))
     from syncline.tick t join entry e using (schedule_id)
     left join syncline.batch b on b.schedule_id = t.schedule_id and b.nominal_at = t.nominal_at
     group by t.id, e.key
     having count(b.id) <> case when t.outcome in ('fired', 'late') then 1 else 0 end
         or count(b.id) filter (where b.id is distinct from t.batch_id) > 0
     limit $1",
    "select format('batch %s of schedule %s belongs to no tick', b.id, b.schedule_id)
     from syncline.batch b
     where not exists (select from syncline.tick t where t.batch_id = b.id) limit $1",
    // A batch and its runs.
    "select format('batch %s has %s runs of %s connections, and says it has %s, of which %s ended', b.id, count(r.id),
                   count(distinct r.connection_id), b.runs, b.succeeded + b.partial + b.failed + b.cancelled)
     from syncline.batch b left join syncline.runs r on r.batch_id = b.id
     group by b.id
     having count(r.id) <> b.runs or count(distinct r.connection_id) <> b.runs or b.runs = 0
         or b.succeeded + b.partial + b.failed + b.cancelled <> b.runs
     limit $1",
    "select format('run %s belongs to batch %s, which does not exist', r.id, r.batch_id)
     from syncline.runs r
     where not exists (select from syncline.batch b where b.id = r.batch_id) limit $1",
    "select format('run %s ended as %s: %s', id, status, last_error) from syncline.runs where status <> 'succeeded' limit $1",
];
