//! Likes in MySQL: those wished for at the same time in one transaction ([`together`]), and alone what is
//! left by it, so that nobody suffers from another's.

mod together;

use super::{MySqlStore, adoption::Stage};
use crate::{
    board::{LikeRefusal, LikeState, LikeWish, Liked, PostId, Step},
    store::{FulfilledWish, LikeStore, StoreError},
};
use async_trait::async_trait;
use sqlx::{Connection, MySqlConnection};
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

#[async_trait]
impl LikeStore for MySqlStore {
    async fn fulfil(&self, wish: &LikeWish) -> FulfilledWish {
        let stage = self.stage().await?;
        let attempt = LikeAttempt::new(stage, wish);
        attempt!(self.writing(), |connection| attempt.run(connection))
    }

    async fn fulfil_together(&self, wishes: &[LikeWish]) -> Vec<Option<FulfilledWish>> {
        let left = vec![None; wishes.len()];
        let stage = match self.stage().await {
            Ok(Stage::Finished) => Stage::Finished,
            Ok(Stage::Adopting) => return left,
            Err(error) => return vec![Some(Err(error)); wishes.len()],
        };
        let new = |wish| LikeAttempt::new(stage, wish);
        let attempts: Vec<_> = wishes.iter().map(new).collect();
        let may_be_done = AtomicBool::new(false);
        let done = attempt!(self.writing(), |connection, repeated| {
            may_be_done.fetch_or(repeated, Ordering::Relaxed);
            together::run(connection, &attempts)
        });
        match done {
            Ok(done) => done.into_iter().map(|liked| liked.map(Ok)).collect(),
            Err(error) if error.is_rolled_back() && !may_be_done.into_inner() => left,
            Err(error) => vec![Some(Err(error)); wishes.len()],
        }
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
    wish: &'a LikeWish,
    /// The step and the like it was about.
    begun: Mutex<Option<(Step, String)>>,
}

/// The like that is there: its id and whether it is verified.
type Existing = (String, bool);

/// What has to be done about a wish.
enum Deed {
    Nothing(Liked),
    /// This step with the like of this id; it leads to this state.
    Take(Step, String, LikeState),
}

impl<'a> LikeAttempt<'a> {
    fn new(stage: Stage, wish: &'a LikeWish) -> Self {
        Self {
            stage,
            wish,
            begun: Mutex::default(),
        }
    }

    async fn run(&self, connection: &mut MySqlConnection) -> Result<Liked, sqlx::Error> {
        let mut transaction = connection.begin().await?;
        // First of all, so that likes of a post come one after the other and never in circles.
        let Some(like_count) = self.lock(&mut transaction).await? else {
            return Ok(Err(LikeRefusal::Missing));
        };
        let existing = self.existing(&mut transaction).await?;
        match self.deed(existing.as_ref(), like_count) {
            Deed::Nothing(liked) => Ok(liked),
            Deed::Take(step, like_id, state) => {
                self.take(&mut transaction, step, &like_id).await?;
                self.begin(step, like_id);
                transaction.commit().await?;
                Ok(Ok(state))
            }
        }
    }

    /// What has to be done where this like is there.
    fn deed(&self, existing: Option<&Existing>, like_count: i64) -> Deed {
        let state = |is_liked, by| LikeState {
            is_liked,
            like_count: like_count + by,
        };
        let as_it_is = state(existing.is_some(), 0);
        if self.was_done(existing) {
            return Deed::Nothing(Ok(as_it_is));
        }
        let verified = existing.map(|(_, verified)| *verified);
        let like_id = existing.map_or(&self.wish.id, |(id, _)| id).clone();
        match self.wish.wish.step(&self.wish.liker, verified) {
            Step::Refuse => Deed::Nothing(Err(LikeRefusal::Verified)),
            Step::Keep => Deed::Nothing(Ok(as_it_is)),
            // Nothing to mark it in yet: the user's next like is verified.
            Step::Verify if self.stage == Stage::Adopting => Deed::Nothing(Ok(as_it_is)),
            step @ Step::Verify => Deed::Take(step, like_id, as_it_is),
            step @ Step::Add => Deed::Take(step, like_id, state(true, 1)),
            step @ Step::Remove => Deed::Take(step, like_id, state(false, -1)),
        }
    }

    /// Locks the post, if it is visible; its likes.
    async fn lock(&self, transaction: &mut MySqlConnection) -> Result<Option<i64>, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT CAST(COALESCE(like_count, 0) AS SIGNED) FROM posts \
             WHERE id = ? AND status = 'visible' FOR UPDATE",
        )
        .bind(self.wish.post.as_str())
        .fetch_optional(transaction)
        .await
    }

    async fn existing(
        &self,
        transaction: &mut MySqlConnection,
    ) -> Result<Option<Existing>, sqlx::Error> {
        sqlx::query_as(match self.stage {
            Stage::Adopting => "SELECT id, FALSE FROM likes WHERE post_id = ? AND user_id = ?",
            Stage::Finished => "SELECT id, verified FROM likes WHERE post_id = ? AND user_id = ?",
        })
        .bind(self.wish.post.as_str())
        .bind(self.wish.liker.id())
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
                .bind(self.wish.post.as_str())
                .bind(self.wish.liker.id())
                .bind(self.wish.at.to_string());
                match self.stage {
                    Stage::Adopting => insert,
                    Stage::Finished => insert.bind(self.wish.liker.is_verified()),
                }
            }
            Step::Remove => sqlx::query("DELETE FROM likes WHERE id = ?").bind(like_id),
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
        .bind(self.wish.post.as_str())
        .execute(transaction)
        .await
        .map(drop)
    }

    /// A step is about to be committed.
    fn begin(&self, step: Step, like_id: String) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        *begun = Some((step, like_id));
    }

    /// Whether an earlier attempt took effect although nobody said so: its like is there, or gone.
    fn was_done(&self, existing: Option<&Existing>) -> bool {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there = |id: &str| existing.is_some_and(|(existing, _)| existing == id);
        match &*begun {
            Some((Step::Add, id)) => is_there(id),
            Some((Step::Remove, id)) => !is_there(id),
            _ => false,
        }
    }
}
