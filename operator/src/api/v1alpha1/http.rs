use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::{self, rule, rule_at};

/// The user pool whose tokens the API accepts.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Auth {
    /// Secret with the user pool and the key of the viewer hash.
    pub secret_ref: AuthSecretRef,
    /// The user pool by value instead of by Secret; the Secret's `secret-key` is still used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cognito: Option<Cognito>,
    /// What deactivating an account does in Cognito.
    pub deactivation: Deactivation,
}

/// Secret with keys `cognito-user-pool-id`, `cognito-region`, `cognito-client-id` and `secret-key`.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthSecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Other names of the keys: default name → name in this Secret.
    #[schemars(extend("maxProperties" = 8, "additionalProperties" = rules::texts(253)))]
    #[schemars(extend("x-kubernetes-validations" = [
        rule(
            "self.all(key, key in ['cognito-user-pool-id', 'cognito-region', 'cognito-client-id', 'secret-key'])",
            rules::UNKNOWN_KEY
        )
    ]))]
    pub keys: BTreeMap<String, String>,
}

impl Default for AuthSecretRef {
    fn default() -> Self {
        Self {
            name: "post-secrets".into(),
            keys: BTreeMap::new(),
        }
    }
}

/// A Cognito user pool and its app client.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Cognito {
    /// AWS region.
    #[schemars(length(min = 1, max = 32))]
    pub region: String,
    /// User pool id, e.g. `ap-northeast-2_AbCdEfGhI`.
    #[schemars(length(min = 1, max = 64))]
    pub user_pool_id: String,
    /// App client id.
    #[schemars(length(min = 1, max = 128))]
    pub client_id: String,
}

/// What deactivating an account does in Cognito.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Deactivation {
    /// `AdminDeleteUser`.
    #[default]
    Delete,
    /// `AdminDisableUser`.
    Disable,
}

/// The REST API's behaviour.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    rule_at(
        ".defaultPageSize",
        "self.defaultPageSize <= self.maxPageSize",
        rules::PAGE_ABOVE_MAX
    )
]))]
pub struct Api {
    /// Posts on a page when the request names no size.
    #[schemars(range(min = 1, max = 1000))]
    pub default_page_size: i32,
    /// Most posts on a page.
    #[schemars(range(min = 1, max = 1000))]
    pub max_page_size: i32,
    /// Origins whose browsers may call with credentials.
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 253), regex(pattern = "^https?://[^/,]+$"))
    )]
    pub cors_allowed_origins: Vec<String>,
    /// Requests per client and pod.
    pub rate_limit: RateLimit,
    /// Networks (CIDR) whose `Forwarded` and `X-Forwarded-For` headers are believed.
    #[schemars(length(max = 32), inner(length(min = 1, max = 49)))]
    pub trusted_proxies: Vec<String>,
    /// Let requests without a token like as the body's `user_id`, for frontends of the old service.
    pub anonymous_likes: bool,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            default_page_size: 10,
            max_page_size: 50,
            cors_allowed_origins: vec![
                "https://hhottdogg.shop".into(),
                "https://www.hhottdogg.shop".into(),
            ],
            rate_limit: RateLimit::default(),
            trusted_proxies: Vec::new(),
            anonymous_likes: false,
        }
    }
}

/// Requests per client and pod; 0 = unlimited.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimit {
    /// Reads per minute.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub reads_per_minute: i32,
    /// Writes per minute.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub writes_per_minute: i32,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            reads_per_minute: 1200,
            writes_per_minute: 60,
        }
    }
}

/// Where images of posts are stored. Without `bucket`, uploads answer 503 with a clear message.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Media {
    /// S3 bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 63))]
    pub bucket: Option<String>,
    /// Prefix of the keys, `image_files` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub prefix: Option<String>,
    /// Host under which browsers fetch images.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub public_base_url: Option<String>,
}

/// The comment service.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Comments {
    /// Its base URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = "^https?://.+$"))]
    pub url: Option<String>,
}
