//! The two programs that answer: the service, and the ceiling.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use super::database::Database;
use super::issuer::Issuer;
use super::kinds::Kind;
use crate::bench::machine;
use crate::network::{free_port, free_ports};
use crate::process::{Daemon, Processes};

const SERVICE: &str = "post-service";
const CEILING: &str = "ceiling";
/// More than anybody sends; the limits are counted all the same.
const PER_MINUTE: &str = "100000000";
/// Connections to the database that both have; the service's default.
const POOL: u32 = 8;

/// A running program.
#[derive(Debug)]
pub(super) struct Target<'a> {
    processes: &'a Processes,
    name: &'static str,
    pid: i32,
    pub(super) url: String,
    /// From the start of the process to its first answer.
    pub(super) first_answer: Duration,
}

impl<'a> Target<'a> {
    /// Starts the service as in production, with limits that nobody reaches.
    pub(super) async fn service(
        processes: &'a Processes,
        program: &Path,
        database: &str,
        issuer: &Issuer,
    ) -> Result<Self> {
        let [port, metrics] = free_ports()?;
        let mut daemon = Daemon::new(SERVICE, program)
            .args(["serve"])
            .env("DATABASE_URL", database)
            .env("DATABASE_POOL_SIZE", POOL.to_string())
            .env("LISTEN_ADDRESS", format!("127.0.0.1:{port}"))
            .env("METRICS_ADDRESS", format!("127.0.0.1:{metrics}"))
            .env("SECRET_KEY", "0123456789abcdef0123456789abcdef")
            .env("LOG_FORMAT", "json")
            .env("RATE_LIMIT_READS_PER_MINUTE", PER_MINUTE)
            .env("RATE_LIMIT_WRITES_PER_MINUTE", PER_MINUTE)
            // As behind a load balancer: clients are told apart.
            .env("TRUSTED_PROXIES", "127.0.0.0/8")
            .env("MEDIA_FOLDER", processes.log("media").with_extension(""));
        for (name, value) in issuer.settings() {
            daemon = daemon.env(name, value);
        }
        Self::start(processes, daemon, format!("http://127.0.0.1:{port}")).await
    }

    /// Starts the ceiling with answers of these lengths.
    pub(super) async fn ceiling(
        processes: &'a Processes,
        program: &Path,
        database: &str,
        (kept_in, lengths): (Database, &HashMap<&'static str, (Kind, usize)>),
    ) -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let routes: serde_json::Map<String, serde_json::Value> = lengths
            .iter()
            .map(|(name, (kind, bytes))| {
                let route = json!({"statement": kind.statement(kept_in), "bytes": bytes});
                ((*name).to_owned(), route)
            })
            .collect();
        let setting = json!({
            "address": address, "database": database, "connections": POOL, "routes": routes,
        });
        let daemon = Daemon::new(CEILING, program).env("CEILING", setting.to_string());
        Self::start(processes, daemon, format!("http://{address}")).await
    }

    async fn start(processes: &'a Processes, daemon: Daemon, url: String) -> Result<Self> {
        let name = daemon.name;
        let began = Instant::now();
        processes.ensure(&daemon).await?;
        let health = format!("{url}/health");
        // Looked at more often than `ready` does: the time until the first answer is measured.
        while reqwest::get(&health).await.is_err() {
            let is_late = began.elapsed() > Duration::from_secs(20);
            if is_late || !processes.is_running(name) {
                let never = async || Err::<(), _>("no answer");
                processes.ready(name, Duration::ZERO, never).await?;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(Self {
            processes,
            name,
            pid: processes.pid(name).context("it ended at once")?,
            url,
            first_answer: began.elapsed(),
        })
    }

    /// Seconds of processor time since its start.
    pub(super) fn processor(&self) -> Result<f64> {
        machine::processor(self.pid)
    }

    /// Resident memory in MiB.
    pub(super) fn resident(&self) -> Result<f64> {
        machine::resident(self.pid)
    }

    /// Empties its log, which would fill the disk in a long run.
    pub(super) fn empty_log(&self) -> Result<()> {
        let log = std::fs::File::options()
            .write(true)
            .open(self.processes.log(self.name))?;
        Ok(log.set_len(0)?)
    }

    /// Ends it.
    pub(super) async fn stop(self) -> Result<()> {
        self.processes
            .stop(self.name, Duration::from_secs(20))
            .await
    }
}
