//! Reading a stream page by page.
//!
//! The reader advances only when a page was decoded whole: after an error it stands where it stood, and
//! may be asked again. A stream with a cursor is read slice by slice; the page that closes a slice carries the state.

mod check;
mod exchange;
mod job;
mod lanes;
mod page;
mod place;
mod reset;
mod route;
mod session;
mod settings;
mod shared;

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value};

pub use settings::{DataRange, ReadLimits, ReadSettings};
pub use shared::SharedReads;
pub(crate) use shared::{Identity, KeptPage, Recording};

use self::check::contradiction;
use self::exchange::Question;
use self::lanes::Lanes;
use self::route::Route;
use self::shared::KeptParents;
use crate::auth::Tokens;
use crate::error::{Failure, ReadError};
use crate::expr::{Scope, SliceParts};
use crate::incremental::{CursorRead, Start};
use crate::job::JobRead;
use crate::load::model::{Source, Stream};
use crate::page::{Page, Position};
use crate::paginate::{Paginator, Resets, Token};
use crate::partition::{Found, Partition, PartitionStates, StateInput, Walk};
use crate::record::RecordPath;
use crate::redact::Redactor;
use crate::request::received::Received;
use crate::request::send::Sender;
use crate::request::stream::Streamed;
use crate::request::{BuildError, budget_scopes};

/// Reads one stream; the caller pulls pages and may load one while the next is fetched.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says one thing of where the read stands"
)]
pub struct StreamReader {
    source: Arc<Source>,
    stream: Arc<Stream>,
    settings: ReadSettings,
    sender: Sender,
    /// Takes the secrets of the config out; the sender's takes those of the open partition out, too.
    redactor: Redactor,
    /// The path of the records, rendered for this config.
    path: RecordPath,
    /// The way through the partitions of a partitioned stream, until its end.
    route: Option<Route>,
    /// The partition that is being read, or was read last.
    partition: Option<OpenPartition>,
    /// Partitions that were opened.
    opened: u64,
    /// The states of the partitions of a stream with a cursor.
    states: Option<PartitionStates>,
    /// The cursor of the stream or the partition, with the slice that is open.
    cursor: Option<CursorRead>,
    /// The page to read next; `None` when the stream, or its partition, is complete.
    token: Option<Token>,
    /// The jobs of a stream whose records are prepared by jobs.
    jobs: Option<JobRead>,
    /// All pages of the slice are read, and a request is to follow before it is closed.
    closing: bool,
    /// How often the pages of the open slice were begun anew.
    resets: Resets,
    /// An answer that is read while it arrives.
    streaming: Option<Streamed>,
    /// Pages that it has given so far.
    part: u64,
    /// Requests that no page has told of yet.
    extra_requests: u32,
    /// The teardown request of the open slice was sent after a failure.
    torn_down: bool,
    /// Whether the next request is the first of a read that goes on from a page token.
    resumed: bool,
    /// Whether the page that only carries the state is still to be given.
    owes_state: bool,
    tokens: Tokens,
    parents: KeptParents,
    given_secrets: Arc<[String]>,
    lanes: Lanes,
    pages: u64,
}

/// Where a step through the partitions has led.
enum Step {
    Opened,
    /// No partition is open: a parent's job is under way.
    Standing,
    Over,
}

/// A partition with what its requests need of it.
#[derive(Debug, Clone)]
struct OpenPartition {
    partition: Partition,
    /// Which one it is in the order of this read, from 1.
    number: u64,
    key: String,
    parts: SliceParts,
}

impl OpenPartition {
    fn new(partition: Partition, number: u64) -> OpenPartition {
        OpenPartition {
            number,
            key: Partition::key(&partition.fields),
            parts: SliceParts::of(&partition),
            partition,
        }
    }
}

impl StreamReader {
    pub(crate) fn new(
        source: Arc<Source>,
        stream: usize,
        settings: ReadSettings,
        shared: SharedReads,
    ) -> Result<StreamReader, ReadError> {
        match source.streams.get(stream).map(Arc::clone) {
            Some(stream) => StreamReader::of_stream(source, stream, settings, shared),
            None => Err(ReadError::Permanent {
                failure: failure_of("the stream does not exist".to_owned()),
            }),
        }
    }

    /// A reader of a stream that may also be the parent of another one.
    pub(crate) fn of_stream(
        source: Arc<Source>,
        stream: Arc<Stream>,
        settings: ReadSettings,
        shared: SharedReads,
    ) -> Result<StreamReader, ReadError> {
        let mut reader = StreamReader::closed(source, stream, settings, shared)?;
        if reader.stream.routers.is_some() {
            reader.begin_walk()?;
        } else {
            let from = reader.settings.from.clone();
            let state = reader.settings.state.clone();
            reader.open(from.as_ref(), state.as_ref())?;
            reader.owes_state = reader.token.is_none();
        }
        Ok(reader)
    }

    /// A reader of one partition, from the position of one of its slices. What it says of positions and states is for nobody.
    fn of_partition(
        source: Arc<Source>,
        stream: Arc<Stream>,
        settings: ReadSettings,
        shared: SharedReads,
        partition: Option<OpenPartition>,
    ) -> Result<StreamReader, ReadError> {
        let mut reader = StreamReader::closed(source, stream, settings, shared)?;
        if let Some(partition) = partition {
            reader.enter(partition);
        }
        let from = reader.settings.from.clone();
        reader.open(from.as_ref(), None)?;
        Ok(reader)
    }

    /// A reader that stands nowhere yet.
    fn closed(
        source: Arc<Source>,
        stream: Arc<Stream>,
        settings: ReadSettings,
        shared: SharedReads,
    ) -> Result<StreamReader, ReadError> {
        let mut secrets = crate::config::secret_values(&source.config_schema, &settings.config);
        secrets.extend_from_slice(&shared.given_secrets);
        let redactor = Redactor::new(&secrets);
        if let Some(problem) = contradiction(&stream, &settings) {
            let failure = failure_of(redactor.text(&problem));
            return Err(ReadError::Permanent { failure });
        }
        let scope = Scope::of_read(&settings.config, settings.now);
        let path = stream
            .extractor
            .path(&scope)
            .map_err(|error| BuildError::Field(error).into_read_error(&redactor))?;
        let sender = Sender {
            source: Arc::clone(&source),
            stream: stream.name.clone(),
            scopes: budget_scopes(&source, &settings.config, &redactor)?,
            was_held_up: false,
            plain_values: plain_values(&settings.config, &secrets),
            redactor: redactor.clone(),
            begun: Instant::now(),
            turn: None,
        };
        let lanes = Lanes::of(&source, &stream, &settings);
        Ok(StreamReader {
            source,
            stream,
            settings,
            sender,
            redactor,
            path,
            route: None,
            partition: None,
            opened: 0,
            states: None,
            cursor: None,
            token: None,
            jobs: None,
            closing: false,
            resets: Resets::default(),
            streaming: None,
            part: 0,
            extra_requests: 0,
            torn_down: false,
            resumed: false,
            owes_state: false,
            tokens: shared.tokens,
            parents: shared.parents,
            given_secrets: shared.given_secrets,
            lanes,
            pages: 0,
        })
    }

    fn begin_walk(&mut self) -> Result<(), ReadError> {
        let stream = Arc::clone(&self.stream);
        let Some(routers) = &stream.routers else {
            return Ok(());
        };
        let position = self.settings.from.as_ref().map(|from| &from.0);
        if let Some(cursor) = stream
            .cursor
            .as_ref()
            .filter(|_| self.settings.range.is_none())
        {
            let scope = Scope::of_read(&self.settings.config, self.settings.now);
            let field = cursor
                .field(&scope)
                .map_err(|error| BuildError::Field(error).into_read_error(&self.redactor))?;
            let stored = self.settings.state.as_ref().and_then(Value::as_object);
            let migrated = match (&stream.legacy_state, stored) {
                (Some(legacy), Some(stored)) => legacy
                    .migrated(stored, &field, &scope)
                    .map_err(|error| BuildError::Field(error).into_read_error(&self.redactor))?,
                _ => None,
            };
            let input = StateInput {
                state: migrated.as_ref().or(self.settings.state.as_ref()),
                position: position.and_then(|position| position.get("states")),
                ids_were_texts: stream.legacy_state.is_some(),
                now: self.settings.now,
            };
            let states = PartitionStates::new(cursor, field, input);
            self.states = Some(states.map_err(|message| ReadError::Permanent {
                failure: failure_of(self.redactor.text(&message)),
            })?);
        }
        let cancel = self.settings.cancel.child_token();
        let mut settings = ReadSettings {
            cancel: cancel.clone(),
            ..self.settings.clone()
        };
        if self.lanes.are_there() {
            settings.limits.max_lanes = 1;
        }
        let walk = Walk::new(
            Arc::clone(&self.source),
            routers,
            settings,
            self.redactor.clone(),
            position,
            self.states.as_ref().and_then(PartitionStates::parents),
            SharedReads {
                tokens: Arc::clone(&self.tokens),
                parents: self.parents.clone(),
                given_secrets: Arc::clone(&self.given_secrets),
            },
        );
        self.route = Some(Route::new(walk, cancel.drop_guard()));
        self.owes_state = true;
        Ok(())
    }

    /// Opens the stream, or a partition of it, at a position or from a state.
    fn open(&mut self, from: Option<&Position>, state: Option<&Value>) -> Result<(), ReadError> {
        let stream = Arc::clone(&self.stream);
        let has_slices = stream.cursor.is_some() || stream.routers.is_some();
        let refused = |message: String| ReadError::PositionRefused {
            failure: failure_of(message),
        };
        let stored = |name: &str| from.and_then(|from| from.0.get(name));
        let is_bare = ["job", "ahead", "closing", "part", "counted", "resets"]
            .iter()
            .all(|name| stored(name).is_none());
        let (token, resumed) = match (from, self.settings.page) {
            (_, Some(page)) => (Token::Page(page), false),
            (Some(position), None)
                if Paginator::has_token(position) || (!has_slices && is_bare) =>
            {
                (stream.paginator.token_of(position).map_err(refused)?, true)
            }
            // A job that an earlier read has left may be gone.
            _ => (stream.paginator.first(), stored("job").is_some()),
        };
        self.closing = stored("closing") == Some(&Value::Bool(true));
        self.resets = from.map_or_else(Resets::default, |from| Resets::of_position(&from.0));
        self.torn_down = false;
        self.streaming = None;
        self.part = 0;
        self.jobs = stream.job.as_ref().map(|_| match from {
            Some(position) => JobRead::of_position(&position.0),
            None => JobRead::new(),
        });
        let scope = Scope::of_read(&self.settings.config, self.settings.now);
        let cursor = open_cursor(&stream, &self.settings, from, state, &scope)
            .map_err(|error| BuildError::Field(error).into_read_error(&self.redactor))?;
        let nothing_to_read = cursor.as_ref().is_some_and(|cursor| !cursor.is_open());
        self.cursor = cursor;
        self.token = (!nothing_to_read).then_some(token);
        self.resumed = resumed;
        Ok(())
    }

    /// The next page, or `None` when the stream is complete. After an error the reader may be asked
    /// again, and repeats the request that failed; a new reader from the last [`Position`] does the
    /// same.
    pub async fn next_page(&mut self) -> Result<Option<Page>, ReadError> {
        let result = self.read_page().await;
        let is_over = matches!(
            result,
            Err(ReadError::Permanent { .. } | ReadError::PositionRefused { .. })
        );
        let stream = Arc::clone(&self.stream);
        if is_over && stream.teardown.is_some() && self.token.is_some() && !self.torn_down {
            self.torn_down = true;
            // What ended the read is what the caller must hear of.
            let _ = self.tear_down(&stream).await;
        }
        result
    }

    async fn read_page(&mut self) -> Result<Option<Page>, ReadError> {
        if self.settings.cancel.is_cancelled() {
            return Err(ReadError::Cancelled);
        }
        while self.token.is_none() {
            match self.step_on().await? {
                Step::Opened => {}
                Step::Standing => return self.place_page().map(Some),
                Step::Over => return Ok(self.state_page()),
            }
        }
        if self.pages >= self.settings.limits.max_pages {
            let message = format!(
                "the stream did not end within {} pages, which is the limit of one read",
                self.settings.limits.max_pages
            );
            let mut failure = failure_of(message);
            failure.limit = Some("max_pages");
            return Err(ReadError::Permanent { failure });
        }
        if let Some(page) = self.page_of_lane().await? {
            return Ok(Some(page));
        }
        let Some(token) = self.token.clone() else {
            return Ok(None);
        };
        let started = Instant::now();
        let stream = Arc::clone(&self.stream);
        if self.streaming.is_some() {
            let page = self.next_part(&stream, &token).await?;
            return Ok(Some(self.told(page, started)));
        }
        if self.closing {
            let page = self.close_with_requests(&stream).await?;
            return Ok(Some(self.told(page, started)));
        }
        if let Some(plan) = &stream.job
            && let Some(page) = self.work_on_job(&stream, plan).await?
        {
            return Ok(Some(self.told(page, started)));
        }
        if let Some(body) = self.known_page(&token) {
            let slice = self.slice();
            let page = self.page_of(&stream, &token, slice.as_ref(), Received::known(body))?;
            return Ok(Some(self.told(page, started)));
        }
        let request_token = stream.paginator.request_token(&token);
        let slice = self.slice();
        let first_only = stream.slice_on_first_page_only && request_token.is_some();
        // The requests of jobs take what they need of the slice by expressions.
        let injects = !first_only && stream.job.is_none();
        let question = Question {
            requester: &stream.requester,
            decoder: &stream.decoder,
            paginator: &stream.paginator,
            token: request_token.as_ref(),
            cursor: stream.cursor.as_ref().filter(|_| injects),
            routers: stream.routers.as_ref().filter(|_| injects),
            slice: slice.as_ref(),
            is_page: true,
        };
        let received = self
            .exchange(&question)
            .await
            .map_err(|error| self.position_refused(error, request_token.is_some()))?;
        if let Some(failure) = received.reset {
            self.extra_requests = self.extra_requests.saturating_add(received.requests);
            self.reset_after(&stream, failure)?;
            // A second one in a row ends the read.
            return Box::pin(self.read_page()).await;
        }
        let page = if received.streamed.is_some() {
            self.extra_requests = self.extra_requests.saturating_add(received.requests);
            self.streaming = received.streamed;
            self.part = 0;
            self.next_part(&stream, &token).await?
        } else {
            self.page_of(&stream, &token, slice.as_ref(), received)?
        };
        self.resumed = false;
        Ok(Some(self.told(page, started)))
    }

    /// Adds to a page what it has taken, and counts it.
    pub(super) fn told(&mut self, mut page: Page, started: Instant) -> Page {
        let extra = std::mem::take(&mut self.extra_requests);
        let of_parents = self.route.as_mut().map_or(0, Route::take_requests);
        page.requests = page
            .requests
            .saturating_add(extra)
            .saturating_add(of_parents);
        page.duration = started.elapsed();
        self.pages += 1;
        page
    }

    /// Opens the next partition, if there is one.
    async fn step_on(&mut self) -> Result<Step, ReadError> {
        let Some(route) = &mut self.route else {
            return Ok(Step::Over);
        };
        let next = route.next().await?;
        if let (Some(states), Some(parents)) = (&mut self.states, route.moved_states()) {
            states.set_parents(parents);
        }
        let partition = match next {
            Found::Partition(partition) => partition,
            Found::Place => {
                self.partition = None;
                self.cursor = None;
                return Ok(Step::Standing);
            }
            Found::End => return Ok(Step::Over),
        };
        // The position of an earlier read counts for its own partition, the first one that is walked.
        let resume = self.settings.from.take().filter(|position| {
            let fields = position.0.get("partition").and_then(Value::as_object);
            fields == Some(&partition.fields)
        });
        let closed = |position: &Position| position.0.get("closed") == Some(&Value::Bool(true));
        let is_closed = resume.as_ref().is_some_and(closed);
        self.opened += 1;
        let mut open = OpenPartition::new(partition, self.opened);
        let state = self.state_of(&mut open);
        self.enter(open);
        if is_closed {
            self.token = None;
            return Ok(Step::Opened);
        }
        self.open(resume.as_ref(), state.as_ref())?;
        if self.token.is_none() {
            self.close_partition();
        }
        Ok(Step::Opened)
    }

    /// The state from which a partition is read. What the parent's record holds of it counts only from the start.
    fn state_of(&self, partition: &mut OpenPartition) -> Option<Value> {
        let state = match (&self.states, &self.stream.cursor) {
            (Some(states), Some(cursor)) => {
                states.of_partition(&partition.key, &partition.partition.fields, cursor)
            }
            _ => None,
        };
        if state.is_some() || self.settings.range.is_some() {
            partition.partition.first_page = None;
        }
        state
    }

    /// The first page of the open partition, if the parent's record holds it.
    fn known_page(&self, token: &Token) -> Option<Value> {
        let open = self.partition.as_ref()?;
        let known = open.partition.first_page.as_ref()?;
        (*token == self.stream.paginator.first()).then(|| known.as_ref().clone())
    }

    /// Makes a partition the one that is read.
    fn enter(&mut self, open: OpenPartition) {
        self.sender.redactor = self.redactor.clone();
        for value in open.partition.extra.values() {
            self.sender.redactor.add_value(value);
        }
        self.partition = Some(open);
    }

    /// Notes down that the open partition is read.
    fn close_partition(&mut self) {
        if let (Some(states), Some(cursor), Some(open)) =
            (&mut self.states, &self.cursor, &self.partition)
        {
            let fields = &open.partition.fields;
            states.close(&open.key, fields, cursor.state(), cursor.latest());
        }
    }

    /// What makes the open partition the one it is.
    pub(crate) fn partition_fields(&self) -> Option<&Map<String, Value>> {
        self.partition.as_ref().map(|open| &open.partition.fields)
    }

    /// Partition and slice in one, as expressions see them.
    fn slice(&self) -> Option<Value> {
        self.slice_of(self.cursor.as_ref())
    }

    fn slice_of(&self, cursor: Option<&CursorRead>) -> Option<Value> {
        let of_cursor = cursor.and_then(CursorRead::slice);
        let Some(open) = &self.partition else {
            return of_cursor;
        };
        let mut members = open.partition.fields.clone();
        if let Some(Value::Object(of_cursor)) = of_cursor {
            members.extend(of_cursor);
        }
        Some(Value::Object(members))
    }

    fn scope<'a>(&'a self, slice: Option<&'a Value>) -> Scope<'a> {
        Scope {
            stream_slice: slice,
            slice_parts: self.partition.as_ref().map(|open| &open.parts),
            creation_response: self.jobs.as_ref().and_then(JobRead::creation),
            polling_response: self.jobs.as_ref().and_then(JobRead::polling),
            download_target: self.jobs.as_ref().and_then(JobRead::download_target),
            host: Some(self.settings.host.as_ref()),
            ..Scope::of_read(&self.settings.config, self.settings.now)
        }
    }

    /// A refusal of the first request of a resumed read is taken for a refusal of its position; so is that of a later one which a
    /// limit held up, since page tokens die.
    fn position_refused(&self, error: ReadError, has_token: bool) -> ReadError {
        let is_late = self.sender.was_held_up && has_token;
        match error {
            ReadError::Permanent { failure } if self.resumed || is_late => {
                let refusal = failure
                    .http_status
                    .is_some_and(|status| (400..500).contains(&status));
                if refusal {
                    ReadError::PositionRefused { failure }
                } else {
                    ReadError::Permanent { failure }
                }
            }
            other => other,
        }
    }
}

impl std::fmt::Debug for StreamReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StreamReader")
            .field("stream", &self.stream.name)
            .field("pages", &self.pages)
            .finish_non_exhaustive()
    }
}

/// The cursor of the stream, or of a partition, at the place where the read is to start.
fn open_cursor(
    stream: &Stream,
    settings: &ReadSettings,
    from: Option<&Position>,
    state: Option<&Value>,
    scope: &Scope<'_>,
) -> Result<Option<CursorRead>, crate::request::value::FieldError> {
    let Some(cursor) = &stream.cursor else {
        return Ok(None);
    };
    let slice = from.and_then(|from| from.0.get("slice"));
    let is_page = settings.page.is_some();
    let start = match (slice, settings.range) {
        (Some(slice), _) => Start::Position(slice, state),
        (None, Some(range)) => Start::Range(range.from, range.to),
        (None, None) if is_page => Start::State(None),
        (None, None) => Start::State(state),
    };
    let splits = stream.reset.as_ref().is_some_and(|plan| plan.splits);
    let mut read = CursorRead::new(cursor, scope, settings.now, start, is_page)?;
    if splits {
        read.keep_newest(slice);
    }
    Ok(Some(read))
}

fn failure_of(message: String) -> Box<Failure> {
    Box::new(Failure {
        message,
        ..Failure::default()
    })
}

/// Texts of the config that are no secrets.
fn plain_values(config: &Value, secrets: &[String]) -> Vec<String> {
    let mut values = Vec::new();
    if let Value::Object(members) = config {
        for member in members.values() {
            if let Some(text) = member.as_str()
                && !secrets.iter().any(|secret| secret == text)
            {
                values.push(text.to_owned());
            }
        }
    }
    values
}
