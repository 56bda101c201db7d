//! Reading a post.

use super::view::PostView;
use crate::board::{Board, PostId};
use crate::comments::Comments;
use crate::http::{
    caller::Caller,
    envelope::Envelope,
    error::{ApiError, ErrorEnvelope},
    etag::{ETag, unless_known},
    params::{IfNoneMatch, PostPath},
};
use axum::{extract::State, response::Response};
use http::HeaderMap;

/// Read a post, which counts the reader once a day.
#[utoipa::path(
    get,
    path = "/posts/{id}",
    tag = "posts",
    params(PostPath, IfNoneMatch),
    responses(
        (status = OK, body = Envelope<PostView>,
            headers(("ETag" = String, description = "Of all but the views"))),
        (status = NOT_MODIFIED, description = "The client knows this"),
        (status = BAD_REQUEST, body = ErrorEnvelope,
            description = "The id is `null` or `undefined`"),
        (status = NOT_FOUND, body = ErrorEnvelope, description = "No visible post has this id"),
    )
)]
pub async fn read_post(
    State(board): State<Board>,
    State(comments): State<Comments>,
    id: PostId,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let post = board
        .post(&id, &caller.viewer(), caller.freshness())
        .await?;
    let post = post.ok_or(ApiError::NoPost)?;
    comments.seen([&post.id]);
    let view = PostView::from(post);
    let tag = ETag::of(&view);
    Ok(unless_known(&headers, &tag, || Envelope::ok(view)))
}
