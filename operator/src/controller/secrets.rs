//! From the referenced Secrets to what the service needs of them. Pure.

use k8s_openapi::api::core::v1::Secret;
use sha2::{Digest as _, Sha256};

use crate::api::v1alpha1::PostServiceSpec;
use crate::database::DatabaseUrl;

/// Default names of the keys in `auth.secretRef`, in the order of [`AuthKeys`]' fields.
const USER_POOL_ID: &str = "cognito-user-pool-id";
const REGION: &str = "cognito-region";
const CLIENT_ID: &str = "cognito-client-id";
const SECRET_KEY: &str = "secret-key";

/// The effective names of the keys in the Secret of `auth.secretRef`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthKeys {
    /// Key of the user pool id.
    pub user_pool_id: String,
    /// Key of the user pool's region.
    pub region: String,
    /// Key of the app client id.
    pub client_id: String,
    /// Key of the viewer hash's key.
    pub secret_key: String,
}

impl AuthKeys {
    /// Default names, replaced by `auth.secretRef.keys`.
    pub fn of(spec: &PostServiceSpec) -> Self {
        let name = |default: &str| {
            spec.auth
                .secret_ref
                .keys
                .get(default)
                .cloned()
                .unwrap_or_else(|| default.to_owned())
        };
        Self {
            user_pool_id: name(USER_POOL_ID),
            region: name(REGION),
            client_id: name(CLIENT_ID),
            secret_key: name(SECRET_KEY),
        }
    }

    /// The names that may be mapped.
    pub fn known(name: &str) -> bool {
        [USER_POOL_ID, REGION, CLIENT_ID, SECRET_KEY].contains(&name)
    }
}

/// Secrets as they were read; `None`: no such object.
#[derive(Clone, Debug, Default)]
pub struct RawSecrets {
    /// The object of `database.urlSecretRef`.
    pub database: Option<Secret>,
    /// The object of `auth.secretRef`.
    pub auth: Option<Secret>,
}

/// What the service needs, known to be complete.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Where the database is and who may use it.
    pub database: DatabaseUrl,
    /// Hash of every value used. Changes when one of them does; it tells nothing about them, since
    /// the random `secret-key` is among them.
    pub fingerprint: String,
}

/// What is wrong with the Secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretFault {
    /// No such object.
    #[error("Secret {secret} is missing in namespace {namespace}: create it with key {key}")]
    MissingSecret {
        /// Name of the Secret.
        secret: String,
        /// Where it is looked for.
        namespace: String,
        /// A key it must have.
        key: String,
    },
    /// The object lacks a key, or the value is empty.
    #[error("Secret {secret} has no value under key {key}: add it")]
    MissingKey {
        /// Name of the Secret.
        secret: String,
        /// The key.
        key: String,
    },
    /// A value that cannot be used. Never carries the value.
    #[error("Secret {secret}, key {key}: the value {fault}")]
    Malformed {
        /// Name of the Secret.
        secret: String,
        /// The key.
        key: String,
        /// What is wrong, and the mend.
        fault: String,
    },
}

impl SecretFault {
    /// Reason of condition `SecretsReady`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "Malformed",
            Self::MissingSecret { .. } | Self::MissingKey { .. } => "Missing",
        }
    }
}

/// Reads what the service needs out of the Secrets.
pub fn parse(
    spec: &PostServiceSpec,
    namespace: &str,
    raw: &RawSecrets,
) -> Result<Credentials, SecretFault> {
    let reference = &spec.database.url_secret_ref;
    let database = Reader {
        secret: raw.database.as_ref(),
        name: &reference.name,
        namespace,
    };
    let url_text = database.text(&reference.key)?;
    let url = DatabaseUrl::parse(&url_text)
        .map_err(|error| database.malformed(&reference.key, error.to_string()))?;

    let auth = Reader {
        secret: raw.auth.as_ref(),
        name: &spec.auth.secret_ref.name,
        namespace,
    };
    let keys = AuthKeys::of(spec);
    let mut needed = vec![keys.secret_key.as_str()];
    if spec.auth.cognito.is_none() {
        needed.extend([keys.user_pool_id.as_str(), &keys.region, &keys.client_id]);
    }
    let mut hash = Sha256::new();
    hash.update(url_text.as_bytes());
    for key in needed {
        hash.update([0]);
        hash.update(auth.text(key)?.as_bytes());
    }
    Ok(Credentials {
        database: url,
        fingerprint: hex::encode(&hash.finalize()[..8]),
    })
}

struct Reader<'a> {
    secret: Option<&'a Secret>,
    name: &'a str,
    namespace: &'a str,
}

impl Reader<'_> {
    fn text(&self, key: &str) -> Result<String, SecretFault> {
        let secret = self.secret.ok_or_else(|| SecretFault::MissingSecret {
            secret: self.name.to_owned(),
            namespace: self.namespace.to_owned(),
            key: key.to_owned(),
        })?;
        let value = secret
            .data
            .as_ref()
            .and_then(|data| data.get(key))
            .filter(|value| !value.0.is_empty())
            .ok_or_else(|| SecretFault::MissingKey {
                secret: self.name.to_owned(),
                key: key.to_owned(),
            })?;
        String::from_utf8(value.0.clone())
            .map_err(|_| self.malformed(key, "is not UTF-8 text".to_owned()))
    }

    fn malformed(&self, key: &str, fault: String) -> SecretFault {
        SecretFault::Malformed {
            secret: self.name.to_owned(),
            key: key.to_owned(),
            fault,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;

    use super::*;

    fn secret(entries: &[(&str, &str)]) -> Secret {
        let data: BTreeMap<_, _> = entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())))
            .collect();
        Secret {
            data: Some(data),
            ..Secret::default()
        }
    }

    fn spec() -> PostServiceSpec {
        serde_json::from_value(serde_json::json!({
            "image": {"repository": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/p", "tag": "1"}
        }))
        .unwrap()
    }

    fn complete() -> RawSecrets {
        RawSecrets {
            database: Some(secret(&[("database-url", "mysql://post:pw@db/postdb")])),
            auth: Some(secret(&[
                ("cognito-user-pool-id", "eu-west-1_a"),
                ("cognito-region", "eu-west-1"),
                ("cognito-client-id", "c"),
                ("secret-key", "s"),
            ])),
        }
    }

    #[test]
    fn a_missing_secret_or_key_is_named() {
        let missing = RawSecrets {
            auth: None,
            ..complete()
        };
        let fault = parse(&spec(), "ns", &missing).unwrap_err();
        assert_eq!(fault.reason(), "Missing");
        assert!(
            fault
                .to_string()
                .contains("Secret post-secrets is missing in namespace ns")
        );

        let empty = RawSecrets {
            database: Some(secret(&[("database-url", "")])),
            ..complete()
        };
        let fault = parse(&spec(), "ns", &empty).unwrap_err();
        assert_eq!(
            fault,
            SecretFault::MissingKey {
                secret: "post-db-secret".into(),
                key: "database-url".into()
            }
        );
    }

    #[test]
    fn a_malformed_url_is_named_without_its_value() {
        let raw = RawSecrets {
            database: Some(secret(&[("database-url", "postgres://u:hunter2@h/d")])),
            ..complete()
        };
        let fault = parse(&spec(), "ns", &raw).unwrap_err();
        assert_eq!(fault.reason(), "Malformed");
        assert!(!fault.to_string().contains("hunter2"));
    }

    #[test]
    fn the_fingerprint_changes_with_any_used_value_only() {
        let before = parse(&spec(), "ns", &complete()).unwrap().fingerprint;
        let mut changed = complete();
        changed.database = Some(secret(&[("database-url", "mysql://post:pw2@db/postdb")]));
        assert_ne!(parse(&spec(), "ns", &changed).unwrap().fingerprint, before);
        let mut unrelated = complete();
        unrelated.database = Some(secret(&[
            ("database-url", "mysql://post:pw@db/postdb"),
            ("other", "x"),
        ]));
        assert_eq!(
            parse(&spec(), "ns", &unrelated).unwrap().fingerprint,
            before
        );
    }
}
