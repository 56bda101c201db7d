//! Databases that last as long as a test.

use post_service::store::DatabaseUrl;
use sqlx::{Connection, Executor, MySqlConnection};
use tempfile::TempDir;

/// An empty database, removed when dropped.
pub enum Database {
    Sqlite(TempDir),
    /// On a MySQL or MariaDB server.
    MySql {
        server: String,
        name: String,
    },
}

impl Database {
    /// An empty folder for a file.
    pub fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("a folder"))
    }

    /// A new database on the server of `TEST_MYSQL_URL`; without one, a line on standard error.
    pub async fn mysql() -> Option<Self> {
        Self::on_server_of("TEST_MYSQL_URL").await
    }

    /// A new database on the server of `TEST_MARIADB_URL`; without one, a line on standard error.
    pub async fn mariadb() -> Option<Self> {
        Self::on_server_of("TEST_MARIADB_URL").await
    }

    async fn on_server_of(variable: &str) -> Option<Self> {
        let server = super::variable(variable)?;
        let server = server.trim_end_matches('/').to_owned();
        let name = format!("post_service_test_{}", uuid::Uuid::new_v4().simple());
        execute(&server, &format!("CREATE DATABASE {name}")).await;
        Some(Self::MySql { server, name })
    }

    /// The URL as text, as a user would set it.
    pub fn url_text(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite://{}/posts.db", folder.path().display()),
            Self::MySql { server, name } => {
                format!(
                    "{}/{name}?charset=utf8mb4",
                    server.replace("mysql://", "mysql+pymysql://")
                )
            }
        }
    }

    /// The URL.
    pub fn url(&self) -> DatabaseUrl {
        self.url_text().parse().expect("a database's URL")
    }

    /// Runs a statement in it.
    pub async fn execute(&self, sql: &str) {
        match self {
            Self::Sqlite(_) => {
                let url = format!("{}?mode=rwc", self.url_text());
                let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("a file");
                connection.execute(sql).await.expect("the statement runs");
            }
            Self::MySql { server, name } => execute(&format!("{server}/{name}"), sql).await,
        }
    }

    /// The number in the first column of the first row of a query.
    pub async fn number(&self, sql: &str) -> i64 {
        match self {
            Self::Sqlite(_) => {
                let mut connection = sqlx::SqliteConnection::connect(&self.url_text())
                    .await
                    .expect("a file");
                let row = sqlx::query_scalar(sql).fetch_one(&mut connection).await;
                row.expect("a number")
            }
            Self::MySql { server, name } => {
                let mut connection = MySqlConnection::connect(&format!("{server}/{name}"))
                    .await
                    .expect("a connection");
                // Sums are decimals, counts are not.
                let sql = format!("SELECT CAST(({sql}) AS SIGNED)");
                let row = sqlx::query_scalar(&sql).fetch_one(&mut connection).await;
                connection.close().await.expect("a clean end");
                row.expect("a number")
            }
        }
    }

    /// Kills every connection to it (not on SQLite) and tells how many there were.
    pub async fn kill_connections(&self) -> usize {
        let Self::MySql { server, name } = self else {
            return 0;
        };
        kill_connections_to(server, name).await
    }
}

/// Kills every connection to a database of the server at this URL and tells how many there were.
pub async fn kill_connections_to(server: &str, database: &str) -> usize {
    let mut connection = MySqlConnection::connect(server)
        .await
        .expect("a connection");
    let ids = connections_to(&mut connection, database).await;
    for id in &ids {
        // It may have ended by itself.
        let _ = connection.execute(format!("KILL {id}").as_str()).await;
    }
    ids.len()
}

async fn connections_to(connection: &mut MySqlConnection, database: &str) -> Vec<i64> {
    // MySQL cannot list its connections while one of them, anybody's, runs a statement that its
    // three-byte column cannot hold (3854): ask again when that one is over.
    let mut failures = Vec::new();
    for _ in 0..200 {
        let ids = sqlx::query_scalar(
            "SELECT CAST(id AS SIGNED) FROM information_schema.processlist WHERE db = ?",
        )
        .bind(database)
        .fetch_all(&mut *connection)
        .await;
        match ids {
            Ok(ids) => return ids,
            Err(error) if error.to_string().contains("to utf8mb3") => failures.push(error),
            Err(error) => panic!("the connections: {error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the connections cannot be listed: {:?}", failures.pop());
}

async fn execute(url: &str, sql: &str) {
    let mut connection = MySqlConnection::connect(url).await.expect("a connection");
    connection.execute(sql).await.expect("the statement runs");
    connection.close().await.expect("a clean end");
}

impl Drop for Database {
    fn drop(&mut self) {
        let Self::MySql { server, name } = self else {
            return;
        };
        let (server, sql) = (server.clone(), format!("DROP DATABASE {name}"));
        // A runtime of its own: this one may be ending.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(execute(&server, &sql));
        });
        let dropped = dropping.join();
        if !std::thread::panicking() {
            dropped.expect("the database is dropped");
        }
    }
}
