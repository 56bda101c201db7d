//! Running cargo with its output shown, and counting its tests.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::Outcome;

/// A cargo command of a stage.
#[derive(Debug)]
pub(super) struct Cargo<'a> {
    checkout: &'a Path,
    args: Vec<String>,
    env: Vec<(&'static str, String)>,
}

impl<'a> Cargo<'a> {
    pub(super) fn new(checkout: &'a Path, args: &[&str]) -> Self {
        Self {
            checkout,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: vec![],
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

    /// Runs it; its output goes to standard output as it comes.
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
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start `{name}`"))?;
        let mut outcome = Outcome::default();
        if let Some(stdout) = child.stdout.take() {
            let mut lines = BufReader::new(stdout).split(b'\n');
            while let Some(line) = lines.next_segment().await? {
                let line = String::from_utf8_lossy(&line).into_owned();
                println!("{line}");
                outcome.count(&line);
            }
        }
        let status = child.wait().await?;
        if outcome.failed > 0 {
            bail!(
                "{} of {} tests failed in `{name}`",
                outcome.failed,
                outcome.failed + outcome.passed
            );
        }
        if !status.success() {
            bail!("`{name}` failed ({status})");
        }
        Ok(outcome)
    }
}

impl Outcome {
    /// Adds what a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; …` says.
    fn count(&mut self, line: &str) {
        let Some((_, result)) = line.split_once("test result: ") else {
            return;
        };
        for part in result.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(Ok(number)), Some(what)) =
                (words.next().map(str::parse::<u32>), words.next())
            else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_test_programs_add_up() {
        let mut outcome = Outcome::default();
        outcome.count("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s");
        outcome.count("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.20s");
        outcome.count("running 4 tests");
        let expected = Outcome {
            passed: 15,
            failed: 2,
            ignored: 1,
            skipped: vec![],
        };
        assert_eq!(outcome, expected);
    }
}
