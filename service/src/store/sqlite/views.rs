//! Views in SQLite.

use super::SqliteStore;
use crate::{
    board::View,
    store::{StoreError, ViewStore},
};
use async_trait::async_trait;
use jiff::civil::Date;

#[async_trait]
impl ViewStore for SqliteStore {
    async fn record_views(&self, views: &[View]) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        for view in views {
            let inserted = sqlx::query(
                "INSERT OR IGNORE INTO post_views (day, post_id, viewer) VALUES (?, ?, ?)",
            )
            .bind(view.day.to_string())
            .bind(view.post.as_str())
            .bind(&view.viewer[..])
            .execute(&mut *transaction)
            .await?;
            if inserted.rows_affected() > 0 {
                sqlx::query("UPDATE posts SET view_count = view_count + 1 WHERE id = ?")
                    .bind(view.post.as_str())
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        Ok(transaction.commit().await?)
    }

    async fn purge_views(&self, before: Date) -> Result<u64, StoreError> {
        let result = sqlx::query("DELETE FROM post_views WHERE day < ?")
            .bind(before.to_string())
            .execute(&self.writer)
            .await?;
        Ok(result.rows_affected())
    }
}
