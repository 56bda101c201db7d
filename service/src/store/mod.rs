//! Where posts are kept: one trait in the domain's verbs, made of one per topic, and one
//! implementation per database, in files of the same topics.
//!
//! Lock order in every writing transaction: the post's row, then rows that hang on it, then the
//! counter rows (category first, the whole board last, because everybody needs that one).

mod comments;
mod deactivations;
mod errors;
mod likes;
mod list;
mod media;
mod migrate;
mod mysql;
mod posts;
mod rows;
mod sqlite;
mod totals;
mod upkeep;
mod url;
mod views;

pub use comments::{CommentStore, CommentSweep, CommentSweepBatch};
pub use deactivations::{DeactivationStore, DueDeactivation, NewDeactivation, Requested};
pub use likes::{FulfilledWish, LikeStore};
pub use media::{Deletion, MediaChange, MediaStore};
pub use migrate::{Finished, MigrateError, Migrated, Say, Titles};
pub use mysql::MySqlStore;
pub use posts::{FoundPost, PostStore, ReadPost};
pub use sqlite::SqliteStore;
pub use upkeep::{UpkeepStore, keep_up};
pub use url::{DatabaseUrl, DatabaseUrlError};
pub use views::{ViewStore, ViewWriter, Views, Waiting};

use crate::board::{Category, Filter, Order, Page, PageRequest, Post};
use crate::fresh::Abandoned;
use async_trait::async_trait;
use std::sync::Arc;
use thiserror::Error;

/// A database of posts: all topics, and what concerns the database as a whole.
#[async_trait]
pub trait Store:
    PostStore
    + ListStore
    + CategoryStore
    + LikeStore
    + ViewStore
    + MediaStore
    + CommentStore
    + DeactivationStore
    + UpkeepStore
    + Send
    + Sync
    + 'static
{
    /// Whether the schema is one this program can work with.
    async fn check_schema(&self) -> Result<Schema, StoreError>;

    /// The same posts for readers who may get what they were up to two seconds ago, if there is a
    /// replica and it is no later than that.
    fn replica(&self) -> Option<&dyn Store> {
        None
    }

    /// What the connection pool holds at this moment.
    fn pool(&self) -> PoolUse;

    /// Closes every connection, after what runs on them has ended.
    async fn close(&self);
}

/// Lists of posts.
#[async_trait]
pub trait ListStore {
    /// One page of the visible posts that match, and how many there are.
    async fn list_posts(
        &self,
        filter: &Filter,
        order: Order,
        page: PageRequest,
    ) -> Result<Page<Post>, StoreError>;
}

/// Categories.
#[async_trait]
pub trait CategoryStore {
    /// All categories, by name.
    async fn list_categories(&self) -> Result<Vec<Category>, StoreError>;

    /// The id of the category of this name.
    async fn find_category(&self, name: &str) -> Result<Option<String>, StoreError>;

    /// Stores a category; false if its name is taken.
    async fn create_category(&self, category: &Category) -> Result<bool, StoreError>;
}

/// The state of the schema, seen from this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// Every migration this program knows has been applied (and perhaps later ones).
    Current,
    /// Some are missing.
    Behind {
        /// The latest one applied, 0 if none.
        applied: i64,
        /// The latest one this program knows.
        wanted: i64,
    },
}

/// How a pool's connections are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// Connections running something.
    pub busy: u32,
    /// Connections waiting for work.
    pub idle: u32,
    /// The most there may be.
    pub limit: u32,
}

impl PoolUse {
    fn new(open: u32, idle: usize, limit: u32) -> Self {
        let idle = u32::try_from(idle).unwrap_or(u32::MAX).min(open);
        Self {
            busy: open - idle,
            idle,
            limit,
        }
    }
}

/// Why the store did not do what it was asked. All who share a read get the same.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// The database cannot be reached, is overloaded or not ready; worth another try soon.
    #[error("the database is not available: {0}")]
    Unavailable(#[source] Arc<sqlx::Error>),
    /// So many ask for something at once that it could not be done soon.
    #[error("too many requests at once")]
    Crowded,
    /// A search that takes too long, or has to wait too long for others.
    #[error("the search takes too long")]
    SlowSearch,
    /// A value is longer than the column of this adopted database.
    #[error("a value is too long for its column: {0}")]
    TooLong(#[source] Arc<sqlx::Error>),
    /// The database refused or returned something that it should not have.
    #[error("the database failed: {0}")]
    Failed(#[source] Arc<sqlx::Error>),
    /// A read was shared and came to nothing.
    #[error(transparent)]
    Abandoned(#[from] Abandoned),
}

impl StoreError {
    /// Whether the database has undone a transaction, or refused what others have made impossible: alone it
    /// may succeed.
    fn is_rolled_back(&self) -> bool {
        match self {
            Self::Unavailable(error) => errors::is_rolled_back(error),
            Self::Failed(error) => error.as_database_error().is_some(),
            _ => false,
        }
    }

    /// Of a search, which the database gives up by itself.
    fn of_search(self) -> Self {
        match self {
            Self::Unavailable(error) if errors::is_out_of_time(&error) => Self::SlowSearch,
            error => error,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if errors::is_unavailable(&error) {
            Self::Unavailable(error.into())
        } else if errors::is_too_long(&error) {
            Self::TooLong(error.into())
        } else {
            Self::Failed(error.into())
        }
    }
}

/// Opens the store a URL names, on MySQL perhaps with a replica; that opens as many connections
/// again. On MySQL nothing is connected or changed yet; a SQLite file is created and migrated.
pub async fn open(
    url: &DatabaseUrl,
    replica: Option<&DatabaseUrl>,
    pool_size: u32,
) -> Result<Arc<dyn Store>, MigrateError> {
    Ok(match url {
        DatabaseUrl::MySql(options) => {
            let store = MySqlStore::connect_lazy(options, pool_size);
            Arc::new(match replica {
                Some(DatabaseUrl::MySql(replica)) => store.with_replica(replica),
                _ => store,
            })
        }
        DatabaseUrl::Sqlite(file) => Arc::new(SqliteStore::open(file, pool_size).await?),
    })
}

/// Applies the missing migrations to the database a URL names and tells which they were.
pub async fn migrate(url: &DatabaseUrl) -> Result<Migrated, MigrateError> {
    migrate_aloud(url, |_| ()).await
}

/// The same, with a line of progress for whatever takes longer than two seconds.
pub async fn migrate_aloud(url: &DatabaseUrl, say: Say) -> Result<Migrated, MigrateError> {
    match url {
        DatabaseUrl::MySql(options) => migrate::mysql(options, say).await,
        DatabaseUrl::Sqlite(file) => migrate::sqlite(file).await,
    }
}

/// Makes every counter exact and ends the adoption of an older service's tables, which must have
/// ended; services of this kind may run. Repeated, it repairs what has drifted.
pub async fn finish(url: &DatabaseUrl, titles: Titles, say: Say) -> Result<Finished, MigrateError> {
    match url {
        DatabaseUrl::MySql(options) => migrate::finish_mysql(options, titles, say).await,
        DatabaseUrl::Sqlite(file) => migrate::finish_sqlite(file, say).await,
    }
}
