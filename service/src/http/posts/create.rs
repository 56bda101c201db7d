//! Publishing a post.

use crate::board::{Board, Created, Draft, IdempotencyKey, KstTime, NewPost};
use crate::http::{
    envelope::Envelope,
    error::{ApiError, CreateError, PlainError},
    extract::{UnreadJsonObject, Writer},
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A post to be published. The author is the token's user, whatever else the body says.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreatePost {
    /// 1 to 200 characters; trimmed.
    #[schema(value_type = String, required = true, example = "첫글", min_length = 1, max_length = 200, pattern = r"^[^\u0000]*\S[^\u0000]*$")]
    title: Option<String>,
    /// 1 byte to 64 KiB of UTF-8.
    #[schema(value_type = String, required = true, example = "내용입니다", min_length = 1, pattern = r"^[^\u0000]*\S[^\u0000]*$")]
    content: Option<String>,
    /// 1 to 50 characters; made on first use.
    #[schema(value_type = String, required = true, example = "자유", min_length = 1, max_length = 50, pattern = r"^[^\u0000]*\S[^\u0000]*$")]
    category: Option<String>,
}

impl CreatePost {
    fn draft(&self) -> Result<Draft, ApiError> {
        let Self {
            title,
            content,
            category,
        } = self;
        if title.is_none() && content.is_none() && category.is_none() {
            return Err(ApiError::bad_request("요청 데이터가 없습니다."));
        }
        Ok(Draft::parse(
            title.as_deref(),
            content.as_deref(),
            category.as_deref(),
        )?)
    }
}

/// A post just published.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedPost {
    /// 32 hexadecimal digits.
    #[schema(example = "5c1e4b6ac6ff4ee0b2e9b5f2a7b8a2c1")]
    id: String,
    /// As stored.
    #[schema(example = "첫글")]
    title: String,
    /// As stored.
    #[schema(example = "내용입니다")]
    content: String,
    /// As stored.
    #[schema(example = "자유")]
    category: String,
    /// The author's name.
    #[schema(example = "alice")]
    username: String,
    /// Naive KST.
    #[schema(value_type = String, example = "2026-01-02T09:00:00")]
    created_at: KstTime,
}

impl From<NewPost> for CreatedPost {
    fn from(post: NewPost) -> Self {
        Self {
            id: post.id.to_string(),
            username: post.author.name().to_owned(),
            category: post.category.as_str().to_owned(),
            title: post.title,
            content: post.content,
            created_at: post.created_at,
        }
    }
}

/// Publish a post.
#[utoipa::path(
    post,
    path = "/posts",
    tag = "posts",
    params(("Idempotency-Key" = Option<String>, Header,
        min_length = 1, max_length = 255, pattern = r"^[!-~]([\t -~]*[!-~])?$",
        description = "Chosen by the client, at most 255 bytes; for 24 hours the same key of the \
                       same user publishes once", example = "3f0c7e0e-9b0a-4f7e-8a57-0a1f0b6f8f10")),
    request_body = CreatePost,
    security(("bearer" = [])),
    responses(
        (status = CREATED, body = Envelope<CreatedPost>, headers(
            ("Location" = String, description = "The post's path"),
            ("Idempotency-Replayed" = String,
                description = "`true` if an earlier request with this key had published it"))),
        (status = BAD_REQUEST, body = PlainError,
            description = "A field is missing or wrong; the message names it"),
        (status = UNAUTHORIZED, body = PlainError, description = "No valid token"),
        (status = REQUEST_TIMEOUT, body = PlainError, description = "The body did not come in time"),
        (status = CONFLICT, body = PlainError,
            description = "A request with this Idempotency-Key is being answered"),
        (status = PAYLOAD_TOO_LARGE, body = PlainError,
            description = "The body is longer than 1 MiB"),
        (status = UNSUPPORTED_MEDIA_TYPE, body = PlainError, description = "The body is not JSON"),
        (status = UNPROCESSABLE_ENTITY, body = PlainError,
            description = "The Idempotency-Key was used for another request"),
    )
)]
pub async fn create_post(
    State(board): State<Board>,
    author: Result<Writer, ApiError>,
    headers: HeaderMap,
    body: UnreadJsonObject<CreatePost>,
) -> Result<Response, CreateError> {
    let Writer(author) = author?;
    let draft = body.read().await?.draft()?;
    let key = idempotency_key(&headers, &draft)?;
    let created = board
        .publish(draft, author, key.as_ref())
        .await
        .map_err(ApiError::from)?;
    match created {
        Created::New(post) => Ok(created_answer(post)),
        Created::Repeated(post) => {
            let replayed = HeaderName::from_static("idempotency-replayed");
            let mut answer = created_answer(post);
            let headers = answer.headers_mut();
            headers.insert(replayed, HeaderValue::from_static("true"));
            Ok(answer)
        }
        Created::OtherRequest => Err(ApiError::KeyReused.into()),
        Created::InFlight => Err(ApiError::KeyInFlight.into()),
    }
}

fn created_answer(post: NewPost) -> Response {
    let location = format!("/api/v1/posts/{}", post.id);
    let message = "게시글이 성공적으로 작성되었습니다.";
    let envelope = Envelope::with_message(message, CreatedPost::from(post));
    (
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        envelope,
    )
        .into_response()
}

fn idempotency_key(headers: &HeaderMap, draft: &Draft) -> Result<Option<IdempotencyKey>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = value.to_str().ok();
    let key = key.and_then(|key| IdempotencyKey::new(key, draft));
    key.map(Some).ok_or_else(|| {
        ApiError::field(
            "Idempotency-Key",
            "Idempotency-Key 헤더는 1자 이상 255자 이하의 ASCII여야 합니다.",
        )
    })
}
