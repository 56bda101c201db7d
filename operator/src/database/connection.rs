use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::ConnectOptions as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};

use crate::api::v1alpha1::TlsMode;

/// How a connection is encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// What is demanded of the server.
    pub mode: TlsMode,
    /// Certificates of authorities, PEM.
    pub ca: Option<String>,
}

impl Tls {
    /// `options` with these demands. `Preferred` demands nothing, so that it leaves a URL's own
    /// `ssl-mode` alone: it must not make a connection weaker than its URL says.
    pub fn apply(&self, options: MySqlConnectOptions) -> MySqlConnectOptions {
        let options = match &self.ca {
            Some(ca) => options.ssl_ca_from_pem(ca.clone().into_bytes()),
            None => options,
        };
        match self.mode {
            TlsMode::Preferred => options,
            TlsMode::Required => options.ssl_mode(MySqlSslMode::Required),
            TlsMode::VerifyCA => options.ssl_mode(MySqlSslMode::VerifyCa),
            TlsMode::VerifyIdentity => options.ssl_mode(MySqlSslMode::VerifyIdentity),
        }
    }
}

/// A database on a server, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Name of the database.
    pub name: String,
    /// Encryption.
    pub tls: Tls,
}

/// An account and its password. Its `Debug` form hides the latter.
#[derive(Clone)]
pub struct Login {
    /// Name of the account.
    pub user: String,
    /// Its password.
    pub password: SecretString,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.user)
    }
}

impl Place {
    /// Connects as `login`, to the database when `with_database`, else to the server only.
    pub async fn connect(
        &self,
        login: &Login,
        with_database: bool,
    ) -> Result<MySqlConnection, sqlx::Error> {
        let options = MySqlConnectOptions::new()
            .host(&self.host)
            .port(self.port)
            .username(&login.user)
            .password(login.password.expose_secret());
        let options = if with_database {
            options.database(&self.name)
        } else {
            options
        };
        silent(self.tls.apply(options)).connect().await
    }
}

/// Statements carry passwords: they are never logged, however slow they are.
pub fn silent(options: MySqlConnectOptions) -> MySqlConnectOptions {
    options.disable_statement_logging()
}
