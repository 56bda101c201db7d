//! What the user sees while something runs: spinners on a terminal, plain lines elsewhere.

use std::future::Future;
use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// How often a silent step says on plain output that it is still at it.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// The steps of one command, written to standard error.
#[derive(Debug)]
pub struct Progress {
    began: Instant,
    bars: Option<MultiProgress>,
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress {
    /// Spinners if standard error is a terminal and `CI` is not set, else plain lines.
    pub fn new() -> Self {
        let terminal = std::io::stderr().is_terminal() && !is_ci();
        Self {
            began: Instant::now(),
            bars: terminal.then(MultiProgress::new),
        }
    }

    /// Runs `work` as the step `title`; `why` says what it does and what for.
    ///
    /// The error of a failed step names the step.
    pub async fn step<T, F, W>(&self, title: &str, why: &str, work: W) -> Result<T>
    where
        F: Future<Output = Result<T>>,
        W: FnOnce(Step) -> F,
    {
        let step = Step::begin(self, title, why);
        let handle = step.clone();
        let mut running = std::pin::pin!(work(handle));
        loop {
            tokio::select! {
                result = &mut running => {
                    step.end(result.is_ok());
                    return result.with_context(|| format!("step \"{title}\" failed"));
                }
                () = tokio::time::sleep(HEARTBEAT) => step.still_running(),
            }
        }
    }

    /// Prints a line above the spinners.
    pub fn line(&self, text: &str) {
        match &self.bars {
            Some(bars) => {
                let _ = bars.println(text);
            }
            None => eprintln!("[{}] {text}", clock(self.began.elapsed())),
        }
    }
}

/// Whether this runs under continuous integration.
pub fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false" && value != "0")
}

/// A running step; clones talk to the same line.
#[derive(Debug, Clone)]
pub struct Step {
    inner: std::sync::Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    title: String,
    run_began: Instant,
    began: Instant,
    bars: Option<(MultiProgress, ProgressBar)>,
    last: Mutex<String>,
}

impl Step {
    fn begin(progress: &Progress, title: &str, why: &str) -> Self {
        let bars = progress.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner());
            let style = ProgressStyle::with_template(
                "{spinner:.cyan} {prefix:.bold} {wide_msg} {elapsed:.dim}",
            );
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.set_prefix(title.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            (bars.clone(), bar)
        });
        let step = Self {
            inner: std::sync::Arc::new(Inner {
                title: title.to_owned(),
                run_began: progress.began,
                began: Instant::now(),
                bars,
                last: Mutex::default(),
            }),
        };
        step.say(why);
        step
    }

    /// Says what the step does now.
    pub fn say(&self, message: impl AsRef<str>) {
        let message = message.as_ref();
        self.detail(message);
        if self.inner.bars.is_none() {
            self.plain(message);
        }
    }

    /// A passing detail (the line of a compiler): seen on a terminal and in the heartbeat only.
    pub fn detail(&self, message: &str) {
        if let Ok(mut last) = self.inner.last.lock() {
            message.clone_into(&mut last);
        }
        if let Some((_, bar)) = &self.inner.bars {
            bar.set_message(message.to_owned());
        }
    }

    fn still_running(&self) {
        if self.inner.bars.is_none() {
            let last = self
                .inner
                .last
                .lock()
                .map(|last| last.clone())
                .unwrap_or_default();
            let seconds = self.inner.began.elapsed().as_secs();
            self.plain(&format!("still running after {seconds} s: {last}"));
        }
    }

    fn end(&self, good: bool) {
        let took = seconds(self.inner.began.elapsed());
        let last = self
            .inner
            .last
            .lock()
            .map(|last| last.clone())
            .unwrap_or_default();
        let title = &self.inner.title;
        match &self.inner.bars {
            Some((bars, bar)) => {
                bar.finish_and_clear();
                let mark = if good {
                    "\u{1b}[32m✔\u{1b}[0m"
                } else {
                    "\u{1b}[31m✘\u{1b}[0m"
                };
                let _ = bars.println(format!("{mark} {title}: {last} ({took})"));
            }
            None => self.plain(&format!(
                "{} after {took}",
                if good { "done" } else { "FAILED" }
            )),
        }
    }

    fn plain(&self, message: &str) {
        eprintln!(
            "[{}] {}: {message}",
            clock(self.inner.run_began.elapsed()),
            self.inner.title
        );
    }
}

fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

/// `0.4 s`, `12.3 s`, `4 min 05 s`.
pub fn seconds(elapsed: Duration) -> String {
    if elapsed < Duration::from_secs(100) {
        format!("{:.1} s", elapsed.as_secs_f32())
    } else {
        format!(
            "{} min {:02} s",
            elapsed.as_secs() / 60,
            elapsed.as_secs() % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_naturally() {
        assert_eq!(seconds(Duration::from_millis(420)), "0.4 s");
        assert_eq!(seconds(Duration::from_secs(245)), "4 min 05 s");
        assert_eq!(clock(Duration::from_secs(3_725)), "62:05");
    }

    #[tokio::test]
    async fn a_failed_step_is_named_in_the_error() {
        let progress = Progress {
            began: Instant::now(),
            bars: None,
        };
        let error = progress
            .step("etcd", "a test", async |_step| -> Result<()> {
                anyhow::bail!("no disk")
            })
            .await
            .unwrap_err();
        assert_eq!(format!("{error:#}"), "step \"etcd\" failed: no disk");
    }
}
