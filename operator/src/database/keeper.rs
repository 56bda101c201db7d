//! Takes the actions of the state machine, one after the other, until there is none.

mod admin;
mod dba;

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::timeout;

use super::accounts::{self, Accounts, Role, Slot};
use super::connection::Login;
use super::ledger::Ledger;
use super::login::{self, Seen};
use super::machine::{self, Account, Action, Policy, Server};
use super::vault::Vault;
use super::{DatabaseError, DatabaseFacts, Password, Permit, Place};
use admin::{Admin, Refusal};

/// All actions together end within this time; what is left comes with the next look.
const TIME: Duration = Duration::from_secs(25);
/// More actions in a row than there can be.
const MOST_ACTIONS: usize = 24;

/// The accounts of one `PostService`, and all that is needed to keep them.
#[derive(Clone)]
pub struct Keeper {
    /// The database.
    pub place: Place,
    /// Names of the accounts.
    pub accounts: Accounts,
    /// When passwords change.
    pub policy: Policy,
    /// Name of the administrator's Secret.
    pub admin_secret: String,
    /// Whether an absent database is made.
    pub create_database: bool,
    /// Accounts of revisions that may come back: they are in use, too.
    pub kept: Vec<String>,
    /// Where passwords are.
    pub vault: Vault,
    /// Asked before each statement.
    pub permit: Permit,
}

/// One look at everything.
struct View {
    ledger: Ledger,
    version: Option<String>,
    target: Option<Seen>,
    active: Option<Seen>,
    migrator: Option<Seen>,
    retiring: Option<Seen>,
    in_use: BTreeSet<Slot>,
}

impl View {
    /// What the account in use sees, where it works: then nothing that runs is in danger.
    fn facts(&self) -> Option<DatabaseFacts> {
        let facts = self.active.as_ref()?.facts.clone()?;
        Some(DatabaseFacts {
            rotating: self.ledger.next.is_some() || self.ledger.retiring.is_some(),
            rotated_at: self.ledger.rotated_at,
            ..facts
        })
    }
}

impl Keeper {
    /// Brings database and accounts about, changes passwords when that is due, and says what the
    /// account in use sees. Where that one works, whatever fails is a warning only.
    pub async fn keep(self) -> Result<DatabaseFacts, DatabaseError> {
        let mut admin = None;
        let work = self.act(&mut admin);
        let result = timeout(TIME, work).await.unwrap_or_else(|_| {
            let detail = format!("not done within {} s", TIME.as_secs());
            Err(DatabaseError::Unreachable {
                host: self.place.host.clone(),
                port: self.place.port,
                detail,
            })
        });
        if let Some(admin) = admin {
            Admin::close(admin).await;
        }
        result
    }

    async fn act(&self, admin: &mut Option<Admin>) -> Result<DatabaseFacts, DatabaseError> {
        for _ in 0..MOST_ACTIONS {
            let view = self.look().await?;
            let Some(action) = self.next(&view) else {
                break;
            };
            if let Err(error) = self.take(action, &view, admin).await {
                return match view.facts() {
                    Some(facts) => Ok(DatabaseFacts {
                        warning: Some(Box::new(error)),
                        ..facts
                    }),
                    None => Err(error),
                };
            }
            tracing::info!(
                ?action,
                namespace = self.vault.namespace(),
                secret = self.vault.name(),
                "database account"
            );
        }
        let facts = self.look().await?.facts();
        facts.ok_or_else(|| DatabaseError::Unreachable {
            host: self.place.host.clone(),
            port: self.place.port,
            detail: "the accounts do not come to rest".to_owned(),
        })
    }

    async fn look(&self) -> Result<View, DatabaseError> {
        let (ledger, version) = self.vault.ledger().await?;
        let begins = ledger.active.is_none() && ledger.next.is_none();
        let in_use = if begins || ledger.retiring.is_some() {
            let names = self.vault.accounts_in_use().await?;
            names
                .iter()
                .chain(&self.kept)
                .filter_map(|name| self.accounts.slot(name))
                .collect()
        } else {
            BTreeSet::new()
        };
        let of_slot = async |slot: Option<Slot>| match slot {
            Some(slot) => self.look_at(&ledger, Role::Runtime(slot)).await,
            None => Ok(None),
        };
        let target = of_slot(machine::target(&ledger)).await?;
        let active = if ledger.next.is_none() {
            target.clone()
        } else {
            of_slot(ledger.active).await?
        };
        let retiring = ledger.retiring.filter(|slot| !in_use.contains(slot));
        Ok(View {
            target,
            active,
            migrator: self.look_at(&ledger, Role::Migrator).await?,
            retiring: of_slot(retiring).await?,
            in_use,
            ledger,
            version,
        })
    }

    async fn look_at(&self, ledger: &Ledger, role: Role) -> Result<Option<Seen>, DatabaseError> {
        let Some(password) = ledger.password(role) else {
            return Ok(None);
        };
        let login = Login {
            user: self.accounts.name(role),
            password: password.expose().to_owned().into(),
        };
        login::look(&self.place, &login, role.privileges())
            .await
            .map(Some)
    }

    fn next(&self, view: &View) -> Option<Action> {
        let account = |seen: &Option<Seen>| seen.as_ref().map(|seen| seen.account);
        let server = Server {
            target: account(&view.target),
            migrator: account(&view.migrator),
            retiring: account(&view.retiring),
        };
        let urls_differ = view
            .ledger
            .clone()
            .compose_urls(&self.place, &self.accounts);
        machine::next(
            &view.ledger,
            &server,
            &view.in_use,
            urls_differ,
            &self.policy,
            Timestamp::now(),
        )
    }

    async fn take(
        &self,
        action: Action,
        view: &View,
        admin: &mut Option<Admin>,
    ) -> Result<(), DatabaseError> {
        match action {
            Action::NewPasswords { migrator, slot } => {
                self.save(view, |ledger| self.renew(ledger, migrator, slot))
                    .await
            }
            Action::Activate(slot) => {
                self.save(view, |ledger| {
                    ledger.activate(slot, Timestamp::now());
                    ledger.compose_urls(&self.place, &self.accounts);
                    Ok(())
                })
                .await
            }
            Action::SaveUrls => {
                self.save(view, |ledger| {
                    ledger.compose_urls(&self.place, &self.accounts);
                    Ok(())
                })
                .await
            }
            Action::Forget(slot) => {
                self.save(view, |ledger| {
                    ledger.forget(slot);
                    Ok(())
                })
                .await
            }
            Action::CreateDatabase if !self.create_database => Err(DatabaseError::Absent {
                name: self.place.name.clone(),
                host: self.place.host.clone(),
                port: self.place.port,
            }),
            Action::SetPassword(_)
            | Action::Grant(_)
            | Action::CreateDatabase
            | Action::Lock(_) => {
                let result = self.administrate(action, &view.ledger, admin).await;
                result.map_err(|refusal| match refusal {
                    Refusal::Denied { user, what } => self.for_dba(action, view, user, what),
                    Refusal::Other(error) => error,
                })
            }
        }
    }

    fn renew(
        &self,
        ledger: &mut Ledger,
        migrator: bool,
        slot: Option<Slot>,
    ) -> Result<(), DatabaseError> {
        let new = || {
            Password::generate().ok_or_else(|| DatabaseError::Ledger {
                secret: self.vault.name(),
                what: "written",
                detail: "the system gives no random bytes".to_owned(),
            })
        };
        if migrator {
            ledger.set_password(Role::Migrator, Some(new()?));
        }
        if let Some(slot) = slot {
            ledger.set_password(Role::Runtime(slot), Some(new()?));
            ledger.next = Some(slot);
            ledger.rotate_token.clone_from(&self.policy.rotate_token);
        }
        Ok(())
    }

    async fn save(
        &self,
        view: &View,
        change: impl FnOnce(&mut Ledger) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        let mut ledger = view.ledger.clone();
        change(&mut ledger)?;
        self.vault.save(&ledger, view.version.as_deref()).await
    }

    /// Runs an action's statement as the administrator.
    async fn administrate(
        &self,
        action: Action,
        ledger: &Ledger,
        admin: &mut Option<Admin>,
    ) -> Result<(), Refusal> {
        let admin = match admin {
            Some(admin) => admin,
            none => none.insert(Admin::connect(self).await?),
        };
        match action {
            Action::SetPassword(role) => {
                let (user, Some(password)) = (self.accounts.name(role), ledger.password(role))
                else {
                    return Ok(());
                };
                admin.set_password(&user, password, &self.permit).await
            }
            Action::Grant(role) => {
                let user = self.accounts.name(role);
                let sql = accounts::grant(&user, role.privileges(), &self.place.name);
                admin.execute("GRANT", &sql, &self.permit).await
            }
            Action::CreateDatabase => {
                let sql = accounts::create_database(&self.place.name);
                admin.create_database(&sql, &self.permit).await
            }
            Action::Lock(slot) => {
                let sql = accounts::lock(&self.accounts.name(Role::Runtime(slot)));
                admin.execute("ALTER USER", &sql, &self.permit).await
            }
            Action::NewPasswords { .. }
            | Action::Activate(_)
            | Action::SaveUrls
            | Action::Forget(_) => Ok(()),
        }
    }

    /// The refusal as a sentence with all that a DBA must run.
    fn for_dba(&self, action: Action, view: &View, user: String, what: &str) -> DatabaseError {
        let account = |seen: &Option<Seen>| seen.as_ref().map(|seen| seen.account);
        let mut missing: Vec<(Role, Option<Account>)> = Vec::new();
        if let Some(slot) = machine::target(&view.ledger) {
            missing.push((Role::Runtime(slot), account(&view.target)));
        }
        missing.push((Role::Migrator, account(&view.migrator)));
        let retiring = match action {
            Action::Lock(slot) => Some(self.accounts.name(Role::Runtime(slot))),
            _ => None,
        };
        let script = dba::script(
            &self.accounts,
            &self.place.name,
            &missing,
            self.create_database,
            retiring.as_deref(),
        );
        DatabaseError::StatementDenied {
            host: self.place.host.clone(),
            port: self.place.port,
            user,
            what: what.to_owned(),
            sql: script.sql,
            note: if script.placeholders.is_empty() {
                String::new()
            } else {
                format!(
                    " ({} stand for the values under these keys of Secret {} in namespace {})",
                    script.placeholders.join(" and "),
                    self.vault.name(),
                    self.vault.namespace()
                )
            },
        }
    }
}
