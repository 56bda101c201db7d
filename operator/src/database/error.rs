use k8s_openapi::jiff::Timestamp;
use sqlx::mysql::MySqlDatabaseError;

use super::Revoked;

// Server error numbers (MySQL 8.0 Error Message Reference; MariaDB Error Codes).
const ER_DBACCESS_DENIED: u16 = 1044;
const ER_ACCESS_DENIED: u16 = 1045;
const ER_ACCESS_DENIED_NO_PASSWORD: u16 = 1698;
const ER_TABLEACCESS_DENIED: u16 = 1142;
const ER_SPECIFIC_ACCESS_DENIED: u16 = 1227;
const ER_CANT_CREATE_USER_WITH_GRANT: u16 = 1410;
const ER_ACCOUNT_HAS_BEEN_LOCKED: u16 = 3118;
const MARIADB_ACCOUNT_HAS_BEEN_LOCKED: u16 = 4151;
/// The database is absent.
pub const ER_BAD_DB: u16 = 1049;
/// The database is there already.
pub const ER_DB_CREATE_EXISTS: u16 = 1007;
/// The table is absent.
pub const ER_NO_SUCH_TABLE: u16 = 1146;
/// The account is absent, or there already.
pub const ER_CANNOT_USER: u16 = 1396;

/// What was seen of a database that is ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseFacts {
    /// Version of the last migration applied; none before the first.
    pub schema_version: Option<i64>,
    /// Connections that the server lets the account have; `None`: not told.
    pub connections: Option<u64>,
    /// An account waits to be locked, or another one to become the active one.
    pub rotating: bool,
    /// When the account in use became so; `None` where the operator does not make it.
    pub rotated_at: Option<Timestamp>,
    /// What hinders the operator, while the service has all it needs.
    pub warning: Option<Box<DatabaseError>>,
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
    /// The account of a URL is unknown or its password wrong.
    #[error(
        "{host}:{port} refuses account {user} of the database URL: correct the Secret, or have a DBA run: CREATE USER '{user}'@'%' IDENTIFIED BY '…'; {grant};"
    )]
    AccountDenied {
        /// Host of the URL.
        host: String,
        /// Port of the URL.
        port: u16,
        /// Account of the URL.
        user: String,
        /// The GRANT that it needs.
        grant: String,
    },
    /// An account may not do what must be done.
    #[error("account {user} may not {what} on {host}:{port}: have a DBA run: {sql}{note}")]
    StatementDenied {
        /// Host of the server.
        host: String,
        /// Port of the server.
        port: u16,
        /// The account that was refused.
        user: String,
        /// What it may not do.
        what: String,
        /// The statements that a DBA must run.
        sql: String,
        /// What stands for the passwords in them, if anything does.
        note: String,
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
    /// The administrator's Secret is not what it must be.
    #[error("Secret {secret} in namespace {namespace}: {fault}")]
    AdminSecret {
        /// Name of the Secret.
        secret: String,
        /// Where it is looked for.
        namespace: String,
        /// What is wrong and the mend; names the key.
        fault: String,
    },
    /// The administrator's account is refused.
    #[error(
        "{host}:{port} refuses account {user} of Secret {secret}: correct keys username and password there"
    )]
    AdminDenied {
        /// Host of the server.
        host: String,
        /// Port of the server.
        port: u16,
        /// The account.
        user: String,
        /// Name of the Secret.
        secret: String,
    },
    /// The operator's own Secret could not be read or written. Transient.
    #[error("Secret {secret} could not be {what}, trying again: {detail}")]
    Ledger {
        /// Name of the Secret.
        secret: String,
        /// `read` or `written`.
        what: &'static str,
        /// What happened.
        detail: String,
    },
    /// The spec changed before its turn came.
    #[error("the spec has changed, asking again")]
    Superseded,
    /// Another operator leads.
    #[error(transparent)]
    Revoked(#[from] Revoked),
}

impl DatabaseError {
    /// Reason of condition `DatabaseReady`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. }
            | Self::Ledger { .. }
            | Self::Superseded
            | Self::Revoked(_) => "Unreachable",
            Self::AdminSecret { .. } => "AdminSecretMissing",
            Self::AccountDenied { .. }
            | Self::StatementDenied { .. }
            | Self::Absent { .. }
            | Self::AdminDenied { .. } => "AccessDenied",
        }
    }
}

/// The server's number of an error; `None`: it is not the server's.
pub fn number(error: &sqlx::Error) -> Option<u16> {
    error
        .as_database_error()?
        .try_downcast_ref::<MySqlDatabaseError>()
        .map(MySqlDatabaseError::number)
}

/// The account or its password is wrong.
pub fn is_login_refused(error: &sqlx::Error) -> bool {
    matches!(
        number(error),
        Some(ER_ACCESS_DENIED | ER_ACCESS_DENIED_NO_PASSWORD)
    )
}

/// The account is locked.
pub fn is_locked(error: &sqlx::Error) -> bool {
    matches!(
        number(error),
        Some(ER_ACCOUNT_HAS_BEEN_LOCKED | MARIADB_ACCOUNT_HAS_BEEN_LOCKED)
    )
}

/// The account may not use the database.
pub fn is_database_denied(error: &sqlx::Error) -> bool {
    number(error) == Some(ER_DBACCESS_DENIED)
}

/// The account lacks a privilege.
pub fn is_denied(error: &sqlx::Error) -> bool {
    is_login_refused(error)
        || matches!(
            number(error),
            Some(
                ER_DBACCESS_DENIED
                    | ER_TABLEACCESS_DENIED
                    | ER_SPECIFIC_ACCESS_DENIED
                    | ER_CANT_CREATE_USER_WITH_GRANT
            )
        )
}

/// An error that is nobody's refusal.
pub fn unreachable(host: &str, port: u16, error: &sqlx::Error) -> DatabaseError {
    let detail = match error {
        sqlx::Error::Database(inner) => inner.to_string(),
        other => other.to_string(),
    };
    DatabaseError::Unreachable {
        host: host.to_owned(),
        port,
        detail,
    }
}
