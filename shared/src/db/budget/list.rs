//! Budgets as people see them.

use chrono::{DateTime, Utc};

use crate::db::{DbConnection, DbResult};

/// A budget as it stands.
#[derive(Debug, Clone)]
pub struct BudgetState {
    /// `platform/name/scope`.
    pub key: String,
    /// The platform.
    pub platform: String,
    /// The budget's name in the manifest.
    pub name: String,
    /// Whose budget it is.
    pub scope: String,
    /// No permits before, if that is in the future.
    pub paused_until: Option<DateTime<Utc>>,
    /// What the platform said, while it is paused.
    pub paused_because: Option<String>,
    /// Permits given so far.
    pub granted: i64,
    /// Requests for permits that were refused so far.
    pub refused: i64,
    /// Answers of the platform that a limit is reached, so far.
    pub limited: i64,
    /// When the last of them came.
    pub limited_at: Option<DateTime<Utc>>,
    /// Runs that wait for it without a process.
    pub waiting_runs: i64,
    /// When permits were last given or refused.
    pub updated_at: DateTime<Utc>,
    /// Its windows, the shortest first.
    pub windows: Vec<WindowState>,
}

/// A window as it stands.
#[derive(Debug, Clone)]
pub struct WindowState {
    /// `rolling`, `fixed`, `day`, `month` or `concurrent`.
    pub kind: String,
    /// Its length in milliseconds; 0: it counts requests under way.
    pub per_ms: i64,
    /// Zone of the calendar.
    pub zone: Option<String>,
    /// The limit, in points.
    pub points_limit: i64,
    /// What is allowed now: less than the limit after the platform refused, or told a lower one.
    pub allowed: i64,
    /// Points that count now: sent, leased, and used by others as far as the platform told.
    pub used: i64,
    /// Of them those of others.
    pub outside: i64,
    /// When the oldest of them stop counting; `None`: nothing counts.
    pub refills_at: Option<DateTime<Utc>>,
    /// When all of them will have stopped counting.
    pub empty_at: Option<DateTime<Utc>>,
}

/// All budgets together.
#[derive(Debug, Clone, Default)]
pub struct BudgetTotals {
    /// By platform and name of the budget.
    pub name: String,
    /// The platform.
    pub platform: String,
    /// Keys of it.
    pub keys: i64,
    /// Permits given so far.
    pub granted: i64,
    /// Requests for permits that were refused so far.
    pub refused: i64,
    /// Answers of the platform that a limit is reached, so far.
    pub limited: i64,
    /// The fullest of its windows: the part of what is allowed that counts now.
    pub saturation: f64,
}

struct Row {
    key: String,
    platform: String,
    name: String,
    scope: String,
    paused_until: Option<DateTime<Utc>>,
    paused_because: Option<String>,
    granted: i64,
    refused: i64,
    limited: i64,
    limited_at: Option<DateTime<Utc>>,
    waiting_runs: i64,
    updated_at: DateTime<Utc>,
    kind: String,
    per_ms: i64,
    zone: Option<String>,
    points_limit: i64,
    allowed: i64,
    used: i64,
    outside: i64,
    refills_at: Option<DateTime<Utc>>,
    empty_at: Option<DateTime<Utc>>,
}

/// Budgets of a platform, or of all, after a key, in the order of their keys.
pub async fn list_budgets(
    db: &mut DbConnection,
    platform: Option<&str>,
    after: &str,
    limit: i64,
) -> DbResult<Vec<BudgetState>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select b.key, b.platform, b.name, b.scope, p.until as paused_until,
                  case when p.until is not null then b.paused_because end as paused_because,
                  b.granted, b.refused, b.limited, b.limited_at, b.updated_at,
                  (select count(*) from syncline.run r
                   where r.wait_key = b.key and r.state = 'waiting' and r.wait_reason = 'limit') as "waiting_runs!",
                  w.kind, w.per_ms, w.zone, w.points_limit,
                  syncline.allowed_points(
                      w.points_limit, w.told_limit, w.eased_to, w.ceiling, w.eased_at, w.per_ms, n.at) as "allowed!",
                  o.points + coalesce(c.points, 0)::bigint as "used!", o.points as "outside!",
                  to_timestamp(c.first_free / 1000.0) as refills_at, to_timestamp(c.last_free / 1000.0) as empty_at
           from (
               select * from syncline.budget
               where key > $1 and ($2::text is null or platform = $2)
               order by key limit $3) b
           cross join (select syncline.epoch_ms(syncline.now()) as at) n
           cross join lateral (select case when b.paused_until > syncline.now() then b.paused_until end as until) p
           join syncline.budget_window w on w.key = b.key and w.asked_at >= syncline.asked_since(b.key, w.per_ms)
           cross join lateral (select case when w.outside_until > n.at then w.outside else 0 end as points) o
           left join lateral (
               select sum(s.points) as points, min(f.free_at) as first_free, max(f.free_at) as last_free
               from unnest(w.slots, w.points) as s (slot, points)
               cross join lateral (
                   select syncline.counts_until(
                       w.kind, w.per_ms, w.guard_ms, w.zone, w.resets_at, (s.slot + 1) * w.slot_ms) as free_at) f
               where f.free_at > n.at) c on true
           order by b.key, w.per_ms, w.word"#,
        after,
        platform,
        limit
    )
    .fetch_all(db)
    .await?;
    let mut budgets: Vec<BudgetState> = Vec::new();
    for row in rows {
        let window = WindowState {
            kind: row.kind,
            per_ms: row.per_ms,
            zone: row.zone,
            points_limit: row.points_limit,
            allowed: row.allowed,
            used: row.used,
            outside: row.outside,
            refills_at: row.refills_at,
            empty_at: row.empty_at,
        };
        match budgets.last_mut().filter(|last| last.key == row.key) {
            Some(last) => last.windows.push(window),
            None => budgets.push(BudgetState {
                key: row.key,
                platform: row.platform,
                name: row.name,
                scope: row.scope,
                paused_until: row.paused_until,
                paused_because: row.paused_because,
                granted: row.granted,
                refused: row.refused,
                limited: row.limited,
                limited_at: row.limited_at,
                waiting_runs: row.waiting_runs,
                updated_at: row.updated_at,
                windows: vec![window],
            }),
        }
    }
    Ok(budgets)
}

/// All budgets together, by platform and name. Reads them all: for metrics, not for each request.
pub async fn total_budgets(db: &mut DbConnection) -> DbResult<Vec<BudgetTotals>> {
    Ok(sqlx::query_as!(
        BudgetTotals,
        r#"select b.platform, b.name, count(*) as "keys!", sum(b.granted)::bigint as "granted!", sum(b.refused)::bigint as "refused!",
                  sum(b.limited)::bigint as "limited!", coalesce(max(f.part), 0)::float8 as "saturation!"
           from syncline.budget b
           left join lateral (
               select max((coalesce(c.points, 0) + case when w.outside_until > n.at then w.outside else 0 end)::float8
                          / syncline.allowed_points(
                              w.points_limit, w.told_limit, w.eased_to, w.ceiling, w.eased_at, w.per_ms, n.at)) as part
               from syncline.budget_window w
               cross join (select syncline.epoch_ms(syncline.now()) as at) n
               left join lateral (
                   select sum(s.points) as points from unnest(w.slots, w.points) as s (slot, points)
                   where syncline.counts_until(
                       w.kind, w.per_ms, w.guard_ms, w.zone, w.resets_at, (s.slot + 1) * w.slot_ms) > n.at) c on true
               where w.key = b.key and w.asked_at >= syncline.asked_since(b.key, w.per_ms)) f on true
           group by b.platform, b.name order by b.platform, b.name"#
    )
    .fetch_all(db)
    .await?)
}
