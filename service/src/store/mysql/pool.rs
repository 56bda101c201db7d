//! Connections to MySQL, kept between uses.
//!
//! sqlx's own pool sends a ping whenever a connection comes back, a tenth of the cost of a list. Here only
//! what is left to be sent is sent: the end of a transaction that was given up.

use super::attempt::OPERATION_TIME;
use deadpool::managed::{
    Manager, Metrics, Object, PoolConfig, PoolError, QueueMode, RecycleResult, Timeouts,
};
use sqlx::{ConnectOptions, Connection, Executor, MySqlConnection, mysql::MySqlConnectOptions};
use std::{io, time::Duration};
use tokio::time::{sleep, timeout};

/// How long a connection is waited for, whether one comes back or a server comes up.
const ACQUIRE_TIME: Duration = Duration::from_secs(3);
/// Pauses between attempts to connect to a server that refuses: twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How long a connection lives: a server that was added gets its share.
const LIFETIME: Duration = Duration::from_mins(10);
/// How long a connection is given for a ping or a farewell.
pub(super) const PING_TIME: Duration = Duration::from_secs(1);

/// A pool of connections to one server.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    connections: deadpool::managed::Pool<Server>,
    /// The most there may be.
    pub(super) limit: u32,
}

impl Pool {
    /// Of at most so many connections, none of them opened yet.
    pub(super) fn lazy(options: MySqlConnectOptions, limit: u32) -> Self {
        let max_size = usize::try_from(limit).unwrap_or(usize::MAX);
        let config = PoolConfig {
            max_size,
            timeouts: Timeouts::default(),
            // One that has just been used is warm, here and in the server: a lone list takes a tenth less.
            queue_mode: QueueMode::Lifo,
        };
        #[expect(
            clippy::expect_used,
            reason = "it fails for want of a runtime for timeouts only"
        )]
        let connections = deadpool::managed::Pool::builder(Server(options))
            .config(config)
            .build()
            .expect("a pool without timeouts of its own");
        Self { connections, limit }
    }

    /// A connection, a new one if none is idle and there may be more.
    pub(super) async fn acquire(&self) -> Result<Leased, sqlx::Error> {
        let acquired = timeout(ACQUIRE_TIME, self.young()).await;
        acquired.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    async fn young(&self) -> Result<Leased, sqlx::Error> {
        loop {
            let connection = self.connections.get().await.map_err(|error| match error {
                PoolError::Backend(error) => error,
                PoolError::Closed => sqlx::Error::PoolClosed,
                _ => sqlx::Error::PoolTimedOut,
            })?;
            if is_young(Object::metrics(&connection)) {
                return Ok(Leased(Some(connection)));
            }
            // With it go those that a crowd has left and that nobody would find.
            let idle = self.connections.retain(|_, metrics| is_young(&metrics));
            for old in idle.removed.into_iter().chain([Object::take(connection)]) {
                tokio::spawn(timeout(PING_TIME, old.close()));
            }
        }
    }

    /// Drops those that are idle without a farewell, which a dead server would not take.
    pub(super) fn drop_idle(&self) {
        drop(self.connections.retain(|_, _| false));
    }

    /// How many there are, and how many of them are idle.
    pub(super) fn size(&self) -> (u32, usize) {
        let status = self.connections.status();
        let open = u32::try_from(status.size).unwrap_or(u32::MAX);
        (open, status.available)
    }

    /// Gives no more connections, takes leave of those that are idle and waits for the others.
    pub(super) async fn close(&self) {
        let idle = self.connections.retain(|_, _| false).removed;
        self.connections.close();
        for connection in idle {
            // A server that is gone needs none.
            let _ = timeout(PING_TIME, connection.close()).await;
        }
        let others = async {
            while self.connections.status().size > 0 {
                sleep(FIRST_PAUSE).await;
            }
        };
        let _ = timeout(OPERATION_TIME, others).await;
    }
}

fn is_young(metrics: &Metrics) -> bool {
    metrics.created.elapsed() < LIFETIME
}

/// Where connections lead.
#[derive(Debug)]
struct Server(MySqlConnectOptions);

impl Manager for Server {
    type Type = MySqlConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<MySqlConnection, sqlx::Error> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.0.connect().await {
                // It starts, or another takes its place.
                Err(sqlx::Error::Io(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    sleep(pause).await;
                    pause = LONGEST_PAUSE.min(pause * 2);
                }
                connected => {
                    let mut connection = connected?;
                    set_up(&mut connection).await?;
                    return Ok(connection);
                }
            }
        }
    }

    /// A dead one is noticed by its first statement, and reads are tried again.
    async fn recycle(&self, _: &mut MySqlConnection, _: &Metrics) -> RecycleResult<sqlx::Error> {
        Ok(())
    }
}

/// Sets what holds for a session.
///
/// - The server gives a statement up before this side does: what only this side gives up goes on there,
///   holding locks and scanning.
/// - Transactions read what is committed and lock rows alone, no gaps: who has waited for a row's lock sees
///   the row as it is, and two who insert do not wait for each other.
async fn set_up(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
    connection
        .execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        .await?;
    let version: String = sqlx::query_scalar("SELECT VERSION()")
        .fetch_one(&mut *connection)
        .await?;
    let limits = if version.contains("MariaDB") {
        "SET SESSION innodb_lock_wait_timeout = 2, SESSION max_statement_time = 2.9"
    } else {
        "SET SESSION innodb_lock_wait_timeout = 2, SESSION max_execution_time = 2900"
    };
    sqlx::query(limits).execute(connection).await.map(drop)
}

/// A connection that is closed unless it is given back: whoever drops it in the middle of a
/// statement leaves it in an unknown state, perhaps waiting for a dead server.
pub(super) struct Leased(Option<Object<Server>>);

impl Leased {
    #[expect(
        clippy::expect_used,
        reason = "it is taken out by the two ends of a lease only"
    )]
    pub(super) fn connection(&mut self) -> &mut MySqlConnection {
        self.0.as_mut().expect("a leased connection")
    }

    pub(super) fn give_back(mut self) {
        // The ROLLBACK of a transaction that was dropped waits to be sent, and holds its locks.
        if self
            .0
            .as_ref()
            .is_some_and(|connection| connection.should_flush())
        {
            tokio::spawn(async move {
                if let Ok(Ok(())) = timeout(PING_TIME, self.connection().ping()).await {
                    drop(self.0.take());
                }
            });
        } else {
            drop(self.0.take());
        }
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}
