//! What the benchmark ran on, and what its processes used.

use std::fs;

use serde_json::{Value, json};
use syncline_shared::db::{Database, DbResult};

/// Processors, memory, kernel and database.
pub(super) async fn describe(database: &Database) -> Value {
    let asking = async {
        let mut db = database.session().await?;
        let version: String = sqlx::query_scalar("show server_version")
            .fetch_one(&mut *db)
            .await?;
        DbResult::Ok(version)
    };
    let mut machine = describe_without_database();
    machine["postgres"] = json!(asking.await.ok());
    machine
}

/// Processors, memory and kernel.
pub(super) fn describe_without_database() -> Value {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let memory_mib = field("/proc/meminfo", "MemTotal:").map(|kib| kib / 1024);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let model = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    json!({
        "cpus": cpus,
        "cpu_model": model,
        "memory_mib": memory_mib,
        "kernel": kernel.trim(),
        "syncline": syncline_shared::VERSION,
        "optimised": !cfg!(debug_assertions),
    })
}

/// The largest memory that a process has had in use, in MiB.
pub(super) fn peak_memory_mib(pid: u32) -> Option<u64> {
    field(&format!("/proc/{pid}/status"), "VmHWM:").map(|kib| kib / 1024)
}

/// CPU time that a process has used, in seconds; proc(5), fields 14 and 15 of stat, at 100 ticks a second.
pub(super) fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the name, may hold anything; the rest follows its closing bracket.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / 100.0)
}

fn field(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
