use std::time::Duration;

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;

use super::{Revision, metadata, selector};
use crate::controller::validate::Validated;

/// Annotation of the Deployment: id of the revision that it is told to run.
const REVISION: &str = "platform.hhottdogg.shop/revision";
/// No time limit (Kubernetes API, `DeploymentSpec.progressDeadlineSeconds`): the greatest value
/// turns the Deployment controller's own off, and it must be greater than `minReadySeconds`.
const NEVER: i32 = i32::MAX;

/// Never carries `replicas`: the autoscaler owns them.
///
/// While `baking`, one pod comes beside all old ones, and since it never counts as available the
/// Deployment's controller takes none of those away. Nothing else is needed to hold it there, also
/// when the operator is away; the old pods' own `minReadySeconds` are of before.
pub(super) fn build(spec: &Validated, revision: &Revision, baking: bool) -> Deployment {
    let mut metadata = metadata(spec, &spec.id.workload);
    let id = (REVISION.to_owned(), revision.id.clone());
    metadata.annotations.get_or_insert_default().extend([id]);
    let deadline = spec.progress_deadline;
    Deployment {
        metadata,
        spec: Some(DeploymentSpec {
            selector: LabelSelector {
                match_labels: Some(selector(&spec.id.name)),
                match_expressions: None,
            },
            min_ready_seconds: Some(if baking { NEVER - 1 } else { 0 }),
            progress_deadline_seconds: Some(if baking { NEVER } else { seconds(deadline) }),
            revision_history_limit: Some(3),
            strategy: Some(strategy(if baking {
                "1"
            } else {
                &spec.spec.rollout.max_surge
            })),
            template: revision.template.clone(),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// Id of the revision that a Deployment is told to run.
pub fn revision(deployment: &Deployment) -> Option<&str> {
    deployment.annotations().get(REVISION).map(String::as_str)
}

/// New pods come first; no old one goes before they are available.
fn strategy(surge: &str) -> DeploymentStrategy {
    let max_surge = surge
        .parse()
        .map_or_else(|_| IntOrString::String(surge.to_owned()), IntOrString::Int);
    DeploymentStrategy {
        type_: Some("RollingUpdate".into()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(max_surge),
            max_unavailable: Some(IntOrString::Int(0)),
        }),
    }
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}
