//! Categories in SQLite.

use super::SqliteStore;
use crate::{
    board::{Category, KstTime},
    store::{
        CategoryStore, StoreError,
        rows::{CategoryRow, convert},
    },
};
use async_trait::async_trait;
use sqlx::SqliteConnection;

#[async_trait]
impl CategoryStore for SqliteStore {
    async fn list_categories(&self) -> Result<Vec<Category>, StoreError> {
        const ALL: &str = "SELECT id, name, created_at FROM categories ORDER BY name";
        let rows: Vec<CategoryRow> = sqlx::query_as(ALL).fetch_all(&self.readers).await?;
        Ok(convert(rows)?)
    }

    async fn find_category(&self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT id FROM categories WHERE name = ?")
                .bind(name)
                .fetch_optional(&self.readers)
                .await?,
        )
    }

    async fn create_category(&self, category: &Category) -> Result<bool, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let inserted = insert_category(&mut transaction, category).await?;
        transaction.commit().await?;
        Ok(inserted)
    }
}

/// The id of the category of this name; made, with its counter row, if new.
pub(super) async fn category_id(
    connection: &mut SqliteConnection,
    name: &str,
    now: KstTime,
) -> Result<String, sqlx::Error> {
    let found = sqlx::query_scalar("SELECT id FROM categories WHERE name = ?")
        .bind(name)
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(id) = found {
        return Ok(id);
    }
    let category = Category {
        id: crate::board::new_id(),
        name: name.to_owned(),
        created_at: now,
    };
    insert_category(connection, &category).await?;
    Ok(category.id)
}

/// True if the category was inserted, false if the name was taken.
async fn insert_category(
    connection: &mut SqliteConnection,
    category: &Category,
) -> Result<bool, sqlx::Error> {
    let inserted =
        sqlx::query("INSERT OR IGNORE INTO categories (id, name, created_at) VALUES (?, ?, ?)")
            .bind(&category.id)
            .bind(&category.name)
            .bind(category.created_at.to_string())
            .execute(&mut *connection)
            .await?
            .rows_affected();
    Ok(inserted > 0)
}
