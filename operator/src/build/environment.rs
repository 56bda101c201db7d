//! The environment of the service's containers.

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, SecretKeySelector};

use super::{HTTP_PORT, METRICS_PORT, Settings, database_tls};
use crate::api::v1alpha1::{Deactivation, SecretKeyRef};
use crate::controller::secrets::Sources;
use crate::controller::validate::Validated;

/// Names that `spec.pod.env` must leave alone: what the operator sets, and what would lead signed
/// or token-checking requests elsewhere.
const RESERVED: &[&str] = &[
    "ANONYMOUS_LIKES",
    "API_GATEWAY_DOMAIN",
    "COGNITO_CLIENT_ID",
    "COGNITO_JWKS_URL",
    "COGNITO_REGION",
    "COGNITO_USER_POOL_ID",
    "COMMENT_SERVICE_URL",
    "CORS_ALLOWED_ORIGINS",
    "DATABASE_POOL_SIZE",
    "DATABASE_READ_URL",
    "DATABASE_TLS_CA",
    "DATABASE_TLS_MODE",
    "DATABASE_URL",
    "DEACTIVATION",
    "DEFAULT_PAGE_SIZE",
    "LISTEN_ADDRESS",
    "LOG_FORMAT",
    "MAX_PAGE_SIZE",
    "METRICS_ADDRESS",
    "RATE_LIMIT_READS_PER_MINUTE",
    "RATE_LIMIT_WRITES_PER_MINUTE",
    "S3_BUCKET_NAME",
    "S3_FOLDER_PREFIX",
    "SECRET_KEY",
    "TRUSTED_PROXIES",
];

/// Whether `spec.pod.env` must not set `name`.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || name.starts_with("AWS_ENDPOINT_URL")
}

/// Environment of `post-service migrate`: the database and nothing else.
pub fn migrate(spec: &Validated, sources: &Sources) -> Vec<EnvVar> {
    let mut environment = vec![
        secret("DATABASE_URL", &sources.migrator_url),
        literal("LOG_FORMAT", "json"),
    ];
    environment.extend(database_tls::environment(spec));
    environment
}

/// Environment of `post-service serve`.
pub fn serve(spec: &Validated, sources: &Sources, settings: &Settings) -> Vec<EnvVar> {
    let mut environment = vec![
        secret("DATABASE_URL", &sources.database_url),
        literal("LISTEN_ADDRESS", format!("0.0.0.0:{HTTP_PORT}")),
        literal("METRICS_ADDRESS", format!("0.0.0.0:{METRICS_PORT}")),
        literal("LOG_FORMAT", "json"),
        literal(
            "DATABASE_POOL_SIZE",
            spec.spec.database.pool_size.to_string(),
        ),
    ];
    environment.extend(database_tls::environment(spec));
    let replica = spec.spec.database.read_url_secret_ref.as_ref();
    environment.extend(replica.map(|reference| secret("DATABASE_READ_URL", reference)));
    environment.extend(auth(spec));
    environment.push(secret("SECRET_KEY", &sources.secret_key));
    environment.extend(api(spec));
    environment.extend(integrations(spec));
    environment.extend(
        settings
            .service_env
            .iter()
            .map(|(name, value)| literal(name, value)),
    );
    environment.extend(
        spec.spec
            .pod
            .env
            .iter()
            .map(|var| literal(&var.name, &var.value)),
    );
    environment
}

fn auth(spec: &Validated) -> Vec<EnvVar> {
    let keys = &spec.auth_keys;
    let from = |name: &str, key: &str| {
        let name_of_secret = spec.spec.auth.secret_ref.name.clone();
        secret(
            name,
            &SecretKeyRef {
                name: name_of_secret,
                key: key.to_owned(),
            },
        )
    };
    let mut environment = match &spec.spec.auth.cognito {
        Some(cognito) => vec![
            literal("COGNITO_USER_POOL_ID", &cognito.user_pool_id),
            literal("COGNITO_REGION", &cognito.region),
            literal("COGNITO_CLIENT_ID", &cognito.client_id),
        ],
        None => vec![
            from("COGNITO_USER_POOL_ID", &keys.user_pool_id),
            from("COGNITO_REGION", &keys.region),
            from("COGNITO_CLIENT_ID", &keys.client_id),
        ],
    };
    let deactivation = match spec.spec.auth.deactivation {
        Deactivation::Delete => "delete",
        Deactivation::Disable => "disable",
    };
    environment.push(literal("DEACTIVATION", deactivation));
    environment
}

fn api(spec: &Validated) -> Vec<EnvVar> {
    let api = &spec.spec.api;
    vec![
        literal("DEFAULT_PAGE_SIZE", api.default_page_size.to_string()),
        literal("MAX_PAGE_SIZE", api.max_page_size.to_string()),
        literal("CORS_ALLOWED_ORIGINS", api.cors_allowed_origins.join(",")),
        literal(
            "RATE_LIMIT_READS_PER_MINUTE",
            api.rate_limit.reads_per_minute.to_string(),
        ),
        literal(
            "RATE_LIMIT_WRITES_PER_MINUTE",
            api.rate_limit.writes_per_minute.to_string(),
        ),
        literal("TRUSTED_PROXIES", api.trusted_proxies.join(",")),
        literal("ANONYMOUS_LIKES", api.anonymous_likes.to_string()),
    ]
}

fn integrations(spec: &Validated) -> Vec<EnvVar> {
    let media = &spec.spec.media;
    [
        ("S3_BUCKET_NAME", &media.bucket),
        ("S3_FOLDER_PREFIX", &media.prefix),
        ("API_GATEWAY_DOMAIN", &media.public_base_url),
        ("COMMENT_SERVICE_URL", &spec.spec.comments.url),
    ]
    .into_iter()
    .filter_map(|(name, value)| value.as_ref().map(|value| literal(name, value)))
    .collect()
}

fn literal(name: impl Into<String>, value: impl Into<String>) -> EnvVar {
    EnvVar {
        name: name.into(),
        value: Some(value.into()),
        value_from: None,
    }
}

fn secret(name: &str, reference: &SecretKeyRef) -> EnvVar {
    EnvVar {
        name: name.into(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: reference.name.clone(),
                key: reference.key.clone(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
    }
}
