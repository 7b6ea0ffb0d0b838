//! What `syncline dev` shows: the greeting, and a live line for each running sync.
//!
//! On a terminal the lines move; elsewhere a line is printed every ten seconds while something runs.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use syncline_shared::db::history::{RunFilter, RunView, list_runs};
use syncline_shared::db::{self, Database, DbResult};
use syncline_shared::ids::RunId;
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::run::RunStatus;

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Looks between two printed lines where there is no terminal.
const PRINT_EVERY: u32 = 20;
/// Runs that are shown at once.
const SHOWN: i64 = 20;

/// What a person needs to know after the start.
pub(super) struct Greeting<'a> {
    pub(super) web: String,
    pub(super) user: &'a str,
    pub(super) password: &'a str,
    pub(super) token: &'a str,
    pub(super) database: &'a str,
    pub(super) simulator: &'a str,
    pub(super) log: Option<&'a Path>,
}

/// Prints the greeting.
#[expect(clippy::print_stdout, reason = "the command's answer")]
pub(super) fn greet(greeting: &Greeting<'_>) {
    println!("Syncline is running.");
    println!();
    println!("  web page   {}", greeting.web);
    println!("  sign in    {} / {}", greeting.user, greeting.password);
    println!("  API token  {}", greeting.token);
    println!("  API docs   {}/docs", greeting.web);
    println!("  database   {}", greeting.database);
    println!("  simulator  {}", greeting.simulator);
    if let Some(log) = greeting.log {
        println!("  log        {}", log.display());
    }
    println!();
    println!("Ctrl-C stops everything.");
    println!();
}

/// Says what is going on, beside the answer.
#[expect(
    clippy::print_stderr,
    reason = "talk goes to standard error, the answer to standard output"
)]
pub(super) fn say(line: &str) {
    eprintln!("{line}");
}

/// Shows running syncs until the life drains.
pub(super) async fn show(database: Database, life: Lifecycle) -> anyhow::Result<()> {
    let mut screen = std::io::stderr().is_terminal().then(Screen::default);
    let mut looks = 0_u32;
    while !life.draining().is_cancelled() {
        // The database may be away for a moment; the next look tells.
        if let Ok((runs, now)) = look(&database).await {
            match &mut screen {
                Some(screen) => screen.update(&database, &runs, now).await,
                None if looks.is_multiple_of(PRINT_EVERY) => {
                    for run in &runs {
                        say(&line(run, now));
                    }
                }
                None => {}
            }
        }
        looks = looks.wrapping_add(1);
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = life.draining().cancelled() => {}
        }
    }
    if let Some(screen) = &screen {
        screen.bars.clear().ok();
    }
    Ok(())
}

async fn look(database: &Database) -> DbResult<(Vec<RunView>, chrono::DateTime<chrono::Utc>)> {
    let mut db = database.session().await?;
    let filter = RunFilter {
        statuses: Some(vec![RunStatus::Running]),
        ..RunFilter::default()
    };
    Ok((
        list_runs(&mut db, &filter, SHOWN).await?,
        db::now(&mut db).await?,
    ))
}

#[derive(Default)]
struct Screen {
    bars: MultiProgress,
    running: HashMap<RunId, ProgressBar>,
}

impl Screen {
    async fn update(
        &mut self,
        database: &Database,
        runs: &[RunView],
        now: chrono::DateTime<chrono::Utc>,
    ) {
        let ended: Vec<_> = self
            .running
            .keys()
            .filter(|id| !runs.iter().any(|run| run.id == **id))
            .copied()
            .collect();
        for id in ended {
            let Some(bar) = self.running.remove(&id) else {
                continue;
            };
            bar.finish_and_clear();
            self.bars.remove(&bar);
            let found = async {
                let mut db = database.session().await?;
                db::history::find_run(&mut db, id).await
            };
            if let Ok(Some(run)) = found.await {
                self.bars.println(line(&run, now)).ok();
            }
        }
        for run in runs {
            let bar = self.running.entry(run.id).or_insert_with(|| {
                let bar = self.bars.add(ProgressBar::new_spinner());
                if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                    bar.set_style(style);
                }
                bar.enable_steady_tick(Duration::from_millis(120));
                bar
            });
            bar.set_message(line(run, now));
        }
    }
}

/// A run in one line: who, what, how long, how much.
fn line(run: &RunView, now: chrono::DateTime<chrono::Utc>) -> String {
    let total = run.progress.total();
    let name = run
        .connection_key
        .as_deref()
        .unwrap_or("deleted connection");
    let ended = run.finished_at.unwrap_or(now);
    let seconds = run
        .started_at
        .map_or(0, |began| (ended - began).num_seconds().max(0));
    let mut line = format!(
        "{name} · {} {seconds} s · {} pages, {} read, {} new, {} changed, {} unchanged",
        run.status,
        run.progress.pages(),
        total.read,
        total.inserted,
        total.updated,
        total.unchanged
    );
    if total.failed > 0 {
        line.push_str(&format!(", {} failed", total.failed));
    }
    if let (Some(detail), false) = (&run.wait_detail, run.status.is_terminal()) {
        line.push_str(&format!(" · {detail}"));
    }
    if let (Some(error), RunStatus::Failed) = (&run.last_error, run.status) {
        line.push_str(&format!(" · {}", error.message));
    }
    line
}
