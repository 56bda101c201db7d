//! What the database server counts. A file has no server: then nothing is counted.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sqlx::{Connection as _, MySqlConnection, SqliteConnection};

use super::database::Database;

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
/// Longest wait until the server has finished what nobody waits for any more; it is ended after a grace:
/// plain statements of the ceiling go on for minutes on a large board.
const PATIENCE: Duration = Duration::from_mins(2);
const GRACE: Duration = Duration::from_secs(3);

/// What is asked for the counts.
#[derive(Debug)]
pub(super) enum Counters {
    Server(Server),
    File(SqliteConnection),
}

/// The administrator's connection.
#[derive(Debug)]
pub(super) struct Server {
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
        // Not `max`, which takes the other number for `NaN`.
        let at_least_none = |count: f64| if count < 0.0 { 0.0 } else { count };
        Self {
            statements: at_least_none(self.statements - earlier.statements - 2.0),
            rows: at_least_none(self.rows - earlier.rows),
            deadlocks: self.deadlocks - earlier.deadlocks,
        }
    }
}

impl Counters {
    pub(super) async fn connect(url: &str, database: Database) -> Result<Self> {
        Ok(match database.server() {
            Some(_) => Self::Server(Server::connect(url).await?),
            None => Self::File(SqliteConnection::connect(url).await?),
        })
    }

    /// The database's own name of its version.
    pub(super) async fn version(&mut self) -> Result<String> {
        Ok(match self {
            Self::Server(server) => {
                let version = sqlx::query_scalar("SELECT VERSION()");
                version.fetch_one(&mut server.connection).await?
            }
            Self::File(file) => {
                let version = sqlx::query_scalar("SELECT 'SQLite ' || sqlite_version()");
                version.fetch_one(file).await?
            }
        })
    }

    /// The counters now; `NaN` where nothing is counted.
    pub(super) async fn read(&mut self) -> Result<Count> {
        match self {
            Self::Server(server) => server.read().await,
            Self::File(_) => Ok(Count {
                statements: f64::NAN,
                rows: f64::NAN,
                deadlocks: 0.0,
            }),
        }
    }

    /// Waits until the database does nothing for anybody else; nobody was there when this connected.
    pub(super) async fn settle(&mut self) -> Result<()> {
        match self {
            Self::Server(server) => server.settle().await,
            Self::File(_) => Ok(()),
        }
    }
}

impl Server {
    async fn connect(url: &str) -> Result<Self> {
        let mut server = Self {
            connection: MySqlConnection::connect(url).await?,
            own_threads: 0.0,
        };
        server.own_threads = server.running().await?;
        Ok(server)
    }

    async fn read(&mut self) -> Result<Count> {
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

    async fn settle(&mut self) -> Result<()> {
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
            if began.elapsed() > GRACE {
                self.end_others().await?;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends connections whose statement has run for as long as the grace: the service's own statements, such
    /// as those that store views, are shorter. (One whose statement alone is ended is stuck in sqlx's pool.)
    async fn end_others(&mut self) -> Result<()> {
        let others: Vec<i64> = sqlx::query_scalar(
            "SELECT CAST(ID AS SIGNED) FROM information_schema.PROCESSLIST \
             WHERE COMMAND IN ('Query', 'Execute') AND ID <> CONNECTION_ID() AND TIME >= ?",
        )
        .bind(GRACE.as_secs())
        .fetch_all(&mut self.connection)
        .await?;
        for id in others {
            // It may have ended by itself.
            let kill = format!("KILL {id}");
            let _ = sqlx::raw_sql(&kill).execute(&mut self.connection).await;
        }
        Ok(())
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
