//! What must hold before a merge, cheapest first; the first failure ends it.
//!
//! Advisories are not checked here: they need a database from the internet, and change without a change of ours.
//! By hand: `cargo deny check advisories`.

use std::time::Instant;

use crate::command::Run;
use crate::{database, tests, tools};

type Step = (&'static str, fn() -> anyhow::Result<()>);

const STEPS: [Step; 8] = [
    ("tools", install_tools),
    ("format", || Run::cargo(&["fmt", "--all", "--check"]).run()),
    ("licences, bans, sources", || {
        let front = [
            "deny",
            "--log-level",
            "error",
            "check",
            "bans",
            "licenses",
            "sources",
        ];
        Run::cargo(&front).run()
    }),
    ("unused dependencies", || Run::cargo(&["machete"]).run()),
    ("lints", || {
        let front = [
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ];
        Run::cargo(&front).run()
    }),
    ("documentation", || {
        let front = [
            "doc",
            "--quiet",
            "--workspace",
            "--no-deps",
            "--document-private-items",
        ];
        Run::cargo(&front).env("RUSTDOCFLAGS", "-D warnings").run()
    }),
    ("queries", || database::prepare(true)),
    // Last, so that the summary of the tests ends the output.
    ("tests", || tests::test(&[])),
];

/// Runs all steps, one line each.
pub(crate) fn run() -> anyhow::Result<()> {
    println!("advisories are left out (they need the internet): cargo deny check advisories");
    let begun = Instant::now();
    for (name, step) in STEPS {
        let step_begun = Instant::now();
        let result = step();
        let seconds = step_begun.elapsed().as_secs_f64();
        let outcome = if result.is_ok() { "ok" } else { "FAILED" };
        println!("ci: {name}: {outcome} in {seconds:.1} s");
        result?;
    }
    println!(
        "ci: all {} steps ok in {:.1} s",
        STEPS.len(),
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

fn install_tools() -> anyhow::Result<()> {
    for tool in [&tools::NEXTEST, &tools::DENY, &tools::MACHETE, &tools::SQLX] {
        tools::need(tool)?;
    }
    Ok(())
}
