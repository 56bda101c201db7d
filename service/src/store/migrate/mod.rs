//! Applying the embedded migrations, on a new database or beside the service that this one replaces.
//!
//! Every file is one statement that may be run twice (`IF NOT EXISTS`, `INSERT IGNORE`) or names a
//! [`probe`] that tells whether it has been, so a run that was killed in the middle of one is resumed
//! by running that one again; sqlx's own loop would refuse such a database as dirty, and would wait
//! for another run's lock for ever.
//!
//! 1. [`adopt`] judges tables that were found, before anything is changed.
//! 2. The missing migrations are applied, but for those that alter the old service's own tables: it
//!    may go on reading and writing, and notices nothing.
//! 3. [`finish`], when it has ended for good, applies the rest and makes every counter exact; it may
//!    be repeated at any time.

mod adopt;
mod error;
mod finish;
mod probe;
mod progress;
mod sqlite;

pub use error::MigrateError;
pub use finish::{Finished, Titles};
pub(super) use finish::{mysql as finish_mysql, sqlite as finish_sqlite};
pub use progress::Say;
pub(super) use sqlite::migrate as sqlite;

use super::{Schema, errors, url::DatabaseUrl};
use probe::Probe;
use progress::watched;
use sqlx::{
    ConnectOptions, Connection, Executor, MySqlConnection,
    migrate::{Migrate, MigrateError as SqlxError, Migration, Migrator},
    mysql::MySqlConnectOptions,
};
use std::{collections::HashMap, time::Duration};
use tokio::time::{Instant, sleep};

/// The schema for MySQL and MariaDB.
pub(super) static MYSQL: Migrator = sqlx::migrate!("../migrations/mysql");
/// The schema for SQLite.
pub(super) static SQLITE: Migrator = sqlx::migrate!("../migrations/sqlite");

/// How long to wait for another migration of the same database, in seconds. A Job retries.
const LOCK_WAIT_SECONDS: i64 = 20;
/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a statement is tried again while others keep its table busy, before the run gives up.
const BUSY_PATIENCE: Duration = Duration::from_mins(10);
/// The pause after the first such attempt; each further one is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The migrations applied now, e.g. `0001 create categories`, in order.
    pub applied: Vec<String>,
    /// The schema's version afterwards.
    pub version: i64,
    /// Whether an older service's tables have been taken over, but `--finish` has not been run.
    pub is_unfinished: bool,
    /// Whether searches find every title by its index and authors' totals are known; if not, `--finish`
    /// sees to it.
    pub is_complete: bool,
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
pub(super) async fn mysql(
    options: &MySqlConnectOptions,
    say: Say,
) -> Result<Migrated, MigrateError> {
    let (mut connection, place) = connect(options).await?;
    let fail = |source| MigrateError::on(&place, source);
    let applied = applied(&mut connection).await.map_err(fail)?;
    // Whether tables were found is settled by the second migration; before it nothing is changed.
    if !applied.contains_key(&2) {
        let found = adopt::found(&mut connection).await.map_err(fail)?;
        adopt::judge(&found).map_err(|refusal| refusal.on(&place))?;
    }
    connection
        .ensure_migrations_table()
        .await
        .map_err(|error| fail(error.into()))?;
    sqlx::query("DELETE FROM _sqlx_migrations WHERE success = FALSE")
        .execute(&mut connection)
        .await
        .map_err(fail)?;
    let mut migrated = Migrated {
        applied: Vec::new(),
        version: applied.keys().copied().max().unwrap_or(0),
        is_unfinished: false,
        is_complete: true,
    };
    for migration in missing(&MYSQL, &applied, &place)? {
        if is_left_to_finish(migration) && is_unfinished(&mut connection).await.map_err(fail)? {
            continue;
        }
        let name = apply(&mut connection, migration, &place, say).await?;
        migrated.version = migrated.version.max(migration.version);
        migrated.applied.push(name);
    }
    migrated.is_unfinished = is_unfinished(&mut connection).await.map_err(fail)?;
    migrated.is_complete = finish::is_complete(&mut connection).await.map_err(fail)?;
    // Closing the session releases the lock.
    connection.close().await.map_err(fail)?;
    Ok(migrated)
}

/// Whether an older service may still be writing. The row is there from the second migration on.
async fn is_unfinished(connection: &mut MySqlConnection) -> sqlx::Result<bool> {
    let finished: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM adoption WHERE finished_at IS NOT NULL")
            .fetch_one(connection)
            .await?;
    Ok(finished == 0)
}

/// Whether a migration alters a table of the old service (`-- phase: finish` in its head). Beside it
/// that would cost transactions: one that has read a table and goes on to write it is a deadlock's
/// victim while the statement waits for the table.
fn is_left_to_finish(migration: &Migration) -> bool {
    migration.sql.lines().any(|line| line == "-- phase: finish")
}

/// A session that holds the lock of this database's migrations and never stands in others' way for
/// long; and the database's name for messages.
async fn connect(options: &MySqlConnectOptions) -> Result<(MySqlConnection, String), MigrateError> {
    let place = DatabaseUrl::MySql(Box::new(options.clone())).to_string();
    let fail = |source| MigrateError::on(&place, source);
    let mut connection = tokio::time::timeout(CONNECT_TIMEOUT, options.connect())
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
        .map_err(fail)?;
    lock(&mut connection, &place).await?;
    // A DDL statement that waits for a table makes everybody wait who comes after it: better to step
    // back and try again. Snapshots as `finish` needs them, whatever the server's default is.
    for setting in [
        "SET SESSION lock_wait_timeout = 1, SESSION innodb_lock_wait_timeout = 2",
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    ] {
        connection.execute(setting).await.map_err(fail)?;
    }
    Ok((connection, place))
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

/// The migrations recorded as applied, with their checksums; none if there is no record.
async fn applied(connection: &mut MySqlConnection) -> sqlx::Result<HashMap<i64, Vec<u8>>> {
    let rows: sqlx::Result<Vec<(i64, Vec<u8>)>> =
        sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations WHERE success = TRUE")
            .fetch_all(connection)
            .await;
    match rows {
        Ok(rows) => Ok(rows.into_iter().collect()),
        Err(error) if errors::is_missing_table(&error) => Ok(HashMap::new()),
        Err(error) => Err(error),
    }
}

/// The migrations to apply, in order. Later ones of a newer program are left alone; one that is not
/// what this program knows under its number is an error.
fn missing<'a>(
    migrator: &'a Migrator,
    applied: &HashMap<i64, Vec<u8>>,
    place: &str,
) -> Result<Vec<&'a Migration>, MigrateError> {
    let mut missing = Vec::new();
    for migration in migrator.iter() {
        match applied.get(&migration.version) {
            Some(checksum) if **checksum == *migration.checksum => {}
            Some(_) => {
                let (place, version) = (place.to_owned(), migration.version);
                return Err(MigrateError::Changed { place, version });
            }
            None => missing.push(migration),
        }
    }
    Ok(missing)
}

/// Runs a migration, unless it has taken effect already, records it and tells its name.
async fn apply(
    connection: &mut MySqlConnection,
    migration: &Migration,
    place: &str,
    say: Say,
) -> Result<String, MigrateError> {
    let name = format!("{:04} {}", migration.version, migration.description);
    let applied = run_and_record(connection, migration, &name, say).await;
    applied.map_err(|source| {
        let source = SqlxError::ExecuteMigration(source, migration.version);
        MigrateError::while_applying(place, &name, source)
    })?;
    Ok(name)
}

async fn run_and_record(
    connection: &mut MySqlConnection,
    migration: &Migration,
    name: &str,
    say: Say,
) -> sqlx::Result<()> {
    let started = Instant::now();
    let is_there = match Probe::of(&migration.sql) {
        Some(probe) => probe.holds(connection).await?,
        None => false,
    };
    if !is_there {
        watched(say, name, run_patiently(connection, migration)).await?;
    }
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (?, ?, TRUE, ?, ?)",
    )
    .bind(migration.version)
    .bind(&*migration.description)
    .bind(&*migration.checksum)
    .bind(i64::try_from(started.elapsed().as_nanos()).unwrap_or(i64::MAX))
    .execute(connection)
    .await?;
    Ok(())
}

/// Runs the statement again and again while others' transactions hold its table.
async fn run_patiently(
    connection: &mut MySqlConnection,
    migration: &Migration,
) -> sqlx::Result<()> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match connection.execute(&*migration.sql).await {
            Err(error) if errors::is_rolled_back(&error) && started.elapsed() < BUSY_PATIENCE => {
                sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
            result => return result.map(|_| ()),
        }
    }
}
