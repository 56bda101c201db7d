//! Users whose tokens are refused although they are good: they deactivated their accounts.
//!
//! The store is asked at every request that needs a user, of many users at once where many come: a
//! refusal holds at once in every process. Nobody is ever let in again, so only refusals are
//! remembered.

use crate::{
    fresh::{Collected, Limits},
    store::{Store, StoreError},
};
use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

/// Refusals remembered, at most.
const LIMIT: usize = 100_000;

/// Users who are asked of together.
const TOGETHER: Limits = Limits {
    keys: 64,
    batches: 2,
};

/// The users that a store refuses. Cheap to clone.
#[derive(Clone)]
pub struct Denied {
    users: Collected<String, Result<bool, StoreError>>,
    known: Arc<RwLock<HashSet<String>>>,
}

impl Denied {
    /// Those of this store.
    pub fn listed_in(store: Arc<dyn Store>) -> Self {
        let users = Collected::new("user", TOGETHER, move |users: Vec<String>| {
            let store = Arc::clone(&store);
            async move {
                match store.deactivated(&users).await {
                    Ok(denied) => users.iter().map(|user| Ok(denied.contains(user))).collect(),
                    Err(error) => vec![Err(error); users.len()],
                }
            }
        });
        let known = Arc::default();
        Self { users, known }
    }

    /// Whether the user of this `sub` is refused.
    pub async fn contains(&self, user_id: &str) -> Result<bool, StoreError> {
        if self.is_known(user_id) {
            return Ok(true);
        }
        let denied = self.users.read(user_id.to_owned()).await??;
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
