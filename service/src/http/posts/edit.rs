//! Changing and deleting a post.

use crate::board::{
    Board, Edit, Fault, FieldError, LikeRefusal, Liker, PostId, Refusal, Sent, Wish,
};
use crate::http::{
    envelope::{Envelope, Nothing},
    error::{ApiError, ErrorEnvelope},
    etag::expected_version,
    extract::{JsonObject, Writer},
    params::{IfMatch, PostPath},
    refusals::{BodyRefusal, ChangeRefusal},
};
use axum::extract::State;
use http::HeaderMap;
use serde::Deserialize;
use utoipa::ToSchema;

const EDITED: &str = "게시글이 성공적으로 수정되었습니다";
const DELETED: &str = "게시글이 성공적으로 삭제되었습니다";

/// What to change; fields that are absent stay as they are, others are ignored.
#[derive(Debug, Deserialize, ToSchema)]
pub struct EditPost {
    /// 1 to 200 characters; trimmed.
    #[serde(default)]
    #[schema(value_type = String, required = false, example = "고친 제목",
        min_length = 1, max_length = 200, pattern = r"^[^\u0000]*\S[^\u0000]*$")]
    title: Sent<String>,
    /// 1 byte to 64 KiB of UTF-8.
    #[serde(default)]
    #[schema(value_type = String, required = false, example = "고친 내용", min_length = 1, pattern = r"^[^\u0000]*\S[^\u0000]*$")]
    content: Sent<String>,
    /// 1 to 50 characters; made on first use.
    #[serde(default)]
    #[schema(value_type = String, required = false, example = "여행",
        min_length = 1, max_length = 50, pattern = r"^[^\u0000]*\S[^\u0000]*$")]
    category: Sent<String>,
    /// The caller's like is made (`like`) or taken back (`unlike`). By itself it needs no ownership
    /// and edits nothing.
    #[serde(default)]
    #[schema(value_type = Action, required = false)]
    action: Sent<String>,
}

/// What else can be done with a post.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(
    dead_code,
    reason = "for the document: the body is read as text, for a better error"
)]
pub enum Action {
    /// Like it.
    Like,
    /// Like it no more.
    Unlike,
}

impl EditPost {
    fn edit(&self) -> Result<Edit, FieldError> {
        Edit::parse(
            self.title.as_deref(),
            self.content.as_deref(),
            self.category.as_deref(),
        )
    }
}

/// A post's new text.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ReplacePost {
    /// 1 to 200 characters; trimmed.
    #[schema(value_type = String, required = true, example = "새 제목", min_length = 1, max_length = 200, pattern = r"^[^\u0000]*\S[^\u0000]*$")]
    title: Option<String>,
    /// 1 byte to 64 KiB of UTF-8.
    #[schema(value_type = String, required = true, example = "새 내용", min_length = 1, pattern = r"^[^\u0000]*\S[^\u0000]*$")]
    content: Option<String>,
    /// 1 to 50 characters, made on first use; stays as it is if absent.
    #[serde(default)]
    #[schema(value_type = String, required = false, example = "여행",
        min_length = 1, max_length = 50, pattern = r"^[^\u0000]*\S[^\u0000]*$")]
    category: Sent<String>,
}

impl ReplacePost {
    fn edit(&self) -> Result<Edit, ApiError> {
        let required = |text: &Option<String>| text.clone().map_or(Sent::Null, Sent::Value);
        let (title, content) = (required(&self.title), required(&self.content));
        Edit::parse(
            title.as_deref(),
            content.as_deref(),
            self.category.as_deref(),
        )
        .map_err(|error| match error {
            // The Flask service's sentence; it asked for the author too.
            FieldError {
                field: field @ ("title" | "content"),
                fault: Fault::Missing,
            } => ApiError::field(field, "제목, 내용, 작성자 ID는 필수입니다"),
            error => error.into(),
        })
    }
}

/// Change some fields of one's post, or like it.
#[utoipa::path(
    patch,
    path = "/posts/{id}",
    tag = "posts",
    params(PostPath, IfMatch),
    request_body = EditPost,
    security(("bearer" = [])),
    responses(
        (status = OK, body = Envelope<Nothing>),
        BodyRefusal,
        ChangeRefusal,
    )
)]
pub async fn edit_post(
    State(board): State<Board>,
    id: PostId,
    Writer(user): Writer,
    headers: HeaderMap,
    JsonObject(body): JsonObject<EditPost>,
) -> Result<Envelope<Nothing>, ApiError> {
    let wish = match body.action.as_deref() {
        Sent::Absent => None,
        Sent::Value("like") => Some(Wish::Like),
        Sent::Value("unlike") => Some(Wish::Unlike),
        Sent::Null | Sent::Value(_) => {
            let message = "action 필드는 like 또는 unlike여야 합니다.";
            return Err(ApiError::field("action", message));
        }
    };
    let edit = body.edit()?;
    if wish.is_none() || !edit.is_empty() {
        let seen = expected_version(&headers)?;
        board.edit(&id, &user, &edit, seen).await??;
    }
    if let Some(wish) = wish {
        let liker = Liker::Verified(user.id().to_owned());
        board.like(&id, &liker, wish).await??;
    }
    Ok(Envelope::with_message(EDITED, Nothing))
}

/// Change title and content of one's post.
#[utoipa::path(
    put,
    path = "/posts/{id}",
    tag = "posts",
    params(PostPath, IfMatch),
    request_body = ReplacePost,
    security(("bearer" = [])),
    responses(
        (status = OK, body = Envelope<Nothing>),
        BodyRefusal,
        ChangeRefusal,
    )
)]
pub async fn replace_post(
    State(board): State<Board>,
    id: PostId,
    Writer(user): Writer,
    headers: HeaderMap,
    JsonObject(body): JsonObject<ReplacePost>,
) -> Result<Envelope<Nothing>, ApiError> {
    let (edit, seen) = (body.edit()?, expected_version(&headers)?);
    board.edit(&id, &user, &edit, seen).await??;
    Ok(Envelope::with_message(EDITED, Nothing))
}

/// Delete one's post. Its images are removed later.
#[utoipa::path(
    delete,
    path = "/posts/{id}",
    tag = "posts",
    params(PostPath, IfMatch),
    security(("bearer" = [])),
    responses(
        (status = OK, body = Envelope<Nothing>),
        (status = BAD_REQUEST, body = ErrorEnvelope,
            description = "The id is `null` or `undefined`, or If-Match names several versions"),
        ChangeRefusal,
    )
)]
pub async fn delete_post(
    State(board): State<Board>,
    id: PostId,
    Writer(user): Writer,
    headers: HeaderMap,
) -> Result<Envelope<Nothing>, ApiError> {
    let seen = expected_version(&headers)?;
    board.delete(&id, &user, seen).await??;
    Ok(Envelope::with_message(DELETED, Nothing))
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Missing => Self::NoPost,
            Refusal::NotOwner => Self::Forbidden,
            Refusal::Outdated => Self::Outdated,
        }
    }
}

impl From<LikeRefusal> for ApiError {
    fn from(refusal: LikeRefusal) -> Self {
        match refusal {
            LikeRefusal::Missing => Self::NoPost,
            // It takes a token to change what was made with one.
            LikeRefusal::Verified => Self::Token(crate::auth::verifier::TokenError::Missing),
        }
    }
}
