//! From the referenced Secrets to what the service needs of them. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::api::v1alpha1::{PostServiceSpec, SecretKeyRef};
use crate::build::{self, own_secrets};
use crate::database::ledger::{self, Ledger};
use crate::database::{DatabaseUrl, Place, Tls};

/// Default names of the keys in `auth.secretRef`, in the order of [`AuthKeys`]' fields.
const USER_POOL_ID: &str = "cognito-user-pool-id";
const REGION: &str = "cognito-region";
const CLIENT_ID: &str = "cognito-client-id";
pub(super) const SECRET_KEY: &str = "secret-key";
/// The variable with the service's URL of the database.
const DATABASE_URL: &str = "DATABASE_URL";

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

/// Secrets as they were read; `None`: no such object, or nothing refers to one.
#[derive(Clone, Debug, Default)]
pub struct RawSecrets {
    /// The object of `database.urlSecretRef`.
    pub database: Option<Secret>,
    /// The operator's own, with the accounts that it makes.
    pub account: Option<Secret>,
    /// The object of `database.readUrlSecretRef`.
    pub read: Option<Secret>,
    /// The object of `database.tls.caSecretRef`.
    pub ca: Option<Secret>,
    /// The object of `auth.secretRef`.
    pub auth: Option<Secret>,
    /// The operator's own, with a generated `secret-key`.
    pub secret_key: Option<Secret>,
}

/// What the service needs, known to be complete.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The database, and how it is reached.
    pub place: Place,
    /// The service's account; `None` until the operator has made one.
    pub account: Option<DatabaseUrl>,
    /// When that account became the service's, where the operator makes it.
    pub rotated_at: Option<Timestamp>,
    /// Ports on which pods reach database servers.
    pub ports: Vec<u16>,
    /// Every secret value that serving pods read, by the name of the variable, and [`build::CA`].
    pub env: BTreeMap<String, SecretString>,
    /// Where migrations find the URL.
    pub migrator_url: SecretKeyRef,
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
    /// No `secret-key` was given, and none has been generated yet: the pass generates it.
    #[error("Secret {secret} with a generated secret-key is not there yet")]
    NoSecretKey {
        /// Name of the operator's own Secret.
        secret: String,
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
            Self::MissingSecret { .. } | Self::MissingKey { .. } | Self::NoSecretKey { .. } => {
                "Missing"
            }
        }
    }
}

/// Reads what the service of this name needs out of the Secrets.
pub fn parse(
    spec: &PostServiceSpec,
    namespace: &str,
    name: &str,
    raw: &RawSecrets,
) -> Result<Credentials, SecretFault> {
    let reader = |secret, name| Reader {
        secret,
        name,
        namespace,
    };
    let mut used = Used::default();
    let tls = tls(spec, &reader, raw, &mut used)?;
    let (database, migrator_url) = database(spec, name, &reader, raw, &mut used)?;
    let mut replica_port = None;
    if let Some(reference) = &spec.database.read_url_secret_ref {
        let replica = reader(raw.read.as_ref(), &reference.name).url(&reference.key)?;
        used.add("DATABASE_READ_URL", replica.expose());
        replica_port = Some(replica.port);
    }
    let auth = reader(raw.auth.as_ref(), &spec.auth.secret_ref.name);
    let keys = AuthKeys::of(spec);
    if spec.auth.cognito.is_none() {
        for (variable, key) in [
            ("COGNITO_USER_POOL_ID", &keys.user_pool_id),
            ("COGNITO_REGION", &keys.region),
            ("COGNITO_CLIENT_ID", &keys.client_id),
        ] {
            used.add(variable, &auth.text(key)?);
        }
    }
    secret_key(name, &auth, &keys, raw, &mut used)?;
    let (place, account, rotated_at) = match database {
        Found::Url(url) => (url.place(tls), Some(url), None),
        Found::Account { place, url, since } => (Place { tls, ..place }, url, since),
    };
    let mut ports = vec![place.port];
    ports.extend(replica_port.filter(|port| *port != place.port));
    Ok(Credentials {
        place,
        ports,
        account,
        rotated_at,
        migrator_url,
        fingerprint: used.fingerprint(),
        env: used.env,
    })
}

enum Found {
    Url(DatabaseUrl),
    Account {
        place: Place,
        url: Option<DatabaseUrl>,
        since: Option<Timestamp>,
    },
}

/// The database, and the key with the URL for migrations.
fn database<'a>(
    spec: &'a PostServiceSpec,
    name: &str,
    reader: &impl Fn(Option<&'a Secret>, &'a str) -> Reader<'a>,
    raw: &'a RawSecrets,
    used: &mut Used,
) -> Result<(Found, SecretKeyRef), SecretFault> {
    let Some(connection) = &spec.database.connection else {
        let reference = &spec.database.url_secret_ref;
        let url = reader(raw.database.as_ref(), &reference.name).url(&reference.key)?;
        used.add(DATABASE_URL, url.expose());
        return Ok((Found::Url(url), reference.clone()));
    };
    let secret = own_secrets::database_name(name);
    let data = raw.account.as_ref().and_then(|own| own.data.as_ref());
    let ledger = data.map(Ledger::read).unwrap_or_default();
    let url = match &ledger.database_url {
        Some(text) => Some(DatabaseUrl::parse(text.expose_secret()).map_err(|error| {
            SecretFault::Malformed {
                secret: secret.clone(),
                key: ledger::DATABASE_URL.to_owned(),
                fault: format!("{error}; delete the Secret: the operator makes it anew"),
            }
        })?),
        None => None,
    };
    used.add(DATABASE_URL, url.as_ref().map_or("", DatabaseUrl::expose));
    let place = Place {
        host: connection.host.clone(),
        port: u16::try_from(connection.port).unwrap_or(3306),
        name: connection.name.clone(),
        tls: Tls::default(),
    };
    let migrator_url = SecretKeyRef {
        name: secret,
        key: ledger::MIGRATOR_URL.to_owned(),
    };
    let found = Found::Account {
        place,
        url,
        since: ledger.rotated_at,
    };
    Ok((found, migrator_url))
}

fn tls<'a>(
    spec: &'a PostServiceSpec,
    reader: &impl Fn(Option<&'a Secret>, &'a str) -> Reader<'a>,
    raw: &'a RawSecrets,
    used: &mut Used,
) -> Result<Tls, SecretFault> {
    let wanted = &spec.database.tls;
    let ca = match &wanted.ca_secret_ref {
        Some(reference) => {
            let reader = reader(raw.ca.as_ref(), &reference.name);
            let pem = reader.text(&reference.key)?;
            if !pem.contains("-----BEGIN CERTIFICATE-----") {
                let fault = "is not a PEM file with certificates".to_owned();
                return Err(reader.malformed(&reference.key, fault));
            }
            used.add(build::CA, &pem);
            Some(pem)
        }
        None => None,
    };
    Ok(Tls {
        mode: wanted.mode,
        ca,
    })
}

/// The user's key wins, also when it comes later; else the generated one.
fn secret_key(
    name: &str,
    auth: &Reader<'_>,
    keys: &AuthKeys,
    raw: &RawSecrets,
    used: &mut Used,
) -> Result<(), SecretFault> {
    let own = Reader {
        secret: raw.secret_key.as_ref(),
        name: &own_secrets::secret_key_name(name),
        namespace: auth.namespace,
    };
    let (reader, key) = if auth.has(&keys.secret_key) {
        (auth, keys.secret_key.as_str())
    } else if own.secret.is_some() {
        (&own, SECRET_KEY)
    } else {
        return Err(SecretFault::NoSecretKey {
            secret: own.name.to_owned(),
        });
    };
    used.add("SECRET_KEY", &reader.text(key)?);
    Ok(())
}

/// Collects values, and a hash of them in which each is ended so that none runs into the next.
#[derive(Default)]
struct Used {
    hash: Sha256,
    env: BTreeMap<String, SecretString>,
}

impl Used {
    fn add(&mut self, variable: &str, value: &str) {
        self.hash.update(value.as_bytes());
        self.hash.update([0]);
        self.env.insert(variable.to_owned(), value.into());
    }

    fn fingerprint(&self) -> String {
        hex::encode(&self.hash.clone().finalize()[..8])
    }
}

struct Reader<'a> {
    secret: Option<&'a Secret>,
    name: &'a str,
    namespace: &'a str,
}

impl Reader<'_> {
    /// Whether there is a value under this key.
    fn has(&self, key: &str) -> bool {
        let data = self.secret.and_then(|secret| secret.data.as_ref());
        data.and_then(|data| data.get(key))
            .is_some_and(|value| !value.0.is_empty())
    }

    fn url(&self, key: &str) -> Result<DatabaseUrl, SecretFault> {
        DatabaseUrl::parse(&self.text(key)?).map_err(|error| self.malformed(key, error.to_string()))
    }

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
mod tests;
