//! Switches that make a platform misbehave, the same for all platforms.
//!
//! A switch is a fault and a trigger. The parts of a trigger narrow each other: of the calls of `pages`, every
//! `every`-th, with probability `rate`, until `next` have been struck; no part means every call. Switches are asked
//! in the order of [`FAULTS`]; the first that refuses the call ends the asking, so that the counters of the others
//! do not run on calls they could not strike. All chance is drawn from the seed and the call's number.

mod settings;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

pub use self::settings::{Fault, FaultSettings, Switch, Trigger};
use crate::seeded::Draw;

/// The name of each fault in the control language, in the order in which switches are asked.
pub const FAULTS: [&str; 11] = [
    "connection_reset",
    "bad_gateway",
    "server_error",
    "unavailable",
    "rate_limited",
    "total_changing",
    "duplicated_rows",
    "wrong_content_type",
    "broken_json",
    "slow_body",
    "truncated_body",
];

/// The switches that struck one call, as bits in the order of [`FAULTS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FaultSet(u16);

impl FaultSet {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde's skip_serializing_if calls it so"
    )]
    pub(crate) fn is_empty(&self) -> bool {
        self.0 == 0
    }

    fn insert(&mut self, fault: &Fault) {
        self.0 |= 1 << fault.order();
    }
}

impl Serialize for FaultSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut names = serializer.serialize_seq(None)?;
        for (order, name) in FAULTS.iter().enumerate() {
            if self.0 & (1 << order) != 0 {
                names.serialize_element(name)?;
            }
        }
        names.end()
    }
}

/// How a call is refused instead of answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Reset,
    BadGateway,
    ServerError,
    Unavailable { retry_after_s: Option<u32> },
    RateLimited { retry_after_s: Option<u32> },
}

/// What happens to an answer on its way to the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BodyFaults {
    /// Draw that decides how the JSON is broken.
    pub(crate) broken: Option<u64>,
    /// The connection closes before the announced length is sent.
    pub(crate) truncated: bool,
    /// Bytes a piece, and the pause between pieces.
    pub(crate) slow: Option<(usize, Duration)>,
    /// The connection is reset after so many bytes of the body.
    pub(crate) reset_after: Option<usize>,
    pub(crate) content_type: Option<String>,
}

/// What the switches decided about one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) delay: Duration,
    pub(crate) refusal: Option<Refusal>,
    /// Added to the total that the answer names.
    pub(crate) total_shift: i64,
    /// Rows of the page before that are repeated on this page.
    pub(crate) duplicated_rows: usize,
    pub(crate) body: BodyFaults,
    pub(crate) struck: FaultSet,
}

/// A switch and what it has done so far.
#[derive(Clone, Debug, Serialize)]
struct Armed {
    #[serde(flatten)]
    switch: Switch,
    /// Calls that its `pages` let through.
    matched: u64,
    /// Calls it struck.
    struck: u64,
}

struct Board {
    settings: FaultSettings,
    calls: u64,
    armed: Vec<Armed>,
}

/// The switches of one platform.
pub(crate) struct Faults(Mutex<Board>);

impl Faults {
    pub(crate) fn new(settings: FaultSettings) -> Self {
        Self(Mutex::new(Board::new(settings)))
    }

    /// Replaces all switches and starts their counters at zero.
    pub(crate) fn replace(&self, settings: FaultSettings) {
        *self.board() = Board::new(settings);
    }

    /// The switches with their counters, in the form in which they are set.
    pub(crate) fn show(&self) -> serde_json::Value {
        let board = self.board();
        let mut shown = serde_json::json!({
            "seed": board.settings.seed,
            "latency_ms": board.settings.latency_ms,
            "jitter_ms": board.settings.jitter_ms,
        });
        for armed in &board.armed {
            shown[armed.switch.fault.name()] = serde_json::json!(armed);
        }
        shown
    }

    /// Decides what happens to a call for this page.
    pub(crate) fn plan(&self, page: u64) -> Plan {
        let mut board = self.board();
        board.calls += 1;
        let seed = board.settings.seed;
        let mut jitter = Draw::keyed(&[seed, board.calls]);
        let extra_ms = jitter.below(board.settings.jitter_ms.saturating_add(1));
        let delay_ms = board.settings.latency_ms.saturating_add(extra_ms);
        let mut plan = Plan {
            delay: Duration::from_millis(delay_ms),
            ..Plan::default()
        };
        for armed in &mut board.armed {
            if let Some(draw) = armed.strike(seed, page) {
                plan.struck.insert(&armed.switch.fault);
                plan.apply(&armed.switch.fault, draw);
            }
            if plan.refusal.is_some() {
                break;
            }
        }
        plan
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Board {
    fn new(settings: FaultSettings) -> Self {
        let mut switches = settings.switches.clone();
        switches.sort_by_key(|switch| switch.fault.order());
        let armed = switches
            .into_iter()
            .map(|switch| Armed {
                switch,
                matched: 0,
                struck: 0,
            })
            .collect();
        Self {
            settings,
            calls: 0,
            armed,
        }
    }
}

impl Armed {
    /// The draw that belongs to this strike, or `None` when the switch lets the call pass.
    fn strike(&mut self, seed: u64, page: u64) -> Option<Draw> {
        let trigger = &self.switch.trigger;
        if trigger
            .pages
            .as_ref()
            .is_some_and(|pages| !pages.contains(&page))
        {
            return None;
        }
        self.matched += 1;
        let order = self.switch.fault.order() as u64;
        let mut draw = Draw::keyed(&[seed, order, self.matched]);
        let due = trigger
            .every
            .is_none_or(|every| self.matched.is_multiple_of(every));
        let chosen = draw.fraction() < trigger.rate.unwrap_or(1.0);
        let used_up = trigger.next.is_some_and(|next| self.struck >= next);
        if !due || !chosen || used_up {
            return None;
        }
        self.struck += 1;
        Some(draw)
    }
}

impl Plan {
    fn apply(&mut self, fault: &Fault, mut draw: Draw) {
        match fault {
            Fault::ConnectionReset { after_bytes: None } => self.refusal = Some(Refusal::Reset),
            Fault::ConnectionReset { after_bytes } => self.body.reset_after = *after_bytes,
            Fault::BadGateway {} => self.refusal = Some(Refusal::BadGateway),
            Fault::ServerError {} => self.refusal = Some(Refusal::ServerError),
            Fault::Unavailable { retry_after_s } => {
                self.refusal = Some(Refusal::Unavailable {
                    retry_after_s: *retry_after_s,
                });
            }
            Fault::RateLimited { retry_after_s } => {
                self.refusal = Some(Refusal::RateLimited {
                    retry_after_s: *retry_after_s,
                });
            }
            Fault::TotalChanging { by } => {
                let shift = i64::from(draw.below_u32(*by)) + 1;
                self.total_shift = if draw.percent(50) { shift } else { -shift };
            }
            Fault::DuplicatedRows { rows } => self.duplicated_rows = *rows,
            Fault::WrongContentType { content_type } => {
                self.body.content_type = Some(content_type.clone());
            }
            Fault::BrokenJson {} => self.body.broken = Some(draw.next()),
            Fault::SlowBody {
                chunk_bytes,
                pause_ms,
            } => {
                self.body.slow = Some((*chunk_bytes, Duration::from_millis(*pause_ms)));
            }
            Fault::TruncatedBody {} => self.body.truncated = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(trigger: Trigger, fault: Fault) -> Faults {
        let switches = vec![Switch { trigger, fault }];
        Faults::new(FaultSettings {
            seed: 4,
            switches,
            ..FaultSettings::default()
        })
    }

    fn struck_calls(faults: &Faults, pages: impl Iterator<Item = u64>) -> Vec<u64> {
        pages
            .filter(|page| !faults.plan(*page).struck.is_empty())
            .collect()
    }

    #[test]
    fn the_parts_of_a_trigger_narrow_each_other() {
        let every = faults(
            Trigger {
                every: Some(3),
                ..Trigger::default()
            },
            Fault::BadGateway {},
        );
        assert_eq!(struck_calls(&every, 1..=10), [3, 6, 9]);
        let next = faults(
            Trigger {
                next: Some(2),
                ..Trigger::default()
            },
            Fault::BadGateway {},
        );
        assert_eq!(struck_calls(&next, 1..=10), [1, 2]);
        let trigger = Trigger {
            pages: Some(vec![4, 5]),
            next: Some(3),
            ..Trigger::default()
        };
        let pages_then_next = faults(trigger, Fault::BadGateway {});
        assert_eq!(
            struck_calls(&pages_then_next, [1, 4, 4, 2, 5, 5].into_iter()),
            [4, 4, 5]
        );
        let always = faults(Trigger::default(), Fault::BadGateway {});
        assert_eq!(struck_calls(&always, 1..=2), [1, 2]);
    }

    #[test]
    fn a_rate_strikes_its_share_and_the_same_calls_for_the_same_seed() {
        let trigger = Trigger {
            rate: Some(0.1),
            ..Trigger::default()
        };
        let run = || struck_calls(&faults(trigger.clone(), Fault::BrokenJson {}), 1..=5_000);
        let struck = run();
        assert!((420..580).contains(&struck.len()), "{}", struck.len());
        assert_eq!(struck, run());
    }

    #[test]
    fn a_refused_call_uses_up_no_other_switch() {
        let once = Trigger {
            next: Some(1),
            ..Trigger::default()
        };
        let switches = vec![
            Switch {
                trigger: once.clone(),
                fault: Fault::BrokenJson {},
            },
            Switch {
                trigger: once,
                fault: Fault::RateLimited {
                    retry_after_s: Some(3),
                },
            },
        ];
        let faults = Faults::new(FaultSettings {
            switches,
            ..FaultSettings::default()
        });
        let first = faults.plan(1);
        assert_eq!(
            first.refusal,
            Some(Refusal::RateLimited {
                retry_after_s: Some(3)
            })
        );
        assert_eq!(first.body, BodyFaults::default());
        let second = faults.plan(1);
        assert_eq!((second.refusal, second.body.broken.is_some()), (None, true));
        assert_eq!(faults.plan(1), Plan::default());
    }

    #[test]
    fn jitter_is_added_to_the_latency_and_stays_in_its_bounds() {
        let settings = FaultSettings {
            latency_ms: 20,
            jitter_ms: 10,
            ..FaultSettings::default()
        };
        let faults = Faults::new(settings);
        let delays: Vec<u128> = (0..200).map(|_| faults.plan(1).delay.as_millis()).collect();
        assert!(delays.iter().all(|delay| (20..=30).contains(delay)));
        assert!(delays.contains(&20) && delays.contains(&30));
    }

    #[test]
    fn the_total_shifts_both_ways_but_never_by_nothing() {
        let faults = faults(Trigger::default(), Fault::TotalChanging { by: 3 });
        let shifts: Vec<i64> = (0..200).map(|_| faults.plan(1).total_shift).collect();
        assert!(shifts.iter().all(|shift| *shift != 0 && shift.abs() <= 3));
        assert!(shifts.contains(&3) && shifts.contains(&-3));
    }
}
