//! Deactivated users in MySQL.

use super::{MySqlStore, is_duplicate, views::list};
use crate::store::{
    DeactivationStore, DueDeactivation, NewDeactivation, Requested, StoreError,
    deactivations::{due, utc},
    views::padded,
};
use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::MySqlConnection;
use std::collections::HashSet;

#[async_trait]
impl DeactivationStore for MySqlStore {
    async fn deactivated(&self, user_ids: &[String]) -> Result<HashSet<String>, StoreError> {
        let padded = padded(user_ids);
        let text = format!(
            "SELECT CAST(user_id AS CHAR) FROM deactivations WHERE user_id IN ({})",
            list(padded.len(), "?", ", ")
        );
        let found: Vec<String> = attempt!(self.reading(), |connection| {
            let query = sqlx::query_scalar(&text);
            padded
                .iter()
                .fold(query, |query, user_id| query.bind(user_id.as_str()))
                .fetch_all(connection)
        })?;
        Ok(found.into_iter().collect())
    }

    async fn request_deactivation(
        &self,
        deactivation: &NewDeactivation,
    ) -> Result<Requested, StoreError> {
        attempt!(self.writing(), |connection, repeated| {
            insert(connection, deactivation, repeated)
        })
    }

    async fn due_deactivations(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueDeactivation>, StoreError> {
        // sqlx takes columns of a binary collation for bytes: the casts make them text again.
        const DUE: &str = "SELECT CAST(user_id AS CHAR), CAST(username AS CHAR), \
             CAST(attempts AS SIGNED) FROM deactivations \
             WHERE finished_at IS NULL AND due_at <= ? ORDER BY due_at LIMIT ?";
        let rows: Vec<(String, String, i64)> = attempt!(self.reading(), |connection| {
            sqlx::query_as(DUE)
                .bind(utc(now))
                .bind(limit)
                .fetch_all(connection)
        })?;
        Ok(due(rows))
    }

    async fn claim_deactivation(
        &self,
        due: &DueDeactivation,
        due_again: Timestamp,
    ) -> Result<bool, StoreError> {
        // A claim whose acknowledgement was lost looks like another's: it is due again later.
        const CLAIM: &str = "UPDATE deactivations SET attempts = attempts + 1, due_at = ? \
             WHERE user_id = ? AND finished_at IS NULL AND attempts = ?";
        let claimed = attempt!(self.writing(), |connection| {
            sqlx::query(CLAIM)
                .bind(utc(due_again))
                .bind(&due.user_id)
                .bind(due.attempts)
                .execute(connection)
        })?;
        Ok(claimed.rows_affected() > 0)
    }

    async fn finish_deactivation(&self, user_id: &str, now: Timestamp) -> Result<(), StoreError> {
        const FINISH: &str =
            "UPDATE deactivations SET finished_at = ? WHERE user_id = ? AND finished_at IS NULL";
        attempt!(self.writing(), |connection| {
            sqlx::query(FINISH)
                .bind(utc(now))
                .bind(user_id)
                .execute(connection)
        })?;
        Ok(())
    }
}

async fn insert(
    connection: &mut MySqlConnection,
    deactivation: &NewDeactivation,
    repeated: bool,
) -> Result<Requested, sqlx::Error> {
    let requested_at = utc(deactivation.requested_at);
    let inserted = sqlx::query(
        "INSERT INTO deactivations \
         (user_id, username, requested_at, finished_at, attempts, due_at) \
         VALUES (?, ?, ?, ?, 1, ?)",
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
    .execute(&mut *connection)
    .await;
    match inserted {
        Ok(_) => return Ok(Requested::Stored),
        // The row of an attempt whose commit was not acknowledged; should it be another request's,
        // Cognito is merely told twice.
        Err(error) if is_duplicate(&error) && repeated => return Ok(Requested::Stored),
        Err(error) if is_duplicate(&error) => {}
        Err(error) => return Err(error),
    }
    let finished: i64 =
        sqlx::query_scalar("SELECT finished_at IS NOT NULL FROM deactivations WHERE user_id = ?")
            .bind(&deactivation.user_id)
            .fetch_one(connection)
            .await?;
    let finished = finished != 0;
    Ok(Requested::Before { finished })
}
