//! Likes.

use super::StoreError;
use crate::board::{LikeWish, Liked, PostId};
use async_trait::async_trait;

/// What became of a wish.
pub type FulfilledWish = Result<Liked, StoreError>;

/// Likes.
#[async_trait]
pub trait LikeStore {
    /// Fulfils wishes, one after the other on each post, so that `like_count` is the number of likes at
    /// any time; tells in their order what became of them.
    async fn fulfil(&self, wishes: &[LikeWish]) -> Vec<FulfilledWish>;

    /// Whether a user likes a post; nothing if no visible post has this id.
    async fn is_liked(&self, post: &PostId, user: &str) -> Result<Option<bool>, StoreError>;
}
