//! An issuer of tokens for a developer's machine, where no Cognito is configured.
//!
//! Its key is made on the spot and kept beside the SQLite file, so that a token pasted into a
//! browser survives a restart. It is never used with MySQL or on an address that others reach.

use super::jwks::KeySet;
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, jwk::Jwk};
use serde::Serialize;
use std::{fs, io, io::Write, path::Path};
use thiserror::Error;

/// The issuer in development tokens. No token of a real pool can carry it.
pub const ISSUER: &str = "http://127.0.0.1/post-service/development";
/// The client development tokens are for.
pub const CLIENT_ID: &str = "development";
/// The user development tokens name.
pub const USER: (&str, &str) = ("00000000-0000-4000-8000-000000000001", "developer");

const TOKEN_LIFETIME_SECONDS: i64 = 30 * 24 * 60 * 60;

/// Why there is no key to sign with.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file could not be read or written.
    #[error("cannot keep the development key: {0}")]
    File(#[from] io::Error),
    /// There is something else in the file.
    #[error("the development key cannot be read: delete the file and start again")]
    Unreadable,
    /// The cryptographic library failed.
    #[error("no key could be made")]
    Crypto,
}

/// An RSA key that signs tokens.
pub struct SigningKey {
    kid: String,
    pair: KeyPair,
    pem: String,
}

impl SigningKey {
    /// A new key.
    pub fn generate(kid: &str) -> Result<Self, KeyError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError::Crypto)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::Crypto)?;
        let pem = pem::encode(&pem::Pem::new("PRIVATE KEY", der.as_ref()));
        Ok(Self {
            kid: kid.to_owned(),
            pair,
            pem,
        })
    }

    /// The key in this file, which is written if absent, readable by its owner alone.
    pub fn load_or_generate(file: &Path, kid: &str) -> Result<Self, KeyError> {
        match fs::read_to_string(file) {
            Ok(pem) => {
                let der = pem::parse(&pem).map_err(|_| KeyError::Unreadable)?;
                let pair = KeyPair::from_pkcs8(der.contents()).map_err(|_| KeyError::Unreadable)?;
                Ok(Self {
                    kid: kid.to_owned(),
                    pair,
                    pem,
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Self::generate(kid)?;
                write_private(file, &key.pem)?;
                Ok(key)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The public half, as a set.
    pub fn key_set(&self) -> KeySet {
        KeySet::of(
            &self.kid,
            DecodingKey::from_rsa_der(self.pair.public_key().as_ref()),
        )
    }

    /// The public half as a JSON Web Key, for an endpoint that publishes it.
    pub fn public_jwk(&self) -> Result<Jwk, KeyError> {
        let mut jwk = Jwk::from_encoding_key(&self.private_half()?, Algorithm::RS256)
            .map_err(|_| KeyError::Crypto)?;
        jwk.common.key_id = Some(self.kid.clone());
        Ok(jwk)
    }

    fn private_half(&self) -> Result<EncodingKey, KeyError> {
        EncodingKey::from_rsa_pem(self.pem.as_bytes()).map_err(|_| KeyError::Unreadable)
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, KeyError> {
        let header = Header {
            kid: Some(self.kid.clone()),
            ..Header::new(Algorithm::RS256)
        };
        jsonwebtoken::encode(&header, claims, &self.private_half()?).map_err(|_| KeyError::Crypto)
    }

    /// A token for [`USER`], good for 30 days from `now` (seconds since 1970).
    pub fn development_token(&self, now: i64) -> Result<String, KeyError> {
        let (sub, name) = USER;
        self.sign(&serde_json::json!({
            "iss": ISSUER, "aud": CLIENT_ID, "token_use": "id", "sub": sub,
            "cognito:username": name, "iat": now, "exp": now + TOKEN_LIFETIME_SECONDS,
        }))
    }
}

fn write_private(file: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(text.as_bytes())
}
