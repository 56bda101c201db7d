use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::{self, rule};

/// The MySQL database: by a URL in a Secret, or by a connection whose account the operator makes.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    rule(
        "has(self.connection) == has(self.bootstrap)",
        rules::CONNECTION_AND_BOOTSTRAP
    )
]))]
pub struct Database {
    /// Secret key with the database's URL, `mysql://` or `mysql+pymysql://`; unused with `connection`.
    pub url_secret_ref: SecretKeyRef,
    /// Secret key with the URL of a read replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_url_secret_ref: Option<SecretKeyRef>,
    /// Where the server is, when the operator makes the account itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,
    /// The account with which the operator makes the service's account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<Bootstrap>,
    /// Encryption of the connection.
    pub tls: Tls,
    /// Create the database when it is absent.
    pub create_database: bool,
    /// The migration Job.
    pub migrations: Migrations,
    /// Connections a pod may hold.
    #[schemars(range(min = 1, max = 1000))]
    pub pool_size: i32,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url_secret_ref: SecretKeyRef {
                name: "post-db-secret".into(),
                key: "database-url".into(),
            },
            read_url_secret_ref: None,
            connection: None,
            bootstrap: None,
            tls: Tls::default(),
            create_database: true,
            migrations: Migrations::default(),
            pool_size: 8,
        }
    }
}

/// One key of a Secret in the resource's own namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key within the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A Secret in the resource's own namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A MySQL server and the database on it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Host name or address.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// TCP port.
    #[serde(default = "mysql_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Name of the database; immutable.
    #[serde(default = "database_name")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_]+$"))]
    #[schemars(extend("x-kubernetes-validations" = [
        rule(
            "self == oldSelf",
            "database.connection.name is immutable"
        )
    ]))]
    pub name: String,
}

fn mysql_port() -> i32 {
    3306
}

fn database_name() -> String {
    "postdb".into()
}

/// The administrator's account and what is done with it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    /// Secret with `username`, `password` and `host`; `host` must equal `connection.host`.
    pub admin_secret_ref: SecretRef,
    /// Regular change of the service's password; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
}

/// Regular change of the service's password.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// Time between changes, a Go duration such as `2160h`.
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = [
        rules::duration(),
        rule(
            "!self.matches('^([0-9]+(ms|s|m|h))+$') || duration(self) >= duration('1h')",
            rules::ROTATION_TOO_SHORT
        )
    ]))]
    pub interval: String,
}

/// Encryption of the connection to the database.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Tls {
    /// What is demanded of the server.
    pub mode: TlsMode,
    /// Secret key with the certificate authority's PEM file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
}

/// MySQL's client `--ssl-mode`.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum TlsMode {
    /// Encrypted where the server offers it.
    #[default]
    Preferred,
    /// Encrypted, the certificate unchecked.
    Required,
    /// Encrypted, the certificate checked against the authority. The TLS library in use demands that
    /// it names the host, too.
    VerifyCA,
    /// As `VerifyCA`, and the certificate must name the host.
    VerifyIdentity,
}

/// The Job that brings the schema up to the image's version before its pods start.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Migrations {
    /// Run the Job.
    pub enabled: bool,
    /// Time after which the Job has failed, a Go duration.
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = [rules::duration()]))]
    pub timeout: String,
}

impl Default for Migrations {
    fn default() -> Self {
        Self {
            enabled: true,
            timeout: "15m".into(),
        }
    }
}
