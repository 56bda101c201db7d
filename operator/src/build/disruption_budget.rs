use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{metadata, selector};
use crate::controller::validate::Validated;

/// One serving pod at a time may be evicted. `maxUnavailable`, not `minAvailable`, so that a single
/// pod does not block the drain of its node; pods that are not ready never do.
pub(super) fn build(spec: &Validated) -> Option<PodDisruptionBudget> {
    spec.spec
        .pod_disruption_budget
        .enabled
        .then(|| PodDisruptionBudget {
            metadata: metadata(spec, &spec.id.name),
            spec: Some(PodDisruptionBudgetSpec {
                max_unavailable: Some(IntOrString::Int(1)),
                unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
                selector: Some(LabelSelector {
                    match_labels: Some(selector(&spec.id.name)),
                    match_expressions: None,
                }),
                min_available: None,
            }),
            status: None,
        })
}
