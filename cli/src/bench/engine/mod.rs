//! `syncline bench engine`: records per CPU-second and peak memory of the engine, beside airbyte-cdk.
//!
//! Both read the same manifests from the same local server in the same run, each as a process of its own that prints JSON lines
//! into a pipe. What counts is what the operating system says of the process when it is gone: its CPU seconds, start included, and
//! the most memory that it had. Nothing is subtracted.

mod cdk;
mod child;
mod manifests;
mod server;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::{Value, json};

pub(super) use self::child::EngineChild;
use self::child::Usage;
use self::manifests::Scenario;
use self::server::RecordServer;
use super::{Output, Report, machine, median, rounded};

/// See [`super::Bench::Engine`].
#[derive(Debug, Args)]
pub(super) struct EngineBench {
    /// Records that each read gets.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    records: u64,
    /// Records of the read whose peak memory is told; 0 leaves it out.
    #[arg(long, default_value_t = 1_000_000)]
    memory_records: u64,
    /// How often each read is measured; the medians count.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// The scenarios to measure; all of them if none is named.
    #[arg(long, value_enum, num_args = 1..)]
    only: Vec<Scenario>,
    /// A Python environment (venv) that has airbyte-cdk 7.39.1. Without it, one is made in the folder for caches.
    #[arg(long, env = "SYNCLINE_BENCH_CDK")]
    cdk: Option<PathBuf>,
    /// Leave the peer out.
    #[arg(long, conflicts_with = "cdk")]
    without_cdk: bool,
    /// A program that takes the arguments of `syncline connector read` and is measured in its place, such as another build.
    #[arg(long)]
    reader: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// The figures of one scenario.
#[derive(Default)]
struct Sides {
    ours: Vec<Usage>,
    theirs: Vec<Usage>,
}

impl EngineBench {
    pub(super) async fn run(&self) -> anyhow::Result<()> {
        let cdk = match (&self.cdk, self.without_cdk) {
            (_, true) => None,
            (Some(venv), _) => Some(cdk::given(venv).await?),
            (None, _) => Some(cdk::made().await?),
        };
        let folder = tempfile::tempdir().context("no temporary folder could be made")?;
        let server = RecordServer::start().await?;
        let mut report = Report::new("engine", machine::describe_without_database());
        report.figure("records", self.records);
        report.figure("rounds", self.rounds);
        for scenario in Scenario::all() {
            if self.only.is_empty() || self.only.contains(&scenario) {
                let sides = self
                    .measure(scenario, folder.path(), &server, cdk.as_deref())
                    .await?;
                sides.tell(scenario, &mut report);
            }
        }
        if self.memory_records > 0 {
            let case = Case::write(Scenario::All, self.memory_records, folder.path(), &server)?;
            let usage = self.ours(&case).await?;
            report.figure("memory_records", self.memory_records);
            report.figure("memory_peak_mib", rounded(usage.peak_mib));
            report.figure("memory_cpu_seconds", rounded(usage.cpu_seconds));
        }
        report.print(&self.output)
    }

    async fn measure(
        &self,
        scenario: Scenario,
        folder: &Path,
        server: &RecordServer,
        cdk: Option<&Path>,
    ) -> anyhow::Result<Sides> {
        let case = Case::write(scenario, self.records, folder, server)?;
        let mut sides = Sides::default();
        for _ in 0..self.rounds {
            let ours = self.ours(&case).await?;
            if let Some(cdk) = cdk {
                let theirs = child::measure(cdk, &case.arguments(&["read"])).await?;
                ensure!(
                    theirs.records == ours.records,
                    "{scenario:?}: the peer printed {} records, ours {}",
                    theirs.records,
                    ours.records
                );
                sides.theirs.push(theirs);
            }
            sides.ours.push(ours);
        }
        Ok(sides)
    }

    async fn ours(&self, case: &Case) -> anyhow::Result<Usage> {
        let usage = if let Some(reader) = &self.reader {
            child::measure(reader, &case.arguments(&[])).await?
        } else {
            let program = std::env::current_exe()?;
            let verb = ["connector", "read", "--json", "--allow-hosts", "127.0.0.1"];
            child::measure(&program, &case.arguments(&verb)).await?
        };
        ensure!(
            usage.records == case.expected,
            "{} records were printed instead of {}",
            usage.records,
            case.expected
        );
        Ok(usage)
    }
}

impl Sides {
    fn tell(&self, scenario: Scenario, report: &mut Report) {
        let name = scenario.name();
        let of = |usages: &[Usage], value: fn(&Usage) -> f64| {
            rounded(median(usages.iter().map(value).collect()))
        };
        let side = |usages: &[Usage]| {
            json!({
                "records_per_cpu_second": of(usages, Usage::rate).round(),
                "cpu_seconds": of(usages, |usage| usage.cpu_seconds),
                "seconds": of(usages, |usage| usage.seconds),
                "peak_mib": of(usages, |usage| usage.peak_mib),
            })
        };
        report.figure(name, side(&self.ours));
        if !self.theirs.is_empty() {
            report.figure(&format!("{name}_of_cdk"), side(&self.theirs));
            let ratios = self.ours.iter().zip(&self.theirs);
            let ratios = ratios.map(|(ours, theirs)| ours.rate() / theirs.rate());
            report.ratio(&format!("cdk_{name}"), median(ratios.collect()));
        }
    }
}

/// A manifest with its config and catalog, in files.
struct Case {
    manifest: PathBuf,
    config: PathBuf,
    catalog: PathBuf,
    expected: u64,
}

impl Case {
    fn write(
        scenario: Scenario,
        records: u64,
        folder: &Path,
        server: &RecordServer,
    ) -> anyhow::Result<Self> {
        let write = |what: &str, content: &Value| -> anyhow::Result<PathBuf> {
            let file = folder.join(format!("{}-{records}-{what}", scenario.name()));
            std::fs::write(&file, serde_json::to_vec(content)?)?;
            Ok(file)
        };
        Ok(Self {
            // JSON is YAML, too.
            manifest: write("manifest.yaml", &scenario.manifest())?,
            config: write(
                "config.json",
                &json!({ "base_url": server.url(), "records": records, "limit": server::DELETED_EVERY }),
            )?,
            catalog: write("catalog.json", &scenario.catalog())?,
            expected: scenario.expected(records),
        })
    }

    fn arguments(&self, verb: &[&str]) -> Vec<std::ffi::OsString> {
        let mut arguments: Vec<std::ffi::OsString> = verb.iter().map(Into::into).collect();
        for (name, file) in [
            ("--manifest-path", &self.manifest),
            ("--config", &self.config),
            ("--catalog", &self.catalog),
        ] {
            arguments.push(name.into());
            arguments.push(file.into());
        }
        arguments
    }
}
