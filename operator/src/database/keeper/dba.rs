//! What somebody with more rights must run when the administrator's account is refused. Pure.

use crate::database::accounts::{self, Accounts, Role};
use crate::database::ledger::password_key;
use crate::database::machine::Account;

/// Statements for a DBA.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The statements, each ended by a semicolon.
    pub sql: String,
    /// What stands for passwords in them: `<password-a>` for the value under key `password-a`. A
    /// condition must not carry them.
    pub placeholders: Vec<String>,
}

/// Everything that is missing. It may be run as a whole and more than once.
pub fn script(
    accounts: &Accounts,
    database: &str,
    seen: &[(Role, Option<Account>)],
    create_database: bool,
    to_lock: Option<&str>,
) -> Script {
    let mut script = Script::default();
    let mut statements = Vec::new();
    let shows_database =
        |(_, account): &(Role, Option<Account>)| matches!(account, Some(Account::Works));
    if create_database && !seen.iter().any(shows_database) {
        let create = accounts::create_database(database);
        statements.push(create.replacen("CREATE DATABASE", "CREATE DATABASE IF NOT EXISTS", 1));
    }
    for (role, account) in seen {
        let user = accounts.name(*role);
        if matches!(account, None | Some(Account::Refused | Account::Locked)) {
            let placeholder = format!("<{}>", password_key(*role));
            statements.push(format!(
                "CREATE USER IF NOT EXISTS '{user}'@'%' IDENTIFIED BY '{placeholder}'"
            ));
            statements.push(format!(
                "ALTER USER '{user}'@'%' IDENTIFIED BY '{placeholder}' ACCOUNT UNLOCK"
            ));
            script.placeholders.push(placeholder);
        }
        if !matches!(account, Some(Account::Works | Account::NoDatabase)) {
            statements.push(accounts::grant(&user, role.privileges(), database));
        }
    }
    statements.extend(to_lock.map(accounts::lock));
    script.sql = statements.join("; ");
    script.sql.push(';');
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::accounts::Slot;

    #[test]
    fn only_what_is_missing_is_asked_for() {
        let accounts = Accounts::of("ns", "post");
        let seen = [
            (Role::Runtime(Slot::A), Some(Account::Works)),
            (Role::Migrator, Some(Account::Lacks)),
        ];
        let script = script(&accounts, "post_db", &seen, true, None);
        assert_eq!(
            script.sql,
            format!(
                "GRANT ALTER, CREATE, DELETE, INDEX, INSERT, REFERENCES, SELECT, UPDATE ON `post\\_db`.* TO '{}'@'%';",
                accounts.name(Role::Migrator)
            )
        );
        assert!(script.placeholders.is_empty());
    }

    #[test]
    fn passwords_are_named_and_not_told() {
        let accounts = Accounts::of("ns", "post");
        let seen = [
            (Role::Runtime(Slot::A), Some(Account::Refused)),
            (Role::Migrator, Some(Account::Refused)),
        ];
        let script = script(&accounts, "postdb", &seen, true, None);
        assert!(
            script.sql.starts_with(
                "CREATE DATABASE IF NOT EXISTS `postdb` CHARACTER SET utf8mb4; CREATE USER"
            ),
            "{}",
            script.sql
        );
        assert_eq!(script.placeholders, ["<password-a>", "<password-migrator>"]);
    }
}
