use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::{self, rule};

/// Which image runs. Exactly one of `tag`, `digest` and `policy`.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule(
        "[has(self.tag), has(self.digest), has(self.policy)].filter(set, set).size() == 1",
        rules::ONE_IMAGE
    ),
    rules::policy_elsewhere()
]))]
pub struct Image {
    /// Repository with its registry host; an ECR host selects region and account.
    #[schemars(
        length(min = 3, max = 255),
        regex(pattern = r"^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+$")
    )]
    pub repository: String,
    /// A tag; `latest` is refused here: follow it with a policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"))]
    #[schemars(extend("x-kubernetes-validations" = [
        rule(
            "self != 'latest'",
            rules::TAG_LATEST
        )
    ]))]
    pub tag: Option<String>,
    /// A digest, `sha256:` and 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    #[schemars(extend("x-kubernetes-validations" = [
        rule("self.matches('^sha256:[0-9a-f]{64}$')", rules::DIGEST_FORM)
    ]))]
    pub digest: Option<String>,
    /// A rule that selects a tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// How often the registry is asked, a Go duration.
    #[serde(default = "scan_interval")]
    #[schemars(length(max = 16), regex(pattern = "^([0-9]+(ms|s|m|h))+$"))]
    pub scan_interval: String,
    /// Names of image pull Secrets in the resource's namespace.
    #[serde(default)]
    #[schemars(length(max = 8), inner(length(min = 1, max = 253)))]
    pub pull_secrets: Vec<String>,
}

fn scan_interval() -> String {
    "5m".into()
}

/// Selects a tag from the complete listing of a repository in Amazon ECR, and never goes back while
/// the spec stays as it is. Exactly one of the rules.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule(
        "has(self.newestPushed) != has(self.semver)",
        rules::ONE_POLICY
    )
]))]
pub struct Policy {
    /// The tag that was pushed last, as for commit hashes and moving tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_pushed: Option<NewestPushed>,
    /// The highest semantic version within a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub semver: Option<Semver>,
}

/// The newest of the tags that match a pattern, by push time.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct NewestPushed {
    /// Regular expression that the whole tag must match, e.g. `^[0-9a-f]{7,40}$`, or `^latest$`.
    #[schemars(length(min = 1, max = 256))]
    pub pattern: String,
}

/// The highest version within a range.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Semver {
    /// Range of semantic versions, e.g. `>=1.0.0 <2.0.0`; tags may begin with `v`. A pre-release is
    /// selected only where the range names one of the same version.
    #[schemars(length(min = 1, max = 128))]
    #[schemars(extend("x-kubernetes-validations" = [rules::range()]))]
    pub range: String,
}
