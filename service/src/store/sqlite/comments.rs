//! Comment counts in SQLite.

use super::SqliteStore;
use crate::{
    board::PostId,
    store::{CommentStore, CommentSweep, CommentSweepBatch, StoreError},
};
use async_trait::async_trait;

#[async_trait]
impl CommentStore for SqliteStore {
    async fn comment_count(&self, id: &PostId) -> Result<Option<i64>, StoreError> {
        const COUNT: &str = "SELECT comment_count FROM posts WHERE id = ? AND status = 'visible'";
        let count = sqlx::query_scalar(COUNT).bind(id.as_str());
        Ok(count.fetch_optional(&self.readers).await?)
    }

    async fn set_comment_count(&self, id: &PostId, count: u32) -> Result<bool, StoreError> {
        match self.comment_count(id).await? {
            None => return Ok(false),
            Some(before) if before == i64::from(count) => return Ok(true),
            Some(_) => {}
        }
        let updated =
            sqlx::query("UPDATE posts SET comment_count = ? WHERE id = ? AND status = 'visible'")
                .bind(count)
                .bind(id.as_str())
                .execute(&self.writer)
                .await?;
        Ok(updated.rows_affected() > 0)
    }

    async fn comment_sweep(&self) -> Result<CommentSweep, StoreError> {
        let before: Option<Option<i64>> =
            sqlx::query_scalar("SELECT before_no FROM comment_sweep WHERE id = 1")
                .fetch_optional(&self.readers)
                .await?;
        Ok(before.map_or(CommentSweep::Waiting, CommentSweep::of))
    }

    async fn comment_sweep_batch(
        &self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<CommentSweepBatch, StoreError> {
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "SELECT No, id FROM posts WHERE status = 'visible' AND No < ? AND No > 0 \
             ORDER BY No DESC LIMIT ?",
        )
        .bind(before.unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        Ok(CommentSweepBatch::of(rows))
    }

    async fn advance_comment_sweep(&self, before: i64) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE comment_sweep SET before_no = ?1 \
             WHERE id = 1 AND (before_no IS NULL OR before_no > ?1)",
        )
        .bind(before)
        .execute(&self.writer)
        .await?;
        Ok(())
    }
}
