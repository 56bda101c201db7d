//! Whether a token is good: a function of the token, the keys and the time.
//!
//! Cognito's tokens are RS256; id tokens carry the client in `aud`, access tokens in `client_id`
//! (<https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-tokens-verifying-a-jwt.html>).
//! The key is found by `kid` alone: what a header says of keys elsewhere (`jku`, `x5u`, `jwk`,
//! `x5c`) is ignored.

use super::jwks::KeySet;
use crate::board::User;
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;
use std::sync::Arc;
use thiserror::Error;

/// Clocks may differ by this many seconds.
const LEEWAY_SECONDS: i64 = 5;
/// Cognito's tokens are about 1 KiB; nothing longer than this is looked at.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Why a token was refused. The texts are part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenError {
    /// No `Authorization: Bearer` header, or nothing in it.
    #[error("Authorization token required")]
    Missing,
    /// Not three parts.
    #[error("Invalid token format")]
    Format,
    /// `exp` has passed.
    #[error("Token expired")]
    Expired,
    /// An id token for another client.
    #[error("Invalid token audience")]
    Audience,
    /// From another user pool.
    #[error("Invalid token issuer")]
    Issuer,
    /// Anything else: signature, algorithm, key, claims.
    #[error("Token verification failed")]
    Verification,
}

/// The claims that matter. A claim that appears twice makes the token unreadable.
#[derive(Deserialize)]
pub(super) struct Claims {
    iss: String,
    exp: i64,
    nbf: Option<i64>,
    token_use: String,
    aud: Option<String>,
    client_id: Option<String>,
    sub: String,
    #[serde(rename = "cognito:username")]
    cognito_username: Option<String>,
    username: Option<String>,
}

/// What tokens must say to be accepted.
#[derive(Debug, Clone)]
pub struct Verifier {
    issuer: String,
    client_id: String,
}

impl Verifier {
    /// Accepts tokens of this issuer for this client.
    pub fn new(issuer: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            client_id: client_id.into(),
        }
    }

    /// The user a token was issued to, if it is good at `now`. `kid` is its [`key_id`].
    pub fn verify(
        &self,
        token: &str,
        kid: &str,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<User, TokenError> {
        let claims = signed_claims(token, kid, keys).ok_or(TokenError::Verification)?;
        self.check(&claims, now.as_second())?;
        let name = claims
            .cognito_username
            .as_ref()
            .or(claims.username.as_ref());
        let name = name.map_or("", String::as_str);
        User::new(&claims.sub, name).ok_or(TokenError::Verification)
    }

    fn check(&self, claims: &Claims, now: i64) -> Result<(), TokenError> {
        if claims.iss != self.issuer {
            return Err(TokenError::Issuer);
        }
        if now >= claims.exp.saturating_add(LEEWAY_SECONDS) {
            return Err(TokenError::Expired);
        }
        if claims
            .nbf
            .is_some_and(|nbf| now < nbf.saturating_sub(LEEWAY_SECONDS))
        {
            return Err(TokenError::Verification);
        }
        let client = Some(self.client_id.as_str());
        match claims.token_use.as_str() {
            "id" if claims.aud.as_deref() == client => Ok(()),
            "id" => Err(TokenError::Audience),
            "access" if claims.client_id.as_deref() == client => Ok(()),
            _ => Err(TokenError::Verification),
        }
    }
}

/// What a token says, if one of the keys has signed it. A signature is checked once: browsers send the
/// same token for an hour, and what it says is checked each time.
fn signed_claims(token: &str, kid: &str, keys: &KeySet) -> Option<Arc<Claims>> {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    if let Some(claims) = keys.verified().get(&hash) {
        return Some(claims);
    }
    let decoded = |key| decode::<Claims>(token, key, &signature_only()).ok();
    let claims = Arc::new(keys.get(kid)?.iter().find_map(decoded)?.claims);
    keys.verified().insert(hash, Arc::clone(&claims));
    Some(claims)
}

/// The key a token says it was signed with. Refuses every algorithm but RS256, and extensions that
/// must be understood, before any key is looked for.
pub fn key_id(token: &str) -> Result<String, TokenError> {
    if token.len() > MAX_TOKEN_BYTES || token.split('.').count() != 3 {
        return Err(TokenError::Format);
    }
    let header = decode_header(token).map_err(|_| TokenError::Verification)?;
    // What `crit` names must be understood (RFC 7515, 4.1.11), and nothing it may name is; the
    // library does not look at it.
    if header.alg != Algorithm::RS256 || header.crit.is_some() {
        return Err(TokenError::Verification);
    }
    header.kid.ok_or(TokenError::Verification)
}

/// jsonwebtoken checks the signature and the algorithm; claims are checked here, where the time is
/// an argument and each fault has an answer of its own.
fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::RS256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::development::SigningKey;
    use serde_json::{Value, json};
    use std::sync::LazyLock;

    const NOW: i64 = 1_800_000_000;
    static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate("k1").unwrap());

    fn claims() -> Value {
        json!({
            "iss": "https://issuer", "exp": NOW + 60, "token_use": "id", "aud": "client",
            "sub": "11111111-1111-1111-1111-111111111111", "cognito:username": "alice",
        })
    }

    fn with(changes: &Value) -> Value {
        let mut claims = claims();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    fn verify(token: &str) -> Result<User, TokenError> {
        let verifier = Verifier::new("https://issuer", "client");
        let keys = KEY.key_set();
        let kid = key_id(token)?;
        verifier.verify(token, &kid, &keys, Timestamp::from_second(NOW).unwrap())
    }

    fn signed(claims: &Value) -> Result<User, TokenError> {
        verify(&KEY.sign(claims).unwrap())
    }

    #[test]
    fn an_id_token_and_an_access_token_name_their_user() {
        let user = signed(&claims()).unwrap();
        assert_eq!((user.id().len(), user.name()), (36, "alice"));
        let access = json!({
            "iss": "https://issuer", "exp": NOW + 60, "token_use": "access",
            "client_id": "client", "sub": "1", "username": "bob",
        });
        assert_eq!(signed(&access).unwrap().name(), "bob");
    }

    #[test]
    fn each_wrong_claim_has_its_answer() {
        let cases = [
            (json!({"exp": NOW - LEEWAY_SECONDS}), TokenError::Expired),
            (json!({"exp": i64::MIN}), TokenError::Expired),
            (json!({"exp": null}), TokenError::Verification),
            (json!({"exp": "tomorrow"}), TokenError::Verification),
            (json!({"nbf": NOW + 60}), TokenError::Verification),
            (json!({"iss": "https://issuer/"}), TokenError::Issuer),
            (json!({"aud": "clienu"}), TokenError::Audience),
            (
                json!({"aud": null, "client_id": "client"}),
                TokenError::Audience,
            ),
            (json!({"aud": ["client"]}), TokenError::Verification),
            (json!({"token_use": "access"}), TokenError::Verification),
            (
                json!({"token_use": "access", "client_id": "x"}),
                TokenError::Verification,
            ),
            (json!({"token_use": "refresh"}), TokenError::Verification),
            (json!({"sub": ""}), TokenError::Verification),
            (json!({"sub": "x".repeat(37)}), TokenError::Verification),
        ];
        for (changes, expected) in cases {
            assert_eq!(signed(&with(&changes)).unwrap_err(), expected, "{changes}");
        }
    }

    #[test]
    fn a_token_that_is_known_expires_and_is_forgotten_with_its_keys() {
        let verifier = Verifier::new("https://issuer", "client");
        let keys = KEY.key_set();
        let token = KEY.sign(&claims()).unwrap();
        let at = |keys: &KeySet, second| {
            let now = Timestamp::from_second(second).unwrap();
            verifier.verify(&token, "k1", keys, now)
        };
        for _ in 0..2 {
            assert_eq!(at(&keys, NOW).unwrap().name(), "alice");
        }
        assert_eq!(keys.verified().len(), 1);
        assert_eq!(at(&keys, NOW + 3600), Err(TokenError::Expired));
        let other = SigningKey::generate("k1").unwrap().key_set();
        assert_eq!(at(&other, NOW), Err(TokenError::Verification));
        assert_eq!(other.verified().len(), 0);
    }

    #[test]
    fn the_leeway_is_five_seconds() {
        assert!(signed(&with(&json!({"exp": NOW - LEEWAY_SECONDS + 1}))).is_ok());
        assert!(signed(&with(&json!({"nbf": NOW + LEEWAY_SECONDS}))).is_ok());
    }

    #[test]
    fn what_is_not_a_token_is_told_from_one_that_does_not_verify() {
        for (token, expected) in [
            ("garbage", TokenError::Format),
            ("a.b", TokenError::Format),
            ("a.b.c.d", TokenError::Format),
            ("not.a.token", TokenError::Verification),
            ("e30.e30.x", TokenError::Verification),
        ] {
            assert_eq!(verify(token).unwrap_err(), expected, "{token}");
        }
        let long = format!("a.{}.c", "x".repeat(100_000));
        assert_eq!(verify(&long).unwrap_err(), TokenError::Format);
    }

    #[test]
    fn a_changed_signature_or_payload_does_not_verify() {
        let token = KEY.sign(&claims()).unwrap();
        let other = KEY.sign(&with(&json!({"sub": "victim"}))).unwrap();
        let [head, _, signature] = token.split('.').collect::<Vec<_>>()[..] else {
            panic!()
        };
        let payload = other.split('.').nth(1).unwrap();
        let forged = format!("{head}.{payload}.{signature}");
        assert_eq!(verify(&forged).unwrap_err(), TokenError::Verification);
    }
}
