//! The store on MySQL and MariaDB: connections and retries here, one file per topic beside it.
//!
//! Never compare a column of a table that may have been adopted (`posts`, `likes`, `categories`)
//! with one of a table of ours: their collations may differ. Bind values instead.

use super::{PoolUse, Schema, Store, StoreError, migrate, sql};
use async_trait::async_trait;
use sqlx::{
    Connection, MySqlPool,
    mysql::{MySqlConnectOptions, MySqlPoolOptions},
};
use std::{sync::Arc, time::Duration};

/// The columns of a [`PostRow`], on the alias `p`. An adopted table
/// may hold NULL nearly everywhere. Times as [`crate::board::KstTime`] writes them.
macro_rules! post_columns {
    () => {
        "p.id, p.No AS number, COALESCE(p.title, '') AS title, COALESCE(p.content, '') AS content, \
         COALESCE(p.username, '') AS username, p.user_id, COALESCE(p.category, '') AS category, \
         COALESCE(p.view_count, 0) AS view_count, COALESCE(p.like_count, 0) AS like_count, \
         COALESCE(p.comment_count, 0) AS comment_count, p.version, \
         CAST(p.media_files AS CHAR) AS media_files, \
         DATE_FORMAT(p.created_at, '%Y-%m-%dT%H:%i:%s') AS created_at, \
         DATE_FORMAT(p.updated_at, '%Y-%m-%dT%H:%i:%s') AS updated_at"
    };
}

mod categories;
mod lists;
mod posts;
mod totals;

/// How often a transaction that lost a deadlock or a connection is tried in all.
const ATTEMPTS: u32 = 4;

/// Posts in MySQL.
#[derive(Debug, Clone)]
pub struct MySqlStore {
    pool: MySqlPool,
    limit: u32,
    known_totals: Arc<totals::Known>,
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
            known_totals: Arc::default(),
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
}

#[async_trait]
impl Store for MySqlStore {
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
