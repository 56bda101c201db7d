//! Who is calling: bearer tokens of a Cognito user pool.
//!
//! [`verifier`] decides, purely, whether a token is good; [`jwks`] keeps the pool's public keys;
//! [`development`] stands in for Cognito on a developer's machine. Nothing else knows JWT. Whose
//! tokens are refused all the same, [`denied`] knows.

pub mod denied;
pub mod development;
pub mod jwks;
pub mod verifier;

use crate::{
    board::{Clock, User},
    store::StoreError,
};
use denied::Denied;
use jwks::{KeyCache, KeySet};
use std::{fmt, sync::Arc};
use thiserror::Error;
use verifier::{TokenError, Verifier};

/// Where public keys come from.
#[derive(Debug, Clone)]
pub enum Keys {
    /// Known from the start and never changed.
    Fixed(Arc<KeySet>),
    /// Fetched and kept fresh.
    Cached(Arc<KeyCache>),
}

/// Turns bearer tokens into users.
#[derive(Clone)]
pub struct Authenticator {
    verifier: Arc<Verifier>,
    keys: Keys,
    clock: Arc<dyn Clock>,
    denied: Denied,
}

/// Why nobody was recognised.
#[derive(Debug, Error)]
pub enum AuthError {
    /// The token is not good.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No public keys could be fetched since the start; the token may well be good.
    #[error("the keys that tokens are signed with could not be fetched yet")]
    KeysUnavailable,
    /// Whether the user is deactivated could not be found out.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What can be told of a token at once, with the keys at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recognition {
    /// It is good.
    User(User),
    /// It is not.
    Refused(TokenError),
    /// The key it names is not at hand; it may well be good.
    KeyUnknown,
}

impl Authenticator {
    /// Accepts what this verifier accepts with these keys at this clock's time, but for these users.
    pub fn new(verifier: Verifier, keys: Keys, clock: Arc<dyn Clock>, denied: Denied) -> Self {
        Self {
            verifier: Arc::new(verifier),
            keys,
            clock,
            denied,
        }
    }

    /// The user a token was issued to. Whoever acts for the user calls [`Self::admit`] too.
    pub async fn user(&self, token: &str) -> Result<User, AuthError> {
        let kid = verifier::key_id(token)?;
        let keys = match &self.keys {
            Keys::Fixed(keys) => Arc::clone(keys),
            Keys::Cached(cache) => cache
                .keys_for(&kid)
                .await
                .ok_or(AuthError::KeysUnavailable)?,
        };
        Ok(self.verifier.verify(token, &kid, &keys, self.clock.now())?)
    }

    /// What can be told of a token without fetching keys or waiting for those who do.
    pub fn recognise(&self, token: &str) -> Recognition {
        let recognised = verifier::key_id(token).and_then(|kid| {
            let keys = match &self.keys {
                Keys::Fixed(keys) => Some(Arc::clone(keys)),
                Keys::Cached(cache) => cache.known_keys_for(&kid).or_else(|| {
                    // For those who come next.
                    cache.refresh_beside();
                    None
                }),
            };
            keys.map(|keys| self.verifier.verify(token, &kid, &keys, self.clock.now()))
                .transpose()
        });
        match recognised {
            Ok(Some(user)) => Recognition::User(user),
            Ok(None) => Recognition::KeyUnknown,
            Err(error) => Recognition::Refused(error),
        }
    }

    /// Lets a user in who is not deactivated. Everything that needs a user goes through here; reads
    /// that answer everybody need not.
    pub async fn admit(&self, user: User) -> Result<User, AuthError> {
        if self.denied.contains(user.id()).await? {
            return Err(TokenError::Verification.into());
        }
        Ok(user)
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("verifier", &self.verifier)
            .finish_non_exhaustive()
    }
}
