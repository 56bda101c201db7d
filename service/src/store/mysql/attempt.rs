//! Connections that die, servers that turn read-only, deadlocks: which operation is tried again.

use super::{
    MySqlStore,
    pool::{Leased, PING_TIME},
};
use crate::store::{StoreError, errors};
use sqlx::Connection;
use std::{io, time::Duration};
use tokio::time::{error::Elapsed, timeout};

/// How often a read is tried in all.
pub(super) const READ_ATTEMPTS: u32 = 2;
/// How often a transaction is tried in all.
pub(super) const WRITE_ATTEMPTS: u32 = 4;
/// How long a statement or transaction may take: after that its connection counts as dead. A server
/// that vanished without a word answers nothing for ever; one that lives gives up sooner by itself
/// (`set_up` in `pool.rs`).
pub(in crate::store) const OPERATION_TIME: Duration = Duration::from_secs(3);

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
        for _ in 0..self.store.pool.limit {
            let mut leased = self.store.pool.acquire().await?;
            if !self.repeated {
                return Ok(leased);
            }
            if let Ok(Ok(())) = timeout(PING_TIME, leased.connection().ping()).await {
                return Ok(leased);
            }
            // The others lead to the same server and would each take as long.
            self.store.pool.drop_idle();
        }
        Ok(self.store.pool.acquire().await?)
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
                // After a failover they lead to the server that is now a replica: it answers pings,
                // but the address leads elsewhere.
                self.store.pool.drop_idle();
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
}
