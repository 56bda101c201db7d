use std::fmt;
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use sqlx::mysql::MySqlConnectOptions;
use url::Url;

/// A database URL out of a Secret, `mysql://user:password@host:port/name`, or with `SQLAlchemy`'s
/// scheme `mysql+pymysql`. Its `Debug` form hides the password.
#[derive(Clone)]
pub struct DatabaseUrl {
    url: SecretString,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Account.
    pub user: String,
    /// Name of the database, of letters, digits and underscores.
    pub name: String,
}

/// What is wrong with a database URL. Never carries the URL, which holds a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not a URL at all.
    #[error(
        "is not a URL: write mysql://user:password@host:3306/postdb and percent-encode special characters of the password"
    )]
    Syntax,
    /// Another database system.
    #[error("has scheme {0}: only mysql:// and mysql+pymysql:// are supported")]
    Scheme(String),
    /// No host or user.
    #[error("names no {0}: write mysql://user:password@host:3306/postdb")]
    Missing(&'static str),
    /// A database name that would need quoting.
    #[error("has a database name with other characters than letters, digits and _")]
    Name,
}

impl DatabaseUrl {
    /// Parses a URL.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let plain = text.trim().replacen("mysql+pymysql://", "mysql://", 1);
        let url = Url::parse(&plain).map_err(|_| UrlError::Syntax)?;
        if url.scheme() != "mysql" {
            return Err(UrlError::Scheme(url.scheme().to_owned()));
        }
        let host = url
            .host_str()
            .filter(|h| !h.is_empty())
            .ok_or(UrlError::Missing("host"))?;
        if url.username().is_empty() {
            return Err(UrlError::Missing("user"));
        }
        let name = url.path().trim_start_matches('/');
        if name.is_empty() {
            return Err(UrlError::Missing("database"));
        }
        if name.len() > 64 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(UrlError::Name);
        }
        let options = MySqlConnectOptions::from_str(&plain).map_err(|_| UrlError::Syntax)?;
        Ok(Self {
            host: host.to_owned(),
            port: url.port().unwrap_or(3306),
            user: options.get_username().to_owned(),
            name: name.to_owned(),
            url: plain.into(),
        })
    }

    /// Options to connect with, to the database when `with_database`, else to the server only.
    pub fn options(&self, with_database: bool) -> Result<MySqlConnectOptions, UrlError> {
        let mut url = Url::parse(self.url.expose_secret()).map_err(|_| UrlError::Syntax)?;
        if !with_database {
            url.set_path("");
        }
        MySqlConnectOptions::from_str(url.as_str()).map_err(|_| UrlError::Syntax)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "mysql://{}@{}:{}/{}",
            self.user, self.host, self.port, self.name
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemes_are_accepted_and_the_password_is_hidden() {
        for scheme in ["mysql", "mysql+pymysql"] {
            let url = format!("{scheme}://post:p%40ss@db.example:3307/postdb?charset=utf8mb4");
            let parsed = DatabaseUrl::parse(&url).unwrap();
            assert_eq!(format!("{parsed:?}"), "mysql://post@db.example:3307/postdb");
        }
    }

    #[test]
    fn a_wrong_url_is_refused_with_its_fault() {
        assert_eq!(DatabaseUrl::parse("postdb").unwrap_err(), UrlError::Syntax);
        assert_eq!(
            DatabaseUrl::parse("postgres://a:b@c/d").unwrap_err(),
            UrlError::Scheme("postgres".into())
        );
        assert_eq!(
            DatabaseUrl::parse("mysql://c/d").unwrap_err(),
            UrlError::Missing("user")
        );
        assert_eq!(
            DatabaseUrl::parse("mysql://a:b@c").unwrap_err(),
            UrlError::Missing("database")
        );
        assert_eq!(
            DatabaseUrl::parse("mysql://a:b@c/d%60").unwrap_err(),
            UrlError::Name
        );
    }
}
