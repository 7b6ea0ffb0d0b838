//! What a request draws on.

use std::time::Duration;

use syncline_engine::{BudgetPolicy, PermitRequest, WindowKind};
use syncline_shared::budget::{BudgetDefinition, BudgetWindow, BudgetWindowKind, Limit, Limits};
use syncline_shared::db::budget::Drawn;
use syncline_shared::ids::BusinessId;

/// A lease's part of the shortest window: one in so many.
const LEASE: u32 = 10;
/// The lease of permits that are used at once: so many times as long as answers take, and this. Until it is
/// settled, a permit counts from the end of its lease.
const ANSWERS: u32 = 3;
const SHORTEST_LEASE: Duration = Duration::from_millis(10);
/// Permits that begin later are asked for so many times as long before as answers and a timer take; ...
const EARLY: u32 = 2;
const TIMER: Duration = Duration::from_millis(5);
/// ... at most this part of the shortest window, and this time before.
const EARLY_PART: u32 = 20;
const EARLIEST: Duration = Duration::from_millis(100);
/// For the steps between the last look and the system's call: a part of the shortest window, one in so many.
const STRIDE: u32 = 100;
const SHORTEST_STRIDE: Duration = Duration::from_millis(2);
const LONGEST_STRIDE: Duration = Duration::from_secs(1);
/// So many permits may be kept in hand of small budgets, too: whoever asks for each request alone asks twice, once to learn when to come.
const FEW: f64 = 2.0;
/// The longest lease: what a process that dies had in hand counts for no longer.
const LONGEST_LEASE: Duration = Duration::from_secs(10);

/// The budgets that one request draws on, and the host that it goes to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Draw {
    drawn: Vec<Drawn>,
    circuit: String,
}

/// For whom a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Turn {
    pub(crate) business: BusinessId,
    /// How much of a contended budget the business gets, in relation to others.
    pub(crate) weight: i16,
    /// A person asked for the run.
    pub(crate) is_manual: bool,
}

/// Limits that people have set: a connection's take precedence over its platform's, and those over the manifest's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    pub(crate) of_connection: Limits,
    pub(crate) of_platform: Limits,
}

impl Draw {
    /// Looks up the limits of the budgets that a request names.
    pub(crate) fn of(
        platform: &str,
        request: &PermitRequest,
        policies: &[BudgetPolicy],
        overrides: &Overrides,
    ) -> Self {
        let drawn = request.budgets.iter().filter_map(|key| {
            let policy = policies.iter().find(|policy| policy.name == key.policy);
            let limit = overrides
                .of_connection
                .0
                .get(&key.policy)
                .or_else(|| overrides.of_platform.0.get(&key.policy));
            let mut windows = match limit {
                Some(limit) => limit.windows(),
                None => policy.map(of_manifest).unwrap_or_default(),
            };
            // Of two limits for one length the stricter holds.
            windows.sort_by(|a, b| (&a.kind, a.limit).cmp(&(&b.kind, b.limit)));
            windows.dedup_by(|next, kept| next.kind == kept.kind);
            let budget = BudgetDefinition {
                platform: platform.to_owned(),
                name: key.policy.clone(),
                scope: key.scope.clone(),
                windows,
            };
            let of_limit = limit.and_then(Limit::manual_reserve_percent);
            let of_policy = policy.map_or(0, |policy| policy.manual_reserve);
            (!budget.windows.is_empty()).then(|| Drawn {
                budget,
                points: key.weight.max(1),
                manual_reserve: of_limit.unwrap_or(of_policy),
            })
        });
        Self {
            drawn: drawn.collect(),
            circuit: format!("{platform}/{}", request.authority),
        }
    }

    /// The budgets and what a request costs them.
    pub(crate) fn drawn(&self) -> &[Drawn] {
        &self.drawn
    }

    /// `platform/host:port`.
    pub(crate) fn circuit(&self) -> &str {
        &self.circuit
    }

    /// True if no budget limits the request.
    pub(crate) fn is_free(&self) -> bool {
        self.drawn.is_empty()
    }

    /// True if it draws on this budget, or goes to this host.
    pub(crate) fn concerns(&self, key: &str) -> bool {
        self.circuit == key || self.drawn.iter().any(|drawn| drawn.budget.key() == key)
    }

    /// The budget of a policy.
    pub(crate) fn of_policy(&self, policy: &str) -> Option<&Drawn> {
        self.drawn.iter().find(|drawn| drawn.budget.name == policy)
    }

    /// True if a part of this budget is kept for runs that a person started.
    pub(super) fn keeps_reserve(&self, key: &str) -> bool {
        let mut of_key = self.drawn.iter().filter(|drawn| drawn.budget.key() == key);
        of_key.any(|drawn| drawn.manual_reserve > 0)
    }

    /// What one request costs the dearest of its budgets.
    pub(crate) fn points(&self) -> i64 {
        let points = self.drawn.iter().map(points_of);
        points.max().unwrap_or(0)
    }

    /// The same, where the platform says what it cost, by policy.
    pub(crate) fn settled_points(&self, cost: impl Fn(&str) -> Option<i64>) -> i64 {
        let points = self.drawn.iter().map(|drawn| {
            let told = cost(&drawn.budget.name);
            told.unwrap_or_else(|| points_of(drawn))
        });
        points.max().unwrap_or(0)
    }

    /// True if a budget counts requests that are under way.
    pub(crate) fn counts_concurrency(&self) -> bool {
        self.drawn
            .iter()
            .any(|drawn| drawn.budget.counts_concurrency())
    }

    /// The shortest window of its budgets.
    pub(super) fn shortest(&self) -> Option<Duration> {
        let shortest = self
            .drawn
            .iter()
            .filter_map(|drawn| drawn.budget.shortest());
        shortest.min()
    }

    /// For how long permits are taken that are used within a time, if the database takes so long to answer.
    pub(super) fn short_lease(&self, answer: Duration, used_within: Duration) -> Duration {
        (SHORTEST_LEASE + answer * ANSWERS)
            .saturating_add(used_within)
            .min(self.lease())
    }

    /// How long before there is room permits are asked for, if the database takes so long to answer: they are then given in time.
    pub(super) fn early(&self, answer: Duration) -> Duration {
        let part = self.shortest().unwrap_or(Duration::ZERO) / EARLY_PART;
        ((TIMER + answer * 2) * EARLY).min(part).min(EARLIEST)
    }

    /// Within this time after the last look a request has left that does not have to wait for a connection.
    pub(super) fn stride(&self) -> Duration {
        self.shortest()
            .map_or(LONGEST_STRIDE, |shortest| shortest / STRIDE)
            .clamp(SHORTEST_STRIDE, LONGEST_STRIDE)
    }

    /// For how long permits are taken that are kept in hand.
    pub(super) fn lease(&self) -> Duration {
        self.shortest()
            .map_or(LONGEST_LEASE, |shortest| shortest / LEASE)
            .min(LONGEST_LEASE)
    }

    /// As many permits as the budgets give within a lease; at least a few, but no more than a third of a window. `None`: permits must not
    /// be kept in hand, since the budgets count requests that are under way.
    pub(super) fn most(&self) -> Option<u32> {
        let mut most = u32::MAX;
        for drawn in &self.drawn {
            for window in &drawn.budget.windows {
                let per = window.kind.length()?;
                let share = self.lease().as_secs_f64() / per.as_secs_f64();
                let window_gives = f64::from(window.limit) / f64::from(drawn.points.max(1));
                let few = (window_gives / 3.0).min(FEW);
                most = most.min(whole((window_gives * share).max(few)));
            }
        }
        Some(most.max(1))
    }
}

/// What a request is charged.
pub(super) fn points_of(drawn: &Drawn) -> i64 {
    i64::from(drawn.points.max(1))
}

fn of_manifest(policy: &BudgetPolicy) -> Vec<BudgetWindow> {
    let window = |window: &syncline_engine::BudgetWindow| BudgetWindow {
        kind: match &window.kind {
            WindowKind::Rolling(per) => BudgetWindowKind::Rolling(*per),
            WindowKind::Fixed(per) => BudgetWindowKind::Fixed(*per),
            WindowKind::Day(zone) => BudgetWindowKind::Day(zone.clone()),
            WindowKind::Month(zone) => BudgetWindowKind::Month(zone.clone()),
            WindowKind::Concurrent => BudgetWindowKind::Concurrent,
        },
        limit: u32::try_from(window.limit).unwrap_or(u32::MAX).max(1),
    };
    policy.windows.iter().map(window).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range of u32 first"
)]
fn whole(number: f64) -> u32 {
    number.clamp(0.0, f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use syncline_engine::BudgetKey;

    fn policy(windows: &[(u64, Duration)]) -> BudgetPolicy {
        let windows = windows
            .iter()
            .map(|(limit, per)| syncline_engine::BudgetWindow {
                limit: *limit,
                kind: WindowKind::Rolling(*per),
            });
        BudgetPolicy {
            name: "export".to_owned(),
            windows: windows.collect(),
            is_additional: false,
            manual_reserve: 20,
            scope: None,
            matchers: Vec::new(),
            reset_header: None,
            remaining_header: None,
            limit_statuses: vec![429],
        }
    }

    fn draw(
        windows: &[(u64, Duration)],
        weight: u32,
        of_platform: &Value,
        of_connection: &Value,
    ) -> Draw {
        let request = PermitRequest {
            stream: "products".to_owned(),
            ahead: false,
            method: "GET".to_owned(),
            url: "https://api.g2a.com/v1/products".to_owned(),
            authority: "api.g2a.com:443".to_owned(),
            budgets: vec![BudgetKey {
                policy: "export".to_owned(),
                scope: "abc".to_owned(),
                weight,
            }],
        };
        let overrides = Overrides {
            of_connection: Limits::read(of_connection),
            of_platform: Limits::read(of_platform),
        };
        Draw::of("g2a", &request, &[policy(windows)], &overrides)
    }

    fn plain(windows: &[(u64, Duration)], weight: u32) -> Draw {
        draw(windows, weight, &json!({}), &json!({}))
    }

    fn words(draw: &Draw) -> Vec<String> {
        let windows = draw.drawn().iter().flat_map(|drawn| &drawn.budget.windows);
        windows
            .map(|window| format!("{} {}", window.limit, window.kind.word()))
            .collect()
    }

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn every_window_of_a_budget_counts() {
        let draw = plain(&[(1000, HOUR), (50, SECOND), (60, SECOND)], 1);
        assert_eq!(
            words(&draw),
            ["50 rolling 1000ms", "1000 rolling 3600000ms"]
        );
        assert_eq!(draw.lease(), SECOND / 10);
        let ms = Duration::from_millis;
        assert_eq!((draw.early(ms(3)), draw.early(ms(50))), (ms(22), ms(50)));
        assert_eq!(draw.stride(), ms(10));
        assert!(draw.concerns("g2a/export/abc") && draw.concerns("g2a/api.g2a.com:443"));
        assert_eq!(draw.drawn()[0].manual_reserve, 20);
    }

    #[test]
    fn a_connections_limit_replaces_its_platforms_and_that_the_manifests() {
        let of_platform = json!({"export": {"limit": 7, "per_seconds": 1}});
        let of_connection = json!({"export": {"limit": 100, "per_seconds": 0.5}});
        let manifest = [(1, HOUR)];
        let set_for_both = draw(&manifest, 1, &of_platform, &of_connection);
        assert_eq!(words(&set_for_both), ["100 rolling 500ms"]);
        let set_for_platform = draw(&manifest, 1, &of_platform, &json!({}));
        assert_eq!(words(&set_for_platform), ["7 rolling 1000ms"]);
    }

    #[test]
    fn no_more_is_taken_than_the_budgets_give_within_a_lease() {
        assert_eq!(plain(&[(900, SECOND * 90)], 1).most(), Some(90));
        assert_eq!(plain(&[(900, SECOND * 90)], 4).most(), Some(22));
        assert_eq!(plain(&[(50, SECOND), (200, HOUR)], 1).most(), Some(2));
        assert_eq!(plain(&[(5, SECOND)], 1).most(), Some(1));
        let at_once = json!({"export": {"limit": 4, "at_once": true}});
        assert_eq!(draw(&[], 1, &at_once, &json!({})).most(), None);
    }
}
