//! The environment of the service's containers.

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, SecretKeySelector};

use super::{EnvSource, HTTP_PORT, METRICS_PORT, PodInputs, Settings, database_tls};
use crate::api::v1alpha1::{Api, Deactivation, SecretKeyRef};

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
pub fn migrate(inputs: &PodInputs, url: &SecretKeyRef) -> Vec<EnvVar> {
    let mut environment = vec![
        secret("DATABASE_URL", &url.name, &url.key),
        literal("LOG_FORMAT", "json"),
    ];
    environment.extend(database_tls::environment(inputs));
    environment
}

/// Environment of `post-service serve`: secret values by reference, everything else as it is.
pub fn serve(inputs: &PodInputs, env: &EnvSource<'_>, settings: &Settings) -> Vec<EnvVar> {
    let secret_keys = env.keys.iter().filter(|key| **key != database_tls::CA);
    let mut environment: Vec<_> = secret_keys
        .map(|key| secret(key, env.secret, key))
        .collect();
    environment.extend(plain(inputs, settings));
    environment
}

/// What of the serving pods' environment is no secret.
pub fn plain(inputs: &PodInputs, settings: &Settings) -> Vec<EnvVar> {
    let mut environment = vec![
        literal("LISTEN_ADDRESS", format!("0.0.0.0:{HTTP_PORT}")),
        literal("METRICS_ADDRESS", format!("0.0.0.0:{METRICS_PORT}")),
        literal("LOG_FORMAT", "json"),
        literal("DATABASE_POOL_SIZE", inputs.pool_size.to_string()),
    ];
    environment.extend(database_tls::environment(inputs));
    environment.extend(auth(inputs));
    environment.extend(api(&inputs.api));
    environment.extend(integrations(inputs));
    let of_operator = settings.service_env.iter();
    environment.extend(of_operator.map(|(name, value)| literal(name, value)));
    let of_user = inputs.pod.env.iter();
    environment.extend(of_user.map(|var| literal(&var.name, &var.value)));
    environment
}

fn auth(inputs: &PodInputs) -> Vec<EnvVar> {
    let deactivation = match inputs.deactivation {
        Deactivation::Delete => "delete",
        Deactivation::Disable => "disable",
    };
    let mut environment = vec![literal("DEACTIVATION", deactivation)];
    if let Some(cognito) = &inputs.cognito {
        environment.extend([
            literal("COGNITO_USER_POOL_ID", &cognito.user_pool_id),
            literal("COGNITO_REGION", &cognito.region),
            literal("COGNITO_CLIENT_ID", &cognito.client_id),
        ]);
    }
    environment
}

fn api(api: &Api) -> Vec<EnvVar> {
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

fn integrations(inputs: &PodInputs) -> Vec<EnvVar> {
    let media = &inputs.media;
    [
        ("S3_BUCKET_NAME", &media.bucket),
        ("S3_FOLDER_PREFIX", &media.prefix),
        ("API_GATEWAY_DOMAIN", &media.public_base_url),
        ("COMMENT_SERVICE_URL", &inputs.comments.url),
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

fn secret(variable: &str, secret: &str, key: &str) -> EnvVar {
    EnvVar {
        name: variable.into(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.to_owned(),
                key: key.to_owned(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
    }
}
