//! Users whose tokens are refused although they are good: they deactivated their accounts.
//!
//! The store is asked at every request that needs a user, by primary key: a refusal holds at once in
//! every process. Nobody is ever let in again, so only refusals are remembered.

use crate::store::{Store, StoreError};
use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

/// Refusals remembered, at most.
const LIMIT: usize = 100_000;

/// The users that a store refuses. Cheap to clone.
#[derive(Clone)]
pub struct Denied {
    store: Arc<dyn Store>,
    known: Arc<RwLock<HashSet<String>>>,
}

impl Denied {
    /// Those of this store.
    pub fn listed_in(store: Arc<dyn Store>) -> Self {
        let known = Arc::default();
        Self { store, known }
    }

    /// Whether the user of this `sub` is refused.
    pub async fn contains(&self, user_id: &str) -> Result<bool, StoreError> {
        if self.is_known(user_id) {
            return Ok(true);
        }
        let denied = self.store.is_deactivated(user_id).await?;
        if denied {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            if known.len() < LIMIT {
                known.insert(user_id.to_owned());
            }
        }
        Ok(denied)
    }

    fn is_known(&self, user_id: &str) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.contains(user_id)
    }
}

impl fmt::Debug for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Denied").finish_non_exhaustive()
    }
}
