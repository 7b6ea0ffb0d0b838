//! Cargo's subcommands that the chores use, installed from source at the pinned version when they are missing.
//!
//! A version that is there already is used as it is: developers update their tools on their own. No tool may bring
//! OpenSSL, whose headers few machines have.

use crate::command::Run;

/// A subcommand of cargo.
pub(crate) struct Tool {
    /// Answers when the tool is there.
    probe: &'static [&'static str],
    /// What `cargo install --locked` is told.
    install: &'static [&'static str],
}

pub(crate) const NEXTEST: Tool = Tool {
    probe: &["nextest", "--version"],
    install: &["cargo-nextest@0.9.143"],
};
pub(crate) const MACHETE: Tool = Tool {
    probe: &["machete", "--version"],
    install: &["cargo-machete@0.9.2"],
};
pub(crate) const DENY: Tool = Tool {
    probe: &["deny", "--version"],
    install: &["cargo-deny@0.20.2"],
};
pub(crate) const SQLX: Tool = Tool {
    probe: &["sqlx", "--version"],
    // Without TLS: it talks to the test server on this machine only.
    install: &[
        "sqlx-cli@0.9.0",
        "--no-default-features",
        "--features",
        "postgres",
    ],
};

/// Installs the tool unless it is there.
pub(crate) fn need(tool: &Tool) -> anyhow::Result<()> {
    if Run::cargo(tool.probe).succeeds() {
        return Ok(());
    }
    println!("installing {}", tool.install.join(" "));
    Run::cargo(&["install", "--locked"])
        .args(tool.install)
        .run()
}
