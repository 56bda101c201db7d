//! What can be set: flag, environment variable, default and documentation of every setting.

use clap::{Args, ValueEnum};
use http::HeaderValue;
use ipnet::IpNet;
use secrecy::SecretString;
use std::{net::SocketAddr, path::PathBuf};
use url::Url;

/// What can be set, by flag or environment.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Database, by a URL of mysql, mysql+pymysql or sqlite [default: a SQLite file in the user's
    /// data folder]
    #[arg(long, env, hide_env_values = true, global = true, value_name = "URL")]
    pub database_url: Option<SecretString>,

    /// Replica of the MySQL database: requests without a token read there, while it is at most two
    /// seconds late
    #[arg(long, env, hide_env_values = true, global = true, value_name = "URL")]
    pub database_read_url: Option<SecretString>,

    /// Connections to the database, and to its replica, at most
    #[arg(
        long,
        env,
        hide_env_values = true,
        global = true,
        value_name = "N",
        default_value_t = 8
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub database_pool_size: u32,

    /// What is demanded of the connection to MySQL [default: what the URL's ssl-mode says, else
    /// encrypted where the server offers it]
    #[arg(long, env, hide_env_values = true, global = true, value_name = "MODE")]
    #[arg(value_enum, ignore_case = true)]
    pub database_tls_mode: Option<TlsMode>,

    /// File with the certificate authorities of MySQL, PEM
    #[arg(long, env, hide_env_values = true, global = true, value_name = "FILE")]
    pub database_tls_ca: Option<PathBuf>,

    /// Where the API is served
    #[arg(
        long,
        env,
        hide_env_values = true,
        global = true,
        value_name = "ADDRESS:PORT"
    )]
    #[arg(default_value = "127.0.0.1:8082")]
    pub listen_address: SocketAddr,

    /// Where Prometheus metrics are served, at /metrics
    #[arg(
        long,
        env,
        hide_env_values = true,
        global = true,
        value_name = "ADDRESS:PORT"
    )]
    #[arg(default_value = "127.0.0.1:9090")]
    pub metrics_address: SocketAddr,

    /// Cognito user pool whose tokens are accepted
    #[arg(long, env, hide_env_values = true, global = true, value_name = "ID")]
    pub cognito_user_pool_id: Option<String>,

    /// AWS region of the user pool
    #[arg(
        long,
        env,
        hide_env_values = true,
        global = true,
        value_name = "REGION"
    )]
    pub cognito_region: Option<String>,

    /// App client that tokens must have been issued for
    #[arg(long, env, hide_env_values = true, global = true, value_name = "ID")]
    pub cognito_client_id: Option<String>,

    /// Where the user pool's public keys are fetched from, if not at Cognito (never the issuer)
    #[arg(long, env, hide_env_values = true, global = true, value_name = "URL")]
    pub cognito_jwks_url: Option<Url>,

    /// Keys the hashes that views are deduplicated by; required with MySQL
    #[arg(
        long,
        env,
        hide_env_values = true,
        global = true,
        value_name = "SECRET"
    )]
    pub secret_key: Option<SecretString>,

    /// Origins that browsers may call from, comma-separated
    #[arg(
        long,
        env,
        hide_env_values = true,
        global = true,
        value_name = "ORIGINS"
    )]
    #[arg(value_delimiter = ',', value_parser = origin)]
    #[arg(default_value = "https://hhottdogg.shop,https://www.hhottdogg.shop")]
    pub cors_allowed_origins: Vec<HeaderValue>,

    /// Entries on a page when a request names no number
    #[arg(
        long,
        env,
        hide_env_values = true,
        global = true,
        value_name = "N",
        default_value_t = 10
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub default_page_size: u32,

    /// Entries on a page, at most
    #[arg(
        long,
        env,
        hide_env_values = true,
        global = true,
        value_name = "N",
        default_value_t = 50
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_page_size: u32,

    /// Reads that one user or client may make a minute, per process; 0: any number
    #[arg(long, env, hide_env_values = true, global = true, value_name = "N")]
    #[arg(default_value_t = 1200)]
    pub rate_limit_reads_per_minute: u32,

    /// Writes that one user or client may make a minute, per process; 0: any number
    #[arg(long, env, hide_env_values = true, global = true, value_name = "N")]
    #[arg(default_value_t = 60)]
    pub rate_limit_writes_per_minute: u32,

    /// Networks (CIDR, comma-separated) whose Forwarded and X-Forwarded-For headers are believed
    #[arg(
        long,
        env,
        hide_env_values = true,
        global = true,
        value_name = "NETWORKS"
    )]
    #[arg(value_delimiter = ',')]
    pub trusted_proxies: Vec<IpNet>,

    /// Let requests without a token toggle the like of the user they name, for frontends of the old
    /// service
    #[arg(long, env, hide_env_values = true, global = true, value_name = "BOOL")]
    #[arg(action = clap::ArgAction::Set, default_value_t = false)]
    pub anonymous_likes: bool,

    /// Comment service that comment counts are asked of, e.g. `http://comment-service:8083`
    #[arg(long, env, hide_env_values = true, global = true, value_name = "URL")]
    pub comment_service_url: Option<Url>,

    /// Host (or base URL) that the addresses of uploaded images begin with [default: the address of
    /// the upload's request; with a bucket none: they are paths]
    #[arg(long, env, hide_env_values = true, global = true, value_name = "HOST")]
    pub api_gateway_domain: Option<String>,

    /// Bucket that uploaded images are kept in
    #[arg(
        long,
        env,
        hide_env_values = true,
        global = true,
        value_name = "BUCKET"
    )]
    pub s3_bucket_name: Option<String>,

    /// AWS region of the bucket [default: as the AWS environment tells]
    #[arg(
        long,
        env,
        hide_env_values = true,
        global = true,
        value_name = "REGION"
    )]
    pub s3_region: Option<String>,

    /// What the keys of uploaded images begin with
    #[arg(
        long,
        env,
        hide_env_values = true,
        global = true,
        value_name = "PREFIX"
    )]
    #[arg(default_value = "image_files")]
    pub s3_folder_prefix: String,

    /// Folder that uploaded images are kept in, instead of a bucket [default with SQLite and no
    /// bucket: beside the database]
    #[arg(
        long,
        env,
        hide_env_values = true,
        global = true,
        value_name = "FOLDER"
    )]
    pub media_folder: Option<PathBuf>,

    /// The largest image accepted, in bytes
    #[arg(long, env, hide_env_values = true, global = true, value_name = "BYTES")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=64 * 1024 * 1024), default_value_t = 5 * 1024 * 1024)]
    pub max_file_size: u64,

    /// What deactivating an account does in Cognito
    #[arg(
        long,
        env,
        hide_env_values = true,
        global = true,
        value_name = "ACTION"
    )]
    #[arg(value_enum, ignore_case = true, default_value_t = Deactivation::Delete)]
    pub deactivation: Deactivation,

    /// Where traces are sent (OTLP over HTTP), e.g. `http://collector:4318` [default: nowhere]
    #[arg(long, env, hide_env_values = true, global = true, value_name = "URL")]
    pub otel_exporter_otlp_endpoint: Option<Url>,

    /// Seconds that browsers shall use nothing but HTTPS (Strict-Transport-Security); 0: not said
    #[arg(
        long,
        env,
        hide_env_values = true,
        global = true,
        value_name = "SECONDS"
    )]
    #[arg(default_value_t = 0)]
    pub hsts_max_age: u32,

    /// How log lines are written
    #[arg(
        long,
        env,
        hide_env_values = true,
        global = true,
        value_name = "FORMAT"
    )]
    #[arg(value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// What is logged, in the syntax of tracing-subscriber, e.g. info,sqlx=debug
    #[arg(
        long,
        env,
        hide_env_values = true,
        global = true,
        value_name = "FILTER"
    )]
    #[arg(default_value = "info")]
    pub rust_log: String,
}

/// What is demanded of the connection to `MySQL`, as its client's `--ssl-mode` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TlsMode {
    /// Encrypted where the server offers it.
    Preferred,
    /// Encrypted, the certificate unchecked.
    Required,
    /// Encrypted, the certificate checked against the authorities. With the present TLS library the
    /// certificate must name the host, too.
    #[value(name = "VerifyCA", alias = "verify-ca")]
    VerifyCa,
    /// Encrypted, the certificate checked against the authorities, and it must name the host.
    #[value(name = "VerifyIdentity", alias = "verify-identity")]
    VerifyIdentity,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For eyes.
    Text,
    /// One JSON object a line.
    Json,
}

/// What deactivating an account does in Cognito.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Deactivation {
    /// `AdminDeleteUser`.
    Delete,
    /// `AdminDisableUser`.
    Disable,
}

/// An origin as browsers send it: scheme, host and perhaps a port, nothing after.
pub(super) fn origin(text: &str) -> Result<HeaderValue, String> {
    let text = text.trim();
    let url = Url::parse(text).map_err(|error| format!("`{text}`: {error}"))?;
    if url.origin().ascii_serialization() != text {
        return Err(format!(
            "`{text}` is not an origin like https://example.com"
        ));
    }
    HeaderValue::from_str(text).map_err(|error| error.to_string())
}
