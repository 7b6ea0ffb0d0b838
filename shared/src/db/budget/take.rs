//! Taking permits.

use std::time::Duration;

use uuid::Uuid;

use crate::budget::BudgetDefinition;
use crate::db::{DbConnection, DbResult};
use crate::ids::BusinessId;

/// Where permits are charged, by the database's clock, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// No request leaves after it.
    pub at: i64,
    /// Requests under way count until then, unless it is put off.
    pub until: i64,
}

/// What became of permits of one budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Nothing was sent: they are given back.
    Unused,
    /// Requests left, at this instant by the database's clock or before, and have been answered or given up.
    Sent {
        /// When, in milliseconds since 1970.
        at: i64,
        /// What they cost in truth, in points.
        cost: i64,
    },
    /// A request is still under way, and counts until this instant.
    UnderWay {
        /// In milliseconds since 1970.
        until: i64,
    },
}

/// A change of what is charged to a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// The budget's key.
    pub key: String,
    /// As it was charged.
    pub charge: Charge,
    /// So many permits.
    pub permits: i64,
    /// So much was charged for all of them.
    pub points: i64,
    /// What became of it.
    pub settled: Settled,
}

/// Who asks for permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Asker {
    /// A name that lasts while it waits.
    pub id: Uuid,
    /// For whom.
    pub business: BusinessId,
    /// How much of a contended budget that business gets, in relation to others; at least 1.
    pub weight: i32,
    /// False: what is kept for runs that a person started is not touched.
    pub is_manual: bool,
}

/// A budget that a request draws on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Drawn {
    /// The budget.
    pub budget: BudgetDefinition,
    /// What one request costs, in points; at least 1. Where a window allows less, it leaves when nothing else counts there.
    pub points: u32,
    /// So many percent of each window are kept for runs that a person started.
    pub manual_reserve: u8,
}

/// A request for permits.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// The budgets that one request draws on.
    pub drawn: &'a [Drawn],
    /// `platform/host:port`: while it does not answer, no permits are given.
    pub circuit: &'a str,
    /// Who asks.
    pub asker: Asker,
    /// At most so many permits.
    pub want: u32,
    /// They are used within this time, counted from before the asking; or from their beginning, where that is later.
    pub lease: Duration,
    /// Permits that begin within this time are welcome, too.
    pub early: Duration,
    /// Requests are under way no longer, unless it is told anew.
    pub hold: Duration,
    /// Waits up to this are waited out; longer ones without a process.
    pub patience: Duration,
    /// What became of earlier ones. If no answer comes, this must not be told again.
    pub settled: &'a [Cost],
}

/// Permits that begin together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// How many; at least one.
    pub permits: u32,
    /// No request leaves before this time has passed since the answer came: until then there is no room for it.
    pub begins_in: Duration,
    /// Where they are charged.
    pub charge: Charge,
}

/// The answer to a request for permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// Requests may be sent within the lease, in the order in which their permits begin; at least one.
    Granted(Vec<Granted>),
    /// None now.
    Wait {
        /// Until there may be one.
        wait: Duration,
        /// Until there is room for anybody.
        room: Duration,
        /// The budget that is used up, or the host that does not answer.
        key: String,
        /// What the platform said, if that is why.
        because: Option<String>,
    },
    /// These budgets are to be defined first.
    Undefined(Vec<String>),
    /// Nothing was asked for but to settle.
    Settled,
}

/// Settles earlier permits and takes new ones: of all budgets, or of none. Waits for other takers of the same budgets, never for the
/// budgets themselves.
pub async fn take_permits(db: &mut DbConnection, ask: &Ask<'_>) -> DbResult<Grant> {
    let keys: Vec<_> = ask.drawn.iter().map(|drawn| drawn.budget.key()).collect();
    let weights: Vec<_> = ask
        .drawn
        .iter()
        .map(|drawn| i64::from(drawn.points.max(1)))
        .collect();
    let reserves: Vec<_> = ask
        .drawn
        .iter()
        .map(|drawn| i32::from(drawn.manual_reserve.min(100)))
        .collect();
    let mut windows = (Vec::new(), Vec::new(), Vec::new());
    for (drawn, key) in ask.drawn.iter().zip(&keys) {
        for window in &drawn.budget.windows {
            windows.0.push(key.clone());
            windows.1.push(window.kind.word());
            windows.2.push(i64::from(window.limit.max(1)));
        }
    }
    let settled = Columns::of(ask.settled);
    let answer = sqlx::query!(
        r#"select granted as "granted!", begins_ms as "begins_ms!", beginning as "beginning!", charged_at, charged_until, wait_ms, room_ms, refused_by, because, undefined
           from syncline.take_permits($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)"#,
        &keys,
        &weights,
        &reserves,
        &windows.0,
        &windows.1,
        &windows.2,
        i64::from(ask.want),
        ms(ask.lease),
        ms(ask.hold),
        ask.circuit,
        ask.asker.id,
        ask.asker.business.0,
        ask.asker.weight.max(1),
        ask.asker.is_manual,
        ms(ask.patience),
        &settled.keys,
        &settled.at as &[Option<i64>],
        &settled.until,
        &settled.points,
        &settled.sent as &[Option<i64>],
        &settled.held as &[Option<i64>],
        &settled.costs,
        ms(ask.early),
        &settled.permits,
    )
    .fetch_one(db)
    .await?;
    if let Some(undefined) = answer.undefined {
        return Ok(Grant::Undefined(undefined));
    }
    if let (1.., Some(at), Some(until)) = (answer.granted, answer.charged_at, answer.charged_until)
    {
        let begins = answer.begins_ms.into_iter().zip(answer.beginning);
        let granted = begins.map(|(begins_ms, permits)| Granted {
            permits: u32::try_from(permits).unwrap_or(0),
            begins_in: Duration::from_millis(u64::try_from(begins_ms).unwrap_or(0)),
            charge: Charge {
                at: at + begins_ms,
                until: until + begins_ms,
            },
        });
        return Ok(Grant::Granted(granted.collect()));
    }
    Ok(match answer.refused_by {
        None => Grant::Settled,
        Some(key) => Grant::Wait {
            wait: time(answer.wait_ms).max(Duration::from_millis(1)),
            room: time(answer.room_ms),
            key,
            because: answer.because,
        },
    })
}

/// Tells what became of permits, and takes none.
pub async fn settle_permits(db: &mut DbConnection, settled: &[Cost]) -> DbResult<()> {
    let ask = Ask {
        drawn: &[],
        circuit: "",
        asker: Asker {
            id: Uuid::nil(),
            business: BusinessId(Uuid::nil()),
            weight: 1,
            is_manual: false,
        },
        want: 0,
        lease: Duration::ZERO,
        early: Duration::ZERO,
        hold: Duration::ZERO,
        patience: Duration::ZERO,
        settled,
    };
    take_permits(db, &ask).await?;
    Ok(())
}

/// What is settled, by columns.
#[derive(Default)]
struct Columns {
    keys: Vec<String>,
    at: Vec<Option<i64>>,
    until: Vec<i64>,
    points: Vec<i64>,
    sent: Vec<Option<i64>>,
    held: Vec<Option<i64>>,
    costs: Vec<i64>,
    permits: Vec<i64>,
}

impl Columns {
    fn of(settled: &[Cost]) -> Self {
        let mut columns = Self::default();
        for one in settled {
            let (at, sent, held, cost) = match one.settled {
                Settled::Unused => (Some(one.charge.at), None, None, 0),
                Settled::Sent { at, cost } => (Some(one.charge.at), Some(at), None, cost),
                Settled::UnderWay { until } => (None, None, Some(until), one.points),
            };
            columns.keys.push(one.key.clone());
            columns.at.push(at);
            columns.until.push(one.charge.until);
            columns.points.push(one.points);
            columns.sent.push(sent);
            columns.held.push(held);
            columns.costs.push(cost);
            columns.permits.push(one.permits);
        }
        columns
    }
}

fn time(ms: Option<i64>) -> Duration {
    Duration::from_millis(u64::try_from(ms.unwrap_or(0)).unwrap_or(0))
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis())
        .unwrap_or(i64::MAX / 4)
        .min(i64::MAX / 4)
}
