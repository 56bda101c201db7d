//! The store in a SQLite file: no setup, one process. One file per topic beside this one.

use super::{MigrateError, PoolUse, Schema, Store, StoreError, migrate};
use async_trait::async_trait;
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::time::Duration;

/// The columns of a [`crate::store::rows::PostRow`], on the alias `p`.
macro_rules! post_columns {
    () => {
        "p.version, p.id, p.No AS number, p.title, p.content, p.username, p.user_id, p.category, \
         p.view_count, p.like_count, p.comment_count, p.media_files, \
         p.created_at, p.updated_at"
    };
}

mod categories;
mod comments;
mod deactivations;
mod likes;
mod lists;
mod media;
mod posts;
mod remembered;
mod totals;
mod views;

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
}

#[async_trait]
impl Store for SqliteStore {
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
