//! The way through a stream's partitions.
//!
//! The records of a single parent are walked as its pages come, so that memory stays flat. A product is made of whole lists.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Partition;
use super::router::{Parent, Router, Routers};
use crate::error::{Failure, ReadError};
use crate::expr::Scope;
use crate::load::model::Source;
use crate::page::{Position, Record};
use crate::reader::{KeptPage, ReadSettings, Recording, SharedReads, StreamReader};
use crate::redact::Redactor;
use crate::request::BuildError;

/// The most partitions of a product.
const MOST_OF_PRODUCT: usize = 1_000_000;

/// Where a walk stands, and how it goes on.
pub(crate) struct Walk {
    source: Arc<Source>,
    settings: ReadSettings,
    redactor: Redactor,
    way: Way,
    /// The partition that an earlier read stopped at: walking starts there.
    seek: Option<Map<String, Value>>,
    shared: SharedReads,
    /// Requests for parents since this was last asked.
    requests: u32,
}

enum Way {
    /// The lists are still to be made.
    Unmade(Vec<Router>),
    Listed(VecDeque<Partition>),
    Parents(Box<ParentsWalk>),
}

struct ParentsWalk {
    parents: Arc<[Parent]>,
    index: usize,
    open: Option<Pages>,
    /// Where the parent's next reader starts.
    from: Option<Position>,
    /// The parent's position before the page that the partitions at hand came from.
    page_start: Option<Position>,
    at_hand: VecDeque<Partition>,
    /// The states of parents that are read by them.
    states: Map<String, Value>,
    /// A parent's new state, which holds once the partitions at hand are read.
    coming: Option<(String, Value)>,
    /// Nobody has asked for the states since they moved.
    moved: bool,
}

/// What a walk comes to.
#[derive(Debug)]
pub(crate) enum Found {
    Partition(Partition),
    /// A place where a parent stands that has created a job: it is to be kept, or the job would be lost.
    Place,
    End,
}

/// Where a parent's pages come from.
enum Pages {
    /// The platform; what is read from the beginning is noted down for other children of the same parent.
    Read(Box<StreamReader>, Option<Recording>),
    /// Another child's walk, from this page on.
    Kept(Arc<[KeptPage]>, usize),
}

/// A page of a parent.
struct ParentPage {
    records: Vec<Record>,
    of_parent: Map<String, Value>,
    /// The parent's position before it.
    start: Option<Position>,
    /// The parent's position after it.
    end: Option<Position>,
    state: Option<Value>,
    requests: u32,
}

impl ParentsWalk {
    fn new(parents: Arc<[Parent]>, states: Map<String, Value>) -> ParentsWalk {
        ParentsWalk {
            parents,
            index: 0,
            open: None,
            from: None,
            page_start: None,
            at_hand: VecDeque::new(),
            states,
            coming: None,
            moved: true,
        }
    }
}

/// The future of a function that reads a parent, whose reader may walk in turn.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, ReadError>> + Send + 'a>>;

impl Walk {
    /// `position` is what [`position`](Self::position) gave; `parents` are the parents' states.
    pub(crate) fn new(
        source: Arc<Source>,
        routers: &Routers,
        settings: ReadSettings,
        redactor: Redactor,
        position: Option<&Value>,
        parents: Option<&Value>,
        shared: SharedReads,
    ) -> Walk {
        let states = parents
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        let mut way = match routers.single() {
            Some(Router::Substream(parents)) => {
                Way::Parents(Box::new(ParentsWalk::new(Arc::clone(parents), states)))
            }
            _ => Way::Unmade(routers.all().to_vec()),
        };
        let seek = position
            .and_then(|position| position.get("partition"))
            .and_then(Value::as_object)
            .cloned();
        if let (Way::Parents(walk), Some(parent)) = (
            &mut way,
            position.and_then(|position| position.get("parent")),
        ) {
            let index = parent.get("index").and_then(Value::as_u64);
            walk.index = usize::try_from(index.unwrap_or(0)).unwrap_or(0);
            walk.from = parent
                .get("from")
                .filter(|from| !from.is_null())
                .cloned()
                .map(Position);
        }
        let settings = ReadSettings {
            from: None,
            state: None,
            range: None,
            page: None,
            ..settings
        };
        Walk {
            source,
            settings,
            redactor,
            way,
            seek,
            shared,
            requests: 0,
        }
    }

    /// What a position has to hold besides the partition.
    pub(crate) fn position(&self) -> Option<Value> {
        let Way::Parents(walk) = &self.way else {
            return None;
        };
        let mut position = Map::new();
        position.insert("index".to_owned(), Value::from(walk.index));
        if let Some(Position(from)) = &walk.page_start {
            position.insert("from".to_owned(), from.clone());
        }
        Some(Value::Object(position))
    }

    /// The states of those parents whose children have been read, if they have moved since this was last asked.
    pub(crate) fn moved_states(&mut self) -> Option<Map<String, Value>> {
        match &mut self.way {
            Way::Parents(walk) => std::mem::take(&mut walk.moved).then(|| walk.states.clone()),
            _ => None,
        }
    }

    pub(crate) fn take_requests(&mut self) -> u32 {
        std::mem::take(&mut self.requests)
    }

    /// The next partition; the one before must have been read. After an error it can be asked again.
    pub(crate) async fn next(&mut self) -> Result<Found, ReadError> {
        if let Way::Unmade(routers) = &self.way {
            let routers = routers.clone();
            let mut listed = self.product(&routers).await?;
            if let Some(seek) = self.seek.take() {
                let found = listed.iter().position(|partition| partition.fields == seek);
                let Some(found) = found else {
                    let message =
                        "the partition at which the read stopped is no longer there".to_owned();
                    return Err(ReadError::PositionRefused {
                        failure: Box::new(Failure {
                            message,
                            ..Failure::default()
                        }),
                    });
                };
                listed.drain(..found);
            }
            self.way = Way::Listed(listed);
        }
        match &mut self.way {
            Way::Unmade(_) => Ok(Found::End),
            Way::Listed(listed) => Ok(listed.pop_front().map_or(Found::End, Found::Partition)),
            Way::Parents(_) => self.next_of_parents().await,
        }
    }

    /// The next partition, if nothing has to be asked for it.
    pub(crate) fn at_hand(&mut self) -> Option<Partition> {
        match &mut self.way {
            Way::Unmade(_) => None,
            Way::Listed(listed) => listed.pop_front(),
            Way::Parents(walk) => walk.at_hand.pop_front(),
        }
    }

    fn next_of_parents(&mut self) -> Boxed<'_, Found> {
        Box::pin(async move {
            let Way::Parents(walk) = &mut self.way else {
                return Ok(Found::End);
            };
            loop {
                if let Some(partition) = walk.at_hand.pop_front() {
                    return Ok(Found::Partition(partition));
                }
                if let Some((parent, state)) = walk.coming.take() {
                    walk.states.insert(parent, state);
                    walk.moved = true;
                }
                let Some(parent) = walk.parents.get(walk.index) else {
                    return Ok(Found::End);
                };
                let pages = match &mut walk.open {
                    Some(pages) => pages,
                    closed => {
                        let name = &parent.stream.name;
                        let state = walk.states.get(name).filter(|_| parent.incremental);
                        let settings = ReadSettings {
                            from: walk.from.clone(),
                            state: state.cloned(),
                            ..self.settings.clone()
                        };
                        let opened = Pages::open(parent, &self.source, settings, &self.shared)?;
                        walk.from = None;
                        closed.insert(opened)
                    }
                };
                let Some(page) = pages.next().await? else {
                    if let Some(Pages::Read(_, Some(recording))) = walk.open.take() {
                        recording.finish(&self.shared.parents);
                    }
                    walk.page_start = None;
                    walk.index += 1;
                    continue;
                };
                self.requests = self.requests.saturating_add(page.requests);
                let mut partitions = partitions_of(parent, &page, &self.settings, &self.redactor)?;
                let stands = page.records.is_empty() && parent.stream.waits_for_jobs();
                walk.page_start = if stands { page.end } else { page.start };
                if let Some(state) = page.state.filter(|_| parent.incremental) {
                    walk.coming = Some((parent.stream.name.clone(), state));
                }
                if stands && walk.page_start.is_some() {
                    return Ok(Found::Place);
                }
                // Should the parent's page have changed meanwhile, all of it is read again.
                if let Some(seek) = self.seek.take()
                    && let Some(found) = partitions.iter().position(|one| one.fields == seek)
                {
                    partitions.drain(..found);
                }
                walk.at_hand = partitions;
            }
        })
    }

    /// All partitions of one router.
    fn partitions_of_router<'s>(&'s mut self, router: &'s Router) -> Boxed<'s, Vec<Partition>> {
        Box::pin(async move {
            match router {
                Router::Grouping(grouping) => {
                    let partitions = self.partitions_of_router(&grouping.underlying).await?;
                    grouping
                        .groups(partitions)
                        .map_err(|message| ReadError::Permanent {
                            failure: Box::new(Failure {
                                message,
                                ..Failure::default()
                            }),
                        })
                }
                Router::List(list) => {
                    let scope = Scope::of_read(&self.settings.config, self.settings.now);
                    list.partitions(&scope)
                        .map_err(|error| BuildError::Field(error).into_read_error(&self.redactor))
                }
                Router::Substream(parents) => {
                    let mut walk = Walk {
                        source: Arc::clone(&self.source),
                        settings: self.settings.clone(),
                        redactor: self.redactor.clone(),
                        way: Way::Parents(Box::new(ParentsWalk::new(
                            Arc::clone(parents),
                            Map::new(),
                        ))),
                        seek: None,
                        shared: self.shared.clone(),
                        requests: 0,
                    };
                    let mut found = Vec::new();
                    loop {
                        match walk.next_of_parents().await? {
                            Found::Partition(partition) => found.push(partition),
                            Found::Place => {}
                            Found::End => break,
                        }
                    }
                    self.requests = self.requests.saturating_add(walk.requests);
                    Ok(found)
                }
            }
        })
    }

    /// Every combination of one partition of each router; where two have a field in common, the first router's counts.
    async fn product(&mut self, routers: &[Router]) -> Result<VecDeque<Partition>, ReadError> {
        let mut combined = vec![Partition::default()];
        for router in routers {
            let partitions = self.partitions_of_router(router).await?;
            if combined.len().saturating_mul(partitions.len()) > MOST_OF_PRODUCT {
                let message = format!(
                    "the product of the partition routers has more than {MOST_OF_PRODUCT} partitions"
                );
                return Err(ReadError::Permanent {
                    failure: Box::new(Failure {
                        message,
                        ..Failure::default()
                    }),
                });
            }
            combined = combined
                .iter()
                .flat_map(|left| partitions.iter().map(|right| left.with(right)))
                .collect();
        }
        Ok(combined.into())
    }
}

impl Pages {
    /// The parent's pages from where the settings say.
    fn open(
        parent: &Parent,
        source: &Arc<Source>,
        settings: ReadSettings,
        shared: &SharedReads,
    ) -> Result<Pages, ReadError> {
        // Children that follow the parent's state see another part of it each time.
        let may_share = !parent.incremental;
        if may_share && let Some(kept) = shared.parents.find(&parent.identity) {
            let begins = |page: &KeptPage| page.start == settings.from;
            let first = match settings.from {
                None => Some(0),
                Some(_) => kept.iter().position(begins),
            };
            if let Some(first) = first {
                return Ok(Pages::Kept(kept, first));
            }
        }
        let recording =
            (may_share && settings.from.is_none()).then(|| Recording::of(parent.identity));
        let stream = Arc::clone(&parent.stream);
        let reader = StreamReader::of_stream(Arc::clone(source), stream, settings, shared.clone())?;
        Ok(Pages::Read(Box::new(reader), recording))
    }

    async fn next(&mut self) -> Result<Option<ParentPage>, ReadError> {
        match self {
            Pages::Kept(pages, next) => {
                let page = pages.get(*next);
                *next += 1;
                Ok(page.map(|page| ParentPage {
                    records: page.records(),
                    of_parent: page.of_parent.clone(),
                    start: page.start.clone(),
                    end: None,
                    state: None,
                    requests: 0,
                }))
            }
            Pages::Read(reader, recording) => {
                let start = reader.position();
                let Some(page) = reader.next_page().await? else {
                    return Ok(None);
                };
                let of_parent = reader.partition_fields().cloned().unwrap_or_default();
                *recording = recording.take().and_then(|recording| {
                    recording.with(&page.records, &of_parent, start.as_ref())
                });
                Ok(Some(ParentPage {
                    records: page.records,
                    of_parent,
                    start,
                    end: page.next,
                    state: page.state,
                    requests: page.requests,
                }))
            }
        }
    }
}

impl Partition {
    fn with(&self, other: &Partition) -> Partition {
        let mut joined = Partition {
            first_page: None,
            ..self.clone()
        };
        for (name, value) in &other.fields {
            joined
                .fields
                .entry(name.clone())
                .or_insert_with(|| value.clone());
        }
        for (name, value) in &other.extra {
            joined
                .extra
                .entry(name.clone())
                .or_insert_with(|| value.clone());
        }
        joined
    }
}

fn partitions_of(
    parent: &Parent,
    page: &ParentPage,
    settings: &ReadSettings,
    redactor: &Redactor,
) -> Result<VecDeque<Partition>, ReadError> {
    let scope = Scope::of_read(&settings.config, settings.now);
    let mut partitions = VecDeque::with_capacity(page.records.len());
    for record in &page.records {
        let partition = parent
            .partition(record, &page.of_parent, &scope)
            .map_err(|error| BuildError::Field(error).into_read_error(redactor))?;
        partitions.extend(partition);
    }
    Ok(partitions)
}
