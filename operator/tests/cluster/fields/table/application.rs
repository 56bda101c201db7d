//! The part of the table that the service itself reads.

use serde_json::json;

use super::Expected::Holds;
use super::{BALANCED, PLAIN, Row, row, secret_value, variable};

pub fn rows() -> Vec<Row> {
    [auth(), api()].concat()
}

fn auth() -> Vec<Row> {
    let keys = json!({"cognito-client-id": "client"});
    vec![
        secret_value(
            BALANCED,
            "auth.secretRef.name",
            json!("board-auth"),
            "COGNITO_REGION",
            "eu-west-1",
        ),
        secret_value(
            BALANCED,
            "auth.secretRef.keys",
            keys,
            "COGNITO_CLIENT_ID",
            "app",
        ),
        variable(
            PLAIN,
            "auth.cognito.region",
            json!("eu-west-1"),
            "COGNITO_REGION",
            "eu-west-1",
        ),
        variable(
            PLAIN,
            "auth.cognito.userPoolId",
            json!("eu-west-1_pool"),
            "COGNITO_USER_POOL_ID",
            "eu-west-1_pool",
        ),
        variable(
            PLAIN,
            "auth.cognito.clientId",
            json!("app"),
            "COGNITO_CLIENT_ID",
            "app",
        ),
        variable(
            BALANCED,
            "auth.deactivation",
            json!("Disable"),
            "DEACTIVATION",
            "disable",
        ),
    ]
}

fn api() -> Vec<Row> {
    let origins = json!(["https://a.example", "http://b.example:81"]);
    let origins_text = "https://a.example,http://b.example:81";
    let proxies = json!(["10.0.0.0/8", "fd00::/8"]);
    let base = json!("images.example");
    let comments = json!("http://comments.example:8090/api");
    let allowed = ("NetworkPolicy", "/spec/egress/1/ports");
    vec![
        variable(
            BALANCED,
            "api.defaultPageSize",
            json!(20),
            "DEFAULT_PAGE_SIZE",
            "20",
        ),
        variable(
            BALANCED,
            "api.maxPageSize",
            json!(70),
            "MAX_PAGE_SIZE",
            "70",
        ),
        variable(
            BALANCED,
            "api.corsAllowedOrigins",
            origins,
            "CORS_ALLOWED_ORIGINS",
            origins_text,
        ),
        variable(
            BALANCED,
            "api.rateLimit.readsPerMinute",
            json!(0),
            "RATE_LIMIT_READS_PER_MINUTE",
            "0",
        ),
        variable(
            BALANCED,
            "api.rateLimit.writesPerMinute",
            json!(7),
            "RATE_LIMIT_WRITES_PER_MINUTE",
            "7",
        ),
        variable(
            BALANCED,
            "api.trustedProxies",
            proxies,
            "TRUSTED_PROXIES",
            "10.0.0.0/8,fd00::/8",
        ),
        variable(
            BALANCED,
            "api.anonymousLikes",
            json!(true),
            "ANONYMOUS_LIKES",
            "true",
        ),
        variable(
            BALANCED,
            "media.bucket",
            json!("images"),
            "S3_BUCKET_NAME",
            "images",
        ),
        variable(
            BALANCED,
            "media.prefix",
            json!("board"),
            "S3_FOLDER_PREFIX",
            "board",
        ),
        variable(
            BALANCED,
            "media.publicBaseUrl",
            base,
            "API_GATEWAY_DOMAIN",
            "images.example",
        ),
        variable(
            BALANCED,
            "comments.url",
            comments.clone(),
            "COMMENT_SERVICE_URL",
            "http://comments.example:8090/api",
        ),
        row(
            BALANCED,
            "comments.url",
            comments,
            allowed,
            Holds("8090".into()),
        ),
    ]
}
