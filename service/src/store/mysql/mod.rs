//! The store on MySQL and MariaDB: connections and retries here, one file per topic beside it.
//!
//! Never compare a column of a table that may have been adopted (`posts`, `likes`, `categories`)
//! with one of a table of ours: their collations may differ. Bind values instead.

use super::{PoolUse, Schema, Store, StoreError, errors, migrate};
use async_trait::async_trait;
use sqlx::mysql::MySqlConnectOptions;
use std::sync::Arc;

/// The columns of a [`crate::store::rows::PostRow`], on the alias `p`. An adopted table
/// may hold NULL nearly everywhere. Times as [`crate::board::KstTime`] writes them. The argument is
/// the version: `p.version`, or what stands for it while there is no such column.
macro_rules! post_columns {
    ($version:literal) => {
        concat!($version, " AS version, ", post_columns!())
    };
    () => {
        "p.id, CAST(p.No AS SIGNED) AS number, COALESCE(p.title, '') AS title, COALESCE(p.content, '') AS content, \
         COALESCE(p.username, '') AS username, p.user_id, COALESCE(p.category, '') AS category, \
         CAST(COALESCE(p.view_count, 0) AS SIGNED) AS view_count, \
         CAST(COALESCE(p.like_count, 0) AS SIGNED) AS like_count, \
         CAST(COALESCE(p.comment_count, 0) AS SIGNED) AS comment_count, \
         CAST(p.media_files AS CHAR) AS media_files, \
         DATE_FORMAT(COALESCE(p.created_at, p.updated_at, TIMESTAMP '1970-01-01 00:00:00'), \
             '%Y-%m-%dT%H:%i:%s') AS created_at, \
         DATE_FORMAT(COALESCE(p.updated_at, p.created_at, TIMESTAMP '1970-01-01 00:00:00'), \
             '%Y-%m-%dT%H:%i:%s') AS updated_at"
    };
}

/// Runs an operation on a connection of the pool until it succeeds, fails for good or has been
/// tried often enough: `attempt!(self.reading(), |connection| future)`. The future may borrow the
/// connection and ends in `Result<T, sqlx::Error>`; the whole is a `Result<T, StoreError>`. With
/// `|connection, repeated|` it is told whether an earlier attempt may have taken effect unseen.
macro_rules! attempt {
    ($attempts:expr, |$connection:ident| $operation:expr) => {
        attempt!($attempts, |$connection, _repeated| $operation)
    };
    ($attempts:expr, |$connection:ident, $repeated:pat_param| $operation:expr) => {{
        let mut attempts = $attempts;
        loop {
            let mut leased = match attempts.connect().await {
                Ok(leased) => leased,
                Err(error) => break Err(error),
            };
            let result = {
                let $repeated = attempts.is_repeated();
                let $connection: &mut sqlx::MySqlConnection = leased.connection();
                tokio::time::timeout($crate::store::mysql::attempt::OPERATION_TIME, $operation)
                    .await
            };
            if let Some(result) = attempts.judge(leased, result) {
                break result;
            }
        }
    }};
}

/// Reads [`crate::store::posts::Guarded`]; the argument is the version, as in `post_columns`.
macro_rules! select_guarded {
    ($version:literal, $condition:literal) => {
        concat!(
            "SELECT CAST(No AS SIGNED) AS number, user_id, category_id, CAST(",
            $version,
            " AS SIGNED) AS version, CAST(media_files AS CHAR) AS media_files FROM posts ",
            $condition
        )
    };
}

mod adoption;
mod attempt;
mod categories;
mod comments;
mod deactivations;
mod found;
mod likes;
mod lists;
mod media;
mod numbers;
mod pool;
mod posts;
mod remembered;
mod replica;
mod search;
mod seek;
mod totals;
mod upkeep;
mod views;

use attempt::{Attempts, READ_ATTEMPTS, WRITE_ATTEMPTS};
use pool::Pool;
use replica::Replica;
pub(in crate::store) use search::index;

/// Prepared statements kept on a connection, those used last: all but the rarest searches (about 190 are
/// lists).
const STATEMENTS: usize = 256;

/// Posts in MySQL.
#[derive(Debug, Clone)]
pub struct MySqlStore {
    pool: Pool,
    known_totals: Arc<totals::Known>,
    finished: Arc<adoption::Finished>,
    scans: Arc<search::Turns>,
    complete: Arc<search::Complete>,
    ways: Arc<seek::Ways>,
    replica: Option<Arc<Replica>>,
}

impl MySqlStore {
    /// A pool of at most `pool_size` connections, none of them opened yet.
    pub fn connect_lazy(options: &MySqlConnectOptions, pool_size: u32) -> Self {
        let options = options.clone().statement_cache_capacity(STATEMENTS);
        Self {
            pool: Pool::lazy(options, pool_size),
            known_totals: Arc::default(),
            finished: Arc::default(),
            scans: search::Turns::on_pool(pool_size).into(),
            complete: Arc::default(),
            ways: Arc::default(),
            replica: None,
        }
    }

    /// The same with a replica of it, which readers who may be late are sent to. Must be called in a
    /// Tokio runtime.
    #[must_use]
    pub fn with_replica(mut self, options: &MySqlConnectOptions) -> Self {
        let replica = Self::connect_lazy(options, self.pool.limit);
        self.replica = Some(Replica::watched(replica, self.clone()));
        self
    }

    /// For statements that change nothing: tried once more on another connection.
    fn reading(&self) -> Attempts<'_> {
        Attempts::new(self, READ_ATTEMPTS)
    }

    /// For transactions, which must notice an earlier success of their own: a commit may have been
    /// made although its acknowledgement was lost.
    fn writing(&self) -> Attempts<'_> {
        Attempts::new(self, WRITE_ATTEMPTS)
    }
}

#[async_trait]
impl Store for MySqlStore {
    async fn check_schema(&self) -> Result<Schema, StoreError> {
        const APPLIED: &str = "SELECT MAX(version) FROM _sqlx_migrations WHERE success = TRUE";
        let applied: Result<Option<i64>, StoreError> = attempt!(self.reading(), |connection| {
            sqlx::query_scalar(APPLIED).fetch_one(connection)
        });
        match applied {
            Ok(applied) => Ok(migrate::compare(&migrate::MYSQL, applied)),
            Err(StoreError::Unavailable(error)) if errors::is_missing_table(&error) => {
                Ok(migrate::compare(&migrate::MYSQL, None))
            }
            Err(error) => Err(error),
        }
    }

    fn pool(&self) -> PoolUse {
        let (size, idle) = self.pool.size();
        PoolUse::new(size, idle, self.pool.limit)
    }

    fn replica(&self) -> Option<&dyn Store> {
        let store = self.replica.as_ref()?.unless_late()?;
        Some(store)
    }

    async fn close(&self) {
        if let Some(replica) = &self.replica {
            replica.close().await;
        }
        self.pool.close().await;
    }
}

/// Whether a unique key was violated.
fn is_duplicate(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}
