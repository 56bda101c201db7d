//! Database URLs as they are found in the wild.

use sqlx::{mysql::MySqlConnectOptions, sqlite::SqliteConnectOptions};
use std::{fmt, path::Path, str::FromStr};
use thiserror::Error;

/// A database this program can use.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// MySQL or MariaDB, under `mysql://` or SQLAlchemy's `mysql+pymysql://`.
    MySql(Box<MySqlConnectOptions>),
    /// A SQLite file, `sqlite:///absolute/path` or `sqlite://relative/path`.
    Sqlite(Box<SqliteConnectOptions>),
}

/// Why a URL was refused. Says nothing of the URL itself, which holds a password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DatabaseUrlError {
    /// Neither MySQL nor SQLite.
    #[error("must begin with mysql://, mysql+pymysql:// or sqlite://")]
    Scheme,
    /// Right scheme, wrong rest.
    #[error("cannot be read: {0}")]
    Syntax(String),
    /// The path of a `mysql://` URL is empty.
    #[error("names no database: mysql://user:password@host:3306/DATABASE")]
    NoDatabase,
    /// `sqlite::memory:` would be a different database on each connection.
    #[error("must name a file: SQLite in memory cannot be shared by several connections")]
    InMemory,
}

impl DatabaseUrl {
    /// The SQLite database in this file, whatever characters its path holds.
    pub fn sqlite_file(file: &Path) -> Self {
        Self::Sqlite(Box::new(SqliteConnectOptions::new().filename(file)))
    }

    /// Whether this is a SQLite file.
    pub fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, DatabaseUrlError> {
        let syntax = |error: &dyn fmt::Display| DatabaseUrlError::Syntax(error.to_string());
        let text = text.trim();
        if text.starts_with("sqlite:") {
            if text.contains(":memory:") || text.contains("mode=memory") {
                return Err(DatabaseUrlError::InMemory);
            }
            let options = text.parse().map_err(|error: sqlx::Error| syntax(&error))?;
            return Ok(Self::Sqlite(Box::new(options)));
        }
        let rest = ["mysql://", "mysql+pymysql://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
            .ok_or(DatabaseUrlError::Scheme)?;
        let options: MySqlConnectOptions = format!("mysql://{rest}")
            .parse()
            .map_err(|error: sqlx::Error| syntax(&error))?;
        if options.get_database().unwrap_or_default().is_empty() {
            return Err(DatabaseUrlError::NoDatabase);
        }
        Ok(Self::MySql(Box::new(options)))
    }
}

/// Where the database is, without user and password.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MySql(options) => write!(
                f,
                "mysql://{}:{}/{}",
                options.get_host(),
                options.get_port(),
                options.get_database().unwrap_or_default()
            ),
            Self::Sqlite(options) => write!(f, "sqlite://{}", options.get_filename().display()),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemes_name_the_same_server_and_the_password_stays_hidden() {
        for scheme in ["mysql", "mysql+pymysql"] {
            let url: DatabaseUrl =
                format!("{scheme}://u:s%40cret@db.example:3307/postdb?charset=utf8mb4")
                    .parse()
                    .unwrap();
            assert_eq!(url.to_string(), "mysql://db.example:3307/postdb");
            assert_eq!(
                format!("{url:?}"),
                "DatabaseUrl(mysql://db.example:3307/postdb)"
            );
        }
    }

    #[test]
    fn other_urls_are_refused_with_their_reason() {
        let refused = |text: &str| text.parse::<DatabaseUrl>().unwrap_err();
        assert_eq!(refused("postgres://h/d"), DatabaseUrlError::Scheme);
        assert_eq!(refused(""), DatabaseUrlError::Scheme);
        assert_eq!(refused("mysql://u:p@h:3306"), DatabaseUrlError::NoDatabase);
        assert_eq!(refused("mysql://u:p@h:3306/"), DatabaseUrlError::NoDatabase);
        assert_eq!(refused("sqlite::memory:"), DatabaseUrlError::InMemory);
        assert!(matches!(
            refused("mysql://h:port/d"),
            DatabaseUrlError::Syntax(_)
        ));
    }

    #[test]
    fn a_file_is_sqlite() {
        let url: DatabaseUrl = "sqlite:///tmp/posts.db".parse().unwrap();
        assert!(url.is_sqlite());
        assert_eq!(url.to_string(), "sqlite:///tmp/posts.db");
    }
}
