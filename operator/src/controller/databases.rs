//! The database of each `PostService`, looked at and kept beside the passes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use kube::Client;
use kube_runtime::reflector::ObjectRef;

use super::observer::{Observer, Wake};
use super::secrets::Credentials;
use super::validate::Validated;
use crate::api::v1alpha1::PostService;
use crate::build::{self, Pace, own_secrets};
use crate::database::accounts::Accounts;
use crate::database::keeper::Keeper;
use crate::database::machine::Policy;
use crate::database::vault::Vault;
use crate::database::{self, DatabaseError, DatabaseFacts, Permit};

type Answer = Result<DatabaseFacts, DatabaseError>;

/// The latest answers of databases.
pub struct Databases {
    observer: Arc<Observer<Question, Answer>>,
    client: Client,
    permit: Permit,
    /// One for each `PostService` whose accounts are being kept.
    turns: Mutex<HashMap<String, Weak<Turn>>>,
}

/// Two questions about the same accounts never act at once, nor one that was asked before another
/// after it: it would bring an older spec about.
#[derive(Default)]
struct Turn {
    tickets: AtomicU64,
    last: tokio::sync::Mutex<u64>,
}

impl Turn {
    fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::SeqCst)
    }

    async fn keep(&self, ticket: u64, keeper: Keeper) -> Answer {
        let mut last = self.last.lock().await;
        if ticket < *last {
            return Err(DatabaseError::Superseded);
        }
        *last = ticket;
        keeper.keep().await
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Question {
    /// Hash of the Secrets' values.
    fingerprint: String,
    /// Where the database is and how it is reached.
    place: database::Place,
    /// Whether an absent database is made.
    create: bool,
    /// The migration Job that ended last: after it, an older answer is of before it.
    after: Option<String>,
    /// Whose accounts are kept, and how.
    accounts: Option<AccountsQuestion>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct AccountsQuestion {
    uid: String,
    admin_secret: String,
    policy: Policy,
    kept: Vec<String>,
}

impl Databases {
    /// Nothing is known yet; `permit` is asked before each write.
    pub fn new(client: Client, wake: Wake, permit: Permit) -> Self {
        Self {
            observer: Observer::new(wake),
            client,
            permit,
            turns: Mutex::new(HashMap::new()),
        }
    }

    /// The latest answer, if any; `after` is the uid of the migration Job that ended last, and
    /// `kept_accounts` are those of revisions that may come back.
    pub fn ask(
        &self,
        spec: &Validated,
        credentials: &Credentials,
        after: Option<String>,
        kept_accounts: Vec<String>,
        who: &ObjectRef<PostService>,
        pace: Pace,
    ) -> Option<Answer> {
        let create = spec.spec.database.create_database;
        let keeper = self.keeper(spec, credentials, kept_accounts);
        let question = Question {
            fingerprint: credentials.fingerprint.clone(),
            place: credentials.place.clone(),
            create,
            after,
            accounts: keeper.as_ref().map(|keeper| AccountsQuestion {
                uid: spec.id.uid.clone(),
                admin_secret: keeper.admin_secret.clone(),
                policy: keeper.policy.clone(),
                kept: keeper.kept.clone(),
            }),
        };
        let max_age = |answer: &Answer| match answer {
            Ok(facts) if !facts.rotating && facts.warning.is_none() => pace.poll,
            _ => pace.poll_in_trouble,
        };
        match (keeper, &credentials.account) {
            (Some(keeper), _) => {
                let turn = self.turn(&spec.id.uid);
                self.observer.ask(&question, who, max_age, || {
                    let ticket = turn.ticket();
                    async move { turn.keep(ticket, keeper).await }
                })
            }
            (None, Some(url)) => {
                let (url, tls) = (url.clone(), credentials.place.tls.clone());
                let permit = self.permit.clone();
                self.observer.ask(&question, who, max_age, || {
                    database::ensure(url, tls, create, permit)
                })
            }
            // Without an account of the operator's making there is always a URL.
            (None, None) => None,
        }
    }

    fn keeper(
        &self,
        spec: &Validated,
        credentials: &Credentials,
        kept: Vec<String>,
    ) -> Option<Keeper> {
        let bootstrap = spec.spec.database.bootstrap.as_ref()?;
        let id = &spec.id;
        let secret = own_secrets::empty(spec, &own_secrets::database_name(&id.name));
        let pods = build::pods_selector(&id.name);
        Some(Keeper {
            place: credentials.place.clone(),
            accounts: Accounts::of(&id.namespace, &id.name),
            policy: Policy {
                interval: spec.rotation_interval,
                rotate_token: spec.rotate.clone(),
            },
            kept,
            admin_secret: bootstrap.admin_secret_ref.name.clone(),
            create_database: spec.spec.database.create_database,
            vault: Vault::new(self.client.clone(), secret, pods, self.permit.clone()),
            permit: self.permit.clone(),
        })
    }

    fn turn(&self, uid: &str) -> Arc<Turn> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(uid).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(Turn::default());
        turns.insert(uid.to_owned(), Arc::downgrade(&turn));
        turn
    }
}
