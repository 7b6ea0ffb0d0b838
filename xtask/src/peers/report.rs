//! The answer: a table for people, or JSON.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::figures::{Measured, NAMES, rounded};
use super::{BenchPeers, OURS, Results};

/// What is going on, beside the answer.
#[expect(clippy::print_stderr, reason = "standard output may be JSON")]
pub(super) fn progress(text: &str) {
    eprintln!("{text}");
}

pub(super) fn report(results: &Results, arguments: &BenchPeers) -> anyhow::Result<()> {
    let mut measured = Vec::new();
    for (name, result) in results {
        match result {
            Ok(rounds) => measured.extend(Measured::median(rounds).map(|median| (*name, median))),
            Err(error) => progress(&format!("{name} failed: {error:#}")),
        }
    }
    let json = serde_json::to_string_pretty(&as_json(&measured, arguments))?;
    match arguments.json.as_deref() {
        Some(file) if file == Path::new("-") => {
            println!("{json}");
            return Ok(());
        }
        Some(file) => fs::write(file, json)?,
        None => {}
    }
    println!("\n{}", table(&measured));
    Ok(())
}

fn ours<'a>(measured: &'a [(&str, Measured)]) -> Option<&'a Measured> {
    measured
        .iter()
        .find(|(name, _)| *name == OURS)
        .map(|(_, measured)| measured)
}

/// Shaped like the answer of `syncline bench`.
fn as_json(measured: &[(&str, Measured)], arguments: &BenchPeers) -> Value {
    let mut ratios = Map::new();
    if let Some(ours) = ours(measured) {
        for (name, peer) in measured.iter().filter(|(name, _)| *name != OURS) {
            for ((figure, our), peer) in NAMES.iter().zip(ours.figures).zip(peer.figures) {
                ratios.insert(format!("{figure}_to_{name}"), json!(rounded(our / peer)));
            }
        }
    }
    let peers: Vec<Value> = measured
        .iter()
        .map(|(name, peer)| peer.json(name))
        .collect();
    json!({
        "bench": "peers",
        "jobs": arguments.jobs,
        "rounds": arguments.rounds,
        "ratios": ratios,
        "peers": peers,
    })
}

/// Each contestant's figures and, where ours were measured, ours divided by them.
fn table(measured: &[(&str, Measured)]) -> String {
    let mut text = format!("{:<20}{:<9}", "", "version");
    for name in NAMES {
        text += &format!("{name:>15}");
    }
    for (name, peer) in measured {
        text += &format!("\n{name:<20}{:<9}", peer.version);
        for figure in peer.figures {
            let digits = usize::from(figure < 100.0);
            text += &format!("{figure:>15.digits$}");
        }
    }
    if let Some(ours) = ours(measured) {
        for (name, peer) in measured.iter().filter(|(name, _)| *name != OURS) {
            text += &format!("\n{:<29}", format!("{OURS} / {name}"));
            for (our, peer) in ours.figures.iter().zip(peer.figures) {
                text += &format!("{:>15.2}", our / peer);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratios_are_ours_to_theirs() {
        let measured = |figures| Measured {
            version: "1.0".to_owned(),
            settings: String::new(),
            keeps_history: None,
            jobs: Some(10),
            figures,
        };
        let all = [
            ("pg-boss", measured([50.0, 2000.0, 10.0, 4.0, 8.0])),
            (OURS, measured([100.0, 3000.0, 20.0, 2.0, 2.0])),
        ];
        let arguments = BenchPeers {
            jobs: 1,
            rounds: 1,
            only: Vec::new(),
            json: None,
        };
        let json = as_json(&all, &arguments);
        assert_eq!(json["ratios"]["drain_1_per_s_to_pg-boss"], json!(1.5));
        assert_eq!(json["peers"][1]["pickup_p99_ms"], json!(2.0));
        let table = table(&all);
        let last = table.lines().last().unwrap();
        let ratios: Vec<&str> = last.split_whitespace().skip(3).collect();
        assert_eq!(ratios, ["2.00", "1.50", "2.00", "0.50", "0.25"]);
        assert_eq!(super::table(&all[..1]).lines().count(), 2);
    }
}
