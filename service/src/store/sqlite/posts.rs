//! Posts in SQLite.

use super::{SqliteStore, categories, totals};
use crate::{
    board::{NewPost, Post, PostId},
    store::{PostStore, StoreError, rows::PostRow, sql},
};
use async_trait::async_trait;

const FIND_POST: &str = concat!(
    "SELECT ",
    post_columns!(),
    " FROM posts p WHERE p.id = ? AND p.status = 'visible'"
);

#[async_trait]
impl PostStore for SqliteStore {
    async fn create_post(&self, post: &NewPost) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let category_id =
            categories::category_id(&mut transaction, post.category.as_str(), post.created_at)
                .await?;
        let number: i64 = sqlx::query_scalar(
            "UPDATE post_numbers SET last = last + 1 WHERE id = 1 RETURNING last",
        )
        .fetch_one(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO posts (id, No, username, user_id, category, category_id, title, content, \
             status, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'visible', ?, ?)",
        )
        .bind(post.id.as_str())
        .bind(number)
        .bind(post.author.name())
        .bind(post.author.id())
        .bind(post.category.as_str())
        .bind(&category_id)
        .bind(&post.title)
        .bind(&post.content)
        .bind(post.created_at.to_string())
        .bind(post.created_at.to_string())
        .execute(&mut *transaction)
        .await?;
        for scope in [category_id.as_str(), sql::WHOLE_BOARD] {
            totals::shift(&mut transaction, scope, number, 1).await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn find_post(&self, id: &PostId) -> Result<Option<Post>, StoreError> {
        let row: Option<PostRow> = sqlx::query_as(FIND_POST)
            .bind(id.as_str())
            .fetch_optional(&self.readers)
            .await?;
        Ok(row.map(Post::try_from).transpose()?)
    }
}
