//! Likes.

use super::StoreError;
use crate::board::{KstTime, LikeRefusal, LikeState, Liker, PostId, Wish};
use async_trait::async_trait;

/// Likes.
#[async_trait]
pub trait LikeStore {
    /// Fulfils a wish; one after the other on each post, so that `like_count` is the number of
    /// likes at any time.
    async fn like(
        &self,
        post: &PostId,
        liker: &Liker,
        wish: Wish,
        now: KstTime,
    ) -> Result<Result<LikeState, LikeRefusal>, StoreError>;

    /// Whether a user likes a post; nothing if no visible post has this id.
    async fn is_liked(&self, post: &PostId, user: &str) -> Result<Option<bool>, StoreError>;
}
