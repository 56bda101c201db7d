//! Requests that may be repeated: the same `Idempotency-Key` of the same user makes one post
//! (<https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>).

use super::{Draft, NewPost};
use sha2::{Digest, Sha256};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

/// For how long a key is remembered, in hours.
pub const REMEMBERED_HOURS: i64 = 24;

/// A client's key for one request, hashed, and what the request said, hashed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// SHA-256 of the key.
    pub key: [u8; 32],
    /// SHA-256 of what is to be published.
    pub request: [u8; 32],
}

impl IdempotencyKey {
    /// The longest key accepted, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// The key of a request to publish this draft; none if it is empty or too long.
    pub fn new(key: &str, draft: &Draft) -> Option<Self> {
        (1..=Self::MAX_BYTES).contains(&key.len()).then(|| Self {
            key: Sha256::digest(key).into(),
            request: draft.fingerprint(),
        })
    }
}

/// What became of a request to publish.
#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    /// The post was stored now.
    New(NewPost),
    /// It had been stored before, under the same key.
    Repeated(NewPost),
    /// The key was used for something else.
    OtherRequest,
    /// A request with the same key is being answered.
    InFlight,
}

/// The keys of requests that this process is answering.
#[derive(Debug, Clone, Default)]
pub(super) struct InFlight(Arc<Mutex<HashSet<Entry>>>);

/// A user and the hash of their key.
type Entry = (String, [u8; 32]);

impl InFlight {
    /// Enters a user's key until the guard is dropped; none if it is there already.
    pub(super) fn enter(&self, user: &str, key: &IdempotencyKey) -> Option<InFlightGuard> {
        let entry = (user.to_owned(), key.key);
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(entry.clone()).then(|| InFlightGuard {
            keys: self.clone(),
            entry,
        })
    }
}

/// A key being answered.
#[derive(Debug)]
pub(super) struct InFlightGuard {
    keys: InFlight,
    entry: Entry,
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let mut keys = self.keys.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.remove(&self.entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(title: &str, content: &str) -> Draft {
        Draft::parse(Some(title), Some(content), Some("k")).unwrap()
    }

    #[test]
    fn drafts_that_differ_anywhere_have_different_fingerprints() {
        assert_eq!(
            draft("a", "bc").fingerprint(),
            draft("a", "bc").fingerprint()
        );
        assert_ne!(
            draft("a", "bc").fingerprint(),
            draft("ab", "c").fingerprint()
        );
    }

    #[test]
    fn keys_have_a_length() {
        let draft = draft("t", "c");
        assert!(IdempotencyKey::new(&"x".repeat(255), &draft).is_some());
        assert!(IdempotencyKey::new(&"x".repeat(256), &draft).is_none());
        assert!(IdempotencyKey::new("", &draft).is_none());
    }

    #[test]
    fn a_key_is_entered_once_until_its_guard_is_gone() {
        let in_flight = InFlight::default();
        let key = IdempotencyKey::new("k", &draft("t", "c")).unwrap();
        let guard = in_flight.enter("alice", &key);
        assert!(guard.is_some() && in_flight.enter("alice", &key).is_none());
        assert!(in_flight.enter("bob", &key).is_some());
        drop(guard);
        assert!(in_flight.enter("alice", &key).is_some());
    }
}
