//! The referee: counts every call per key (platform + account) with its arrival time and what was answered.
//!
//! It stands outside the platforms' own limits, so that a test can hold the whole fleet to a budget that the
//! platform does not enforce. Memory is bounded: the counts are exact for ever, the timeline keeps the newest
//! calls of all keys together (`timeline_cap`), and every answer says how many calls of the key it has lost.
//! Arrivals are stamped under the lock, so that the timeline is in order by construction.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Serialize, Serializer};

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
    status: Answer,
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
    /// Calls by what was answered: a status, `reset` or `abandoned`.
    by_status: BTreeMap<String, u64>,
    in_flight: u64,
    /// Calls that came in over the platform's own limit.
    violations: u64,
    /// Calls counted above that the timeline no longer holds.
    timeline_dropped: u64,
}

/// The fullest window found on a key's timeline.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FullestWindow {
    window_ms: u64,
    calls: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_us: Option<u64>,
    /// False when the timeline has lost calls of this key: the true maximum may be higher.
    exact: bool,
}

/// Everything the referee knows about one key.
#[derive(Debug, Serialize)]
pub(crate) struct KeyReport {
    key: String,
    #[serde(flatten)]
    totals: KeyTotals,
    max_in_window: FullestWindow,
    timeline: Vec<CallRecord>,
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

    /// Books a call on arrival; dropping the returned call without an answer books it as abandoned.
    ///
    /// Keys must come from a bounded set (registered accounts): each is remembered until the reset.
    pub(crate) fn arrive(
        self: &Arc<Self>,
        key: &str,
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
        totals.in_flight += 1;
        book.timeline.push_back(CallRecord {
            key: key_index,
            at_us: arrived.monotonic_us,
            at: arrived,
            status: Answer::InFlight,
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

    /// Forgets all calls; those still in flight are not counted when they are answered.
    pub(crate) fn reset(&self) {
        let mut book = self.book();
        *book = Book {
            edition: book.edition + 1,
            ..Book::default()
        };
    }

    /// The exact counts of every key seen since the last reset.
    pub(crate) fn totals(&self) -> BTreeMap<String, KeyTotals> {
        let book = self.book();
        book.keys
            .iter()
            .map(|(key, index)| (key.clone(), book.totals[*index].clone()))
            .collect()
    }

    /// Counts, fullest rolling window and the newest `newest` calls of a key; a key never seen has zero calls.
    pub(crate) fn report(&self, key: &str, window_ms: u64, newest: usize) -> KeyReport {
        let book = self.book();
        let index = book.keys.get(key).copied();
        let totals = index
            .map(|index| book.totals[index].clone())
            .unwrap_or_default();
        let calls: Vec<&CallRecord> = book
            .timeline
            .iter()
            .filter(|call| Some(call.key) == index)
            .collect();
        let arrivals: Vec<u64> = calls.iter().map(|call| call.at_us).collect();
        let mut max_in_window = fullest_window(&arrivals, window_ms);
        max_in_window.exact = totals.timeline_dropped == 0;
        let skipped = calls.len().saturating_sub(newest);
        let timeline = calls.into_iter().skip(skipped).cloned().collect();
        KeyReport {
            key: key.to_owned(),
            totals,
            max_in_window,
            timeline,
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn book_answer(&self, call: &Call, answer: Answer) {
        let mut book = self.book();
        if book.edition != call.edition {
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

/// The window of `window_ms` that holds most of these arrivals (ascending, microseconds).
fn fullest_window(arrivals: &[u64], window_ms: u64) -> FullestWindow {
    let length_us = window_ms.saturating_mul(1_000);
    let mut fullest = FullestWindow {
        window_ms,
        calls: 0,
        from_us: None,
        exact: true,
    };
    let mut oldest = 0;
    for (newest, at) in arrivals.iter().enumerate() {
        while at - arrivals[oldest] >= length_us && oldest < newest {
            oldest += 1;
        }
        let calls = (newest - oldest + 1) as u64;
        if calls > fullest.calls {
            fullest.calls = calls;
            fullest.from_us = Some(arrivals[oldest]);
        }
    }
    fullest
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
    fn the_fullest_window_is_found_wherever_it_begins() {
        let ms = |list: &[u64]| list.iter().map(|at| at * 1_000).collect::<Vec<_>>();
        let arrivals = ms(&[0, 900, 950, 1_000, 1_899, 1_900, 5_000]);
        let fullest = fullest_window(&arrivals, 1_000);
        assert_eq!((fullest.calls, fullest.from_us), (4, Some(900_000)));
        assert_eq!(fullest_window(&ms(&[0, 1_000, 2_000]), 1_000).calls, 1);
        assert_eq!(fullest_window(&ms(&[0, 1_000, 2_000]), 1_001).calls, 2);
        assert_eq!(fullest_window(&[], 1_000).calls, 0);
    }

    #[test]
    fn the_fullest_window_agrees_with_counting_by_hand() {
        let mut draw = crate::seeded::Draw::keyed(&[3]);
        let mut at = 0;
        let arrivals: Vec<u64> = (0..500)
            .map(|_| {
                at += draw.below(40_000);
                at
            })
            .collect();
        let by_hand = arrivals
            .iter()
            .map(|from| {
                arrivals
                    .iter()
                    .filter(|at| **at >= *from && **at < from + 100_000)
                    .count()
            })
            .max();
        assert_eq!(
            by_hand,
            usize::try_from(fullest_window(&arrivals, 100).calls).ok()
        );
    }

    #[test]
    fn counts_stay_exact_when_the_timeline_is_cut() {
        let (referee, clock) = referee(3);
        for page in 1..=5 {
            referee
                .arrive("g2a/one", Some(page), None)
                .answer(Answer::Status(200));
            clock.advance_ms(100);
        }
        referee
            .arrive("g2a/two", None, None)
            .answer(Answer::Status(401));
        let report = referee.report("g2a/one", 1_000, usize::MAX);
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
            referee.report("g2a/two", 1_000, 0).totals.by_status["401"],
            1
        );
    }

    #[test]
    fn a_call_that_is_dropped_unanswered_counts_as_abandoned() {
        let (referee, _) = referee(10);
        let call = referee.arrive("g2a/one", Some(1), Some("mine".to_owned()));
        assert_eq!(referee.report("g2a/one", 1_000, 1).totals.in_flight, 1);
        drop(call);
        let report = referee.report("g2a/one", 1_000, 1);
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
        let early = referee.arrive("g2a/one", Some(1), None);
        referee.reset();
        referee
            .arrive("g2a/one", Some(2), None)
            .answer(Answer::Status(200));
        early.answer(Answer::Status(500));
        let report = referee.report("g2a/one", 1_000, 10);
        assert_eq!(report.totals.total, 1);
        assert_eq!(report.totals.by_status.get("500"), None);
        assert_eq!(report.timeline.len(), 1);
    }
}
