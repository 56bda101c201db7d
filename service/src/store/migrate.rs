//! Applying the embedded migrations.
//!
//! Every file is one statement that may be run twice (`IF NOT EXISTS`, `INSERT IGNORE`), so a run
//! that was killed in the middle of one is resumed by running that one again; sqlx's own loop would
//! refuse such a database as dirty, and would wait for another run's lock for ever.

use super::{Schema, errors, url::DatabaseUrl};
use sqlx::{
    ConnectOptions, Connection, MySqlConnection, SqliteConnection,
    migrate::{AppliedMigration, Migrate, Migrator},
    mysql::MySqlConnectOptions,
    sqlite::SqliteConnectOptions,
};
use std::{collections::HashMap, time::Duration};
use thiserror::Error;

/// The schema for MySQL and MariaDB.
pub(super) static MYSQL: Migrator = sqlx::migrate!("../migrations/mysql");
/// The schema for SQLite.
pub(super) static SQLITE: Migrator = sqlx::migrate!("../migrations/sqlite");

/// How long to wait for another migration of the same database, in seconds. A Job retries.
const LOCK_WAIT_SECONDS: i64 = 20;
/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The migrations applied now, e.g. `0001 create categories`, in order.
    pub applied: Vec<String>,
    /// The schema's version afterwards.
    pub version: i64,
}

/// Why a database was not migrated.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// Nobody answers, or not now: worth another try.
    #[error("cannot reach {place}: {source}")]
    Unavailable {
        /// The database, without password.
        place: String,
        /// What happened.
        source: sqlx::Error,
    },
    /// Another run holds the lock.
    #[error("another migration of {place} is running (waited {LOCK_WAIT_SECONDS} s)")]
    Locked {
        /// The database.
        place: String,
    },
    /// Tables that these migrations did not make.
    #[error(
        "{place} holds a table `{table}` that post-service did not make; \
         this version cannot adopt an existing database: use an empty one"
    )]
    Foreign {
        /// The database.
        place: String,
        /// The first such table.
        table: String,
    },
    /// A migration that was applied is not the one this program knows under its number.
    #[error("migration {version} of {place} differs from this program's: wrong database or build")]
    Changed {
        /// The database.
        place: String,
        /// The migration's number.
        version: i64,
    },
    /// A migration failed.
    #[error("migration `{migration}` failed on {place}: {source}")]
    Failed {
        /// The database.
        place: String,
        /// Which one.
        migration: String,
        /// What the database said.
        source: sqlx::migrate::MigrateError,
    },
    /// The bookkeeping around migrations failed.
    #[error("cannot migrate {place}: {source}")]
    Bookkeeping {
        /// The database.
        place: String,
        /// What happened.
        source: sqlx::Error,
    },
}

impl MigrateError {
    /// Whether the same run may succeed later with nothing changed on our side.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Locked { .. })
    }

    /// An error of a migration's own statement: temporary if it was not the statement's fault.
    fn while_applying(place: &str, migration: &str, source: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError::{Execute, ExecuteMigration};
        let place = place.to_owned();
        match source {
            Execute(source) | ExecuteMigration(source, _)
                if errors::is_connection_lost(&source) || errors::is_rolled_back(&source) =>
            {
                Self::Unavailable { place, source }
            }
            source => Self::Failed {
                place,
                migration: migration.to_owned(),
                source,
            },
        }
    }

    /// An error on the way, unavailable or not as the error itself tells.
    fn on(place: &str, source: sqlx::Error) -> Self {
        let place = place.to_owned();
        if errors::is_unavailable(&source) {
            Self::Unavailable { place, source }
        } else {
            Self::Bookkeeping { place, source }
        }
    }
}

/// Where a database with this latest migration stands.
pub(super) fn compare(migrator: &Migrator, applied: Option<i64>) -> Schema {
    let applied = applied.unwrap_or(0);
    let wanted = migrator
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0);
    if applied >= wanted {
        Schema::Current
    } else {
        Schema::Behind { applied, wanted }
    }
}

/// Migrates a MySQL database, which must exist. One run at a time: others wait for a named lock.
pub(super) async fn mysql(options: &MySqlConnectOptions) -> Result<Migrated, MigrateError> {
    let place = DatabaseUrl::MySql(Box::new(options.clone())).to_string();
    let fail = |source| MigrateError::on(&place, source);
    let mut connection = tokio::time::timeout(CONNECT_TIMEOUT, options.connect())
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
        .map_err(fail)?;
    lock(&mut connection, &place).await?;
    refuse_foreign_mysql(&mut connection, &place).await?;
    connection
        .ensure_migrations_table()
        .await
        .map_err(|e| fail(e.into()))?;
    sqlx::query("DELETE FROM _sqlx_migrations WHERE success = FALSE")
        .execute(&mut connection)
        .await
        .map_err(fail)?;
    let migrated = apply_missing(&mut connection, &MYSQL, &place).await?;
    // Closing the session releases the lock.
    connection.close().await.map_err(fail)?;
    Ok(migrated)
}

/// Migrates a SQLite file, which is created if absent. SQLite's own transactions keep runs apart.
pub(super) async fn sqlite(options: &SqliteConnectOptions) -> Result<Migrated, MigrateError> {
    let place = DatabaseUrl::Sqlite(Box::new(options.clone())).to_string();
    let fail = |source| MigrateError::on(&place, source);
    let options = options
        .clone()
        .create_if_missing(true)
        .busy_timeout(CONNECT_TIMEOUT);
    let mut connection = options.connect().await.map_err(fail)?;
    refuse_foreign_sqlite(&mut connection, &place).await?;
    connection
        .ensure_migrations_table()
        .await
        .map_err(|e| fail(e.into()))?;
    let migrated = apply_missing(&mut connection, &SQLITE, &place).await?;
    connection.close().await.map_err(fail)?;
    Ok(migrated)
}

/// Applies, in order, what is not yet applied. Later migrations of a newer program are left alone.
async fn apply_missing<C: Migrate>(
    connection: &mut C,
    migrator: &'static Migrator,
    place: &str,
) -> Result<Migrated, MigrateError> {
    let applied: HashMap<i64, AppliedMigration> = connection
        .list_applied_migrations()
        .await
        .map_err(|error| MigrateError::on(place, error.into()))?
        .into_iter()
        .map(|migration| (migration.version, migration))
        .collect();
    let mut version = applied.keys().copied().max().unwrap_or(0);
    let mut now_applied = Vec::new();
    for migration in migrator.iter() {
        match applied.get(&migration.version) {
            Some(known) if known.checksum == migration.checksum => {}
            Some(_) => {
                let (place, version) = (place.to_owned(), migration.version);
                return Err(MigrateError::Changed { place, version });
            }
            None => {
                let name = format!("{:04} {}", migration.version, migration.description);
                let applied = connection.apply(migration).await;
                applied.map_err(|source| MigrateError::while_applying(place, &name, source))?;
                version = version.max(migration.version);
                now_applied.push(name);
            }
        }
    }
    Ok(Migrated {
        applied: now_applied,
        version,
    })
}

/// Takes the lock of this database's migrations; it ends with the session.
async fn lock(connection: &mut MySqlConnection, place: &str) -> Result<(), MigrateError> {
    // Lock names are the whole server's and at most 64 characters long.
    let taken: Option<i64> = sqlx::query_scalar(
        "SELECT GET_LOCK(CONCAT('post-service:', SUBSTRING(SHA2(DATABASE(), 256), 1, 40)), ?)",
    )
    .bind(LOCK_WAIT_SECONDS)
    .fetch_one(connection)
    .await
    .map_err(|source| MigrateError::on(place, source))?;
    if taken == Some(1) {
        Ok(())
    } else {
        Err(MigrateError::Locked {
            place: place.to_owned(),
        })
    }
}

/// Refuses a database that has our tables, but no record of our migrations.
async fn refuse_foreign_mysql(
    connection: &mut MySqlConnection,
    place: &str,
) -> Result<(), MigrateError> {
    let table: Option<String> = sqlx::query_scalar(
        "SELECT CAST(MIN(t.table_name) AS CHAR) FROM information_schema.tables t \
         WHERE t.table_schema = DATABASE() AND t.table_name IN ('posts', 'categories', 'likes') \
         AND NOT EXISTS (SELECT 1 FROM information_schema.tables m \
             WHERE m.table_schema = DATABASE() AND m.table_name = '_sqlx_migrations')",
    )
    .fetch_one(connection)
    .await
    .map_err(|source| MigrateError::on(place, source))?;
    refuse_if(table, place)
}

/// The same for SQLite.
async fn refuse_foreign_sqlite(
    connection: &mut SqliteConnection,
    place: &str,
) -> Result<(), MigrateError> {
    let table: Option<String> = sqlx::query_scalar(
        "SELECT MIN(name) FROM sqlite_master WHERE name IN ('posts', 'categories', 'likes') \
         AND NOT EXISTS (SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations')",
    )
    .fetch_one(connection)
    .await
    .map_err(|source| MigrateError::on(place, source))?;
    refuse_if(table, place)
}

fn refuse_if(table: Option<String>, place: &str) -> Result<(), MigrateError> {
    match table {
        Some(table) => Err(MigrateError::Foreign {
            place: place.to_owned(),
            table,
        }),
        None => Ok(()),
    }
}
