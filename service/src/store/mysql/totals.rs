//! The counter rows of lists (`post_totals`).

use super::MySqlStore;
use crate::store::{
    StoreError,
    sql::{LEVEL_1, LEVEL_2},
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
}

/// Counts `by` more visible posts of this number in this scope, on all three levels. The rows must
/// have been made by [`ensure`].
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
