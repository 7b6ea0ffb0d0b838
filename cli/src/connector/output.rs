//! What a command prints: lines of the protocol, or sentences for people.
//!
//! Records and states go to stdout. For people everything else goes to stderr, so that records can still be piped; as protocol
//! everything is a line on stdout. Errors of writing are kept until the end, where they end the command: a reader that closed
//! its end of the pipe is no reason to break off in the middle of a page.

use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::Value;
use syncline_engine::Record;
use syncline_shared::clock::Clock;

use super::message::{
    ConnectorConfig, Control, Descriptor, Fault, Level, LogMessage, Message, Reason, RecordMessage,
    StateMessage, Status, StreamStatus, Trace,
};

/// Where a command's messages go.
pub(super) struct Output {
    form: Form,
    clock: Arc<dyn Clock>,
    out: Mutex<Out>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `--json`.
    Protocol,
    People,
}

impl Form {
    /// The form that `--json` asks for, or its absence.
    pub(super) fn of(json: bool) -> Form {
        if json { Form::Protocol } else { Form::People }
    }
}

struct Out {
    writer: Box<dyn Write + Send>,
    broken: Option<std::io::Error>,
}

impl Output {
    pub(super) fn new(form: Form, clock: Arc<dyn Clock>) -> Output {
        let writer = Box::new(std::io::BufWriter::new(std::io::stdout()));
        let out = Mutex::new(Out {
            writer,
            broken: None,
        });
        Output { form, clock, out }
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    pub(super) fn record(&self, stream: &str, data: &Record) {
        match self.form {
            Form::Protocol => self.message(&Message::Record {
                record: RecordMessage {
                    stream,
                    data,
                    emitted_at: self.millis(),
                },
            }),
            Form::People => {
                self.line(|writer| {
                    write!(writer, "{stream}: ")?;
                    serde_json::to_writer(&mut *writer, data)?;
                    writer.write_all(b"\n")
                });
            }
        }
    }

    /// The state of a stream after `records` records since its last one.
    pub(super) fn state(&self, stream: &str, state: &Value, records: u64) {
        if self.form == Form::Protocol {
            let state = StateMessage::new(stream, state, records);
            self.message(&Message::State { state });
            self.flush();
        }
    }

    /// The config that is to be stored in place of the one that was given: the only message that holds secrets.
    pub(super) fn config(&self, config: &Value) {
        let control = Control::ConnectorConfig {
            emitted_at: self.millis(),
            connector_config: ConnectorConfig { config },
        };
        self.message(&Message::Control { control });
        self.flush();
    }

    pub(super) fn status(&self, stream: &str, status: Status) {
        self.status_with(stream, status, None);
    }

    /// The stream runs, but waits for a limit of its platform.
    pub(super) fn limited(&self, stream: &str) {
        self.status_with(stream, Status::Running, Some([Reason::RateLimited]));
    }

    fn status_with(&self, stream: &str, status: Status, reasons: Option<[Reason; 1]>) {
        if self.form == Form::Protocol {
            let trace = Trace::StreamStatus {
                emitted_at: self.millis(),
                stream_status: StreamStatus {
                    stream_descriptor: Descriptor { name: stream },
                    status,
                    reasons,
                },
            };
            self.message(&Message::Trace { trace });
            self.flush();
        }
    }

    pub(super) fn fault(&self, fault: &Fault<'_>) {
        match self.form {
            Form::Protocol => {
                let trace = Trace::Error {
                    emitted_at: self.millis(),
                    error: fault,
                };
                self.message(&Message::Trace { trace });
                self.flush();
            }
            Form::People => {
                let place = fault.stream_descriptor.map(|stream| stream.name);
                let place = place.map(|name| format!("{name}: ")).unwrap_or_default();
                let detail = fault.internal_message.as_deref().unwrap_or_default();
                let detail = if detail.is_empty() {
                    String::new()
                } else {
                    format!("\n  the answer began: {detail}")
                };
                self.note(&format!("{place}{}{detail}", fault.message));
            }
        }
    }

    pub(super) fn log(&self, level: Level, message: &str) {
        match self.form {
            Form::Protocol => {
                let log = LogMessage { level, message };
                self.message(&Message::Log { log });
                self.flush();
            }
            Form::People => self.note(message),
        }
    }

    /// A sentence for people; nothing in the protocol.
    pub(super) fn tell(&self, message: &str) {
        if self.form == Form::People {
            self.note(message);
        }
    }

    /// A line on stdout for people: what the command was asked for.
    pub(super) fn answer(&self, line: &str) {
        self.line(|writer| writeln!(writer, "{line}"));
    }

    /// An object as a line on stdout.
    pub(super) fn object(&self, object: &impl Serialize) {
        self.line(|writer| {
            serde_json::to_writer(&mut *writer, object)?;
            writer.write_all(b"\n")
        });
    }

    /// Writes out what is held back, and gives the code of the process. What could not be written is a failure.
    pub(super) fn exit(&self, succeeded: bool) -> ExitCode {
        self.flush();
        if succeeded && !self.is_broken() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    /// Whether nobody reads any more.
    pub(super) fn is_broken(&self) -> bool {
        self.lock().broken.is_some()
    }

    #[expect(clippy::print_stderr, reason = "for people, beside the records")]
    fn note(&self, message: &str) {
        self.flush();
        eprintln!("{message}");
    }

    fn millis(&self) -> i64 {
        self.clock.now().timestamp_millis()
    }

    pub(super) fn message(&self, message: &Message<'_>) {
        self.object(message);
    }

    fn line(&self, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) {
        let mut out = self.lock();
        if out.broken.is_none()
            && let Err(error) = write(&mut *out.writer)
        {
            out.broken = Some(error);
        }
    }

    fn flush(&self) {
        let mut out = self.lock();
        if out.broken.is_none()
            && let Err(error) = out.writer.flush()
        {
            out.broken = Some(error);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
