//! Likes in MySQL.

use super::{MySqlStore, adoption::Stage};
use crate::{
    board::{KstTime, LikeRefusal, LikeState, Liker, PostId, Step, Wish, new_id},
    store::{LikeStore, StoreError},
};
use async_trait::async_trait;
use sqlx::{Connection, MySqlConnection};
use std::sync::Mutex;

#[async_trait]
impl LikeStore for MySqlStore {
    async fn like(
        &self,
        post: &PostId,
        liker: &Liker,
        wish: Wish,
        now: KstTime,
    ) -> Result<Result<LikeState, LikeRefusal>, StoreError> {
        let stage = self.stage().await?;
        let attempt = LikeAttempt {
            stage,
            post,
            liker,
            wish,
            now,
            like_id: new_id(),
            begun: Mutex::default(),
        };
        attempt!(self.writing(), |connection, repeated| {
            attempt.run(connection, repeated)
        })
    }

    async fn is_liked(&self, post: &PostId, user: &str) -> Result<Option<bool>, StoreError> {
        let found: Option<i64> = attempt!(self.reading(), |connection| {
            sqlx::query_scalar(
                "SELECT EXISTS(SELECT 1 FROM likes WHERE post_id = ? AND user_id = ?) \
                 FROM posts WHERE id = ? AND status = 'visible'",
            )
            .bind(post.as_str())
            .bind(user)
            .bind(post.as_str())
            .fetch_optional(connection)
        })?;
        Ok(found.map(|liked| liked != 0))
    }
}

/// A wish, and what an earlier attempt at it was about to commit.
struct LikeAttempt<'a> {
    stage: Stage,
    post: &'a PostId,
    liker: &'a Liker,
    wish: Wish,
    now: KstTime,
    /// The id of the like that would be added.
    like_id: String,
    /// The step and the like it was about.
    begun: Mutex<Option<(Step, String)>>,
}

impl LikeAttempt<'_> {
    async fn run(
        &self,
        connection: &mut MySqlConnection,
        repeated: bool,
    ) -> Result<Result<LikeState, LikeRefusal>, sqlx::Error> {
        let mut transaction = connection.begin().await?;
        // First of all, so that likes of a post come one after the other and never in circles.
        let Some(like_count) = self.lock(&mut transaction).await? else {
            return Ok(Err(LikeRefusal::Missing));
        };
        let existing = self.existing(&mut transaction).await?;
        if repeated && self.was_done(existing.as_ref()) {
            return Ok(Ok(LikeState {
                is_liked: existing.is_some(),
                like_count,
            }));
        }
        let verified = existing.as_ref().map(|(_, verified)| *verified);
        let step = self.wish.step(self.liker, verified);
        if step == Step::Refuse {
            return Ok(Err(LikeRefusal::Verified));
        }
        let like_id = existing.map_or_else(|| self.like_id.clone(), |(id, _)| id);
        self.take(&mut transaction, step, &like_id).await?;
        self.begin(step, like_id);
        transaction.commit().await?;
        let (is_liked, by) = match step {
            Step::Add => (true, 1),
            Step::Remove => (false, -1),
            _ => (verified.is_some(), 0),
        };
        Ok(Ok(LikeState {
            is_liked,
            like_count: like_count + by,
        }))
    }

    /// Locks the post, if it is visible; its likes.
    async fn lock(&self, transaction: &mut MySqlConnection) -> Result<Option<i64>, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT CAST(COALESCE(like_count, 0) AS SIGNED) FROM posts \
             WHERE id = ? AND status = 'visible' FOR UPDATE",
        )
        .bind(self.post.as_str())
        .fetch_optional(transaction)
        .await
    }

    /// The like that is there: its id and whether it is verified.
    async fn existing(
        &self,
        transaction: &mut MySqlConnection,
    ) -> Result<Option<(String, bool)>, sqlx::Error> {
        sqlx::query_as(match self.stage {
            Stage::Adopting => "SELECT id, FALSE FROM likes WHERE post_id = ? AND user_id = ?",
            Stage::Finished => "SELECT id, verified FROM likes WHERE post_id = ? AND user_id = ?",
        })
        .bind(self.post.as_str())
        .bind(self.liker.id())
        .fetch_optional(transaction)
        .await
    }

    async fn take(
        &self,
        transaction: &mut MySqlConnection,
        step: Step,
        like_id: &str,
    ) -> Result<(), sqlx::Error> {
        let change = match step {
            Step::Add => {
                let insert = sqlx::query(match self.stage {
                    Stage::Adopting => {
                        "INSERT INTO likes (id, post_id, user_id, created_at) VALUES (?, ?, ?, ?)"
                    }
                    Stage::Finished => {
                        "INSERT INTO likes (id, post_id, user_id, created_at, verified) \
                         VALUES (?, ?, ?, ?, ?)"
                    }
                })
                .bind(like_id)
                .bind(self.post.as_str())
                .bind(self.liker.id())
                .bind(self.now.to_string());
                match self.stage {
                    Stage::Adopting => insert,
                    Stage::Finished => insert.bind(self.liker.is_verified()),
                }
            }
            Step::Remove => sqlx::query("DELETE FROM likes WHERE id = ?").bind(like_id),
            // Nothing to mark it in yet: the user's next like is verified.
            Step::Verify if self.stage == Stage::Adopting => return Ok(()),
            Step::Verify => {
                sqlx::query("UPDATE likes SET verified = TRUE WHERE id = ?").bind(like_id)
            }
            Step::Keep | Step::Refuse => return Ok(()),
        };
        change.execute(&mut *transaction).await?;
        let by = match step {
            Step::Add => 1,
            Step::Remove => -1,
            _ => return Ok(()),
        };
        sqlx::query(
            "UPDATE posts SET like_count = COALESCE(like_count, 0) + ?, updated_at = updated_at \
             WHERE id = ?",
        )
        .bind(by)
        .bind(self.post.as_str())
        .execute(transaction)
        .await
        .map(drop)
    }

    fn begin(&self, step: Step, like_id: String) {
        let mut begun = self
            .begun
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *begun = Some((step, like_id));
    }

    /// Whether an earlier attempt took effect although nobody said so: its like is there, or gone.
    fn was_done(&self, existing: Option<&(String, bool)>) -> bool {
        let begun = self
            .begun
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_there = |id: &str| existing.is_some_and(|(existing, _)| existing == id);
        match &*begun {
            Some((Step::Add, id)) => is_there(id),
            Some((Step::Remove, id)) => !is_there(id),
            _ => false,
        }
    }
}
