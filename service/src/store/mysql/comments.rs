//! Comment counts in MySQL.

use super::MySqlStore;
use crate::{
    board::PostId,
    store::{CommentStore, CommentSweep, CommentSweepBatch, StoreError},
};
use async_trait::async_trait;
use sqlx::MySqlConnection;

#[async_trait]
impl CommentStore for MySqlStore {
    async fn comment_count(&self, id: &PostId) -> Result<Option<i64>, StoreError> {
        let stored = attempt!(self.reading(), |connection| stored(connection, id))?;
        Ok(stored.map(Option::unwrap_or_default))
    }

    async fn set_comment_count(&self, id: &PostId, count: u32) -> Result<bool, StoreError> {
        attempt!(self.writing(), |connection| set(connection, id, count))
    }

    async fn comment_sweep(&self) -> Result<CommentSweep, StoreError> {
        const STATE: &str = "SELECT a.finished_at IS NOT NULL, s.before_no \
             FROM adoption a JOIN comment_sweep s ON s.id = a.id WHERE a.id = 1";
        let state: Option<(i64, Option<i64>)> = attempt!(self.reading(), |connection| {
            sqlx::query_as(STATE).fetch_optional(connection)
        })?;
        Ok(match state {
            Some((1, before)) => CommentSweep::of(before),
            _ => CommentSweep::Waiting,
        })
    }

    async fn comment_sweep_batch(
        &self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<CommentSweepBatch, StoreError> {
        const BATCH: &str = "SELECT CAST(No AS SIGNED), id FROM posts \
             WHERE status = 'visible' AND No < ? AND No > 0 ORDER BY No DESC LIMIT ?";
        let rows: Vec<(i64, String)> = attempt!(self.reading(), |connection| {
            sqlx::query_as(BATCH)
                .bind(before.unwrap_or(i64::MAX))
                .bind(limit)
                .fetch_all(connection)
        })?;
        Ok(CommentSweepBatch::of(rows))
    }

    async fn advance_comment_sweep(&self, before: i64) -> Result<(), StoreError> {
        const ADVANCE: &str = "UPDATE comment_sweep SET before_no = ? \
             WHERE id = 1 AND (before_no IS NULL OR before_no > ?)";
        attempt!(self.writing(), |connection| {
            sqlx::query(ADVANCE)
                .bind(before)
                .bind(before)
                .execute(connection)
        })?;
        Ok(())
    }
}

/// The count of a visible post; an adopted one's may be NULL.
async fn stored(
    connection: &mut MySqlConnection,
    id: &PostId,
) -> Result<Option<Option<i64>>, sqlx::Error> {
    sqlx::query_scalar("SELECT comment_count FROM posts WHERE id = ? AND status = 'visible'")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await
}

/// Looks first: most counts have not changed, and a row that many like is better not locked.
async fn set(
    connection: &mut MySqlConnection,
    id: &PostId,
    count: u32,
) -> Result<bool, sqlx::Error> {
    let Some(before) = stored(connection, id).await? else {
        return Ok(false);
    };
    if before == Some(i64::from(count)) {
        return Ok(true);
    }
    // An adopted table's `updated_at` may have ON UPDATE, which naming the column prevents.
    let updated = sqlx::query(
        "UPDATE posts SET comment_count = ?, updated_at = updated_at \
         WHERE id = ? AND status = 'visible'",
    )
    .bind(count)
    .bind(id.as_str())
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() > 0)
}
