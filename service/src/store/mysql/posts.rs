//! Posts in MySQL.

use super::{MySqlStore, is_duplicate, totals};
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
impl PostStore for MySqlStore {
    async fn create_post(&self, post: &NewPost) -> Result<(), StoreError> {
        let category_id = self.write(|| self.category_id(post)).await?;
        let number = self.write(|| self.next_number()).await?;
        self.write(|| self.insert_post(post, &category_id, number))
            .await
    }

    async fn find_post(&self, id: &PostId) -> Result<Option<Post>, StoreError> {
        let row: Option<PostRow> = self
            .read(|| {
                sqlx::query_as(FIND_POST)
                    .bind(id.as_str())
                    .fetch_optional(&self.pool)
            })
            .await?;
        Ok(row.map(Post::try_from).transpose()?)
    }
}

impl MySqlStore {
    /// The next post number, from a statement of its own: never given twice, never waited for
    /// behind somebody's transaction. A number whose post is not stored is lost.
    async fn next_number(&self) -> Result<i64, sqlx::Error> {
        let result =
            sqlx::query("UPDATE post_numbers SET last = LAST_INSERT_ID(last + 1) WHERE id = 1")
                .execute(&self.pool)
                .await?;
        i64::try_from(result.last_insert_id()).map_err(|error| sqlx::Error::Decode(Box::new(error)))
    }

    /// The post and the totals it changes, in lock order.
    async fn insert_post(
        &self,
        post: &NewPost,
        category_id: &str,
        number: i64,
    ) -> Result<(), sqlx::Error> {
        for scope in [category_id, sql::WHOLE_BOARD] {
            totals::ensure(&self.pool, &self.known_totals, scope, number).await?;
        }
        let mut transaction = self.pool.begin().await?;
        let inserted = sqlx::query(
            "INSERT INTO posts (id, No, username, user_id, category, category_id, title, content, \
             status, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'visible', ?, ?)",
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
            Err(error) if is_duplicate(&error) && self.is_stored(&post.id).await? => {
                return transaction.rollback().await;
            }
            result => result?,
        };
        for scope in [category_id, sql::WHOLE_BOARD] {
            totals::shift(&mut transaction, scope, number, 1).await?;
        }
        transaction.commit().await
    }

    async fn is_stored(&self, id: &PostId) -> Result<bool, sqlx::Error> {
        let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM posts WHERE id = ?")
            .bind(id.as_str())
            .fetch_optional(&self.pool)
            .await?;
        Ok(found.is_some())
    }
}
