//! Slices and partitions that are read ahead, beside the one whose pages are handed out.
//!
//! A stream that its cursor cuts into many slices, or its routers into many partitions, waits for one answer at a time, although these
//! do not depend on each other. So the next few of them, *units* in the order in which they would be read, are read at the same time,
//! each by a reader of its own, a *lane*, which begins where a read that goes on from the start of that slice or partition would begin.
//! **Pages are handed out in the order of the units all the same**: the reader takes the pages of the unit that is open from its lane
//! instead of asking for them, and moves its own cursor over their records as if it had. So
//!
//! - a page, its position and its state are the very same as without lanes, and whatever holds of those still does: a position is one
//!   from which anybody goes on without losing or doubling, and the state covers slices that are closed without a gap. Lanes have
//!   states, which nobody sees. What a lane has read when the process dies was never handed out, and is read again;
//! - the order in which answers arrive decides nothing. Rejected: handing pages out as they arrive, which needs positions with
//!   holes and a state that lags, and gains only where a single slice outgrows what may be read ahead.
//!
//! Partitions come from a walk that goes ahead ([`Route`]). From where a partition is read is known for certain only
//! when it is opened: one that comes twice goes on from what it came to the first time, and the others may turn to the common value
//! meanwhile. A lane that began elsewhere is dropped then, and the reader asks itself.
//!
//! What can go wrong: a lane that fails tells it when its turn has come. A failure that time may heal (a limit, a server that is
//! down) and that came before its turn is forgotten, and the reader asks itself; so it does when a lane has died. Then no further
//! lane is begun while that unit is open. Pages that wait take room, which is bounded; the lane whose turn it is needs none, or
//! those behind it could take all there is and it would wait for ever. A reader that is dropped cancels its lanes.
//!
//! What is read ahead takes nothing from a budget for which somebody waits: the host refuses such a request, and the lane asks again when
//! its turn has come. Pages that are read ahead and lost, when a run gives its slot back to wait for its budget, are paid for twice, so
//! they are few where there are budgets.
//!
//! No lanes have the slices of feeds, whose end only their records tell, jobs and what follows from those of a parent, streamed answers, and streams with a request after their last page or with slices that may be begun anew. Parents are read without lanes while their children have some: there is
//! one reader ahead for each level of parents.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::page::Place;
use super::route::Route;
use super::{OpenPartition, ReadLimits, ReadSettings, SharedReads, StreamReader, open_cursor};
use crate::decode::Decoder;
use crate::error::ReadError;
use crate::expr::Scope;
use crate::incremental::Stretch;
use crate::load::model::{Source, Stream};
use crate::page::{Page, Position};
use crate::paginate::{Resets, Token};
use crate::partition::{Partition, Routers};

/// KiB of answers whose pages wait for their turn.
const ROOM_KIB: u32 = 8 * 1024;
/// Pages of one lane that wait for their turn.
const PAGES: usize = 16;
/// The same, besides the one at hand, where the manifest has budgets.
const PAID_PAGES: usize = 1;

/// The units that are being read ahead, in their order.
pub(super) struct Lanes {
    /// How many units are read at once, the open one included.
    most: usize,
    ahead: VecDeque<Lane>,
    room: Arc<Semaphore>,
    /// No lane is begun while this unit is open: one has failed.
    calm: Option<Unit>,
}

/// What one lane reads: a slice, or a partition that has none.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Unit {
    /// Which of the reader's partitions it is; 0 without partitions.
    partition: u64,
    slice: Option<Stretch>,
}

/// A unit and what its lane needs to begin.
struct Beginning {
    unit: Unit,
    partition: Option<OpenPartition>,
    position: Option<Position>,
}

struct Lane {
    unit: Unit,
    /// Cancelled when the lane's unit is the open one.
    turn: CancellationToken,
    pages: mpsc::Receiver<Result<LanePage, LaneFailure>>,
    /// Cancels the lane's reader.
    _end: DropGuard,
}

struct LanePage {
    page: Page,
    /// The next page of the slice.
    token: Option<Token>,
    _room: Option<OwnedSemaphorePermit>,
}

struct LaneFailure {
    error: ReadError,
    /// Whether it came before the lane's turn.
    early: bool,
}

impl Unit {
    /// Whether it comes before another one in the order of reading.
    fn is_before(&self, other: &Unit) -> bool {
        let place = |unit: &Unit| (unit.partition, unit.slice.map(|slice| slice.since));
        place(self) < place(other)
    }
}

impl Lanes {
    pub(super) fn of(source: &Source, stream: &Stream, settings: &ReadSettings) -> Lanes {
        let cursor = stream.cursor.as_ref();
        let has_units =
            stream.routers.is_some() || cursor.is_some_and(|cursor| !cursor.is_data_feed);
        let fits = has_units
            && stream.job.is_none()
            && stream.teardown.is_none()
            && stream.reset.is_none()
            && !stream.routers.as_ref().is_some_and(Routers::wait_for_jobs)
            && !matches!(stream.decoder, Decoder::Streamed(_))
            && settings.page.is_none();
        let most = if fits { settings.limits.max_lanes } else { 1 };
        let scope = Scope::of_read(&settings.config, settings.now);
        Lanes {
            most: match &source.concurrency {
                Some(concurrency) => concurrency.at_once(most, &scope),
                None => most,
            },
            ahead: VecDeque::new(),
            room: Arc::new(Semaphore::new(ROOM_KIB as usize)),
            calm: None,
        }
    }

    /// Whether anything is read ahead.
    pub(super) fn are_there(&self) -> bool {
        self.most > 1
    }
}

/// Whether time may heal a failure.
pub(super) fn heals(error: &ReadError) -> bool {
    matches!(
        error,
        ReadError::RateLimited { .. } | ReadError::Transient { .. } | ReadError::Parked { .. }
    )
}

impl StreamReader {
    /// The next page of the open unit, if a lane reads it.
    pub(super) async fn page_of_lane(&mut self) -> Result<Option<Page>, ReadError> {
        if !self.lanes.are_there() {
            return Ok(None);
        }
        let Some(open) = self.open_unit() else {
            return Ok(None);
        };
        self.begin_lanes(open)?;
        // What began elsewhere, and what is not read after all.
        while self
            .lanes
            .ahead
            .front()
            .is_some_and(|lane| lane.unit != open && !open.is_before(&lane.unit))
        {
            self.lanes.ahead.pop_front();
        }
        let Some(lane) = self
            .lanes
            .ahead
            .front_mut()
            .filter(|lane| lane.unit == open)
        else {
            return Ok(None);
        };
        lane.turn.cancel();
        match lane.pages.recv().await {
            Some(Ok(found)) => {
                let LanePage { page, token, _room } = found;
                let is_last = token.is_none();
                let adopted = self.adopt(page, token);
                if is_last || adopted.is_err() {
                    self.lanes.ahead.pop_front();
                }
                adopted.map(Some)
            }
            Some(Err(LaneFailure { error, early })) => {
                self.give_up_lane(open);
                if early && heals(&error) {
                    Ok(None)
                } else {
                    Err(error)
                }
            }
            None => {
                self.give_up_lane(open);
                Ok(None)
            }
        }
    }

    fn open_unit(&self) -> Option<Unit> {
        let partition = self.partition.as_ref().map_or(0, |open| open.number);
        let slice = match &self.cursor {
            Some(cursor) => Some(cursor.stretch()?),
            None => None,
        };
        (slice.is_some() || self.partition.is_some()).then_some(Unit { partition, slice })
    }

    fn give_up_lane(&mut self, open: Unit) {
        self.lanes.ahead.pop_front();
        self.lanes.calm = Some(open);
    }

    /// Begins lanes for the units behind the open one.
    fn begin_lanes(&mut self, open: Unit) -> Result<(), ReadError> {
        if self.lanes.calm.is_some_and(|calm| calm == open) {
            return Ok(());
        }
        self.lanes.calm = None;
        let behind = |lane: &&Lane| open.is_before(&lane.unit);
        if self.lanes.ahead.iter().filter(behind).count() + 1 >= self.lanes.most {
            return Ok(());
        }
        for beginning in self.units_ahead(self.lanes.most - 1) {
            let last = self.lanes.ahead.back();
            if last.is_some_and(|last| !last.unit.is_before(&beginning.unit)) {
                continue;
            }
            let lane = Lane::begin(self, beginning)?;
            self.lanes.ahead.push_back(lane);
        }
        Ok(())
    }

    /// The units behind the open one, at most so many.
    fn units_ahead(&mut self, most: usize) -> Vec<Beginning> {
        let mut ahead = Vec::with_capacity(most);
        if let Some(cursor) = &self.cursor {
            extend(&mut ahead, most, self.partition.as_ref(), cursor.ahead());
        }
        let Some(route) = &mut self.route else {
            return ahead;
        };
        if ahead.len() == most {
            return ahead;
        }
        let mut number = self.partition.as_ref().map_or(0, |open| open.number);
        let known: Vec<Partition> = route.ahead(most - ahead.len()).cloned().collect();
        for partition in known {
            number += 1;
            let mut partition = OpenPartition::new(partition, number);
            let state = self.state_of(&mut partition);
            if self.stream.cursor.is_none() {
                ahead.push(Beginning {
                    unit: Unit {
                        partition: number,
                        slice: None,
                    },
                    partition: Some(partition),
                    position: None,
                });
                continue;
            }
            let scope = Scope::of_read(&self.settings.config, self.settings.now);
            let state = state.as_ref();
            // What is wrong with it is told when it is opened.
            let Ok(Some(cursor)) = open_cursor(&self.stream, &self.settings, None, state, &scope)
            else {
                break;
            };
            extend(&mut ahead, most, Some(&partition), cursor.and_ahead());
        }
        ahead
    }

    /// Hands out a page that a lane has read, as if it had been asked for here.
    fn adopt(&mut self, page: Page, token: Option<Token>) -> Result<Page, ReadError> {
        let mut cursor = self.cursor.clone();
        let closes_slice = token.is_none();
        let mut next = token;
        if let Some(cursor) = &mut cursor {
            page.records
                .iter()
                .for_each(|record| cursor.observe(record));
            if closes_slice {
                cursor.close();
                next = cursor.is_open().then(|| self.stream.paginator.first());
            }
        }
        let place = Place {
            token: next,
            cursor,
            jobs: None,
            closing: false,
            resets: Resets::default(),
        };
        let after = self.advance(place, closes_slice)?;
        self.resumed = false;
        self.pages += 1;
        let of_parents = self.route.as_mut().map_or(0, Route::take_requests);
        Ok(Page {
            index: self.pages - 1,
            next: after.position,
            state: after.state,
            requests: page.requests.saturating_add(of_parents),
            ..page
        })
    }
}

/// Adds slices of a partition, up to so many units.
fn extend(
    ahead: &mut Vec<Beginning>,
    most: usize,
    partition: Option<&OpenPartition>,
    slices: impl Iterator<Item = (Stretch, Position)>,
) {
    let missing = most.saturating_sub(ahead.len());
    ahead.extend(slices.take(missing).map(|(slice, position)| Beginning {
        unit: Unit {
            partition: partition.map_or(0, |partition| partition.number),
            slice: Some(slice),
        },
        partition: partition.cloned(),
        position: Some(position),
    }));
}

impl Lane {
    fn begin(reader: &StreamReader, beginning: Beginning) -> Result<Lane, ReadError> {
        let cancel = reader.settings.cancel.child_token();
        let settings = ReadSettings {
            from: beginning.position,
            state: None,
            cancel: cancel.clone(),
            limits: ReadLimits {
                max_lanes: 1,
                ..reader.settings.limits.clone()
            },
            ..reader.settings.clone()
        };
        let shared = SharedReads {
            tokens: Arc::clone(&reader.tokens),
            parents: reader.parents.clone(),
            given_secrets: Arc::clone(&reader.given_secrets),
        };
        let (source, stream) = (Arc::clone(&reader.source), Arc::clone(&reader.stream));
        let turn = CancellationToken::new();
        let most = if source.budgets.is_empty() {
            PAGES
        } else {
            PAID_PAGES
        };
        let (sender, pages) = mpsc::channel(most);
        let mut own =
            StreamReader::of_partition(source, stream, settings, shared, beginning.partition)?;
        own.sender.turn = Some(turn.clone());
        let room = Arc::clone(&reader.lanes.room);
        tokio::spawn(read_unit(own, turn.clone(), room, sender));
        Ok(Lane {
            unit: beginning.unit,
            turn,
            pages,
            _end: cancel.drop_guard(),
        })
    }
}

/// Reads the unit that a reader stands at.
fn read_unit(
    mut reader: StreamReader,
    turn: CancellationToken,
    room: Arc<Semaphore>,
    pages: mpsc::Sender<Result<LanePage, LaneFailure>>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        loop {
            let page = match reader.next_page().await {
                Ok(Some(page)) => page,
                Ok(None) => return,
                Err(error) => {
                    let early = !turn.is_cancelled();
                    // Without a receiver nobody waits for it.
                    pages.send(Err(LaneFailure { error, early })).await.ok();
                    return;
                }
            };
            let token = reader.token.clone().filter(|_| !page.closes_slice);
            let is_last = token.is_none();
            let kib = u32::try_from(page.bytes / 1024 + 1)
                .unwrap_or(ROOM_KIB)
                .min(ROOM_KIB);
            let reserved = tokio::select! {
                () = turn.cancelled() => None,
                () = pages.closed() => return,
                permit = Arc::clone(&room).acquire_many_owned(kib) => permit.ok(),
            };
            let found = LanePage {
                page,
                token,
                _room: reserved,
            };
            if pages.send(Ok(found)).await.is_err() || is_last {
                return;
            }
        }
    })
}
