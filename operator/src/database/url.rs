use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use sqlx::mysql::MySqlConnectOptions;
use url::Url;

use super::{Place, Tls};

/// Everything but the unreserved characters (RFC 3986, section 2.3) is encoded.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

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

    /// The URL of an account on a database, every special character percent-encoded.
    pub fn compose(place: &Place, user: &str, password: &str) -> SecretString {
        let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
        // An IPv6 address stands in brackets (RFC 3986, section 3.2.2).
        let host = if place.host.contains(':') {
            format!("[{}]", place.host)
        } else {
            place.host.clone()
        };
        format!(
            "mysql://{}:{}@{host}:{}/{}",
            encode(user),
            encode(password),
            place.port,
            encode(&place.name)
        )
        .into()
    }

    /// The database that it names.
    pub fn place(&self, tls: Tls) -> Place {
        Place {
            host: self.host.clone(),
            port: self.port,
            name: self.name.clone(),
            tls,
        }
    }

    /// The URL itself, with its password.
    pub fn expose(&self) -> &str {
        self.url.expose_secret()
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
    fn a_composed_url_is_read_back_whatever_the_password_is() {
        let punctuation: String = (b'!'..=b'~').map(char::from).collect();
        for password in [
            punctuation.as_str(),
            "비밀번호 글판",
            "%40%25",
            "a:b@c/d?e#f",
            " ",
        ] {
            let place = Place {
                host: "db.example".into(),
                port: 3307,
                name: "postdb".into(),
                tls: super::super::Tls::default(),
            };
            let url = DatabaseUrl::compose(&place, "us@er", password);
            let parsed = DatabaseUrl::parse(url.expose_secret()).unwrap();
            assert_eq!((parsed.host.as_str(), parsed.port), ("db.example", 3307));
            assert_eq!(parsed.user, "us@er");
            assert_eq!(parsed.name, "postdb");
            let raw = Url::parse(url.expose_secret()).unwrap();
            let decoded = percent_encoding::percent_decode_str(raw.password().unwrap());
            assert_eq!(decoded.decode_utf8().unwrap(), password);
        }
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        let place = Place {
            host: "fd00::1".into(),
            port: 3306,
            name: "postdb".into(),
            tls: super::super::Tls::default(),
        };
        let url = DatabaseUrl::compose(&place, "u", "p");
        assert_eq!(url.expose_secret(), "mysql://u:p@[fd00::1]:3306/postdb");
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
