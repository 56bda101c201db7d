//! The counter rows of lists (`post_totals`).

use super::MySqlStore;
use crate::board::PostId;
use crate::store::{
    StoreError,
    posts::Guarded,
    totals::{LEVEL_1, LEVEL_2, WHOLE_BOARD},
};
use sqlx::MySqlConnection;
use std::{collections::HashSet, sync::Mutex};

/// Buckets whose rows are known to exist; rows are never deleted.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashSet<(String, i64)>>);

impl Known {
    const LIMIT: usize = 100_000;

    fn contains(&self, scope: &str, number: i64) -> bool {
        let known = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        known.contains(&(scope.to_owned(), number / LEVEL_2))
    }

    fn forget(&self) {
        let mut known = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        known.clear();
    }

    fn insert(&self, scope: &str, number: i64) {
        let mut known = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if known.len() >= Self::LIMIT {
            known.clear();
        }
        known.insert((scope.to_owned(), number / LEVEL_2));
    }
}

impl MySqlStore {
    /// Makes the rows that count posts of this number in this scope, outside any transaction: an
    /// insert inside one would lock gaps that others want to insert into.
    pub(super) async fn ensure_totals(&self, scope: &str, number: i64) -> Result<(), StoreError> {
        if self.known_totals.contains(scope, number) {
            return Ok(());
        }
        attempt!(self.writing(), |connection| {
            sqlx::query(
                "INSERT IGNORE INTO post_totals (scope, level, bucket, visible) \
                 VALUES (?, 0, 0, 0), (?, 1, ?, 0), (?, 2, ?, 0)",
            )
            .bind(scope)
            .bind(scope)
            .bind(number / LEVEL_1)
            .bind(scope)
            .bind(number / LEVEL_2)
            .execute(connection)
        })?;
        self.known_totals.insert(scope, number);
        Ok(())
    }

    /// A transaction that found fewer counter rows than it had made: the database went back in time
    /// (restored, failed over with a loss). What is known of it is forgotten; the next try succeeds.
    pub(super) fn heal<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        match result {
            Err(StoreError::Failed(error)) if matches!(*error, sqlx::Error::RowNotFound) => {
                self.known_totals.forget();
                Err(StoreError::Unavailable(error))
            }
            result => result,
        }
    }

    /// Makes the rows that count this post where it is.
    pub(super) async fn ensure_own_totals(&self, id: &PostId) -> Result<(), StoreError> {
        let Some(post) = self.unlocked(id).await? else {
            return Ok(());
        };
        for scope in post
            .category_id
            .iter()
            .map(String::as_str)
            .chain([WHOLE_BOARD])
        {
            self.ensure_totals(scope, post.number).await?;
        }
        Ok(())
    }

    /// Makes the rows that count this post, also in the category it is about to move to.
    pub(super) async fn ensure_totals_of(
        &self,
        id: &PostId,
        scope: &str,
    ) -> Result<(), StoreError> {
        let Some(post) = self.unlocked(id).await? else {
            return Ok(());
        };
        for scope in post.category_id.iter().map(String::as_str).chain([scope]) {
            self.ensure_totals(scope, post.number).await?;
        }
        Ok(())
    }

    async fn unlocked(&self, id: &PostId) -> Result<Option<Guarded>, StoreError> {
        attempt!(self.reading(), |connection| {
            sqlx::query_as(select_guarded!("0", "WHERE id = ?"))
                .bind(id.as_str())
                .fetch_optional(connection)
        })
    }
}

/// A post went out of sight.
pub(super) async fn gone(
    transaction: &mut MySqlConnection,
    post: &Guarded,
) -> Result<(), sqlx::Error> {
    for scope in post
        .category_id
        .iter()
        .map(String::as_str)
        .chain([WHOLE_BOARD])
    {
        shift(transaction, scope, post.number, -1).await?;
    }
    Ok(())
}

/// A post moved to another category; in the order of ids, like everybody.
pub(super) async fn moved(
    transaction: &mut MySqlConnection,
    post: &Guarded,
    to: &str,
) -> Result<(), sqlx::Error> {
    let from = post.category_id.as_deref();
    if from == Some(to) {
        return Ok(());
    }
    let mut shifts: Vec<(&str, i64)> = from.map(|scope| (scope, -1)).into_iter().collect();
    shifts.push((to, 1));
    shifts.sort_unstable();
    for (scope, by) in shifts {
        shift(transaction, scope, post.number, by).await?;
    }
    Ok(())
}

/// Counts `by` more visible posts of this number in this scope, on all three levels. The rows must
/// have been made by [`MySqlStore::ensure_totals`].
pub(super) async fn shift(
    transaction: &mut MySqlConnection,
    scope: &str,
    number: i64,
    by: i64,
) -> Result<(), sqlx::Error> {
    let result = sqlx::query(
        "UPDATE post_totals SET visible = visible + ? WHERE scope = ? \
         AND ((level = 0 AND bucket = 0) OR (level = 1 AND bucket = ?) OR (level = 2 AND bucket = ?))",
    )
    .bind(by)
    .bind(scope)
    .bind(number / LEVEL_1)
    .bind(number / LEVEL_2)
    .execute(transaction)
    .await?;
    if result.rows_affected() == 3 {
        Ok(())
    } else {
        // Committing would lose the count.
        Err(sqlx::Error::RowNotFound)
    }
}
