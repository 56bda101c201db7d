//! The operator as a process: its start, its use of memory and processor, its metrics.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::aws::{ACCOUNT, REGION};
use crate::bench::histogram::Histogram;
use crate::network::free_port;
use crate::process::{Daemon, Processes};

const DURATIONS: &str = "post_operator_reconcile_duration_seconds";
const MIB: f64 = 1024.0 * 1024.0;

/// Where an operator finds its servers.
#[derive(Debug, Clone)]
pub(super) struct Access {
    pub(super) kubeconfig: String,
    pub(super) ecr: String,
}

/// A running operator.
#[derive(Debug)]
pub(super) struct Operator<'a> {
    processes: &'a Processes,
    name: &'static str,
    pid: i32,
    metrics: String,
    /// From the start of the process to the end of its first pass; none if it had none.
    pub(super) first_pass: Option<Duration>,
}

impl<'a> Operator<'a> {
    /// Starts it for one namespace; with `expects_pass`, waits for its first pass.
    pub(super) async fn start(
        processes: &'a Processes,
        (name, binary, access): (&'static str, &Path, &Access),
        namespace: &str,
        expects_pass: bool,
    ) -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let daemon = Daemon::new(name, binary)
            .args(["run", "--no-leader-election", "--log-format", "text"])
            .args(["--namespace", namespace])
            .args(["--listen-address", &address])
            .env("KUBECONFIG", &access.kubeconfig)
            .env("POD_NAME", name)
            .env("POD_NAMESPACE", namespace)
            .env("AWS_ENDPOINT_URL", &access.ecr)
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", ACCOUNT)
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        let began = Instant::now();
        processes.ensure(&daemon).await?;
        let mut operator = Self {
            processes,
            name,
            pid: processes.pid(name).context("the operator ended at once")?,
            metrics: format!("http://{address}/metrics"),
            first_pass: None,
        };
        if expects_pass {
            operator.wait_for_pass().await?;
            operator.first_pass = Some(began.elapsed());
        } else {
            let probe = async || operator.scrape().await.map(drop).map_err(|e| e.to_string());
            processes
                .ready(name, Duration::from_secs(30), probe)
                .await?;
        }
        Ok(operator)
    }

    async fn wait_for_pass(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let passes = self.passes().await.map_or(0.0, |passes| passes.count());
            if passes > 0.0 {
                return Ok(());
            }
            anyhow::ensure!(
                began.elapsed() < Duration::from_mins(1) && self.processes.is_running(self.name),
                "the operator made no pass; see its log {}",
                self.processes.log(self.name).display()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn scrape(&self) -> Result<String> {
        let answer = reqwest::get(&self.metrics).await?.error_for_status()?;
        Ok(answer.text().await?)
    }

    /// The durations of all passes until now.
    pub(super) async fn passes(&self) -> Result<Histogram> {
        Ok(Histogram::parse(&self.scrape().await?, DURATIONS))
    }

    /// Waits for `count` passes more than those of `before`; returns the durations of them.
    pub(super) async fn more_passes(
        &self,
        before: &Histogram,
        count: usize,
        patience: Duration,
    ) -> Result<Histogram> {
        let wanted = u32::try_from(count).map(f64::from)?;
        let deadline = Instant::now() + patience;
        loop {
            let more = self.passes().await?.since(before);
            if more.count() >= wanted {
                return Ok(more);
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "{} of {count} passes after {} s; see {}",
                more.count(),
                patience.as_secs(),
                self.processes.log(self.name).display()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Resident memory in MiB.
    pub(super) fn resident(&self) -> Result<f64> {
        let path = format!("/proc/{}/status", self.pid);
        let status = std::fs::read_to_string(&path)
            .with_context(|| format!("the operator ended: cannot read {path}"))?;
        resident(&status).with_context(|| format!("no VmRSS in {path}"))
    }

    /// Processor time since its start, in seconds.
    pub(super) fn processor(&self) -> Result<f64> {
        let path = format!("/proc/{}/stat", self.pid);
        let stat = std::fs::read_to_string(&path)
            .with_context(|| format!("the operator ended: cannot read {path}"))?;
        processor(&stat).with_context(|| format!("unexpected content of {path}"))
    }

    /// Waits until memory has stopped to move, at most ten seconds; returns it in MiB.
    pub(super) async fn steady_resident(&self) -> Result<f64> {
        let deadline = Instant::now() + Duration::from_secs(10);
        let (mut last, mut equal) = (self.resident()?, 0);
        while equal < 6 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = self.resident()?;
            equal = if (now - last).abs() < 0.1 {
                equal + 1
            } else {
                0
            };
            last = now;
        }
        Ok(last)
    }

    /// Ends it.
    pub(super) async fn stop(self) -> Result<()> {
        self.processes
            .stop(self.name, Duration::from_secs(10))
            .await
    }
}

/// `VmRSS` of `/proc/PID/status`, in MiB (proc(5): the unit is kB, meaning 1024 bytes).
fn resident(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0 / MIB)
}

/// User and system time of `/proc/PID/stat`, in seconds (proc(5), fields 14 and 15; Linux counts
/// them in hundredths for user space).
fn processor(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_processor_time_are_read_from_proc() {
        let mib = resident("Name:\tx\nVmHWM:\t 9 kB\nVmRSS:\t   20480 kB\n").unwrap();
        assert!((mib - 20.0).abs() < 1e-9);
        assert_eq!(resident("Name:\tx\n"), None);
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 1 0 987654 1 2 3";
        assert!((processor(stat).unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(processor("7 (a"), None);
    }
}
