//! Logging: a sentence that reads alone, with the same facts as fields. What the process counts. And its name.

use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::sync::{Mutex, OnceLock};

use anyhow::Context;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::config::{LogConfig, LogFormat};

/// Host name and process id: tells people which process it was.
pub fn process_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned());
    format!("{host}:{}", std::process::id())
}

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// What this process has counted so far, in Prometheus' text form; empty before [`init`].
pub fn metrics_text() -> String {
    METRICS
        .get()
        .map(PrometheusHandle::render)
        .unwrap_or_default()
}

/// Describes what is counted, and shows from the start what must be zero.
fn describe_metrics() {
    let counters = [
        (
            "syncline_stale_writes_total",
            "Writes that were refused because their run had been given to another attempt.",
        ),
        (
            "syncline_runs_claimed_total",
            "Runs that this process claimed.",
        ),
        (
            "syncline_runs_rescued_total",
            "Runs of processes that ended or fell silent, which this process gave to others.",
        ),
    ];
    for (name, help) in counters {
        metrics::describe_counter!(name, help);
        metrics::counter!(name).absolute(0);
    }
    metrics::describe_counter!(
        "syncline_attempts_total",
        "Attempts of this process that ended, by how."
    );
}

/// Sends log events to standard error, or to the configured file, for the rest of the process's life, and begins to count.
pub fn init(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.filter).with_context(|| {
        format!(
            "--log-filter {:?} is not a filter such as info or syncline_worker=debug",
            config.filter
        )
    })?;
    let (writer, colour) = match &config.file {
        Some(path) => {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .with_context(|| {
                    format!("SYNCLINE_LOG_FILE {} cannot be written", path.display())
                })?;
            (BoxMakeWriter::new(Mutex::new(file)), false)
        }
        None => (
            BoxMakeWriter::new(std::io::stderr),
            std::io::stderr().is_terminal(),
        ),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    match config.format {
        LogFormat::Text => builder.with_ansi(colour).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|error| anyhow::anyhow!("logging is already set up: {error}"))?;
    let recorder = PrometheusBuilder::new().build_recorder();
    METRICS.get_or_init(|| recorder.handle());
    metrics::set_global_recorder(recorder)
        .map_err(|error| anyhow::anyhow!("metrics are already set up: {error}"))?;
    describe_metrics();
    Ok(())
}
