//! Idempotency keys in SQLite.

use super::SqliteStore;
use crate::{
    board::{Created, IdempotencyKey, KstTime, NewPost, REMEMBERED_HOURS},
    store::{
        StoreError, UpkeepStore,
        posts::{CreatedRow, Remembered, judge},
    },
};
use async_trait::async_trait;
use sqlx::SqliteConnection;

/// Takes a key for a post of its author, or tells what it was used for.
pub(super) async fn claim(
    transaction: &mut SqliteConnection,
    post: &NewPost,
    key: &IdempotencyKey,
) -> Result<Option<Created>, sqlx::Error> {
    let oldest = post.created_at.hours_before(REMEMBERED_HOURS).to_string();
    let remembered: Option<Remembered> = sqlx::query_as(
        "SELECT request_hash, post_id, created_at < ? AS is_stale \
         FROM idempotency_keys WHERE user_id = ? AND key_hash = ?",
    )
    .bind(&oldest)
    .bind(post.author.id())
    .bind(&key.key[..])
    .fetch_optional(&mut *transaction)
    .await?;
    if let Some(remembered) = remembered.filter(|row| row.is_stale == 0) {
        let stored: CreatedRow = sqlx::query_as(
            "SELECT id, title, content, category, username, user_id, created_at \
             FROM posts WHERE id = ?",
        )
        .bind(&remembered.post_id)
        .fetch_one(transaction)
        .await?;
        return Ok(Some(judge(&remembered, key, stored.try_into()?)));
    }
    sqlx::query(
        "INSERT OR REPLACE INTO idempotency_keys \
         (user_id, key_hash, request_hash, post_id, created_at) VALUES (?, ?, ?, ?, ?)",
    )
    .bind(post.author.id())
    .bind(&key.key[..])
    .bind(&key.request[..])
    .bind(post.id.as_str())
    .bind(post.created_at.to_string())
    .execute(transaction)
    .await?;
    Ok(None)
}

#[async_trait]
impl UpkeepStore for SqliteStore {
    async fn purge_idempotency_keys(&self, before: KstTime) -> Result<u64, StoreError> {
        let result = sqlx::query("DELETE FROM idempotency_keys WHERE created_at < ?")
            .bind(before.to_string())
            .execute(&self.writer)
            .await?;
        Ok(result.rows_affected())
    }
}
