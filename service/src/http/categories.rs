//! Categories.

use super::{
    App,
    caller::Caller,
    envelope::Envelope,
    error::{ApiError, ErrorEnvelope, PlainError},
    etag::ETag,
    extract::{JsonObject, Writer},
    params::IfNoneMatch,
    reads::Reads,
    rendered::Rendered,
};
use crate::board::{Board, Category, CategoryExists, CategoryName, Fault, FieldError, KstTime};
use axum::{extract::State, response::Response};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Routes under the API's base.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_categories, create_category))
}

/// A category.
#[derive(Debug, Hash, Serialize, ToSchema)]
struct CategoryView {
    /// 32 hexadecimal digits.
    #[schema(example = "0b0e4b6ac6ff4ee0b2e9b5f2a7b8a2c1")]
    id: String,
    /// Unique.
    #[schema(example = "자유")]
    name: String,
    /// When it was first used, in naive KST.
    #[schema(value_type = String, example = "2026-01-02T09:00:00")]
    created_at: KstTime,
}

impl From<Category> for CategoryView {
    fn from(category: Category) -> Self {
        let Category {
            id,
            name,
            created_at,
        } = category;
        Self {
            id,
            name,
            created_at,
        }
    }
}

/// A category to be made.
#[derive(Debug, Deserialize, ToSchema)]
struct CreateCategory {
    /// 1 to 50 characters; trimmed and brought to Unicode NFC.
    #[schema(value_type = String, required = true, example = "자유",
        min_length = 1, max_length = 50, pattern = r"^[^\u0000]*\S[^\u0000]*$")]
    name: Option<String>,
}

/// A category just made.
#[derive(Debug, Serialize, ToSchema)]
struct CreatedCategory {
    /// 32 hexadecimal digits.
    #[schema(example = "0b0e4b6ac6ff4ee0b2e9b5f2a7b8a2c1")]
    id: String,
    /// As stored.
    #[schema(example = "자유")]
    name: String,
}

/// List all categories, by name.
#[utoipa::path(
    get,
    path = "/categories",
    tag = "categories",
    params(IfNoneMatch),
    responses(
        (status = OK, body = Envelope<Vec<CategoryView>>,
            headers(("ETag" = String, description = "Of the list"))),
        (status = NOT_MODIFIED, description = "The client knows this"),
    )
)]
async fn list_categories(
    State(reads): State<Reads>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let categories = reads.categories(caller.freshness()).await?;
    Ok(categories.unless_known(&headers))
}

/// The list of categories as it is answered.
pub(super) fn render(categories: Vec<Category>) -> Rendered {
    let views: Vec<_> = categories.into_iter().map(CategoryView::from).collect();
    Rendered::new(ETag::of(&views), &Envelope::ok(views))
}

/// Make a category.
#[utoipa::path(
    post,
    path = "/categories",
    tag = "categories",
    request_body = CreateCategory,
    security(("bearer" = [])),
    responses(
        (status = OK, body = Envelope<CreatedCategory>),
        (status = BAD_REQUEST, body = ErrorEnvelope, description = "No name, too long, or taken"),
        (status = UNAUTHORIZED, body = PlainError, description = "No valid token"),
    )
)]
async fn create_category(
    State(board): State<Board>,
    _: Writer,
    JsonObject(body): JsonObject<CreateCategory>,
) -> Result<Envelope<CreatedCategory>, ApiError> {
    let name = CategoryName::parse("name", body.name.as_deref()).map_err(explain)?;
    match board.create_category(name).await? {
        Ok(Category { id, name, .. }) => Ok(Envelope::with_message(
            "카테고리가 생성되었습니다",
            CreatedCategory { id, name },
        )),
        Err(CategoryExists) => Err(ApiError::field("name", "이미 존재하는 카테고리입니다")),
    }
}

/// The Flask service had a sentence of its own for a missing name.
fn explain(error: FieldError) -> ApiError {
    match error.fault {
        Fault::Missing => ApiError::field("name", "카테고리 이름은 필수입니다"),
        _ => error.into(),
    }
}
