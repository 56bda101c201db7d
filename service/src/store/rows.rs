//! Rows as the databases return them, and their way into the domain.

use crate::board::{Category, MediaList, Post};
use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};

/// A row that begins with the post columns in [`super::mysql`] and [`super::sqlite`], in the same order.
pub(super) struct PostRow {
    version: i64,
    pub(super) id: String,
    number: i64,
    title: String,
    content: String,
    username: String,
    user_id: Option<String>,
    category: String,
    view_count: i64,
    like_count: i64,
    comment_count: i64,
    media_files: Option<String>,
    created_at: String,
    updated_at: String,
}

/// By places instead of names, which would be looked up in each row anew.
impl<'r, R: Row> FromRow<'r, R> for PostRow
where
    usize: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    Option<String>: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self {
            version: row.try_get(0)?,
            id: row.try_get(1)?,
            number: row.try_get(2)?,
            title: row.try_get(3)?,
            content: row.try_get(4)?,
            username: row.try_get(5)?,
            user_id: row.try_get(6)?,
            category: row.try_get(7)?,
            view_count: row.try_get(8)?,
            like_count: row.try_get(9)?,
            comment_count: row.try_get(10)?,
            media_files: row.try_get(11)?,
            created_at: row.try_get(12)?,
            updated_at: row.try_get(13)?,
        })
    }
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
            media_files: MediaList::read(row.media_files.as_deref()).into_entries(),
            created_at: row.created_at.parse().map_err(unreadable("created_at"))?,
            updated_at: row.updated_at.parse().map_err(unreadable("updated_at"))?,
        })
    }
}

/// A row of the category columns in [`super::mysql`] and [`super::sqlite`].
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

/// Converts the posts of a list. A row of an adopted database that is no post of ours (a hand-made
/// id, a date of zeros) is left out: the others of its page are not to blame.
pub(super) fn convert_posts(rows: Vec<PostRow>) -> Vec<Post> {
    let convert = |row: PostRow| {
        let id = row.id.clone();
        Post::try_from(row)
            .inspect_err(|error| tracing::warn!(id, %error, "left out of a list"))
            .ok()
    };
    rows.into_iter().filter_map(convert).collect()
}

/// Converts all rows or reports the first that cannot be.
pub(super) fn convert<Row, Item>(rows: Vec<Row>) -> Result<Vec<Item>, sqlx::Error>
where
    Item: TryFrom<Row, Error = sqlx::Error>,
{
    rows.into_iter().map(Item::try_from).collect()
}

/// The error for a column that holds what it cannot hold.
pub(super) fn unreadable<E>(column: &'static str) -> impl Fn(E) -> sqlx::Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    move |error| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: Box::new(error),
    }
}
