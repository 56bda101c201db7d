//! Likes.

use super::StoreError;
use crate::board::{LikeWish, Liked, PostId};
use async_trait::async_trait;

/// What became of a wish.
pub type FulfilledWish = Result<Liked, StoreError>;

/// Likes.
#[async_trait]
pub trait LikeStore {
    /// Fulfils a wish; one after the other on each post, so that `like_count` is the number of likes at
    /// any time.
    async fn fulfil(&self, wish: &LikeWish) -> FulfilledWish;

    /// Fulfils wishes at once, for much less than one by one, and waits for nobody who holds their posts;
    /// tells in their order what became of them. Nothing: it has been left, to be fulfilled alone.
    async fn fulfil_together(&self, wishes: &[LikeWish]) -> Vec<Option<FulfilledWish>>;

    /// Whether a user likes a post; nothing if no visible post has this id.
    async fn is_liked(&self, post: &PostId, user: &str) -> Result<Option<bool>, StoreError>;
}
