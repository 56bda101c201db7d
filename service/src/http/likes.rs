//! Likes.

use super::{
    App,
    envelope::Envelope,
    error::{ApiError, ErrorEnvelope, PlainError},
    extract::{Params, UnreadJsonObject, Writer},
    params::PostPath,
    refusals::LikeRefusal,
};
use crate::{
    auth::verifier::TokenError,
    board::{Board, LikeState, Liker, PostId, User, Wish},
    http::caller::Caller,
};
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Routes under the API's base.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(toggle_like, add_like, remove_like))
        .routes(routes!(like_status))
}

/// Whether requests without a token may like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnonymousLikes(pub bool);

/// How a post stands after a like.
#[derive(Debug, Serialize, ToSchema)]
struct LikeOutcome {
    /// `added` if the user likes the post now, `removed` if not.
    #[schema(example = "added")]
    action: &'static str,
    /// Whether the user likes the post now.
    #[schema(example = true)]
    is_liked: bool,
    /// How many users like it now.
    #[schema(example = 4)]
    like_count: i64,
    /// For people.
    #[schema(example = "좋아요가 added되었습니다")]
    message: &'static str,
}

impl From<LikeState> for LikeOutcome {
    fn from(state: LikeState) -> Self {
        let (action, message) = if state.is_liked {
            ("added", "좋아요가 added되었습니다")
        } else {
            ("removed", "좋아요가 removed되었습니다")
        };
        Self {
            action,
            is_liked: state.is_liked,
            like_count: state.like_count,
            message,
        }
    }
}

/// Who likes, where no token says so.
#[derive(Debug, Deserialize, ToSchema)]
struct NamedLiker {
    /// The user's `sub`; read only without a token and with `ANONYMOUS_LIKES`.
    #[schema(example = "11111111-1111-1111-1111-111111111111", max_length = 36)]
    user_id: Option<String>,
}

/// Like a post, or take the like back. With `ANONYMOUS_LIKES` and without a token, the body's user
/// likes it.
#[utoipa::path(
    post,
    path = "/posts/{id}/like",
    tag = "likes",
    params(PostPath),
    request_body = inline(Option<NamedLiker>),
    security(("bearer" = [])),
    responses(
        (status = OK, body = Envelope<LikeOutcome>),
        (status = BAD_REQUEST, body = ErrorEnvelope,
            description = "The id is `null` or `undefined`, or no token and no `user_id`"),
        (status = UNAUTHORIZED, body = PlainError, description = "No valid token"),
        (status = NOT_FOUND, body = ErrorEnvelope, description = "No visible post has this id"),
    )
)]
async fn toggle_like(
    State(board): State<Board>,
    State(AnonymousLikes(anonymous)): State<AnonymousLikes>,
    id: PostId,
    user: Result<Writer, ApiError>,
    body: UnreadJsonObject<NamedLiker>,
) -> Result<Envelope<LikeOutcome>, ApiError> {
    let liker = match user {
        Ok(Writer(user)) => Liker::Verified(user.id().to_owned()),
        Err(ApiError::Token(TokenError::Missing)) if anonymous => named(body.read_if_any().await?)?,
        Err(error) => return Err(error),
    };
    like(&board, &id, &liker, Wish::Toggle).await
}

/// Like a post; liked already, it stays so.
#[utoipa::path(
    put,
    path = "/posts/{id}/like",
    tag = "likes",
    params(PostPath),
    security(("bearer" = [])),
    responses(
        (status = OK, body = Envelope<LikeOutcome>),
        LikeRefusal,
    )
)]
async fn add_like(
    State(board): State<Board>,
    id: PostId,
    Writer(user): Writer,
) -> Result<Envelope<LikeOutcome>, ApiError> {
    let liker = Liker::Verified(user.id().to_owned());
    like(&board, &id, &liker, Wish::Like).await
}

/// Take a like back; not liked, it stays so.
#[utoipa::path(
    delete,
    path = "/posts/{id}/like",
    tag = "likes",
    params(PostPath),
    security(("bearer" = [])),
    responses(
        (status = OK, body = Envelope<LikeOutcome>),
        LikeRefusal,
    )
)]
async fn remove_like(
    State(board): State<Board>,
    id: PostId,
    Writer(user): Writer,
) -> Result<Envelope<LikeOutcome>, ApiError> {
    let liker = Liker::Verified(user.id().to_owned());
    like(&board, &id, &liker, Wish::Unlike).await
}

async fn like(
    board: &Board,
    id: &PostId,
    liker: &Liker,
    wish: Wish,
) -> Result<Envelope<LikeOutcome>, ApiError> {
    let state = board.like(id, liker, wish).await??;
    Ok(Envelope::ok(state.into()))
}

/// The user that a request without a token names.
fn named(body: Option<NamedLiker>) -> Result<Liker, ApiError> {
    let id = body.and_then(|body| body.user_id).unwrap_or_default();
    let user = User::new(id.trim(), "").ok_or_else(|| {
        ApiError::field("user_id", "사용자 ID가 필요합니다. (user_id, 36자 이하)")
    })?;
    Ok(Liker::Unverified(user.id().to_owned()))
}

/// Whose like is asked after.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct StatusParams {
    /// A user's `sub`; without effect where a valid token names the user.
    user_id: Option<String>,
}

/// Whether a user likes a post.
#[derive(Debug, Serialize, ToSchema)]
struct LikeStatus {
    /// Whether the user likes it.
    #[schema(example = true)]
    is_liked: bool,
}

/// Tell whether the caller, or else the named user, likes a post.
#[utoipa::path(
    get,
    path = "/posts/{id}/like/status",
    tag = "likes",
    params(PostPath, StatusParams),
    responses(
        (status = OK, body = Envelope<LikeStatus>),
        (status = BAD_REQUEST, body = ErrorEnvelope, description = "Neither token nor `user_id`"),
        (status = NOT_FOUND, body = ErrorEnvelope, description = "No visible post has this id"),
    )
)]
async fn like_status(
    State(board): State<Board>,
    id: PostId,
    caller: Caller,
    Params(params): Params<StatusParams>,
) -> Result<Envelope<LikeStatus>, ApiError> {
    let user = caller.user().map(|user| user.id().to_owned());
    let user = user
        .or(params.user_id)
        .filter(|id| !id.is_empty())
        .ok_or_else(|| ApiError::field("user_id", "사용자 ID가 필요합니다."))?;
    let is_liked = board.is_liked(&id, &user).await?.ok_or(ApiError::NoPost)?;
    Ok(Envelope::ok(LikeStatus { is_liked }))
}
