//! `syncline connector read`.
//!
//! Streams are read one after the other, in the catalog's order, slices as well: two reads of the same answers print the same
//! lines. A stream that fails does not keep the others from being read, as in the reference.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use syncline_engine::{Host, Page, ReadError, ReadLimits, ReadSettings, SharedReads, StreamReader};
use tokio_util::sync::CancellationToken;

use super::catalog::{self, Chosen, SyncMode};
use super::given::{Given, Inputs};
use super::host::LocalHost;
use super::message::{FailureType, Fault, Level, Status, no_cursor_state};
use super::output::{Form, Output};
use super::state;

/// How often a request that the platform refused for its limit is sent again: the language's default.
const MOST_REFUSALS: u32 = 5;

#[derive(Debug, Args)]
pub(super) struct ReadCommand {
    #[command(flatten)]
    given: Given,
    /// The configured catalog, JSON: which streams are read, and how. Without it, all streams, incrementally.
    #[arg(long)]
    catalog: Option<PathBuf>,
    /// The state to go on from: a list of STREAM messages, or the output of an earlier read --json.
    #[arg(long)]
    state: Option<PathBuf>,
    /// Print lines of the Airbyte protocol, as source-declarative-manifest does.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    limits: Limits,
}

/// How far a read may go.
#[derive(Debug, Args)]
pub(super) struct Limits {
    /// Pages that a stream may have.
    #[arg(long = "max-pages", default_value_t = ReadLimits::default().max_pages)]
    pages: u64,
    /// Records that a stream may have.
    #[arg(long = "max-records")]
    records: Option<u64>,
    /// How long the whole command may take.
    #[arg(long = "max-seconds", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    seconds: Option<u64>,
    /// Largest answer in bytes, after decompression.
    #[arg(long = "max-page-bytes", default_value_t = ReadLimits::default().max_page_bytes)]
    page_bytes: usize,
    /// Longest wait in seconds for a limit of the platform, or between two tries.
    #[arg(long = "max-wait", default_value_t = 900, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    wait: u64,
}

/// Why a stream was not read to its end.
enum Failure {
    Read(ReadError),
    TooManyRecords(u64),
    OutOfTime(u64),
    /// Nobody reads what is printed.
    Unheard,
}

pub(super) async fn run(command: ReadCommand) -> ExitCode {
    let form = if command.json {
        Form::Protocol
    } else {
        Form::People
    };
    let output = Arc::new(Output::new(form, command.given.clock()));
    let done = match Reading::prepare(&command, Arc::clone(&output)) {
        Ok(reading) => reading.all().await,
        Err(error) => {
            output.fault(&Fault::of_input(format!("{error:#}")));
            false
        }
    };
    if output.finish().is_ok() && done {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A read of several streams.
struct Reading<'a> {
    inputs: Inputs,
    limits: &'a Limits,
    chosen: Vec<Chosen>,
    states: HashMap<String, Value>,
    host: Arc<dyn Host>,
    output: Arc<Output>,
    shared: SharedReads,
    /// Cancelled when the time is up.
    cancel: CancellationToken,
}

impl Reading<'_> {
    fn prepare(command: &ReadCommand, output: Arc<Output>) -> anyhow::Result<Reading<'_>> {
        let inputs = command.given.read()?;
        if let Err(problems) = inputs.connector.check_config(&inputs.config) {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            anyhow::bail!("the config does not fit the manifest: {}", lines.join("; "));
        }
        let chosen = match &command.catalog {
            Some(path) => catalog::read(path)?,
            None => all_streams(&inputs),
        };
        let states = match &command.state {
            Some(path) => state::read(path)?,
            None => HashMap::new(),
        };
        let max_wait = Duration::from_secs(command.limits.wait);
        let budgets = inputs.connector.budgets();
        let host = LocalHost::new(budgets, max_wait, Arc::clone(&output));
        Ok(Reading {
            inputs,
            limits: &command.limits,
            chosen,
            states,
            host: Arc::new(host),
            output,
            shared: SharedReads::default(),
            cancel: CancellationToken::new(),
        })
    }

    /// Reads every stream; false if one was not read to its end.
    async fn all(&self) -> bool {
        let timer = self.limits.seconds.map(|seconds| {
            let cancel = self.cancel.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                cancel.cancel();
            })
        });
        let mut failed: Vec<(&str, FailureType)> = Vec::new();
        for chosen in &self.chosen {
            if self.output.is_broken() {
                break;
            }
            let name = chosen.name.as_str();
            if self.inputs.connector.stream(name).is_none() {
                let message = format!("the manifest has no stream \"{name}\"; it is left out");
                self.output.log(Level::Warn, &message);
                self.output.status(name, Status::Incomplete);
                continue;
            }
            if let Some(kind) = self.one(chosen).await {
                failed.push((name, kind));
            }
        }
        if let Some(timer) = timer {
            timer.abort();
        }
        let Some((_, failure_type)) = failed.first().copied() else {
            return true;
        };
        let names: Vec<&str> = failed.iter().map(|(name, _)| *name).collect();
        let message = format!(
            "{} of {} streams were not read to the end: {}",
            failed.len(),
            self.chosen.len(),
            names.join(", ")
        );
        self.output.fault(&Fault {
            message,
            internal_message: None,
            failure_type,
            stream_descriptor: None,
        });
        false
    }

    /// Reads a stream and says what became of it.
    async fn one(&self, chosen: &Chosen) -> Option<FailureType> {
        let name = chosen.name.as_str();
        self.output.status(name, Status::Started);
        let mut printer = Printer {
            output: &self.output,
            stream: name,
            records: 0,
            since_state: 0,
            pages: 0,
            state: self.state_of(chosen),
        };
        let result = self.pages(chosen, &mut printer).await;
        let has_cursor = self
            .inputs
            .connector
            .stream(name)
            .is_some_and(|stream| stream.cursor.is_some());
        let failure_type = match result {
            Ok(()) => {
                self.output.status(name, Status::Complete);
                None
            }
            Err(failure) => {
                let fault = failure.fault(name);
                self.output.fault(&fault);
                self.output.status(name, Status::Incomplete);
                Some(fault.failure_type)
            }
        };
        // As in the reference every stream ends with a state, also where it has said it before.
        let last = if has_cursor {
            printer.state.take()
        } else {
            Some(no_cursor_state())
        };
        if let Some(state) = last {
            self.output.state(name, &state, printer.since_state);
        }
        if failure_type.is_none() {
            let state = printer.state.map(|state| format!("; state {state}"));
            self.output.tell(&format!(
                "{name}: {} records on {} pages{}",
                printer.records,
                printer.pages,
                state.unwrap_or_default()
            ));
        }
        failure_type
    }

    fn state_of(&self, chosen: &Chosen) -> Option<Value> {
        let state = self.states.get(&chosen.name)?;
        match chosen.mode {
            SyncMode::Incremental => Some(state.clone()),
            SyncMode::FullRefresh => {
                let message = format!(
                    "{}: its sync_mode is full_refresh, so the state that was given is not used",
                    chosen.name
                );
                self.output.log(Level::Warn, &message);
                None
            }
        }
    }

    async fn pages(&self, chosen: &Chosen, printer: &mut Printer<'_>) -> Result<(), Failure> {
        let settings = self.settings(printer.state.clone());
        let mut reader = self
            .inputs
            .connector
            .reader_sharing(&chosen.name, settings, &self.shared)
            .map_err(Failure::Read)?;
        while let Some(page) = self.next_page(&mut reader, &chosen.name).await? {
            printer.page(&page, self.limits.records)?;
        }
        Ok(())
    }

    /// The next page. What the platform refuses for its limit is asked for again when it says so.
    async fn next_page(
        &self,
        reader: &mut StreamReader,
        stream: &str,
    ) -> Result<Option<Page>, Failure> {
        let mut refusals = 0;
        loop {
            let error = match reader.next_page().await {
                Ok(page) => return Ok(page),
                Err(ReadError::Cancelled) => {
                    return Err(Failure::OutOfTime(self.limits.seconds.unwrap_or(0)));
                }
                Err(error) => error,
            };
            let ReadError::RateLimited { retry_after, .. } = &error else {
                return Err(Failure::Read(error));
            };
            let doubled = Duration::from_secs(1 << refusals);
            let wait = retry_after.unwrap_or(doubled);
            if refusals >= MOST_REFUSALS || wait.as_secs() > self.limits.wait {
                return Err(Failure::Read(error));
            }
            refusals += 1;
            let message = format!(
                "{stream}: the platform's limit is reached, waiting {:.1} s",
                wait.as_secs_f64()
            );
            self.output.log(Level::Info, &message);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.cancel.cancelled() => {}
            }
        }
    }

    fn settings(&self, state: Option<Value>) -> ReadSettings {
        ReadSettings {
            config: self.inputs.config.clone(),
            base_url: self.inputs.base_url.clone(),
            http: self.inputs.http.clone(),
            host: Arc::clone(&self.host),
            now: self.inputs.now,
            from: None,
            state,
            range: None,
            page: None,
            cancel: self.cancel.clone(),
            limits: ReadLimits {
                max_pages: self.limits.pages,
                max_page_bytes: self.limits.page_bytes,
                max_wait_in_slot: Duration::from_secs(self.limits.wait),
                ..ReadLimits::default()
            },
        }
    }
}

impl Failure {
    fn fault<'a>(&self, stream: &'a str) -> Fault<'a> {
        let message = match self {
            Failure::Read(error) => return Fault::of_read(stream, error),
            Failure::TooManyRecords(limit) => {
                format!(
                    "the stream has more than {limit} records, which is the limit (--max-records)"
                )
            }
            Failure::OutOfTime(limit) => {
                format!("the read took longer than {limit} s, which is the limit (--max-seconds)")
            }
            Failure::Unheard => "nobody reads what is printed".to_owned(),
        };
        Fault {
            message,
            internal_message: None,
            failure_type: FailureType::SystemError,
            stream_descriptor: Some(super::message::Descriptor { name: stream }),
        }
    }
}

/// Prints the pages of a stream.
struct Printer<'a> {
    output: &'a Output,
    stream: &'a str,
    records: u64,
    /// Records since the last state.
    since_state: u64,
    pages: u64,
    /// The state that the next read would go on from.
    state: Option<Value>,
}

impl Printer<'_> {
    fn page(&mut self, page: &Page, max_records: Option<u64>) -> Result<(), Failure> {
        for record in &page.records {
            if let Some(limit) = max_records.filter(|limit| self.records >= *limit) {
                return Err(Failure::TooManyRecords(limit));
            }
            if self.records == 0 {
                self.output.status(self.stream, Status::Running);
            }
            self.output.record(self.stream, record);
            self.records += 1;
            self.since_state += 1;
        }
        for rejected in &page.rejected {
            let message = format!("{}: {}: {}", self.stream, rejected.reason, rejected.sample);
            self.output.log(Level::Warn, &message);
        }
        if page.requests > 0 {
            self.pages += 1;
        }
        if let Some(state) = &page.state {
            self.output.state(self.stream, state, self.since_state);
            self.since_state = 0;
            self.state = Some(state.clone());
        }
        if self.output.is_broken() {
            return Err(Failure::Unheard);
        }
        Ok(())
    }
}

fn all_streams(inputs: &Inputs) -> Vec<Chosen> {
    let streams = inputs.connector.streams().iter();
    streams
        .map(|stream| Chosen {
            name: stream.name.clone(),
            mode: SyncMode::Incremental,
        })
        .collect()
}
