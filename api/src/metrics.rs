//! Counters of this process, and gauges read from the database, in Prometheus' text form.
//!
//! Gauges come from the hot tables only: their cost does not grow with the history. Those of budgets
//! alone grow with the number of keys, and are at most ten seconds old.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use syncline_shared::db::budget::{BudgetTotals, CircuitState};
use syncline_shared::db::pause::{Pause, PauseScope};
use syncline_shared::db::process::Process;
use syncline_shared::db::status::QueueCounts;

const ROLES: [&str; 3] = ["scheduler", "worker", "api"];

/// What this process has counted since it started.
#[derive(Debug, Default)]
pub struct Metrics {
    answers: [AtomicU64; 5],
}

/// What was read from the database.
#[derive(Debug, Default)]
pub struct Found {
    /// Unfinished runs by state, and paused budgets.
    pub queue: QueueCounts,
    /// Processes heard of within a lease.
    pub up: Vec<Process>,
    /// What rests.
    pub pauses: Vec<Pause>,
    /// Budgets by platform and name.
    pub budgets: Vec<BudgetTotals>,
    /// Hosts that fail.
    pub circuits: Vec<CircuitState>,
}

impl Metrics {
    /// Counts an answer by the class of its status.
    pub fn count(&self, status: u16) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        if let Some(counter) = self.answers.get(class) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Everything in Prometheus' text form, version 0.0.4; at the end `counted`, which is what else this process has counted.
    pub fn render(&self, found: &Found, counted: &str) -> String {
        let Found {
            queue,
            up,
            pauses,
            budgets,
            circuits,
        } = found;
        let mut text = String::new();
        heading(
            &mut text,
            "syncline_runs",
            "gauge",
            "Unfinished runs by state.",
        );
        for (state, count) in [
            ("queued", queue.queued),
            ("running", queue.running),
            ("waiting", queue.waiting),
            ("blocked", queue.blocked),
        ] {
            line(&mut text, "syncline_runs", "state", state, count);
        }
        heading(
            &mut text,
            "syncline_processes_up",
            "gauge",
            "Processes heard of within a lease.",
        );
        for role in ROLES {
            let count = up
                .iter()
                .filter(|process| process.role.as_str() == role)
                .count();
            line(&mut text, "syncline_processes_up", "role", role, count);
        }
        heading(
            &mut text,
            "syncline_budgets_paused",
            "gauge",
            "Budgets that a platform has paused.",
        );
        // Writing to a string cannot fail.
        let _ = writeln!(text, "syncline_budgets_paused {}", queue.budgets_paused);
        heading(
            &mut text,
            "syncline_pauses",
            "gauge",
            "What rests until somebody resumes it, by scope.",
        );
        for scope in PauseScope::ALL {
            let count = pauses.iter().filter(|pause| pause.scope == *scope).count();
            line(&mut text, "syncline_pauses", "scope", scope.as_str(), count);
        }
        render_budgets(&mut text, budgets);
        render_circuits(&mut text, circuits);
        heading(
            &mut text,
            "syncline_http_responses_total",
            "counter",
            "Answers of this process by class of status.",
        );
        for (class, counter) in (1..).zip(&self.answers) {
            let class = format!("{class}xx");
            let count = counter.load(Ordering::Relaxed);
            line(
                &mut text,
                "syncline_http_responses_total",
                "class",
                &class,
                count,
            );
        }
        append_others(&mut text, counted);
        text
    }
}

/// A family of numbers by budget: name, kind, help, number.
type BudgetFamily = (
    &'static str,
    &'static str,
    &'static str,
    fn(&BudgetTotals) -> f64,
);

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus' numbers are 64-bit floats"
)]
const BUDGET_FAMILIES: [BudgetFamily; 5] = [
    (
        "syncline_budget_saturation",
        "gauge",
        "The part of what a budget allows that is used, 1 is all of it: of its fullest window and key.",
        |budget| budget.saturation,
    ),
    (
        "syncline_budget_keys",
        "gauge",
        "Keys of a budget: accounts that have one of their own.",
        |budget| budget.keys as f64,
    ),
    (
        "syncline_budget_permits_granted_total",
        "counter",
        "Permits given to all workers, each for a request.",
        |budget| budget.granted as f64,
    ),
    (
        "syncline_budget_refusals_total",
        "counter",
        "Times that a worker asked for permits and had to wait.",
        |budget| budget.refused as f64,
    ),
    (
        "syncline_budget_limited_total",
        "counter",
        "Answers of the platform that a limit is reached.",
        |budget| budget.limited as f64,
    ),
];

fn render_budgets(text: &mut String, budgets: &[BudgetTotals]) {
    for (name, kind, help, number) in BUDGET_FAMILIES {
        heading(text, name, kind, help);
        for budget in budgets {
            let labels = [
                ("platform", budget.platform.as_str()),
                ("budget", budget.name.as_str()),
            ];
            labelled(text, name, &labels, number(budget));
        }
    }
}

fn render_circuits(text: &mut String, circuits: &[CircuitState]) {
    heading(
        text,
        "syncline_circuits_open",
        "gauge",
        "Hosts of a platform that nothing is sent to, or one request at a time, since they failed.",
    );
    let mut open: BTreeMap<&str, u32> = BTreeMap::new();
    for circuit in circuits {
        *open.entry(&circuit.platform).or_default() += u32::from(circuit.open_until.is_some());
    }
    for (platform, count) in open {
        let labels = [("platform", platform)];
        labelled(text, "syncline_circuits_open", &labels, count);
    }
}

/// Appends the families of `counted` that are not there yet: a family that comes twice spoils the whole answer.
fn append_others(text: &mut String, counted: &str) {
    let has = |name: &str| text.contains(&format!("# TYPE {name} "));
    let mut wanted = Vec::new();
    let mut taken = false;
    for line in counted.lines() {
        let mut words = line.split(' ');
        if let (Some("#"), Some("HELP" | "TYPE"), Some(name)) =
            (words.next(), words.next(), words.next())
        {
            taken = has(name);
        }
        if !taken && !line.is_empty() {
            wanted.push(line);
        }
    }
    for line in wanted {
        let _ = writeln!(text, "{line}");
    }
}

fn heading(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, label: &str, value: &str, count: impl std::fmt::Display) {
    let _ = writeln!(text, "{name}{{{label}=\"{value}\"}} {count}");
}

/// A line with labels whose values may hold anything.
fn labelled(text: &mut String, name: &str, labels: &[(&str, &str)], count: impl std::fmt::Display) {
    let label = |(label, value): &(&str, &str)| format!("{label}=\"{}\"", escape(value));
    let labels: Vec<String> = labels.iter().map(label).collect();
    let _ = writeln!(text, "{name}{{{}}} {count}", labels.join(","));
}

/// A label's value as the text form wants it.
fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    #[test]
    fn each_number_has_a_line() {
        let metrics = Metrics::default();
        metrics.count(204);
        metrics.count(503);
        let queue = QueueCounts {
            queued: 3,
            running: 1,
            waiting: 0,
            blocked: 2,
            budgets_paused: 1,
        };
        let counted = "# HELP syncline_runs_claimed_total Claimed.\n# TYPE syncline_runs_claimed_total counter\n\
             syncline_runs_claimed_total 7\n\n# TYPE syncline_runs gauge\nsyncline_runs{state=\"odd\"} 9\n";
        let budget = BudgetTotals {
            name: "re\"quests\\".to_owned(),
            platform: "g2a".to_owned(),
            keys: 2,
            granted: 1_234_567,
            refused: 5,
            limited: 1,
            saturation: 0.25,
        };
        let circuit = |key: &str, open_until| CircuitState {
            key: key.to_owned(),
            platform: "g2a".to_owned(),
            failures: 5,
            open_until,
            is_probing: false,
            because: "HTTP 503".to_owned(),
            failed_at: DateTime::UNIX_EPOCH,
        };
        let found = Found {
            queue,
            budgets: vec![budget],
            circuits: vec![
                circuit("g2a/a:443", Some(DateTime::UNIX_EPOCH)),
                circuit("g2a/b:443", None),
            ],
            ..Found::default()
        };
        let text = metrics.render(&found, counted);
        assert!(!text.contains("odd"), "{text}");
        for expected in [
            "syncline_runs{state=\"queued\"} 3\n",
            "syncline_runs{state=\"blocked\"} 2\n",
            "syncline_processes_up{role=\"worker\"} 0\n",
            "syncline_budgets_paused 1\n",
            "syncline_pauses{scope=\"platform\"} 0\n",
            "syncline_budget_saturation{platform=\"g2a\",budget=\"re\\\"quests\\\\\"} 0.25\n",
            "budget=\"re\\\"quests\\\\\"} 1234567\n",
            "syncline_circuits_open{platform=\"g2a\"} 1\n",
            "syncline_runs_claimed_total 7\n",
            "syncline_http_responses_total{class=\"2xx\"} 1\n",
            "syncline_http_responses_total{class=\"5xx\"} 1\n",
        ] {
            assert!(text.contains(expected), "{expected} is missing in:\n{text}");
        }
    }
}
