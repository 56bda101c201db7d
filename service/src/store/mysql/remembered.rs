//! Idempotency keys in MySQL.

use super::{MySqlStore, is_duplicate};
use crate::{
    board::{Created, IdempotencyKey, NewPost, REMEMBERED_HOURS},
    store::{
        StoreError, errors,
        posts::{CreatedRow, Remembered, judge},
    },
};
use sqlx::MySqlConnection;

/// What became of the attempt to take a key.
pub(super) enum Claim {
    Ours,
    Taken,
    /// By a transaction that is not committed yet.
    Locked,
}

/// Takes a key for a post of its author.
pub(super) async fn claim(
    transaction: &mut MySqlConnection,
    post: &NewPost,
    key: &IdempotencyKey,
) -> Result<Claim, sqlx::Error> {
    let locked = sqlx::query(
        "SELECT 1 FROM idempotency_keys WHERE user_id = ? AND key_hash = ? FOR UPDATE NOWAIT",
    )
    .bind(post.author.id())
    .bind(&key.key[..])
    .fetch_optional(&mut *transaction)
    .await;
    match locked {
        Err(error) if errors::is_locked_by_another(&error) => return Ok(Claim::Locked),
        result => result?,
    };
    let oldest = post.created_at.hours_before(REMEMBERED_HOURS);
    sqlx::query(
        "DELETE FROM idempotency_keys WHERE user_id = ? AND key_hash = ? AND created_at < ?",
    )
    .bind(post.author.id())
    .bind(&key.key[..])
    .bind(oldest.to_string())
    .execute(&mut *transaction)
    .await?;
    let inserted = sqlx::query(
        "INSERT INTO idempotency_keys (user_id, key_hash, request_hash, post_id, created_at) \
         VALUES (?, ?, ?, ?, ?)",
    )
    .bind(post.author.id())
    .bind(&key.key[..])
    .bind(&key.request[..])
    .bind(post.id.as_str())
    .bind(post.created_at.to_string())
    .execute(transaction)
    .await;
    match inserted {
        Ok(_) => Ok(Claim::Ours),
        Err(error) if is_duplicate(&error) => Ok(Claim::Taken),
        Err(error) => Err(error),
    }
}

impl MySqlStore {
    /// What this user's key was used for, if it was.
    pub(super) async fn remembered(
        &self,
        post: &NewPost,
        key: &IdempotencyKey,
    ) -> Result<Option<Created>, StoreError> {
        attempt!(self.reading(), |connection| find(connection, post, key))
    }
}

async fn find(
    connection: &mut MySqlConnection,
    post: &NewPost,
    key: &IdempotencyKey,
) -> Result<Option<Created>, sqlx::Error> {
    let remembered: Option<Remembered> = sqlx::query_as(
        "SELECT request_hash, CAST(post_id AS CHAR) AS post_id, \
         CAST(created_at < ? AS SIGNED) AS is_stale \
         FROM idempotency_keys WHERE user_id = ? AND key_hash = ?",
    )
    .bind(post.created_at.hours_before(REMEMBERED_HOURS).to_string())
    .bind(post.author.id())
    .bind(&key.key[..])
    .fetch_optional(&mut *connection)
    .await?;
    let Some(remembered) = remembered.filter(|row| row.is_stale == 0) else {
        return Ok(None);
    };
    let stored: CreatedRow = sqlx::query_as(
        "SELECT id, title, content, category, username, user_id, \
         DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s') AS created_at FROM posts WHERE id = ?",
    )
    .bind(&remembered.post_id)
    .fetch_one(connection)
    .await?;
    Ok(Some(judge(&remembered, key, stored.try_into()?)))
}
