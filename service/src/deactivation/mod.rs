//! Deactivating accounts: refused here at once and for ever, then told to Cognito until it is done.
//!
//! The row that refuses the user is also the note of what is left to do. Whichever process finds it
//! due takes it on ([`Deactivations::keep_finishing`]); what a process leaves behind when it dies is
//! found by another one, or by the same one after its restart. Telling Cognito twice does no harm.

mod cognito;

pub use cognito::{Cognito, CognitoError};

use crate::{
    board::{Clock, User},
    config::Deactivation,
    store::{DueDeactivation, NewDeactivation, Requested, Store, StoreError},
};
use jiff::Timestamp;
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long whoever asks waits for Cognito.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often the store is asked what is due.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// Taken on at a time.
const BATCH: u32 = 16;
/// From the first attempt to the second; it doubles from there.
const FIRST_DELAY_SECONDS: i64 = 5;
/// The longest time between two attempts.
const LONGEST_DELAY_SECONDS: i64 = 15 * 60;

/// How far a deactivation has come. The user is refused either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is left to do.
    Finished,
    /// Cognito has yet to be told.
    UnderWay,
}

/// Deactivates accounts. Cheap to clone.
#[derive(Clone)]
pub struct Deactivations {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    action: Deactivation,
    /// None: there is no user pool, the refusal is all.
    cognito: Option<Arc<Cognito>>,
}

impl Deactivations {
    /// Deactivates users of this pool in this way; without a pool users are only refused.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        action: Deactivation,
        cognito: Option<Cognito>,
    ) -> Self {
        let cognito = cognito.map(Arc::new);
        Self {
            store,
            clock,
            action,
            cognito,
        }
    }

    /// What is done to accounts in the user pool.
    pub fn action(&self) -> Deactivation {
        self.action
    }

    /// Refuses a user, durably; then tells Cognito and waits a moment for it.
    pub async fn deactivate(&self, user: &User) -> Result<Progress, StoreError> {
        let requested_at = self.clock.now();
        let deactivation = NewDeactivation {
            user_id: user.id().to_owned(),
            username: username_in_pool(user).to_owned(),
            requested_at,
            due_at: self.cognito.is_some().then(|| due_after(1, requested_at)),
        };
        let requested = self.store.request_deactivation(&deactivation).await?;
        tracing::info!(?requested, "a user is deactivated");
        let cognito = match (requested, &self.cognito) {
            (Requested::Before { finished: false }, _) => return Ok(Progress::UnderWay),
            (Requested::Before { finished: true }, _) | (Requested::Stored, None) => {
                return Ok(Progress::Finished);
            }
            (Requested::Stored, Some(cognito)) => Arc::clone(cognito),
        };
        // A task of its own: it goes on when whoever asked has gone away.
        let (this, due) = (self.clone(), first_attempt(deactivation));
        let finishing = tokio::spawn(async move { this.finish(&cognito, &due).await });
        Ok(match timeout(PATIENCE, finishing).await {
            Ok(Ok(true)) => Progress::Finished,
            _ => Progress::UnderWay,
        })
    }

    /// Takes on what is due, for ever; spawn it.
    pub async fn keep_finishing(self) {
        let Some(cognito) = self.cognito.clone() else {
            return;
        };
        loop {
            if let Err(error) = self.finish_due(&cognito).await {
                tracing::debug!(%error, "deactivations wait");
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    async fn finish_due(&self, cognito: &Cognito) -> Result<(), StoreError> {
        let all = self
            .store
            .due_deactivations(self.clock.now(), BATCH)
            .await?;
        for mut due in all {
            let due_again = due_after(due.attempts.saturating_add(1), self.clock.now());
            if self.store.claim_deactivation(&due, due_again).await? {
                due.attempts = due.attempts.saturating_add(1);
                self.finish(cognito, &due).await;
            }
        }
        Ok(())
    }

    /// One attempt. True if nothing is left to do.
    async fn finish(&self, cognito: &Cognito, due: &DueDeactivation) -> bool {
        let attempts = due.attempts;
        if let Err(error) = cognito.close_account(&due.username, self.action).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(attempts, error, "Cognito has not deactivated a user yet");
            metrics::counter!("deactivation_attempts_total", "result" => "error").increment(1);
            return false;
        }
        metrics::counter!("deactivation_attempts_total", "result" => "ok").increment(1);
        let now = self.clock.now();
        match self.store.finish_deactivation(&due.user_id, now).await {
            Ok(()) => {
                tracing::info!(attempts, "a user is deactivated in Cognito too");
                true
            }
            Err(error) => {
                tracing::warn!(%error, "a finished deactivation could not be noted");
                false
            }
        }
    }
}

impl fmt::Debug for Deactivations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deactivations")
            .field("action", &self.action)
            .field("cognito", &self.cognito)
            .finish_non_exhaustive()
    }
}

/// The attempt that whoever stored the deactivation makes.
fn first_attempt(deactivation: NewDeactivation) -> DueDeactivation {
    DueDeactivation {
        user_id: deactivation.user_id,
        username: deactivation.username,
        attempts: 1,
    }
}

/// When a deactivation is due again whose attempt of this number begins now.
fn due_after(attempt: u32, now: Timestamp) -> Timestamp {
    let doublings = attempt.saturating_sub(1).min(16);
    let delay = (FIRST_DELAY_SECONDS << doublings).min(LONGEST_DELAY_SECONDS);
    now.saturating_add(jiff::SignedDuration::from_secs(delay))
        .unwrap_or(now)
}

/// The name that Cognito finds a user by: the token's in full. A token without a usable one leaves
/// the `sub`, which Cognito takes too.
fn username_in_pool(user: &User) -> &str {
    /// Cognito's limit, and the column's.
    const LONGEST: usize = 128;
    let name = user.username();
    let usable = !name.is_empty() && !name.contains('\0') && name.chars().count() <= LONGEST;
    if usable { name } else { user.id() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_grow_apart_up_to_a_quarter_of_an_hour() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let delays: Vec<i64> = [1, 2, 3, 8, 9, 100, u32::MAX]
            .iter()
            .map(|attempt| due_after(*attempt, now).as_second() - now.as_second())
            .collect();
        assert_eq!(delays, [5, 10, 20, 640, 900, 900, 900]);
    }

    #[test]
    fn cognito_finds_a_user_by_the_whole_name_or_else_by_the_sub() {
        let found_by = |name: &str| {
            let user = User::new("sub", name).unwrap();
            username_in_pool(&user).to_owned()
        };
        let longest = "가".repeat(128);
        assert_eq!(found_by(&longest), longest);
        for unusable in ["", "a\0b", &"a".repeat(129)] {
            assert_eq!(found_by(unusable), "sub");
        }
    }
}
