//! What a process used, as the operating system tells it of a child that has ended.
//!
//! The system adds up all children of a process that have ended, so each measured program gets a parent of its own: this program
//! again, which starts it, counts the records in its output, and prints the sums.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

/// How the line of a record begins, on both sides.
const RECORD_LINE: &[u8] = b"{\"type\":\"RECORD\"";

/// What one process used from its start to its end.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Usage {
    /// Records that it printed.
    pub(super) records: u64,
    /// CPU time in user and system mode.
    pub(super) cpu_seconds: f64,
    pub(super) seconds: f64,
    /// The most memory that it had resident.
    pub(super) peak_mib: f64,
}

impl Usage {
    /// Records per CPU-second.
    pub(super) fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts of records are small")]
        let records = self.records as f64;
        records / self.cpu_seconds
    }
}

/// Runs a program to its end and says what it used.
pub(super) async fn measure(program: &Path, arguments: &[OsString]) -> anyhow::Result<Usage> {
    let output = Command::new(std::env::current_exe()?)
        .args(["bench", "engine-child", "--"])
        .arg(program)
        .args(arguments)
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?
        .wait_with_output()
        .await?;
    if !output.status.success() {
        bail!("{} failed ({})", program.display(), output.status);
    }
    serde_json::from_slice(&output.stdout).context("the measuring process printed something else")
}

/// See [`super::super::Bench::EngineChild`].
#[derive(Debug, Args)]
pub(crate) struct EngineChild {
    /// The program and its arguments.
    #[arg(trailing_var_arg = true, required = true)]
    command: Vec<OsString>,
}

impl EngineChild {
    #[expect(clippy::print_stdout, reason = "the command's answer")]
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let (program, arguments) = self.command.split_first().context("no program is named")?;
        let began = Instant::now();
        let mut child = std::process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be run", program.display()))?;
        let output = child.stdout.take().context("the output is not piped")?;
        let records = count_records(output)?;
        let status = child.wait()?;
        let seconds = began.elapsed().as_secs_f64();
        if !status.success() {
            bail!("{} ended with {status}", program.display());
        }
        let used = getrusage(UsageWho::RUSAGE_CHILDREN)?;
        let microseconds =
            used.user_time().num_microseconds() + used.system_time().num_microseconds();
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let usage = Usage {
            records,
            cpu_seconds: microseconds as f64 / 1e6,
            seconds,
            // In KiB, says getrusage(2).
            peak_mib: used.max_rss() as f64 / 1024.0,
        };
        println!("{}", serde_json::to_string(&usage)?);
        Ok(())
    }
}

/// Counts the lines that hold records.
fn count_records(mut output: impl Read) -> std::io::Result<u64> {
    let mut buffer = vec![0; 256 * 1024];
    // The beginning of the line that is being read.
    let mut head = Vec::with_capacity(RECORD_LINE.len());
    let mut records = 0;
    loop {
        let read = output.read(&mut buffer)?;
        if read == 0 {
            return Ok(records);
        }
        for piece in buffer[..read].split_inclusive(|byte| *byte == b'\n') {
            let room = RECORD_LINE.len() - head.len();
            head.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                records += u64::from(head == RECORD_LINE);
                head.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time.
    struct Dripping<'a>(&'a [u8]);

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let take = buffer.len().min(1);
            self.0.read(&mut buffer[..take])
        }
    }

    #[test]
    fn lines_of_records_are_counted_however_they_arrive() {
        let output = b"{\"type\":\"RECORD\",\"record\":{}}\n{\"type\":\"STATE\"}\n\n{\"type\":\"RECORD\",\"a\":1}\n";
        assert_eq!(count_records(output.as_slice()).unwrap(), 2);
        assert_eq!(count_records(Dripping(output)).unwrap(), 2);
    }
}
