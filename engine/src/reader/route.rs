//! The partitions of a stream in their order, and those behind the open one, as far as lanes need to know them.
//!
//! Where nothing is read ahead, the walk takes its next step when the open partition is closed. Otherwise it goes a few steps ahead,
//! by itself where a parent has to be asked, and each step keeps what belongs to it: where the walk stood, and which states the parents
//! had come to. Both count only when the partition of that step is opened, so a position and a state say the same as if it had been
//! looked for only then: nothing that is merely known ahead is ever behind them.
//!
//! A step that fails ahead of its turn is tried again when its turn has come, and then it counts.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

use serde_json::{Map, Value};
use tokio::sync::oneshot;
use tokio_util::sync::DropGuard;

use super::failure_of;
use super::lanes::heals;
use crate::error::ReadError;
use crate::partition::{Found, Partition, Walk};

/// The way through the partitions of a stream.
pub(super) struct Route {
    walk: Walking,
    /// What the walk has found behind the open partition; the last one may be the end.
    coming: VecDeque<Step>,
    /// The walk has failed ahead of its turn, which is waited for.
    calm: bool,
    /// Where the walk stood at the open partition.
    place: Option<Value>,
    /// The parents' states there, if they have moved since they were asked for.
    parents: Option<Map<String, Value>>,
    /// Requests that no page has told of.
    requests: u32,
    /// Cancels the requests of the walk.
    _end: DropGuard,
}

enum Walking {
    Here(Box<Walk>),
    /// It takes a step by itself, and comes back with what it has found.
    Away(oneshot::Receiver<Return>),
    Over,
}

type Return = (Result<Found, ReadError>, Box<Walk>);

/// What the walk has come to, and what held then.
struct Step {
    found: Found,
    place: Option<Value>,
    parents: Option<Map<String, Value>>,
    requests: u32,
}

impl Route {
    /// `end` is of the token that the walk's requests heed.
    pub(super) fn new(walk: Walk, end: DropGuard) -> Route {
        Route {
            walk: Walking::Here(Box::new(walk)),
            coming: VecDeque::new(),
            calm: false,
            place: None,
            parents: None,
            requests: 0,
            _end: end,
        }
    }

    /// Steps on, mostly to the next partition; the one before must have been read. After an error it can be asked again.
    pub(super) async fn next(&mut self) -> Result<Found, ReadError> {
        loop {
            if let Some(step) = self.coming.pop_front() {
                return Ok(self.arrive(step));
            }
            match &mut self.walk {
                Walking::Over => return Ok(Found::End),
                Walking::Here(walk) => {
                    let found = walk.next().await?;
                    self.note(found);
                }
                Walking::Away(walking) => {
                    let known = walking.try_recv().ok();
                    let early = known.is_some();
                    let back = match known {
                        Some(back) => Some(back),
                        None => walking.await.ok(),
                    };
                    let Some((found, walk)) = back else {
                        return Err(ReadError::Transient {
                            retry_after: None,
                            failure: failure_of("the search for partitions broke off".to_owned()),
                        });
                    };
                    self.walk = Walking::Here(walk);
                    match found {
                        Ok(found) => self.note(found),
                        Err(error) if early && heals(&error) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    /// Keeps what the walk, which is here, has come to.
    fn note(&mut self, found: Found) {
        self.calm = false;
        let Walking::Here(walk) = &mut self.walk else {
            return;
        };
        let is_over = matches!(found, Found::End);
        self.coming.push_back(Step {
            found,
            place: walk.position(),
            parents: walk.moved_states(),
            requests: walk.take_requests(),
        });
        if is_over {
            self.walk = Walking::Over;
        }
    }

    fn arrive(&mut self, step: Step) -> Found {
        self.place = step.place;
        self.parents = step.parents.or(self.parents.take());
        self.requests = self.requests.saturating_add(step.requests);
        step.found
    }

    /// The partitions behind the open one that are known by now, at most so many. Has the walk look for those that are missing.
    pub(super) fn ahead(&mut self, most: usize) -> impl Iterator<Item = &Partition> {
        while self.coming.len() < most {
            match &mut self.walk {
                Walking::Over => break,
                Walking::Here(walk) => {
                    if let Some(partition) = walk.at_hand() {
                        self.note(Found::Partition(partition));
                        continue;
                    }
                    if self.calm {
                        break;
                    }
                    let (sender, back) = oneshot::channel();
                    let walking = std::mem::replace(&mut self.walk, Walking::Away(back));
                    if let Walking::Here(walk) = walking {
                        tokio::spawn(step_ahead(walk, sender));
                    }
                    break;
                }
                Walking::Away(walking) => {
                    let Ok((found, walk)) = walking.try_recv() else {
                        break;
                    };
                    self.walk = Walking::Here(walk);
                    match found {
                        Ok(found) => self.note(found),
                        Err(_) => self.calm = true,
                    }
                }
            }
        }
        let steps = self.coming.iter().take(most);
        steps.filter_map(|step| match &step.found {
            Found::Partition(partition) => Some(partition),
            Found::Place | Found::End => None,
        })
    }

    /// Where the walk stood at the open partition: what a position has to hold besides the partition.
    pub(super) fn position(&self) -> Option<&Value> {
        self.place.as_ref()
    }

    /// The states of those parents whose children have been read, if they have moved since this was last asked.
    pub(super) fn moved_states(&mut self) -> Option<Map<String, Value>> {
        self.parents.take()
    }

    pub(super) fn take_requests(&mut self) -> u32 {
        std::mem::take(&mut self.requests)
    }
}

fn step_ahead(
    mut walk: Box<Walk>,
    back: oneshot::Sender<Return>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let found = walk.next().await;
        // If nobody waits for it, the read is over.
        back.send((found, walk)).ok();
    })
}
