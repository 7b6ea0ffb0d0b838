//! Slices that are read ahead, beside the one whose pages are handed out.
//!
//! A stream whose cursor cuts it into many slices waits for one answer at a time, although its slices do not depend on each other. So
//! the next few of them are read at the same time, each by a reader of its own, a *lane*, which begins where a read that goes on
//! from the start of that slice would begin. **Pages are handed out in the order of the slices all the same**: the reader takes the
//! pages of the slice that is open from its lane instead of asking for them, and moves its own cursor over their records as if it
//! had. So
//!
//! - a page, its position and its state are the very same as without lanes, and whatever holds of those still does: a position is one
//!   from which anybody goes on without losing or doubling, and the state covers slices that are closed without a gap. Lanes have
//!   states, which nobody sees. What a lane has read when the process dies was never handed out, and is read again;
//! - the order in which answers arrive decides nothing. Rejected: handing pages out as they arrive, which needs positions with
//!   holes and a state that lags, and gains only where a single slice outgrows what may be read ahead.
//!
//! What can go wrong: a lane that fails tells it when its turn has come. A failure that time may heal (a limit, a server that is
//! down) and that came before its turn is forgotten, and the reader asks itself; so it does when a lane has died. Then no further
//! lane is begun while that slice is open. Pages that wait take room, which is bounded; the lane whose turn it is needs none, or
//! those behind it could take all there is and it would wait for ever. A reader that is dropped cancels its lanes.
//!
//! Manifests with budgets have no lanes: there the budget is what a read waits for, and pages that are read ahead and lost when a run
//! gives its slot back would be paid for twice. Neither have feeds, whose end only their records tell, nor partitioned streams, jobs,
//! streamed answers, and streams with a request after their last page.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::page::Place;
use super::{ReadLimits, ReadSettings, SharedReads, StreamReader};
use crate::decode::Decoder;
use crate::error::ReadError;
use crate::load::model::{Source, Stream};
use crate::page::{Page, Position};
use crate::paginate::Token;
use crate::time::Moment;

/// KiB of answers whose pages wait for their turn.
const ROOM_KIB: u32 = 8 * 1024;
/// Pages of one lane that wait for their turn.
const PAGES: usize = 16;

/// The slices that are being read ahead, in their order.
pub(super) struct Lanes {
    /// How many slices are read at once, the open one included.
    most: usize,
    ahead: VecDeque<Lane>,
    room: Arc<Semaphore>,
    /// No lane is begun while this slice is open: one has failed.
    calm: Option<Moment>,
}

struct Lane {
    since: Moment,
    /// Cancelled when the lane's slice is the open one.
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

impl Lanes {
    pub(super) fn of(source: &Source, stream: &Stream, settings: &ReadSettings) -> Lanes {
        let fits = source.budgets.is_empty()
            && stream.routers.is_none()
            && stream.job.is_none()
            && stream.teardown.is_none()
            && !matches!(stream.decoder, Decoder::Streamed(_))
            && settings.page.is_none()
            && stream
                .cursor
                .as_ref()
                .is_some_and(|cursor| !cursor.is_data_feed);
        Lanes {
            most: if fits { settings.limits.max_lanes } else { 1 },
            ahead: VecDeque::new(),
            room: Arc::new(Semaphore::new(ROOM_KIB as usize)),
            calm: None,
        }
    }
}

impl StreamReader {
    /// The next page of the open slice, if a lane reads it.
    pub(super) async fn page_of_lane(&mut self) -> Result<Option<Page>, ReadError> {
        if self.lanes.most <= 1 {
            return Ok(None);
        }
        let Some(open) = self
            .cursor
            .as_ref()
            .and_then(crate::incremental::CursorRead::since)
        else {
            return Ok(None);
        };
        self.begin_lanes(open)?;
        let Some(lane) = self
            .lanes
            .ahead
            .front_mut()
            .filter(|lane| lane.since == open)
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
                let heals = matches!(
                    error,
                    ReadError::RateLimited { .. }
                        | ReadError::Transient { .. }
                        | ReadError::Parked { .. }
                );
                if early && heals { Ok(None) } else { Err(error) }
            }
            None => {
                self.give_up_lane(open);
                Ok(None)
            }
        }
    }

    fn give_up_lane(&mut self, open: Moment) {
        self.lanes.ahead.pop_front();
        self.lanes.calm = Some(open);
    }

    /// Begins lanes for the slices behind the open one.
    fn begin_lanes(&mut self, open: Moment) -> Result<(), ReadError> {
        if self.lanes.calm.is_some_and(|calm| calm == open) {
            return Ok(());
        }
        self.lanes.calm = None;
        let ahead = match &self.cursor {
            Some(cursor) => cursor.positions_ahead(self.lanes.most - 1),
            None => Vec::new(),
        };
        for (since, position) in ahead {
            if self
                .lanes
                .ahead
                .back()
                .is_some_and(|last| last.since >= since)
            {
                continue;
            }
            let lane = Lane::begin(self, since, position)?;
            self.lanes.ahead.push_back(lane);
        }
        Ok(())
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
        };
        let after = self.advance(place, closes_slice)?;
        self.resumed = false;
        self.pages += 1;
        Ok(Page {
            index: self.pages - 1,
            next: after.position,
            state: after.state,
            ..page
        })
    }
}

impl Lane {
    fn begin(reader: &StreamReader, since: Moment, position: Position) -> Result<Lane, ReadError> {
        let cancel = reader.settings.cancel.child_token();
        let settings = ReadSettings {
            from: Some(position),
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
        };
        let stream = Arc::clone(&reader.stream);
        let own = StreamReader::of_stream(Arc::clone(&reader.source), stream, settings, shared)?;
        let turn = CancellationToken::new();
        let (sender, pages) = mpsc::channel(PAGES);
        let room = Arc::clone(&reader.lanes.room);
        tokio::spawn(read_slice(own, turn.clone(), room, sender));
        Ok(Lane {
            since,
            turn,
            pages,
            _end: cancel.drop_guard(),
        })
    }
}

/// Reads the slice that a reader stands at.
fn read_slice(
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
