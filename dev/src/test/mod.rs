//! `cargo dev test`: what continuous integration runs, stage by stage.

mod cargo;
mod chart;
mod rbac;
mod report;
mod stages;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;

use crate::backends;
use crate::cli::interrupted;
use crate::paths::Paths;
use crate::progress::{Progress, seconds};

/// Which tests to run.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Stages to run; all of them if none is named.
    #[arg(value_enum)]
    stages: Vec<Stage>,
    /// Also run the tests that take long (those marked `#[ignore]`).
    #[arg(long)]
    full: bool,
}

/// One part of the tests, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Stage {
    /// Formatting, clippy, licences and sources of dependencies.
    Lint,
    /// Tests of pure code in all crates.
    Unit,
    /// The service's HTTP contract on SQLite, and on real MySQL and MariaDB servers, with S3 and
    /// Cognito stand-ins, a browser and schemathesis.
    Service,
    /// The operator against a real API server, MySQL and an ECR stand-in.
    Operator,
    /// Everything together in the local cluster, with real pods.
    E2e,
    /// Good and bad images under load, in the same cluster; and the model of rollouts.
    Rollout,
    /// From a commit to a verdict: both buildspecs, as CodeBuild runs them, in the same cluster.
    Pipeline,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Lint => "lint",
            Self::Unit => "unit",
            Self::Service => "service",
            Self::Operator => "operator",
            Self::E2e => "e2e",
            Self::Rollout => "rollout",
            Self::Pipeline => "pipeline",
        }
    }
}

/// What a stage came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Outcome {
    /// Tests that passed.
    passed: u32,
    /// Tests that failed.
    failed: u32,
    /// Tests that were not run.
    ignored: u32,
    /// Tests that skipped themselves, because what they need is not here.
    skipped_tests: u32,
    /// What could not be checked here, and why.
    skipped: Vec<String>,
}

impl std::ops::Add for Outcome {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.skipped_tests += other.skipped_tests;
        self.skipped.extend(other.skipped);
        self
    }
}

struct Line {
    stage: Stage,
    took: Duration,
    result: Result<Outcome>,
}

/// Runs the stages up to the first that fails and prints a table.
pub async fn run(paths: &Paths, arguments: &Arguments) -> Result<ExitCode> {
    let progress = Progress::new();
    backends::sweep(paths).await?;
    let mut lines = Vec::new();
    for stage in chosen(&arguments.stages) {
        println!("\n== {}", stage.name());
        let began = Instant::now();
        let result = tokio::select! {
            result = stages::run(paths, &progress, stage, arguments.full) => result,
            () = interrupted() => Err(anyhow::anyhow!("interrupted")),
        };
        // Whatever happened to the stage, nothing of it stays behind.
        let cleaned = backends::clean(paths).await;
        let result = result.and_then(|outcome| cleaned.map(|()| outcome));
        let good = result.is_ok();
        lines.push(Line {
            stage,
            took: began.elapsed(),
            result,
        });
        if !good {
            break;
        }
    }
    stages::stop_cluster_if_ours(paths, &progress).await?;
    print!("{}", table(&lines));
    let good = lines.iter().all(|line| line.result.is_ok());
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn chosen(named: &[Stage]) -> Vec<Stage> {
    let mut stages = if named.is_empty() {
        Stage::value_variants().to_vec()
    } else {
        named.to_vec()
    };
    stages.sort();
    stages.dedup();
    stages
}

fn table(lines: &[Line]) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("\nstage      result  time         tests\n");
    for line in lines {
        let (result, detail) = match &line.result {
            Ok(outcome) => ("ok", outcome.to_string()),
            Err(error) => ("FAILED", format!("{error:#}")),
        };
        let (name, took) = (line.stage.name(), seconds(line.took));
        let _ = writeln!(text, "{name:<10} {result:<7} {took:<12} {detail}");
    }
    text
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        if self.passed + self.failed + self.ignored > 0 {
            parts.push(format!("{} passed", self.passed));
        }
        if self.failed > 0 {
            parts.push(format!("{} failed", self.failed));
        }
        if self.ignored > 0 {
            parts.push(format!("{} ignored", self.ignored));
        }
        if self.skipped_tests > 0 {
            parts.push(format!("{} skipped themselves", self.skipped_tests));
        }
        parts.extend(self.skipped.iter().map(|what| format!("skipped: {what}")));
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_run_in_their_own_order_and_once() {
        assert_eq!(
            chosen(&[Stage::Unit, Stage::Lint, Stage::Unit]),
            [Stage::Lint, Stage::Unit]
        );
        assert_eq!(chosen(&[]).len(), 7);
    }

    #[test]
    fn the_table_shows_what_was_skipped_and_what_failed() {
        let skipped = Outcome {
            skipped: vec!["advisories".into()],
            ..Outcome::default()
        };
        let ok = Line {
            stage: Stage::Lint,
            took: Duration::from_secs(3),
            result: Ok(skipped),
        };
        let bad = Line {
            stage: Stage::Unit,
            took: Duration::from_secs(1),
            result: Err(anyhow::anyhow!("2 tests failed")),
        };
        let text = table(&[ok, bad]);
        assert!(
            text.contains("lint       ok      3.0 s        skipped: advisories"),
            "{text}"
        );
        assert!(
            text.contains("unit       FAILED  1.0 s        2 tests failed"),
            "{text}"
        );
    }
}
