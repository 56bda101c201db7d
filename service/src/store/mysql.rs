//! The store on MySQL and MariaDB.

use super::{
    PoolUse, Schema, Store, StoreError, migrate,
    rows::{CategoryRow, PostRow, convert},
    sql,
};
use crate::board::{Category, Filter, NewPost, Order, Page, PageRequest, Post, PostId};
use async_trait::async_trait;
use sqlx::{
    Connection, MySql, MySqlPool,
    mysql::{MySqlConnectOptions, MySqlPoolOptions},
};
use std::time::Duration;

/// The columns of a [`PostRow`], on the alias `p`; times as [`crate::board::KstTime`] writes them.
macro_rules! post_columns {
    () => {
        "p.id, p.title, p.content, p.username, p.user_id, p.category, \
         p.view_count, p.like_count, p.comment_count, p.media_count, \
         CAST(p.media_files AS CHAR) AS media_files, \
         DATE_FORMAT(p.created_at, '%Y-%m-%dT%H:%i:%s') AS created_at, \
         DATE_FORMAT(p.updated_at, '%Y-%m-%dT%H:%i:%s') AS updated_at"
    };
}

const FIND_POST: &str = concat!(
    "SELECT ",
    post_columns!(),
    " FROM posts p WHERE p.id = ? AND p.status = 'visible'"
);

/// How often a transaction that lost a deadlock or a connection is tried in all.
const ATTEMPTS: u32 = 4;

/// Posts in MySQL.
#[derive(Debug, Clone)]
pub struct MySqlStore {
    pool: MySqlPool,
    limit: u32,
}

impl MySqlStore {
    /// A pool of at most `pool_size` connections, none of them opened yet.
    pub fn connect_lazy(options: &MySqlConnectOptions, pool_size: u32) -> Self {
        let pool = MySqlPoolOptions::new()
            .max_connections(pool_size)
            .acquire_timeout(Duration::from_secs(3))
            .max_lifetime(Duration::from_mins(10))
            // A ping before every use costs a quarter of the throughput; dead connections are
            // noticed by their first statement, and reads are tried again.
            .test_before_acquire(false)
            .connect_lazy_with(options.clone());
        Self {
            pool,
            limit: pool_size,
        }
    }

    /// Runs a read; if its connection turns out to be dead, once more on a living one.
    async fn read<T, F>(&self, query: impl Fn() -> F + Send + Sync) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, sqlx::Error>> + Send,
    {
        match query().await {
            Err(error) if sql::is_connection_lost(&error) => {
                self.drop_dead_connections().await?;
                Ok(query().await?)
            }
            result => Ok(result?),
        }
    }

    /// Runs a transaction until it neither lost a deadlock nor its connection. It must be one that
    /// notices its own earlier success.
    async fn write<T, F>(&self, transaction: impl Fn() -> F + Send + Sync) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, sqlx::Error>> + Send,
    {
        let mut attempt = 1;
        loop {
            match transaction().await {
                Err(error) if attempt < ATTEMPTS && sql::is_connection_lost(&error) => {
                    self.drop_dead_connections().await?;
                }
                Err(error) if attempt < ATTEMPTS && sql::is_rolled_back(&error) => {}
                result => return Ok(result?),
            }
            attempt += 1;
        }
    }

    /// Closes idle connections until one answers (after a restart of the server all are dead).
    async fn drop_dead_connections(&self) -> Result<(), sqlx::Error> {
        for _ in 0..self.limit {
            let mut connection = self.pool.acquire().await?;
            if connection.ping().await.is_ok() {
                return Ok(());
            }
            drop(connection.detach());
        }
        Ok(())
    }

    /// The id of the category with this post's category name; made, with its counter row, if new.
    async fn category_id(&self, post: &NewPost) -> Result<String, sqlx::Error> {
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
        sqlx::query("INSERT INTO post_totals (scope, visible) VALUES (?, 0)")
            .bind(&category.id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(true)
    }

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
            sqlx::query("UPDATE post_totals SET visible = visible + 1 WHERE scope = ?")
                .bind(scope)
                .execute(&mut *transaction)
                .await?;
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

    /// How many visible posts match: from a counter row where there is one.
    async fn total(&self, filter: &Filter) -> Result<u64, sqlx::Error> {
        let total: i64 = match sql::counted_scope(filter) {
            Some(scope) => sqlx::query_scalar("SELECT visible FROM post_totals WHERE scope = ?")
                .bind(scope)
                .fetch_optional(&self.pool)
                .await?
                .unwrap_or(0),
            None => {
                sql::count::<MySql>(filter)
                    .build_query_scalar()
                    .fetch_one(&self.pool)
                    .await?
            }
        };
        Ok(total.max(0).unsigned_abs())
    }
}

#[async_trait]
impl Store for MySqlStore {
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

    async fn list_posts(
        &self,
        filter: &Filter,
        order: Order,
        page: PageRequest,
    ) -> Result<Page<Post>, StoreError> {
        let total = self.read(|| self.total(filter)).await?;
        let rows: Vec<PostRow> = self
            .read(|| async {
                sql::list::<MySql>(post_columns!(), filter, order, page)
                    .build_query_as()
                    .fetch_all(&self.pool)
                    .await
            })
            .await?;
        Ok(sql::page(convert(rows)?, page, total, filter))
    }

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

    async fn check_schema(&self) -> Result<Schema, StoreError> {
        const APPLIED: &str = "SELECT MAX(version) FROM _sqlx_migrations WHERE success = TRUE";
        let applied: Result<Option<i64>, StoreError> = self
            .read(|| sqlx::query_scalar(APPLIED).fetch_one(&self.pool))
            .await;
        match applied {
            Ok(applied) => Ok(migrate::compare(&migrate::MYSQL, applied)),
            Err(StoreError::Unavailable(error)) if sql::is_missing_table(&error) => {
                Ok(migrate::compare(&migrate::MYSQL, None))
            }
            Err(error) => Err(error),
        }
    }

    fn pool(&self) -> PoolUse {
        PoolUse::new(self.pool.size(), self.pool.num_idle(), self.limit)
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

/// Whether a unique key was violated.
fn is_duplicate(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}
