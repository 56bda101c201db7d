//! What the database server counts.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sqlx::{Connection as _, MySqlConnection};

/// Counters of rows that were read, through an index or not.
const READS: [&str; 7] = [
    "Handler_read_first",
    "Handler_read_key",
    "Handler_read_last",
    "Handler_read_next",
    "Handler_read_prev",
    "Handler_read_rnd",
    "Handler_read_rnd_next",
];
/// Longest wait until the server has finished what nobody waits for any more.
const PATIENCE: Duration = Duration::from_mins(2);

/// The administrator's connection.
#[derive(Debug)]
pub(super) struct Counters {
    connection: MySqlConnection,
    /// Threads that run while nobody asks for anything but this: MySQL counts its scheduler of events.
    own_threads: f64,
}

/// What was counted until a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Count {
    pub(super) statements: f64,
    pub(super) rows: f64,
    pub(super) deadlocks: f64,
}

impl Count {
    /// What was counted since, without the one statement that this look itself took before.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            statements: (self.statements - earlier.statements - 2.0).max(0.0),
            rows: (self.rows - earlier.rows).max(0.0),
            deadlocks: self.deadlocks - earlier.deadlocks,
        }
    }
}

impl Counters {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let mut counters = Self {
            connection: MySqlConnection::connect(url).await?,
            own_threads: 0.0,
        };
        counters.own_threads = counters.running().await?;
        Ok(counters)
    }

    /// The server's own name of its version.
    pub(super) async fn version(&mut self) -> Result<String> {
        let version = sqlx::query_scalar("SELECT VERSION()");
        Ok(version.fetch_one(&mut self.connection).await?)
    }

    /// The counters now.
    pub(super) async fn read(&mut self) -> Result<Count> {
        let deadlocks: Option<i64> = sqlx::query_scalar(
            "SELECT CAST(MAX(`COUNT`) AS SIGNED) FROM information_schema.INNODB_METRICS \
             WHERE NAME = 'lock_deadlocks'",
        )
        .fetch_one(&mut self.connection)
        .await?;
        let status = self.status().await?;
        let number = |name: &str| status.get(name).copied().unwrap_or(0.0);
        Ok(Count {
            statements: number("Questions"),
            rows: READS.iter().map(|name| number(name)).sum(),
            deadlocks: deadlocks
                .and_then(|count| u32::try_from(count).ok())
                .map_or(0.0, f64::from),
        })
    }

    /// Waits until the server runs nothing for anybody else; nobody was there when this connected.
    pub(super) async fn settle(&mut self) -> Result<()> {
        let began = Instant::now();
        loop {
            if self.running().await? <= self.own_threads {
                return Ok(());
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "the database server still works {} s after the last request",
                PATIENCE.as_secs()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn running(&mut self) -> Result<f64> {
        let running = self.status().await?.get("Threads_running").copied();
        running.context("the server does not tell what runs")
    }

    async fn status(&mut self) -> Result<HashMap<String, f64>> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SHOW GLOBAL STATUS WHERE Variable_name IN ('Questions', 'Threads_running') OR Variable_name LIKE 'Handler\\_read%'")
                .fetch_all(&mut self.connection)
                .await?;
        let number = |(name, value): (String, String)| Some((name, value.parse().ok()?));
        Ok(rows.into_iter().filter_map(number).collect())
    }
}
