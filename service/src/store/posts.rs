//! Single posts: stored, read, changed, deleted.

use super::StoreError;
use crate::board::{
    Created, Edit, IdempotencyKey, KstTime, NewPost, Post, PostId, Refusal, User, View,
};
use async_trait::async_trait;
use sqlx::FromRow;

/// The visible post that a view is of, if there is one, and whether that view is counted already.
pub type FoundPost = Result<Option<(Post, bool)>, StoreError>;

/// The visible post of an id, if there is one.
pub type ReadPost = Result<Option<Post>, StoreError>;

/// Single posts.
#[async_trait]
pub trait PostStore {
    /// Stores a post, its category if that is new, the totals and the key, all or nothing; once
    /// per key of its author.
    async fn create_post(
        &self,
        post: NewPost,
        key: Option<&IdempotencyKey>,
    ) -> Result<Created, StoreError>;

    /// The post of each of these views (a few dozen at most, all different), in their order. What
    /// concerns all of them, such as a database that is away, is repeated for each.
    async fn find_posts(&self, views: &[View]) -> Vec<FoundPost>;

    /// The posts of these ids (a few dozen at most, all different), in their order. What concerns all of
    /// them is repeated for each.
    async fn read_posts(&self, ids: &[PostId]) -> Vec<ReadPost>;

    /// Changes a post if it is this user's and, where one is named, still at this version.
    async fn edit_post(
        &self,
        id: &PostId,
        user: &str,
        edit: &Edit,
        seen: Option<i64>,
        now: KstTime,
    ) -> Result<Result<(), Refusal>, StoreError>;

    /// Deletes a post under the same conditions: its row stays, out of sight.
    async fn delete_post(
        &self,
        id: &PostId,
        user: &str,
        seen: Option<i64>,
        now: KstTime,
    ) -> Result<Result<(), Refusal>, StoreError>;
}

/// What a change of a post has to know of it, read under its lock.
#[derive(Debug, Clone, FromRow)]
pub(super) struct Guarded {
    pub(super) number: i64,
    pub(super) user_id: Option<String>,
    pub(super) category_id: Option<String>,
    pub(super) version: i64,
    pub(super) media_files: Option<String>,
}

impl Guarded {
    /// Whether this user may change the post they saw at this version.
    pub(super) fn check(&self, user: &str, seen: Option<i64>) -> Result<(), Refusal> {
        if self.user_id.as_deref() != Some(user) {
            return Err(Refusal::NotOwner);
        }
        if seen.is_some_and(|version| version != self.version) {
            return Err(Refusal::Outdated);
        }
        Ok(())
    }
}

/// A post stored under an idempotency key.
#[derive(Debug, Clone, FromRow)]
pub(super) struct Remembered {
    pub(super) request_hash: Vec<u8>,
    pub(super) post_id: String,
    /// Remembered for long enough.
    pub(super) is_stale: i64,
}

/// The columns of a post that its creation answered with.
#[derive(Debug, Clone, FromRow)]
pub(super) struct CreatedRow {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) content: String,
    pub(super) category: String,
    pub(super) username: String,
    pub(super) user_id: Option<String>,
    pub(super) created_at: String,
}

impl TryFrom<CreatedRow> for NewPost {
    type Error = sqlx::Error;

    fn try_from(row: CreatedRow) -> Result<Self, sqlx::Error> {
        use super::rows::unreadable;
        use crate::board::CategoryName;
        let author = User::new(row.user_id.as_deref().unwrap_or_default(), &row.username);
        Ok(Self {
            id: row.id.parse().map_err(unreadable("id"))?,
            title: row.title,
            content: row.content,
            category: CategoryName::parse("category", Some(&row.category))
                .map_err(unreadable("category"))?,
            author: author.ok_or(sqlx::Error::RowNotFound)?,
            created_at: row.created_at.parse().map_err(unreadable("created_at"))?,
        })
    }
}

/// What became of a request whose key is known already.
pub(super) fn judge(remembered: &Remembered, key: &IdempotencyKey, stored: NewPost) -> Created {
    if remembered.request_hash == key.request {
        Created::Repeated(stored)
    } else {
        Created::OtherRequest
    }
}
