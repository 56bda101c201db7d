//! The store in a SQLite file: no setup, one process.

use super::{
    MigrateError, PoolUse, Schema, Store, StoreError, migrate,
    rows::{CategoryRow, PostRow, convert},
    sql,
};
use crate::board::{Category, Filter, KstTime, NewPost, Order, Page, PageRequest, Post, PostId};
use async_trait::async_trait;
use sqlx::{
    Sqlite, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::time::Duration;

/// The columns of a [`PostRow`], on the alias `p`.
macro_rules! post_columns {
    () => {
        "p.id, p.title, p.content, p.username, p.user_id, p.category, \
         p.view_count, p.like_count, p.comment_count, p.media_count, p.media_files, \
         p.created_at, p.updated_at"
    };
}

const FIND_POST: &str = concat!(
    "SELECT ",
    post_columns!(),
    " FROM posts p WHERE p.id = ? AND p.status = 'visible'"
);

/// Posts in a SQLite file. SQLite has one writer at a time: writers queue for one connection
/// instead of for the file's lock, readers (WAL) never wait for them.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    readers: SqlitePool,
    writer: SqlitePool,
    limit: u32,
}

impl SqliteStore {
    /// Opens the file with at most `pool_size` reading connections; creates and migrates it first.
    pub async fn open(
        options: &SqliteConnectOptions,
        pool_size: u32,
    ) -> Result<Self, MigrateError> {
        let options = options
            .clone()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(5))
            .foreign_keys(true);
        migrate::sqlite(&options).await?;
        let pool = |size| {
            SqlitePoolOptions::new()
                .max_connections(size)
                .acquire_timeout(Duration::from_secs(3))
                .test_before_acquire(false)
                .connect_lazy_with(options.clone())
        };
        Ok(Self {
            readers: pool(pool_size),
            writer: pool(1),
            limit: pool_size,
        })
    }

    /// How many visible posts match: from a counter row where there is one.
    async fn total(&self, filter: &Filter) -> Result<u64, sqlx::Error> {
        let total: i64 = match sql::counted_scope(filter) {
            Some(scope) => sqlx::query_scalar("SELECT visible FROM post_totals WHERE scope = ?")
                .bind(scope)
                .fetch_optional(&self.readers)
                .await?
                .unwrap_or(0),
            None => {
                sql::count::<Sqlite>(filter)
                    .build_query_scalar()
                    .fetch_one(&self.readers)
                    .await?
            }
        };
        Ok(total.max(0).unsigned_abs())
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn create_post(&self, post: &NewPost) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let category_id =
            category_id(&mut transaction, post.category.as_str(), post.created_at).await?;
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
        sqlx::query("UPDATE post_totals SET visible = visible + 1 WHERE scope IN (?, ?)")
            .bind(&category_id)
            .bind(sql::WHOLE_BOARD)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    async fn find_post(&self, id: &PostId) -> Result<Option<Post>, StoreError> {
        let row: Option<PostRow> = sqlx::query_as(FIND_POST)
            .bind(id.as_str())
            .fetch_optional(&self.readers)
            .await?;
        Ok(row.map(Post::try_from).transpose()?)
    }

    async fn list_posts(
        &self,
        filter: &Filter,
        order: Order,
        page: PageRequest,
    ) -> Result<Page<Post>, StoreError> {
        let total = self.total(filter).await?;
        let rows: Vec<PostRow> = sql::list::<Sqlite>(post_columns!(), filter, order, page)
            .build_query_as()
            .fetch_all(&self.readers)
            .await?;
        Ok(sql::page(convert(rows)?, page, total, filter))
    }

    async fn list_categories(&self) -> Result<Vec<Category>, StoreError> {
        const ALL: &str = "SELECT id, name, created_at FROM categories ORDER BY name";
        let rows: Vec<CategoryRow> = sqlx::query_as(ALL).fetch_all(&self.readers).await?;
        Ok(convert(rows)?)
    }

    async fn create_category(&self, category: &Category) -> Result<bool, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let inserted = insert_category(&mut transaction, category).await?;
        transaction.commit().await?;
        Ok(inserted)
    }

    async fn check_schema(&self) -> Result<Schema, StoreError> {
        const APPLIED: &str = "SELECT MAX(version) FROM _sqlx_migrations WHERE success = TRUE";
        let applied: Option<i64> = sqlx::query_scalar(APPLIED).fetch_one(&self.readers).await?;
        Ok(migrate::compare(&migrate::SQLITE, applied))
    }

    fn pool(&self) -> PoolUse {
        PoolUse::new(self.readers.size(), self.readers.num_idle(), self.limit)
    }

    async fn close(&self) {
        self.readers.close().await;
        // Last, so that its closing checkpoints the write-ahead log.
        self.writer.close().await;
    }
}

/// The id of the category of this name; made, with its counter row, if new.
async fn category_id(
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
    if inserted == 0 {
        return Ok(false);
    }
    sqlx::query("INSERT INTO post_totals (scope, visible) VALUES (?, 0)")
        .bind(&category.id)
        .execute(connection)
        .await?;
    Ok(true)
}
