//! Images of posts and objects to be deleted, in MySQL.

use super::{MySqlStore, adoption::Stage, posts::raise_version};
use crate::{
    board::{KstTime, MediaEntry, MediaList, PostId},
    store::{
        Deletion, MediaChange, MediaStore, StoreError,
        media::{self, LockedPost, Step},
    },
};
use async_trait::async_trait;
use sqlx::{Connection, MySqlConnection};

#[async_trait]
impl MediaStore for MySqlStore {
    async fn author_of(&self, post: &PostId) -> Result<Option<Option<String>>, StoreError> {
        attempt!(self.reading(), |connection| {
            sqlx::query_scalar("SELECT user_id FROM posts WHERE id = ? AND status = 'visible'")
                .bind(post.as_str())
                .fetch_optional(connection)
        })
    }

    async fn announce_object(&self, key: &str, due_at: KstTime) -> Result<i64, StoreError> {
        // Written twice if the first success was not acknowledged: harmless, since no object is
        // deleted that a post shows.
        attempt!(self.writing(), |connection| announce(
            connection, key, due_at
        ))
    }

    async fn add_media(
        &self,
        post: &PostId,
        author: &str,
        entry: &MediaEntry,
        announced: i64,
    ) -> Result<MediaChange, StoreError> {
        let stage = self.stage().await?;
        attempt!(self.writing(), |connection| {
            add(connection, post, author, entry, announced, stage)
        })
    }

    async fn remove_media(
        &self,
        post: &PostId,
        author: &str,
        id: &str,
        now: KstTime,
    ) -> Result<MediaChange, StoreError> {
        let stage = self.stage().await?;
        attempt!(self.writing(), |connection, repeated| {
            remove(connection, post, author, (id, now), repeated, stage)
        })
    }

    async fn due_deletions(&self, now: KstTime, limit: u32) -> Result<Vec<Deletion>, StoreError> {
        // sqlx takes a column of a binary collation for bytes: the cast makes it text again.
        const DUE: &str = "SELECT id, CAST(object_key AS CHAR) AS object_key, \
             CAST(attempts AS UNSIGNED) AS attempts FROM object_deletions \
             WHERE due_at <= ? ORDER BY due_at LIMIT ?";
        let now = now.to_string();
        attempt!(self.reading(), |connection| {
            sqlx::query_as(DUE)
                .bind(&now)
                .bind(limit)
                .fetch_all(connection)
        })
    }

    async fn claim_deletion(
        &self,
        deletion: &Deletion,
        retry_at: KstTime,
    ) -> Result<bool, StoreError> {
        let claimed = attempt!(self.writing(), |connection| {
            sqlx::query(
                "UPDATE object_deletions SET attempts = attempts + 1, due_at = ? \
                 WHERE id = ? AND attempts = ?",
            )
            .bind(retry_at.to_string())
            .bind(deletion.id)
            .bind(deletion.attempts)
            .execute(connection)
        })?;
        Ok(claimed.rows_affected() == 1)
    }

    async fn finish_deletion(&self, id: i64) -> Result<(), StoreError> {
        attempt!(self.writing(), |connection| {
            sqlx::query("DELETE FROM object_deletions WHERE id = ?")
                .bind(id)
                .execute(connection)
        })?;
        Ok(())
    }

    async fn shows_object(&self, post: &PostId, key: &str) -> Result<bool, StoreError> {
        let column: Option<Option<String>> = attempt!(self.reading(), |connection| {
            sqlx::query_scalar(
                "SELECT CAST(media_files AS CHAR) FROM posts \
                 WHERE id = ? AND COALESCE(status, 'visible') <> 'deleted'",
            )
            .bind(post.as_str())
            .fetch_optional(connection)
        })?;
        Ok(MediaList::read(column.flatten().as_deref()).needs(key))
    }
}

async fn announce(
    connection: &mut MySqlConnection,
    key: &str,
    due_at: KstTime,
) -> Result<i64, sqlx::Error> {
    let inserted = sqlx::query("INSERT INTO object_deletions (object_key, due_at) VALUES (?, ?)")
        .bind(key)
        .bind(due_at.to_string())
        .execute(connection)
        .await?;
    i64::try_from(inserted.last_insert_id()).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

async fn add(
    connection: &mut MySqlConnection,
    post: &PostId,
    author: &str,
    entry: &MediaEntry,
    announced: i64,
    stage: Stage,
) -> Result<MediaChange, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let locked = lock(&mut transaction, post).await?;
    let list = match media::add(locked, author, entry) {
        Step::End(change) => {
            transaction.rollback().await?;
            return Ok(change);
        }
        Step::Write { list, .. } => list,
    };
    write(&mut transaction, post, &list, stage).await?;
    let taken_back = sqlx::query("DELETE FROM object_deletions WHERE id = ?")
        .bind(announced)
        .execute(&mut *transaction)
        .await?;
    if taken_back.rows_affected() == 0 {
        transaction.rollback().await?;
        return Ok(MediaChange::TooLate);
    }
    transaction.commit().await?;
    Ok(MediaChange::Done)
}

async fn remove(
    connection: &mut MySqlConnection,
    post: &PostId,
    author: &str,
    (id, now): (&str, KstTime),
    repeated: bool,
    stage: Stage,
) -> Result<MediaChange, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let locked = lock(&mut transaction, post).await?;
    match media::remove(locked, author, id, repeated) {
        Step::End(change) => {
            transaction.rollback().await?;
            return Ok(change);
        }
        Step::Write { list, taken } => {
            write(&mut transaction, post, &list, stage).await?;
            schedule(&mut transaction, &taken, now).await?;
        }
    }
    transaction.commit().await?;
    Ok(MediaChange::Done)
}

/// The visible post, which nobody else changes until the transaction ends.
async fn lock(
    transaction: &mut MySqlConnection,
    post: &PostId,
) -> Result<Option<LockedPost>, sqlx::Error> {
    sqlx::query_as(
        "SELECT user_id, CAST(media_files AS CHAR) AS media_files FROM posts \
         WHERE id = ? AND status = 'visible' FOR UPDATE",
    )
    .bind(post.as_str())
    .fetch_optional(transaction)
    .await
}

/// `updated_at` is not touched: the text was not edited.
async fn write(
    transaction: &mut MySqlConnection,
    post: &PostId,
    list: &MediaList,
    stage: Stage,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE posts SET media_files = ?, media_count = ?, updated_at = updated_at \
         WHERE id = ?",
    )
    .bind(list.to_json())
    .bind(media::count(list))
    .bind(post.as_str())
    .execute(&mut *transaction)
    .await?;
    raise_version(transaction, post, stage).await
}

/// Lists all objects of a post for deletion, within the transaction that deletes the post.
/// `media_files` is the column of its locked row.
pub(in crate::store) async fn schedule_deletions(
    transaction: &mut MySqlConnection,
    media_files: Option<&str>,
    due_at: KstTime,
) -> Result<(), sqlx::Error> {
    schedule(transaction, &MediaList::read(media_files), due_at).await
}

async fn schedule(
    transaction: &mut MySqlConnection,
    list: &MediaList,
    due_at: KstTime,
) -> Result<(), sqlx::Error> {
    for key in list.keys() {
        announce(transaction, key, due_at).await?;
    }
    Ok(())
}
