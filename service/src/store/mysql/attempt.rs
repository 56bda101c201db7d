//! Connections that die, servers that turn read-only, deadlocks: which operation is tried again.

use super::MySqlStore;
use crate::store::{StoreError, errors};
use sqlx::{Connection, MySql, MySqlConnection, pool::PoolConnection};
use std::{io, time::Duration};
use tokio::time::{error::Elapsed, timeout};

/// How often a read is tried in all.
pub(super) const READ_ATTEMPTS: u32 = 2;
/// How often a transaction is tried in all.
pub(super) const WRITE_ATTEMPTS: u32 = 4;
/// How long a statement or transaction may take: after that its connection counts as dead. A server
/// that vanished without a word answers nothing for ever; one that lives gives up sooner by itself
/// ([`session_limits`]).
pub(in crate::store) const OPERATION_TIME: Duration = Duration::from_secs(3);
/// How long a connection that may be dead is given to answer a ping.
const PING_TIME: Duration = Duration::from_secs(1);

/// The attempts at one operation.
pub(super) struct Attempts<'a> {
    store: &'a MySqlStore,
    left: u32,
    /// An earlier attempt lost its connection: it may have taken effect.
    repeated: bool,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(store: &'a MySqlStore, attempts: u32) -> Self {
        Self {
            store,
            left: attempts,
            repeated: false,
        }
    }

    /// Whether an earlier attempt may have taken effect unseen.
    pub(super) fn is_repeated(&self) -> bool {
        self.repeated
    }

    /// A connection; after a loss one that answers (after a restart of the server all are dead).
    pub(super) async fn connect(&mut self) -> Result<Leased, StoreError> {
        self.left = self.left.saturating_sub(1);
        for _ in 0..self.store.limit {
            let mut leased = Leased::of(self.store.pool.acquire().await?);
            if !self.repeated {
                return Ok(leased);
            }
            if let Ok(Ok(())) = timeout(PING_TIME, leased.connection().ping()).await {
                return Ok(leased);
            }
            // The others lead to the same server and would each take as long.
            self.drop_idle_connections();
        }
        Ok(Leased::of(self.store.pool.acquire().await?))
    }

    /// What an attempt came to, or `None` if there shall be another.
    pub(super) fn judge<T>(
        &mut self,
        leased: Leased,
        result: Result<Result<T, sqlx::Error>, Elapsed>,
    ) -> Option<Result<T, StoreError>> {
        let error = match result {
            Ok(Ok(value)) => {
                leased.give_back();
                return Some(Ok(value));
            }
            Ok(Err(error)) => error,
            Err(_) => io::Error::from(io::ErrorKind::TimedOut).into(),
        };
        let again = if errors::is_connection_lost(&error) {
            drop(leased);
            if errors::is_read_only(&error) {
                self.drop_idle_connections();
            }
            self.repeated = true;
            true
        } else {
            leased.give_back();
            errors::is_rolled_back(&error)
        };
        if again && self.left > 0 {
            tracing::debug!(%error, "trying again");
            None
        } else {
            Some(Err(error.into()))
        }
    }

    /// After a failover the pool's connections lead to the server that is now a replica: it answers
    /// pings, but the address leads elsewhere.
    fn drop_idle_connections(&self) {
        for _ in 0..self.store.limit {
            let Some(connection) = self.store.pool.try_acquire() else {
                return;
            };
            // Without a farewell, which a dead server would not take.
            drop(connection.detach());
        }
    }
}

/// Has the server give up a statement before this side does: what only this side gives up goes on
/// there, holding locks and scanning.
pub(super) async fn session_limits(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
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
pub(super) struct Leased(Option<PoolConnection<MySql>>);

impl Leased {
    fn of(connection: PoolConnection<MySql>) -> Self {
        Self(Some(connection))
    }

    #[expect(
        clippy::expect_used,
        reason = "it is taken out by the two ends of a lease only"
    )]
    pub(super) fn connection(&mut self) -> &mut MySqlConnection {
        self.0.as_mut().expect("a leased connection")
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if let Some(mut connection) = self.0.take() {
            connection.close_on_drop();
        }
    }
}
