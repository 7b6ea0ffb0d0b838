//! The way to a platform: readers of its streams, and patience with its limits.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use syncline_engine::{Host, Page, ReadError, ReadLimits, ReadSettings, SharedReads, StreamReader};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::given::Inputs;
use super::host::LocalHost;
use super::message::{Descriptor, FailureType, Fault, Level};
use super::output::Output;

/// How often a request that the platform refused for its limit is sent again, where the manifest does not say: the language's default.
const MOST_REFUSALS: u64 = 5;
/// The longest wait for a limit that the platform does not tell, in powers of two of a second.
const LONGEST_UNTOLD: u64 = 10;

/// How far a read may go: bounds against manifests and platforms that know none.
#[derive(Debug, Args)]
pub(super) struct Limits {
    /// Pages that a stream may have.
    #[arg(long = "max-pages", default_value_t = ReadLimits::default().max_pages)]
    pages: u64,
    /// Records that a stream may have.
    #[arg(long = "max-records", default_value_t = 10_000_000)]
    pub(super) records: u64,
    /// How long the whole command may take, in seconds.
    #[arg(long = "max-seconds", default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    seconds: u64,
    /// Largest answer in bytes, after decompression.
    #[arg(long = "max-page-bytes", default_value_t = ReadLimits::default().max_page_bytes)]
    page_bytes: usize,
    /// Memory in bytes that one answer may take once it is decoded; about, from its text.
    #[arg(long = "max-decoded-bytes", default_value_t = ReadLimits::default().max_decoded_bytes)]
    decoded_bytes: usize,
    /// Longest wait in seconds for a limit of the platform, or between two tries.
    #[arg(long = "max-wait", default_value_t = 900, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    wait: u64,
}

/// Why a stream was not read to its end.
#[derive(Debug)]
pub(super) enum Failure {
    Read(ReadError),
    TooManyRecords(u64),
    OutOfTime(u64),
    /// Nobody reads what is printed.
    Unheard,
}

/// A platform, by its manifest and a config.
pub(super) struct Platform<'a> {
    pub(super) inputs: Inputs,
    limits: &'a Limits,
    host: Arc<dyn Host>,
    output: Arc<Output>,
    /// What one stream's read has fetched and another's needs.
    shared: SharedReads,
    /// Cancelled when the time is up.
    cancel: CancellationToken,
    /// Ends the timer together with the command.
    _timer: DropGuard,
}

impl<'a> Platform<'a> {
    /// Starts the clock of `--max-seconds`.
    pub(super) fn new(inputs: Inputs, limits: &'a Limits, output: Arc<Output>) -> Platform<'a> {
        let cancel = CancellationToken::new();
        let ended = CancellationToken::new();
        let most = Duration::from_secs(limits.seconds);
        let (out_of_time, over) = (cancel.clone(), ended.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(most) => out_of_time.cancel(),
                () = over.cancelled() => {}
            }
        });
        let wait = Duration::from_secs(limits.wait);
        let host = LocalHost::new(
            inputs.connector.budgets(),
            inputs.config.clone(),
            wait,
            Arc::clone(&output),
        );
        Platform {
            inputs,
            limits,
            host: Arc::new(host),
            output,
            shared: SharedReads::default(),
            cancel,
            _timer: ended.drop_guard(),
        }
    }

    pub(super) fn reader(
        &self,
        stream: &str,
        state: Option<Value>,
    ) -> Result<StreamReader, Failure> {
        let settings = ReadSettings {
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
                max_decoded_bytes: self.limits.decoded_bytes,
                max_wait_in_slot: Duration::from_secs(self.limits.wait),
                ..ReadLimits::default()
            },
        };
        let reader = self
            .inputs
            .connector
            .reader_sharing(stream, settings, &self.shared);
        reader.map_err(Failure::Read)
    }

    /// The next page. What the platform refuses for its limit is asked for again when it says so.
    pub(super) async fn next_page(
        &self,
        reader: &mut StreamReader,
        stream: &str,
    ) -> Result<Option<Page>, Failure> {
        let mut refusals: u64 = 0;
        loop {
            let error = match reader.next_page().await {
                Ok(page) => return Ok(page),
                Err(ReadError::Cancelled) => {
                    return Err(Failure::OutOfTime(self.limits.seconds));
                }
                Err(error) => error,
            };
            if let ReadError::Parked { until_hint, reason } = &error
                && *until_hint <= Duration::from_secs(self.limits.wait)
            {
                // A job of the platform that is not done: it is asked for again.
                let seconds = until_hint.as_secs_f64();
                let message = format!("{stream}: {reason}; waiting {seconds:.1} s");
                self.output.log(Level::Info, &message);
                self.pause(*until_hint).await;
                continue;
            }
            let ReadError::RateLimited {
                retry_after,
                failure,
            } = &error
            else {
                return Err(Failure::Read(error));
            };
            let doubled = Duration::from_secs(1 << refusals.min(LONGEST_UNTOLD));
            let wait = retry_after.unwrap_or(doubled);
            let most = failure.max_retries.unwrap_or(MOST_REFUSALS);
            if refusals >= most || wait > Duration::from_secs(self.limits.wait) {
                return Err(Failure::Read(error));
            }
            refusals += 1;
            let seconds = wait.as_secs_f64();
            let message =
                format!("{stream}: the platform's limit is reached, waiting {seconds:.1} s");
            self.output.log(Level::Info, &message);
            self.output.limited(stream);
            self.pause(wait).await;
        }
    }

    async fn pause(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.cancel.cancelled() => {}
        }
    }
}

impl Failure {
    pub(super) fn fault<'a>(&self, stream: &'a str) -> Fault<'a> {
        let message = match self {
            Failure::Read(error) => {
                let mut fault = Fault::of_read(stream, error);
                let limit = error.failure().and_then(|failure| failure.limit);
                let option = match limit {
                    Some("max_pages") => " (--max-pages)",
                    Some("max_decoded_bytes") => " (--max-decoded-bytes)",
                    _ => "",
                };
                fault.message.push_str(option);
                return fault;
            }
            Failure::TooManyRecords(limit) => {
                format!(
                    "the stream has more than {limit} records, which is the limit (--max-records)"
                )
            }
            Failure::OutOfTime(limit) => {
                format!(
                    "the command took longer than {limit} s, which is the limit (--max-seconds)"
                )
            }
            Failure::Unheard => "nobody reads what is printed".to_owned(),
        };
        Fault {
            message,
            internal_message: None,
            failure_type: FailureType::SystemError,
            stream_descriptor: Some(Descriptor { name: stream }),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Given {
        #[command(flatten)]
        limits: Limits,
    }

    #[test]
    fn a_read_is_bounded_unless_somebody_says_otherwise() {
        let Limits {
            records, seconds, ..
        } = Given::parse_from(["read"]).limits;
        assert_eq!((records, seconds), (10_000_000, 3_600));
        let given = [
            "read",
            "--max-records",
            "20000000",
            "--max-seconds",
            "86400",
        ];
        let Limits {
            records, seconds, ..
        } = Given::parse_from(given).limits;
        assert_eq!((records, seconds), (20_000_000, 86_400));
    }

    #[test]
    fn a_limit_is_named_by_its_option() {
        let failure = syncline_engine::Failure {
            message: "too much".to_owned(),
            limit: Some("max_decoded_bytes"),
            ..syncline_engine::Failure::default()
        };
        let failure = Box::new(failure);
        let fault = Failure::Read(ReadError::Permanent { failure })
            .fault("a")
            .message;
        assert!(fault.ends_with("(--max-decoded-bytes)"), "{fault}");
        for (failure, option) in [
            (Failure::TooManyRecords(1), "--max-records"),
            (Failure::OutOfTime(1), "--max-seconds"),
        ] {
            assert!(failure.fault("a").message.contains(option));
        }
    }
}
