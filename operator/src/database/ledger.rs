//! What the Secret `<name>-database` says: the operator's memory of the accounts, from which the
//! pods also read their URL.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::accounts::{Accounts, Role, Slot};
use super::{DatabaseUrl, Password, Place};

/// Key with the URL of the account in use; the pods read it.
pub const DATABASE_URL: &str = "database-url";
/// Key with the URL of the migrating account; the migration Job reads it.
pub const MIGRATOR_URL: &str = "migrator-url";
/// Key with the time of the last change of password.
pub const ROTATED_AT: &str = "rotated-at";
const ACTIVE: &str = "active";
const NEXT: &str = "next";
const RETIRING: &str = "retiring";
const ROTATE_TOKEN: &str = "rotate-token";
const PASSWORD_MIGRATOR: &str = "password-migrator";

/// The Secret's content. Every field that is there was written before the server learned of it.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Password of the migrating account.
    pub migrator: Option<Password>,
    /// Password of `…_a`.
    pub a: Option<Password>,
    /// Password of `…_b`.
    pub b: Option<Password>,
    /// The account that `database-url` names; it was tried before.
    pub active: Option<Slot>,
    /// The account that is being made ready to become the active one.
    pub next: Option<Slot>,
    /// The account that was active before and is locked as soon as no pod uses it.
    pub retiring: Option<Slot>,
    /// When the active account became so.
    pub rotated_at: Option<Timestamp>,
    /// Value of the rotate annotation for which a rotation was last begun.
    pub rotate_token: Option<String>,
    /// URL of the active account.
    pub database_url: Option<SecretString>,
    /// URL of the migrating account.
    pub migrator_url: Option<SecretString>,
}

impl Ledger {
    /// From the Secret's data. A value that is not the operator's is as if it were not there: the
    /// account gets a new one.
    pub fn read(data: &BTreeMap<String, ByteString>) -> Self {
        let text = |key: &str| {
            data.get(key)
                .and_then(|value| std::str::from_utf8(&value.0).ok())
                .filter(|text| !text.is_empty())
        };
        let password = |key: &str| text(key).and_then(Password::parse);
        let slot = |key: &str| text(key).and_then(Slot::parse);
        Self {
            migrator: password(PASSWORD_MIGRATOR),
            a: password(&password_key(Role::Runtime(Slot::A))),
            b: password(&password_key(Role::Runtime(Slot::B))),
            active: slot(ACTIVE),
            next: slot(NEXT),
            retiring: slot(RETIRING),
            rotated_at: text(ROTATED_AT).and_then(|time| time.parse().ok()),
            rotate_token: text(ROTATE_TOKEN).map(str::to_owned),
            database_url: text(DATABASE_URL).map(Into::into),
            migrator_url: text(MIGRATOR_URL).map(Into::into),
        }
    }

    /// Every key of the Secret: its value, or `None` where it shall not be.
    pub fn entries(&self) -> BTreeMap<String, Option<String>> {
        let password =
            |password: &Option<Password>| password.as_ref().map(|p| p.expose().to_owned());
        let slot = |slot: Option<Slot>| slot.map(|slot| slot.as_str().to_owned());
        let url = |url: &Option<SecretString>| url.as_ref().map(|u| u.expose_secret().to_owned());
        [
            (PASSWORD_MIGRATOR.to_owned(), password(&self.migrator)),
            (password_key(Role::Runtime(Slot::A)), password(&self.a)),
            (password_key(Role::Runtime(Slot::B)), password(&self.b)),
            (ACTIVE.to_owned(), slot(self.active)),
            (NEXT.to_owned(), slot(self.next)),
            (RETIRING.to_owned(), slot(self.retiring)),
            (
                ROTATED_AT.to_owned(),
                self.rotated_at.map(|time| time.to_string()),
            ),
            (ROTATE_TOKEN.to_owned(), self.rotate_token.clone()),
            (DATABASE_URL.to_owned(), url(&self.database_url)),
            (MIGRATOR_URL.to_owned(), url(&self.migrator_url)),
        ]
        .into()
    }

    /// The account's password.
    pub fn password(&self, role: Role) -> Option<&Password> {
        match role {
            Role::Runtime(Slot::A) => self.a.as_ref(),
            Role::Runtime(Slot::B) => self.b.as_ref(),
            Role::Migrator => self.migrator.as_ref(),
        }
    }

    /// Notes a new password.
    pub fn set_password(&mut self, role: Role, password: Option<Password>) {
        match role {
            Role::Runtime(Slot::A) => self.a = password,
            Role::Runtime(Slot::B) => self.b = password,
            Role::Migrator => self.migrator = password,
        }
    }

    /// Lets the pods use this account from now on.
    pub fn activate(&mut self, slot: Slot, now: Timestamp) {
        self.retiring = self
            .active
            .filter(|active| *active != slot)
            .or(self.retiring);
        self.active = Some(slot);
        self.next = None;
        self.rotated_at = Some(now);
    }

    /// Ends the rotation: the account is locked, its password of no use.
    pub fn forget(&mut self, slot: Slot) {
        self.retiring = None;
        self.set_password(Role::Runtime(slot), None);
    }

    /// Composes both URLs anew; true if one of them is another than before.
    pub fn compose_urls(&mut self, place: &Place, accounts: &Accounts) -> bool {
        let compose = |role: Role| {
            let password = self.password(role)?;
            Some(DatabaseUrl::compose(
                place,
                &accounts.name(role),
                password.expose(),
            ))
        };
        let database = self.active.and_then(|slot| compose(Role::Runtime(slot)));
        let migrator = compose(Role::Migrator);
        let same = |old: &Option<SecretString>, new: &Option<SecretString>| {
            old.as_ref().map(SecretString::expose_secret)
                == new.as_ref().map(SecretString::expose_secret)
        };
        let changed = !same(&self.database_url, &database) || !same(&self.migrator_url, &migrator);
        self.database_url = database;
        self.migrator_url = migrator;
        changed
    }
}

/// Key with the account's password.
pub fn password_key(role: Role) -> String {
    match role {
        Role::Runtime(slot) => format!("password-{}", slot.as_str()),
        Role::Migrator => PASSWORD_MIGRATOR.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut ledger = Ledger {
            migrator: Password::generate(),
            a: Password::generate(),
            rotate_token: Some("today".into()),
            ..Ledger::default()
        };
        ledger.activate(Slot::A, Timestamp::UNIX_EPOCH);
        let place = Place {
            host: "db".into(),
            port: 3306,
            name: "postdb".into(),
            tls: super::super::Tls::default(),
        };
        assert!(ledger.compose_urls(&place, &Accounts::of("ns", "post-service")));
        let data: BTreeMap<_, _> = ledger
            .entries()
            .into_iter()
            .filter_map(|(key, value)| Some((key, ByteString(value?.into_bytes()))))
            .collect();
        let read = Ledger::read(&data);
        assert_eq!(read.entries(), ledger.entries());
        assert_eq!(read.active, Some(Slot::A));
        assert_eq!(read.retiring, None);
        assert!(!format!("{read:?}").contains(ledger.a.as_ref().unwrap().expose()));
    }
}
