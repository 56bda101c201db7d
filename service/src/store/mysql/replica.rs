//! A read replica, and how late it is at most.
//!
//! Every process counts up a number in a row of its own on the primary and looks for it on the
//! replica: whatever was acknowledged before a number was written is there as soon as the number
//! is, since replicas commit in the primary's order (`replica_preserve_commit_order`). That needs no
//! other machine's clock, and no right but those on the tables.

use super::MySqlStore;
use crate::{board, store::StoreError};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use tokio::time::Instant;

/// What was acknowledged longer ago is seen by every reader.
const LATEST: Duration = Duration::from_secs(2);
/// How often the replica is looked at.
const INTERVAL: Duration = Duration::from_millis(400);
/// Numbers that are waited for: far more than [`LATEST`] takes.
const AWAITED: usize = 16;

/// A server that holds the primary's tables a little later.
#[derive(Debug)]
pub(super) struct Replica {
    store: MySqlStore,
    /// It has everything that was acknowledged before.
    caught_up: Mutex<Option<Instant>>,
}

impl Replica {
    /// Looks at the replica for as long as somebody holds it.
    pub(super) fn watched(store: MySqlStore, primary: MySqlStore) -> Arc<Self> {
        let replica = Arc::new(Self {
            store,
            caught_up: Mutex::default(),
        });
        tokio::spawn(watch(Arc::downgrade(&replica), primary));
        replica
    }

    /// Its posts, unless they may be too late.
    pub(super) fn unless_late(&self) -> Option<&MySqlStore> {
        let caught_up = *self.locked();
        (caught_up?.elapsed() <= LATEST).then_some(&self.store)
    }

    /// Ends its connections.
    pub(super) async fn close(&self) {
        self.store.pool.close().await;
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.caught_up
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until nobody holds the replica any more.
async fn watch(replica: Weak<Replica>, primary: MySqlStore) {
    let process = board::new_id();
    let mut beats = Beats::default();
    let mut last_problem = String::new();
    if let Err(error) = primary.forget_beats().await {
        tracing::debug!(%error, "the beats of ended processes are still there");
    }
    loop {
        let Some(replica) = replica.upgrade() else {
            return;
        };
        let problem = match look(&replica, &primary, &process, &mut beats).await {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        if problem != last_problem && !problem.is_empty() {
            tracing::warn!("the replica is not read: {problem}");
        }
        last_problem = problem;
        if let Some(caught_up) = *replica.locked() {
            metrics::gauge!("database_replica_lag_seconds").set(caught_up.elapsed());
        }
        drop(replica);
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn look(
    replica: &Replica,
    primary: &MySqlStore,
    process: &str,
    beats: &mut Beats,
) -> Result<(), StoreError> {
    primary.beat(process, beats.next()).await?;
    let there = replica.store.seen_beat(process).await?;
    if let Some(caught_up) = there.and_then(|number| beats.written(number)) {
        *replica.locked() = Some(caught_up);
    }
    Ok(())
}

/// Numbers, and when each was about to be written.
#[derive(Debug, Default)]
struct Beats {
    last: i64,
    awaited: VecDeque<(i64, Instant)>,
}

impl Beats {
    /// A number to be written now.
    fn next(&mut self) -> i64 {
        self.last += 1;
        self.awaited.push_back((self.last, Instant::now()));
        if self.awaited.len() > AWAITED {
            self.awaited.pop_front();
        }
        self.last
    }

    /// When the number that is seen now was written; `None` if that is long ago.
    fn written(&mut self, seen: i64) -> Option<Instant> {
        self.awaited.retain(|(number, _)| *number >= seen);
        let (number, at) = *self.awaited.front()?;
        (number == seen).then_some(at)
    }
}

impl MySqlStore {
    /// Writes the process's number.
    async fn beat(&self, process: &str, number: i64) -> Result<(), StoreError> {
        attempt!(self.writing(), |connection| {
            sqlx::query(
                "INSERT INTO replica_beats (process, beat, beaten_at) \
                 VALUES (?, ?, UTC_TIMESTAMP()) \
                 ON DUPLICATE KEY UPDATE beat = ?, beaten_at = UTC_TIMESTAMP()",
            )
            .bind(process)
            .bind(number)
            .bind(number)
            .execute(connection)
        })
        .map(drop)
    }

    /// The process's number, where this is a replica.
    async fn seen_beat(&self, process: &str) -> Result<Option<i64>, StoreError> {
        attempt!(self.reading(), |connection| {
            sqlx::query_scalar("SELECT beat FROM replica_beats WHERE process = ?")
                .bind(process)
                .fetch_optional(connection)
        })
    }

    /// Removes the rows of processes that have ended.
    async fn forget_beats(&self) -> Result<(), StoreError> {
        attempt!(self.writing(), |connection| {
            sqlx::query(
                "DELETE FROM replica_beats WHERE beaten_at < UTC_TIMESTAMP() - INTERVAL 1 HOUR",
            )
            .execute(connection)
        })
        .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_replica_has_what_was_there_before_the_number_it_shows() {
        let mut beats = Beats::default();
        let first = (beats.next(), Instant::now());
        tokio::time::advance(INTERVAL).await;
        let second = (beats.next(), Instant::now());
        assert_eq!(beats.written(first.0), Some(first.1));
        assert_eq!(beats.written(first.0), Some(first.1), "it stands still");
        assert_eq!(beats.written(second.0), Some(second.1));
        assert_eq!(beats.written(first.0), None, "it stepped back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_number_of_long_ago_says_nothing() {
        let mut beats = Beats::default();
        let first = beats.next();
        for _ in 0..AWAITED {
            beats.next();
        }
        assert_eq!(beats.written(first), None);
    }
}
