use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// Registers a Service's pods in a target group that is owned elsewhere (documentation of the AWS
/// Load Balancer Controller, `TargetGroupBinding`). Its target group cannot be changed.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "elbv2.k8s.aws",
    version = "v1beta1",
    kind = "TargetGroupBinding",
    plural = "targetgroupbindings",
    namespaced,
    status = "TargetGroupBindingStatus",
    schema = "disabled"
)]
#[serde(rename_all = "camelCase")]
pub struct TargetGroupBindingSpec {
    /// The target group.
    #[serde(rename = "targetGroupARN", default)]
    pub target_group_arn: String,
    /// `ip` or `instance`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_type: Option<String>,
    /// Whose pods.
    pub service_ref: ServiceReference,
}

/// A port of a Service.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ServiceReference {
    /// Name of the Service.
    pub name: String,
    /// Its port, by number or name.
    pub port: IntOrString,
}

/// What the controller did.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetGroupBindingStatus {
    /// Generation whose targets are registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}
