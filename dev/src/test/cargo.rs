//! Running cargo with its output shown, and counting its tests.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::sync::Mutex;

use super::Outcome;
use super::report::Report;

/// A cargo command of a stage.
#[derive(Debug)]
pub(super) struct Cargo<'a> {
    checkout: &'a Path,
    args: Vec<String>,
    env: Vec<(&'static str, String)>,
    table: bool,
}

impl<'a> Cargo<'a> {
    pub(super) fn new(checkout: &'a Path, args: &[&str]) -> Self {
        Self {
            checkout,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: vec![],
            table: false,
        }
    }

    #[must_use]
    pub(super) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// Adds what makes the long tests run too.
    #[must_use]
    pub(super) fn full(mut self, full: bool) -> Self {
        if full {
            self.args
                .extend(["--".to_owned(), "--include-ignored".to_owned()]);
        }
        self
    }

    /// Prints at the end how many tests passed, by module and database.
    #[must_use]
    pub(super) fn with_table(mut self) -> Self {
        self.table = true;
        self
    }

    /// Runs it; its output is shown as it comes.
    pub(super) async fn run(self) -> Result<Outcome> {
        let name = format!("cargo {}", self.args.join(" "));
        println!("$ {name}");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut child = tokio::process::Command::new(cargo)
            .args(&self.args)
            .envs(self.env)
            // Set by the `cargo dev` that runs us: it would make cargo rebuild for another package.
            .env_remove("CARGO_MANIFEST_DIR")
            .current_dir(self.checkout)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start `{name}`"))?;
        let report = Mutex::new(Report::default());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        tokio::try_join!(
            each_line(stdout, &report, |line| println!("{line}")),
            each_line(stderr, &report, |line| eprintln!("{line}")),
        )?;
        let status = child.wait().await?;
        let report = report.into_inner();
        if self.table {
            println!("{}", report.table());
        }
        let outcome = report.outcome();
        if outcome.failed > 0 {
            bail!(
                "{} of {} tests failed in `{name}`\n  {}",
                outcome.failed,
                outcome.failed + outcome.passed + outcome.skipped_tests,
                report.failures().join("\n  ")
            );
        }
        if !status.success() {
            bail!("`{name}` failed ({status})");
        }
        Ok(outcome)
    }
}

/// Shows and reads the lines of one of a program's outputs.
async fn each_line(
    output: Option<impl AsyncRead + Unpin>,
    report: &Mutex<Report>,
    show: impl Fn(&str),
) -> Result<()> {
    let Some(output) = output else {
        return Ok(());
    };
    let mut lines = BufReader::new(output).split(b'\n');
    while let Some(line) = lines.next_segment().await? {
        let line = String::from_utf8_lossy(&line);
        show(&line);
        report.lock().await.read(&line);
    }
    Ok(())
}
