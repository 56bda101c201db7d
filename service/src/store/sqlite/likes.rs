//! Likes in SQLite.

use super::{SqliteStore, posts::guarded};
use crate::{
    board::{LikeRefusal, LikeState, LikeWish, PostId, Step},
    store::{FulfilledWish, LikeStore, StoreError},
};
use async_trait::async_trait;
use sqlx::SqliteConnection;

#[async_trait]
impl LikeStore for SqliteStore {
    async fn fulfil(&self, wish: &LikeWish) -> FulfilledWish {
        let (post, liker) = (&wish.post, &wish.liker);
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        if guarded(&mut transaction, post).await?.is_none() {
            return Ok(Err(LikeRefusal::Missing));
        }
        let verified: Option<bool> =
            sqlx::query_scalar("SELECT verified FROM likes WHERE post_id = ? AND user_id = ?")
                .bind(post.as_str())
                .bind(liker.id())
                .fetch_optional(&mut *transaction)
                .await?;
        let step = wish.wish.step(liker, verified);
        if step == Step::Refuse {
            return Ok(Err(LikeRefusal::Verified));
        }
        let is_liked = take(&mut transaction, step, wish).await?;
        let like_count = sqlx::query_scalar("SELECT like_count FROM posts WHERE id = ?")
            .bind(post.as_str())
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Ok(LikeState {
            is_liked: is_liked.unwrap_or(verified.is_some()),
            like_count,
        }))
    }

    /// One by one: there is one writer, and nothing is far away.
    async fn fulfil_together(&self, wishes: &[LikeWish]) -> Vec<Option<FulfilledWish>> {
        let mut fulfilled = Vec::with_capacity(wishes.len());
        for wish in wishes {
            fulfilled.push(Some(self.fulfil(wish).await));
        }
        fulfilled
    }

    async fn is_liked(&self, post: &PostId, user: &str) -> Result<Option<bool>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT EXISTS(SELECT 1 FROM likes WHERE post_id = ? AND user_id = ?) \
             FROM posts WHERE id = ? AND status = 'visible'",
        )
        .bind(post.as_str())
        .bind(user)
        .bind(post.as_str())
        .fetch_optional(&self.readers)
        .await?)
    }
}

/// Takes a step; whether the user likes the post after it, if that changed.
async fn take(
    transaction: &mut SqliteConnection,
    step: Step,
    wish: &LikeWish,
) -> Result<Option<bool>, sqlx::Error> {
    let (post, liker) = (&wish.post, &wish.liker);
    let change = match step {
        Step::Add => sqlx::query(
            "INSERT INTO likes (post_id, user_id, id, created_at, verified) VALUES (?, ?, ?, ?, ?)",
        ),
        Step::Remove => sqlx::query("DELETE FROM likes WHERE post_id = ? AND user_id = ?"),
        Step::Verify => {
            sqlx::query("UPDATE likes SET verified = 1 WHERE post_id = ? AND user_id = ?")
        }
        Step::Keep | Step::Refuse => return Ok(None),
    };
    let mut change = change.bind(post.as_str()).bind(liker.id());
    if step == Step::Add {
        change = change
            .bind(&wish.id)
            .bind(wish.at.to_string())
            .bind(liker.is_verified());
    }
    change.execute(&mut *transaction).await?;
    let (by, is_liked) = match step {
        Step::Add => (1, true),
        Step::Remove => (-1, false),
        _ => return Ok(None),
    };
    sqlx::query("UPDATE posts SET like_count = like_count + ? WHERE id = ?")
        .bind(by)
        .bind(post.as_str())
        .execute(transaction)
        .await?;
    Ok(Some(is_liked))
}
