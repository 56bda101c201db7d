//! A post as the API shows it.

use crate::board::{KstTime, Post};
use serde::Serialize;
use std::hash::{Hash, Hasher};
use utoipa::ToSchema;

/// A post.
#[derive(Debug, Hash, Serialize, ToSchema)]
#[schema(as = Post)]
pub struct PostView {
    /// 32 hexadecimal digits.
    #[schema(example = "5c1e4b6ac6ff4ee0b2e9b5f2a7b8a2c1")]
    id: String,
    /// 1 to 200 characters.
    #[schema(example = "첫글")]
    title: String,
    /// 1 byte to 64 KiB, as it was written.
    #[schema(example = "내용입니다")]
    content: String,
    /// The author's name when it was written.
    #[schema(example = "alice")]
    username: String,
    /// The author's `sub`; posts of the Flask service may have none.
    #[schema(example = "11111111-1111-1111-1111-111111111111")]
    user_id: Option<String>,
    /// The category's name.
    #[schema(example = "자유")]
    category: String,
    /// Viewers, each counted once a day.
    #[schema(value_type = i64, example = 12)]
    view_count: ViewCount,
    /// Likes.
    #[schema(example = 3)]
    like_count: i64,
    /// Comments, as the comment service last told.
    #[schema(example = 2)]
    comment_count: i64,
    /// Length of `media_files`.
    #[schema(example = 0)]
    media_count: usize,
    /// Attached images, in the order of their upload.
    #[schema(value_type = Vec<Object>, example = json!([]))]
    media_files: Vec<serde_json::Value>,
    /// When it was written, in naive KST.
    #[schema(value_type = String, example = "2026-01-02T09:00:00")]
    created_at: KstTime,
    /// When it was last edited, in naive KST.
    #[schema(value_type = String, example = "2026-01-02T09:00:00")]
    updated_at: KstTime,
    /// Raised by every edit; what `If-Match: "v<version>"` names.
    #[schema(example = 1)]
    version: i64,
}

/// Not part of the entity tag: a view changes nothing that a reader waits for.
#[derive(Debug, Serialize)]
struct ViewCount(i64);

impl Hash for ViewCount {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl From<Post> for PostView {
    fn from(post: Post) -> Self {
        Self {
            id: post.id.to_string(),
            title: post.title,
            content: post.content,
            username: post.username,
            user_id: post.user_id,
            category: post.category,
            view_count: ViewCount(post.view_count),
            like_count: post.like_count,
            comment_count: post.comment_count,
            media_count: post.media_files.len(),
            media_files: post.media_files,
            created_at: post.created_at,
            updated_at: post.updated_at,
            version: post.version,
        }
    }
}
