//! Whether an older service may still be writing to the same tables.
//!
//! While it may, nothing that it does not keep is to be believed: lists count posts instead of
//! reading `post_totals` (which are kept all the same, to be made exact by `migrate --finish`), and
//! numbers are taken above those that the old service, which uses `MAX(No) + 1`, may be about to use.

use super::MySqlStore;
use crate::store::StoreError;
use sqlx::MySqlConnection;
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Numbers that are left free for an old writer that has just read `MAX(No)`.
const LEFT_FREE: i64 = 64;

/// Each is true for ever once it has been seen.
#[derive(Debug, Default)]
pub(super) struct Finished {
    adoption: AtomicBool,
    author_totals: AtomicBool,
    /// When it was seen last that authors are not counted.
    uncounted: Mutex<Option<Instant>>,
}

/// So long "not yet" is believed.
const BELIEVED: Duration = Duration::from_secs(1);

/// Which columns the tables have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Those of the Flask service: posts have no version, likes no mark of being verified. Giving
    /// them any would cost the old service transactions (a table that is altered makes deadlocks of
    /// those that have read it and go on to write).
    Adopting,
    /// Ours.
    Finished,
}

impl MySqlStore {
    /// Which columns the tables have. What is right while adopting stays right after it.
    pub(super) async fn stage(&self) -> Result<Stage, StoreError> {
        Ok(if self.is_finished().await? {
            Stage::Finished
        } else {
            Stage::Adopting
        })
    }

    /// Whether no older service writes to these tables: always on a database that this service made,
    /// after `migrate --finish` on an adopted one. Asks the database until it says so once.
    ///
    /// # Errors
    /// If the database has to be asked and does not answer.
    pub async fn is_finished(&self) -> Result<bool, StoreError> {
        const FINISHED: &str = "SELECT COUNT(*) FROM adoption WHERE finished_at IS NOT NULL";
        self.is_so_for_ever(&self.finished.adoption, FINISHED).await
    }

    /// Whether `author_totals` counts every post: always on a database that this service made, after
    /// `migrate --finish` on one that had posts before it had this table.
    pub(super) async fn are_authors_counted(&self) -> Result<bool, StoreError> {
        const COUNTED: &str = "SELECT COUNT(*) FROM adoption WHERE authors_counted_at IS NOT NULL";
        let uncounted = || {
            let seen = self.finished.uncounted.lock();
            seen.unwrap_or_else(PoisonError::into_inner)
        };
        if uncounted().is_some_and(|seen| seen.elapsed() < BELIEVED) {
            return Ok(false);
        }
        let now = Instant::now();
        let seen = &self.finished.author_totals;
        let are_counted = self.is_so_for_ever(seen, COUNTED).await?;
        if !are_counted {
            *uncounted() = Some(now);
        }
        Ok(are_counted)
    }

    /// Asks the database, which counts 1, until it has been seen.
    async fn is_so_for_ever(
        &self,
        seen: &AtomicBool,
        question: &'static str,
    ) -> Result<bool, StoreError> {
        if seen.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let count: i64 = attempt!(self.reading(), |connection| {
            sqlx::query_scalar(question).fetch_one(connection)
        })?;
        if count > 0 {
            seen.store(true, Ordering::Relaxed);
        }
        Ok(count > 0)
    }
}

/// A number for a new post while an older service may be writing: above every number there is and
/// every one given before, with some left free below, and never given twice among services of this
/// kind. The old one may all the same
/// meet it; the insert is then refused as a duplicate, and the next number is another.
pub(super) async fn number_beside_old_writers(
    connection: &mut MySqlConnection,
) -> Result<i64, sqlx::Error> {
    let highest: i64 = sqlx::query_scalar("SELECT COALESCE(CAST(MAX(No) AS SIGNED), 0) FROM posts")
        .fetch_one(&mut *connection)
        .await?;
    let result = sqlx::query(
        "UPDATE post_numbers SET last = LAST_INSERT_ID(GREATEST(last, ?) + ?) WHERE id = 1",
    )
    .bind(highest)
    .bind(LEFT_FREE)
    .execute(connection)
    .await?;
    i64::try_from(result.last_insert_id()).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
