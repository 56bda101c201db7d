use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sha2::{Digest as _, Sha256};

use super::service::{self, Exposure};
use super::{Front, metadata, truncated};
use crate::controller::validate::Validated;
use crate::foreign::{ServiceReference, TargetGroupBinding, TargetGroupBindingSpec};

/// Registers the pods in a target group that is owned elsewhere. The controller refuses to change
/// the target group of a binding, so each has a name of its own.
pub(super) fn build(spec: &Validated, front: &Front) -> Option<TargetGroupBinding> {
    let Exposure::TargetGroup(arn) = service::exposure(spec) else {
        return None;
    };
    let (service, port) = front.cluster(spec);
    let hash = hex::encode(&Sha256::digest(arn)[..4]);
    Some(TargetGroupBinding {
        metadata: metadata(spec, &format!("{}-{hash}", truncated(&spec.id.name))),
        spec: TargetGroupBindingSpec {
            target_group_arn: arn.to_owned(),
            target_type: Some("ip".into()),
            service_ref: ServiceReference {
                name: service,
                port: IntOrString::Int(port),
            },
        },
        status: None,
    })
}
