//! Categories in MySQL.

use super::MySqlStore;
use crate::{
    board::{Category, NewPost},
    store::{
        CategoryStore, StoreError,
        rows::{CategoryRow, convert},
    },
};
use async_trait::async_trait;

#[async_trait]
impl CategoryStore for MySqlStore {
    async fn list_categories(&self) -> Result<Vec<Category>, StoreError> {
        // sqlx takes a column of a binary collation for bytes: the cast makes it text again.
        const ALL: &str = "SELECT c.id, CAST(c.name AS CHAR) AS name, \
             DATE_FORMAT(c.created_at, '%Y-%m-%dT%H:%i:%s') AS created_at \
             FROM categories c ORDER BY c.name";
        let rows: Vec<CategoryRow> = self
            .read(|| sqlx::query_as(ALL).fetch_all(&self.pool))
            .await?;
        Ok(convert(rows)?)
    }

    async fn create_category(&self, category: &Category) -> Result<bool, StoreError> {
        self.write(|| self.insert_category(category)).await
    }
}

impl MySqlStore {
    /// The id of the category with this post's category name; made, with its counter row, if new.
    pub(super) async fn category_id(&self, post: &NewPost) -> Result<String, sqlx::Error> {
        const FIND: &str = "SELECT id FROM categories WHERE name = ?";
        let name = post.category.as_str();
        if let Some(id) = sqlx::query_scalar(FIND)
            .bind(name)
            .fetch_optional(&self.pool)
            .await?
        {
            return Ok(id);
        }
        self.insert_category(&Category {
            id: crate::board::new_id(),
            name: name.to_owned(),
            created_at: post.created_at,
        })
        .await?;
        // Ours, or that of somebody who was faster.
        sqlx::query_scalar(FIND)
            .bind(name)
            .fetch_one(&self.pool)
            .await
    }

    /// True if the category was inserted, false if the name was taken.
    async fn insert_category(&self, category: &Category) -> Result<bool, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let inserted =
            sqlx::query("INSERT IGNORE INTO categories (id, name, created_at) VALUES (?, ?, ?)")
                .bind(&category.id)
                .bind(&category.name)
                .bind(category.created_at.to_string())
                .execute(&mut *transaction)
                .await?
                .rows_affected();
        if inserted == 0 {
            // Or it is this one, from an attempt whose commit was not acknowledged.
            transaction.rollback().await?;
            let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM categories WHERE id = ?")
                .bind(&category.id)
                .fetch_optional(&self.pool)
                .await?;
            return Ok(found.is_some());
        }
        transaction.commit().await?;
        Ok(true)
    }
}
