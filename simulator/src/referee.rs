//! The referee: counts every call per key (platform + account) with its arrival time, its points, what was answered
//! and when.
//!
//! It stands outside the platforms' own limits, so that a test can hold the whole fleet to a budget that the
//! platform does not enforce. Memory is bounded: the counts are exact for ever, the timeline keeps the newest
//! calls of all keys together (`timeline_cap`), and every answer says how many calls of the key it has lost.
//! Arrivals are stamped under the lock, so that the timeline is in order by construction.

mod report;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Serialize, Serializer};

pub(crate) use self::report::CallsInShort;
use crate::clock::{Clock, Moment};
use crate::faults::FaultSet;

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    /// An HTTP status was sent.
    Status(u16),
    /// The connection was reset before any byte of an answer.
    Reset,
    /// The client went away before it was answered.
    Abandoned,
    /// Not answered yet.
    InFlight,
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Status(status) => serializer.serialize_u16(*status),
            Self::Reset => serializer.serialize_str("reset"),
            Self::Abandoned => serializer.serialize_str("abandoned"),
            Self::InFlight => serializer.serialize_str("in_flight"),
        }
    }
}

/// One call as the timeline keeps it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CallRecord {
    #[serde(skip)]
    key: usize,
    at_us: u64,
    #[serde(serialize_with = "rfc3339")]
    at: Moment,
    /// What the call costs by the platform's price list.
    points: u32,
    status: Answer,
    /// When the answer was ready, the connection was reset, or the client was seen to be gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<u64>,
    request_id: String,
    #[serde(skip_serializing_if = "FaultSet::is_empty")]
    faults: FaultSet,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    violation: bool,
}

/// Exact counts of one key.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct KeyTotals {
    total: u64,
    /// What all of them cost together.
    total_points: u64,
    /// Calls by what was answered: a status, `reset` or `abandoned`.
    by_status: BTreeMap<String, u64>,
    in_flight: u64,
    /// Calls that came in over the platform's own limit.
    violations: u64,
    /// Calls counted above that the timeline no longer holds.
    timeline_dropped: u64,
    max_at_once: MostAtOnce,
    /// Calls of before the last reset that are still in flight.
    #[serde(skip)]
    strays: u64,
}

/// The most calls that were in flight together: from arrival until the answer was ready or the client was gone. It is
/// kept up to date call by call, so it does not depend on the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct MostAtOnce {
    calls: u64,
    /// Arrival of the call that made it so many for the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_us: Option<u64>,
    exact: bool,
}

impl Default for MostAtOnce {
    fn default() -> Self {
        Self {
            calls: 0,
            at_us: None,
            exact: true,
        }
    }
}

#[derive(Default)]
struct Book {
    /// Raised by every reset, so that calls in flight then are not counted into the new book.
    edition: u64,
    keys: BTreeMap<String, usize>,
    totals: Vec<KeyTotals>,
    timeline: VecDeque<CallRecord>,
    /// Number of the oldest call that the timeline still holds.
    first_call: u64,
}

/// Counts the calls of all platforms.
pub(crate) struct Referee {
    clock: Arc<dyn Clock>,
    timeline_cap: usize,
    book: Mutex<Book>,
}

impl Referee {
    pub(crate) fn new(clock: Arc<dyn Clock>, timeline_cap: usize) -> Self {
        Self {
            clock,
            timeline_cap,
            book: Mutex::default(),
        }
    }

    /// The present instant, on the clock of the arrivals.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Books a call on arrival; dropping the returned call without an answer books it as abandoned.
    ///
    /// Keys must come from a bounded set (registered accounts): each is remembered until the reset.
    pub(crate) fn arrive(
        self: &Arc<Self>,
        key: &str,
        points: u32,
        page: Option<u64>,
        request_id: Option<String>,
    ) -> Call {
        let mut book = self.book();
        let arrived = self.clock.now();
        let key_index = book.index_of(key);
        let number = book.first_call + book.timeline.len() as u64;
        let request_id = request_id.unwrap_or_else(|| format!("sim-{}-{number}", book.edition));
        let totals = &mut book.totals[key_index];
        totals.total += 1;
        totals.total_points = totals.total_points.saturating_add(u64::from(points));
        totals.in_flight += 1;
        let at_once = totals.in_flight + totals.strays;
        if at_once > totals.max_at_once.calls {
            totals.max_at_once.calls = at_once;
            totals.max_at_once.at_us = Some(arrived.monotonic_us);
        }
        book.timeline.push_back(CallRecord {
            key: key_index,
            at_us: arrived.monotonic_us,
            at: arrived,
            points,
            status: Answer::InFlight,
            answered_us: None,
            page,
            request_id: request_id.clone(),
            faults: FaultSet::default(),
            violation: false,
        });
        while book.timeline.len() > self.timeline_cap {
            if let Some(lost) = book.timeline.pop_front() {
                book.first_call += 1;
                book.totals[lost.key].timeline_dropped += 1;
            }
        }
        let edition = book.edition;
        drop(book);
        Call {
            referee: Arc::clone(self),
            edition,
            number,
            key: key_index,
            arrived,
            request_id,
            faults: FaultSet::default(),
            violation: false,
            answered: false,
        }
    }

    /// Forgets all calls; those still in flight are not counted when they are answered, but stand beside new ones until
    /// then.
    pub(crate) fn reset(&self) {
        let mut book = self.book();
        book.edition += 1;
        book.timeline.clear();
        book.first_call = 0;
        // The keys stay, so that calls in flight still find theirs.
        for totals in &mut book.totals {
            *totals = KeyTotals {
                strays: totals.strays + totals.in_flight,
                ..KeyTotals::default()
            };
        }
    }

    /// The exact counts of every key seen since the last reset.
    pub(crate) fn totals(&self) -> BTreeMap<String, KeyTotals> {
        let book = self.book();
        book.keys
            .iter()
            .map(|(key, index)| (key.clone(), book.totals[*index].clone()))
            .filter(|(_, totals)| totals.total > 0)
            .collect()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn book_answer(&self, call: &Call, answer: Answer) {
        let mut book = self.book();
        let answered_us = self.clock.now().monotonic_us;
        if book.edition != call.edition {
            let strays = &mut book.totals[call.key].strays;
            *strays = strays.saturating_sub(1);
            return;
        }
        let totals = &mut book.totals[call.key];
        totals.in_flight -= 1;
        totals.violations += u64::from(call.violation);
        let status = match answer {
            Answer::Status(status) => status.to_string(),
            Answer::Reset => "reset".to_owned(),
            Answer::Abandoned | Answer::InFlight => "abandoned".to_owned(),
        };
        *totals.by_status.entry(status).or_default() += 1;
        let offset = call.number.checked_sub(book.first_call);
        let record = offset
            .and_then(|offset| usize::try_from(offset).ok())
            .and_then(|offset| book.timeline.get_mut(offset));
        if let Some(record) = record {
            record.status = answer;
            record.answered_us = Some(answered_us);
            record.faults = call.faults;
            record.violation = call.violation;
        }
    }
}

impl Book {
    fn index_of(&mut self, key: &str) -> usize {
        if let Some(index) = self.keys.get(key) {
            return *index;
        }
        let index = self.totals.len();
        self.keys.insert(key.to_owned(), index);
        self.totals.push(KeyTotals::default());
        index
    }

    fn totals_of(&self, key: &str) -> KeyTotals {
        let index = self.keys.get(key);
        index
            .and_then(|index| self.totals.get(*index))
            .cloned()
            .unwrap_or_default()
    }

    fn calls_of(&self, key: &str) -> impl Iterator<Item = &CallRecord> {
        let index = self.keys.get(key).copied();
        self.timeline
            .iter()
            .filter(move |call| Some(call.key) == index)
    }
}

/// A booked call that waits for its answer.
pub(crate) struct Call {
    referee: Arc<Referee>,
    edition: u64,
    number: u64,
    key: usize,
    /// When it came in.
    pub(crate) arrived: Moment,
    /// The client's X-Request-Id, or a name of the simulator's own.
    pub(crate) request_id: String,
    /// Switches that struck this call.
    pub(crate) faults: FaultSet,
    /// Whether it broke the platform's own limit.
    pub(crate) violation: bool,
    answered: bool,
}

impl Call {
    /// Books what the call was answered.
    pub(crate) fn answer(mut self, answer: Answer) {
        self.answered = true;
        self.referee.book_answer(&self, answer);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.answered {
            self.referee.book_answer(self, Answer::Abandoned);
        }
    }
}

fn rfc3339<S: Serializer>(at: &Moment, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.wall.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::testing::ManualClock;

    fn referee(cap: usize) -> (Arc<Referee>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new());
        let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
        (Arc::new(Referee::new(shared, cap)), clock)
    }

    #[test]
    fn counts_stay_exact_when_the_timeline_is_cut() {
        let (referee, clock) = referee(3);
        for page in 1..=5 {
            referee
                .arrive("g2a/one", 1, Some(page), None)
                .answer(Answer::Status(200));
            clock.advance_ms(100);
        }
        referee
            .arrive("g2a/two", 1, None, None)
            .answer(Answer::Status(401));
        let report = referee.report("g2a/one", &[1_000], usize::MAX);
        assert_eq!(
            (report.totals.total, report.totals.by_status["200"]),
            (5, 5)
        );
        assert_eq!(
            (report.totals.timeline_dropped, report.timeline.len()),
            (3, 2)
        );
        assert!(!report.max_in_window.exact);
        assert_eq!(report.timeline[0].page, Some(4));
        assert_eq!(
            referee.report("g2a/two", &[1_000], 0).totals.by_status["401"],
            1
        );
    }

    #[test]
    fn a_call_that_is_dropped_unanswered_counts_as_abandoned() {
        let (referee, _) = referee(10);
        let call = referee.arrive("g2a/one", 1, Some(1), Some("mine".to_owned()));
        assert_eq!(referee.report("g2a/one", &[1_000], 1).totals.in_flight, 1);
        drop(call);
        let report = referee.report("g2a/one", &[1_000], 1);
        assert_eq!(
            (
                report.totals.in_flight,
                report.totals.by_status["abandoned"]
            ),
            (0, 1)
        );
        assert_eq!(report.timeline[0].request_id, "mine");
        assert_eq!(report.timeline[0].status, Answer::Abandoned);
    }

    #[test]
    fn an_answer_after_the_reset_does_not_enter_the_new_book() {
        let (referee, _) = referee(10);
        let early = referee.arrive("g2a/one", 1, Some(1), None);
        referee.reset();
        referee
            .arrive("g2a/one", 1, Some(2), None)
            .answer(Answer::Status(200));
        early.answer(Answer::Status(500));
        let report = referee.report("g2a/one", &[1_000], 10);
        assert_eq!(report.totals.total, 1);
        assert_eq!(report.totals.by_status.get("500"), None);
        assert_eq!(report.timeline.len(), 1);
    }

    #[test]
    fn the_most_at_once_is_known_even_beyond_the_timeline_and_a_reset() {
        let (referee, clock) = referee(1);
        let arrive = || {
            clock.advance_ms(1);
            referee.arrive("feed/one", 1, None, None)
        };
        let at_once = || {
            let most = referee.report("feed/one", &[], 0).totals.max_at_once;
            assert!(most.exact);
            (most.calls, most.at_us)
        };
        assert_eq!(at_once(), (0, None));
        for _ in 0..5 {
            arrive().answer(Answer::Status(200));
        }
        assert_eq!(at_once(), (1, Some(1_000)));
        let (first, second) = (arrive(), arrive());
        drop(first);
        let third = arrive();
        assert_eq!(at_once(), (2, Some(7_000)));
        let abandoned = referee.arrivals("feed/one", 0);
        assert_eq!((abandoned.exact, abandoned.arrivals.len()), (false, 1));

        referee.reset();
        assert!(referee.totals().is_empty());
        second.answer(Answer::Status(200));
        arrive().answer(Answer::Status(200));
        assert_eq!(at_once(), (2, Some(9_000)), "the third is still in flight");
        drop(third);
        arrive().answer(Answer::Status(200));
        assert_eq!(at_once().0, 2);
    }
}
