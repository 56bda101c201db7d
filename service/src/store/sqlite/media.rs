//! Images of posts and objects to be deleted, in SQLite.

use super::SqliteStore;
use crate::{
    board::{KstTime, MediaEntry, MediaList, PostId},
    store::{
        Deletion, MediaChange, MediaStore, StoreError,
        media::{self, LockedPost, Step},
    },
};
use async_trait::async_trait;
use sqlx::SqliteConnection;

#[async_trait]
impl MediaStore for SqliteStore {
    async fn author_of(&self, post: &PostId) -> Result<Option<Option<String>>, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT user_id FROM posts WHERE id = ? AND status = 'visible'")
                .bind(post.as_str())
                .fetch_optional(&self.readers)
                .await?,
        )
    }

    async fn announce_object(&self, key: &str, due_at: KstTime) -> Result<i64, StoreError> {
        let mut connection = self.writer.acquire().await?;
        Ok(announce(&mut connection, key, due_at).await?)
    }

    async fn add_media(
        &self,
        post: &PostId,
        author: &str,
        entry: &MediaEntry,
        announced: i64,
    ) -> Result<MediaChange, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let found = find(&mut transaction, post).await?;
        let list = match media::add(found, author, entry) {
            Step::End(change) => return Ok(change),
            Step::Write { list, .. } => list,
        };
        write(&mut transaction, post, &list).await?;
        let taken_back = sqlx::query("DELETE FROM object_deletions WHERE id = ?")
            .bind(announced)
            .execute(&mut *transaction)
            .await?;
        if taken_back.rows_affected() == 0 {
            return Ok(MediaChange::TooLate);
        }
        transaction.commit().await?;
        Ok(MediaChange::Done)
    }

    async fn remove_media(
        &self,
        post: &PostId,
        author: &str,
        id: &str,
        now: KstTime,
    ) -> Result<MediaChange, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let found = find(&mut transaction, post).await?;
        match media::remove(found, author, id, false) {
            Step::End(change) => return Ok(change),
            Step::Write { list, taken } => {
                write(&mut transaction, post, &list).await?;
                schedule(&mut transaction, &taken, now).await?;
            }
        }
        transaction.commit().await?;
        Ok(MediaChange::Done)
    }

    async fn due_deletions(&self, now: KstTime, limit: u32) -> Result<Vec<Deletion>, StoreError> {
        const DUE: &str = "SELECT id, object_key, attempts FROM object_deletions \
             WHERE due_at <= ? ORDER BY due_at LIMIT ?";
        Ok(sqlx::query_as(DUE)
            .bind(now.to_string())
            .bind(limit)
            .fetch_all(&self.readers)
            .await?)
    }

    async fn claim_deletion(
        &self,
        deletion: &Deletion,
        retry_at: KstTime,
    ) -> Result<bool, StoreError> {
        let claimed = sqlx::query(
            "UPDATE object_deletions SET attempts = attempts + 1, due_at = ? \
             WHERE id = ? AND attempts = ?",
        )
        .bind(retry_at.to_string())
        .bind(deletion.id)
        .bind(deletion.attempts)
        .execute(&self.writer)
        .await?;
        Ok(claimed.rows_affected() == 1)
    }

    async fn finish_deletion(&self, id: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM object_deletions WHERE id = ?")
            .bind(id)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    async fn shows_object(&self, post: &PostId, key: &str) -> Result<bool, StoreError> {
        let column: Option<Option<String>> = sqlx::query_scalar(
            "SELECT media_files FROM posts \
             WHERE id = ? AND COALESCE(status, 'visible') <> 'deleted'",
        )
        .bind(post.as_str())
        .fetch_optional(&self.readers)
        .await?;
        Ok(MediaList::read(column.flatten().as_deref()).needs(key))
    }
}

async fn announce(
    connection: &mut SqliteConnection,
    key: &str,
    due_at: KstTime,
) -> Result<i64, sqlx::Error> {
    let inserted = sqlx::query("INSERT INTO object_deletions (object_key, due_at) VALUES (?, ?)")
        .bind(key)
        .bind(due_at.to_string())
        .execute(connection)
        .await?;
    Ok(inserted.last_insert_rowid())
}

async fn find(
    transaction: &mut SqliteConnection,
    post: &PostId,
) -> Result<Option<LockedPost>, sqlx::Error> {
    sqlx::query_as("SELECT user_id, media_files FROM posts WHERE id = ? AND status = 'visible'")
        .bind(post.as_str())
        .fetch_optional(transaction)
        .await
}

/// `updated_at` is not touched: the text was not edited.
async fn write(
    transaction: &mut SqliteConnection,
    post: &PostId,
    list: &MediaList,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE posts SET media_files = ?, media_count = ?, version = version + 1 WHERE id = ?",
    )
    .bind(list.to_json())
    .bind(media::count(list))
    .bind(post.as_str())
    .execute(transaction)
    .await?;
    Ok(())
}

/// Lists all objects of a post for deletion, within the transaction that deletes the post.
/// `media_files` is the column of its row.
#[cfg_attr(not(test), expect(dead_code, reason = "for the deletion of posts"))]
pub(in crate::store) async fn schedule_deletions(
    transaction: &mut SqliteConnection,
    media_files: Option<&str>,
    due_at: KstTime,
) -> Result<(), sqlx::Error> {
    schedule(transaction, &MediaList::read(media_files), due_at).await
}

async fn schedule(
    transaction: &mut SqliteConnection,
    list: &MediaList,
    due_at: KstTime,
) -> Result<(), sqlx::Error> {
    for key in list.keys() {
        announce(transaction, key, due_at).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{DatabaseUrl, Store};

    #[tokio::test]
    async fn the_objects_of_a_deleted_post_are_listed_if_the_deletion_is_committed() {
        let folder = tempfile::tempdir().unwrap();
        let DatabaseUrl::Sqlite(file) = DatabaseUrl::sqlite_file(&folder.path().join("p.db"))
        else {
            panic!("not SQLite")
        };
        let store = SqliteStore::open(&file, 1).await.unwrap();
        let now: KstTime = "2026-01-02T09:00:00".parse().unwrap();
        let list = r#"[{"s3_key": "p/images/x/a"}, {}, null, {"s3_key": "p/images/x/b"}]"#;
        for committed in [false, true] {
            let mut transaction = store.writer.begin().await.unwrap();
            for column in [Some(list), None, Some("7")] {
                schedule_deletions(&mut transaction, column, now)
                    .await
                    .unwrap();
            }
            if committed {
                transaction.commit().await.unwrap();
            } else {
                transaction.rollback().await.unwrap();
                assert_eq!(store.due_deletions(now, 10).await.unwrap(), []);
            }
        }
        let due = store.due_deletions(now, 10).await.unwrap();
        let keys: Vec<_> = due.iter().map(|due| due.object_key.as_str()).collect();
        assert_eq!(keys, ["p/images/x/a", "p/images/x/b"]);
        let before: KstTime = "2026-01-02T08:59:59".parse().unwrap();
        assert_eq!(store.due_deletions(before, 10).await.unwrap(), []);
        store.close().await;
    }
}
