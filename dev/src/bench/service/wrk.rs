//! wrk, which sends the requests.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::command::Command;
use crate::paths;

const SCRIPT: &str = include_str!("wrk.lua");
/// Where the script's one line begins.
const MARK: &str = "MEASURED ";

/// wrk with its script, in a folder of files with requests.
#[derive(Debug)]
pub(super) struct Wrk {
    folder: PathBuf,
    log: PathBuf,
}

/// What one run of wrk measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) requests: f64,
    pub(super) seconds: f64,
    /// Median, 99th and 99.9th percentile, in milliseconds.
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    /// Answers from 400 up, timeouts, and what went wrong on connections.
    pub(super) errors: f64,
}

/// How wrk sends requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) connections: u32,
    pub(super) time: Duration,
    /// On each connection, after an answer.
    pub(super) pause: Duration,
}

impl Sample {
    /// Requests a second.
    pub(super) fn rate(&self) -> f64 {
        self.requests / self.seconds
    }

    /// Requests a second that were answered as they wished.
    pub(super) fn answered(&self) -> f64 {
        (self.requests - self.errors) / self.seconds
    }

    fn parse(output: &str) -> Option<Self> {
        let line = output.lines().find_map(|line| line.strip_prefix(MARK))?;
        let numbers: Vec<f64> = line
            .split_whitespace()
            .map_while(|word| word.parse().ok())
            .collect();
        let [requests, duration, p50, p99, p999, errors @ ..] = &numbers[..] else {
            return None;
        };
        Some(Self {
            requests: *requests,
            seconds: duration / 1e6,
            p50: p50 / 1e3,
            p99: p99 / 1e3,
            p999: p999 / 1e3,
            errors: errors.iter().sum(),
        })
    }
}

impl Wrk {
    /// One that keeps its files in this folder.
    pub(super) fn new(folder: &Path, log: PathBuf) -> Result<Self> {
        paths::write(&folder.join("wrk.lua"), SCRIPT)?;
        Ok(Self {
            folder: folder.to_owned(),
            log,
        })
    }

    /// Sends these lines, again and again if there is time.
    pub(super) async fn run(&self, url: &str, lines: &[String], load: Load) -> Result<Sample> {
        let file = self.folder.join("requests.tsv");
        paths::write(&file, lines.join("\n"))?;
        let output = Command::new("wrk")
            .args(["--threads", "1", "--timeout", "20s", "--connections"])
            .arg(load.connections.to_string())
            .args(["--duration", &format!("{}s", load.time.as_secs().max(1))])
            .arg("--script")
            .arg(self.folder.join("wrk.lua"))
            .arg(url)
            .arg("--")
            .arg(&file)
            .arg(load.pause.as_millis().to_string())
            .log(&self.log)
            .run()
            .await?;
        Sample::parse(&output).with_context(|| format!("unexpected output of wrk:\n{output}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_line_is_found_among_what_wrk_prints() {
        let output =
            "Running 2s test\nRequests/sec: 1\nMEASURED 100 2000000 500 1500 2500 1 2 0 0 3\n";
        let sample = Sample::parse(output).unwrap();
        assert!((sample.rate() - 50.0).abs() < 1e-9);
        assert!((sample.p999 - 2.5).abs() < 1e-9);
        assert!((sample.errors - 6.0).abs() < 1e-9);
        assert_eq!(Sample::parse("wrk: no such host"), None);
    }
}
