//! Comment counts.

use super::{
    App,
    envelope::Envelope,
    error::{ApiError, ErrorEnvelope},
};
use crate::{
    board::PostId,
    comments::{Comments, RefreshError},
};
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Routes under the API's base.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(update_comment_count))
}

/// A count just refreshed.
#[derive(Debug, Serialize, ToSchema)]
struct CommentCount {
    /// As the comment service told.
    #[schema(example = 3, minimum = 0)]
    comment_count: u32,
    /// For people.
    #[schema(example = "댓글 수가 업데이트되었습니다")]
    message: &'static str,
    /// 32 hexadecimal digits.
    #[schema(example = "5c1e4b6ac6ff4ee0b2e9b5f2a7b8a2c1")]
    post_id: String,
}

/// Ask the comment service for a post's count again.
///
/// The count is never taken from the caller. When the comment service does not tell one, the stored
/// count stays.
#[utoipa::path(
    post,
    path = "/posts/{id}/update-comment-count",
    tag = "posts",
    params(("id" = String, Path, description = "32 hexadecimal digits",
        example = "5c1e4b6ac6ff4ee0b2e9b5f2a7b8a2c1")),
    responses(
        (status = OK, body = Envelope<CommentCount>),
        (status = BAD_REQUEST, body = ErrorEnvelope,
            description = "The id is `null` or `undefined`"),
        (status = NOT_FOUND, body = ErrorEnvelope, description = "No visible post has this id"),
        (status = BAD_GATEWAY, body = ErrorEnvelope,
            description = "The comment service fails; the stored count stays"),
        (status = SERVICE_UNAVAILABLE, body = ErrorEnvelope,
            description = "No comment service is configured, or the database does not answer"),
    )
)]
async fn update_comment_count(
    State(comments): State<Comments>,
    id: PostId,
) -> Result<Envelope<CommentCount>, ApiError> {
    let comment_count = comments.refresh(&id).await?;
    Ok(Envelope::ok(CommentCount {
        comment_count,
        message: "댓글 수가 업데이트되었습니다",
        post_id: id.to_string(),
    }))
}

impl From<RefreshError> for ApiError {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::NoPost => Self::NoPost,
            RefreshError::NotConfigured => Self::NoCommentService,
            RefreshError::Source(error) => {
                tracing::warn!(%error, "the comment service tells no count");
                Self::CommentServiceFails
            }
            RefreshError::Store(error) => error.into(),
        }
    }
}
