//! Posts: create, read, list.

use super::{
    App,
    envelope::{Envelope, ListEnvelope},
    error::{ApiError, CreateError, ErrorEnvelope, PlainError},
    extract::{JsonObject, Params},
};
use crate::board::{
    Board, Draft, Filter, NewPost, Order, PageLimits, PageRequest, Post, PostId, User,
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Routes under the API's base.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_posts, create_post))
        .routes(routes!(my_posts))
        .routes(routes!(read_post))
}

/// A post.
#[derive(Debug, Serialize, ToSchema)]
struct PostView {
    /// 32 hexadecimal digits.
    #[schema(example = "5c1e4b6ac6ff4ee0b2e9b5f2a7b8a2c1")]
    id: String,
    #[schema(example = "첫글")]
    title: String,
    #[schema(example = "내용입니다")]
    content: String,
    /// The author's name when it was written.
    #[schema(example = "alice")]
    username: String,
    /// The author's `sub`.
    #[schema(example = "11111111-1111-1111-1111-111111111111")]
    user_id: Option<String>,
    /// The category's name.
    #[schema(example = "자유")]
    category: String,
    view_count: i64,
    like_count: i64,
    comment_count: i64,
    /// Length of `media_files`.
    media_count: usize,
    #[schema(value_type = Vec<Object>)]
    media_files: Vec<serde_json::Value>,
    /// Naive KST.
    #[schema(example = "2026-01-02T09:00:00")]
    created_at: String,
    /// Naive KST.
    #[schema(example = "2026-01-02T09:00:00")]
    updated_at: String,
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
            view_count: post.view_count,
            like_count: post.like_count,
            comment_count: post.comment_count,
            media_count: post.media_files.len(),
            media_files: post.media_files,
            created_at: post.created_at.to_string(),
            updated_at: post.updated_at.to_string(),
        }
    }
}

/// A post to be published. The author is the token's user, whatever else the body says.
#[derive(Debug, Deserialize, ToSchema)]
struct CreatePost {
    /// 1 to 200 characters; trimmed.
    #[schema(required = true, example = "첫글", min_length = 1, max_length = 200)]
    title: Option<String>,
    /// 1 byte to 64 KiB of UTF-8.
    #[schema(required = true, example = "내용입니다", min_length = 1)]
    content: Option<String>,
    /// 1 to 50 characters; made on first use.
    #[schema(required = true, example = "자유", min_length = 1, max_length = 50)]
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
struct CreatedPost {
    /// 32 hexadecimal digits.
    #[schema(example = "5c1e4b6ac6ff4ee0b2e9b5f2a7b8a2c1")]
    id: String,
    #[schema(example = "첫글")]
    title: String,
    #[schema(example = "내용입니다")]
    content: String,
    #[schema(example = "자유")]
    category: String,
    /// The author's name.
    #[schema(example = "alice")]
    username: String,
    /// Naive KST.
    #[schema(example = "2026-01-02T09:00:00")]
    created_at: String,
}

impl From<NewPost> for CreatedPost {
    fn from(post: NewPost) -> Self {
        Self {
            id: post.id.to_string(),
            username: post.author.name().to_owned(),
            category: post.category.as_str().to_owned(),
            title: post.title,
            content: post.content,
            created_at: post.created_at.to_string(),
        }
    }
}

/// Publish a post.
#[utoipa::path(
    post,
    path = "/posts",
    tag = "posts",
    request_body = CreatePost,
    security(("bearer" = [])),
    responses(
        (status = CREATED, body = Envelope<CreatedPost>,
            headers(("Location" = String, description = "The post's path"))),
        (status = BAD_REQUEST, body = PlainError,
            description = "A field is missing or wrong; the message names it"),
        (status = UNAUTHORIZED, body = PlainError, description = "No valid token"),
        (status = PAYLOAD_TOO_LARGE, body = PlainError,
            description = "The body is longer than 1 MiB"),
        (status = UNSUPPORTED_MEDIA_TYPE, body = PlainError, description = "The body is not JSON"),
        (status = SERVICE_UNAVAILABLE, body = PlainError,
            description = "The database does not answer; try again"),
    )
)]
async fn create_post(
    State(board): State<Board>,
    author: User,
    body: Result<JsonObject<CreatePost>, ApiError>,
) -> Result<Response, CreateError> {
    let JsonObject(body) = body?;
    let post = board
        .publish(body.draft()?, author)
        .await
        .map_err(ApiError::from)?;
    let location = format!("/api/v1/posts/{}", post.id);
    let message = "게시글이 성공적으로 작성되었습니다.";
    let envelope = Envelope::with_message(message, CreatedPost::from(post));
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        envelope,
    )
        .into_response())
}

/// Read a post.
#[utoipa::path(
    get,
    path = "/posts/{id}",
    tag = "posts",
    params(("id" = String, Path, description = "32 hexadecimal digits")),
    responses(
        (status = OK, body = Envelope<PostView>),
        (status = BAD_REQUEST, body = ErrorEnvelope,
            description = "The id is `null` or `undefined`"),
        (status = NOT_FOUND, body = ErrorEnvelope, description = "No visible post has this id"),
        (status = SERVICE_UNAVAILABLE, body = ErrorEnvelope,
            description = "The database does not answer; try again"),
    )
)]
async fn read_post(State(board): State<Board>, id: PostId) -> Result<Envelope<PostView>, ApiError> {
    let post = board.post(&id).await?.ok_or(ApiError::NoPost)?;
    Ok(Envelope::ok(post.into()))
}

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PageParams {
    /// From 1; below means 1.
    #[param(value_type = Option<i64>, example = 1)]
    page: Option<String>,
    /// Entries a page; at most `MAX_PAGE_SIZE`.
    #[param(value_type = Option<i64>, example = 10)]
    per_page: Option<String>,
    /// Another name of `per_page`.
    #[param(value_type = Option<i64>)]
    size: Option<String>,
}

impl PageParams {
    fn request(&self, limits: PageLimits) -> Result<PageRequest, ApiError> {
        let size = match self.per_page {
            Some(_) => number("per_page", self.per_page.as_deref())?,
            None => number("size", self.size.as_deref())?,
        };
        Ok(PageRequest::new(
            number("page", self.page.as_deref())?,
            size,
            limits,
        ))
    }
}

/// Which posts a list holds and in which order.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// In the title, taken literally.
    q: Option<String>,
    /// Another name of `q`.
    search: Option<String>,
    /// Only this category.
    category_id: Option<String>,
    /// Only this author.
    user_id: Option<String>,
    /// `latest` (default) or `popular`.
    #[param(example = "latest")]
    sort: Option<String>,
}

impl ListParams {
    fn order(&self) -> Order {
        match self.sort.as_deref() {
            Some("popular") => Order::Popular,
            _ => Order::Latest,
        }
    }

    fn filter(self) -> Filter {
        let given = |value: Option<String>| value.filter(|text| !text.is_empty());
        Filter {
            category_id: given(self.category_id),
            user_id: given(self.user_id),
            search: given(self.q).or(given(self.search)),
        }
    }
}

/// A number in the query string; nothing at all counts as absent.
fn number(name: &str, text: Option<&str>) -> Result<Option<i64>, ApiError> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let refused = |_| ApiError::bad_request(format!("{name}은(는) 정수여야 합니다."));
    text.parse().map(Some).map_err(refused)
}

/// List posts, newest first.
#[utoipa::path(
    get,
    path = "/posts",
    tag = "posts",
    params(PageParams, ListParams),
    responses(
        (status = OK, body = ListEnvelope<PostView>),
        (status = BAD_REQUEST, body = ErrorEnvelope,
            description = "A number is none; the message names it"),
        (status = SERVICE_UNAVAILABLE, body = ErrorEnvelope,
            description = "The database does not answer; try again"),
    )
)]
async fn list_posts(
    State(board): State<Board>,
    State(limits): State<PageLimits>,
    Params(page): Params<PageParams>,
    Params(list): Params<ListParams>,
) -> Result<ListEnvelope<PostView>, ApiError> {
    let (page, order) = (page.request(limits)?, list.order());
    Ok(ListEnvelope::of(
        board.posts(&list.filter(), order, page).await?,
    ))
}

/// List the caller's own posts, newest first.
#[utoipa::path(
    get,
    path = "/posts/my",
    tag = "posts",
    params(PageParams),
    security(("bearer" = [])),
    responses(
        (status = OK, body = ListEnvelope<PostView>),
        (status = UNAUTHORIZED, body = PlainError, description = "No valid token"),
    )
)]
async fn my_posts(
    State(board): State<Board>,
    State(limits): State<PageLimits>,
    user: User,
    Params(page): Params<PageParams>,
) -> Result<ListEnvelope<PostView>, ApiError> {
    let filter = Filter {
        user_id: Some(user.id().to_owned()),
        ..Filter::default()
    };
    let page = board
        .posts(&filter, Order::Latest, page.request(limits)?)
        .await?;
    Ok(ListEnvelope::of(page))
}
