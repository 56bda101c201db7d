//! Tokens as Cognito signs them, and the keys that the service checks them with.

use std::net::Ipv4Addr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use axum::{Json, Router, routing::get};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::json;
use tokio::task::JoinHandle;

use super::content;
use crate::aws::REGION;

const POOL: &str = "ap-northeast-2_bench";
const CLIENT: &str = "bench";
const KEY: &str = "bench";
const LIFETIME_SECONDS: u64 = 24 * 60 * 60;

/// Signs tokens, and publishes its key as long as it lives.
pub(super) struct Issuer {
    key: EncodingKey,
    port: u16,
    server: JoinHandle<()>,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Issuer {
    /// Makes a key and publishes it on a free port of 127.0.0.1.
    pub(super) async fn start() -> Result<Self> {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
        let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes())?;
        let mut public = Jwk::from_encoding_key(&key, Algorithm::RS256)?;
        public.common.key_id = Some(KEY.to_owned());
        let keys = json!({"keys": [public]});
        let router = Router::new().route("/jwks.json", get(async move || Json(keys)));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("no free port on 127.0.0.1")?;
        let port = listener.local_addr()?.port();
        let server = tokio::spawn(async move {
            // Ends with the task only.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { key, port, server })
    }

    /// The settings by which the service trusts it.
    pub(super) fn settings(&self) -> [(&'static str, String); 4] {
        let jwks = format!("http://127.0.0.1:{}/jwks.json", self.port);
        [
            ("COGNITO_USER_POOL_ID", POOL.to_owned()),
            ("COGNITO_REGION", REGION.to_owned()),
            ("COGNITO_CLIENT_ID", CLIENT.to_owned()),
            ("COGNITO_JWKS_URL", jwks),
        ]
    }

    /// An id token of one of the board's users.
    pub(super) fn token(&self, user: u64) -> Result<String> {
        let (sub, name) = content::user(user);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let header = Header {
            kid: Some(KEY.to_owned()),
            ..Header::new(Algorithm::RS256)
        };
        let claims = json!({
            "iss": format!("https://cognito-idp.{REGION}.amazonaws.com/{POOL}"),
            "aud": CLIENT, "token_use": "id", "sub": sub, "cognito:username": name,
            "iat": now, "exp": now + LIFETIME_SECONDS,
        });
        Ok(jsonwebtoken::encode(&header, &claims, &self.key)?)
    }
}
