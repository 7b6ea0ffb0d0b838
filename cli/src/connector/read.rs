//! `syncline connector read`.
//!
//! Streams are read one after the other, in the catalog's order, slices as well: two reads of the same answers print the same
//! lines. A stream that fails does not keep the others from being read, as in the reference.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::Value;
use syncline_engine::Page;

use super::catalog::{self, Chosen, SyncMode};
use super::given::{Given, Inputs};
use super::message::{FailureType, Fault, Level, Status, no_cursor_state};
use super::output::Output;
use super::platform::{Failure, Limits, Platform};
use super::state;

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
    #[command(flatten)]
    limits: Limits,
}

pub(super) async fn run(command: ReadCommand) -> ExitCode {
    let output = Arc::new(command.given.output());
    let done = match Reading::prepare(&command, Arc::clone(&output)) {
        Ok(reading) => reading.all().await,
        Err(error) => {
            output.fault(&Fault::of_input(format!("{error:#}")));
            false
        }
    };
    output.exit(done)
}

/// A read of several streams.
struct Reading<'a> {
    platform: Platform<'a>,
    max_records: u64,
    chosen: Vec<Chosen>,
    states: HashMap<String, Value>,
    output: Arc<Output>,
}

impl Reading<'_> {
    fn prepare(command: &ReadCommand, output: Arc<Output>) -> anyhow::Result<Reading<'_>> {
        let inputs = command.given.read()?;
        inputs.check_config()?;
        let chosen = match &command.catalog {
            Some(path) => catalog::read(path)?,
            None => all_streams(&inputs),
        };
        let states = match &command.state {
            Some(path) => state::read(path)?,
            None => HashMap::new(),
        };
        Ok(Reading {
            platform: Platform::new(inputs, &command.limits, Arc::clone(&output)),
            max_records: command.limits.records,
            chosen,
            states,
            output,
        })
    }

    /// Reads every stream; false if one was not read to its end.
    async fn all(&self) -> bool {
        let mut failed: Vec<(&str, FailureType)> = Vec::new();
        for chosen in &self.chosen {
            if self.output.is_broken() {
                break;
            }
            let name = chosen.name.as_str();
            let Some(stream) = self.platform.inputs.connector.stream(name) else {
                // No failure of the whole read, as in the reference.
                let message = format!("the manifest has no stream \"{name}\"; it is left out");
                self.output.log(Level::Warn, &message);
                self.output.status(name, Status::Incomplete);
                continue;
            };
            if let Some(kind) = self.one(chosen, stream.cursor.is_some()).await {
                failed.push((name, kind));
            }
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
    async fn one(&self, chosen: &Chosen, has_cursor: bool) -> Option<FailureType> {
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
        let failure_type = match self.pages(name, &mut printer).await {
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
        printer.close(has_cursor);
        failure_type
    }

    fn state_of(&self, chosen: &Chosen) -> Option<Value> {
        let state = self.states.get(&chosen.name)?;
        match chosen.mode {
            SyncMode::Incremental => Some(state.clone()),
            SyncMode::FullRefresh => {
                let name = &chosen.name;
                let message =
                    format!("{name}: its sync_mode is full_refresh, so its state is not used");
                self.output.log(Level::Warn, &message);
                None
            }
        }
    }

    async fn pages(&self, stream: &str, printer: &mut Printer<'_>) -> Result<(), Failure> {
        let mut reader = self.platform.reader(stream, printer.state.clone())?;
        // Said at the end even if nothing could be read, as in the reference.
        printer.state = printer.state.take().or_else(|| reader.first_state());
        while let Some(page) = self.platform.next_page(&mut reader, stream).await? {
            printer.page(&page, self.max_records)?;
        }
        Ok(())
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
    fn page(&mut self, page: &Page, max_records: u64) -> Result<(), Failure> {
        for record in &page.records {
            if self.records >= max_records {
                return Err(Failure::TooManyRecords(max_records));
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
        if page.more_rejected > 0 {
            let (stream, more) = (self.stream, page.more_rejected);
            let message = format!("{stream}: and {more} more that are no records");
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

    /// The last words on a stream. As in the reference each stream ends with a state, also where it has said it before.
    fn close(self, has_cursor: bool) {
        let last = if has_cursor {
            self.state
        } else {
            Some(no_cursor_state())
        };
        let told = last.as_ref().filter(|_| has_cursor);
        let told = told
            .map(|state| format!("; state {state}"))
            .unwrap_or_default();
        self.output.tell(&format!(
            "{}: {} on {}{told}",
            self.stream,
            counted(self.records, "record"),
            counted(self.pages, "page")
        ));
        if let Some(state) = &last {
            self.output.state(self.stream, state, self.since_state);
        }
    }
}

/// A number with its noun.
pub(super) fn counted(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
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
