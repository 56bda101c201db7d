//! What is seen while waiting, on standard error: one living line on a terminal, elsewhere a line
//! with its time whenever something changes.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use k8s_openapi::jiff::Timestamp;

use super::stage::Stage;

/// Pace of the living line.
const TICK: Duration = Duration::from_millis(120);

/// Where progress is written.
pub struct Progress {
    bar: Option<ProgressBar>,
    last: String,
    /// What is said before the first stage, if there is one: nobody waits for what is there already.
    plans: Vec<String>,
}

impl Progress {
    /// On a terminal, and not under continuous integration, a living line.
    pub fn new() -> Self {
        let is_ci = std::env::var("CI").is_ok_and(|value| !matches!(&*value, "" | "0" | "false"));
        let living = std::io::stderr().is_terminal() && !is_ci;
        Self {
            bar: living.then(bar),
            last: String::new(),
            plans: Vec::new(),
        }
    }

    /// Whether clocks are shown, which want to be told the time.
    pub fn is_living(&self) -> bool {
        self.bar.is_some()
    }

    /// Keeps a line that is said once something is waited for.
    pub fn plan(&mut self, line: &str) {
        self.plans.push(line.to_owned());
    }

    /// Says once what stays true.
    pub fn note(&mut self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => plain(line),
        }
    }

    /// Says what goes on; the same is not said twice in a row.
    pub fn show(&mut self, stage: &Stage) {
        for plan in std::mem::take(&mut self.plans) {
            self.note(&plan);
        }
        let is_new = self.last != stage.line;
        if is_new {
            self.last.clone_from(&stage.line);
        }
        let Some(bar) = &self.bar else {
            if is_new {
                plain(&stage.line);
            }
            return;
        };
        bar.set_message(match &stage.clock {
            Some(clock) => format!("{} ({clock})", stage.line),
            None => stage.line.clone(),
        });
    }

    /// What was said last.
    pub fn last(&self) -> &str {
        &self.last
    }

    /// Removes the living line.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {elapsed:.dim} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TICK);
    bar
}

fn plain(line: &str) {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    // Nobody is left to be told that standard error is closed.
    let _ = writeln!(std::io::stderr(), "{now} {line}");
}
