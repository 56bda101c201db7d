//! Categories in MySQL.

use super::{MySqlStore, is_duplicate};
use crate::{
    board::{Category, CategoryName, KstTime},
    store::{
        CategoryStore, StoreError,
        rows::{CategoryRow, convert},
    },
};
use async_trait::async_trait;
use sqlx::MySqlConnection;

#[async_trait]
impl CategoryStore for MySqlStore {
    async fn list_categories(&self) -> Result<Vec<Category>, StoreError> {
        // sqlx takes a column of a binary collation for bytes: the cast makes it text again.
        const ALL: &str = "SELECT c.id, CAST(c.name AS CHAR) AS name, \
             DATE_FORMAT(COALESCE(c.created_at, TIMESTAMP '1970-01-01 00:00:00'), '%Y-%m-%dT%H:%i:%s') AS created_at \
             FROM categories c ORDER BY c.name";
        let rows: Vec<CategoryRow> = attempt!(self.reading(), |connection| {
            sqlx::query_as(ALL).fetch_all(connection)
        })?;
        Ok(convert(rows)?)
    }

    async fn find_category(&self, name: &str) -> Result<Option<String>, StoreError> {
        attempt!(self.reading(), |connection| find(connection, name))
    }

    async fn create_category(&self, category: &Category) -> Result<bool, StoreError> {
        attempt!(self.writing(), |connection| insert(connection, category))
    }
}

impl MySqlStore {
    /// The id of the category of this name; made if new.
    pub(super) async fn category_id(
        &self,
        name: &CategoryName,
        now: KstTime,
    ) -> Result<String, StoreError> {
        let name = name.as_str();
        if let Some(id) = self.find_category(name).await? {
            return Ok(id);
        }
        self.create_category(&Category {
            id: crate::board::new_id(),
            name: name.to_owned(),
            created_at: now,
        })
        .await?;
        // Ours, or that of somebody who was faster.
        let found = self.find_category(name).await?;
        Ok(found.ok_or(sqlx::Error::RowNotFound)?)
    }
}

async fn find(connection: &mut MySqlConnection, name: &str) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT id FROM categories WHERE name = ?")
        .bind(name)
        .fetch_optional(connection)
        .await
}

/// True if the category was inserted, false if the name was taken.
async fn insert(
    connection: &mut MySqlConnection,
    category: &Category,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query("INSERT INTO categories (id, name, created_at) VALUES (?, ?, ?)")
        .bind(&category.id)
        .bind(&category.name)
        .bind(category.created_at.to_string())
        .execute(&mut *connection)
        .await;
    match inserted {
        Err(error) if is_duplicate(&error) => {}
        result => return result.map(|_| true),
    }
    // Or it is this one, from an attempt whose success was not acknowledged.
    let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM categories WHERE id = ?")
        .bind(&category.id)
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}
