//! Budgets: a platform's limits, as the fleet keeps them. The database counts (`crate::db::budget`); here is what is counted.
//!
//! # The bound
//!
//! Promised: the platform receives at most L points in any window of length W, through any number of processes, whatever dies.
//!
//! - A permit is granted by a statement that begins at `b` by the database's clock. It begins at `e`: at `b` or a little later. It is
//!   granted against what counts at `e`, and charged at `c = e + lease`. The process took its own monotonic clock before it asked, at real
//!   time `a <= b`, and sends nothing before `e - b` has passed since it had the answer, and nothing later than `a + (e - b) + lease`. So
//!   a request leaves at some `s` with `e <= s <= c`, whatever any wall clock says.
//! - A charge at `c` counts until `c + W + guard` at least (until the end of its slot, that is). A report moves it from `c` to the
//!   reported instant, which is not before `s` either: that of the answer, or, where an open connection took the request, a hundredth of
//!   the window after the last look; and the process adds to `b` what passed since `a`, and `a <= b`.
//! - Take any window `[t, t + W)` of departures, and of the requests in it the one whose permit was granted last. All others in it were
//!   granted before, left at `t` or later, and are charged at `t` or later: each counts until `t + W + guard` at least. If that last permit
//!   begins at `e < t + W + guard`, all of them were counted for it, and their sum with it is at most L. And `e <= s < t + W`.
//! - Requests arrive later than they leave. If the time on the way differs by at most the guard from request to request, the same holds
//!   for arrivals. The guard is 5 % of W.
//! - The database's clock never goes back, as budgets see it; where it is set back it stands still, and charges count for longer. A permit's
//!   `e - b` is real time that passes at its process.
//!
//! The same holds for a window that the platform begins anew at known instants (a fixed window whose reset it told, a day, a month): a
//! charge counts until the end of the window in which it lies, and all charges that still count are in the sum, those of a window that
//! is about to begin with those of the one that ends. A token bucket of capacity C that fills at r a second lets C + r*t through in any
//! time t; so does a rolling window of C within C/r at most, and it is kept as one. Points of requests under way are counted until their
//! answer is reported, or until the process that sent them has not said for a while that they are still under way.
//!
//! Not covered: a process that freezes after its last look at the clock and before the system sends the bytes, for longer than a hundredth
//! of the window and the guard: when it wakes, it sends what it was about to send, at most one request for each of its attempts. A
//! request that waited for a new connection and was then sent over another one that had become free, after the end of its lease: the HTTP
//! client offers no place to look again there. And a database whose clock jumps forward, or that forgets commits.
//!
//! # The use
//!
//! While work waits, L points leave in each W + guard + one slot, which is a fiftieth of W: 93 % of what the platform allows.
//!
//! # Corrections
//!
//! What the platform tells is believed as far as it is stricter than the count: others' use is added, a lower limit is taken over, a
//! pause is kept by all. A refusal without a word lowers what the shortest window allows, which then rises again (`syncline.allowed_points`).

mod definition;
mod limits;

pub use definition::{BudgetDefinition, BudgetWindow, BudgetWindowKind};
pub use limits::{CalendarUnit, Limit, LimitWindow, Limits};
