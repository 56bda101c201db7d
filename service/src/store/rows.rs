//! Rows as the databases return them, and their way into the domain.

use crate::board::{Category, Post};
use sqlx::FromRow;

/// A row of the post columns in [`super::sql`].
#[derive(FromRow)]
pub(super) struct PostRow {
    id: String,
    number: i64,
    title: String,
    content: String,
    username: String,
    user_id: Option<String>,
    category: String,
    view_count: i64,
    like_count: i64,
    comment_count: i64,
    version: i64,
    media_files: Option<String>,
    created_at: String,
    updated_at: String,
}

impl TryFrom<PostRow> for Post {
    type Error = sqlx::Error;

    fn try_from(row: PostRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.id.parse().map_err(unreadable("id"))?,
            number: row.number,
            title: row.title,
            content: row.content,
            username: row.username,
            user_id: row.user_id,
            category: row.category,
            view_count: row.view_count,
            like_count: row.like_count,
            comment_count: row.comment_count,
            version: row.version,
            media_files: media_list(row.media_files.as_deref()),
            created_at: row.created_at.parse().map_err(unreadable("created_at"))?,
            updated_at: row.updated_at.parse().map_err(unreadable("updated_at"))?,
        })
    }
}

/// The list in this JSON. An adopted row may hold anything else (`null` above all), which is no media.
fn media_list(json: Option<&str>) -> Vec<serde_json::Value> {
    json.and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default()
}

/// A row of the category columns in [`super::sql`].
#[derive(FromRow)]
pub(super) struct CategoryRow {
    id: String,
    name: String,
    created_at: String,
}

impl TryFrom<CategoryRow> for Category {
    type Error = sqlx::Error;

    fn try_from(row: CategoryRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.id,
            name: row.name,
            created_at: row.created_at.parse().map_err(unreadable("created_at"))?,
        })
    }
}

/// Converts all rows or reports the first that cannot be.
pub(super) fn convert<Row, Item>(rows: Vec<Row>) -> Result<Vec<Item>, sqlx::Error>
where
    Item: TryFrom<Row, Error = sqlx::Error>,
{
    rows.into_iter().map(Item::try_from).collect()
}

/// The error for a column that holds what it cannot hold.
fn unreadable<E>(column: &'static str) -> impl Fn(E) -> sqlx::Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    move |error| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: Box::new(error),
    }
}
