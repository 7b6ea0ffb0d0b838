//! Asking for permits: one question a kind of request at a time, for all attempts that wait.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use syncline_shared::budget::BudgetDefinition;
use syncline_shared::db::budget::{self, Ask, Asker, Grant, Settled};
use syncline_shared::db::notify::Waker;
use syncline_shared::db::{Database, DbError, DbResult, answered};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use super::circuits::Circuits;
use super::draw::{Draw, Turn};
use super::feedback::Told;
use super::hand::{For, Hand, HandKey, Refusal, Waits};
use super::leave::{Answer, Fate, Leave};
use super::lock;
use super::parking::Seen;
use super::settle::{HOLD, Settlements};
use super::stock::{Demand, Lease};

/// Runs whose budgets the database refuses try again after this time.
const UNUSABLE_FOR: Duration = Duration::from_mins(5);
/// Before a database that did not answer is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// The attempt that sends the next request carries what is to be told, if it asks within this time.
const TELL_AFTER: Duration = Duration::from_millis(20);

/// Gives permits to the attempts of a process. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Permits(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) database: Database,
    /// Waits up to this are spent in the slot.
    patience: Duration,
    hands: Mutex<HashMap<HandKey, Arc<Hand>>>,
    settlements: Settlements,
    pub(super) circuits: Circuits,
    pub(super) told: Told,
    pub(super) seen: Seen,
    /// Tells other processes of a change.
    pub(super) waker: Waker,
    numbers: AtomicU64,
    /// How long answers take, in microseconds: new ones count for an eighth.
    answer_us: AtomicU64,
}

impl Permits {
    pub(crate) fn new(database: Database, waker: Waker, patience: Duration) -> Self {
        Self(Arc::new(Shared {
            database,
            patience,
            hands: Mutex::default(),
            settlements: Settlements::default(),
            circuits: Circuits::default(),
            told: Told::default(),
            seen: Seen::default(),
            waker,
            numbers: AtomicU64::default(),
            answer_us: AtomicU64::new(5_000),
        }))
    }

    /// Waits up to this are spent in the slot: handing a run back and claiming it again costs about as much.
    pub(crate) fn patience(&self) -> Duration {
        self.0.patience
    }

    /// Takes a permit of all budgets of a request. While the database does not answer, nobody gets one.
    pub(crate) async fn take(&self, draw: &Draw, turn: Turn) -> Answer {
        if draw.is_free() && !self.0.circuits.is_open(draw.circuit()) {
            return Answer::Granted(self.leave(draw, turn, None));
        }
        let hand = self.hand(draw, turn);
        lock(&hand.state).stock.wanted(Instant::now());
        loop {
            let changed = hand.changed.notified();
            let (waits, until) = match self.look(draw, turn, &hand) {
                Found::Answer(answer) => return answer,
                Found::Waits(waits, until) => (waits, until),
            };
            match until {
                None => changed.await,
                Some(begins) => {
                    let _ = tokio::time::timeout_at(begins, changed).await;
                }
            }
            drop(waits);
        }
    }

    /// Takes a permit for a request that nobody waits for yet, unless somebody would have to wait for it: here, or elsewhere as far as was
    /// heard within the shortest window.
    pub(crate) async fn take_ahead(&self, draw: &Draw, turn: Turn) -> Option<Leave> {
        if !draw.is_free() {
            let hand = self.hand(draw, turn);
            let state = lock(&hand.state);
            if state.waiting > 0 || state.others_wait(draw) {
                return None;
            }
        }
        match self.take(draw, turn).await {
            Answer::Granted(leave) => Some(leave),
            Answer::Wait { .. } => None,
        }
    }

    /// Looks for a permit in hand. If there is none, nor a refusal: waits for the beginning of one in hand, or for the database's answer.
    fn look(&self, draw: &Draw, turn: Turn, hand: &Arc<Hand>) -> Found {
        let mut state = lock(&hand.state);
        let now = Instant::now();
        state.used_at = Some(now);
        if let Some(lease) = state.stock.take(now) {
            return Found::Answer(Answer::Granted(self.leave(draw, turn, Some(lease))));
        }
        if let Some(begins) = state.stock.next_begins(now, state.expecting) {
            let waits = Waits::begin(hand, &mut state, For::Beginning);
            return Found::Waits(waits, Some(begins));
        }
        state.refusal.take_if(|refusal| refusal.until <= now);
        if let Some(refusal) = &state.refusal {
            return Found::Answer(Answer::Wait {
                wait: refusal.until - now,
                key: refusal.key.clone(),
                reason: refusal.reason.clone(),
            });
        }
        if !state.is_asking {
            state.is_asking = true;
            // In a task of its own: whoever is cancelled must not leave a connection in the middle of an answer.
            tokio::spawn(self.clone().ask(draw.clone(), hand.clone()));
        }
        Found::Waits(Waits::begin(hand, &mut state, For::Answer), None)
    }

    /// Rests for the time of a refusal, or until something has changed.
    pub(crate) async fn rest(&self, draw: &Draw, turn: Turn, wait: Duration) {
        let hand = self.hand(draw, turn);
        let changed = hand.changed.notified();
        let waits = Waits::begin(&hand, &mut lock(&hand.state), For::Answer);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = changed => {}
        }
        drop(waits);
    }

    fn leave(&self, draw: &Draw, turn: Turn, lease: Option<Lease>) -> Leave {
        let number = self.0.numbers.fetch_add(1, Ordering::Relaxed);
        if let Some(lease) = lease {
            self.0.settlements.begin(number, draw, lease);
        }
        let now = Instant::now();
        Leave {
            permits: self.clone(),
            draw: draw.clone(),
            turn,
            lease,
            number,
            since: now,
            looked: now,
            fate: Fate::Kept,
        }
    }

    fn hand(&self, draw: &Draw, turn: Turn) -> Arc<Hand> {
        let key = HandKey {
            draw: draw.clone(),
            turn,
        };
        let hand = || {
            Arc::new(Hand {
                asker: Asker {
                    id: Uuid::from_u128(rand::random()),
                    business: turn.business,
                    weight: i32::from(turn.weight),
                    is_manual: turn.is_manual,
                },
                state: Mutex::default(),
                changed: Notify::new(),
            })
        };
        lock(&self.0.hands).entry(key).or_insert_with(hand).clone()
    }

    /// Asks until there is an answer.
    async fn ask(self, draw: Draw, hand: Arc<Hand>) {
        loop {
            let terms = self.terms(&draw, &hand);
            let began = Instant::now();
            let asked = self.ask_once(&draw, hand.asker, terms);
            let error = match answered(asked).await {
                Ok(outcome) => {
                    self.note_answer_time(began.elapsed());
                    self.hear(&draw, &hand, outcome, terms.changes);
                    return;
                }
                Err(error) => error,
            };
            if !error.is_transient() {
                self.hear(&draw, &hand, unusable(&draw, &error), terms.changes);
                return;
            }
            tracing::warn!(%error, "permits could not be had, trying again: {error}");
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    fn terms(&self, draw: &Draw, hand: &Hand) -> Terms {
        let answer = Duration::from_micros(self.0.answer_us.load(Ordering::Relaxed));
        let mut state = lock(&hand.state);
        self.give_back(draw, state.stock.remove(Instant::now(), false));
        let demand = Demand {
            waiting: state.waiting,
            most: draw.most(),
            lease: draw.lease(),
            others_wait: state.others_wait(draw),
        };
        let wish = state.stock.wish(demand);
        let early = draw.early(answer);
        // Those that are used one after the other need not begin at once.
        let in_a_row = wish.used_within.unwrap_or(Duration::ZERO) / 2;
        Terms {
            want: wish.permits,
            lease: wish
                .used_within
                .map_or(draw.lease(), |within| draw.short_lease(answer, within)),
            early: (early + in_a_row).min(draw.lease()),
            ahead: early / 2,
            changes: state.changes,
        }
    }

    fn note_answer_time(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 8);
        let before = self.0.answer_us.load(Ordering::Relaxed);
        self.0
            .answer_us
            .store(before - before / 8 + time / 8, Ordering::Relaxed);
    }

    /// `changes`: those there had been when it was asked.
    fn hear(&self, draw: &Draw, hand: &Hand, outcome: Outcome, changes: u64) {
        let mut state = lock(&hand.state);
        let is_outdated = state.changes != changes;
        match outcome {
            Outcome::Given(leases) if is_outdated => self.give_back(draw, leases),
            Outcome::Refused { .. } if is_outdated => {}
            Outcome::Given(leases) => {
                for (lease, count) in leases {
                    state.stock.put(lease, count);
                }
            }
            Outcome::Refused {
                wait,
                room,
                key,
                reason,
                is_paused,
            } => {
                if room > self.0.patience && draw.circuit() != key {
                    let spares_manual =
                        !is_paused && !hand.asker.is_manual && draw.keeps_reserve(&key);
                    self.park(key.clone(), room, reason.clone(), spares_manual);
                }
                state.refused_at = Some(Instant::now());
                state.refusal = Some(Refusal {
                    until: Instant::now() + wait,
                    key,
                    reason,
                });
            }
        }
        state.is_asking = false;
        hand.changed.notify_waiters();
    }

    async fn ask_once(&self, draw: &Draw, asker: Asker, terms: Terms) -> DbResult<Outcome> {
        let mut settled = self.0.settlements.take();
        loop {
            let mut began = Instant::now();
            let mut db = self.0.database.session().await?;
            if db.outlives_a_statement() {
                // The database's clock is read when the statement begins; behind a pooler, where the transaction has begun.
                began = Instant::now();
            }
            let ask = Ask {
                drawn: draw.drawn(),
                circuit: draw.circuit(),
                asker,
                want: terms.want,
                lease: terms.lease,
                early: terms.early,
                hold: HOLD,
                patience: self.0.patience,
                settled: &settled,
            };
            match budget::take_permits(&mut db, &ask).await? {
                Grant::Granted(granted) => {
                    let answered = Instant::now();
                    db.end().await?;
                    let leases = granted.into_iter().map(|granted| {
                        let lease = Lease {
                            charge: granted.charge,
                            asked: began,
                            answered,
                            begins: answered + granted.begins_in,
                            length: granted.begins_in + ask.lease,
                        };
                        (lease, granted.permits)
                    });
                    return Ok(Outcome::Given(leases.collect()));
                }
                Grant::Wait {
                    wait,
                    room,
                    key,
                    because,
                } => {
                    db.end().await?;
                    let is_for_room = because.is_none() && wait <= self.0.patience;
                    let wait = if is_for_room && wait > terms.early {
                        wait.saturating_sub(terms.ahead)
                    } else {
                        wait
                    };
                    let is_paused = because.is_some();
                    let reason = match because {
                        Some(because) if key == draw.circuit() => {
                            format!("host {key}, which failed repeatedly ({because}),")
                        }
                        Some(because) => format!("budget {key} ({because})"),
                        None => format!("budget {key}"),
                    };
                    return Ok(Outcome::Refused {
                        wait,
                        room,
                        key,
                        reason,
                        is_paused,
                    });
                }
                Grant::Undefined(keys) => {
                    settled.clear();
                    let of = |budget: &BudgetDefinition| keys.contains(&budget.key());
                    for drawn in draw.drawn().iter().filter(|drawn| of(&drawn.budget)) {
                        budget::define_budget(&mut db, &drawn.budget).await?;
                    }
                    db.end().await?;
                }
                Grant::Settled => {
                    db.end().await?;
                    settled.clear();
                }
            }
        }
    }

    /// Takes note that a request has left and was answered, at this moment. `at_once`: it left right after the last look. `cost`: what the
    /// platform says that it cost, by policy.
    pub(crate) fn sent(
        &self,
        leave: &mut Leave,
        at_once: bool,
        cost: impl Fn(&str) -> Option<i64>,
    ) {
        let Some(held) = leave.begin_to_settle() else {
            return;
        };
        let mut left_by = Instant::now();
        if at_once {
            left_by = left_by.min(leave.looked + leave.draw.stride());
        }
        let at = held.left_by_ms(left_by);
        let settled = |points, policy: &str| Settled::Sent {
            at,
            cost: cost(policy).unwrap_or(points),
        };
        self.0
            .settlements
            .settle(Some(leave.number), &leave.draw, held, 1, settled);
        self.tell_soon(leave);
    }

    /// Takes a permit back whose request was not sent.
    pub(crate) fn unused(&self, leave: &mut Leave) {
        let Some(held) = leave.begin_to_settle() else {
            return;
        };
        let settled = |_, _: &str| Settled::Unused;
        self.0
            .settlements
            .settle(Some(leave.number), &leave.draw, held, 1, settled);
        self.tell_soon(leave);
    }

    fn give_back(&self, draw: &Draw, removed: Vec<(Lease, u32)>) {
        for (lease, count) in removed {
            let settled = |_, _: &str| Settled::Unused;
            self.0.settlements.settle(None, draw, lease, count, settled);
        }
    }

    /// Where requests under way are counted, others wait for the end of each: whoever rests here asks again at once, and tells it.
    fn tell_soon(&self, leave: &Leave) {
        if !leave.draw.counts_concurrency() {
            return;
        }
        let hand = self.hand(&leave.draw, leave.turn);
        let is_waited_for = {
            let mut state = lock(&hand.state);
            state.refusal = None;
            state.waiting > 0
        };
        if is_waited_for {
            hand.changed.notify_waiters();
            return;
        }
        // Where the runtime has ended, so has what could be told: the charge ends by itself.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let permits = self.clone();
        runtime.spawn(async move {
            tokio::time::sleep(TELL_AFTER).await;
            permits.tell_or_warn().await;
        });
    }

    /// Something has changed with a budget or a host: what is in hand for it is given back, and whoever waits asks anew.
    pub(super) fn drop_stock(&self, key: &str) {
        for (of, hand) in self.hands() {
            if of.draw.concerns(key) {
                let mut state = lock(&hand.state);
                self.give_back(&of.draw, state.stock.remove(Instant::now(), true));
                state.refusal = None;
                state.changes += 1;
                hand.changed.notify_waiters();
            }
        }
    }

    /// True if nothing is held, waited for or to be told: nothing has to be heard of either.
    pub(super) fn is_idle(&self) -> bool {
        lock(&self.0.hands).is_empty() && self.0.circuits.is_empty()
    }

    fn hands(&self) -> Vec<(HandKey, Arc<Hand>)> {
        let hands = lock(&self.0.hands);
        hands
            .iter()
            .map(|(key, hand)| (key.clone(), hand.clone()))
            .collect()
    }

    /// Gives back what nobody uses, and tells what became of the rest. `all`: the process ends.
    pub(crate) async fn tidy(&self, idle: Duration, all: bool) {
        let now = Instant::now();
        for (of, hand) in self.hands() {
            let mut state = lock(&hand.state);
            let is_idle = state
                .used_at
                .is_none_or(|at| now.saturating_duration_since(at) >= idle);
            self.give_back(&of.draw, state.stock.remove(now, all || is_idle));
        }
        lock(&self.0.hands).retain(|_, hand| {
            let state = lock(&hand.state);
            let is_in_use = Arc::strong_count(hand) > 1 || state.waiting > 0 || state.is_asking;
            let rests = state.refusal.as_ref();
            is_in_use || !state.stock.is_empty() || rests.is_some_and(|refusal| refusal.until > now)
        });
        self.0.settlements.renew(now);
        if all || self.0.settlements.is_due(now) {
            self.tell_or_warn().await;
        }
    }

    async fn tell_or_warn(&self) {
        if let Err(error) = answered(self.tell()).await {
            tracing::warn!(%error, "it could not be told what became of permits; they count until their leases end: {error}");
        }
    }

    /// Tells what became of permits, if there is anything to tell.
    async fn tell(&self) -> DbResult<()> {
        let settled = self.0.settlements.take();
        if settled.is_empty() {
            return Ok(());
        }
        let mut db = self.0.database.session().await?;
        budget::settle_permits(&mut db, &settled).await?;
        db.end().await
    }
}

/// The database would answer the same again: it does not know a calendar's zone, say.
fn unusable(draw: &Draw, error: &DbError) -> Outcome {
    let keys: Vec<_> = draw
        .drawn()
        .iter()
        .map(|drawn| drawn.budget.key())
        .collect();
    let keys = keys.join(", ");
    tracing::error!(%error, "budget {keys} cannot be used until its limits are mended: {error}");
    Outcome::Refused {
        wait: UNUSABLE_FOR,
        room: Duration::ZERO,
        reason: format!(
            "budget {keys}, which cannot be used until its limits are mended ({error}),"
        ),
        key: keys,
        is_paused: true,
    }
}

/// What there is in hand.
enum Found {
    /// A permit, or a refusal.
    Answer(Answer),
    /// Something to wait for: until then, or until it changes.
    Waits(Waits, Option<Instant>),
}

/// What is asked for.
#[derive(Clone, Copy)]
struct Terms {
    want: u32,
    lease: Duration,
    /// Permits that begin within this time are welcome.
    early: Duration,
    /// So long before there is room to come again.
    ahead: Duration,
    /// Changes that were known of.
    changes: u64,
}

/// What came of a question.
enum Outcome {
    Given(Vec<(Lease, u32)>),
    Refused {
        wait: Duration,
        /// Until there is room for anybody.
        room: Duration,
        key: String,
        reason: String,
        /// The platform said so; else it is used up.
        is_paused: bool,
    },
}

#[cfg(test)]
mod tests;
