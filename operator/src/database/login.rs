use sqlx::Connection as _;
use sqlx::mysql::MySqlConnection;

use super::accounts::stands_for;
use super::connection::{Login, Place};
use super::error::{self, DatabaseError, DatabaseFacts, ER_BAD_DB};
use super::{check, machine::Account};

/// What the server shows of an account, and of the database where it works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether it may do what it must.
    pub account: Account,
    /// What it sees; only where it works.
    pub facts: Option<DatabaseFacts>,
}

impl Seen {
    fn only(account: Account) -> Self {
        Self {
            account,
            facts: None,
        }
    }
}

/// Logs in and asks the server what the account may do: no other account's rights are needed to
/// know, whoever made it.
pub async fn look(
    place: &Place,
    login: &Login,
    privileges: &[&str],
) -> Result<Seen, DatabaseError> {
    let unreachable = |error: &sqlx::Error| error::unreachable(&place.host, place.port, error);
    let mut connection = match place.connect(login, true).await {
        Ok(connection) => connection,
        Err(error) if error::is_login_refused(&error) => return Ok(Seen::only(Account::Refused)),
        Err(error) if error::is_locked(&error) => return Ok(Seen::only(Account::Locked)),
        Err(error) if error::is_database_denied(&error) => return Ok(Seen::only(Account::Lacks)),
        Err(error) if error::number(&error) == Some(ER_BAD_DB) => {
            return Ok(Seen::only(Account::NoDatabase));
        }
        Err(error) => return Err(unreachable(&error)),
    };
    let granted = granted(&mut connection, &place.name)
        .await
        .map_err(|error| unreachable(&error))?;
    let lacks = privileges
        .iter()
        .any(|needed| !granted.iter().any(|has| has == needed));
    let seen = if lacks {
        Seen::only(Account::Lacks)
    } else {
        let facts = check::facts(&mut connection)
            .await
            .map_err(|error| unreachable(&error))?;
        Seen {
            account: Account::Works,
            facts: Some(facts),
        }
    };
    // The answer is in hand; a failed goodbye changes nothing.
    let _ = connection.close().await;
    Ok(seen)
}

/// The privileges that the session's account has on the database, by grants on it or on everything.
async fn granted(
    connection: &mut MySqlConnection,
    database: &str,
) -> Result<Vec<String>, sqlx::Error> {
    // user@host, where the user's name may itself contain an @.
    let account: String = sqlx::query_scalar("SELECT CAST(CURRENT_USER() AS CHAR)")
        .fetch_one(&mut *connection)
        .await?;
    let (user, host) = account.rsplit_once('@').unwrap_or((&account, "%"));
    let grantee = format!("'{user}'@'{host}'");
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT CAST(table_schema AS CHAR), CAST(privilege_type AS CHAR) \
         FROM information_schema.schema_privileges WHERE grantee = ? \
         UNION ALL SELECT '%', CAST(privilege_type AS CHAR) \
         FROM information_schema.user_privileges WHERE grantee = ?",
    )
    .bind(&grantee)
    .bind(&grantee)
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .filter(|(schema, _)| stands_for(schema, database))
        .map(|(_, privilege)| privilege)
        .collect())
}
