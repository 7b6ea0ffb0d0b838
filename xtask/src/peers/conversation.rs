//! A program that is told one line and answers by one line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::command::Run;

/// How long a program may take to end once its input has ended.
const FAREWELL: Duration = Duration::from_secs(20);

/// A running program. Dropping the value ends its input, waits for it, and kills it if that is in vain.
pub(super) struct Conversation {
    child: Child,
    input: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Conversation {
    pub(super) fn start(program: Run) -> anyhow::Result<Self> {
        let mut child = program.spawn()?;
        let output = child.stdout.take().context("the program has no output")?;
        let input = child.stdin.take();
        let (sender, answers) = channel();
        // Ends with the program's output, or once nobody listens.
        thread::spawn(move || {
            let lines = BufReader::new(output).lines();
            lines
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Ok(Self {
            child,
            input,
            answers,
        })
    }

    pub(super) fn say(&mut self, line: &str) -> anyhow::Result<()> {
        let input = self.input.as_mut().context("the program has no input")?;
        writeln!(input, "{line}").with_context(|| format!("the program has ended before {line:?}"))
    }

    /// The next answer, waited for.
    pub(super) fn wait(&mut self, patience: Duration) -> anyhow::Result<String> {
        match self.answers.recv_timeout(patience) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => bail!("no answer within {patience:?}"),
            Err(RecvTimeoutError::Disconnected) => bail!("the program has ended"),
        }
    }

    /// The next answer, if there is one already.
    pub(super) fn poll(&mut self) -> anyhow::Result<Option<String>> {
        match self.answers.try_recv() {
            Ok(line) => Ok(Some(line)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => bail!("the program has ended"),
        }
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.input = None;
        let begun = Instant::now();
        while begun.elapsed() < FAREWELL {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_answers_until_it_ends() {
        let mut echo = Conversation::start(Run::program("cat")).unwrap();
        echo.say("hello").unwrap();
        assert_eq!(echo.wait(Duration::from_secs(10)).unwrap(), "hello");
        assert_eq!(echo.poll().unwrap(), None);
        let mut silent = Conversation::start(Run::program("true")).unwrap();
        let error = silent.wait(Duration::from_secs(10)).unwrap_err();
        assert_eq!(error.to_string(), "the program has ended");
    }
}
