use k8s_openapi::api::core::v1::Secret;
use sqlx::mysql::MySqlConnection;
use sqlx::{Connection as _, Executor as _};

use super::Keeper;
use crate::database::connection::Login;
use crate::database::error::{self, ER_CANNOT_USER, ER_DB_CREATE_EXISTS};
use crate::database::{DatabaseError, Password, Permit, accounts};

/// A session of the administrator, whose Secret was read for it.
pub struct Admin {
    connection: MySqlConnection,
    user: String,
    host: String,
    port: u16,
}

/// Why a statement was not run.
#[derive(Debug)]
pub enum Refusal {
    /// The administrator may not run it: somebody who may must.
    Denied {
        /// The administrator's account.
        user: String,
        /// The kind of statement.
        what: &'static str,
    },
    /// Anything else.
    Other(DatabaseError),
}

impl<E: Into<DatabaseError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

impl Admin {
    /// Reads the administrator's Secret and connects.
    pub async fn connect(keeper: &Keeper) -> Result<Self, DatabaseError> {
        let secret = keeper.vault.secret(&keeper.admin_secret).await?;
        let login = credentials(keeper, secret.as_ref())?;
        let place = &keeper.place;
        match place.connect(&login, false).await {
            Ok(connection) => Ok(Self {
                connection,
                user: login.user,
                host: place.host.clone(),
                port: place.port,
            }),
            Err(error) if error::is_login_refused(&error) || error::is_locked(&error) => {
                Err(DatabaseError::AdminDenied {
                    host: place.host.clone(),
                    port: place.port,
                    user: login.user,
                    secret: keeper.admin_secret.clone(),
                })
            }
            Err(error) => Err(error::unreachable(&place.host, place.port, &error)),
        }
    }

    /// Ends the session.
    pub async fn close(self) {
        // Everything asked for is done; a failed goodbye changes nothing.
        let _ = self.connection.close().await;
    }

    /// Runs a statement. It goes as text: not every one can be prepared.
    pub async fn execute(
        &mut self,
        what: &'static str,
        sql: &str,
        permit: &Permit,
    ) -> Result<(), Refusal> {
        permit.check()?;
        let result = self.connection.execute(sql).await;
        result.map(drop).map_err(|error| self.refusal(what, &error))
    }

    /// Gives an account a password, making it where there is none. Not `ALTER … IF EXISTS`: its
    /// warning would have to be asked for.
    pub async fn set_password(
        &mut self,
        user: &str,
        password: &Password,
        permit: &Permit,
    ) -> Result<(), Refusal> {
        permit.check()?;
        let alter = accounts::set_password(user, password);
        match self.connection.execute(alter.as_str()).await {
            Ok(_) => Ok(()),
            Err(error) if error::number(&error) == Some(ER_CANNOT_USER) => {
                let create = accounts::create_user(user, password);
                self.execute("CREATE USER", &create, permit).await
            }
            Err(error) => Err(self.refusal("CREATE USER and ALTER USER", &error)),
        }
    }

    /// Makes the database, unless somebody was faster.
    pub async fn create_database(&mut self, sql: &str, permit: &Permit) -> Result<(), Refusal> {
        permit.check()?;
        match self.connection.execute(sql).await {
            Err(error) if error::number(&error) != Some(ER_DB_CREATE_EXISTS) => {
                Err(self.refusal("CREATE DATABASE", &error))
            }
            _ => Ok(()),
        }
    }

    fn refusal(&self, what: &'static str, error: &sqlx::Error) -> Refusal {
        if error::is_denied(error) {
            return Refusal::Denied {
                user: self.user.clone(),
                what,
            };
        }
        Refusal::Other(error::unreachable(&self.host, self.port, error))
    }
}

/// The administrator's account out of its Secret, which must name the server it is for: a changed
/// `connection.host` alone never makes the operator send the password elsewhere.
fn credentials(keeper: &Keeper, secret: Option<&Secret>) -> Result<Login, DatabaseError> {
    let fault = |fault: String| DatabaseError::AdminSecret {
        secret: keeper.admin_secret.clone(),
        namespace: keeper.vault.namespace(),
        fault,
    };
    let Some(secret) = secret else {
        return Err(fault(
            "it is missing: create it with keys username, password and host".to_owned(),
        ));
    };
    let optional = |key: &str| {
        let value = secret.data.as_ref()?.get(key)?;
        let text = String::from_utf8(value.0.clone()).ok()?;
        (!text.is_empty()).then_some(text)
    };
    let value =
        |key: &str| optional(key).ok_or_else(|| fault(format!("key {key} has no value: add it")));
    let (user, password, host) = (value("username")?, value("password")?, value("host")?);
    let place = &keeper.place;
    if !host.trim().eq_ignore_ascii_case(&place.host) {
        return Err(fault(format!(
            "key host is not spec.database.connection.host ({}): the account is used on the server that its Secret names only",
            place.host
        )));
    }
    let port = optional("port").unwrap_or_else(|| place.port.to_string());
    if port.trim() != place.port.to_string() {
        return Err(fault(format!(
            "key port is not spec.database.connection.port ({})",
            place.port
        )));
    }
    Ok(Login {
        user: user.trim().to_owned(),
        password: password.into(),
    })
}
