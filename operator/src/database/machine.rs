//! The accounts' life as a state machine without memory: (what the Secret says, what the server
//! shows, what the pods use, now) → the next action.
//!
//! Each action is one write, and may be repeated. A change of password goes through them in this
//! order, and an operator killed between any two finds itself where it was:
//!
//! 1. `NewPasswords`: saved in the Secret, before the server learns of them;
//! 2. `SetPassword`, `CreateDatabase`, `Grant`: until the account works, which is tried by logging in as it;
//! 3. `Activate`: the Secret's URL is the new account's; pods are replaced because it changed;
//! 4. `Lock`: the account before, once no pod was started with it; the Secret forgets it by `Forget`.
//!
//! The account that the Secret's URL names is never altered while it works.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::accounts::{Role, Slot};
use super::ledger::Ledger;

/// What the spec asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Time between changes of password; `None`: only when asked.
    pub interval: Option<Duration>,
    /// Value of the rotate annotation: another one asks for a change now.
    pub rotate_token: Option<String>,
}

/// What the server shows of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// It may do what it must.
    Works,
    /// There is none, or its password is another.
    Refused,
    /// It may not connect.
    Locked,
    /// It lacks privileges on the database.
    Lacks,
    /// It may use the database, which is absent.
    NoDatabase,
}

/// What the server shows; `None`: not looked at, since the Secret has no password for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// The account that is being made ready, or else the active one.
    pub target: Option<Account>,
    /// The migrating account.
    pub migrator: Option<Account>,
    /// The account that is to be locked.
    pub retiring: Option<Account>,
}

/// One write, of the Secret or on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Save new passwords, for the migrating account and for one of the service's, and that the
    /// latter is to become the active one.
    NewPasswords {
        /// For the migrating account.
        migrator: bool,
        /// For this account of the service.
        slot: Option<Slot>,
    },
    /// Give the account the Secret's password, making it where there is none.
    SetPassword(Role),
    /// Give the account its privileges.
    Grant(Role),
    /// Make the database.
    CreateDatabase,
    /// Save that pods use this account from now on.
    Activate(Slot),
    /// Save URLs that follow the spec.
    SaveUrls,
    /// Lock the account.
    Lock(Slot),
    /// Save that the account is locked.
    Forget(Slot),
}

/// The next action; `None`: nothing is to be done now. `in_use` are the accounts that pods were
/// started with, `urls_differ` says that the spec names another server or database than the
/// Secret's URLs.
pub fn next(
    ledger: &Ledger,
    server: &Server,
    in_use: &BTreeSet<Slot>,
    urls_differ: bool,
    policy: &Policy,
    now: Timestamp,
) -> Option<Action> {
    let new = new_password(ledger, in_use, policy, now);
    let migrator = ledger.migrator.is_none();
    if migrator || new.is_some() {
        return Some(Action::NewPasswords {
            migrator,
            slot: new,
        });
    }
    let target = target(ledger)?;
    let repair = repair(Role::Runtime(target), server.target)
        .or_else(|| repair(Role::Migrator, server.migrator));
    if repair.is_some() {
        return repair;
    }
    if let Some(next) = ledger.next {
        return Some(Action::Activate(next));
    }
    if urls_differ {
        return Some(Action::SaveUrls);
    }
    let retiring = ledger.retiring.filter(|slot| !in_use.contains(slot))?;
    match server.retiring {
        None | Some(Account::Refused | Account::Locked) => Some(Action::Forget(retiring)),
        Some(Account::Works | Account::Lacks | Account::NoDatabase) => Some(Action::Lock(retiring)),
    }
}

/// The account that must work before anything else happens.
pub fn target(ledger: &Ledger) -> Option<Slot> {
    ledger.next.or(ledger.active)
}

/// The account of the service that needs a new password, for its first use or by rotation.
fn new_password(
    ledger: &Ledger,
    in_use: &BTreeSet<Slot>,
    policy: &Policy,
    now: Timestamp,
) -> Option<Slot> {
    let known = |slot: Slot| ledger.password(Role::Runtime(slot)).is_some();
    match (ledger.next, ledger.active) {
        (Some(next), _) => (!known(next)).then_some(next),
        // Somebody deleted the Secret: the account that pods still use is left as it is.
        (None, None) if in_use.contains(&Slot::A) => Some(Slot::B),
        (None, None) => Some(Slot::A),
        (None, Some(active)) if !known(active) => Some(active.other()),
        (None, Some(active)) => {
            (ledger.retiring.is_none() && is_due(ledger, policy, now)).then(|| active.other())
        }
    }
}

fn is_due(ledger: &Ledger, policy: &Policy, now: Timestamp) -> bool {
    if policy.rotate_token.is_some() && policy.rotate_token != ledger.rotate_token {
        return true;
    }
    let Some((interval, since)) = policy.interval.zip(ledger.rotated_at) else {
        return false;
    };
    let age = now.duration_since(since);
    SignedDuration::try_from(interval).is_ok_and(|interval| age >= interval)
}

fn repair(role: Role, account: Option<Account>) -> Option<Action> {
    match account {
        None | Some(Account::Works) => None,
        Some(Account::Refused | Account::Locked) => Some(Action::SetPassword(role)),
        Some(Account::Lacks) => Some(Action::Grant(role)),
        Some(Account::NoDatabase) => Some(Action::CreateDatabase),
    }
}

#[cfg(test)]
mod tests;
