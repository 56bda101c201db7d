//! Tokens like Cognito's, signed by keys of the tests.

use super::{CLIENT_ID, ISSUER};
use post_service::auth::development::SigningKey;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// The key whose tokens test services accept.
pub static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::generate("test-key").expect("a key"));
/// Another key of the same id.
pub static IMPOSTOR: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::generate("test-key").expect("a key"));

pub const ALICE: &str = "11111111-1111-1111-1111-111111111111";
pub const BOB: &str = "22222222-2222-2222-2222-222222222222";

/// Seconds since 1970.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// The claims of a good id token.
pub fn id_claims(sub: &str, name: &str) -> Value {
    json!({
        "iss": ISSUER, "aud": CLIENT_ID, "token_use": "id", "sub": sub,
        "cognito:username": name, "exp": now() + 3600,
    })
}

/// The claims of a good access token.
pub fn access_claims(sub: &str, name: &str) -> Value {
    json!({
        "iss": ISSUER, "client_id": CLIENT_ID, "token_use": "access", "sub": sub,
        "username": name, "exp": now() + 3600,
    })
}

/// Claims with one of them set to something else.
pub fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

/// A token with these claims.
pub fn signed(claims: &Value) -> String {
    KEY.sign(claims).expect("a token")
}

pub fn alice() -> String {
    signed(&id_claims(ALICE, "alice"))
}

pub fn bob() -> String {
    signed(&id_claims(BOB, "bob"))
}
