use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::{self, rule, rule_at};

/// Form of a target group's ARN.
pub const TARGET_GROUP_BINDING_PATTERN: &str = "^(arn:aws[a-z-]*:elasticloadbalancing:.+)?$";

/// Another class is another load balancer with another address: nobody shall get it by accident.
const CLASS_IS_FIXED: &str = "service.loadBalancer.class cannot be changed while enabled is true: AWS would make another load balancer; set enabled: false first, then the class";

/// The Kubernetes Service in front of the pods.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// Port of the Service, forwarded to the pods' 8082.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// The network load balancer.
    pub load_balancer: LoadBalancer,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            port: 80,
            load_balancer: LoadBalancer::default(),
        }
    }
}

/// The AWS network load balancer. Targets are always pod addresses (`ip`).
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    rules::load_balancer(),
    vec![rule(
        "self.class == oldSelf.class || !self.enabled || !oldSelf.enabled",
        CLASS_IS_FIXED
    )]
].concat()))]
pub struct LoadBalancer {
    /// False: a Service of type ClusterIP.
    pub enabled: bool,
    /// `service.k8s.aws/nlb` (AWS Load Balancer Controller) or `eks.amazonaws.com/nlb` (EKS Auto Mode).
    #[schemars(length(min = 1, max = 253))]
    pub class: String,
    /// Who reaches it; immutable.
    #[schemars(extend("x-kubernetes-validations" = [
        rule(
            "self == oldSelf",
            "service.loadBalancer.scheme is immutable: AWS cannot change it"
        )
    ]))]
    pub scheme: Scheme,
    /// Accept an internet-facing load balancer without TLS.
    pub allow_plaintext: bool,
    /// Spread requests over the targets of all zones.
    pub cross_zone: bool,
    /// Pass the client's address to the pods. Absent: true when internet-facing, false when internal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "preserveClientIP")]
    pub preserve_client_ip: Option<bool>,
    /// How targets are checked.
    pub health_check: HealthCheck,
    /// How long a target that goes away keeps its connections.
    #[schemars(range(min = 0, max = 3600))]
    pub deregistration_delay_seconds: i32,
    /// TLS at the load balancer.
    pub tls: LoadBalancerTls,
    /// Client networks (CIDR) that may connect; empty: all.
    #[schemars(length(max = 64), inner(length(min = 1, max = 49)))]
    pub source_ranges: Vec<String>,
    /// Subnet ids or names; empty: found by tag.
    #[schemars(length(max = 16), inner(length(min = 1, max = 255)))]
    pub subnets: Vec<String>,
    /// ARN of a target group that is owned elsewhere: a ClusterIP Service and a `TargetGroupBinding`.
    #[serde(rename = "targetGroupARN")]
    #[schemars(length(max = 512), regex(pattern = TARGET_GROUP_BINDING_PATTERN))]
    pub target_group_arn: String,
    /// Further load balancer attributes; keys that a field sets are refused.
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = rules::texts(1024)))]
    pub attributes: BTreeMap<String, String>,
    /// Further target group attributes; keys that a field sets are refused.
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = rules::texts(1024)))]
    pub target_group_attributes: BTreeMap<String, String>,
    /// AWS tags.
    #[schemars(extend("maxProperties" = 50, "additionalProperties" = rules::texts(256)))]
    pub tags: BTreeMap<String, String>,
    /// Further annotations of the Service.
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = rules::texts(4096)))]
    pub annotations: BTreeMap<String, String>,
}

impl Default for LoadBalancer {
    fn default() -> Self {
        Self {
            enabled: true,
            class: "service.k8s.aws/nlb".into(),
            scheme: Scheme::Internal,
            allow_plaintext: false,
            cross_zone: true,
            preserve_client_ip: None,
            health_check: HealthCheck::default(),
            deregistration_delay_seconds: 120,
            tls: LoadBalancerTls::default(),
            source_ranges: Vec::new(),
            subnets: Vec::new(),
            target_group_arn: String::new(),
            attributes: BTreeMap::new(),
            target_group_attributes: BTreeMap::new(),
            tags: BTreeMap::new(),
            annotations: BTreeMap::new(),
        }
    }
}

/// Who reaches a load balancer.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// The VPC.
    #[default]
    Internal,
    /// Everybody.
    InternetFacing,
}

/// How the load balancer checks its targets.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    rule_at(
        ".intervalSeconds",
        "self.intervalSeconds >= self.timeoutSeconds",
        rules::INTERVAL_BELOW_TIMEOUT
    )
]))]
pub struct HealthCheck {
    /// Path of the HTTP request.
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^/"))]
    pub path: String,
    /// Seconds between checks.
    #[schemars(range(min = 5, max = 300))]
    pub interval_seconds: i32,
    /// Seconds until a check has failed.
    #[schemars(range(min = 2, max = 120))]
    pub timeout_seconds: i32,
    /// Successes that make a target healthy.
    #[schemars(range(min = 2, max = 10))]
    pub healthy_threshold: i32,
    /// Failures that make a target unhealthy.
    #[schemars(range(min = 2, max = 10))]
    pub unhealthy_threshold: i32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            path: "/health".into(),
            interval_seconds: 10,
            timeout_seconds: 6,
            healthy_threshold: 2,
            unhealthy_threshold: 3,
        }
    }
}

/// TLS at the load balancer; with a certificate, port 443 only.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancerTls {
    /// ARN of the certificate in AWS Certificate Manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = "^arn:aws[a-z-]*:acm:.+$"))]
    pub certificate_arn: Option<String>,
    /// Security policy, `ELBSecurityPolicy-TLS13-1-2-2021-06` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub policy: Option<String>,
}
