use std::time::Duration;

use sqlx::mysql::{MySqlConnection, MySqlDatabaseError};
use sqlx::{ConnectOptions, Connection, Row};
use tokio::time::timeout;

use super::DatabaseUrl;

/// The server must have answered within this time.
const TIMEOUT: Duration = Duration::from_secs(5);

// MySQL server error numbers (MySQL 8.0 Error Message Reference).
const ER_DBACCESS_DENIED: u16 = 1044;
const ER_ACCESS_DENIED: u16 = 1045;
const ER_BAD_DB: u16 = 1049;
const ER_DB_CREATE_EXISTS: u16 = 1007;
const ER_NO_SUCH_TABLE: u16 = 1146;

/// What was seen of a database that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseFacts {
    /// Version of the last migration applied; none before the first.
    pub schema_version: Option<i64>,
}

/// Why a database is not ready.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// No server answered. Transient.
    #[error("the database server {host}:{port} is unreachable, trying again: {detail}")]
    Unreachable {
        /// Host of the URL.
        host: String,
        /// Port of the URL.
        port: u16,
        /// What happened.
        detail: String,
    },
    /// The account is unknown or its password wrong.
    #[error(
        "{host}:{port} refuses account {user} of the database URL: correct the Secret, or have a DBA run: CREATE USER '{user}'@'%' IDENTIFIED BY '…'; GRANT ALTER, CREATE, DELETE, INDEX, INSERT, REFERENCES, SELECT, UPDATE ON `{}`.* TO '{user}'@'%';",
        as_pattern(.name)
    )]
    AccountDenied {
        /// Host of the URL.
        host: String,
        /// Port of the URL.
        port: u16,
        /// Account of the URL.
        user: String,
        /// Database of the URL.
        name: String,
    },
    /// The account may not use or create the database.
    #[error(
        "account {user} may not {what} database {name} on {host}:{port}: have a DBA run: CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4; GRANT ALTER, CREATE, DELETE, INDEX, INSERT, REFERENCES, SELECT, UPDATE ON `{}`.* TO '{user}'@'%';",
        as_pattern(.name)
    )]
    DatabaseDenied {
        /// `use` or `create`.
        what: &'static str,
        /// Host of the URL.
        host: String,
        /// Port of the URL.
        port: u16,
        /// Account of the URL.
        user: String,
        /// Database of the URL.
        name: String,
    },
    /// The database is absent and `createDatabase` is false.
    #[error(
        "database {name} does not exist on {host}:{port} and spec.database.createDatabase is false: create it, or allow the operator to"
    )]
    Absent {
        /// Database of the URL.
        name: String,
        /// Host of the URL.
        host: String,
        /// Port of the URL.
        port: u16,
    },
}

/// A database name for GRANT, where a bare `_` stands for any character.
fn as_pattern(name: &str) -> String {
    name.replace('_', "\\_")
}

/// Connects to the database, creating it (utf8mb4) when it is absent and `create` allows, and
/// reads its schema version. Connects first: an account without CREATE suffices where the database
/// exists. Never drops or alters anything.
pub async fn ensure(url: DatabaseUrl, create: bool) -> Result<DatabaseFacts, DatabaseError> {
    let work = async {
        let mut connection = match connect(&url, true).await {
            Err(sqlx::Error::Database(error)) if number(&*error) == Some(ER_BAD_DB) => {
                if !create {
                    return Err(DatabaseError::Absent {
                        name: url.name.clone(),
                        host: url.host.clone(),
                        port: url.port,
                    });
                }
                create_database(&url).await?;
                connect(&url, true)
                    .await
                    .map_err(|error| classify(&error, &url, "use"))?
            }
            other => other.map_err(|error| classify(&error, &url, "use"))?,
        };
        let schema_version = schema_version(&mut connection)
            .await
            .map_err(|error| classify(&error, &url, "use"))?;
        // The answer is in hand; a failed goodbye changes nothing.
        let _ = connection.close().await;
        Ok(DatabaseFacts { schema_version })
    };
    timeout(TIMEOUT, work).await.unwrap_or_else(|_| {
        Err(DatabaseError::Unreachable {
            host: url.host.clone(),
            port: url.port,
            detail: format!("no answer within {} s", TIMEOUT.as_secs()),
        })
    })
}

async fn connect(url: &DatabaseUrl, with_database: bool) -> Result<MySqlConnection, sqlx::Error> {
    let options = url
        .options(with_database)
        .map_err(|error| sqlx::Error::Configuration(error.into()))?;
    options.connect().await
}

async fn create_database(url: &DatabaseUrl) -> Result<(), DatabaseError> {
    let mut server = connect(url, false)
        .await
        .map_err(|error| classify(&error, url, "use"))?;
    // An identifier cannot be bound; `DatabaseUrl` admits letters, digits and _ only.
    let statement = format!("CREATE DATABASE `{}` CHARACTER SET utf8mb4", url.name);
    let result = sqlx::query(&statement).execute(&mut server).await;
    let _ = server.close().await;
    match result {
        Err(sqlx::Error::Database(error)) if number(&*error) == Some(ER_DB_CREATE_EXISTS) => Ok(()),
        Err(error) => Err(classify(&error, url, "create")),
        Ok(_) => Ok(()),
    }
}

async fn schema_version(connection: &mut MySqlConnection) -> Result<Option<i64>, sqlx::Error> {
    let row = sqlx::query("SELECT MAX(version) FROM _sqlx_migrations WHERE success = TRUE")
        .fetch_one(connection)
        .await;
    match row {
        Ok(row) => row.try_get(0),
        Err(sqlx::Error::Database(error)) if number(&*error) == Some(ER_NO_SUCH_TABLE) => Ok(None),
        Err(error) => Err(error),
    }
}

fn number(error: &dyn sqlx::error::DatabaseError) -> Option<u16> {
    error
        .try_downcast_ref::<MySqlDatabaseError>()
        .map(MySqlDatabaseError::number)
}

fn classify(error: &sqlx::Error, url: &DatabaseUrl, what: &'static str) -> DatabaseError {
    let (host, port) = (url.host.clone(), url.port);
    let (user, name) = (url.user.clone(), url.name.clone());
    match error {
        sqlx::Error::Database(inner) => match number(&**inner) {
            Some(ER_ACCESS_DENIED) => DatabaseError::AccountDenied {
                host,
                port,
                user,
                name,
            },
            Some(ER_DBACCESS_DENIED) => DatabaseError::DatabaseDenied {
                what,
                host,
                port,
                user,
                name,
            },
            _ => DatabaseError::Unreachable {
                host,
                port,
                detail: inner.to_string(),
            },
        },
        other => DatabaseError::Unreachable {
            host,
            port,
            detail: other.to_string(),
        },
    }
}
