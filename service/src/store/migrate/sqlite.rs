//! Applying the migrations to a SQLite file. Nothing is adopted here, and SQLite's own transactions
//! keep runs apart and half-run migrations away.

use super::{CONNECT_TIMEOUT, MigrateError, Migrated, SQLITE, missing};
use crate::store::url::DatabaseUrl;
use sqlx::{
    ConnectOptions, Connection, SqliteConnection, migrate::Migrate, sqlite::SqliteConnectOptions,
};

/// Migrates a SQLite file, which is created if absent.
pub(in crate::store) async fn migrate(
    options: &SqliteConnectOptions,
) -> Result<Migrated, MigrateError> {
    let place = DatabaseUrl::Sqlite(Box::new(options.clone())).to_string();
    let fail = |source| MigrateError::on(&place, source);
    let options = options
        .clone()
        .create_if_missing(true)
        .busy_timeout(CONNECT_TIMEOUT);
    let mut connection = options.connect().await.map_err(fail)?;
    refuse_foreign(&mut connection, &place).await?;
    let bookkeeping = |error: sqlx::migrate::MigrateError| fail(error.into());
    connection
        .ensure_migrations_table()
        .await
        .map_err(bookkeeping)?;
    let applied = connection
        .list_applied_migrations()
        .await
        .map_err(bookkeeping)?
        .into_iter()
        .map(|migration| (migration.version, migration.checksum.into_owned()))
        .collect();
    let mut migrated = Migrated {
        applied: Vec::new(),
        version: 0,
        is_unfinished: false,
        is_complete: true,
    };
    for migration in missing(&SQLITE, &applied, &place)? {
        let name = format!("{:04} {}", migration.version, migration.description);
        let done = connection.apply(migration).await;
        done.map_err(|source| MigrateError::while_applying(&place, &name, source))?;
        migrated.version = migration.version;
        migrated.applied.push(name);
    }
    let before = applied.keys().copied().max().unwrap_or(0);
    migrated.version = migrated.version.max(before);
    connection.close().await.map_err(fail)?;
    Ok(migrated)
}

/// Refuses a file that has our tables, but no record of our migrations.
async fn refuse_foreign(
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
    match table {
        Some(table) => Err(MigrateError::Foreign {
            place: place.to_owned(),
            table,
        }),
        None => Ok(()),
    }
}
