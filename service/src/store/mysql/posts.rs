//! Posts in MySQL.

use super::{MySqlStore, adoption, is_duplicate, totals};
use crate::{
    board::{NewPost, Post, PostId},
    store::{PostStore, StoreError, rows::PostRow, sql},
};
use async_trait::async_trait;
use sqlx::{Connection, MySqlConnection};

const FIND_POST: &str = concat!(
    "SELECT ",
    post_columns!(),
    " FROM posts p WHERE p.id = ? AND p.status = 'visible'"
);

#[async_trait]
impl PostStore for MySqlStore {
    async fn create_post(&self, post: &NewPost) -> Result<(), StoreError> {
        let category_id = self.category_id(&post.category, post.created_at).await?;
        let number = if self.is_finished().await? {
            attempt!(self.writing(), |connection| next_number(connection))?
        } else {
            attempt!(self.writing(), |connection| {
                adoption::number_beside_old_writers(connection)
            })?
        };
        for scope in [category_id.as_str(), sql::WHOLE_BOARD] {
            self.ensure_totals(scope, number).await?;
        }
        attempt!(self.writing(), |connection| {
            insert(connection, post, &category_id, number)
        })
    }

    async fn find_post(&self, id: &PostId) -> Result<Option<Post>, StoreError> {
        let row: Option<PostRow> = attempt!(self.reading(), |connection| {
            sqlx::query_as(FIND_POST)
                .bind(id.as_str())
                .fetch_optional(connection)
        })?;
        Ok(row.map(Post::try_from).transpose()?)
    }
}

/// The next post number, from a statement of its own: never given twice, never waited for behind
/// somebody's transaction. A number whose post is not stored is lost.
async fn next_number(connection: &mut MySqlConnection) -> Result<i64, sqlx::Error> {
    let result =
        sqlx::query("UPDATE post_numbers SET last = LAST_INSERT_ID(last + 1) WHERE id = 1")
            .execute(connection)
            .await?;
    i64::try_from(result.last_insert_id()).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// The post and the totals it changes, in lock order.
async fn insert(
    connection: &mut MySqlConnection,
    post: &NewPost,
    category_id: &str,
    number: i64,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let inserted = sqlx::query(
        "INSERT INTO posts (id, No, username, user_id, category, category_id, title, content, \
         status, view_count, like_count, comment_count, media_count, created_at, updated_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'visible', 0, 0, 0, 0, ?, ?)",
    )
    .bind(post.id.as_str())
    .bind(number)
    .bind(post.author.name())
    .bind(post.author.id())
    .bind(post.category.as_str())
    .bind(category_id)
    .bind(&post.title)
    .bind(&post.content)
    .bind(post.created_at.to_string())
    .bind(post.created_at.to_string())
    .execute(&mut *transaction)
    .await;
    match inserted {
        // Ids are random: a taken one is this post, from an attempt whose commit was not
        // acknowledged; its totals were committed with it.
        Err(error) if is_duplicate(&error) && is_stored(&mut transaction, &post.id).await? => {
            return transaction.rollback().await;
        }
        result => result?,
    };
    for scope in [category_id, sql::WHOLE_BOARD] {
        totals::shift(&mut transaction, scope, number, 1).await?;
    }
    transaction.commit().await
}

async fn is_stored(connection: &mut MySqlConnection, id: &PostId) -> Result<bool, sqlx::Error> {
    let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM posts WHERE id = ?")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}
