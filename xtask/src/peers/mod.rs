//! `cargo xtask bench-peers`: our queue beside those we are compared with, on one server, on this machine, now.
//!
//! What is measured is written in bench/README.md. The peers take turns, each in fresh databases, so that a slow
//! minute of the machine does not fall on one of them alone. Nothing here is part of the tests or of CI.

mod conversation;
mod figures;
mod install;
mod list;
mod measure;
mod ours;
mod report;
mod server;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use figures::Measured;
use list::{PEERS, Peer};
use server::Server;

/// The name that stands for our own queue beside those of the peers.
const OURS: &str = "syncline";

/// See [`crate::Chore::BenchPeers`].
#[derive(Args)]
pub(crate) struct BenchPeers {
    /// Jobs of one burn-down; slow peers get a documented fraction of it.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1000..))]
    jobs: u64,
    /// How often everything is measured; medians are shown.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measure these only: names of peers, and `syncline`.
    #[arg(long, num_args = 1.., value_parser = known_name)]
    only: Vec<String>,
    /// Write the figures to this file as JSON; `-` is standard output, in place of the table.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What each contestant's rounds have brought, or why it has none.
type Results = BTreeMap<&'static str, anyhow::Result<Vec<Measured>>>;

pub(crate) fn run(arguments: &BenchPeers) -> anyhow::Result<()> {
    let is_wanted = |name: &str| {
        arguments.only.is_empty() || arguments.only.iter().any(|wanted| wanted == name)
    };
    let peers: Vec<&Peer> = PEERS.iter().filter(|peer| is_wanted(peer.name)).collect();
    let mut results = Results::new();
    let mut commands = Vec::new();
    for peer in peers {
        match install::install(peer) {
            Ok(command) => commands.push((peer, command)),
            Err(error) => {
                results.insert(peer.name, Err(error));
            }
        }
    }
    let ours = if is_wanted(OURS) {
        ours::program()?
    } else {
        None
    };
    let mut server = Server::start()?;
    for _ in 0..arguments.rounds {
        for (peer, command) in &commands {
            let jobs = arguments.jobs / peer.divisor;
            add(&mut results, peer.name, || {
                measure::measure(peer, command, &mut server, jobs)
            });
        }
        if let Some(program) = &ours {
            add(&mut results, OURS, || {
                ours::measure(program, &mut server, arguments.jobs)
            });
        }
    }
    drop(server);
    report::report(&results, arguments)?;
    let failed: Vec<&str> = results
        .iter()
        .filter(|(_, result)| result.is_err())
        .map(|(name, _)| *name)
        .collect();
    if !failed.is_empty() {
        bail!("not measured: {}", failed.join(", "));
    }
    Ok(())
}

/// Measures one more round, unless an earlier one has failed.
fn add(
    results: &mut Results,
    name: &'static str,
    measure: impl FnOnce() -> anyhow::Result<Measured>,
) {
    let entry = results.entry(name).or_insert_with(|| Ok(Vec::new()));
    if let Ok(rounds) = entry {
        match measure() {
            Ok(measured) => rounds.push(measured),
            Err(error) => *entry = Err(error),
        }
    }
}

fn known_name(name: &str) -> Result<String, String> {
    let names: Vec<&str> = PEERS.iter().map(|peer| peer.name).chain([OURS]).collect();
    if names.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(format!("the names are {}", names.join(", ")))
}
