//! The accounts of one `PostService`: their names, what they may do, and the SQL that makes it so.

use sha2::{Digest as _, Sha256};

use super::Password;

/// What the service needs of its database.
pub const RUNTIME: &[&str] = &["DELETE", "INSERT", "SELECT", "UPDATE"];
/// What migrations need: tables and their indexes are made and altered, rows are filled in.
pub const MIGRATOR: &[&str] = &[
    "ALTER",
    "CREATE",
    "DELETE",
    "INDEX",
    "INSERT",
    "REFERENCES",
    "SELECT",
    "UPDATE",
];

/// One of the two accounts between which the service alternates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// `…_a`.
    A,
    /// `…_b`.
    B,
}

impl Slot {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// `a` or `b`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    /// From `a` or `b`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::A, Self::B]
            .into_iter()
            .find(|slot| slot.as_str() == text)
    }
}

/// What an account is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The service's pods.
    Runtime(Slot),
    /// The migration Job.
    Migrator,
}

impl Role {
    /// The privileges on the database that it has, and no others.
    pub fn privileges(self) -> &'static [&'static str] {
        match self {
            Self::Runtime(_) => RUNTIME,
            Self::Migrator => MIGRATOR,
        }
    }
}

/// The names of a `PostService`'s accounts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Accounts {
    prefix: String,
}

impl Accounts {
    /// Names that several `PostService`s on one server do not share, of at most 32 characters (the
    /// limit of `MySQL`: Reference Manual, "Account User Names and Passwords").
    pub fn of(namespace: &str, name: &str) -> Self {
        let readable: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .take(18)
            .collect();
        let hash = Sha256::digest(format!("{namespace}/{name}"));
        Self {
            prefix: format!("{readable}_{}", hex::encode(&hash[..4])),
        }
    }

    /// Name of the account.
    pub fn name(&self, role: Role) -> String {
        match role {
            Role::Runtime(slot) => format!("{}_{}", self.prefix, slot.as_str()),
            Role::Migrator => format!("{}_m", self.prefix),
        }
    }

    /// Which of the two accounts of the service has this name.
    pub fn slot(&self, name: &str) -> Option<Slot> {
        [Slot::A, Slot::B]
            .into_iter()
            .find(|slot| self.name(Role::Runtime(*slot)) == name)
    }
}

/// Makes an account.
pub fn create_user(user: &str, password: &Password) -> String {
    let user = quoted(user);
    format!(
        "CREATE USER {user}@'%' IDENTIFIED BY {}",
        quoted(password.expose())
    )
}

/// Gives an account this password and lets it in.
pub fn set_password(user: &str, password: &Password) -> String {
    let user = quoted(user);
    format!(
        "ALTER USER {user}@'%' IDENTIFIED BY {} ACCOUNT UNLOCK",
        quoted(password.expose())
    )
}

/// Lets an account connect no more; its sessions go on.
pub fn lock(user: &str) -> String {
    format!("ALTER USER {}@'%' ACCOUNT LOCK", quoted(user))
}

/// Gives an account these privileges on a database.
pub fn grant(user: &str, privileges: &[&str], database: &str) -> String {
    format!(
        "GRANT {} ON {}.* TO {}@'%'",
        privileges.join(", "),
        identifier(&as_pattern(database)),
        quoted(user)
    )
}

/// Makes a database.
pub fn create_database(name: &str) -> String {
    format!("CREATE DATABASE {} CHARACTER SET utf8mb4", identifier(name))
}

/// A database name for GRANT, where a bare `_` or `%` stands for any characters.
fn as_pattern(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len());
    for c in name.chars() {
        if matches!(c, '_' | '%' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// Whether a pattern of the grant tables stands for this database.
pub fn stands_for(pattern: &str, database: &str) -> bool {
    pattern == as_pattern(database) || pattern == database || pattern == "%"
}

/// An identifier in backticks (`MySQL` Reference Manual, "Schema Object Names").
fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A string in quotes (`MySQL` Reference Manual, "String Literals"); with a backslash in it, it
/// would depend on the server's `sql_mode`, but no name or password of ours has one.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_by_namespace_and_fit_the_servers_limit() {
        let long = "a-very-long-name-of-a-post-service-in-the-cluster";
        let one = Accounts::of("one", long);
        for role in [
            Role::Runtime(Slot::A),
            Role::Runtime(Slot::B),
            Role::Migrator,
        ] {
            let name = one.name(role);
            assert!(name.len() <= 32, "{name}");
            assert!(name.starts_with("a_very_long_name_o_"), "{name}");
            assert_ne!(name, Accounts::of("two", long).name(role));
        }
        let named = one.name(Role::Runtime(Slot::B));
        assert_eq!(one.slot(&named), Some(Slot::B));
        assert_eq!(one.slot("post"), None);
    }

    #[test]
    fn names_in_sql_are_quoted() {
        assert_eq!(identifier("a`b"), "`a``b`");
        assert_eq!(quoted("a'b"), "'a''b'");
        assert_eq!(
            grant("u", RUNTIME, "post_db"),
            "GRANT DELETE, INSERT, SELECT, UPDATE ON `post\\_db`.* TO 'u'@'%'"
        );
        assert_eq!(
            create_database("post_db"),
            "CREATE DATABASE `post_db` CHARACTER SET utf8mb4"
        );
    }

    #[test]
    fn nobody_gets_all_privileges() {
        for privileges in [RUNTIME, MIGRATOR] {
            assert!(!privileges.iter().any(|p| p.contains("ALL") || *p == "DROP"));
        }
    }

    #[test]
    fn a_grant_on_the_database_is_recognised_however_it_was_written() {
        for pattern in ["post\\_db", "post_db", "%"] {
            assert!(stands_for(pattern, "post_db"), "{pattern}");
        }
        assert!(!stands_for("postdb", "post_db"));
    }
}
