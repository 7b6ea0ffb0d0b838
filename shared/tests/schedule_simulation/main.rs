//! Schedules under a simulated clock: whatever the trigger, the policy and the outages, every moment is in exactly one row, and the
//! preview is what fires.
//!
//! The rows are checked against moments that are found one by one, by asking a trigger for the next one again and again.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use syncline_shared::ids::ScheduleId;
use syncline_shared::schedule::{CatchUp, CatchUpMode, Fire, Plan, Policy, TickOutcome, Trigger};
use uuid::Uuid;

const SCHEDULE: ScheduleId = ScheduleId(Uuid::from_u128(4));

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A row, as the scheduler would write it.
#[derive(Debug, Clone)]
struct Row {
    first: DateTime<Utc>,
    last: DateTime<Utc>,
    count: u64,
    outcome: TickOutcome,
    decided_at: DateTime<Utc>,
}

/// A scheduler that decides a schedule's ticks and keeps its rows.
struct Scheduler<'a> {
    plan: Plan<'a>,
    next_at: Option<DateTime<Utc>>,
    fired: u64,
    rows: Vec<Row>,
    /// Most moments that fire in one transaction.
    most: u32,
}

impl<'a> Scheduler<'a> {
    fn new(plan: Plan<'a>, start: DateTime<Utc>, most: u32) -> Self {
        Self {
            plan,
            next_at: plan.moment_from(start),
            fired: 0,
            rows: Vec::new(),
            most,
        }
    }

    /// Decides all that is due, a transaction at a time. Of the moments that fire, `is_skipped` says which make no batch.
    fn run(&mut self, now: DateTime<Utc>, mut is_skipped: impl FnMut(&Fire) -> bool) {
        while let Some(next_at) = self.next_at {
            let due = self.plan.decide(next_at, now, self.fired, self.most);
            assert!(due.fires.len() <= self.most as usize);
            if due.gaps.is_empty() && due.fires.is_empty() {
                assert_eq!(due.following, Some(next_at));
                return;
            }
            self.rows.extend(due.gaps.iter().map(|gap| Row {
                first: gap.first,
                last: gap.last,
                count: gap.count,
                outcome: gap.outcome,
                decided_at: now,
            }));
            for fire in &due.fires {
                assert_eq!(fire.due_at, self.plan.due_at(fire.nominal));
                assert!(fire.due_at <= now);
                let is_skipped = is_skipped(fire);
                self.fired += u64::from(!is_skipped);
                self.rows.push(Row {
                    first: fire.nominal,
                    last: fire.nominal,
                    count: 1,
                    outcome: if is_skipped {
                        TickOutcome::Skipped
                    } else {
                        fire.outcome
                    },
                    decided_at: now,
                });
            }
            self.next_at = due.next_at(self.plan.policy, self.fired);
        }
    }

    /// Checks the rows against all moments since `start` that were due at `now`.
    fn check(&self, start: DateTime<Utc>, now: DateTime<Utc>) -> u64 {
        let policy = self.plan.policy;
        let mut moments = std::iter::successors(
            self.plan
                .trigger
                .next_after(start - TimeDelta::nanoseconds(1)),
            |moment| self.plan.trigger.next_after(*moment),
        )
        .skip_while(|moment| policy.start_at.is_some_and(|start| *moment < start))
        .take_while(|moment| policy.end_at.is_none_or(|end| *moment <= end))
        .take_while(|moment| self.plan.due_at(*moment) <= now)
        .peekable();
        let mut checked = 0;
        for row in &self.rows {
            assert_eq!(Some(row.first), moments.peek().copied(), "{row:?}");
            let mut last = None;
            let mut count = 0;
            while let Some(moment) = moments.next_if(|moment| *moment <= row.last) {
                last = Some(moment);
                count += 1;
                self.check_moment(moment, row);
            }
            assert_eq!((last, count), (Some(row.last), row.count), "{row:?}");
            checked += count;
        }
        // Only a schedule that has ended leaves moments.
        if !policy.is_exhausted(self.fired) {
            assert_eq!(moments.next(), None);
        }
        assert!(
            policy
                .max_runs
                .is_none_or(|most| self.fired <= u64::from(most))
        );
        checked
    }

    /// The rules of the policy, one by one.
    fn check_moment(&self, moment: DateTime<Utc>, row: &Row) {
        let late = row.decided_at - self.plan.due_at(moment);
        let catch_up = self.plan.policy.catch_up;
        let window = TimeDelta::seconds(catch_up.window_seconds);
        let minute = TimeDelta::minutes(1);
        match row.outcome {
            TickOutcome::Fired => assert!(late <= minute && late <= window, "{row:?}"),
            TickOutcome::Late => {
                assert!(late > minute && late <= window, "{row:?}");
                assert_ne!(catch_up.mode, CatchUpMode::Skip, "{row:?}");
            }
            TickOutcome::Skipped => assert!(late <= window, "{row:?}"),
            TickOutcome::Coalesced => {
                assert!(late <= window, "{row:?}");
                assert_ne!(catch_up.mode, CatchUpMode::All, "{row:?}");
            }
            TickOutcome::Missed => match catch_up.mode {
                CatchUpMode::Latest => assert!(late > window, "{row:?}"),
                CatchUpMode::Skip => assert!(late > window.min(minute), "{row:?}"),
                // Or beyond the cap, which is checked where rows are counted.
                CatchUpMode::All => assert!(late > TimeDelta::zero(), "{row:?}"),
            },
        }
    }
}

fn any_trigger() -> impl Strategy<Value = Trigger> {
    let cron = prop::sample::select(vec![
        "*/15 * * * *",
        "0 * * * *",
        "30 2 * * *",
        "0 */2 * * *",
        "*/30 0-5 * * *",
        "0 9-17 * * 1-5",
        "0 0 * * 0",
        "0 4 L * *",
        "*/40 * * * * *",
    ]);
    let zone = prop::sample::select(vec![
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "America/Sao_Paulo",
    ]);
    let anchor = utc("2018-01-01T00:00:07.25Z");
    prop_oneof![
        4 => (cron, zone).prop_map(|(cron, zone)| Trigger::cron(cron, zone).unwrap()),
        2 => (7_i64..20_000).prop_map(move |every| Trigger::interval(every, anchor).unwrap()),
        1 => (0_i64..86_400 * 400).prop_map(|after| Trigger::Once {
            at: utc("2018-01-01T00:00:00Z") + TimeDelta::seconds(after)
        }),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let window = prop_oneof![10_i64..7200, 7200_i64..86_400 * 20, Just(365 * 86_400)];
    let mode = prop::sample::select(CatchUpMode::ALL);
    let jitter = prop_oneof![Just(0_u32), 1_u32..30, 30_u32..86_400];
    let bound = || prop::option::of(0_i64..40 * 86_400);
    let max_runs = prop::option::weighted(0.3, 1_u32..20);
    (window, mode, 1_u32..30, jitter, bound(), bound(), max_runs).prop_map(
        |(window_seconds, mode, cap, jitter_seconds, start, end, max_runs)| {
            let at = |seconds| utc("2018-02-01T00:00:00Z") + TimeDelta::seconds(seconds);
            let start_at = start.map(at);
            Policy {
                catch_up: CatchUp {
                    window_seconds,
                    mode,
                    cap,
                },
                jitter_seconds,
                start_at,
                end_at: end
                    .map(at)
                    .filter(|end| start_at.is_none_or(|start| start <= *end)),
                max_runs,
                ..Policy::default()
            }
        },
    )
}

proptest! {
    #[test]
    fn every_due_moment_is_in_exactly_one_row(
        trigger in any_trigger(), policy in any_policy(), most in 1_u32..10,
        pauses in prop::collection::vec(prop_oneof![0_i64..50, 50_i64..4000, 4000_i64..86_400 * 4], 1..25),
        skips in any::<u64>(),
    ) {
        prop_assert_eq!(policy.problems(), []);
        // Around the end of summer in the south, and after that the beginning in the north.
        let start = utc("2018-02-10T00:00:00Z");
        let plan = Plan { schedule: SCHEDULE, trigger: &trigger, policy: &policy };
        let mut scheduler = Scheduler::new(plan, start, most);
        let mut now = start;
        for (number, pause) in pauses.iter().enumerate() {
            now += TimeDelta::seconds(*pause);
            let rows = scheduler.rows.len();
            scheduler.run(now, |_| skips >> (number % 64) & 1 == 1);
            // After one outage: at most the cap fires, one after another, or one.
            let decided = &scheduler.rows[rows..];
            let fired = decided.iter().filter(|row| !matches!(row.outcome, TickOutcome::Missed | TickOutcome::Coalesced)).count();
            let cap = match policy.catch_up.mode {
                CatchUpMode::All => policy.catch_up.cap as usize,
                CatchUpMode::Latest | CatchUpMode::Skip => 1,
            };
            prop_assert!(fired <= cap);
            prop_assert!(decided.len() - fired <= 3, "{:?}", decided);
            let gap = decided.iter().rev().find(|row| row.outcome == TickOutcome::Missed);
            if let Some(gap) = gap && policy.catch_up.mode == CatchUpMode::All {
                let is_too_old = now - plan.due_at(gap.last) > TimeDelta::seconds(policy.catch_up.window_seconds);
                prop_assert!(is_too_old || fired == cap || policy.is_exhausted(scheduler.fired), "{:?}", decided);
            }
        }
        scheduler.check(start, now);
    }

    #[test]
    fn the_preview_is_what_fires_when_nothing_is_in_the_way(
        trigger in any_trigger(), policy in any_policy(), offset in 0_i64..86_400 * 300,
    ) {
        let start = utc("2018-02-01T00:00:00Z") + TimeDelta::seconds(offset);
        let plan = Plan { schedule: SCHEDULE, trigger: &trigger, policy: &policy };
        let preview = plan.preview(start, 60, 0);
        let mut scheduler = Scheduler::new(plan, start + TimeDelta::nanoseconds(1), 1);
        let mut fired = Vec::new();
        while fired.len() < 60 && let Some(next_at) = scheduler.next_at {
            // It wakes up when the tick is due, not when its moment comes.
            scheduler.run(plan.due_at(next_at), |fire| { fired.push(*fire); false });
        }
        prop_assert_eq!(preview, fired);
    }
}

/// Numbers that look random and are the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: i64) -> i64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.0 >> 33).unwrap() % end
    }
}

/// Eight schedules, from New Year to New Year, with a scheduler that is up for days and away for seconds to weeks.
#[test]
fn a_year_is_accounted_for_moment_by_moment() {
    let start = utc("2026-01-01T00:00:00Z");
    let end = utc("2027-01-01T00:00:00Z");
    let cron = |cron, zone| Trigger::cron(cron, zone).unwrap();
    let mode = |mode, cap| CatchUp {
        window_seconds: 3 * 86_400,
        mode,
        cap,
    };
    let default = Policy::default();
    let all = Policy {
        catch_up: mode(CatchUpMode::All, 50),
        jitter_seconds: 300,
        ..default
    };
    let none = Policy {
        catch_up: mode(CatchUpMode::Skip, 1),
        ..default
    };
    let bounded = Policy {
        start_at: Some(utc("2026-02-01T00:00:00Z")),
        end_at: Some(utc("2026-11-30T12:00:00Z")),
        ..default
    };
    let all_rules = [
        (cron("30 2 * * *", "Europe/Berlin"), default),
        (cron("*/15 * * * *", "Europe/Berlin"), all),
        (cron("0 9-17 * * 1-5", "America/New_York"), none),
        (cron("15 2 * * *", "Australia/Lord_Howe"), bounded),
        (cron("0 4 L * *", "Asia/Kathmandu"), default),
        (
            Trigger::interval(600, utc("2025-06-01T00:00:03Z")).unwrap(),
            all,
        ),
        (
            Trigger::Once {
                at: utc("2026-07-01T12:00:00Z"),
            },
            default,
        ),
        (Trigger::Manual, default),
    ];
    let mut checked = Vec::new();
    for (seed, (trigger, policy)) in (1..).zip(&all_rules) {
        let plan = Plan {
            schedule: SCHEDULE,
            trigger,
            policy,
        };
        let mut chance = Chance(seed);
        let mut scheduler = Scheduler::new(plan, start, 10);
        let mut now = start;
        while now < end {
            // Up for a while: it wakes up when something is due, within two seconds.
            let until = end.min(now + TimeDelta::seconds(chance.below(12 * 86_400)));
            while let Some(due_at) = scheduler.next_at.map(|next| plan.due_at(next)) {
                let wakes_at = now.max(due_at) + TimeDelta::milliseconds(chance.below(2000));
                if wakes_at > until {
                    break;
                }
                now = wakes_at;
                scheduler.run(now, |_| false);
            }
            let away = [30, 3600, 86_400, 20 * 86_400][usize::try_from(chance.below(4)).unwrap()];
            now = end.min(until + TimeDelta::seconds(chance.below(away)));
        }
        scheduler.run(end, |_| false);
        checked.push(scheduler.check(start, end));
    }
    // Daily, in February to November daily, monthly: once a day, summer time or not. Every 15 and every 10 minutes: of real time;
    // the moment at midnight that ends the year is not due yet, for its jitter. Business hours: 9 on each of 261 weekdays.
    assert_eq!(checked, [365, 365 * 96, 261 * 9, 302, 12, 365 * 144, 1, 0]);
}
