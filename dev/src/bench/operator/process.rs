//! The operator as a process: its start, its use of memory and processor, its metrics.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::aws::{ACCOUNT, REGION};
use crate::bench::histogram::Histogram;
use crate::bench::machine;
use crate::network::free_port;
use crate::process::{Daemon, Processes};

const DURATIONS: &str = "post_operator_reconcile_duration_seconds";

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
        machine::resident(self.pid)
    }

    /// Processor time since its start, in seconds.
    pub(super) fn processor(&self) -> Result<f64> {
        machine::processor(self.pid)
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
