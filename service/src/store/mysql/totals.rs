//! The counter rows of lists (`post_totals`).

use super::MySqlStore;
use crate::board::PostId;
use crate::store::{
    StoreError,
    posts::Guarded,
    totals::{LEVEL_1, LEVEL_2, WHOLE_BOARD},
};
use sqlx::MySqlConnection;
use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Rows that are known to exist; none is ever deleted.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashSet<Row>>);

/// A row, or the rows of all levels, that count a post.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Row {
    Bucket { scope: String, bucket: i64 },
    Author(String),
}

impl Known {
    const LIMIT: usize = 100_000;

    fn contains(&self, row: &Row) -> bool {
        self.lock().contains(row)
    }

    fn forget(&self) {
        self.lock().clear();
    }

    fn insert(&self, row: Row) {
        let mut known = self.lock();
        if known.len() >= Self::LIMIT {
            known.clear();
        }
        known.insert(row);
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Row>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MySqlStore {
    /// Makes the rows that count posts of this number in this scope, outside any transaction: an
    /// insert inside one would lock gaps that others want to insert into.
    pub(super) async fn ensure_totals(&self, scope: &str, number: i64) -> Result<(), StoreError> {
        let bucket = number / LEVEL_2;
        let row = Row::Bucket {
            scope: scope.to_owned(),
            bucket,
        };
        if self.known_totals.contains(&row) {
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
            .bind(bucket)
            .execute(connection)
        })?;
        self.known_totals.insert(row);
        Ok(())
    }

    /// Makes the row that counts this author's posts, outside any transaction too.
    pub(super) async fn ensure_author_total(&self, user: &str) -> Result<(), StoreError> {
        let row = Row::Author(user.to_owned());
        if self.known_totals.contains(&row) {
            return Ok(());
        }
        attempt!(self.writing(), |connection| {
            sqlx::query("INSERT IGNORE INTO author_totals (user_id, visible) VALUES (?, 0)")
                .bind(user)
                .execute(connection)
        })?;
        self.known_totals.insert(row);
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
        match &post.user_id {
            Some(author) => self.ensure_author_total(author).await,
            None => Ok(()),
        }
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

/// A post came into sight (`by` is 1) or went out of it (-1): counted under its author, in its category
/// and on the whole board, which everybody waits for, last.
pub(super) async fn count(
    transaction: &mut MySqlConnection,
    (author, category, number): (Option<&str>, Option<&str>, i64),
    by: i64,
) -> Result<(), sqlx::Error> {
    if let Some(author) = author {
        shift_author(transaction, author, by).await?;
    }
    for scope in category.into_iter().chain([WHOLE_BOARD]) {
        shift(transaction, scope, number, by).await?;
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
async fn shift(
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
    all_counted(result.rows_affected(), 3)
}

/// Counts `by` more visible posts of this author, whose row must have been made by
/// [`MySqlStore::ensure_author_total`].
async fn shift_author(
    transaction: &mut MySqlConnection,
    author: &str,
    by: i64,
) -> Result<(), sqlx::Error> {
    let result = sqlx::query("UPDATE author_totals SET visible = visible + ? WHERE user_id = ?")
        .bind(by)
        .bind(author)
        .execute(transaction)
        .await?;
    all_counted(result.rows_affected(), 1)
}

/// With fewer rows than there must be, committing would lose the count.
fn all_counted(rows: u64, expected: u64) -> Result<(), sqlx::Error> {
    if rows == expected {
        Ok(())
    } else {
        Err(sqlx::Error::RowNotFound)
    }
}
