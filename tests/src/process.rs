//! A process of the program under test: started with a log file, watched, and gone at the end.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

use crate::wait::{Look, until};

/// The longest that an orderly end may take.
const GRACE: Duration = Duration::from_secs(10);

/// A running process, or one that has ended.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// The test ended it, so an end is no surprise.
    ended: bool,
}

impl Process {
    /// Starts a command; what it writes goes to `<folder>/<name>.log`.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("{name} cannot be started: {error}"),
        };
        Self {
            name: name.to_owned(),
            child,
            log,
            ended: false,
        }
    }

    /// The name that the test knows it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until it has written a line that holds the words; answers what follows them on that line.
    pub async fn wait_for_log(&mut self, words: &str) -> String {
        let what = format!("{} to log {words:?}", self.name);
        until(&what, async || {
            let log = self.log();
            let line = log.lines().find_map(|line| line.split_once(words));
            if let Some((_, rest)) = line {
                return Look::Done(rest.to_owned());
            }
            match self.child.try_wait().unwrap() {
                Some(status) => Look::Failed(format!("it ended with {status}; it wrote:\n{log}")),
                None => Look::not_yet(log),
            }
        })
        .await
    }

    /// True while it runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// kill -9, and waits until it is gone.
    pub fn kill_9(&mut self) {
        self.ended = true;
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(
            status.signal(),
            Some(9),
            "{} ended by itself: {status}",
            self.name
        );
    }

    /// SIGSTOP: the process stands still, its connections stay open.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// SIGTERM; fails unless it exits with 0 within 10 s. Answers how long it took.
    pub async fn terminate(&mut self) -> Duration {
        self.end_by(Signal::SIGTERM).await
    }

    /// SIGINT, as by Ctrl-C; likewise.
    pub async fn interrupt(&mut self) -> Duration {
        self.end_by(Signal::SIGINT).await
    }

    async fn end_by(&mut self, signal: Signal) -> Duration {
        let began = Instant::now();
        self.ended = true;
        self.signal(signal);
        let status = self.wait_for_end().await;
        let took = began.elapsed();
        assert!(
            status.success(),
            "{} answers {signal} with {status}:\n{}",
            self.name,
            self.log()
        );
        assert!(took < GRACE, "{} took {took:?} to end", self.name);
        took
    }

    /// Waits until it has ended by itself.
    pub async fn wait_for_end(&mut self) -> ExitStatus {
        self.ended = true;
        let what = format!("{} to end", self.name);
        until(&what, async || {
            let ended = self.child.try_wait().unwrap();
            Look::some(ended, self.log())
        })
        .await
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.id()).unwrap());
        kill(pid, signal).unwrap_or_else(|error| panic!("{signal} to {}: {error}", self.name));
    }

    /// True once the test has ended it.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// What was wrong with it so far.
    pub fn problems(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        if let (false, Ok(Some(status))) = (self.ended, self.child.try_wait()) {
            problems.push(format!("{} ended by itself with {status}", self.name));
        }
        if self.log().contains("panicked at") {
            problems.push(format!("{} panicked", self.name));
        }
        problems
    }

    /// Ends it for good.
    pub(crate) fn bury(&mut self) {
        // Both fail only if it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processes whose environment holds these words: those that a test started, and what they started in turn.
pub fn marked(mark: &str) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        if String::from_utf8_lossy(&environment).contains(mark) {
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push((pid, String::from_utf8_lossy(&command).replace('\0', " ")));
        }
    }
    found
}

/// Ends leftovers, one by one.
pub fn end_all(processes: &[(i32, String)]) {
    for (pid, _) in processes {
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str, folder: &Path) -> Process {
        let mut command = Command::new("sh");
        command
            .args(["-c", script])
            .env("SYNCLINE_TEST_CLUSTER", "unit-tests-of-process");
        Process::start("shell", command, folder)
    }

    #[tokio::test]
    async fn a_process_that_ends_by_itself_or_panics_is_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = start("echo \"thread 'x' panicked at y\"; exit 3", folder.path());
        process.wait_for_log("panicked").await;
        until("its end", async || {
            Look::is(!process.is_running(), "it runs")
        })
        .await;
        let problems = process.problems().join("; ");
        assert!(
            problems.contains("exit status: 3") && problems.contains("panicked"),
            "{problems}"
        );
    }

    #[tokio::test]
    async fn a_process_that_outlives_its_starter_is_found_by_its_mark() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = start("sleep 600 & echo began; wait", folder.path());
        process.wait_for_log("began").await;
        process.kill_9();
        assert_eq!(process.problems(), Vec::<String>::new());
        // For a moment after its exec a process shows no environment.
        let left = until("the survivor to show its mark", async || {
            let left = marked("SYNCLINE_TEST_CLUSTER=unit-tests-of-process");
            let found = left
                .iter()
                .any(|(_, command)| command.contains("sleep 600"));
            if found {
                Look::Done(left)
            } else {
                Look::NotYet(format!("{left:?}"))
            }
        })
        .await;
        end_all(&left);
    }

    #[tokio::test]
    #[should_panic(expected = "it ended with exit status: 4")]
    async fn nothing_is_waited_for_in_the_log_of_a_process_that_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        start("exit 4", folder.path()).wait_for_log("never").await;
    }
}
