//! Users who deactivated their accounts.

use super::StoreError;
use async_trait::async_trait;
use jiff::Timestamp;
use std::collections::HashSet;

/// Deactivated users, and what Cognito has yet to be told of them.
#[async_trait]
pub trait DeactivationStore {
    /// Those of these users, by `sub`, who are refused.
    async fn deactivated(&self, user_ids: &[String]) -> Result<HashSet<String>, StoreError>;

    /// Refuses a user from now on; durable when this returns.
    async fn request_deactivation(
        &self,
        deactivation: &NewDeactivation,
    ) -> Result<Requested, StoreError>;

    /// Deactivations that are not finished and due, the longest waiting first, at most `limit`.
    async fn due_deactivations(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueDeactivation>, StoreError>;

    /// Takes on one of [`Self::due_deactivations`]: until `due_again` it is nobody else's. False if
    /// another process was faster.
    async fn claim_deactivation(
        &self,
        due: &DueDeactivation,
        due_again: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Notes that nothing is left to do.
    async fn finish_deactivation(&self, user_id: &str, now: Timestamp) -> Result<(), StoreError>;
}

/// A deactivation as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeactivation {
    /// The user's `sub`.
    pub user_id: String,
    /// The user's name in Cognito, at most 128 characters.
    pub username: String,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When another process takes it on, if this one does not finish it; None: there is nothing to
    /// be done elsewhere.
    pub due_at: Option<Timestamp>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requested {
    /// It is stored; whoever asked has the first attempt.
    Stored,
    /// The user was deactivated before.
    Before {
        /// Nothing is left to do.
        finished: bool,
    },
}

/// A deactivation that is not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueDeactivation {
    /// The user's `sub`.
    pub user_id: String,
    /// The user's name in Cognito.
    pub username: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// An instant as the tables have it: UTC in whole seconds.
pub(super) fn utc(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// Rows (user, name, attempts) of what is due.
pub(super) fn due(rows: Vec<(String, String, i64)>) -> Vec<DueDeactivation> {
    rows.into_iter()
        .map(|(user_id, username, attempts)| DueDeactivation {
            user_id,
            username,
            attempts: u32::try_from(attempts).unwrap_or_default(),
        })
        .collect()
}
