//! Counters of this process, and gauges read from the database, in Prometheus' text form.
//!
//! Gauges come from the hot tables only: their cost does not grow with the history.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use syncline_shared::db::pause::{Pause, PauseScope};
use syncline_shared::db::process::Process;
use syncline_shared::db::status::QueueCounts;

const ROLES: [&str; 3] = ["scheduler", "worker", "api"];

/// What this process has counted since it started.
#[derive(Debug, Default)]
pub struct Metrics {
    answers: [AtomicU64; 5],
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
    pub fn render(
        &self,
        queue: &QueueCounts,
        up: &[Process],
        pauses: &[Pause],
        counted: &str,
    ) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let text = metrics.render(&queue, &[], &[], counted);
        assert!(!text.contains("odd"), "{text}");
        for expected in [
            "syncline_runs{state=\"queued\"} 3\n",
            "syncline_runs{state=\"blocked\"} 2\n",
            "syncline_processes_up{role=\"worker\"} 0\n",
            "syncline_budgets_paused 1\n",
            "syncline_pauses{scope=\"platform\"} 0\n",
            "syncline_runs_claimed_total 7\n",
            "syncline_http_responses_total{class=\"2xx\"} 1\n",
            "syncline_http_responses_total{class=\"5xx\"} 1\n",
        ] {
            assert!(text.contains(expected), "{expected} is missing in:\n{text}");
        }
    }
}
