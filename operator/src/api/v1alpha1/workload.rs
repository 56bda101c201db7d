use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::{self, rule, rule_at};

/// Horizontal scaling by CPU utilisation.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    rule_at(
        ".minReplicas",
        "self.minReplicas <= self.maxReplicas",
        rules::MIN_ABOVE_MAX
    )
]))]
pub struct Autoscaling {
    /// Whether a `HorizontalPodAutoscaler` owns the number of pods.
    pub enabled: bool,
    /// Fewest pods.
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: i32,
    /// Most pods.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
    /// Per cent of the CPU request that the autoscaler aims at.
    #[serde(rename = "targetCPUUtilization")]
    #[schemars(range(min = 1, max = 1000))]
    pub target_cpu_utilization: i32,
}

impl Default for Autoscaling {
    fn default() -> Self {
        Self {
            enabled: true,
            min_replicas: 1,
            max_replicas: 3,
            target_cpu_utilization: 70,
        }
    }
}

/// Objects of older, hand-written manifests to take over, by name.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    rule_at(
        ".service",
        "!has(self.deployment) || has(self.service)",
        rules::ADOPT_SERVICE
    ),
    rule_at(
        ".deployment",
        "!has(self.horizontalPodAutoscaler) || has(self.deployment)",
        rules::ADOPT_DEPLOYMENT
    )
]))]
pub struct Adopt {
    /// The old Deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub deployment: Option<String>,
    /// The old Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service: Option<String>,
    /// The old autoscaler.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub horizontal_pod_autoscaler: Option<String>,
}

/// Requests and limits of the container, Kubernetes quantities by resource name.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    rule_at(
        ".requests",
        "self.requests.all(name, !(name in self.limits) || !isQuantity(self.requests[name]) || !isQuantity(self.limits[name]) || !quantity(self.requests[name]).isGreaterThan(quantity(self.limits[name])))",
        rules::REQUEST_ABOVE_LIMIT
    )
]))]
pub struct Resources {
    /// What the scheduler reserves.
    #[schemars(extend("maxProperties" = 8, "additionalProperties" = rules::texts(32)))]
    #[schemars(extend("x-kubernetes-validations" = [
        rule("self.all(name, isQuantity(self[name]))", rules::QUANTITY_FORM)
    ]))]
    pub requests: BTreeMap<String, String>,
    /// What the container may use.
    #[schemars(extend("maxProperties" = 8, "additionalProperties" = rules::texts(32)))]
    #[schemars(extend("x-kubernetes-validations" = [
        rule("self.all(name, isQuantity(self[name]))", rules::QUANTITY_FORM)
    ]))]
    pub limits: BTreeMap<String, String>,
}

impl Default for Resources {
    fn default() -> Self {
        let quantities = |cpu: &str, memory: &str| {
            BTreeMap::from([("cpu".into(), cpu.into()), ("memory".into(), memory.into())])
        };
        Self {
            requests: quantities("250m", "64Mi"),
            limits: quantities("700m", "1Gi"),
        }
    }
}

/// Protection against voluntary disruptions: one pod at a time.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct PodDisruptionBudget {
    /// Make the budget.
    pub enabled: bool,
}

impl Default for PodDisruptionBudget {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// Network access of the pods.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkPolicy {
    /// Make the policy.
    pub enabled: bool,
    /// Networks (CIDR) that may reach the service port; empty: any source.
    #[schemars(length(max = 64), inner(length(min = 1, max = 49)))]
    pub allow_from: Vec<String>,
}

impl Default for NetworkPolicy {
    fn default() -> Self {
        Self {
            enabled: true,
            allow_from: Vec::new(),
        }
    }
}

/// Scraping of metrics by the Prometheus operator.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Monitoring {
    /// Whether a `ServiceMonitor` is made.
    pub service_monitor: ServiceMonitorMode,
    /// Time between scrapes, a Prometheus duration.
    #[schemars(length(max = 16), extend("x-kubernetes-validations" = [rules::duration()]))]
    pub interval: String,
    /// Labels of the `ServiceMonitor`.
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = rules::texts(63)))]
    pub labels: BTreeMap<String, String>,
}

impl Default for Monitoring {
    fn default() -> Self {
        Self {
            service_monitor: ServiceMonitorMode::Auto,
            interval: "30s".into(),
            labels: BTreeMap::new(),
        }
    }
}

/// Whether a `ServiceMonitor` is made.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ServiceMonitorMode {
    /// When the cluster knows the kind, also later.
    #[default]
    Auto,
    /// Never.
    Disabled,
}

/// The pods' service account.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceAccount {
    /// Its name; empty: the resource's name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Annotations, e.g. `eks.amazonaws.com/role-arn`.
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = rules::texts(4096)))]
    pub annotations: BTreeMap<String, String>,
}

/// Additions to the pods.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Pod {
    /// Further environment variables; names that the operator sets are refused.
    #[schemars(length(max = 64))]
    pub env: Vec<EnvVar>,
    /// Further labels.
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = rules::texts(63)))]
    pub labels: BTreeMap<String, String>,
    /// Further annotations.
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = rules::texts(4096)))]
    pub annotations: BTreeMap<String, String>,
    /// Labels that a node must carry.
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = rules::texts(63)))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that are tolerated.
    #[schemars(length(max = 32), transform = rules::bound_tolerations)]
    pub tolerations: Vec<Toleration>,
    /// Over what the pods are spread.
    pub topology_spread: TopologySpread,
    /// Priority class; empty: the cluster's default.
    #[schemars(length(max = 253))]
    pub priority_class_name: String,
}

/// An environment variable with a literal value.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Its name.
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$")
    )]
    pub name: String,
    /// Its value.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub value: String,
}

/// Over what the pods are spread.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TopologySpread {
    /// Availability zones, where possible.
    #[default]
    Zone,
    /// Nothing.
    None,
}
