use super::*;
use crate::database::Password;
use crate::database::accounts::Role::{Migrator, Runtime};
use crate::database::accounts::Slot::{A, B};

/// A server and pods that do what they are told, without I/O.
#[derive(Clone, Debug, Default)]
struct Model {
    ledger: Ledger,
    database: bool,
    /// Password, granted, locked.
    accounts: std::collections::BTreeMap<&'static str, (Password, bool, bool)>,
    pods: BTreeSet<Slot>,
    used: usize,
}

fn key(role: Role) -> &'static str {
    match role {
        Runtime(A) => "a",
        Runtime(B) => "b",
        Migrator => "m",
    }
}

impl Model {
    fn shows(&self, role: Role) -> Option<Account> {
        let password = self.ledger.password(role)?;
        Some(match self.accounts.get(key(role)) {
            None => Account::Refused,
            Some((set, _, _)) if set != password => Account::Refused,
            Some((_, _, true)) => Account::Locked,
            Some((_, false, _)) => Account::Lacks,
            Some(_) if !self.database => Account::NoDatabase,
            Some(_) => Account::Works,
        })
    }

    fn next(&self, policy: &Policy, now: Timestamp) -> Option<Action> {
        let server = Server {
            target: target(&self.ledger).and_then(|slot| self.shows(Runtime(slot))),
            migrator: self.shows(Migrator),
            retiring: self
                .ledger
                .retiring
                .and_then(|slot| self.shows(Runtime(slot))),
        };
        next(&self.ledger, &server, &self.pods, false, policy, now)
    }

    fn take(&mut self, action: Action, policy: &Policy, now: Timestamp) {
        self.used += 1;
        match action {
            Action::NewPasswords { migrator, slot } => {
                if migrator {
                    self.ledger.migrator = Password::generate();
                }
                if let Some(slot) = slot {
                    self.ledger
                        .set_password(Runtime(slot), Password::generate());
                    self.ledger.next = Some(slot);
                    self.ledger.rotate_token.clone_from(&policy.rotate_token);
                }
            }
            Action::SetPassword(role) => {
                let password = self.ledger.password(role).unwrap().clone();
                let granted = self.accounts.get(key(role)).is_some_and(|known| known.1);
                self.accounts.insert(key(role), (password, granted, false));
            }
            Action::Grant(role) => self.accounts.get_mut(key(role)).unwrap().1 = true,
            Action::CreateDatabase => self.database = true,
            Action::Activate(slot) => self.ledger.activate(slot, now),
            Action::SaveUrls => {}
            Action::Lock(slot) => self.accounts.get_mut(key(Runtime(slot))).unwrap().2 = true,
            Action::Forget(slot) => self.ledger.forget(slot),
        }
    }

    fn settle(&mut self, policy: &Policy, now: Timestamp) -> Vec<Action> {
        let mut taken = Vec::new();
        while let Some(action) = self.next(policy, now) {
            // The account that pods use works before and after each action.
            let before = self.ledger.active.map(|slot| self.shows(Runtime(slot)));
            assert!(
                before.is_none_or(|seen| seen == Some(Account::Works)),
                "{action:?}"
            );
            self.take(action, policy, now);
            for slot in &self.pods {
                assert_eq!(
                    self.shows(Runtime(*slot)),
                    Some(Account::Works),
                    "{action:?}"
                );
            }
            taken.push(action);
            assert!(taken.len() < 30, "{taken:?}");
        }
        taken
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

#[test]
fn from_nothing_the_account_is_saved_made_granted_tried_and_only_then_used() {
    let mut model = Model::default();
    let taken = model.settle(&Policy::default(), at(0));
    assert_eq!(
        taken,
        [
            Action::NewPasswords {
                migrator: true,
                slot: Some(A)
            },
            Action::SetPassword(Runtime(A)),
            Action::Grant(Runtime(A)),
            Action::CreateDatabase,
            Action::SetPassword(Migrator),
            Action::Grant(Migrator),
            Action::Activate(A),
        ]
    );
    assert_eq!(model.next(&Policy::default(), at(1_000_000)), None);
}

#[test]
fn a_rotation_goes_to_the_other_account_and_locks_the_first_when_no_pod_uses_it() {
    let mut model = Model::default();
    model.settle(&Policy::default(), at(0));
    model.pods = [A].into();
    let policy = Policy {
        rotate_token: Some("1".into()),
        interval: None,
    };
    let taken = model.settle(&policy, at(10));
    assert_eq!(
        taken,
        [
            Action::NewPasswords {
                migrator: false,
                slot: Some(B)
            },
            Action::SetPassword(Runtime(B)),
            Action::Grant(Runtime(B)),
            Action::Activate(B),
        ]
    );
    model.pods = [A, B].into();
    assert_eq!(model.next(&policy, at(11)), None, "an old pod is left");
    model.pods = [B].into();
    assert_eq!(
        model.settle(&policy, at(12)),
        [Action::Lock(A), Action::Forget(A)]
    );
    assert_eq!(model.next(&policy, at(13)), None, "once for a token");
    let back = model.settle(
        &Policy {
            rotate_token: Some("2".into()),
            interval: None,
        },
        at(14),
    );
    assert_eq!(back.last(), Some(&Action::Activate(A)));
}

#[test]
fn the_interval_counts_from_the_last_change() {
    let mut model = Model::default();
    let policy = Policy {
        interval: Some(Duration::from_secs(100)),
        rotate_token: None,
    };
    model.settle(&policy, at(0));
    assert_eq!(model.next(&policy, at(99)), None);
    model.settle(&policy, at(100));
    assert_eq!(model.ledger.active, Some(B));
    assert_eq!(model.ledger.rotated_at, Some(at(100)));
}

#[test]
fn a_token_that_changes_while_an_account_retires_waits_for_it() {
    let mut model = Model::default();
    model.settle(&Policy::default(), at(0));
    model.pods = [A].into();
    model.settle(
        &Policy {
            rotate_token: Some("1".into()),
            interval: None,
        },
        at(1),
    );
    let again = Policy {
        rotate_token: Some("2".into()),
        interval: None,
    };
    assert_eq!(model.next(&again, at(2)), None);
    model.pods = [B].into();
    model.settle(&again, at(3));
    assert_eq!(model.ledger.active, Some(A));
}

#[test]
fn a_deleted_secret_leaves_the_account_of_running_pods_as_it_is() {
    let mut model = Model::default();
    model.settle(&Policy::default(), at(0));
    let first = model.accounts["a"].0.clone();
    model.pods = [A].into();
    model.ledger = Ledger::default();
    let action = model.next(&Policy::default(), at(1)).unwrap();
    assert_eq!(
        action,
        Action::NewPasswords {
            migrator: true,
            slot: Some(B)
        }
    );
    while let Some(action) = model.next(&Policy::default(), at(1)) {
        model.take(action, &Policy::default(), at(1));
    }
    assert_eq!(model.accounts["a"].0, first);
    assert_eq!(model.ledger.active, Some(B));
}
