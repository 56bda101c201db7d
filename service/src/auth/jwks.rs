//! The public keys of a user pool: fetched over HTTP, cached, refreshed in the background.
//!
//! A `kid` that is not known fetches the set again, because keys are rotated, but at most once in
//! [`MIN_FETCH_INTERVAL`] and one fetch at a time: forged tokens cannot make this service flood the
//! endpoint. While the endpoint is down the keys fetched before go on serving.

use super::verifier::Claims;
use arc_swap::ArcSwapOption;
use jsonwebtoken::{DecodingKey, jwk::Jwk};
use quick_cache::sync::Cache;
use serde::Deserialize;
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};
use thiserror::Error;
use tokio::{sync::Mutex, time::Instant};
use url::Url;

/// No two fetches begin closer together than this.
pub const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(10);
/// How old keys become before they are fetched again in the background.
const REFRESH_INTERVAL: Duration = Duration::from_mins(15);
/// A fetch that takes longer has failed.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// Cognito's sets are about 1 KiB.
const MAX_SET_BYTES: usize = 256 * 1024;
/// Keys that may share an id, so that a token cannot cost more checks than this.
const MAX_KEYS_OF_ID: usize = 4;

/// Tokens remembered by a set, half a kilobyte each.
const VERIFIED_TOKENS: usize = 2_048;

/// Claims by the SHA-256 of the token that makes them.
type Verified = Cache<[u8; 32], Arc<Claims>>;

/// Public keys by key id. Nothing forbids two keys of the same id: a token may be signed by either.
#[derive(Default)]
pub struct KeySet {
    keys: HashMap<String, Vec<DecodingKey>>,
    verified: OnceLock<Verified>,
}

impl KeySet {
    /// A set of one key.
    pub fn of(kid: &str, key: DecodingKey) -> Self {
        Self {
            keys: HashMap::from([(kid.to_owned(), vec![key])]),
            verified: OnceLock::new(),
        }
    }

    /// Reads a JSON Web Key Set. Entries that cannot verify RS256 signatures are passed over, so
    /// that a kind of key unknown today does not take the others down.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let set: Set = serde_json::from_slice(json)?;
        let mut keys: HashMap<_, Vec<_>> = HashMap::new();
        for (kid, key) in set.keys.into_iter().filter_map(usable) {
            let of_id = keys.entry(kid).or_default();
            if of_id.len() < MAX_KEYS_OF_ID {
                of_id.push(key);
            }
        }
        Ok(Self {
            keys,
            verified: OnceLock::new(),
        })
    }

    /// The keys of this id, at least one.
    pub fn get(&self, kid: &str) -> Option<&[DecodingKey]> {
        self.keys.get(kid).map(Vec::as_slice)
    }

    /// Tokens that these keys were found to have signed; whoever fetches keys anew looks at each again.
    pub(super) fn verified(&self) -> &Verified {
        self.verified.get_or_init(|| Cache::new(VERIFIED_TOKENS))
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys.keys()).finish()
    }
}

/// A key for RS256 signatures and its id.
fn usable(value: serde_json::Value) -> Option<(String, DecodingKey)> {
    let text = |name: &str| value.get(name).and_then(serde_json::Value::as_str);
    let fits = text("kty") == Some("RSA")
        && matches!(text("alg"), None | Some("RS256"))
        && matches!(text("use"), None | Some("sig"))
        && may_verify(value.get("key_ops"));
    let kid = text("kid")
        .filter(|kid| fits && !kid.is_empty())?
        .to_owned();
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    Some((kid, DecodingKey::from_jwk(&jwk).ok()?))
}

/// Whether the operations a key is for, if it names any, include checking signatures.
fn may_verify(operations: Option<&serde_json::Value>) -> bool {
    operations.is_none_or(|operations| {
        operations
            .as_array()
            .is_some_and(|list| list.iter().any(|operation| operation == "verify"))
    })
}

/// Why a fetch brought no keys.
#[derive(Debug, Error)]
enum FetchError {
    #[error("the request failed: {0}")]
    Http(#[from] reqwest::Error),
    #[error("the answer is longer than {MAX_SET_BYTES} bytes")]
    TooLong,
    #[error("the answer is not a key set: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the set holds no RS256 key")]
    Empty,
}

/// The keys of one endpoint.
pub struct KeyCache {
    url: Url,
    client: reqwest::Client,
    keys: ArcSwapOption<KeySet>,
    /// When the last fetch began. Held while one runs: that makes it the only one.
    last_fetch: Mutex<Option<Instant>>,
}

impl KeyCache {
    /// A cache of this endpoint's keys, still empty.
    pub fn new(url: Url) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            url,
            client,
            keys: ArcSwapOption::empty(),
            last_fetch: Mutex::new(None),
        })
    }

    /// The keys, fetched anew if `kid` is not among them and the last fetch is long enough ago.
    /// None if there never were any.
    pub async fn keys_for(self: &Arc<Self>, kid: &str) -> Option<Arc<KeySet>> {
        if !self.knows(kid) {
            // A task of its own: a client that goes away must not end the fetch others wait for.
            let (cache, kid) = (Arc::clone(self), kid.to_owned());
            let refreshed =
                tokio::spawn(async move { cache.refresh_unless(|| cache.knows(&kid)).await });
            refreshed.await.ok();
        }
        self.keys.load_full()
    }

    /// The keys at hand, if `kid` is among them. Never waits.
    pub fn known_keys_for(&self, kid: &str) -> Option<Arc<KeySet>> {
        self.keys.load_full().filter(|keys| keys.get(kid).is_some())
    }

    /// Has the keys fetched beside whatever goes on, unless they are being or just were.
    pub fn refresh_beside(self: &Arc<Self>) {
        let is_due = self
            .last_fetch
            .try_lock()
            .is_ok_and(|last| last.is_none_or(|begun| begun.elapsed() >= MIN_FETCH_INTERVAL));
        if is_due {
            let cache = Arc::clone(self);
            tokio::spawn(async move { cache.refresh_unless(|| false).await });
        }
    }

    /// Fetches now and then, for ever; spawn it. A failed fetch is repeated sooner.
    pub async fn keep_fresh(self: Arc<Self>) {
        loop {
            let fresh = self.refresh_unless(|| false).await;
            tokio::time::sleep(if fresh {
                REFRESH_INTERVAL
            } else {
                MIN_FETCH_INTERVAL
            })
            .await;
        }
    }

    fn knows(&self, kid: &str) -> bool {
        self.keys
            .load()
            .as_ref()
            .is_some_and(|keys| keys.get(kid).is_some())
    }

    /// Waits for the fetch that is running, if one is; then fetches, unless that is no longer
    /// needed or the last fetch was a moment ago. True if there are fresh keys now.
    async fn refresh_unless(&self, satisfied: impl Fn() -> bool) -> bool {
        let mut last_fetch = self.last_fetch.lock().await;
        if satisfied() {
            return true;
        }
        if last_fetch.is_some_and(|begun| begun.elapsed() < MIN_FETCH_INTERVAL) {
            return false;
        }
        *last_fetch = Some(Instant::now());
        self.fetch_and_keep().await
    }

    /// Replaces the keys by fresh ones, or keeps them if there are none. True if replaced.
    async fn fetch_and_keep(&self) -> bool {
        let result = self.fetch().await;
        let outcome = if result.is_ok() { "ok" } else { "error" };
        metrics::counter!("jwks_fetches_total", "result" => outcome).increment(1);
        match result {
            Ok(keys) => {
                tracing::debug!(?keys, "fetched token keys");
                let now = jiff::Timestamp::now().as_duration().as_secs_f64();
                metrics::gauge!("jwks_last_success_timestamp_seconds").set(now);
                metrics::gauge!("jwks_keys")
                    .set(u32::try_from(keys.keys.len()).unwrap_or(u32::MAX));
                self.keys.store(Some(Arc::new(keys)));
                true
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(url = %self.url, error, "cannot fetch token keys");
                false
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let mut response = self
            .client
            .get(self.url.clone())
            .send()
            .await?
            .error_for_status()?;
        let mut json = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            json.extend_from_slice(&chunk);
            if json.len() > MAX_SET_BYTES {
                return Err(FetchError::TooLong);
            }
        }
        let keys = KeySet::parse(&json)?;
        if keys.keys.is_empty() {
            Err(FetchError::Empty)
        } else {
            Ok(keys)
        }
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCache")
            .field("url", &self.url.as_str())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_cannot_verify_rs256_are_passed_over() {
        let set = br#"{"keys": [
            {"kty": "RSA", "kid": "good", "n": "AQAB", "e": "AQAB", "alg": "RS256", "use": "sig"},
            {"kty": "RSA", "kid": "plain", "n": "AQAB", "e": "AQAB"},
            {"kty": "RSA", "kid": "other-alg", "n": "AQAB", "e": "AQAB", "alg": "PS256"},
            {"kty": "RSA", "kid": "encrypts", "n": "AQAB", "e": "AQAB", "use": "enc"},
            {"kty": "RSA", "kid": "wraps", "n": "AQAB", "e": "AQAB", "key_ops": ["wrapKey"]},
            {"kty": "RSA", "kid": "", "n": "AQAB", "e": "AQAB"},
            {"kty": "RSA", "kid": ["list"], "n": "AQAB", "e": "AQAB"},
            {"kty": "oct", "kid": "secret", "k": "AQAB", "alg": "HS256"},
            {"kty": "from-the-future", "kid": "new"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB"}
        ]}"#;
        let keys = KeySet::parse(set).unwrap();
        let mut kids: Vec<_> = keys.keys.keys().map(String::as_str).collect();
        kids.sort_unstable();
        assert_eq!(kids, ["good", "plain"]);
    }

    #[test]
    fn keys_of_one_id_are_kept_side_by_side_up_to_a_limit() {
        let key = r#"{"kty": "RSA", "kid": "same", "n": "AQAB", "e": "AQAB"}"#;
        let set = |count| format!(r#"{{"keys": [{}]}}"#, vec![key; count].join(","));
        for (count, kept) in [(1, 1), (2, 2), (100, MAX_KEYS_OF_ID)] {
            let keys = KeySet::parse(set(count).as_bytes()).unwrap();
            assert_eq!(keys.get("same").unwrap().len(), kept);
        }
    }

    #[test]
    fn what_is_no_key_set_is_an_error() {
        assert!(KeySet::parse(b"<html>").is_err());
        assert!(KeySet::parse(b"{}").is_err());
    }
}
