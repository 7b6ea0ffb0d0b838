//! Running other programs: from the workspace's root, with an error that shows the command to repeat by hand.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// The folder of the debug build's programs: this program was built into it.
pub(crate) fn debug_dir() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("this program's own path is unknown")?;
    let dir = program
        .parent()
        .context("this program's own folder is unknown")?;
    Ok(dir.to_path_buf())
}

/// A program to run, with its output shown unless it is asked for.
pub(crate) struct Run(Command);

impl Run {
    /// Any program, in the workspace's root.
    pub(crate) fn program(name: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(name);
        command.current_dir(root());
        // Set because cargo runs this program; cargo-machete takes it for a sign that it was not called by cargo.
        command.env_remove("CARGO_PKG_NAME");
        Self(command)
    }

    /// Cargo, which checks queries against .sqlx and not against whatever `DATABASE_URL` names.
    pub(crate) fn cargo(arguments: &[&str]) -> Self {
        Self::program("cargo")
            .args(arguments)
            .env("SQLX_OFFLINE", "true")
    }

    pub(crate) fn args(mut self, arguments: &[impl AsRef<OsStr>]) -> Self {
        self.0.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs it; any end but success is an error.
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        let status = self
            .0
            .status()
            .with_context(|| format!("cannot run {}", self.text()))?;
        if !status.success() {
            bail!("{} failed ({status})", self.text());
        }
        Ok(())
    }

    /// Runs it and returns what it printed, without the line end. Its errors are shown.
    pub(crate) fn output(mut self) -> anyhow::Result<String> {
        self.0.stderr(Stdio::inherit());
        let output = self
            .0
            .output()
            .with_context(|| format!("cannot run {}", self.text()))?;
        if !output.status.success() {
            bail!("{} failed ({})", self.text(), output.status);
        }
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }

    /// Runs it in silence and tells whether it succeeded; a program that does not exist has not.
    pub(crate) fn succeeds(mut self) -> bool {
        self.0
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.0.status().is_ok_and(|status| status.success())
    }

    /// Starts it, with pipes to its input and from its output. Its errors are shown.
    pub(crate) fn spawn(mut self) -> anyhow::Result<Child> {
        self.0.stdin(Stdio::piped()).stdout(Stdio::piped());
        self.0
            .spawn()
            .with_context(|| format!("cannot run {}", self.text()))
    }

    fn text(&self) -> String {
        let mut words = vec![self.0.get_program().to_string_lossy()];
        words.extend(self.0.get_args().map(OsStr::to_string_lossy));
        format!("`{}`", words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_the_command() {
        let error = Run::program("false")
            .args(&["x"])
            .run()
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("`false x` failed (exit status: 1"),
            "{error}"
        );
        let error = Run::program("no-such-program")
            .output()
            .unwrap_err()
            .to_string();
        assert_eq!(error, "cannot run `no-such-program`");
        assert!(!Run::program("no-such-program").succeeds());
    }

    #[test]
    fn output_comes_without_its_line_end() {
        assert_eq!(Run::program("echo").args(&["a"]).output().unwrap(), "a");
    }
}
