//! Deactivated users in SQLite.

use super::SqliteStore;
use crate::store::{
    DeactivationStore, DueDeactivation, NewDeactivation, Requested, StoreError,
    deactivations::{due, utc},
};
use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::QueryBuilder;
use std::collections::HashSet;

#[async_trait]
impl DeactivationStore for SqliteStore {
    async fn deactivated(&self, user_ids: &[String]) -> Result<HashSet<String>, StoreError> {
        let mut query = QueryBuilder::new("SELECT user_id FROM deactivations WHERE user_id IN (");
        let mut ids = query.separated(", ");
        for user_id in user_ids {
            ids.push_bind(user_id);
        }
        query.push(")");
        let found: Vec<String> = query.build_query_scalar().fetch_all(&self.readers).await?;
        Ok(found.into_iter().collect())
    }

    async fn request_deactivation(
        &self,
        deactivation: &NewDeactivation,
    ) -> Result<Requested, StoreError> {
        let requested_at = utc(deactivation.requested_at);
        let inserted = sqlx::query(
            "INSERT INTO deactivations \
             (user_id, username, requested_at, finished_at, attempts, due_at) \
             VALUES (?, ?, ?, ?, 1, ?) ON CONFLICT DO NOTHING",
        )
        .bind(&deactivation.user_id)
        .bind(&deactivation.username)
        .bind(&requested_at)
        .bind(deactivation.due_at.is_none().then_some(&requested_at))
        .bind(
            deactivation
                .due_at
                .map_or_else(|| requested_at.clone(), utc),
        )
        .execute(&self.writer)
        .await?;
        if inserted.rows_affected() > 0 {
            return Ok(Requested::Stored);
        }
        let finished = sqlx::query_scalar(
            "SELECT finished_at IS NOT NULL FROM deactivations WHERE user_id = ?",
        )
        .bind(&deactivation.user_id)
        .fetch_one(&self.readers)
        .await?;
        Ok(Requested::Before { finished })
    }

    async fn due_deactivations(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueDeactivation>, StoreError> {
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT user_id, username, attempts FROM deactivations \
             WHERE finished_at IS NULL AND due_at <= ? ORDER BY due_at LIMIT ?",
        )
        .bind(utc(now))
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        Ok(due(rows))
    }

    async fn claim_deactivation(
        &self,
        due: &DueDeactivation,
        due_again: Timestamp,
    ) -> Result<bool, StoreError> {
        let claimed = sqlx::query(
            "UPDATE deactivations SET attempts = attempts + 1, due_at = ? \
             WHERE user_id = ? AND finished_at IS NULL AND attempts = ?",
        )
        .bind(utc(due_again))
        .bind(&due.user_id)
        .bind(due.attempts)
        .execute(&self.writer)
        .await?;
        Ok(claimed.rows_affected() > 0)
    }

    async fn finish_deactivation(&self, user_id: &str, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE deactivations SET finished_at = ? WHERE user_id = ? AND finished_at IS NULL",
        )
        .bind(utc(now))
        .bind(user_id)
        .execute(&self.writer)
        .await?;
        Ok(())
    }
}
