use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Row as _};
use tokio::time::timeout;

use super::accounts::{self, MIGRATOR};
use super::connection::silent;
use super::error::{
    self, DatabaseError, DatabaseFacts, ER_BAD_DB, ER_DB_CREATE_EXISTS, ER_NO_SUCH_TABLE,
};
use super::{DatabaseUrl, Permit, Tls};

/// The server must have answered within this time.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Connects to the database, creating it (utf8mb4) when it is absent and `create` allows, and
/// reads its schema version. Connects first: an account without CREATE suffices where the database
/// exists. Never drops or alters anything.
pub async fn ensure(
    url: DatabaseUrl,
    tls: Tls,
    create: bool,
    permit: Permit,
) -> Result<DatabaseFacts, DatabaseError> {
    let work = async {
        let mut connection = match connect(&url, &tls, true).await {
            Err(error) if error::number(&error) == Some(ER_BAD_DB) => {
                if !create {
                    return Err(DatabaseError::Absent {
                        name: url.name.clone(),
                        host: url.host.clone(),
                        port: url.port,
                    });
                }
                create_database(&url, &tls, &permit).await?;
                connect(&url, &tls, true)
                    .await
                    .map_err(|error| classify(&error, &url, "use"))?
            }
            other => other.map_err(|error| classify(&error, &url, "use"))?,
        };
        let facts = facts(&mut connection)
            .await
            .map_err(|error| classify(&error, &url, "use"))?;
        // The answer is in hand; a failed goodbye changes nothing.
        let _ = connection.close().await;
        Ok(facts)
    };
    timeout(TIMEOUT, work).await.unwrap_or_else(|_| {
        Err(DatabaseError::Unreachable {
            host: url.host.clone(),
            port: url.port,
            detail: format!("no answer within {} s", TIMEOUT.as_secs()),
        })
    })
}

async fn connect(
    url: &DatabaseUrl,
    tls: &Tls,
    with_database: bool,
) -> Result<MySqlConnection, sqlx::Error> {
    let options: MySqlConnectOptions = url
        .options(with_database)
        .map_err(|error| sqlx::Error::Configuration(error.into()))?;
    silent(tls.apply(options)).connect().await
}

async fn create_database(
    url: &DatabaseUrl,
    tls: &Tls,
    permit: &Permit,
) -> Result<(), DatabaseError> {
    let mut server = connect(url, tls, false)
        .await
        .map_err(|error| classify(&error, url, "use"))?;
    permit.check()?;
    let result = server
        .execute(accounts::create_database(&url.name).as_str())
        .await;
    let _ = server.close().await;
    match result {
        Err(error) if error::number(&error) == Some(ER_DB_CREATE_EXISTS) => Ok(()),
        Err(error) => Err(classify(&error, url, "create")),
        Ok(_) => Ok(()),
    }
}

/// What the account sees of its database and server.
pub async fn facts(connection: &mut MySqlConnection) -> Result<DatabaseFacts, sqlx::Error> {
    let version = sqlx::query("SELECT MAX(version) FROM _sqlx_migrations WHERE success = TRUE")
        .fetch_one(&mut *connection)
        .await;
    let schema_version = match version {
        Ok(row) => row.try_get(0)?,
        Err(error) if error::number(&error) == Some(ER_NO_SUCH_TABLE) => None,
        Err(error) => return Err(error),
    };
    let limits = sqlx::query(
        "SELECT CAST(@@GLOBAL.max_connections AS SIGNED), CAST(@@SESSION.max_user_connections AS SIGNED)",
    )
    .fetch_one(&mut *connection)
    .await?;
    let limit = |index: usize| limits.try_get::<i64, _>(index).map(i64::unsigned_abs);
    let (server, account) = (limit(0)?, limit(1)?);
    // 0 stands for no limit of the account's own.
    let connections = if account == 0 {
        server.saturating_sub(super::budget::RESERVE)
    } else {
        account.min(server.saturating_sub(super::budget::RESERVE))
    };
    Ok(DatabaseFacts {
        schema_version,
        connections: Some(connections),
        ..DatabaseFacts::default()
    })
}

fn classify(error: &sqlx::Error, url: &DatabaseUrl, what: &'static str) -> DatabaseError {
    let (host, port, user) = (url.host.clone(), url.port, url.user.clone());
    let grant = accounts::grant(&user, MIGRATOR, &url.name);
    if error::is_login_refused(error) || error::is_locked(error) {
        return DatabaseError::AccountDenied {
            host,
            port,
            user,
            grant,
        };
    }
    if !error::is_denied(error) {
        return error::unreachable(&host, port, error);
    }
    let sql = format!(
        "CREATE DATABASE IF NOT EXISTS `{}` CHARACTER SET utf8mb4; {grant};",
        url.name
    );
    DatabaseError::StatementDenied {
        host,
        port,
        user,
        what: format!("{what} database {}", url.name),
        sql,
        note: String::new(),
    }
}
